/* drain.c - from a buffer of blocks into a file. See drain.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Plain: what a short write left behind the last whole block is cut off again and stays in the
 * buffer. Gzip: a stretch of whole blocks is packed only when all that was packed before has been
 * written, so a failing disk holds up the stream, never tears it.
 */
#include "drain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "block.h"
#include "bytes.h"

#define BUFFER_ROOM  ((size_t)256 << 10)
#define STRETCH      ((size_t)64 << 10)  /* packed at a time */
#define PACKER_KEEPS ((size_t)256 << 10) /* more than zlib holds back between two calls */
#define GZIP_WINDOW  (15 + 16)
#define GZIP_MEMORY  8

bool cap_drain_init(struct cap_drain *drain, bool gzip)
{
    drain->gzip = gzip;
    drain->room = BUFFER_ROOM;
    drain->buffer = malloc(drain->room);
    if (!drain->buffer)
        return false;
    if (!gzip)
        return true;
    drain->packed_room = STRETCH + PACKER_KEEPS;
    drain->packed = malloc(drain->packed_room);
    return drain->packed && deflateInit2(&drain->packer, Z_DEFAULT_COMPRESSION, Z_DEFLATED,
                                         GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) == Z_OK;
}

void cap_drain_free(struct cap_drain *drain)
{
    if (drain->gzip)
        deflateEnd(&drain->packer);
    free(drain->packed);
    free(drain->buffer);
}

void cap_drain_reset(struct cap_drain *drain)
{
    drain->written = 0;
    drain->used = 0;
    drain->own = 0;
    drain->unflushed = false;
    drain->packed_at = 0;
    drain->packed_end = 0;
    drain->packed_blocks = 0;
    drain->packed_bytes = 0;
    if (drain->gzip)
        deflateReset(&drain->packer);
}

bool cap_drain_has_room(struct cap_drain *drain, size_t size)
{
    uint8_t *larger;

    if (size <= drain->room - drain->used)
        return true;
    if (size <= BUFFER_ROOM || drain->used)
        return false;
    larger = realloc(drain->buffer, size);
    if (!larger)
        return false;
    drain->buffer = larger;
    drain->room = size;
    return true;
}

void cap_drain_add(struct cap_drain *drain, const uint8_t *blocks, size_t size)
{
    memcpy(drain->buffer + drain->used, blocks, size);
    drain->used += size;
}

static void take_off(struct cap_drain *drain, size_t size)
{
    drain->used -= size;
    memmove(drain->buffer, drain->buffer + size, drain->used);
    drain->own -= drain->own < size ? drain->own : size;
}

/* Size of the first block, of either byte order: it is at both ends. What does not look like a
 * block is taken as a single one. */
static size_t block_size(const uint8_t *bytes, size_t size)
{
    for (int big_endian = 0; big_endian < 2 && size >= BLOCK_MIN; big_endian++) {
        uint32_t block = cap_get32(bytes + 4, big_endian);

        if (block >= BLOCK_MIN && block <= size &&
            cap_get32(bytes + block - BLOCK_TAIL, big_endian) == block)
            return block;
    }
    return size;
}

/* As many whole blocks as fit into `limit`; if `at_least_one`, also when the first is larger. */
static size_t whole_blocks(const struct cap_drain *drain, size_t limit, bool at_least_one,
                           uint64_t *count)
{
    size_t at = 0;

    *count = 0;
    while (at < drain->used) {
        size_t size = block_size(drain->buffer + at, drain->used - at);

        if (size > limit - at && !(at == 0 && at_least_one))
            break;
        *count += at >= drain->own;
        at += size;
        if (at >= limit)
            break;
    }
    return at;
}

static bool drain_plain(struct cap_drain *drain)
{
    size_t put =
        cap_file_write(&drain->file, drain->buffer, drain->used, drain->error, sizeof drain->error);
    bool all = put == drain->used;
    uint64_t count;

    if (!all && drain->file.regular) {
        put = whole_blocks(drain, put, false, &count);
        cap_file_cut(&drain->file, drain->written + put);
    }
    drain->written += put;
    take_off(drain, put);
    return all;
}

/* --- gzip */

static bool write_packed(struct cap_drain *drain)
{
    size_t size = drain->packed_end - drain->packed_at;
    size_t put = cap_file_write(&drain->file, drain->packed + drain->packed_at, size, drain->error,
                                sizeof drain->error);

    drain->packed_at += put;
    if (put < size)
        return false;
    drain->packed_at = 0;
    drain->packed_end = 0;
    return true;
}

/* Packs the first `size` bytes of the buffer; all that was packed has been written. */
static bool pack(struct cap_drain *drain, size_t size, int flush)
{
    size_t room = deflateBound(&drain->packer, (uLong)size) + PACKER_KEEPS;
    int result;

    if (room > drain->packed_room) {
        uint8_t *larger = realloc(drain->packed, room);

        if (!larger) {
            snprintf(drain->error, sizeof drain->error, "there is not enough memory");
            return false;
        }
        drain->packed = larger;
        drain->packed_room = room;
    }
    drain->packer.next_in = drain->buffer;
    drain->packer.avail_in = (uInt)size;
    drain->packer.next_out = drain->packed;
    drain->packer.avail_out = (uInt)drain->packed_room;
    result = deflate(&drain->packer, flush);
    drain->packed_end = drain->packed_room - drain->packer.avail_out;
    if (result != Z_STREAM_ERROR && drain->packer.avail_in == 0)
        return true;
    snprintf(drain->error, sizeof drain->error, "zlib cannot go on (%d)", result);
    return false;
}

static bool drain_gzip(struct cap_drain *drain, enum cap_drain_how how)
{
    if (!write_packed(drain))
        return false;
    while (drain->used) {
        uint64_t count;
        size_t size = whole_blocks(drain, STRETCH, true, &count);

        if (!pack(drain, size, Z_NO_FLUSH))
            return false;
        drain->unflushed = true;
        drain->packed_bytes += drain->own < size ? size - drain->own : 0;
        drain->packed_blocks += count;
        take_off(drain, size);
        if (!write_packed(drain))
            return false;
    }
    if (how == CAP_DRAIN_FINISH || (how == CAP_DRAIN_FLUSH && drain->unflushed)) {
        if (!pack(drain, 0, how == CAP_DRAIN_FINISH ? Z_FINISH : Z_SYNC_FLUSH))
            return false;
        drain->unflushed = false;
        if (!write_packed(drain))
            return false;
    }
    if (!drain->unflushed) {
        drain->packed_blocks = 0;
        drain->packed_bytes = 0;
    }
    return true;
}

bool cap_drain_run(struct cap_drain *drain, enum cap_drain_how how)
{
    return drain->gzip ? drain_gzip(drain, how) : drain_plain(drain);
}

void cap_drain_waiting(const struct cap_drain *drain, uint64_t *blocks, uint64_t *bytes)
{
    whole_blocks(drain, drain->used, false, blocks);
    *blocks += drain->packed_blocks;
    *bytes = drain->used - drain->own + drain->packed_bytes;
}
