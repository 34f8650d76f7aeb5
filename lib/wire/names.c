/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts for people. */
#include <string.h>

#include "kx_wire.h"

const char *kx_code_text(uint32_t code)
{
	switch (code) {
#define CODE_TEXT(id, value, text)                                                                           \
	case value:                                                                                          \
		return text;
		KX_CODE_LIST(CODE_TEXT)
#undef CODE_TEXT
	default:
		return "unknown code";
	}
}

#define NAME(type) [KX_##type] = #type
static const char *const type_names[] = {
	NAME(HELLO),
	NAME(COOKIE),
	NAME(AUTH),
	NAME(ACCEPT),
	NAME(REFUSE),
	NAME(RESET),
	NAME(CLOSE),
	NAME(PING),
	NAME(PONG),
	NAME(HEARTBEAT),
	NAME(METADATA_REQ),
	NAME(METADATA),
	NAME(TOPICS_REQ),
	NAME(TOPICS),
	NAME(SUBSCRIBE),
	NAME(SUBSCRIBED),
	NAME(UNSUBSCRIBE),
	NAME(UNSUBSCRIBED),
	NAME(NOTICE),
	NAME(NOT_OWNER),
	NAME(PRODUCE_REFUSED),
	NAME(PRODUCE),
	NAME(DELIVER),
	NAME(PRODUCE_FRAG),
	NAME(DELIVER_FRAG),
	NAME(RX_ACK),
	NAME(COMMIT_ACK),
	NAME(NAK),
	NAME(CREDIT),
	NAME(RESUME),
	NAME(RESUMED),
	NAME(PATH_CHALLENGE),
	NAME(PATH_RESPONSE),
	NAME(MTU_PROBE),
	NAME(MTU_PROBED),
};
#undef NAME

const char *kx_frame_type_name(uint8_t type)
{
	if (type >= KX_DIM(type_names) || type_names[type] == NULL)
		return "?";
	return type_names[type];
}

static const char *const protect_names[] = {
	[KX_PROTECT_PLAIN] = "plain", [KX_PROTECT_MAC] = "mac", [KX_PROTECT_AEAD] = "aead"};

const char *kx_protect_name(uint8_t protect)
{
	return protect < KX_DIM(protect_names) ? protect_names[protect] : "?";
}

bool kx_protect_parse(const char *text, enum kx_protect *out)
{
	for (unsigned int i = 0; i < KX_DIM(protect_names); i++) {
		if (strcmp(text, protect_names[i]) == 0) {
			*out = (enum kx_protect)i;
			return true;
		}
	}
	return false;
}
