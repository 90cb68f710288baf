/* trace.c - records as blocks of a pcapng file in memory. See trace.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Blocks as draft-ietf-opsawg-pcapng has them, heads of records as Wireshark's upper-PDU link type;
 * lib/capture writes the same where there is a C library.
 */
#include "trace.h"

#include "bytes.h"

#define BLOCK_PACKET        6u
#define LINKTYPE_UPPER_PDU  252u
#define PACKET_INBOUND      1u
#define PACKET_OUTBOUND     2u
#define OPTION_PACKET_FLAGS 2u
#define OPTION_SIZE         4u

/* As cap_upper_pdu_encode writes it for "vmbus": tag 12, the name; tag 35, the direction; end. */
#define DIRECTION_AT 19u
static const uint8_t pdu_head[] = {0, 12, 0, 8, 'v', 'm', 'b', 'u', 's', 0, 0, 0,
                                   0, 35, 0, 4, 0,   0,   0,   0,   0,   0, 0, 0};

static const uint8_t section[] = {0x0A, 0x0D, 0x0D, 0x0A, 28, 0, 0,    0,    0x4D, 0x3C,
                                  0x2B, 0x1A, 1,    0,    0,  0, 0xFF, 0xFF, 0xFF, 0xFF,
                                  0xFF, 0xFF, 0xFF, 0xFF, 28, 0, 0,    0};
static const uint8_t interface[] = {1, 0, 0, 0, 20, 0, 0, 0, LINKTYPE_UPPER_PDU, 0, 0, 0,
                                    0, 0, 0, 0, 20, 0, 0, 0};

struct packet_block {
    kd_u32 type, length, interface, time_high, time_low, captured, original;
};

struct packet_tail {
    kd_u16 flags_option, flags_size;
    kd_u32 flags;
    kd_u32 end_option;
    kd_u32 length;
};

/* One record: its head, and data that may lie in two pieces. */
struct record {
    struct kd_vmbus_record head;
    const uint8_t *pieces[3];
    size_t sizes[3];
};

static uint64_t now(const struct kda_trace *trace)
{
    return trace->bus->ports.now(trace->bus->ports.self);
}

static void put(struct kda_trace *trace, const void *bytes, size_t size)
{
    memcpy(trace->bytes + *trace->used, bytes, size);
    *trace->used += size;
}

static void put_zeros(struct kda_trace *trace, size_t size)
{
    memset(trace->bytes + *trace->used, 0, size);
    *trace->used += size;
}

void kda_trace_begin(struct kda_trace *trace, uint8_t *buffer, size_t room, uint64_t *used,
                     const struct kda_vmbus *bus)
{
    memset(trace, 0, sizeof *trace);
    trace->bus = bus;
    *used = 0;
    if (room < KDA_TRACE_MIN)
        return;
    trace->bytes = buffer;
    trace->room = room;
    trace->used = used;
    trace->start = now(trace);
    put(trace, section, sizeof section);
    put(trace, interface, sizeof interface);
}

static struct record begin(const struct kda_trace *trace, enum kd_vmbus_record_kind kind,
                           enum kd_vmbus_record_direction direction)
{
    const struct kda_vmbus_ports *ports = &trace->bus->ports;
    struct record record;

    memset(&record, 0, sizeof record);
    record.head.version = kd_put8(KD_VMBUS_RECORD_VERSION);
    record.head.kind = kd_put8((uint8_t)kind);
    record.head.direction = kd_put8((uint8_t)direction);
    record.head.head_size = kd_put16(sizeof record.head);
    record.head.sint = kd_put8((uint8_t)ports->sint(ports->self));
    record.head.vp = kd_put32(ports->processor(ports->self));
    return record;
}

static void put_packet_head(struct kda_trace *trace, const struct record *record, size_t data,
                            size_t block)
{
    uint64_t time = now(trace) - trace->start;
    struct packet_block head = {.type = kd_put32(BLOCK_PACKET),
                                .length = kd_put32((uint32_t)block),
                                .time_high = kd_put32((uint32_t)(time >> 32)),
                                .time_low = kd_put32((uint32_t)time),
                                .captured = kd_put32((uint32_t)data),
                                .original = kd_put32((uint32_t)data)};
    uint8_t pdu[sizeof pdu_head];

    memcpy(pdu, pdu_head, sizeof pdu);
    /* The debugger's view, as in captures of KD: what the guest sends it receives. */
    pdu[DIRECTION_AT] = kd_get8(record->head.direction) == KD_VMBUS_TO_HOST;
    put(trace, &head, sizeof head);
    put(trace, pdu, sizeof pdu);
    put(trace, &record->head, sizeof record->head);
}

static void put_packet_tail(struct kda_trace *trace, const struct record *record, size_t data,
                            size_t block)
{
    uint32_t flags =
        kd_get8(record->head.direction) == KD_VMBUS_TO_HOST ? PACKET_INBOUND : PACKET_OUTBOUND;
    struct packet_tail tail = {.flags_option = kd_put16(OPTION_PACKET_FLAGS),
                               .flags_size = kd_put16(OPTION_SIZE),
                               .flags = kd_put32(flags),
                               .length = kd_put32((uint32_t)block)};

    put_zeros(trace, (4 - data % 4) % 4);
    put(trace, &tail, sizeof tail);
}

