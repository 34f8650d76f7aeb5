/* SPDX-License-Identifier: BSD-3-Clause */
#include "kx_test.h"

#include "kx_base.h"

/* RFC 3720 B.4, and the check value that CRC catalogues give for "123456789". */
static void rfc3720_vectors(void **state)
{
	(void)state;
	uint8_t b[32];
	static const uint8_t read_pdu[48] = {0x01, 0xc0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0,
		0, 0, 0, 0x04, 0, 0, 0, 0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0,
		0, 0, 0};

	memset(b, 0, sizeof(b));
	assert_int_equal(kx_crc32c(0, b, sizeof(b)), 0x8a9136aa);
	memset(b, 0xff, sizeof(b));
	assert_int_equal(kx_crc32c(0, b, sizeof(b)), 0x62a8ab43);
	for (unsigned int i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)i;
	assert_int_equal(kx_crc32c(0, b, sizeof(b)), 0x46dd794e);
	for (unsigned int i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)(31 - i);
	assert_int_equal(kx_crc32c(0, b, sizeof(b)), 0x113fdb5c);
	assert_int_equal(kx_crc32c(0, read_pdu, sizeof(read_pdu)), 0xd9963a56);
	assert_int_equal(kx_crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(kx_crc32c(0, b, 0), 0);
}

static uint32_t bit_by_bit(const uint8_t *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	while (n-- > 0) {
		crc ^= *p++;
		for (int bit = 0; bit < 8; bit++)
			crc = (crc >> 1) ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* All lengths around both code paths, on exact-size buffers, against the definition. */
static void every_length_matches_the_definition(void **state)
{
	(void)state;
	uint8_t data[1600];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 131 + (i >> 8));
	for (size_t n = 0; n <= sizeof(data); n += n < 600 ? 1 : 37) {
		uint8_t *copy = kx_test_exact(data, n);

		assert_int_equal(kx_crc32c(0, copy, n), bit_by_bit(data, n));
		free(copy);
	}
}

static void every_alignment(void **state)
{
	(void)state;
	uint8_t data[700];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 29);
	for (size_t at = 0; at < 64; at++) {
		assert_int_equal(kx_crc32c(0, data + at, 61), bit_by_bit(data + at, 61));
		assert_int_equal(kx_crc32c(0, data + at, 601), bit_by_bit(data + at, 601));
	}
}

static void continues_over_pieces(void **state)
{
	(void)state;
	uint8_t data[1400];

	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i * 7);
	uint32_t whole = kx_crc32c(0, data, sizeof(data));
	for (size_t cut = 0; cut <= sizeof(data); cut += 13) {
		uint32_t crc = kx_crc32c(0, data, cut);

		assert_int_equal(kx_crc32c(crc, data + cut, sizeof(data) - cut), whole);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rfc3720_vectors),
		cmocka_unit_test(every_length_matches_the_definition),
		cmocka_unit_test(every_alignment),
		cmocka_unit_test(continues_over_pieces),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
