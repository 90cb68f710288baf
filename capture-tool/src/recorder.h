/* recorder.h - a thread that writes down what the relay has already forwarded.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The relay hands over bytes and notes through a bounded queue and goes on at once; nothing that
 * happens here can make it wait. When the queue is full, what comes is counted instead of kept.
 *
 * The thread cuts each direction into KD packets, break-ins and noise with the framer of lib/kd and
 * makes one record of each: a packet when it is complete, noise after RECORDER_NOISE_SILENCE or
 * when something else follows. Every byte of the queue is in exactly one record. The time of a
 * record is that of the read of its first byte; records are in the order in which they became
 * complete. The same frames tell the state of the link (linkwatch.h), also when nothing is written.
 *
 * Output that fails is reported once and tried again all the time; meanwhile records that find no
 * room in its buffer are counted as lost. The count goes into the file with the first record that
 * can be written again.
 */
#ifndef KDLENS_RECORDER_H
#define KDLENS_RECORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "clock.h"
#include "end.h"
#include "problem.h"
#include "status.h"

#define RECORDER_QUEUE_SIZE     (UINT64_C(32) << 20) /* default of recorder_config.queue_size */
#define RECORDER_NOISE_SILENCE  (50 * CLOCK_MILLISECOND)
#define RECORDER_PACKET_SILENCE (500 * CLOCK_MILLISECOND) /* ends an unfinished packet */
#define RECORDER_PERIOD         (20 * CLOCK_MILLISECOND)  /* from the read to the file, about */

struct recorder;

/* Strings stay the caller's until recorder_stop. */
struct recorder_config {
    const char *file;            /* pcapng, compressed when it ends in .gz; NULL: none */
    const char *const *rotation; /* "filesize:1000", "duration:60", "files:5" */
    size_t rotation_count;
    const char *live;    /* FIFO or pipe for a Wireshark; NULL: none */
    bool live_make;      /* the FIFO is made when it is not there, and removed at the end */
    bool raw;            /* one record a read */
    bool doctor;         /* what is wrong with the link is told as it becomes clear */
    const char *ends[2]; /* how the ends are named, by enum side */
    uint32_t baud;       /* of a serial end; 0: none */
    uint64_t queue_size; /* bytes, 0: the default; memory beyond that is taken as it is used */
    struct status *status;
};

/* Opens the outputs and starts the thread. NULL, with a problem, also when the file cannot be
 * made. */
struct recorder *recorder_start(const struct recorder_config *config, struct problem *problem);

/* Records what is queued, ends the file properly, frees it. NULL is allowed. */
void recorder_stop(struct recorder *recorder);

/* The rest is for one thread only, the relay's. when: monotonic. */

/* Bytes that went from this end to the other. comment: NULL, or something to say about them; their
 * records then have no other bytes. */
void recorder_bytes(struct recorder *recorder, enum side from, uint64_t when, const uint8_t *bytes,
                    size_t size, const char *comment);

/* Bytes read from this end that the other end does not get; the comment says why. */
void recorder_undelivered(struct recorder *recorder, enum side from, uint64_t when,
                          const uint8_t *bytes, size_t size, const char *comment);

/* A comment of its own: an event of the connection, a marker. */
void recorder_note(struct recorder *recorder, uint64_t when, const char *format, ...)
    LIKE_PRINTF(3, 4);

/* The end is connected or not, for the link's state. Records that are unfinished, of both ends, end
 * here, so that each lies on one side of the event. */
void recorder_connection(struct recorder *recorder, enum side side, uint64_t when, bool connected);

#endif
