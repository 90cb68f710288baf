/* kd-timeline.h - a connection in time: its number, its stops, what the debugger waits for.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The timeline is told of each unit once, in capture order (the first visit), after the session
 * was. What it finds is stored with the unit as its moment, which later visits read. A stop is
 * filled in as the packets come that belong to it.
 */
#ifndef KDLENS_PLUGIN_KD_TIMELINE_H
#define KDLENS_PLUGIN_KD_TIMELINE_H

#include "kd-session.h"

/* What ended a stop. */
enum kd_stop_end {
    KD_STOP_OPEN, /* nothing that was captured */
    KD_STOP_GO,
    KD_STOP_STEP,
    KD_STOP_REBOOT,
    KD_STOP_BUGCHECK,
    KD_STOP_REPLACED, /* the next state change, without any request that lets the target go on */
};

extern const value_string kd_stop_end_names[];

struct kd_stop {
    const struct kd_packet *change; /* the state change */
    uint32_t last;                  /* frame of what ended it, or of the last unit in it */
    nstime_t time;                  /* since the first frame of the capture */
    nstime_t duration;              /* to what ended it, or to the last unit in it */
    uint64_t read;                  /* bytes of memory that replies brought */
    uint64_t written;               /* bytes of memory that the target took */
    uint32_t requests;              /* of the debugger, without repetitions */
    uint16_t processor;
    uint8_t mode; /* enum kd_mode */
    uint8_t end;  /* enum kd_stop_end */
};

/* What the timeline says of one unit. */
struct kd_moment {
    uint32_t stream;      /* number of the connection in this capture, from 0 */
    uint32_t outstanding; /* bytes asked for and not answered yet, after this unit */
    nstime_t stopped; /* since the unit before, when the target was stopped then; else negative */
    const struct kd_stop *stop;   /* this unit is a part of, or null */
    const struct kd_stop *before; /* a stop that this state change replaces, or null */
};

struct kd_timeline;

/* In file scope. */
struct kd_timeline *kd_timeline_new(void);

/* First visit: the moment of a break-in or noise (packet null), or of a packet with its payload. */
void kd_timeline_see(struct kd_timeline *timeline, const packet_info *pinfo,
                     const struct kd_packet *packet, const uint8_t *payload, size_t size,
                     struct kd_moment *moment);

/* Whether Continue2 asks for one step; body is the message's union, size what there is of it. */
bool kd_timeline_is_step(enum kd_arch arch, const uint8_t *body, size_t size);

/* Connections seen so far in this capture. */
uint32_t kd_timeline_count(void);

/* Shows the moment in the tree of a unit: kd.stream, kd.time_stopped, kd.bytes_outstanding. */
void kd_moment_show(tvbuff_t *tvb, proto_tree *tree, const struct kd_moment *moment);

void kd_timeline_register(int proto);

#endif
