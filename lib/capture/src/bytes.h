/* bytes.h - integers in a file's byte order.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef CAPTURE_BYTES_H
#define CAPTURE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline uint16_t cap_get16(const uint8_t *p, bool big_endian)
{
    unsigned first = p[0], second = p[1];

    return (uint16_t)(big_endian ? first << 8 | second : second << 8 | first);
}

static inline uint32_t cap_get32(const uint8_t *p, bool big_endian)
{
    uint32_t first = cap_get16(p, big_endian), second = cap_get16(p + 2, big_endian);

    return big_endian ? first << 16 | second : second << 16 | first;
}

static inline uint64_t cap_get64(const uint8_t *p, bool big_endian)
{
    uint64_t first = cap_get32(p, big_endian), second = cap_get32(p + 4, big_endian);

    return big_endian ? first << 32 | second : second << 32 | first;
}

static inline void cap_put(uint8_t *p, size_t size, uint64_t value, bool big_endian)
{
    for (size_t i = 0; i < size; i++)
        p[big_endian ? size - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

/* Bytes that follow `size` bytes to make it a multiple of four. */
static inline size_t cap_padding(size_t size)
{
    return (0 - size) & 3;
}

#endif
