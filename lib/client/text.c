/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_client.h"

static const char *const names[] = {
#define NAME(id, text) #id,
	KX_RESULT_LIST(NAME)
#undef NAME
};
static const char *const texts[] = {
#define TEXT(id, text) text,
	KX_RESULT_LIST(TEXT)
#undef TEXT
};

const char *kx_result_name(enum kx_result r)
{
	return (unsigned int)r < KX_DIM(names) ? names[r] : "?";
}

const char *kx_result_text(enum kx_result r)
{
	return (unsigned int)r < KX_DIM(texts) ? texts[r] : "?";
}

const char *kx_event_name(enum kx_event_type type)
{
	static const char *const events[] = {"?", "CONNECTED", "CONNECT_FAILED", "DISCONNECTED",
		"PRODUCER_READY", "PRODUCER_FAILED", "CONSUMER_READY", "CONSUMER_FAILED", "OFFSET_TRIMMED",
		"OFFSET_TRUNCATED", "OWNER_CHANGED", "FENCED", "THROTTLED", "RESUMED", "LOST",
		"CONSUMER_WAITING"};

	return (unsigned int)type < KX_DIM(events) ? events[type] : "?";
}
