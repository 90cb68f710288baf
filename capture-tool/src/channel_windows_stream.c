/* channel_windows_stream.c - reading and writing a connection by overlapped operations.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * At most one read and one write are under way. What is to be written is copied, because the system
 * reads it later; while one buffer is being written the next one fills.
 */
#include "channel_windows.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define BYTES_FIRST 65536u
#define WRITE_MAX   (256u << 10)

/* --- bytes that wait */

size_t bytes_size(const struct bytes *bytes)
{
    return bytes->end - bytes->start;
}

bool bytes_add(struct bytes *bytes, const uint8_t *data, size_t size)
{
    if (bytes->start > 0 && size > bytes->capacity - bytes->end) {
        memmove(bytes->data, bytes->data + bytes->start, bytes_size(bytes));
        bytes->end -= bytes->start;
        bytes->start = 0;
    }
    if (size > bytes->capacity - bytes->end) {
        size_t capacity = bytes->capacity ? bytes->capacity : BYTES_FIRST;
        uint8_t *grown;

        while (capacity - bytes->end < size)
            capacity *= 2;
        grown = realloc(bytes->data, capacity);
        if (!grown)
            return false;
        bytes->data = grown;
        bytes->capacity = capacity;
    }
    memcpy(bytes->data + bytes->end, data, size);
    bytes->end += size;
    return true;
}

void bytes_clear(struct bytes *bytes)
{
    free(bytes->data);
    *bytes = (struct bytes){0};
}

/* --- life */

static void read_done(void *context, DWORD error, DWORD size);
static void write_done(void *context, DWORD error, DWORD size);

struct stream *stream_new(struct channel_loop *loop, const struct stream_calls *calls)
{
    struct stream *stream = calloc(1, sizeof *stream);

    if (!stream)
        return NULL;
    stream->loop = loop;
    stream->calls = calls;
    stream->uses = 1;
    stream->read = (struct io){.done = read_done, .context = stream};
    stream->write = (struct io){.done = write_done, .context = stream};
    return stream;
}

static void release(struct stream *stream)
{
    if (--stream->uses > 0)
        return;
    if (stream->calls->clear)
        stream->calls->clear(stream);
    bytes_clear(&stream->going);
    bytes_clear(&stream->waiting);
    free(stream);
}

void stream_close(struct stream *stream)
{
    stream->channel = NULL;
    stream->calls->close(stream);
    release(stream);
}

/* --- reading */

/* After a part of a read; true: the rest is under way, or complete. */
static bool read_rest(struct stream *stream);

static void read_complete(struct stream *stream, DWORD error, DWORD size)
{
    if (!stream->has_first) {
        stream->when = clock_monotonic();
        stream->error = error;
        stream->size = size;
        if (error == ERROR_SUCCESS && size > 0 && stream->calls->rest && read_rest(stream))
            return;
    } else if (error == ERROR_SUCCESS) {
        stream->size += size;
    }
    /* An error of the second part comes again with the next read. */
    stream->has_first = false;
    stream->filled = true;
}

static void start_read(struct stream *stream, DWORD at, DWORD size)
{
    bool ok;

    io_begin(stream->loop, &stream->read);
    ok = stream->calls->read(stream, stream->bytes + at, size);
    switch (io_started(stream->loop, &stream->read, ok, stream->skips)) {
    case IO_PENDING:
        stream->reading = true;
        stream->uses++;
        break;
    case IO_DONE:
        read_complete(stream, ERROR_SUCCESS, (DWORD)stream->read.overlapped.InternalHigh);
        break;
    case IO_FAILED:
        read_complete(stream, GetLastError(), 0);
        break;
    }
}

static bool read_rest(struct stream *stream)
{
    DWORD rest = stream->calls->rest(stream), room = (DWORD)sizeof stream->bytes - stream->size;

    if (rest == 0 || room == 0)
        return false;
    stream->has_first = true;
    start_read(stream, stream->size, rest < room ? rest : room);
    return true;
}

void stream_read(struct stream *stream)
{
    const struct channel *channel = stream->channel;
    DWORD size = stream->calls->first_size;

    if (stream->reading || stream->filled || channel->paused || channel->state != CHANNEL_OPEN)
        return;
    start_read(stream, 0, size ? size : (DWORD)sizeof stream->bytes);
}

