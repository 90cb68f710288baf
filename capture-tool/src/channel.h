/* channel.h - an end of the debug connection as a stream of bytes: open, read, write, close.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * channel_linux.c (epoll) and channel_windows.c (one completion port) implement it. Everything here
 * belongs to the thread that turns the loop, except channel_loop_wake.
 *
 * What a channel is at any time, and what moves it:
 *   CLOSED   channel_open -> OPENING
 *   OPENING  connects, or waits for the other program. Event opened -> OPEN. Event closed -> CLOSED
 *   OPEN     bytes flow. Event ended -> ENDED. Event closed, channel_close -> CLOSED
 *   ENDED    the peer sends no more, but may still read what is written. Event closed,
 *            channel_close -> CLOSED. When another program comes to an end that listens, it takes
 *            the place of this one: event closed, and the next channel_open lets it in
 *
 * Ends that listen keep listening from the first channel_open until channel_free. While a program
 * is connected another one is turned away (event notice); in CLOSED it waits for the next
 * channel_open. What the peer sent before it closed is always delivered, also after writing to it
 * has failed.
 *
 * Within an event every function may be called but channel_free, channel_loop_turn and
 * channel_loop_free.
 */
#ifndef KDLENS_CHANNEL_H
#define KDLENS_CHANNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"

struct channel;
struct channel_loop;

/* Most bytes of one received event. */
#define CHANNEL_READ_SIZE 65536u

struct channel_events {
    /* An end that listens is ready for its peer, which comes by this address: "127.0.0.1:5000". */
    void (*listening)(void *context, const char *address);
    /* peer: who, for people; "" when there is nothing to say beyond the end's name. */
    void (*opened)(void *context, const char *peer);
    /* when: monotonic nanoseconds (clock.h), taken at the read. bytes are valid during the call. */
    void (*received)(void *context, uint64_t when, const uint8_t *bytes, size_t size);
    /* What channel_write had queued has gone out. */
    void (*drained)(void *context);
    void (*ended)(void *context);
    /* lasting: trying again cannot help (no such kind of device, a name in use by a file, ...). */
    void (*closed)(void *context, const char *reason, bool lasting);
    /* Something worth a line that changes nothing. */
    void (*notice)(void *context, const char *text);
};

struct channel_loop *channel_loop_new(struct problem *problem);

/* Frees what the loop has; all its channels must have been freed. NULL is allowed. */
void channel_loop_free(struct channel_loop *loop);

/* Waits until something happens, at most until this monotonic time (UINT64_MAX: no limit), and
 * calls the events that are due. False, with a problem, when waiting itself fails. */
bool channel_loop_turn(struct channel_loop *loop, uint64_t until, struct problem *problem);

/* Ends a channel_loop_turn that waits, or the next one. From any thread, and from a signal
 * handler. */
void channel_loop_wake(struct channel_loop *loop);

/* A CLOSED channel. end and events stay the caller's and must outlive it. NULL: no memory. */
struct channel *channel_new(struct channel_loop *loop, const struct end *end,
                            const struct channel_events *events, void *context);

/* Closes it and stops listening; removes what it made (socket, link). NULL is allowed. */
void channel_free(struct channel *channel);

/* CLOSED -> OPENING. Success and failure come as events, in a later turn of the loop. */
void channel_open(struct channel *channel);

/* To CLOSED, at once and without an event; what is queued is dropped. */
void channel_close(struct channel *channel);

/* Writes what goes at once and queues the rest, in order, however much it is: the caller bounds it
 * by channel_pause on where the bytes come from. Returns how many bytes are queued now; 0: the
 * system has all. Nothing is written, and 0 returned, unless OPEN or ENDED. */
size_t channel_write(struct channel *channel, const uint8_t *bytes, size_t size);

/* Bytes queued. */
size_t channel_queued(const struct channel *channel);

/* Bytes that channel_write took since the channel was opened last and that the system has not
 * taken: also valid in the event closed. */
uint64_t channel_lost(const struct channel *channel);

/* While paused nothing is read; opening, writing and closing go on. Survives channel_open. */
void channel_pause(struct channel *channel, bool paused);

/* A hint, given within the event received: what came is a part of something that can be used only
 * when so many more bytes have come (0: it can be used now). The channel then lets them come
 * together instead of reading each by itself, where gather.h says that it pays; what is there is
 * read GATHER_MAX later at the latest. */
void channel_gather(struct channel *channel, size_t missing);

/* The peer will be told that no more comes, after what is queued, where its kind can say so. */
void channel_end(struct channel *channel);

#endif
