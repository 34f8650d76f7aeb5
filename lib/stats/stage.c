/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_stats.h"

static const char *const keys[KX_STAGE_COUNT] = {
#define KEY(id, key) [KX_STAGE_##id] = key,
	KX_STAGE_LIST(KEY)
#undef KEY
};

const char *kx_stage_key(enum kx_stage stage)
{
	return (unsigned int)stage < KX_STAGE_COUNT ? keys[stage] : "?";
}
