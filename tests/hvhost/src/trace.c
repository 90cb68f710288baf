/* trace.c - records of our capture format `vmbus`, on a debug console.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "trace.h"

#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define CONSOLE_HERE 0xE9 /* what QEMU's debug console reads as */

void trace_start(struct trace *trace)
{
    trace->on = x86_in8(TRACE_PORT) == CONSOLE_HERE;
    trace->number = 0;
}

static struct kd_vmbus_record begin(enum kd_vmbus_record_kind kind, uint8_t direction, uint8_t sint)
{
    return (struct kd_vmbus_record){
        .version = kd_put8(KD_VMBUS_RECORD_VERSION),
        .kind = kd_put8((uint8_t)kind),
        .direction = kd_put8(direction),
        .flags = kd_put8(KD_VMBUS_RECORD_BY_HOST),
        .head_size = kd_put16(sizeof(struct kd_vmbus_record)),
        .sint = kd_put8(sint),
        .vp = kd_put32(0),
    };
}

/* The record's data are two pieces. */
static void put(struct host *host, struct kd_vmbus_record *record, const struct host_part parts[2])
{
    uint32_t size = (uint32_t)(sizeof(uint64_t) + sizeof *record) + parts[0].size + parts[1].size;
    uint64_t now = log_now(&host->log);

    record->number = kd_put32(++host->trace.number);
    x86_out_string(TRACE_PORT, &size, sizeof size);
    x86_out_string(TRACE_PORT, &now, sizeof now);
    x86_out_string(TRACE_PORT, record, sizeof *record);
    x86_out_string(TRACE_PORT, parts[0].bytes, parts[0].size);
    x86_out_string(TRACE_PORT, parts[1].bytes, parts[1].size);
}

void trace_message(struct host *host, uint8_t direction, uint8_t sint, uint32_t connection_id,
                   uint32_t status, const struct host_part parts[2])
{
    struct kd_vmbus_record record = begin(KD_VMBUS_RECORD_MESSAGE, direction, sint);

    if (!host->trace.on)
        return;
    record.connection_id = kd_put32(connection_id);
    record.status = kd_put32(status);
    put(host, &record, parts);
}

void trace_signal(struct host *host, uint8_t direction, uint8_t sint, uint32_t connection_id,
                  uint32_t relid, uint32_t flag, uint32_t status, uint8_t flags)
{
    static const struct host_part nothing[2];
    struct kd_vmbus_record record = begin(KD_VMBUS_RECORD_SIGNAL, direction, sint);

    if (!host->trace.on)
        return;
    record.connection_id = kd_put32(connection_id);
    record.relid = kd_put32(relid);
    record.event_flag = kd_put32(flag);
    record.status = kd_put32(status);
    record.flags = kd_put8(KD_VMBUS_RECORD_BY_HOST | flags);
    put(host, &record, nothing);
}

void trace_packet(struct host *host, uint8_t direction, const struct channel *channel,
                  const uint8_t *bytes, uint32_t size, uint32_t start, uint8_t flags)
{
    const struct connection *connection = &host->vmbus.connections[channel->connection];
    struct kd_vmbus_record record = begin(KD_VMBUS_RECORD_PACKET, direction, connection->sint);
    const struct host_ring *ring =
        direction == KD_VMBUS_TO_HOST ? &channel->from_guest : &channel->to_guest;
    const struct kd_vmbus_footer footer = {.start = kd_put32(start)};
    const struct host_part parts[2] = {{bytes, size}, {&footer, sizeof footer}};

    if (!host->trace.on)
        return;
    record.flags = kd_put8(KD_VMBUS_RECORD_BY_HOST | flags);
    record.relid = kd_put32(channel->relid);
    record.connection_id = kd_put32(channel_event_id(host, channel));
    record.ring_size = kd_put32(ring->size);
    record.ring_write = kd_put32(guest_get32(ring->control));
    record.ring_read = kd_put32(guest_get32(ring->control + 4));
    record.ring_start = kd_put32(start);
    put(host, &record, parts);
}

void trace_msr(struct host *host, uint8_t direction, uint32_t index, uint64_t value)
{
    struct kd_vmbus_record record = begin(KD_VMBUS_RECORD_MSR, direction, KD_VMBUS_RECORD_NO_SINT);
    struct kd_vmbus_record_msr data = {.msr = kd_put32(index), .value = kd_put64(value)};
    const struct host_part parts[2] = {{&data, sizeof data}, {NULL, 0}};

    if (host->trace.on)
        put(host, &record, parts);
}
