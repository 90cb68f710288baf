/* relocate.c - base relocations of a PE32+ image (Microsoft's PE format specification).
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "relocate.h"

#define PE_AT           0x3Cu
#define PE_SIGNATURE    UINT32_C(0x00004550)
#define DIRECTORY_RELOC 0xB0u /* from the signature: header, then data directory 5 */
#define TYPE_ABSOLUTE   0u
#define TYPE_DIR64      10u
#define BLOCK_HEAD      8u

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static int fix_block(uint8_t *base, const uint8_t *block, uint32_t size, uint64_t delta)
{
    uint32_t page = get32(block);

    for (uint32_t i = BLOCK_HEAD; i + 1 < size; i += 2) {
        uint32_t entry = (uint32_t)(block[i] | block[i + 1] << 8);
        uint64_t *target = (uint64_t *)(void *)(base + page + (entry & 0xFFF));

        if (entry >> 12 == TYPE_DIR64)
            *target += delta;
        else if (entry >> 12 != TYPE_ABSOLUTE)
            return 0;
    }
    return 1;
}

uint64_t relocate_copy(uint8_t *to, const uint8_t *image, uint64_t size)
{
    uint64_t delta = (uintptr_t)to - (uintptr_t)image;
    uint32_t header = get32(image + PE_AT), table, end;

    if (header + DIRECTORY_RELOC + 8 > size || get32(image + header) != PE_SIGNATURE)
        return 0;
    for (uint64_t i = 0; i < size; i++)
        to[i] = image[i];
    table = get32(image + header + DIRECTORY_RELOC);
    end = table + get32(image + header + DIRECTORY_RELOC + 4);
    if (end > size)
        return 0;
    while (table + BLOCK_HEAD <= end) {
        uint32_t block = get32(image + table + 4);

        if (block < BLOCK_HEAD || block > end - table ||
            !fix_block(to, image + table, block, delta))
            return 0;
        table += block;
    }
    return delta;
}
