/* source.c - reading bytes, and unpacking gzip. See source.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "source.h"

#include <stdio.h>

#define GZIP_MAGIC_0 0x1f
#define GZIP_MAGIC_1 0x8b
#define GZIP_WINDOW  (15 + 16) /* largest window, gzip's head and tail expected */

void cap_source_open(struct cap_source *source, cap_read_function read, void *context)
{
    source->read = read;
    source->context = context;
}

static void fail(struct cap_source *source, enum cap_failure_kind kind, const char *text)
{
    source->ended = true;
    source->failure = kind;
    if (text)
        snprintf(source->text, sizeof source->text, "%s", text);
}

/* Adds input behind what is not yet used, which must be little. False at the end. */
static bool refill(struct cap_source *source)
{
    ptrdiff_t got;

    if (source->at) {
        memmove(source->input, source->input + source->at, source->filled - source->at);
        source->filled -= source->at;
        source->at = 0;
    }
    got = source->read(source->context, source->input + source->filled,
                       sizeof source->input - source->filled, source->text, sizeof source->text);
    if (got < 0)
        fail(source, CAP_FAILURE_SYSTEM, NULL);
    if (got <= 0)
        return false;
    source->filled += (size_t)got;
    return true;
}

/* Two bytes tell; a file shorter than that is not gzip. */
static void start(struct cap_source *source)
{
    source->started = true;
    while (source->filled < 2 && refill(source))
        ;
    if (source->ended || source->filled < 2 || source->input[0] != GZIP_MAGIC_0 ||
        source->input[1] != GZIP_MAGIC_1)
        return;
    if (inflateInit2(&source->unpacker, GZIP_WINDOW) != Z_OK)
        fail(source, CAP_FAILURE_MEMORY, "there is not enough memory to unpack gzip");
    else
        source->gzip = true;
}

static size_t read_plain(struct cap_source *source, uint8_t *out, size_t size)
{
    size_t done = 0;

    while (done < size && !source->ended) {
        size_t step = source->filled - source->at;

        if (step == 0) {
            if (!refill(source))
                source->ended = true;
            continue;
        }
        if (step > size - done)
            step = size - done;
        memcpy(out + done, source->input + source->at, step);
        source->at += step;
        done += step;
    }
    return done;
}

/* Another member may follow the one that has ended; what does not begin like one is padding. */
static void next_member(struct cap_source *source)
{
    if (source->at == source->filled && !refill(source))
        source->ended = true;
    else if (source->input[source->at] != GZIP_MAGIC_0 || inflateReset(&source->unpacker) != Z_OK)
        source->ended = true;
    source->member_ended = false;
}

static void refill_gzip(struct cap_source *source)
{
    if (!refill(source) && !source->ended)
        fail(source, CAP_FAILURE_TRUNCATED,
             "the gzip data break off, as they do when their writer is killed");
}

/* There is room for output. zlib may have some left although all input is used up, so it says when
 * it needs more. */
static void unpack(struct cap_source *source)
{
    z_stream *unpacker = &source->unpacker;
    int result;

    unpacker->next_in = source->input + source->at;
    unpacker->avail_in = (uInt)(source->filled - source->at);
    result = inflate(unpacker, Z_NO_FLUSH);
    source->at = source->filled - unpacker->avail_in;
    if (result == Z_STREAM_END)
        source->member_ended = true;
    else if (result == Z_BUF_ERROR)
        refill_gzip(source);
    else if (result == Z_MEM_ERROR)
        fail(source, CAP_FAILURE_MEMORY, "there is not enough memory to unpack gzip");
    else if (result != Z_OK)
        fail(source, CAP_FAILURE_CORRUPT, "the gzip data are damaged");
}

static size_t read_gzip(struct cap_source *source, uint8_t *out, size_t size)
{
    size_t done = 0;

    while (done < size && !source->ended) {
        size_t step = size - done < CAP_BLOCK_MAX ? size - done : CAP_BLOCK_MAX;

        if (source->member_ended) {
            next_member(source);
            continue;
        }
        source->unpacker.next_out = out + done;
        source->unpacker.avail_out = (uInt)step;
        unpack(source);
        done += step - source->unpacker.avail_out;
    }
    return done;
}

size_t cap_source_read(struct cap_source *source, void *out, size_t size)
{
    if (!source->started)
        start(source);
    return source->gzip ? read_gzip(source, out, size) : read_plain(source, out, size);
}

void cap_source_close(struct cap_source *source)
{
    if (source->gzip)
        inflateEnd(&source->unpacker);
}
