/* memory.c - memory as the program's page tables show it, and the physical address space.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Firmware maps memory to its own address (UEFI 2.10, 2.3.4), the page tables among it. An address
 * is walked before it is touched, and what it leads to must exist according to the memory space
 * map (x64_set_ranges): where nothing answers, processors read ones, and to call that success would
 * be a lie. What the walk cannot tell (an operating system's own tables) is left to the fix-ups.
 */
#include "cpu.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_PAGE       4096u
#define X64_PTE_P      UINT64_C(1)
#define X64_PTE_W      UINT64_C(2)
#define X64_PTE_LARGE  UINT64_C(0x80)
#define X64_PTE_NX     (UINT64_C(1) << 63)
#define X64_PTE_FRAME  UINT64_C(0x000FFFFFFFFFF000)
#define X64_EFER_NXE   (UINT64_C(1) << 11)
#define X64_LEVEL_BITS 9u

enum walk_result {
    WALK_ABSENT,
    WALK_PRESENT,
    WALK_UNKNOWN, /* a table could not be read */
};

struct walk {
    uint64_t physical;
    bool writable, executable;
};

static struct {
    struct x64_range ranges[X64_RANGES_MAX];
    size_t count;
} memory;

void x64_set_ranges(const struct x64_range *ranges, size_t count)
{
    uint64_t flags = x64_interrupts_off();

    memory.count = count < X64_RANGES_MAX ? count : X64_RANGES_MAX;
    for (size_t i = 0; i < memory.count; i++)
        memory.ranges[i] = ranges[i];
    x64_interrupts_restore(flags);
}

/* How many bytes from address on are one kind of existing memory. */
static uint64_t existing(uint64_t address, bool *device)
{
    *device = false;
    if (memory.count == 0)
        return UINT64_MAX;
    for (size_t i = 0; i < memory.count; i++) {
        if (address >= memory.ranges[i].base && address < memory.ranges[i].end) {
            *device = memory.ranges[i].device || x64_is_pci(address);
            return memory.ranges[i].end - address;
        }
    }
    return 0;
}

static bool canonical(uint64_t address, unsigned bits)
{
    uint64_t top = address >> (bits - 1);

    return top == 0 || top == UINT64_MAX >> (bits - 1);
}

static enum walk_result walk(uint64_t address, struct walk *out)
{
    unsigned levels = x64_read_cr4() & X64_CR4_LA57 ? 5 : 4;
    uint64_t table = x64_read_cr3() & X64_PTE_FRAME;
    uint64_t efer = 0;

    x64_safe_read_msr(X64_MSR_EFER, &efer);
    out->writable = true;
    out->executable = true;
    if (!canonical(address, 12 + levels * X64_LEVEL_BITS))
        return WALK_ABSENT;
    for (unsigned level = levels; level > 0; level--) {
        unsigned shift = 12 + (level - 1) * X64_LEVEL_BITS;
        uint64_t slot = table + (address >> shift & 0x1FF) * 8;
        uint64_t entry;

        if (x64_safe_copy(&entry, (const void *)(uintptr_t)slot, sizeof entry) != sizeof entry)
            return WALK_UNKNOWN;
        if (!(entry & X64_PTE_P))
            return WALK_ABSENT;
        out->writable &= (entry & X64_PTE_W) != 0;
        out->executable &= !(entry & X64_PTE_NX && efer & X64_EFER_NXE);
        table = entry & X64_PTE_FRAME;
        if (level == 1 || (level <= 3 && entry & X64_PTE_LARGE)) {
            uint64_t inside = (UINT64_C(1) << shift) - 1;

            out->physical = (table & ~inside) | (address & inside);
            return WALK_PRESENT;
        }
    }
    return WALK_ABSENT;
}

void x64_query_page(void *self, uint64_t address, struct kda_page *page)
{
    struct walk found = {0, false, false};
    bool device;

    (void)self;
    page->present = walk(address, &found) == WALK_PRESENT && existing(found.physical, &device) > 0;
    page->writable = page->present && found.writable;
    page->executable = page->present && found.executable;
}

