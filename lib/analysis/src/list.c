/* list.c - arrays that grow. See list.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "list.h"

#include <stdlib.h>
#include <string.h>

#define ROOM_FIRST 16u

void *list_add(struct list *list, const void *item, size_t size)
{
    char *place;

    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : ROOM_FIRST;
        void *items = realloc(list->items, room * size);

        if (!items)
            return NULL;
        list->items = items;
        list->room = room;
    }
    place = (char *)list->items + list->count++ * size;
    memcpy(place, item, size);
    return place;
}

void list_free(struct list *list)
{
    free(list->items);
    *list = (struct list){0};
}
