/* channel_windows.h - what the Windows files of the channel layer share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * One completion port serves everything. What may block for long (names, opening devices) runs as a
 * job in a thread of its own, which reports to the port as well.
 *
 *   channel_windows.c         the loop, and what channels have in common
 *   channel_windows_stream.c  reading and writing a connection
 *   channel_windows_job.c     jobs
 *   channel_windows_KIND.c    opening one kind of end
 *
 * A handle that is closed while an operation is under way still completes it: whatever the port may
 * give back (struct io) belongs to a stream, job or listener that lives until then, without its
 * channel.
 */
#ifndef KDLENS_CHANNEL_WINDOWS_H
#define KDLENS_CHANNEL_WINDOWS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <winsock2.h>

#include <windows.h>

#include "channel.h"
#include "thread.h"

/* --- one operation under way (channel_windows.c) */

struct io {
    OVERLAPPED overlapped; /* first: the port gives its address back */
    void (*done)(void *context, DWORD error, DWORD size);
    void *context;
    DWORD error; /* of one that a thread has posted */
    bool posted;
};

enum io_state { IO_PENDING, IO_DONE, IO_FAILED };

struct channel_loop {
    HANDLE port;
    struct channel *channels;
    size_t under_way; /* operations that the port will give back */
    atomic_bool woken;
};

/* Before the system is asked. */
void io_begin(struct channel_loop *loop, struct io *io);

/* After it, with what it returned. skips: success at once is not given back by the port. IO_DONE:
 * overlapped.InternalHigh bytes; IO_FAILED: GetLastError says why. */
enum io_state io_started(struct channel_loop *loop, struct io *io, bool ok, bool skips);

/* What io_begin began is over. From any thread. */
void io_post(struct channel_loop *loop, struct io *io, DWORD error, DWORD size);

/* Operations on this handle are given back by the port from now on. */
bool loop_adopt(struct channel_loop *loop, HANDLE handle);

/* --- bytes that wait */

struct bytes {
    uint8_t *data;
    size_t start, end, capacity;
};

size_t bytes_size(const struct bytes *bytes);
bool bytes_add(struct bytes *bytes, const uint8_t *data, size_t size);
void bytes_clear(struct bytes *bytes);

/* --- a connection (channel_windows_stream.c) */

struct stream;

struct stream_calls {
    /* As ReadFile and WriteFile, for stream->read and stream->write. */
    bool (*read)(struct stream *stream, uint8_t *bytes, DWORD size);
    bool (*write)(struct stream *stream, const uint8_t *bytes, DWORD size);
    /* No more is written. NULL: the other side cannot be told. */
    void (*end)(struct stream *stream);
    /* Closes the handles; what is under way ends soon. */
    void (*close)(struct stream *stream);
    /* Nothing is under way any more. May be NULL. */
    void (*clear)(struct stream *stream);
    /* After a read of first_size bytes: how many more are there. */
    DWORD (*rest)(struct stream *stream);
    DWORD first_size; /* 0: as many as there is room for */
    bool zero_ends;   /* a read of nothing is the end of what comes */
};

struct stream {
    struct channel_loop *loop;
    struct channel *channel; /* NULL: closed */
    const struct stream_calls *calls;
    unsigned uses; /* the channel, operations under way, an event being called */
    union {
        HANDLE handle;
        SOCKET socket;
    } in, out; /* the same, or one for each direction */
    void *own; /* of the calls */
    struct io read, write;
    bool skips;   /* success at once is not given back by the port */
    bool reading; /* an operation is under way */
    bool writing;
    bool filled;    /* a read is complete: error, size, when, bytes */
    bool has_first; /* its first part is, the rest is under way */
    DWORD error;
    DWORD size;
    uint64_t when;
    struct bytes going, waiting; /* being written; to be written then */
    uint8_t bytes[CHANNEL_READ_SIZE];
};

/* Reads and writes handles by ReadFile and WriteFile. */
extern const struct stream_calls stream_handles;
bool stream_handle_read(struct stream *stream, uint8_t *bytes, DWORD size);
bool stream_handle_write(struct stream *stream, const uint8_t *bytes, DWORD size);
void stream_handle_close(struct stream *stream);

/* NULL: no memory. */
struct stream *stream_new(struct channel_loop *loop, const struct stream_calls *calls);

/* A stream of this handle for both directions, which the loop has adopted, and opened. Takes the
 * handle in any case. */
void stream_open_handle(struct channel *channel, const struct stream_calls *calls, HANDLE handle,
                        const char *peer);

/* Reads on, if it should be read. */
void stream_read(struct stream *stream);

/* Calls the event of a read that is complete. */
void stream_deliver(struct stream *stream);

/* Queues and writes. False: out of memory, or writing has failed. */
bool stream_write(struct stream *stream, const uint8_t *bytes, size_t size);

size_t stream_queued(const struct stream *stream);

