/* guest.c - addresses of the guest, checked.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "guest.h"

#include <stddef.h>

#include "svm.h"

#define LEGACY_BEGIN  UINT64_C(0x0A0000) /* display and ROMs of a PC */
#define LEGACY_END    UINT64_C(0x100000)
#define LEVELS        4u
#define LEVEL_BITS    9u
#define PAGE_BITS     12u
#define ENTRY_PRESENT UINT64_C(0x001)
#define ENTRY_LARGE   UINT64_C(0x080)
#define ENTRY_ADDRESS UINT64_C(0x000FFFFFFFFFF000)
#define CR4_LA57      UINT64_C(0x1000)
#define EFER_LMA      UINT64_C(0x400)

static bool overlaps(uint64_t address, uint64_t size, uint64_t begin, uint64_t end)
{
    return address < end && address + size > begin;
}

uint8_t *guest_memory(const struct guest *guest, uint64_t address, uint64_t size)
{
    if (size == 0 || address >= guest->ram_end || size > guest->ram_end - address)
        return NULL;
    if (overlaps(address, size, LEGACY_BEGIN, LEGACY_END) ||
        overlaps(address, size, guest->host_begin, guest->host_end))
        return NULL;
    return (uint8_t *)(uintptr_t)address;
}

uint8_t *guest_page(const struct guest *guest, uint64_t number)
{
    if (number >= guest->ram_end / GUEST_PAGE)
        return NULL;
    return guest_memory(guest, number * GUEST_PAGE, GUEST_PAGE);
}

/* The physical address of a virtual one; false: it has none. */
static bool translate(const struct guest *guest, uint64_t table, uint64_t address, uint64_t *out)
{
    for (unsigned level = LEVELS; level-- > 0;) {
        unsigned shift = PAGE_BITS + LEVEL_BITS * level;
        const uint64_t *entries =
            (const void *)guest_memory(guest, table & ENTRY_ADDRESS, GUEST_PAGE);
        uint64_t entry, mask = (UINT64_C(1) << shift) - 1;

        if (!entries)
            return false;
        entry = entries[address >> shift & 511];
        if (!(entry & ENTRY_PRESENT))
            return false;
        if (level == 0 || (entry & ENTRY_LARGE && level < 3)) {
            *out = (entry & ENTRY_ADDRESS & ~mask) | (address & mask);
            return true;
        }
        table = entry;
    }
    return false;
}

bool guest_read_virtual(const struct guest *guest, const struct svm_save *save, uint64_t address,
                        uint8_t *out, uint32_t size)
{
    if (!(save->efer & EFER_LMA) || save->cr4 & CR4_LA57)
        return false;
    for (uint32_t i = 0; i < size; i++) {
        uint64_t physical;
        const uint8_t *at;

        if (!translate(guest, save->cr3, address + i, &physical))
            return false;
        at = guest_memory(guest, physical, 1);
        /* Firmware runs from its flash too, which is not RAM: leave that alone. */
        if (!at)
            return false;
        out[i] = *at;
    }
    return true;
}
