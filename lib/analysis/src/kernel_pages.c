/* kernel_pages.c - which pages of virtual memory a kernel dump has. See kernel_dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "kernel_dump.h"

#define PAGES_MASK ((UINT64_C(1) << 36) - 1)
#define LOW_END    (UINT64_C(1) << 47)  /* first address behind the lower half */
#define HIGH       (~UINT64_C(0) << 47) /* first address of the upper half */

uint64_t kernel_page_address(kernel_page page)
{
    uint64_t address = page * KERNEL_PAGE;

    return address < LOW_END ? address : address | HIGH;
}

static kernel_page page_of(uint64_t address)
{
    return address / KERNEL_PAGE & PAGES_MASK;
}

/* Without what no page table reaches: false when nothing is left. Nothing that is captured is so
 * large that it would be on both sides of that. */
static bool clip(struct kda_extent *extent)
{
    uint64_t last = extent->address + (extent->size - 1);

    if (extent->address < LOW_END) {
        if (last >= LOW_END)
            extent->size = LOW_END - extent->address;
        return true;
    }
    if (last < HIGH)
        return false;
    if (extent->address < HIGH) {
        extent->size -= HIGH - extent->address;
        extent->address = HIGH;
    }
    return true;
}

static kernel_page next_patched(const struct kda_kernel_dump *kernel, kernel_page from)
{
    kernel_page found = KERNEL_NO_PAGE;

    for (size_t i = 0; i < kernel->patch_count; i++) {
        const struct kernel_patch *patch = &kernel->patches[i];
        kernel_page first = page_of(patch->address);
        kernel_page at = first > from ? first : from;

        if (at <= page_of(patch->address + patch->size - 1) && at < found)
            found = at;
    }
    return found;
}

void kernel_walk_begin(struct kernel_walk *walk, const struct kda_kernel_dump *kernel)
{
    *walk = (struct kernel_walk){.kernel = kernel, .patched = next_patched(kernel, 0)};
}

/* An extent that has a page to come, if there is one. */
static void refill(struct kernel_walk *walk)
{
    const struct kda_dump *dump = walk->kernel->dump;
    struct kda_extent *extent = &walk->extent;

    while (!walk->ended) {
        if (extent->size && page_of(extent->address + (extent->size - 1)) >= walk->next)
            return;
        walk->ended = !kda_memory_next_extent(dump->memory, &dump->view, &walk->address, extent);
        if (walk->ended || !clip(extent))
            extent->size = 0;
    }
}

kernel_page kernel_walk_next(struct kernel_walk *walk)
{
    kernel_page page = walk->patched;

    refill(walk);
    if (walk->extent.size) {
        kernel_page first = page_of(walk->extent.address);
        kernel_page captured = first > walk->next ? first : walk->next;

        if (captured < page)
            page = captured;
    }
    if (page == KERNEL_NO_PAGE)
        return page;
    walk->next = page + 1;
    if (page == walk->patched)
        walk->patched = next_patched(walk->kernel, walk->next);
    return page;
}

/* --- what is in them */

static bool read_page(const struct kda_memory *memory, const struct kda_view *view,
                      uint64_t address, uint8_t *out, bool *known)
{
    uint32_t frames[KERNEL_PAGE];
    bool any = kda_memory_read(memory, view, address, out, frames, KERNEL_PAGE) != 0;

    for (size_t i = 0; i < KERNEL_PAGE; i++) {
        known[i] = any && frames[i] != 0;
        if (!known[i])
            out[i] = KDA_KERNEL_FILL;
    }
    return any;
}

/* The bytes of the patch that are in the page at this address. */
static bool lay_over(const struct kernel_patch *patch, uint64_t address, uint8_t *out, bool *known)
{
    uint64_t last = patch->address + (patch->size - 1);
    uint64_t from = patch->address > address ? patch->address : address;
    uint64_t to = last < address + (KERNEL_PAGE - 1) ? last : address + (KERNEL_PAGE - 1);

    if (from > to)
        return false;
    for (uint64_t i = from; i <= to; i++) {
        if (patch->below && known[i - address])
            continue;
        out[i - address] = patch->bytes[i - patch->address];
        known[i - address] = true;
    }
    return true;
}

bool kernel_page_read(const struct kda_kernel_dump *kernel, kernel_page page, uint8_t *out,
                      bool *known)
{
    const uint64_t address = kernel_page_address(page);
    bool any = read_page(kernel->dump->memory, &kernel->dump->view, address, out, known);

    for (size_t i = 0; i < kernel->patch_count; i++)
        any |= lay_over(&kernel->patches[i], address, out, known);
    return any;
}

bool kernel_physical_read(const struct kda_kernel_dump *kernel, uint64_t number, uint8_t *out,
                          bool *known)
{
    return read_page(kernel->dump->physical, &kernel->dump->view, number * KERNEL_PAGE, out, known);
}

uint64_t kernel_beyond(const struct kda_kernel_dump *kernel)
{
    const struct kda_dump *dump = kernel->dump;
    struct kda_extent extent;
    uint64_t bytes = 0;

    for (uint64_t at = 0; kda_memory_next_extent(dump->memory, &dump->view, &at, &extent);) {
        uint64_t last = extent.address + (extent.size - 1);
        uint64_t from = extent.address > LOW_END ? extent.address : LOW_END;
        uint64_t to = last < HIGH - 1 ? last : HIGH - 1;

        if (from <= to)
            bytes += to - from + 1;
    }
    return bytes;
}