/* What is queued is not written. */
void stream_drop(struct stream *stream);

/* Detaches it from its channel; it goes when nothing is under way. */
void stream_close(struct stream *stream);

/* --- a channel (channel_windows.c) */

enum channel_state { CHANNEL_CLOSED, CHANNEL_OPENING, CHANNEL_OPEN, CHANNEL_ENDED };

/* What differs between kinds of ends. Members that are NULL do nothing. */
struct channel_kind {
    /* OPENING: starts opening. */
    void (*open)(struct channel *channel);
    /* The connection, or the attempt, is over. */
    void (*gone)(struct channel *channel);
    /* Stops listening, frees channel->own. */
    void (*stop)(struct channel *channel);
    /* Bytes on their way to the event and to the stream. */
    void (*received)(struct channel *channel, uint64_t when, const uint8_t *bytes, size_t size);
    bool (*write)(struct channel *channel, const uint8_t *bytes, size_t size);
    /* What the stream had is written; more may follow. */
    void (*drained)(struct channel *channel);
    size_t (*queued)(const struct channel *channel);
    /* How many of these bytes one write shall have. */
    size_t (*piece)(const uint8_t *bytes, size_t size);
    /* ENDED: the event has been called. */
    void (*ended)(struct channel *channel);
    /* A read has failed: ends the connection, with a reason; the default knows ends of pipes. */
    void (*failed)(struct channel *channel, DWORD error);
    /* Why it ends, for good, when a write has failed. NULL: it lasts until there is nothing left to
     * read. */
    const char *write_failed;
};

struct job;

struct channel {
    struct channel *next;
    struct channel_loop *loop;
    const struct end *end;
    const struct channel_events *events;
    void *context;
    const struct channel_kind *kind;
    enum channel_state state;
    struct stream *stream; /* OPEN and ENDED */
    struct job *job;       /* OPENING, of most kinds */
    void *own;             /* of the kind */
    bool paused;
    bool broken;       /* writing failed: what is written is dropped */
    bool ending;       /* the other side is to be told when all is written */
    uint64_t lost;     /* as channel_lost */
    uint64_t deadline; /* when step is due; UINT64_MAX: never */
    void (*step)(struct channel *channel);
};

extern const struct channel_kind channel_pipe, channel_pipe_listen, channel_com, channel_tcp,
    channel_tcp_listen, channel_stdio, channel_exec, channel_vmbus;

/* OPEN, on this stream, whose handles the loop has adopted. */
void channel_opened(struct channel *channel, struct stream *stream, const char *peer);

/* CLOSED, and the event. */
void channel_failed(struct channel *channel, bool lasting, const char *format, ...)
    LIKE_PRINTF(3, 4);

/* The same with the system's words for an error. */
void channel_failed_system(struct channel *channel, bool lasting, DWORD error, const char *format,
                           ...) LIKE_PRINTF(4, 5);

void channel_step_at(struct channel *channel, uint64_t when, void (*step)(struct channel *channel));

/* For the stream: the end of what comes; an error of reading; all is written; an error of writing.
 * For kinds, too, if nothing is being delivered. */
void channel_read_ended(struct channel *channel);
void channel_read_failed(struct channel *channel, DWORD error);
void channel_written(struct channel *channel);
void channel_write_failed(struct channel *channel);

/* --- blocking work (channel_windows_job.c) */

struct job {
    struct io io;
    struct channel_loop *loop;
    struct channel *channel; /* NULL: nobody waits for it any more */
    struct thread thread;
    void (*run)(struct job *job);                             /* in the thread */
    void (*finish)(struct channel *channel, struct job *job); /* in the loop, once it ran */
    void (*discard)(struct job *job); /* closes what it made when nobody waits */
    HANDLE cancel;                    /* an event: it should end early */
    char *place, *port, *library;
    uint32_t baud;
    HANDLE handle; /* what it works with, and made; NULL: nothing */
    SOCKET socket;
    void *call; /* a function it found; see its user */
    bool failed;
    bool lasting;
    struct problem problem;
    char peer[128];
};

/* Starts the work for this channel, or fails it. handle and call are given to the job. */
struct job_work {
    void (*run)(struct job *job);
    void (*finish)(struct channel *channel, struct job *job);
    void (*discard)(struct job *job);
    HANDLE handle;
    void *call;
};
void job_start(struct channel *channel, const struct job_work *work);

/* Its channel no longer waits for it. */
void job_leave(struct job *job);

bool job_cancelled(const struct job *job);

/* From run: what went wrong. */
void job_failed(struct job *job, bool lasting, const char *format, ...) LIKE_PRINTF(3, 4);
void job_failed_system(struct job *job, bool lasting, DWORD error, const char *format, ...)
    LIKE_PRINTF(4, 5);

/* finish for a file handle that is a stream as it is; discard for any. */
void job_finish_handle(struct channel *channel, struct job *job);
void job_discard_handle(struct job *job);

#endif
