/* trace.h - records what the agent's VMBus client sees, as a capture of our format `vmbus`.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. The buffer is a whole pcapng file at any moment: who can read the memory, or gets it as a
 * file, can open it. When it is full, what follows is left out and counted: the beginning is what
 * tells why there is no line. Times are microseconds since the trace began, dated 1970.
 */
#ifndef KDA_TRACE_H
#define KDA_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmbus.h"

#define KDA_TRACE_MIN 1024u

/* Members are the trace's; bytes[0..*used) is the file. */
struct kda_trace {
    uint8_t *bytes;
    size_t room;
    uint64_t *used;
    uint32_t number;  /* of the last record, those left out included */
    uint32_t missing; /* left out */
    uint64_t start;
    const struct kda_vmbus *bus; /* whose time, SINT and processor these are */
};

/* room: at least KDA_TRACE_MIN; less: nothing is recorded. used: where the file's size stands. */
void kda_trace_begin(struct kda_trace *trace, uint8_t *buffer, size_t room, uint64_t *used,
                     const struct kda_vmbus *bus);

/* A packet at index start of this ring, size bytes with its footer. */
void kda_trace_packet(struct kda_trace *trace, bool to_host, const struct kd_ring *ring,
                      uint32_t start, uint32_t size);
/* There should be one, and is none. */
void kda_trace_bad(struct kda_trace *trace, const struct kd_ring *ring, enum kd_ring_status status);

/* The client's and the pipe's watch, which records here. */
struct kda_vmbus_watch kda_trace_watch(struct kda_trace *trace);

#endif
