/* aot_read.h - numbers of a NativeAOT image: by RVA, and in order with a cursor.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_AOT_READ_H
#define KDLENS_IMAGE_AOT_READ_H

#include "image/aot.h"

bool aot_read(const struct img_aot *aot, uint32_t rva, void *out, uint32_t size);
bool aot_get16(const struct img_aot *aot, uint32_t rva, uint16_t *value);
bool aot_get32(const struct img_aot *aot, uint32_t rva, uint32_t *value);
bool aot_get64(const struct img_aot *aot, uint32_t rva, uint64_t *value);

/* A pointer's target; a null pointer gives 0, one that leads out of the image is refused. */
bool aot_pointer(const struct img_aot *aot, uint32_t rva, uint32_t *target);
/* The target of 32 bits that are relative to their own place; 0 bits give 0. */
bool aot_relative(const struct img_aot *aot, uint32_t rva, uint32_t *target);
/* Is there a byte of the image at this RVA? */
bool aot_inside(const struct img_aot *aot, uint64_t rva);

/* Reads on from at. After the first thing that is outside, bad is set and all numbers are 0. */
struct aot_cursor {
    const struct img_aot *aot;
    uint32_t at, end;
    bool bad;
};

struct aot_cursor aot_cursor(const struct img_aot *aot, uint32_t at, uint32_t end);
uint8_t aot_take8(struct aot_cursor *cursor);
uint32_t aot_take32(struct aot_cursor *cursor);
/* .NET's unsigned integer of 1 to 5 bytes: the low bits of the first tell how many. */
uint32_t aot_take_unsigned(struct aot_cursor *cursor);
/* An i32 relative to itself. */
uint32_t aot_take_relative(struct aot_cursor *cursor);

#endif
