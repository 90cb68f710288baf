/* aot_read.c - reading a NativeAOT image. See aot_read.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "aot_read.h"

/* Copies what lies in the overlay; false when it is not wholly there. */
static bool read_overlay(const struct img_aot *aot, uint32_t rva, uint8_t *out, uint32_t size)
{
    uint32_t offset = rva - aot->hydrated_at;

    if (rva < aot->hydrated_at || offset > aot->hydrated_size || size > aot->hydrated_size - offset)
        return false;
    for (uint32_t i = 0; i < size; i++)
        out[i] = aot->hydrated[offset + i];
    return true;
}

bool aot_read(const struct img_aot *aot, uint32_t rva, void *out, uint32_t size)
{
    if (aot->hydrated && read_overlay(aot, rva, out, size))
        return true;
    return img_read(aot->image, rva, out, size);
}

bool aot_get16(const struct img_aot *aot, uint32_t rva, uint16_t *value)
{
    uint8_t b[2];

    if (!aot_read(aot, rva, b, sizeof b))
        return false;
    *value = (uint16_t)(b[0] | b[1] << 8);
    return true;
}

bool aot_get32(const struct img_aot *aot, uint32_t rva, uint32_t *value)
{
    uint8_t b[4];

    if (!aot_read(aot, rva, b, sizeof b))
        return false;
    *value = (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
    return true;
}

bool aot_get64(const struct img_aot *aot, uint32_t rva, uint64_t *value)
{
    uint32_t low, high;

    if (rva > UINT32_MAX - 4 || !aot_get32(aot, rva, &low) || !aot_get32(aot, rva + 4, &high))
        return false;
    *value = (uint64_t)high << 32 | low;
    return true;
}

bool aot_inside(const struct img_aot *aot, uint64_t rva)
{
    return rva < aot->image->size;
}

bool aot_pointer(const struct img_aot *aot, uint32_t rva, uint32_t *target)
{
    uint64_t pointer;

    if (!aot_get64(aot, rva, &pointer))
        return false;
    if (pointer == 0) {
        *target = 0;
        return true;
    }
    pointer -= aot->image->base;
    *target = (uint32_t)pointer;
    return aot_inside(aot, pointer);
}

bool aot_relative(const struct img_aot *aot, uint32_t rva, uint32_t *target)
{
    uint32_t distance;

    if (!aot_get32(aot, rva, &distance))
        return false;
    *target = distance ? rva + distance : 0;
    return aot_inside(aot, *target);
}

struct aot_cursor aot_cursor(const struct img_aot *aot, uint32_t at, uint32_t end)
{
    return (struct aot_cursor){.aot = aot, .at = at, .end = end};
}

/* Up to four bytes, little-endian. */
static uint32_t take(struct aot_cursor *cursor, uint32_t size)
{
    uint8_t b[4] = {0};

    if (cursor->bad || cursor->at > cursor->end || size > cursor->end - cursor->at ||
        !aot_read(cursor->aot, cursor->at, b, size)) {
        cursor->bad = true;
        return 0;
    }
    cursor->at += size;
    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

uint8_t aot_take8(struct aot_cursor *cursor)
{
    return (uint8_t)take(cursor, 1);
}

uint32_t aot_take32(struct aot_cursor *cursor)
{
    return take(cursor, 4);
}

uint32_t aot_take_unsigned(struct aot_cursor *cursor)
{
    uint32_t first = take(cursor, 1);

    if ((first & 1) == 0)
        return first >> 1;
    if ((first & 2) == 0)
        return first >> 2 | take(cursor, 1) << 6;
    if ((first & 4) == 0)
        return first >> 3 | take(cursor, 2) << 5;
    if ((first & 8) == 0)
        return first >> 4 | take(cursor, 3) << 4;
    if ((first & 16) == 0)
        return take(cursor, 4);
    cursor->bad = true;
    return 0;
}

uint32_t aot_take_relative(struct aot_cursor *cursor)
{
    uint32_t at = cursor->at;
    uint32_t target = at + take(cursor, 4);

    if (!cursor->bad && !aot_inside(cursor->aot, target))
        cursor->bad = true;
    return target;
}