/* Registers of devices may take nothing but aligned accesses of 4 bytes (the local APIC does). */
static size_t copy_device(uint8_t *to, const uint8_t *from, uint64_t device_address, size_t size)
{
    size_t head = (size_t)(-device_address & 3);
    size_t done, words;

    if (head > size)
        head = size;
    done = x64_safe_copy_bytes(to, from, head);
    if (done != head)
        return done;
    words = (size - done) / 4;
    done += x64_safe_copy_words(to + done, from + done, words);
    if (done != head + words * 4)
        return done;
    return done + x64_safe_copy_bytes(to + done, from + done, size - done);
}

/* With CR4.CET set, WP cannot be cleared; the write then fails where it is forbidden, and says so.
 */
size_t x64_poke(void *to, const void *from, size_t size)
{
    uint64_t cr0 = x64_read_cr0();
    bool lift = cr0 & X64_CR0_WP && !(x64_read_cr4() & X64_CR4_CET);
    size_t done;

    if (lift)
        x64_write_cr0(cr0 & ~X64_CR0_WP);
    done = x64_safe_copy(to, from, size);
    if (lift)
        x64_write_cr0(cr0);
    return done;
}

static size_t poke_device(uint8_t *to, const uint8_t *from, size_t size)
{
    uint64_t cr0 = x64_read_cr0();
    bool lift = cr0 & X64_CR0_WP && !(x64_read_cr4() & X64_CR4_CET);
    size_t done;

    if (lift)
        x64_write_cr0(cr0 & ~X64_CR0_WP);
    done = copy_device(to, from, (uint64_t)(uintptr_t)to, size);
    if (lift)
        x64_write_cr0(cr0);
    return done;
}

enum direction { READ, WRITE };

/* The part of a transfer that lies in one page; the caller's bytes are only read for WRITE. */
static size_t transfer_page(uint64_t address, uint8_t *bytes, size_t size, enum direction way,
                            bool physical)
{
    uint8_t *place = (uint8_t *)(uintptr_t)address;
    struct walk found;
    bool device = false;

    switch (walk(address, &found)) {
    case WALK_ABSENT:
        return 0;
    case WALK_UNKNOWN:
        if (physical)
            return 0;
        break;
    case WALK_PRESENT:
        if ((physical && found.physical != address))
            return 0;
        if (size > existing(found.physical, &device))
            size = (size_t)existing(found.physical, &device);
        break;
    }
    if (way == READ)
        return device ? copy_device(bytes, place, address, size)
                      : x64_safe_copy(bytes, place, size);
    return device ? poke_device(place, bytes, size) : x64_poke(place, bytes, size);
}

static size_t transfer(uint64_t address, uint8_t *bytes, size_t size, enum direction way,
                       bool physical)
{
    size_t done = 0;

    while (done < size) {
        uint64_t at = address + done;
        size_t part = X64_PAGE - (size_t)(at % X64_PAGE);
        size_t moved;

        if (part > size - done)
            part = size - done;
        moved = transfer_page(at, bytes + done, part, way, physical);
        done += moved;
        if (moved == 0 || at + moved < at)
            break;
    }
    return done;
}

size_t x64_read_virtual(void *self, uint64_t address, uint8_t *out, size_t size)
{
    (void)self;
    return transfer(address, out, size, READ, false);
}

/* transfer takes one pointer for both ways; for WRITE it only reads through it. */
size_t x64_write_virtual(void *self, uint64_t address, const uint8_t *bytes, size_t size)
{
    (void)self;
    return transfer(address, (uint8_t *)(uintptr_t)bytes, size, WRITE, false);
}

/* The mapping's own caching is used: what is mapped has the right one, and a second mapping of
 * another kind would be worse than none. */
size_t x64_read_physical(void *self, uint64_t address, uint8_t *out, size_t size, uint32_t caching)
{
    (void)self;
    (void)caching;
    return transfer(address, out, size, READ, true);
}

size_t x64_write_physical(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                          uint32_t caching)
{
    (void)self;
    (void)caching;
    return transfer(address, (uint8_t *)(uintptr_t)bytes, size, WRITE, true);
}
