/* memory.h - what a capture says about an address space: each byte with the frame it came from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * An observation is a run of bytes that one packet states: read, written, filled, found by a search
 * or carried in a state change. What is known already is not kept again; an observation that
 * confirms it moves its last frame. A different value ends the former one, which stays for
 * questions about earlier frames. So any address can be read as of any frame, and memory grows with
 * what differs, not with how often it is asked for.
 *
 * A piece never crosses a page of 4 KiB. Bytes of a run have one origin and one pair of frames.
 */
#ifndef ANALYSIS_MEMORY_H
#define ANALYSIS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/session.h"
#include "analysis/store.h"

enum kda_origin {
    KDA_READ,   /* the target read it */
    KDA_WRITE,  /* the debugger wrote it, and the target said it did */
    KDA_FILL,   /* the same with FillMemory */
    KDA_SEARCH, /* SearchMemory found the pattern there */
    KDA_STREAM, /* the instructions in a state change; the target's breakpoints are not in them */
    KDA_ORIGINS
};

#define KDA_DEBUGGERS ((1u << KDA_WRITE) | (1u << KDA_FILL)) /* view.without: undo its writes */

/* How to look. */
struct kda_view {
    uint32_t at;      /* as of this frame, inclusive; KDA_END: all that was captured */
    uint32_t without; /* origins to leave out, 1 << enum kda_origin each */
};

struct kda_piece {
    uint64_t address;
    uint32_t size;
    enum kda_origin origin;
    uint32_t frame; /* that first states the value */
    uint32_t last;  /* that last states it; `frame` when that is after view.at */
    uint64_t data;  /* in the store */
};

/* A value that another took the place of. */
struct kda_change {
    uint64_t address;
    uint32_t size;
    enum kda_origin origin, by;
    uint32_t frame, last; /* of the former value */
    uint32_t until;       /* frame of the new one */
    bool stopped;         /* both were seen in one stop: somebody wrote unseen, or the page moved */
    uint64_t data;        /* former bytes, in the store */
};

struct kda_memory;

/* The store must outlive it. NULL when memory is short. */
struct kda_memory *kda_memory_new(struct kda_store *store);
void kda_memory_free(struct kda_memory *memory);

/* An observation; one of no bytes is counted. `stop`: the frame of the stop it was made in, 0 is
 * none. Wraps at the end of the address space are cut off. False when memory is short. */
bool kda_memory_see(struct kda_memory *memory, enum kda_origin origin, uint32_t frame,
                    uint32_t stop, uint64_t address, const uint8_t *bytes, size_t size);

/* The same for a pattern that repeats up to `size` bytes. Of all fills of a memory the first 64 MiB
 * are kept, the rest is counted (left_out): a packet of a few bytes can state gigabytes. */
bool kda_memory_fill(struct kda_memory *memory, enum kda_origin origin, uint32_t frame,
                     uint32_t stop, uint64_t address, const uint8_t *pattern, size_t pattern_size,
                     uint64_t size);

/* Copies what is known of address[0..size) to out; known[i] is the frame that states byte i, 0
 * where nothing does (out[i] is 0 then). known and out may be NULL. Returns how many bytes are
 * known. */
size_t kda_memory_read(const struct kda_memory *memory, const struct kda_view *view,
                       uint64_t address, uint8_t *out, uint32_t *known, size_t size);

/* The first piece that ends behind *address, ascending; *address moves behind it. False at the end:
 *   for (uint64_t at = 0; kda_memory_next(memory, &view, &at, &piece);) ...
 * A piece may begin before *address. *address UINT64_MAX ends, too. */
bool kda_memory_next(const struct kda_memory *memory, const struct kda_view *view,
                     uint64_t *address, struct kda_piece *piece);

/* The same for runs of bytes that touch, whatever their origins and frames; size in bytes. */
struct kda_extent {
    uint64_t address;
    uint64_t size;
    uint32_t first, last; /* smallest and largest frame */
    uint32_t origins;     /* 1 << enum kda_origin */
};
bool kda_memory_next_extent(const struct kda_memory *memory, const struct kda_view *view,
                            uint64_t *address, struct kda_extent *extent);

/* Former values, ordered by address, then by frame. cursor: 0 at first. */
bool kda_memory_next_change(const struct kda_memory *memory, uint64_t *cursor,
                            struct kda_change *change);

struct kda_memory_tally {
    uint64_t observations[KDA_ORIGINS]; /* packets, those that moved no bytes too */
    uint64_t bytes[KDA_ORIGINS];        /* in them */
    uint64_t known;                     /* addresses with a value, at the end */
    uint64_t changes, changes_stopped;  /* former values; those of kda_change.stopped */
    uint64_t left_out;                  /* bytes of fills beyond what is kept */
};
const struct kda_memory_tally *kda_memory_tally(const struct kda_memory *memory);

struct kda_store *kda_memory_store(const struct kda_memory *memory);

#endif
