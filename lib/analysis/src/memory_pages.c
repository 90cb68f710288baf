/* memory_pages.c - pages by number and in order, pieces in a page. See memory_pages.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "memory_pages.h"

#include <stdlib.h>
#include <string.h>

#define BITS_MIN 6u

/* The pages sorted by number, and the page looked at last. */
struct page_order {
    struct page **list;
    size_t count; /* as many as there are pages, or it is out of date */
    struct page_view view;
};

/* --- the table */

static size_t slot_of(const struct pages *pages, uint64_t number)
{
    size_t mask = ((size_t)1 << pages->bits) - 1;
    size_t slot = (size_t)((number * UINT64_C(0x9E3779B97F4A7C15)) >> (64 - pages->bits));

    while (pages->slots[slot] && pages->slots[slot]->number != number)
        slot = (slot + 1) & mask;
    return slot;
}

static bool grow(struct pages *pages)
{
    struct pages larger = {.bits = pages->bits ? pages->bits + 1 : BITS_MIN};

    larger.slots = calloc((size_t)1 << larger.bits, sizeof *larger.slots);
    if (!larger.slots)
        return false;
    for (size_t i = 0; pages->slots && i < (size_t)1 << pages->bits; i++)
        if (pages->slots[i])
            larger.slots[slot_of(&larger, pages->slots[i]->number)] = pages->slots[i];
    free(pages->slots);
    pages->slots = larger.slots;
    pages->bits = larger.bits;
    return true;
}

struct page *pages_make(struct pages *pages, uint64_t number)
{
    struct page **slot;

    if ((!pages->slots || pages->count >= (size_t)3 << (pages->bits - 2)) && !grow(pages))
        return NULL;
    slot = &pages->slots[slot_of(pages, number)];
    if (!*slot) {
        if (!pages->order && !(pages->order = calloc(1, sizeof *pages->order)))
            return NULL;
        *slot = calloc(1, sizeof **slot);
        if (!*slot)
            return NULL;
        (*slot)->number = number;
        pages->count++;
    }
    return *slot;
}

void pages_free(struct pages *pages)
{
    for (size_t i = 0; pages->slots && i < (size_t)1 << pages->bits; i++) {
        if (!pages->slots[i])
            continue;
        free(pages->slots[i]->now.list);
        free(pages->slots[i]->past.list);
        free(pages->slots[i]);
    }
    free(pages->slots);
    if (pages->order)
        free(pages->order->list);
    free(pages->order);
}

/* --- in order */

static int by_number(const void *a, const void *b)
{
    const struct page *const *left = a, *const *right = b;

    return ((*left)->number > (*right)->number) - ((*left)->number < (*right)->number);
}

static bool sort_pages(const struct pages *pages)
{
    struct page_order *order = pages->order;
    struct page **list;
    size_t count = 0;

    if (!order || order->count == pages->count)
        return order != NULL;
    list = realloc(order->list, pages->count * sizeof *list);
    if (!list)
        return false;
    for (size_t i = 0; i < (size_t)1 << pages->bits; i++)
        if (pages->slots[i])
            list[count++] = pages->slots[i];
    qsort(list, count, sizeof *list, by_number);
    order->list = list;
    order->count = count;
    return true;
}

