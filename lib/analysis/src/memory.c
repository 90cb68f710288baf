/* memory.c - an address space as observed, page by page. See analysis/memory.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A page has the pieces that hold now, sorted by address and not overlapping, and those that were
 * replaced, in the order in which that happened. For a single byte both are in the order of their
 * frames: the newest that a view allows is the one that holds.
 */
#include "analysis/memory.h"

#include <stdlib.h>
#include <string.h>

#include "memory_pages.h"

#define SAME_GAP  16u /* so many equal bytes end a run of different ones */
#define FILL_KEPT ((uint64_t)64 << 20)
#define FILL_PART 4096u

/* What one packet says. */
struct sight {
    enum kda_origin origin;
    uint32_t frame, stop;
};

struct kda_memory {
    struct kda_store *store;
    struct pages pages;
    struct kda_memory_tally tally;
    uint64_t filled; /* bytes of fills that are kept */
};

struct kda_memory *kda_memory_new(struct kda_store *store)
{
    struct kda_memory *memory = calloc(1, sizeof *memory);

    if (memory)
        memory->store = store;
    return memory;
}

void kda_memory_free(struct kda_memory *memory)
{
    if (!memory)
        return;
    pages_free(&memory->pages);
    free(memory);
}

const struct kda_memory_tally *kda_memory_tally(const struct kda_memory *memory)
{
    return &memory->tally;
}

struct kda_store *kda_memory_store(const struct kda_memory *memory)
{
    return memory->store;
}

/* --- observing */

static bool keep(struct kda_memory *memory, const struct sight *sight, unsigned offset,
                 const uint8_t *bytes, size_t size, struct version *version)
{
    *version = (struct version){.offset = (uint16_t)offset,
                                .size = (uint16_t)size,
                                .origin = (uint8_t)sight->origin,
                                .first = sight->frame,
                                .last = sight->frame,
                                .stop = sight->stop,
                                .data = kda_store_add(memory->store, bytes, size)};
    return version->data != UINT64_MAX;
}

/* The value of the piece at `index` in [from, to) is seen again. Within one stop it makes no
 * difference which bytes of a piece were. */
static bool confirm(struct page *page, size_t index, unsigned from, unsigned to,
                    const struct sight *sight)
{
    struct version *version;

    if (page->now.list[index].stop != sight->stop && !page_isolate(page, &index, from, to))
        return false;
    version = &page->now.list[index];
    version->last = sight->frame;
    version->stop = sight->stop;
    return true;
}

/* Another value in [from, to) than the piece at `index` has. */
static bool replace(struct kda_memory *memory, struct page *page, size_t index, unsigned from,
                    unsigned to, const struct sight *sight, const uint8_t *bytes)
{
    struct version former, new;
    bool unseen;

    if (!page_isolate(page, &index, from, to) || !keep(memory, sight, from, bytes, to - from, &new))
        return false;
    former = page->now.list[index];
    unseen = sight->origin != KDA_WRITE && sight->origin != KDA_FILL;
    former.until = sight->frame;
    former.by = (uint8_t)sight->origin;
    former.stopped = unseen && sight->stop != 0 && former.stop == sight->stop;
    page->now.list[index] = new;
    memory->tally.changes++;
    memory->tally.changes_stopped += former.stopped;
    return versions_insert(&page->past, page->past.count, &former);
}

/* Where the run of equal (or different) bytes that begins at `from` ends. */
static unsigned run_end(const uint8_t *a, const uint8_t *b, unsigned from, unsigned size, bool same)
{
    unsigned at = from, equal = 0;

    if (same) {
        while (at < size && a[at] == b[at])
            at++;
        return at;
    }
    while (at < size && equal < SAME_GAP) {
        equal = a[at] == b[at] ? equal + 1 : 0;
        at++;
    }
    return at - equal;
}

/* bytes[0..size) against the piece at `index`, which covers page offsets from on. */
static bool compare(struct kda_memory *memory, struct page *page, size_t index, unsigned from,
                    unsigned size, const struct sight *sight, const uint8_t *bytes)
{
    uint8_t former[PAGE_SIZE];
    const struct version *version = &page->now.list[index];
    bool fine =
        kda_store_read(memory->store, version->data + (from - version->offset), former, size);

    for (unsigned at = 0, end; fine && at < size; at = end) {
        bool same = former[at] == bytes[at];

        end = run_end(former, bytes, at, size, same);
        index = versions_find(&page->now, from + at);
        fine = same ? confirm(page, index, from + at, from + end, sight)
                    : replace(memory, page, index, from + at, from + end, sight, bytes + at);
    }
    return fine;
}

static bool see_in_page(struct kda_memory *memory, const struct sight *sight, uint64_t number,
                        unsigned from, const uint8_t *bytes, unsigned size)
{
    struct page *page = pages_make(&memory->pages, number);
    unsigned end = from + size;
    bool fine = page != NULL;

    for (unsigned at = from; fine && at < end;) {
        size_t index = versions_find(&page->now, at);
        const struct version *next = index < page->now.count ? &page->now.list[index] : NULL;
        unsigned stop = next && next->offset <= at ? version_end(next) : next ? next->offset : end;

        stop = stop < end ? stop : end;
        if (next && next->offset <= at) {
            fine = compare(memory, page, index, at, stop - at, sight, bytes + (at - from));
        } else {
            struct version new;

            fine = keep(memory, sight, at, bytes + (at - from), stop - at, &new) &&
                   versions_insert(&page->now, index, &new);
            memory->tally.known += stop - at;
        }
        at = stop;
    }
    if (fine)
        page_merge(page, from, end);
    return fine;
}

