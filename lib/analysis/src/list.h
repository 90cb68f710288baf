/* list.h - arrays that grow.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef ANALYSIS_LIST_H
#define ANALYSIS_LIST_H

#include <stddef.h>

struct list {
    void *items;
    size_t count, room;
};

/* A copy of the item at the end; NULL when memory is short. Items move when the list grows. */
void *list_add(struct list *list, const void *item, size_t size);

/* NULL when there are not so many. */
static inline void *list_at(const struct list *list, size_t i, size_t size)
{
    return i < list->count ? (char *)list->items + i * size : NULL;
}

void list_free(struct list *list);

#endif