const struct page *pages_from(const struct pages *pages, uint64_t number)
{
    size_t low = 0, high;

    if (!sort_pages(pages))
        return NULL;
    high = pages->order->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (pages->order->list[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    return low < pages->order->count ? pages->order->list[low] : NULL;
}

/* cursor: the page's place in the order, from 1, and the version's in the page. */
const struct version *pages_past(const struct pages *pages, uint64_t *cursor,
                                 const struct page **page)
{
    uint64_t place = *cursor >> 32, index = *cursor & UINT32_MAX;

    if (!sort_pages(pages))
        return NULL;
    for (; place < pages->order->count; place++, index = 0) {
        *page = pages->order->list[place];
        if (index < (*page)->past.count) {
            *cursor = place << 32 | (index + 1);
            return &(*page)->past.list[index];
        }
    }
    *cursor = place << 32;
    return NULL;
}

/* --- a page as a view sees it */

void pages_forget_view(struct pages *pages)
{
    if (pages->order)
        pages->order->view.page = NULL;
}

static bool is_seen(const struct kda_view *view, const struct version *version)
{
    return version->first <= view->at && !(view->without >> version->origin & 1);
}

static void own(struct page_view *seen, const struct versions *versions, size_t base)
{
    for (size_t i = 0; i < versions->count; i++) {
        const struct version *version = &versions->list[i];

        for (unsigned at = version->offset;
             is_seen(&seen->view, version) && at < version_end(version); at++)
            seen->owner[at] = (uint32_t)(base + i + 1);
    }
}

/* A page of which nothing is hidden from the view needs no more than its list. */
static void look_at(struct page_view *seen, const struct page *page, const struct kda_view *view)
{
    seen->page = page;
    seen->view = *view;
    seen->plain = true;
    for (size_t i = 0; i < page->now.count && seen->plain; i++)
        seen->plain = is_seen(view, &page->now.list[i]);
    if (seen->plain)
        return;
    memset(seen->owner, 0, sizeof seen->owner);
    own(seen, &page->past, page->now.count);
    own(seen, &page->now, 0);
}

static const struct version *next_plain(const struct page *page, unsigned *from, unsigned *to)
{
    size_t index = versions_find(&page->now, *from);
    const struct version *version;

    if (index == page->now.count)
        return NULL;
    version = &page->now.list[index];
    *from = version->offset > *from ? version->offset : *from;
    *to = version_end(version);
    return version;
}

const struct version *pages_view(const struct pages *pages, const struct page *page,
                                 const struct kda_view *view, unsigned *from, unsigned *to)
{
    struct page_view *seen = &pages->order->view;
    uint32_t owner;
    unsigned at = *from;

    if (seen->page != page || seen->view.at != view->at || seen->view.without != view->without)
        look_at(seen, page, view);
    if (seen->plain)
        return next_plain(page, from, to);
    while (at < PAGE_SIZE && seen->owner[at] == 0)
        at++;
    if (at == PAGE_SIZE)
        return NULL;
    *from = at;
    owner = seen->owner[at];
    while (at < PAGE_SIZE && seen->owner[at] == owner)
        at++;
    *to = at;
    return owner <= page->now.count ? &page->now.list[owner - 1]
                                    : &page->past.list[owner - 1 - page->now.count];
}

/* --- pieces */

size_t versions_find(const struct versions *versions, unsigned offset)
{
    size_t low = 0, high = versions->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (version_end(&versions->list[middle]) <= offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool versions_insert(struct versions *versions, size_t index, const struct version *version)
{
    if (versions->count == versions->room) {
        size_t room = versions->room ? 2 * versions->room : 1;
        struct version *list = realloc(versions->list, room * sizeof *list);

        if (!list)
            return false;
        versions->list = list;
        versions->room = room;
    }
    memmove(versions->list + index + 1, versions->list + index,
            (versions->count - index) * sizeof *versions->list);
    versions->list[index] = *version;
    versions->count++;
    return true;
}

/* The part of a version from `offset` of its page on. */
static struct version tail_of(const struct version *version, unsigned offset)
{
    struct version tail = *version;

    tail.offset = (uint16_t)offset;
    tail.size = (uint16_t)(version_end(version) - offset);
    tail.data += offset - version->offset;
    return tail;
}

bool page_isolate(struct page *page, size_t *index, unsigned from, unsigned to)
{
    struct version *version = &page->now.list[*index];

    if (version->offset < from) {
        const struct version tail = tail_of(version, from);

        version->size = (uint16_t)(from - version->offset);
        if (!versions_insert(&page->now, *index + 1, &tail))
            return false;
        ++*index;
        version = &page->now.list[*index];
    }
    if (version_end(version) > to) {
        const struct version tail = tail_of(version, to);

        version->size = (uint16_t)(to - version->offset);
        return versions_insert(&page->now, *index + 1, &tail);
    }
    return true;
}

static bool joins(const struct version *a, const struct version *b)
{
    return version_end(a) == b->offset && a->data + a->size == b->data && a->origin == b->origin &&
           a->first == b->first && a->stop == b->stop && a->last == b->last;
}

void page_merge(struct page *page, unsigned from, unsigned to)
{
    struct versions *now = &page->now;
    size_t first = versions_find(now, from ? from - 1 : 0), kept = first, next;

    for (next = first + 1; next < now->count && now->list[kept].offset <= to; next++) {
        if (joins(&now->list[kept], &now->list[next]))
            now->list[kept].size = (uint16_t)(now->list[kept].size + now->list[next].size);
        else
            now->list[++kept] = now->list[next];
    }
    if (kept + 1 == next || first >= now->count)
        return;
    memmove(now->list + kept + 1, now->list + next, (now->count - next) * sizeof *now->list);
    now->count -= next - kept - 1;
}
