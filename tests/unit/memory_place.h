/* memory_place.h - an empty memory model and what it keeps bytes in, for tests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_UNIT_MEMORY_PLACE_H
#define KDLENS_TESTS_UNIT_MEMORY_PLACE_H

#include "analysis/memory.h"
#include "analysis/store.h"

struct place {
    struct kda_store *store;
    struct kda_memory *memory;
};

static inline struct place new_place(void)
{
    struct place place = {.store = kda_store_new(0)};

    place.memory = kda_memory_new(place.store);
    return place;
}

static inline void free_place(struct place *place)
{
    kda_memory_free(place->memory);
    kda_store_free(place->store);
}

#endif
