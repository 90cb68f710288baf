/* channel_windows.c - the loop over one completion port, and what all kinds of channels share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A read that is complete is delivered at once, or when its channel is no longer paused; the next
 * one is started after its event, so that what it brings is written to the other side before
 * anything else is done.
 */
#include "channel_windows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <winternl.h>

#include "clock.h"

#define COMPLETIONS_AT_ONCE 16u
/* What is under way when the loop is freed has been cancelled and ends soon; a system that does not
 * end it in this time must not keep the program. */
#define FAREWELL (2 * CLOCK_SECOND)

/* --- operations */

void io_begin(struct channel_loop *loop, struct io *io)
{
    memset(&io->overlapped, 0, sizeof io->overlapped);
    io->posted = false;
    loop->under_way++;
}

enum io_state io_started(struct channel_loop *loop, struct io *io, bool ok, bool skips)
{
    DWORD error = ok ? ERROR_SUCCESS : GetLastError();

    (void)io;
    if (error == ERROR_IO_PENDING || (ok && !skips))
        return IO_PENDING;
    loop->under_way--;
    SetLastError(error);
    return ok ? IO_DONE : IO_FAILED;
}

void io_post(struct channel_loop *loop, struct io *io, DWORD error, DWORD size)
{
    io->posted = true;
    io->error = error;
    PostQueuedCompletionStatus(loop->port, size, 0, &io->overlapped);
}

static void io_complete(struct channel_loop *loop, const OVERLAPPED_ENTRY *entry)
{
    struct io *io = (struct io *)(void *)entry->lpOverlapped;
    DWORD error = io->posted ? io->error : RtlNtStatusToDosError((NTSTATUS)io->overlapped.Internal);

    loop->under_way--;
    io->done(io->context, error, entry->dwNumberOfBytesTransferred);
}

bool loop_adopt(struct channel_loop *loop, HANDLE handle)
{
    return CreateIoCompletionPort(handle, loop->port, 0, 0) != NULL;
}

/* --- state */

static bool is_connected(const struct channel *channel)
{
    return channel->state == CHANNEL_OPEN || channel->state == CHANNEL_ENDED;
}

void channel_step_at(struct channel *channel, uint64_t when, void (*step)(struct channel *channel))
{
    channel->deadline = when;
    channel->step = step;
}

/* What is written from now on, and what is not yet, is lost. */
static void lose_queue(struct channel *channel)
{
    channel->lost += channel_queued(channel);
    channel->broken = true;
}

static void disconnect(struct channel *channel)
{
    struct stream *stream = channel->stream;

    lose_queue(channel);
    channel->state = CHANNEL_CLOSED;
    channel->deadline = UINT64_MAX;
    channel->broken = false;
    channel->ending = false;
    channel->stream = NULL;
    if (channel->job)
        job_leave(channel->job);
    channel->job = NULL;
    /* An end that listens makes the next instance of its pipe while this one keeps the name. */
    if (channel->kind->gone)
        channel->kind->gone(channel);
    if (stream)
        stream_close(stream);
}

void channel_opened(struct channel *channel, struct stream *stream, const char *peer)
{
    channel->stream = stream;
    channel->state = CHANNEL_OPEN;
    channel->deadline = UINT64_MAX;
    channel->lost = 0;
    channel->broken = false;
    channel->ending = false;
    stream->channel = channel;
    channel->events->opened(channel->context, peer);
    if (channel->stream)
        stream_read(channel->stream);
}

static void fail(struct channel *channel, bool lasting, const char *reason)
{
    disconnect(channel);
    channel->events->closed(channel->context, reason, lasting);
}

