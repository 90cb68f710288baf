/* frame.c - framing of byte streams and datagrams. See frame.h for the rules.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/frame.h"

#define LEADER_SIZE  4u
#define TYPE_END     6u /* where the header's type is complete */
#define COUNT_END    8u /* and its ByteCount */
#define DATA_BYTE    0x30u
#define CONTROL_BYTE 0x69u

uint32_t kd_checksum(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum += bytes[i];
    return sum;
}

bool kd_is_control(uint32_t packet_type)
{
    return packet_type == KD_PACKET_ACKNOWLEDGE || packet_type == KD_PACKET_RESEND ||
           packet_type == KD_PACKET_RESET;
}

static bool is_data(uint32_t packet_type)
{
    switch (packet_type) {
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_MANIPULATE:
    case KD_PACKET_DEBUG_IO:
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_TRACE_IO:
    case KD_PACKET_CONTROL_REQUEST:
    case KD_PACKET_FILE_IO:
        return true;
    default:
        return false;
    }
}

enum start { START_NO, START_OPEN, START_TOO_LONG, START_PACKET };

/* Whether bytes[0..size) begin a packet, as far as they are there. size is at least 1. */
static enum start start_of_packet(const struct kd_framing *framing, const uint8_t *bytes,
                                  size_t size)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    bool control = bytes[0] == CONTROL_BYTE;
    uint16_t type, count;

    if (!control && bytes[0] != DATA_BYTE)
        return START_NO;
    for (size_t i = 1; i < LEADER_SIZE && i < size; i++)
        if (bytes[i] != bytes[0])
            return START_NO;
    if (size < TYPE_END)
        return START_OPEN;
    type = kd_get16(header->packet_type);
    if (control ? !kd_is_control(type) : !is_data(type))
        return START_NO;
    if (size < COUNT_END)
        return START_OPEN;
    count = kd_get16(header->byte_count);
    if (control && count != 0)
        return START_NO;
    return count > framing->max_payload ? START_TOO_LONG : START_PACKET;
}

/* How many bytes decide more about an open start than size of them did. */
static size_t next_decision(size_t size)
{
    if (size < LEADER_SIZE)
        return size + 1;
    if (size < TYPE_END)
        return TYPE_END;
    return size < COUNT_END ? COUNT_END : KD_HEADER_SIZE;
}

/* Where in bytes[from..size) a packet may start; size when nowhere. */
static size_t next_start(const struct kd_framing *framing, const uint8_t *bytes, size_t from,
                         size_t limit, size_t size)
{
    for (size_t i = from; i < limit; i++)
        if (start_of_packet(framing, bytes + i, size - i) != START_NO)
            return i;
    return limit;
}

static void set_noise(struct kd_frame *frame, size_t size, uint32_t flags)
{
    frame->kind = KD_FRAME_NOISE;
    frame->size = size;
    frame->flags = flags;
}

static void set_need(struct kd_frame *frame, size_t need)
{
    frame->kind = KD_FRAME_NEED_MORE;
    frame->need = need;
}

static void set_packet(struct kd_frame *frame, size_t size, size_t payload, uint32_t flags)
{
    frame->kind = KD_FRAME_PACKET;
    frame->size = size;
    frame->payload = payload;
    frame->flags = flags;
}

/* A data packet whose header is plausible. */
static void scan_data_packet(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                             bool end, struct kd_frame *frame)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    size_t payload = kd_get16(header->byte_count);
    size_t whole = KD_HEADER_SIZE + payload + 1;
    bool complete = size >= whole || (end && size == whole - 1);
    bool trailer, sum;

    if (!complete && !end) {
        set_need(frame, whole);
        return;
    }
    if (!complete) {
        set_noise(frame, next_start(framing, bytes, 1, size, size), KD_FRAME_TRUNCATED);
        return;
    }
    frame->checksum = kd_checksum(bytes + KD_HEADER_SIZE, payload);
    sum = frame->checksum == kd_get32(header->checksum);
    trailer = size >= whole && bytes[whole - 1] == KD_TRAILER;
    if (sum || trailer)
        set_packet(frame, trailer ? whole : whole - 1, payload,
                   (sum ? 0u : (uint32_t)KD_FRAME_BAD_CHECKSUM) |
                       (trailer ? 0u : (uint32_t)KD_FRAME_NO_TRAILER));
    else
        set_noise(frame, next_start(framing, bytes, 1, size < whole ? size : whole, size),
                  KD_FRAME_TRUNCATED);
}

/* A control packet; its header is all of it. One that lost bytes runs into the packet behind it. */
static void scan_control_packet(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                                bool end, struct kd_frame *frame)
{
    for (size_t i = LEADER_SIZE; i < KD_HEADER_SIZE; i++) {
        enum start start = start_of_packet(framing, bytes + i, size - i);

        if (start == START_OPEN && !end) {
            set_need(frame, i + next_decision(size - i));
            return;
        }
        if (start == START_PACKET) {
            set_noise(frame, i, KD_FRAME_TRUNCATED);
            return;
        }
    }
    set_packet(frame, KD_HEADER_SIZE, 0, 0);
}

/* Noise up to where a packet may start. A break-in byte cannot be told from it. */
static void scan_noise(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                       uint32_t flags, struct kd_frame *frame)
{
    set_noise(frame, next_start(framing, bytes, 1, size, size), flags);
}

/* A start whose header is not complete. */
static void scan_open(const struct kd_framing *framing, const uint8_t *bytes, size_t size, bool end,
                      struct kd_frame *frame)
{
    if (end)
        scan_noise(framing, bytes, size, size > LEADER_SIZE ? (uint32_t)KD_FRAME_TRUNCATED : 0u,
                   frame);
    else
        set_need(frame, next_decision(size));
}

