/* wire.h - integers as they lie on the wire: byte arrays of alignment 1, read only through
 * accessors.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A struct made of these types has no padding and no alignment, so it may be laid over any received
 * byte. Forgetting an accessor is a compile error; an accessor costs one load on every compiler
 * used. KD is little-endian throughout; KDNET's own fields are big-endian (kd_be16, kd_be64).
 */
#ifndef KD_WIRE_H
#define KD_WIRE_H

#include <stdint.h>

typedef struct kd_u8 {
    unsigned char b[1];
} kd_u8;
typedef struct kd_u16 {
    unsigned char b[2];
} kd_u16;
typedef struct kd_u32 {
    unsigned char b[4];
} kd_u32;
typedef struct kd_u64 {
    unsigned char b[8];
} kd_u64;
typedef struct kd_u128 {
    unsigned char b[16];
} kd_u128;
typedef struct kd_be16 {
    unsigned char b[2];
} kd_be16;
typedef struct kd_be64 {
    unsigned char b[8];
} kd_be64;

static inline uint8_t kd_get8(kd_u8 v)
{
    return v.b[0];
}

static inline uint16_t kd_get16(kd_u16 v)
{
    return (uint16_t)(v.b[0] | v.b[1] << 8);
}

static inline uint32_t kd_get32(kd_u32 v)
{
    return (uint32_t)v.b[0] | (uint32_t)v.b[1] << 8 | (uint32_t)v.b[2] << 16 |
           (uint32_t)v.b[3] << 24;
}

static inline uint64_t kd_get64(kd_u64 v)
{
    return (uint64_t)v.b[0] | (uint64_t)v.b[1] << 8 | (uint64_t)v.b[2] << 16 |
           (uint64_t)v.b[3] << 24 | (uint64_t)v.b[4] << 32 | (uint64_t)v.b[5] << 40 |
           (uint64_t)v.b[6] << 48 | (uint64_t)v.b[7] << 56;
}

static inline uint16_t kd_get_be16(kd_be16 v)
{
    return (uint16_t)(v.b[0] << 8 | v.b[1]);
}

static inline uint64_t kd_get_be64(kd_be64 v)
{
    return (uint64_t)v.b[0] << 56 | (uint64_t)v.b[1] << 48 | (uint64_t)v.b[2] << 40 |
           (uint64_t)v.b[3] << 32 | (uint64_t)v.b[4] << 24 | (uint64_t)v.b[5] << 16 |
           (uint64_t)v.b[6] << 8 | (uint64_t)v.b[7];
}

static inline kd_u8 kd_put8(uint8_t v)
{
    kd_u8 out = {{v}};
    return out;
}

static inline kd_u16 kd_put16(uint16_t v)
{
    kd_u16 out = {{(unsigned char)v, (unsigned char)(v >> 8)}};
    return out;
}

static inline kd_u32 kd_put32(uint32_t v)
{
    kd_u32 out = {{(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                   (unsigned char)(v >> 24)}};
    return out;
}

static inline kd_u64 kd_put64(uint64_t v)
{
    kd_u64 out = {{(unsigned char)v, (unsigned char)(v >> 8), (unsigned char)(v >> 16),
                   (unsigned char)(v >> 24), (unsigned char)(v >> 32), (unsigned char)(v >> 40),
                   (unsigned char)(v >> 48), (unsigned char)(v >> 56)}};
    return out;
}

static inline kd_be16 kd_put_be16(uint16_t v)
{
    kd_be16 out = {{(unsigned char)(v >> 8), (unsigned char)v}};
    return out;
}

static inline kd_be64 kd_put_be64(uint64_t v)
{
    kd_be64 out = {{(unsigned char)(v >> 56), (unsigned char)(v >> 48), (unsigned char)(v >> 40),
                    (unsigned char)(v >> 32), (unsigned char)(v >> 24), (unsigned char)(v >> 16),
                    (unsigned char)(v >> 8), (unsigned char)v}};
    return out;
}

#endif