static void add(struct kda_trace *trace, struct record *record)
{
    size_t data = sizeof pdu_head + sizeof record->head, block;

    if (!trace->bytes)
        return;
    for (size_t i = 0; i < 3; i++)
        data += record->sizes[i];
    block = sizeof(struct packet_block) + (data + 3) / 4 * 4 + sizeof(struct packet_tail);
    record->head.number = kd_put32(++trace->number);
    if (trace->missing > 0 || block > trace->room - *trace->used) {
        trace->missing++;
        return;
    }
    put_packet_head(trace, record, data, block);
    for (size_t i = 0; i < 3; i++)
        put(trace, record->pieces[i], record->sizes[i]);
    put_packet_tail(trace, record, data, block);
}

/* --- what happened */

static void on_message(void *self, bool to_host, uint32_t connection, uint32_t status,
                       const uint8_t *bytes, size_t size)
{
    struct kda_trace *trace = self;
    struct record record =
        begin(trace, KD_VMBUS_RECORD_MESSAGE, to_host ? KD_VMBUS_TO_HOST : KD_VMBUS_TO_GUEST);
    struct kd_hv_post_message post;
    struct kd_hv_message slot;

    memset(&post, 0, sizeof post);
    post.connection_id = kd_put32(connection);
    post.type = kd_put32(KD_HV_MESSAGE_VMBUS);
    post.payload_size = kd_put32((uint32_t)size);
    memset(&slot, 0, sizeof slot);
    slot.type = kd_put32(KD_HV_MESSAGE_VMBUS);
    slot.payload_size = kd_put8((uint8_t)size);
    record.head.connection_id = kd_put32(connection);
    record.head.status = kd_put32(status);
    record.pieces[0] = to_host ? (const uint8_t *)&post : (const uint8_t *)&slot;
    record.sizes[0] = to_host ? sizeof post : sizeof slot;
    record.pieces[1] = bytes;
    record.sizes[1] = size;
    add(trace, &record);
}

static void on_signal(void *self, bool to_host, uint32_t connection, uint32_t status,
                      uint32_t relid)
{
    struct kda_trace *trace = self;
    struct record record =
        begin(trace, KD_VMBUS_RECORD_SIGNAL, to_host ? KD_VMBUS_TO_HOST : KD_VMBUS_TO_GUEST);

    record.head.connection_id = kd_put32(connection);
    record.head.status = kd_put32(status);
    record.head.relid = kd_put32(relid);
    record.head.event_flag = kd_put32(to_host ? 0 : relid);
    add(trace, &record);
}

static void on_note(void *self, const char *text)
{
    struct kda_trace *trace = self;
    struct record record = begin(trace, KD_VMBUS_RECORD_NOTE, KD_VMBUS_DIRECTION_NONE);

    record.head.status = kd_put32(KD_VMBUS_NOTE_WARNING);
    record.pieces[0] = (const uint8_t *)text;
    while (text[record.sizes[0]])
        record.sizes[0]++;
    add(trace, &record);
}

struct kda_vmbus_watch kda_trace_watch(struct kda_trace *trace)
{
    return (struct kda_vmbus_watch){on_message, on_signal, on_note, trace};
}

static struct record begin_packet(const struct kda_trace *trace, bool to_host,
                                  const struct kd_ring *ring)
{
    struct record record =
        begin(trace, KD_VMBUS_RECORD_PACKET, to_host ? KD_VMBUS_TO_HOST : KD_VMBUS_TO_GUEST);
    const struct kd_vmbus_ring_control *control = (const void *)ring->control;

    record.head.relid = kd_put32(trace->bus->offer.relid);
    record.head.connection_id = kd_put32(trace->bus->offer.connection);
    record.head.ring_size = kd_put32(ring->size);
    record.head.ring_write = control->write_index;
    record.head.ring_read = control->read_index;
    return record;
}

void kda_trace_packet(struct kda_trace *trace, bool to_host, const struct kd_ring *ring,
                      uint32_t start, uint32_t size)
{
    struct record record = begin_packet(trace, to_host, ring);
    uint32_t left = ring->size - start;

    record.head.ring_start = kd_put32(start);
    record.pieces[0] = ring->data + start;
    record.sizes[0] = kda_min(size, left);
    record.pieces[1] = ring->data;
    record.sizes[1] = size - record.sizes[0];
    add(trace, &record);
}

void kda_trace_bad(struct kda_trace *trace, const struct kd_ring *ring, enum kd_ring_status status)
{
    struct record record = begin_packet(trace, false, ring);

    record.head.ring_start = kd_put32(ring->position);
    record.head.status = kd_put32((uint32_t)status);
    add(trace, &record);
}
