/* lane.h - one direction of the byte stream, cut into what becomes records.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no clock, no I/O. Bytes go in with the time of their read; packets, break-ins and runs of
 * noise come out, each with the time of the read of its first byte. Every byte comes out once, in
 * order.
 */
#ifndef KDLENS_LANE_H
#define KDLENS_LANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"
#include "kd/frame.h"

/* Which way what this side sends goes. */
static inline enum kd_flow lane_flow(enum side side)
{
    return side == SIDE_DEBUGGER ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;
}

#define LANE_CAPACITY KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)
#define LANE_NOISE    16384u

struct lane_events {
    /* A frame of the framer; noise in pieces. when: the read of its last byte. */
    void (*frame)(void *context, enum side side, uint64_t when, const struct kd_frame *frame,
                  const uint8_t *bytes);
    /* Bytes of one record. when: the read of its first byte. */
    void (*record)(void *context, enum side side, uint64_t when, const uint8_t *bytes, size_t size);
};

/* Where in the stream the bytes of a read begin. */
struct lane_mark {
    uint64_t position;
    uint64_t when;
};

struct lane {
    enum side side;
    const struct lane_events *events;
    void *context;
    struct kd_framer framer;
    uint64_t pushed; /* bytes of the stream that went into the framer */
    uint64_t taken;  /* and that came out as frames */
    uint64_t last;   /* when the last byte was read */
    size_t first_mark, marks;
    uint64_t noise_when;
    size_t noise_size;
    struct lane_mark mark[LANE_CAPACITY + 1]; /* a ring: at most one for each byte in the framer */
    uint8_t buffer[LANE_CAPACITY];
    uint8_t noise[LANE_NOISE];
};

void lane_init(struct lane *lane, enum side side, const struct lane_events *events, void *context);

void lane_push(struct lane *lane, uint64_t when, const uint8_t *bytes, size_t size);

/* The run of noise so far becomes a record. */
void lane_end_noise(struct lane *lane);

/* All that is unfinished becomes records. */
void lane_end(struct lane *lane);

/* Whether bytes wait in the framer; whether a run of noise waits. */
bool lane_is_open(const struct lane *lane);
bool lane_has_noise(const struct lane *lane);

#endif
