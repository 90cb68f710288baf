/* ring.c - the queue of ring.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * head and tail count bytes since the start and never wrap; only the putter writes head, only the
 * taker tail. An entry is a header, its comment and its bytes, in one piece: when there is not
 * enough room before the end of the memory, a header of kind SKIP fills it.
 */
#include "ring.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"

#define ALIGNMENT 32u
#define SKIP      0xFFu
#define SMALLEST  (UINT64_C(1) << 20)

struct header {
    uint64_t when;
    uint32_t size;
    uint32_t whole; /* bytes until the next header */
    uint16_t comment_size;
    uint8_t kind;
    uint8_t side;
};

_Static_assert(sizeof(struct header) <= ALIGNMENT, "a SKIP must fit");

struct ring {
    uint8_t *memory;
    uint64_t capacity;
    /* Apart from each other, so that the two threads do not share a cache line. */
    _Alignas(64) atomic_uint_fast64_t head;
    uint64_t tail_seen; /* the putter's last look at tail */
    _Alignas(64) atomic_uint_fast64_t tail;
};

struct ring *ring_new(uint64_t capacity)
{
    struct ring *ring = calloc(1, sizeof *ring);

    if (!ring)
        return NULL;
    ring->capacity = SMALLEST;
    while (ring->capacity < capacity)
        ring->capacity *= 2;
    ring->memory = malloc((size_t)ring->capacity);
    if (!ring->memory) {
        free(ring);
        return NULL;
    }
    memory_prefer_large_pages(ring->memory, (size_t)ring->capacity);
    return ring;
}

void ring_warm(struct ring *ring, uint64_t size)
{
    memory_map(ring->memory, (size_t)(size < ring->capacity ? size : ring->capacity));
}

void ring_free(struct ring *ring)
{
    if (!ring)
        return;
    free(ring->memory);
    free(ring);
}

uint64_t ring_capacity(const struct ring *ring)
{
    return ring->capacity;
}

uint64_t ring_used(const struct ring *ring)
{
    return atomic_load_explicit(&ring->head, memory_order_relaxed) -
           atomic_load_explicit(&ring->tail, memory_order_relaxed);
}

static bool has_room(struct ring *ring, uint64_t head, uint64_t size)
{
    if (head + size - ring->tail_seen <= ring->capacity)
        return true;
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return head + size - ring->tail_seen <= ring->capacity;
}

bool ring_put(struct ring *ring, const struct ring_entry *entry)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t whole = sizeof(struct header) + entry->comment_size + (uint64_t)entry->size;
    uint64_t at = head & (ring->capacity - 1), left = ring->capacity - at, skipped = 0;
    struct header header = {.when = entry->when,
                            .size = entry->size,
                            .comment_size = entry->comment_size,
                            .kind = entry->kind,
                            .side = entry->side};
    uint8_t *out;

    whole = (whole + ALIGNMENT - 1) & ~(uint64_t)(ALIGNMENT - 1);
    if (whole > left)
        skipped = left;
    if (!has_room(ring, head, skipped + whole))
        return false;
    if (skipped) {
        struct header skip = {.kind = SKIP, .whole = (uint32_t)skipped};

        memcpy(ring->memory + at, &skip, sizeof skip);
        at = 0;
    }
    out = ring->memory + at;
    header.whole = (uint32_t)whole;
    memcpy(out, &header, sizeof header);
    if (entry->comment_size)
        memcpy(out + sizeof header, entry->comment, entry->comment_size);
    if (entry->size)
        memcpy(out + sizeof header + entry->comment_size, entry->bytes, entry->size);
    atomic_store_explicit(&ring->head, head + skipped + whole, memory_order_release);
    return true;
}

/* The header at the tail, past a SKIP; false when the ring is empty. */
static bool read_header(struct ring *ring, struct header *header, const uint8_t **bytes)
{
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

    for (;;) {
        if (tail == atomic_load_explicit(&ring->head, memory_order_acquire))
            return false;
        *bytes = ring->memory + (tail & (ring->capacity - 1));
        memcpy(header, *bytes, sizeof *header);
        if (header->kind != SKIP)
            return true;
        tail += header->whole;
        atomic_store_explicit(&ring->tail, tail, memory_order_release);
    }
}

bool ring_peek(struct ring *ring, struct ring_entry *entry)
{
    struct header header;
    const uint8_t *bytes;

    if (!read_header(ring, &header, &bytes))
        return false;
    *entry = (struct ring_entry){.when = header.when,
                                 .kind = header.kind,
                                 .side = header.side,
                                 .comment_size = header.comment_size,
                                 .size = header.size,
                                 .comment = (const char *)bytes + sizeof header,
                                 .bytes = bytes + sizeof header + header.comment_size};
    return true;
}

void ring_drop(struct ring *ring)
{
    struct header header;
    const uint8_t *bytes;

    if (read_header(ring, &header, &bytes))
        atomic_store_explicit(
            &ring->tail, atomic_load_explicit(&ring->tail, memory_order_relaxed) + header.whole,
            memory_order_release);
}
