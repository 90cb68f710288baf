/* memory_pages.h - the pages of an address space, and the pieces in each.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For memory.c alone.
 */
#ifndef ANALYSIS_MEMORY_PAGES_H
#define ANALYSIS_MEMORY_PAGES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/memory.h"

#define PAGE_SIZE 4096u

struct version {
    uint16_t offset, size; /* in the page */
    uint8_t origin, by;    /* enum kda_origin; by: what replaced it */
    bool stopped;          /* kda_change.stopped */
    uint32_t first, last;  /* frames that state it */
    uint32_t stop;         /* the stop of `last`; 0: none */
    uint32_t until;        /* replaced: in this frame */
    uint64_t data;         /* in the store */
};

static inline unsigned version_end(const struct version *version)
{
    return (unsigned)version->offset + version->size;
}

struct versions {
    struct version *list;
    size_t count, room;
};

struct page {
    uint64_t number; /* address / PAGE_SIZE */
    struct versions now, past;
};

/* How a page looks to one view: which version each byte has, as index + 1; `past` ones come behind
 * those of `now`. */
struct page_view {
    const struct page *page; /* NULL: none */
    struct kda_view view;
    bool plain; /* all of `now` is seen: what is below is not filled in */
    uint32_t owner[PAGE_SIZE];
};

struct pages {
    struct page **slots; /* a hash table: 2 ^ bits, open addressing */
    unsigned bits;
    size_t count;
    struct page_order *order; /* what questions build up; changes in it change no page */
};

void pages_free(struct pages *pages);

/* The page, made when there is none. NULL when memory is short. */
struct page *pages_make(struct pages *pages, uint64_t number);

/* The first page of at least this number, NULL when there is none or memory is short. */
const struct page *pages_from(const struct pages *pages, uint64_t number);

/* The first run of bytes of one version at or behind *from, as the view sees the page; *from and
 * *to are its bounds then. NULL when there is none. */
const struct version *pages_view(const struct pages *pages, const struct page *page,
                                 const struct kda_view *view, unsigned *from, unsigned *to);

/* After a page changed. */
void pages_forget_view(struct pages *pages);

/* The next replaced version, by page; *cursor is 0 at first. NULL at the end. */
const struct version *pages_past(const struct pages *pages, uint64_t *cursor,
                                 const struct page **page);

/* The first version that ends behind `offset`; the count when there is none. Sorted ones only. */
size_t versions_find(const struct versions *versions, unsigned offset);

bool versions_insert(struct versions *versions, size_t index, const struct version *version);

/* Cuts the version at *index, which covers [from, to), so that one covers just that; *index is the
 * new one's. */
bool page_isolate(struct page *page, size_t *index, unsigned from, unsigned to);

/* Joins neighbours in [from, to) that were cut and need not be. */
void page_merge(struct page *page, unsigned from, unsigned to);

#endif
