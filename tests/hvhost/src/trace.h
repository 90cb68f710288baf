/* trace.h - what went between guest and host, as records for a capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Written to a second debug console when there is one. A record there is u32 size of the rest, u64
 * microseconds since the start, struct kd_vmbus_record, data; hvtrace.py makes a capture of them.
 */
#ifndef HVHOST_TRACE_H
#define HVHOST_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "hostring.h"

struct host;

#define TRACE_PORT 0x403

struct trace {
    bool on;
    uint32_t number;
    uint8_t packet[HOSTRING_PACKET_MAX]; /* copy of one that the host has written */
};

/* Looks whether somebody listens. */
void trace_start(struct trace *trace);

/* direction: enum kd_vmbus_record_direction; flags: enum kd_vmbus_record_flags; status: enum
 * kd_hv_status of the hypercall, for what goes to the host.
 *
 * parts: struct kd_hv_post_message or struct kd_hv_message, and the payload. */
void trace_message(struct host *host, uint8_t direction, uint8_t sint, uint32_t connection_id,
                   uint32_t status, const struct host_part parts[2]);

/* relid 0: not known. */
void trace_signal(struct host *host, uint8_t direction, uint8_t sint, uint32_t connection_id,
                  uint32_t relid, uint32_t flag, uint32_t status, uint8_t flags);

/* A packet without its trailer, and the index it began at. */
void trace_packet(struct host *host, uint8_t direction, const struct channel *channel,
                  const uint8_t *bytes, uint32_t size, uint32_t start, uint8_t flags);

void trace_msr(struct host *host, uint8_t direction, uint32_t index, uint64_t value);

#endif
