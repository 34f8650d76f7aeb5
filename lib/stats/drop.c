/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_stats.h"

static const struct {
	const char *key;
	const char *text;
} reasons[KX_DROP_COUNT] = {
#define REASON(id, key, text) [KX_DROP_##id] = {key, text},
	KX_DROP_LIST(REASON)
#undef REASON
};

const char *kx_drop_key(enum kx_drop reason)
{
	return (unsigned int)reason < KX_DROP_COUNT ? reasons[reason].key : "?";
}

const char *kx_drop_text(enum kx_drop reason)
{
	return (unsigned int)reason < KX_DROP_COUNT ? reasons[reason].text : "?";
}
