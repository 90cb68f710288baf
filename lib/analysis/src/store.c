/* store.c - kept bytes, in chunks; the oldest move to a file. See analysis/store.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Chunks [0..spilled) are in the file, the others in memory. Appending never changes a chunk that
 * is full, so a chunk is written once.
 */
#include "analysis/store.h"

#include <stdlib.h>
#include <string.h>

#include "spill.h"

#define CHUNK          (1u << 18)
#define MEMORY_DEFAULT ((size_t)256 << 20)
#define MEMORY_MIN     ((size_t)4 << 20)

struct kda_store {
    uint8_t **chunks;
    size_t count, room; /* of chunks */
    size_t spilled;
    size_t limit; /* chunks in memory */
    uint64_t size;
    struct spill *spill;
};

struct kda_store *kda_store_new(size_t memory)
{
    struct kda_store *store = calloc(1, sizeof *store);

    if (!store)
        return NULL;
    if (memory == 0)
        memory = MEMORY_DEFAULT;
    store->limit = (memory < MEMORY_MIN ? MEMORY_MIN : memory) / CHUNK;
    return store;
}

void kda_store_free(struct kda_store *store)
{
    if (!store)
        return;
    for (size_t i = store->spilled; i < store->count; i++)
        free(store->chunks[i]);
    free(store->chunks);
    spill_close(store->spill);
    free(store);
}

uint64_t kda_store_size(const struct kda_store *store)
{
    return store->size;
}

/* The oldest chunk in memory, into the file. False leaves everything as it was. */
static bool spill_oldest(struct kda_store *store)
{
    uint8_t **oldest = &store->chunks[store->spilled];

    if (!store->spill && !(store->spill = spill_open()))
        return false;
    if (!spill_write(store->spill, (uint64_t)store->spilled * CHUNK, *oldest, CHUNK))
        return false;
    free(*oldest);
    *oldest = NULL;
    store->spilled++;
    return true;
}

static bool add_chunk(struct kda_store *store)
{
    if (store->count == store->room) {
        size_t room = store->room ? 2 * store->room : 16;
        uint8_t **chunks = realloc(store->chunks, room * sizeof *chunks);

        if (!chunks)
            return false;
        store->chunks = chunks;
        store->room = room;
    }
    if (store->count - store->spilled >= store->limit && !spill_oldest(store))
        return false;
    store->chunks[store->count] = malloc(CHUNK);
    if (!store->chunks[store->count])
        return false;
    store->count++;
    return true;
}

uint64_t kda_store_add(struct kda_store *store, const uint8_t *bytes, size_t size)
{
    uint64_t at = store->size;

    while (size) {
        size_t used = (size_t)(store->size % CHUNK);
        size_t part = size < CHUNK - used ? size : CHUNK - used;

        if (store->size / CHUNK >= store->count && !add_chunk(store)) {
            store->size = at;
            return UINT64_MAX;
        }
        memcpy(store->chunks[store->size / CHUNK] + used, bytes, part);
        store->size += part;
        bytes += part;
        size -= part;
    }
    return at;
}

bool kda_store_read(struct kda_store *store, uint64_t at, uint8_t *out, size_t size)
{
    if (at > store->size || size > store->size - at)
        return false;
    while (size) {
        size_t chunk = (size_t)(at / CHUNK), offset = (size_t)(at % CHUNK);
        size_t part = size < CHUNK - offset ? size : CHUNK - offset;

        if (chunk >= store->spilled)
            memcpy(out, store->chunks[chunk] + offset, part);
        else if (!spill_read(store->spill, at, out, part))
            return false;
        at += part;
        out += part;
        size -= part;
    }
    return true;
}
