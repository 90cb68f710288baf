/* fault.h - what --fault does to the line: packets lost, damaged, repeated, late, on purpose.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O. For tests of debuggers and targets: is a session still
 * right when the line is bad? Each direction is cut into frames (kd/frame.h). A packet or break-in
 * is, by chance, dropped; or one bit of it is flipped; or it goes out twice; or it goes out late,
 * and all that comes behind it waits, as on a serial line, where nothing overtakes. Noise passes.
 *
 * The same seed and the same frames of a direction give the same faults: each direction has a
 * sequence of its own, and each frame takes the same number of its numbers.
 */
#ifndef KDLENS_FAULT_H
#define KDLENS_FAULT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"
#include "kd/frame.h"
#include "problem.h"

#define FAULT_CERTAIN UINT64_C(0x100000000) /* a chance of 1 */
#define FAULT_DELAY   UINT64_C(50000000)    /* when the option names no time */
#define FAULT_IDLE    UINT64_C(500000000)   /* after which an unfinished frame goes out as it is */
/* Room for what comes while a stream waits; when it is full the wait is over. */
#define FAULT_ROOM (KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE) + 262144u)

enum fault_kind { FAULT_DROP, FAULT_CORRUPT, FAULT_DUP, FAULT_LATE, FAULT_KINDS };

struct fault_options {
    const char *text;             /* as given */
    uint64_t chance[FAULT_KINDS]; /* of FAULT_CERTAIN */
    uint64_t delay;               /* nanoseconds */
    uint64_t seed;
    bool from[2]; /* by enum side: whose frames */
};

struct fault_span {
    enum side from;
    bool delivered;    /* false: the other end does not get it */
    bool late;         /* it goes out at the time of the call, not at when */
    uint64_t when;     /* when the first byte was read */
    const char *fault; /* what was done to it; NULL: nothing */
    const uint8_t *bytes;
    size_t size;
};

struct fault_events {
    /* Spans of one direction come in order; bytes and text are valid during the call. */
    void (*span)(void *context, const struct fault_span *span);
};

/* Members are the machine's. */
struct fault_stream {
    struct kd_framer framer;
    uint64_t random;
    uint64_t since; /* when the first byte was read that has not gone out */
    uint64_t last;  /* when the last one was */
    uint64_t due;   /* when the frame kept goes out; kept is 0: none */
    uint64_t kept_since;
    size_t kept;
    uint8_t frame[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    uint8_t buffer[FAULT_ROOM];
};

struct fault {
    const struct fault_events *events;
    void *context;
    struct fault_options options;
    uint64_t counts[FAULT_KINDS];
    uint64_t frames;
    struct fault_stream streams[2]; /* by enum side */
};

/* "drop=0.01,corrupt=1%,dup=0.01,delay=0.02:100ms,seed=7,from=target"; each part may be left out.
 * False, with a problem. */
bool fault_parse(struct fault_options *options, const char *text, struct problem *problem);

void fault_init(struct fault *fault, const struct fault_options *options,
                const struct fault_events *events, void *context);

/* Bytes of one end, as read. */
void fault_push(struct fault *fault, enum side from, uint64_t when, const uint8_t *bytes,
                size_t size);

/* An end is gone: all that waits, of both directions, goes out as it is. */
void fault_disconnected(struct fault *fault);

/* Whether this direction waits: no more is to be read from its end. */
bool fault_waits(const struct fault *fault, enum side from);

/* When fault_tick has something to do; UINT64_MAX: never. */
uint64_t fault_deadline(const struct fault *fault);

void fault_tick(struct fault *fault, uint64_t now);

/* "3 of 120 frames dropped, 1 damaged, 0 repeated, 2 late". */
void fault_summary(const struct fault *fault, char *out, size_t room);

#endif
