/* ring.h - a bounded queue of entries from one thread to another, without locks.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * One thread puts, one thread takes; neither ever waits for the other. Entries are copied in and
 * read in place.
 */
#ifndef KDLENS_RING_H
#define KDLENS_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring;

struct ring_entry {
    uint64_t when;
    uint8_t kind;
    uint8_t side;
    uint16_t comment_size; /* of the comment, which has no NUL */
    uint32_t size;
    const char *comment;
    const uint8_t *bytes;
};

/* capacity: bytes, rounded up to a power of two. Memory is taken as it is used. NULL: none. */
struct ring *ring_new(uint64_t capacity);
void ring_free(struct ring *ring);

/* Takes the memory of the first so many bytes now, so that the putter is not stopped by page faults
 * there. Of any thread. */
void ring_warm(struct ring *ring, uint64_t size);

/* False when there is no room. */
bool ring_put(struct ring *ring, const struct ring_entry *entry);

/* Bytes used, of either thread. */
uint64_t ring_used(const struct ring *ring);
uint64_t ring_capacity(const struct ring *ring);

/* The oldest entry; its pointers are valid until ring_drop, which gives its room back. */
bool ring_peek(struct ring *ring, struct ring_entry *entry);
void ring_drop(struct ring *ring);

#endif