void kd_frame_scan(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                   bool after_noise, bool end, struct kd_frame *frame)
{
    enum start start;

    *frame = (struct kd_frame){0};
    if (size == 0) {
        set_need(frame, 1);
        return;
    }
    if (bytes[0] == KD_BREAKIN_BYTE && framing->flow != KD_FLOW_TO_DEBUGGER && !after_noise) {
        frame->kind = KD_FRAME_BREAKIN;
        frame->size = 1;
        return;
    }
    start = start_of_packet(framing, bytes, size);
    if (start == START_NO)
        scan_noise(framing, bytes, size, 0, frame);
    else if (start == START_TOO_LONG)
        scan_noise(framing, bytes, size, KD_FRAME_BAD_LENGTH, frame);
    else if (size < KD_HEADER_SIZE)
        scan_open(framing, bytes, size, end, frame);
    else if (bytes[0] == CONTROL_BYTE)
        scan_control_packet(framing, bytes, size, end, frame);
    else
        scan_data_packet(framing, bytes, size, end, frame);
}

void kd_frame_datagram(const uint8_t *bytes, size_t size, struct kd_frame *frame)
{
    static const struct kd_framing any = {UINT16_MAX, KD_FLOW_UNKNOWN};
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    size_t payload;

    *frame = (struct kd_frame){0};
    if (size == 1 && bytes[0] == KD_BREAKIN_BYTE) {
        frame->kind = KD_FRAME_BREAKIN;
        frame->size = 1;
        return;
    }
    if (size < KD_HEADER_SIZE || start_of_packet(&any, bytes, size) != START_PACKET) {
        set_noise(frame, size, 0);
        return;
    }
    payload = kd_get16(header->byte_count);
    if (payload != size - KD_HEADER_SIZE) {
        set_noise(frame, size, payload > size - KD_HEADER_SIZE ? (uint32_t)KD_FRAME_TRUNCATED : 0u);
        return;
    }
    frame->checksum = kd_checksum(bytes + KD_HEADER_SIZE, payload);
    set_packet(frame, KD_HEADER_SIZE + payload, payload,
               frame->checksum != kd_get32(header->checksum) && bytes[0] == DATA_BYTE
                   ? (uint32_t)KD_FRAME_BAD_CHECKSUM
                   : 0u);
}

size_t kd_frame_encode(uint8_t *out, size_t room, enum kd_packet_type type, uint32_t id,
                       const uint8_t *payload, size_t size, bool trailer)
{
    bool control = kd_is_control((uint32_t)type);
    size_t tail = !control && trailer ? 1 : 0;
    struct kd_packet_header *header = (struct kd_packet_header *)out;

    if (size > UINT16_MAX || (control && size != 0) || room < KD_HEADER_SIZE + size + tail)
        return 0;
    header->packet_leader = kd_put32(control ? KD_LEADER_CONTROL : KD_LEADER_DATA);
    header->packet_type = kd_put16((uint16_t)type);
    header->byte_count = kd_put16((uint16_t)size);
    header->packet_id = kd_put32(id);
    header->checksum = kd_put32(kd_checksum(payload, size));
    for (size_t i = 0; i < size; i++)
        out[KD_HEADER_SIZE + i] = payload[i];
    if (tail)
        out[KD_HEADER_SIZE + size] = KD_TRAILER;
    return KD_HEADER_SIZE + size + tail;
}

void kd_framer_init(struct kd_framer *framer, const struct kd_framing *framing, uint8_t *buffer,
                    size_t capacity)
{
    *framer =
        (struct kd_framer){.framing = *framing, .buffer = buffer, .capacity = capacity, .need = 1};
}

/* Moves what is left to the front, so that a whole frame has room. */
static void make_room(struct kd_framer *framer)
{
    if (framer->start == 0)
        return;
    for (size_t i = framer->start; i < framer->end; i++)
        framer->buffer[i - framer->start] = framer->buffer[i];
    framer->end -= framer->start;
    framer->start = 0;
}

size_t kd_framer_push(struct kd_framer *framer, const uint8_t *bytes, size_t size)
{
    size_t taken;

    if (size > framer->capacity - framer->end)
        make_room(framer);
    taken = size < framer->capacity - framer->end ? size : framer->capacity - framer->end;
    for (size_t i = 0; i < taken; i++)
        framer->buffer[framer->end + i] = bytes[i];
    framer->end += taken;
    return taken;
}

enum kd_frame_kind kd_framer_next(struct kd_framer *framer, bool end, struct kd_frame *frame,
                                  const uint8_t **bytes)
{
    size_t size = framer->end - framer->start;

    *bytes = framer->buffer + framer->start;
    if (size < framer->need && !end) {
        *frame = (struct kd_frame){.kind = KD_FRAME_NEED_MORE, .need = framer->need};
        return frame->kind;
    }
    kd_frame_scan(&framer->framing, *bytes, size, framer->after_noise, end, frame);
    framer->start += frame->size;
    framer->need = frame->kind == KD_FRAME_NEED_MORE ? frame->need : 1;
    if (frame->kind != KD_FRAME_NEED_MORE)
        framer->after_noise = frame->kind == KD_FRAME_NOISE;
    else if (end)
        framer->after_noise =
            false; /* what comes after a pause does not continue the noise before */
    return frame->kind;
}

size_t kd_framer_missing(const struct kd_framer *framer)
{
    size_t size = framer->end - framer->start;
    size_t need = framer->need > KD_HEADER_SIZE ? framer->need : KD_HEADER_SIZE;

    return size > 0 && need > size ? need - size : 0;
}
