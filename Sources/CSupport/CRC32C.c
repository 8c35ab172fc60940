/* CRC32C in two forms that give the same result: the processor's crc32 instruction, three independent streams at a time
 * (the instruction takes a new operand each cycle but needs three for its result), and a table that handles 8 bytes a
 * step for machines without it. Both are set up once before main.
 *
 * Joining streams: a CRC register is a polynomial over GF(2) modulo P, bit-reflected. Appending L bytes multiplies it by
 * x^(8L). The carry-less product of two reflected 32-bit values, read as a reflected 64-bit value, is their product times
 * x; feeding that to the crc32 instruction multiplies by x^32 and reduces. So the product with x^(8L - 33) mod P, fed to
 * the instruction, shifts a register by L bytes. */
#include "CSupport.h"

#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* reflected 0x1edc6f41 */

static uint32_t table[8][256];

static void build_table(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
        table[0][byte] = value;
    }
    for (int step = 1; step < 8; step++)
        for (uint32_t byte = 0; byte < 256; byte++) {
            uint32_t before = table[step - 1][byte];
            table[step][byte] = (before >> 8) ^ table[0][before & 0xff];
        }
}

uint32_t cs_crc32c_table(uint32_t seed, const void *bytes, size_t length) {
    const uint8_t *next = bytes;
    uint32_t crc = ~seed;
    for (; length >= 8; length -= 8, next += 8) {
        /* Bytes are taken one by one, so this holds on machines of either byte order. */
        uint32_t low = crc ^ ((uint32_t)next[0] | (uint32_t)next[1] << 8 | (uint32_t)next[2] << 16 | (uint32_t)next[3] << 24);
        crc = table[7][low & 0xff] ^ table[6][(low >> 8) & 0xff] ^ table[5][(low >> 16) & 0xff] ^ table[4][low >> 24]
            ^ table[3][next[4]] ^ table[2][next[5]] ^ table[1][next[6]] ^ table[0][next[7]];
    }
    for (; length > 0; length--, next++) crc = (crc >> 8) ^ table[0][(crc ^ *next) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)
#include <immintrin.h>

/* Bytes per stream: three long ones and 16 bytes make a block of 4 KiB; the short ones serve headers and tails. */
#define LONG_STREAM 1360
#define SHORT_STREAM 168

static int hardware;
static uint32_t long_once, long_twice, short_once, short_twice;

/* x^exponent mod P, reflected: bit 31 is the coefficient of x^0. */
static uint32_t power_of_x(unsigned exponent) {
    uint32_t value = 0x80000000u;
    for (unsigned i = 0; i < exponent; i++) value = (value >> 1) ^ (value & 1 ? POLYNOMIAL : 0);
    return value;
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t shifted(uint64_t crc, uint32_t factor) {
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc), _mm_cvtsi64_si128((long long)(uint64_t)factor), 0);
    return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

static inline uint64_t word(const uint8_t *at) {
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

__attribute__((target("sse4.2,pclmul"))) static inline uint64_t three_streams(
    uint64_t crc, const uint8_t *next, size_t stream, uint32_t once, uint32_t twice) {
    uint64_t second = 0, third = 0;
    for (size_t i = 0; i < stream; i += 8) {
        crc = _mm_crc32_u64(crc, word(next + i));
        second = _mm_crc32_u64(second, word(next + stream + i));
        third = _mm_crc32_u64(third, word(next + 2 * stream + i));
    }
    return shifted(crc, twice) ^ shifted(second, once) ^ third;
}

__attribute__((target("sse4.2,pclmul"))) uint32_t cs_crc32c_hardware(uint32_t seed, const void *bytes, size_t length) {
    const uint8_t *next = bytes;
    uint64_t crc = (uint32_t)~seed;
    for (; length >= 3 * LONG_STREAM; length -= 3 * LONG_STREAM, next += 3 * LONG_STREAM)
        crc = three_streams(crc, next, LONG_STREAM, long_once, long_twice);
    for (; length >= 3 * SHORT_STREAM; length -= 3 * SHORT_STREAM, next += 3 * SHORT_STREAM)
        crc = three_streams(crc, next, SHORT_STREAM, short_once, short_twice);
    for (; length >= 8; length -= 8, next += 8) crc = _mm_crc32_u64(crc, word(next));
    uint32_t rest = (uint32_t)crc;
    for (; length > 0; length--, next++) rest = _mm_crc32_u8(rest, *next);
    return ~rest;
}

__attribute__((constructor)) static void set_up(void) {
    build_table();
    long_once = power_of_x(8 * LONG_STREAM - 33);
    long_twice = power_of_x(16 * LONG_STREAM - 33);
    short_once = power_of_x(8 * SHORT_STREAM - 33);
    short_twice = power_of_x(16 * SHORT_STREAM - 33);
    __builtin_cpu_init();
    hardware = __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

int cs_crc32c_has_hardware(void) { return hardware; }

uint32_t cs_crc32c(uint32_t seed, const void *bytes, size_t length) {
    return hardware ? cs_crc32c_hardware(seed, bytes, length) : cs_crc32c_table(seed, bytes, length);
}

#else

__attribute__((constructor)) static void set_up(void) { build_table(); }

int cs_crc32c_has_hardware(void) { return 0; }

uint32_t cs_crc32c_hardware(uint32_t seed, const void *bytes, size_t length) { return cs_crc32c_table(seed, bytes, length); }

uint32_t cs_crc32c(uint32_t seed, const void *bytes, size_t length) { return cs_crc32c_table(seed, bytes, length); }

#endif

void cs_crc32c_blocks(const uint32_t *seeds, const void *bytes, size_t block, size_t count, uint32_t *out) {
    for (size_t i = 0; i < count; i++) out[i] = cs_crc32c(seeds[i], (const uint8_t *)bytes + i * block, block);
}
