/* bytes.h - little-endian integers and small copies, without a C library.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_BYTES_H
#define KDLENS_IMAGE_BYTES_H

#include <stddef.h>
#include <stdint.h>

static inline uint16_t img_get16(const uint8_t *from)
{
    return (uint16_t)(from[0] | from[1] << 8);
}

static inline uint32_t img_get32(const uint8_t *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

static inline uint64_t img_get64(const uint8_t *from)
{
    return img_get32(from) | (uint64_t)img_get32(from + 4) << 32;
}

static inline void img_copy(void *to, const void *from, size_t size)
{
    const uint8_t *source = from;
    uint8_t *target = to;

    for (size_t i = 0; i < size; i++)
        target[i] = source[i];
}

static inline void img_zero(void *to, size_t size)
{
    uint8_t *target = to;

    for (size_t i = 0; i < size; i++)
        target[i] = 0;
}

#endif