void channel_failed(struct channel *channel, bool lasting, const char *format, ...)
{
    char reason[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    fail(channel, lasting, reason);
}

void channel_failed_system(struct channel *channel, bool lasting, DWORD error, const char *format,
                           ...)
{
    struct problem problem;
    char what[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    problem_system(&problem, error, "%s", what);
    fail(channel, lasting, problem.text);
}

/* --- what streams report */

static bool is_hang_up(DWORD error)
{
    return error == ERROR_BROKEN_PIPE || error == ERROR_NO_DATA ||
           error == ERROR_PIPE_NOT_CONNECTED || error == ERROR_HANDLE_EOF ||
           error == ERROR_NETNAME_DELETED;
}

void channel_read_ended(struct channel *channel)
{
    if (channel->broken) {
        channel_failed(channel, false, "the other program closed the connection");
        return;
    }
    channel->state = CHANNEL_ENDED;
    channel->events->ended(channel->context);
    if (channel->state == CHANNEL_ENDED && channel->kind->ended)
        channel->kind->ended(channel);
}

void channel_read_failed(struct channel *channel, DWORD error)
{
    if (channel->kind->failed)
        channel->kind->failed(channel, error);
    else if (is_hang_up(error))
        channel_failed(channel, false, "the other program closed the connection");
    else
        channel_failed_system(channel, false, error, "reading failed");
}

static void finish_writing(struct channel *channel)
{
    channel->ending = false;
    if (channel->stream->calls->end)
        channel->stream->calls->end(channel->stream);
}

void channel_written(struct channel *channel)
{
    if (channel->kind->drained)
        channel->kind->drained(channel);
    if (!is_connected(channel) || channel_queued(channel) > 0)
        return;
    if (channel->ending)
        finish_writing(channel);
    channel->events->drained(channel->context);
}

static void broken_step(struct channel *channel)
{
    const char *reason = channel->kind->write_failed;

    channel_failed(channel, reason != NULL, "%s",
                   reason ? reason : "the other program closed the connection");
}

void channel_write_failed(struct channel *channel)
{
    lose_queue(channel);
    stream_drop(channel->stream);
    /* What the peer has sent is still to be read; its end is found there, or was already. */
    if (channel->state == CHANNEL_ENDED || channel->kind->write_failed)
        channel_step_at(channel, 0, broken_step);
}

/* --- the loop */

struct channel_loop *channel_loop_new(struct problem *problem)
{
    struct channel_loop *loop = calloc(1, sizeof *loop);
    WSADATA data;

    if (!loop) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    loop->port = CreateIoCompletionPort(INVALID_HANDLE_VALUE, NULL, 0, 1);
    if (!loop->port) {
        problem_system(problem, GetLastError(), "completion port");
        free(loop);
        return NULL;
    }
    /* Without sockets all but tcp: works, which then says so. */
    WSAStartup(MAKEWORD(2, 2), &data);
    return loop;
}

/* Takes completions, waiting for them until then. False: an error. */
static bool take_completions(struct channel_loop *loop, DWORD milliseconds, DWORD *error)
{
    OVERLAPPED_ENTRY entries[COMPLETIONS_AT_ONCE];
    ULONG count = 0;

    if (!GetQueuedCompletionStatusEx(loop->port, entries, COMPLETIONS_AT_ONCE, &count, milliseconds,
                                     FALSE)) {
        *error = GetLastError();
        return *error == WAIT_TIMEOUT;
    }
    for (ULONG i = 0; i < count; i++) {
        if (entries[i].lpOverlapped)
            io_complete(loop, &entries[i]);
        else
            atomic_store(&loop->woken, false);
    }
    return true;
}

void channel_loop_free(struct channel_loop *loop)
{
    uint64_t limit;
    DWORD error;

    if (!loop)
        return;
    limit = clock_monotonic() + FAREWELL;
    while (loop->under_way > 0 && clock_monotonic() < limit)
        if (!take_completions(loop, 50, &error))
            break;
    WSACleanup();
    /* A thread that still runs will report to the port. */
    if (loop->under_way > 0)
        return;
    CloseHandle(loop->port);
    free(loop);
}

void channel_loop_wake(struct channel_loop *loop)
{
    if (!atomic_exchange(&loop->woken, true))
        PostQueuedCompletionStatus(loop->port, 0, 0, NULL);
}

/* One event for each read that is complete. True: some may be complete again. */
static bool deliver_reads(struct channel_loop *loop)
{
    bool delivered = false;

    for (struct channel *channel = loop->channels; channel; channel = channel->next) {
        if (channel->stream && channel->stream->filled && !channel->paused) {
            stream_deliver(channel->stream);
            delivered = true;
        }
    }
    return delivered;
}

static uint64_t next_deadline(const struct channel_loop *loop)
{
    uint64_t next = UINT64_MAX;

    for (const struct channel *channel = loop->channels; channel; channel = channel->next)
        if (channel->deadline < next)
            next = channel->deadline;
    return next;
}

static void run_steps(struct channel_loop *loop)
{
    uint64_t now;

    if (next_deadline(loop) == UINT64_MAX)
        return;
    now = clock_monotonic();
    for (struct channel *channel = loop->channels; channel; channel = channel->next) {
        if (channel->deadline <= now) {
            channel->deadline = UINT64_MAX;
            channel->step(channel);
        }
    }
}

static DWORD milliseconds_until(uint64_t until)
{
    uint64_t now, left;

    if (until == UINT64_MAX)
        return INFINITE;
    now = clock_monotonic();
    if (until <= now)
        return 0;
    left = (until - now + CLOCK_MILLISECOND - 1) / CLOCK_MILLISECOND;
    return left > 60000 ? 60000 : (DWORD)left;
}

bool channel_loop_turn(struct channel_loop *loop, uint64_t until, struct problem *problem)
{
    bool delivered = deliver_reads(loop);
    uint64_t next = next_deadline(loop);
    DWORD error;

    if (delivered)
        next = 0;
    if (!take_completions(loop, milliseconds_until(next < until ? next : until), &error)) {
        problem_system(problem, error, "completion port");
        return false;
    }
    run_steps(loop);
    return true;
}

/* --- channels */

static const struct channel_kind *kind_of(const struct end *end)
{
    switch (end->kind) {
    case END_PIPE:
        return &channel_pipe;
    case END_PIPE_LISTEN:
        return &channel_pipe_listen;
    case END_COM:
        return &channel_com;
    case END_TCP:
        return &channel_tcp;
    case END_TCP_LISTEN:
        return &channel_tcp_listen;
    case END_EXEC:
        return &channel_exec;
    case END_VMBUS:
        return &channel_vmbus;
    default:
        return &channel_stdio;
    }
}

struct channel *channel_new(struct channel_loop *loop, const struct end *end,
                            const struct channel_events *events, void *context)
{
    struct channel *channel = calloc(1, sizeof *channel);

    if (!channel)
        return NULL;
    channel->loop = loop;
    channel->end = end;
    channel->events = events;
    channel->context = context;
    channel->kind = kind_of(end);
    channel->deadline = UINT64_MAX;
    channel->next = loop->channels;
    loop->channels = channel;
    return channel;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    for (struct channel **link = &channel->loop->channels; *link; link = &(*link)->next) {
        if (*link == channel) {
            *link = channel->next;
            break;
        }
    }
    channel_close(channel);
    if (channel->kind->stop)
        channel->kind->stop(channel);
    free(channel);
}

static void open_step(struct channel *channel)
{
    channel->kind->open(channel);
}

void channel_open(struct channel *channel)
{
    if (channel->state != CHANNEL_CLOSED)
        return;
    channel->state = CHANNEL_OPENING;
    channel_step_at(channel, 0, open_step);
}

void channel_close(struct channel *channel)
{
    if (channel->state != CHANNEL_CLOSED)
        disconnect(channel);
}

size_t channel_write(struct channel *channel, const uint8_t *bytes, size_t size)
{
    bool written;

    if (!is_connected(channel) || size == 0)
        return channel_queued(channel);
    if (channel->broken) {
        channel->lost += size;
        return 0;
    }
    if (channel->kind->write)
        written = channel->kind->write(channel, bytes, size);
    else
        written = stream_write(channel->stream, bytes, size);
    if (!written)
        channel_write_failed(channel);
    return channel_queued(channel);
}

uint64_t channel_lost(const struct channel *channel)
{
    return channel->lost;
}

size_t channel_queued(const struct channel *channel)
{
    size_t queued;

    if (!is_connected(channel) || channel->broken)
        return 0;
    queued = stream_queued(channel->stream);
    if (channel->kind->queued)
        queued += channel->kind->queued(channel);
    return queued;
}

void channel_pause(struct channel *channel, bool paused)
{
    if (channel->paused == paused)
        return;
    channel->paused = paused;
    if (!paused && channel->state == CHANNEL_OPEN)
        stream_read(channel->stream);
}

/* A wait of Windows ends at a tick of its clock, 1 to 15 ms apart: that would cost, not save. */
void channel_gather(struct channel *channel, size_t missing)
{
    (void)channel;
    (void)missing;
}

void channel_end(struct channel *channel)
{
    if (!is_connected(channel) || channel->broken)
        return;
    if (channel_queued(channel) > 0)
        channel->ending = true;
    else
        finish_writing(channel);
}