static void read_done(void *context, DWORD error, DWORD size)
{
    struct stream *stream = context;

    stream->reading = false;
    if (stream->channel) {
        /* The start of a message of which more will come. */
        if (error == ERROR_MORE_DATA)
            error = ERROR_SUCCESS;
        read_complete(stream, error, size);
        if (stream->filled && !stream->channel->paused)
            stream_deliver(stream);
    }
    release(stream);
}

void stream_deliver(struct stream *stream)
{
    struct channel *channel = stream->channel;

    stream->uses++;
    stream->filled = false;
    if (stream->error != ERROR_SUCCESS)
        channel_read_failed(channel, stream->error);
    else if (stream->size == 0 && stream->calls->zero_ends)
        channel_read_ended(channel);
    else if (stream->size > 0 && channel->kind->received)
        channel->kind->received(channel, stream->when, stream->bytes, stream->size);
    else if (stream->size > 0)
        channel->events->received(channel->context, stream->when, stream->bytes, stream->size);
    if (stream->channel)
        stream_read(stream);
    release(stream);
}

/* --- writing */

static size_t piece_size(const struct stream *stream)
{
    const uint8_t *bytes = stream->going.data + stream->going.start;
    size_t size = bytes_size(&stream->going);

    if (stream->channel->kind->piece)
        return stream->channel->kind->piece(bytes, size);
    return size < WRITE_MAX ? size : WRITE_MAX;
}

/* Makes what waits go; true: there is something to write. */
static bool next_going(struct stream *stream)
{
    struct bytes empty = stream->going;

    if (bytes_size(&stream->going) > 0)
        return true;
    empty.start = empty.end = 0;
    stream->going = stream->waiting;
    stream->waiting = empty;
    return bytes_size(&stream->going) > 0;
}

static bool write_next(struct stream *stream)
{
    while (!stream->writing && next_going(stream)) {
        bool ok;

        io_begin(stream->loop, &stream->write);
        ok = stream->calls->write(stream, stream->going.data + stream->going.start,
                                  (DWORD)piece_size(stream));
        switch (io_started(stream->loop, &stream->write, ok, stream->skips)) {
        case IO_PENDING:
            stream->writing = true;
            stream->uses++;
            break;
        case IO_DONE:
            stream->going.start += stream->write.overlapped.InternalHigh;
            break;
        case IO_FAILED:
            return false;
        }
    }
    return true;
}

static void write_done(void *context, DWORD error, DWORD size)
{
    struct stream *stream = context;
    bool ok = error == ERROR_SUCCESS;

    stream->writing = false;
    stream->going.start += size;
    if (stream->channel) {
        if (ok && !stream->channel->broken)
            ok = write_next(stream);
        if (!ok)
            channel_write_failed(stream->channel);
        if (!ok || stream_queued(stream) == 0)
            channel_written(stream->channel);
    }
    release(stream);
}

bool stream_write(struct stream *stream, const uint8_t *bytes, size_t size)
{
    if (!bytes_add(&stream->waiting, bytes, size))
        return false;
    return write_next(stream);
}

size_t stream_queued(const struct stream *stream)
{
    return bytes_size(&stream->going) + bytes_size(&stream->waiting);
}

void stream_drop(struct stream *stream)
{
    bytes_clear(&stream->waiting);
    /* The system may still be reading the other. */
    if (!stream->writing)
        stream->going.start = stream->going.end;
}

/* --- files */

bool stream_handle_read(struct stream *stream, uint8_t *bytes, DWORD size)
{
    return ReadFile(stream->in.handle, bytes, size, NULL, &stream->read.overlapped);
}

bool stream_handle_write(struct stream *stream, const uint8_t *bytes, DWORD size)
{
    return WriteFile(stream->out.handle, bytes, size, NULL, &stream->write.overlapped);
}

void stream_handle_close(struct stream *stream)
{
    CancelIoEx(stream->in.handle, NULL);
    CloseHandle(stream->in.handle);
}

const struct stream_calls stream_handles = {
    .read = stream_handle_read, .write = stream_handle_write, .close = stream_handle_close};

void stream_open_handle(struct channel *channel, const struct stream_calls *calls, HANDLE handle,
                        const char *peer)
{
    struct stream *stream = stream_new(channel->loop, calls);

    if (!stream) {
        CloseHandle(handle);
        channel_failed(channel, false, "out of memory");
        return;
    }
    stream->in.handle = stream->out.handle = handle;
    stream->skips = SetFileCompletionNotificationModes(
        handle, FILE_SKIP_COMPLETION_PORT_ON_SUCCESS | FILE_SKIP_SET_EVENT_ON_HANDLE);
    channel_opened(channel, stream, peer);
}