static bool see(struct kda_memory *memory, const struct sight *sight, uint64_t address,
                const uint8_t *bytes, size_t size)
{
    bool fine = true;

    while (fine && size) {
        unsigned offset = (unsigned)(address % PAGE_SIZE);
        unsigned part = size < PAGE_SIZE - offset ? (unsigned)size : PAGE_SIZE - offset;

        fine = see_in_page(memory, sight, address / PAGE_SIZE, offset, bytes, part);
        address += part;
        bytes += part;
        size -= part;
        if (address == 0)
            break;
    }
    pages_forget_view(&memory->pages);
    return fine;
}

bool kda_memory_see(struct kda_memory *memory, enum kda_origin origin, uint32_t frame,
                    uint32_t stop, uint64_t address, const uint8_t *bytes, size_t size)
{
    const struct sight sight = {origin, frame, stop};

    memory->tally.observations[origin]++;
    memory->tally.bytes[origin] += size;
    return see(memory, &sight, address, bytes, size);
}

bool kda_memory_fill(struct kda_memory *memory, enum kda_origin origin, uint32_t frame,
                     uint32_t stop, uint64_t address, const uint8_t *pattern, size_t pattern_size,
                     uint64_t size)
{
    const struct sight sight = {origin, frame, stop};
    uint64_t kept = pattern_size == 0 ? 0 : size, room = FILL_KEPT - memory->filled, done = 0;
    uint8_t part[FILL_PART];
    bool fine = true;

    kept = kept < room ? kept : room;
    memory->tally.observations[origin]++;
    memory->tally.bytes[origin] += size;
    memory->tally.left_out += size - kept;
    memory->filled += kept;
    while (fine && done < kept && address + done >= address) {
        size_t now = kept - done < FILL_PART ? (size_t)(kept - done) : FILL_PART;

        for (size_t i = 0; i < now; i++)
            part[i] = pattern[(done + i) % pattern_size];
        fine = see(memory, &sight, address + done, part, now);
        done += now;
    }
    return fine;
}

/* --- asking */

size_t kda_memory_read(const struct kda_memory *memory, const struct kda_view *view,
                       uint64_t address, uint8_t *out, uint32_t *known, size_t size)
{
    uint64_t at = address < UINT64_MAX ? address : UINT64_MAX - 1; /* UINT64_MAX would be the end */
    uint64_t last = size - 1 > UINT64_MAX - address ? UINT64_MAX : address + size - 1;
    struct kda_piece piece;
    size_t total = 0;

    if (out)
        memset(out, 0, size);
    if (known)
        memset(known, 0, size * sizeof *known);
    while (size && kda_memory_next(memory, view, &at, &piece) && piece.address <= last) {
        uint64_t from = piece.address > address ? piece.address : address;
        uint64_t end = piece.address + (piece.size - 1u);
        size_t part, place;

        if (end < address)
            continue;
        part = (size_t)((end < last ? end : last) - from) + 1;
        place = (size_t)(from - address);
        if (out &&
            !kda_store_read(memory->store, piece.data + (from - piece.address), out + place, part))
            continue;
        for (size_t i = 0; known && i < part; i++)
            known[place + i] = piece.frame;
        total += part;
    }
    return total;
}

bool kda_memory_next(const struct kda_memory *memory, const struct kda_view *view,
                     uint64_t *address, struct kda_piece *piece)
{
    const struct version *version;
    unsigned from, to;

    while (*address != UINT64_MAX) {
        const struct page *page = pages_from(&memory->pages, *address / PAGE_SIZE);
        uint64_t base;

        if (!page) {
            *address = UINT64_MAX;
            return false;
        }
        base = page->number * PAGE_SIZE;
        from = *address > base ? (unsigned)(*address - base) : 0;
        version = pages_view(&memory->pages, page, view, &from, &to);
        *address = base + (version ? to : PAGE_SIZE);
        if (*address == 0)
            *address = UINT64_MAX;
        if (!version)
            continue;
        *piece = (struct kda_piece){
            .address = base + from,
            .size = to - from,
            .origin = (enum kda_origin)version->origin,
            .frame = version->first,
            .last = version->last > view->at ? version->first : version->last,
            .data = version->data + (from - version->offset),
        };
        return true;
    }
    return false;
}

bool kda_memory_next_extent(const struct kda_memory *memory, const struct kda_view *view,
                            uint64_t *address, struct kda_extent *extent)
{
    struct kda_piece piece;
    uint64_t next;

    if (!kda_memory_next(memory, view, address, &piece))
        return false;
    *extent = (struct kda_extent){.address = piece.address, .first = piece.frame};
    do {
        extent->size += piece.size;
        extent->first = piece.frame < extent->first ? piece.frame : extent->first;
        extent->last = piece.last > extent->last ? piece.last : extent->last;
        extent->origins |= 1u << piece.origin;
        next = *address;
    } while (next != UINT64_MAX && kda_memory_next(memory, view, &next, &piece) &&
             piece.address == extent->address + extent->size && (*address = next, true));
    return true;
}

bool kda_memory_next_change(const struct kda_memory *memory, uint64_t *cursor,
                            struct kda_change *change)
{
    const struct page *page;
    const struct version *version = pages_past(&memory->pages, cursor, &page);

    if (!version)
        return false;
    *change = (struct kda_change){
        .address = page->number * PAGE_SIZE + version->offset,
        .size = version->size,
        .origin = (enum kda_origin)version->origin,
        .by = (enum kda_origin)version->by,
        .frame = version->first,
        .last = version->last,
        .until = version->until,
        .stopped = version->stopped,
        .data = version->data,
    };
    return true;
}
