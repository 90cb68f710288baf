/* session.c - bytes of two ends to packets, each with what it belongs to. See analysis/session.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A lane is one direction: a framer, and marks that say which record each waiting byte came from.
 * Requests are kept with their payload until REQUESTS more have come, which is more than the
 * observer of the link keeps; so each request that it names is here.
 */
#include "analysis/session.h"

#include <stdlib.h>
#include <string.h>

#define LANES    3u
#define REQUESTS (2u * KD_OBSERVER_WAITING)

/* From this byte of the stream on, bytes came in that record. */
struct mark {
    uint64_t position;
    uint64_t time;
    uint32_t frame;
};

struct lane {
    struct kd_framer framer;
    uint8_t *buffer;
    uint64_t pushed; /* bytes that went into the framer */
    uint64_t taken;  /* and that came out as frames */
    struct mark *marks;
    size_t mark_start, mark_count, mark_room; /* marks[mark_start..mark_start + mark_count) */
    struct mark now;                          /* the record being pushed */
};

struct request {
    struct kda_packet packet;
    uint64_t original; /* number of the request that this one repeats; 0: it is the first */
    bool answered;     /* it, or one that repeats it */
    uint8_t *payload;
    size_t size, room;
};

struct kda_session {
    struct kda_session_config config;
    kda_event_function event;
    void *context;
    struct kd_observer link;
    uint64_t number; /* of the newest packet */
    struct mark now; /* the record of the newest bytes */
    bool failed;     /* memory was short */
    struct lane lanes[LANES];
    struct request requests[REQUESTS];
    unsigned next_request;
};

static void never(void *context, enum kd_finding finding, const struct kd_ref *packet)
{
    struct kda_session *session = context;
    const struct kda_event event = {.kind = KDA_NEVER,
                                    .frame = session->now.frame,
                                    .first_frame = session->now.frame,
                                    .time = session->now.time,
                                    .finding = finding,
                                    .about_frame = packet->frame,
                                    .about = kda_number(packet)};

    session->event(session->context, &event);
}

struct kda_session *kda_session_new(const struct kda_session_config *config,
                                    kda_event_function event, void *context)
{
    struct kda_session *session = calloc(1, sizeof *session);

    if (!session)
        return NULL;
    session->config = *config;
    if (!session->config.max_payload)
        session->config.max_payload = KD_PACKET_MAX_SIZE;
    session->event = event;
    session->context = context;
    kd_observer_init(&session->link, config->ids == KD_IDS_KDNET);
    session->link.never = never;
    session->link.context = session;
    return session;
}

void kda_session_free(struct kda_session *session)
{
    if (!session)
        return;
    for (size_t i = 0; i < LANES; i++) {
        free(session->lanes[i].buffer);
        free(session->lanes[i].marks);
    }
    for (size_t i = 0; i < REQUESTS; i++)
        free(session->requests[i].payload);
    free(session);
}

const struct kd_observer *kda_session_link(const struct kda_session *session)
{
    return &session->link;
}

uint64_t kda_number(const struct kd_ref *ref)
{
    return ref->frame ? (uint64_t)(uintptr_t)ref->tag : 0;
}

bool kda_event_is_new(const struct kda_event *event)
{
    return event->kind == KDA_PACKET && !kd_is_control(event->packet->type) &&
           !(event->packet->flags & (KDA_DAMAGED | KDA_REPEATED));
}

/* --- requests */

static struct request *find_request(struct kda_session *session, uint64_t number)
{
    for (unsigned i = 0; number && i < REQUESTS; i++) {
        struct request *request = &session->requests[(session->next_request - 1 - i) % REQUESTS];

        if (request->packet.number == number)
            return request;
    }
    return NULL;
}

static bool keep_request(struct kda_session *session, const struct kda_event *event)
{
    struct request *request = &session->requests[session->next_request % REQUESTS];

    if (event->payload_size > request->room) {
        uint8_t *payload = realloc(request->payload, event->payload_size);

        if (!payload)
            return false;
        request->payload = payload;
        request->room = event->payload_size;
    }
    request->packet = *event->packet;
    request->original = event->seen->repeated ? kda_number(&event->seen->original) : 0;
    request->answered = false;
    request->size = event->payload_size;
    if (event->payload_size)
        memcpy(request->payload, event->payload, event->payload_size);
    session->next_request++;
    return true;
}

/* Whether a reply may follow: from the target for a manipulate request, from the debugger for what
 * the target asks. */
static bool is_request(const struct kda_packet *packet)
{
    switch (packet->type) {
    case KD_PACKET_STATE_MANIPULATE:
        return packet->flow == KD_FLOW_TO_TARGET;
    case KD_PACKET_DEBUG_IO:
        return packet->flow == KD_FLOW_TO_DEBUGGER && packet->message.api != KD_API_PRINT_STRING;
    case KD_PACKET_FILE_IO:
    case KD_PACKET_CONTROL_REQUEST:
        return packet->flow == KD_FLOW_TO_DEBUGGER;
    default:
        return false;
    }
}

/* --- one frame */

/* The processor lies at the same place in all messages that have one but one. */
static uint16_t processor_of(uint32_t type, const uint8_t *payload, size_t size)
{
    switch (type) {
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_STATE_MANIPULATE:
    case KD_PACKET_DEBUG_IO:
    case KD_PACKET_TRACE_IO:
        return size >= sizeof(struct kd_debug_io_header)
                   ? kd_get16(((const struct kd_debug_io_header *)payload)->processor)
                   : 0;
    default:
        return 0;
    }
}

static void describe_packet(struct kda_event *event, struct kda_packet *packet)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)event->bytes;
    const struct kd_seen *seen = event->seen;

    packet->type = seen->packet_type;
    packet->id = seen->id;
    packet->size = kd_get16(header->byte_count);
    packet->message = seen->message;
    packet->flags |= (event->framed->flags & KD_FRAME_BAD_CHECKSUM ? KDA_DAMAGED : 0u) |
                     (seen->retransmission || seen->repeated ? KDA_REPEATED : 0u) |
                     (seen->protocol32 ? KDA_PROTOCOL32 : 0u);
    event->payload = event->bytes + KD_HEADER_SIZE;
    event->payload_size = event->framed->payload;
    packet->processor = processor_of(packet->type, event->payload, event->payload_size);
}

/* A target may answer a request that was sent again as often as it came. */
static void add_request(struct kda_session *session, struct kda_event *event,
                        struct kda_packet *packet)
{
    struct request *request = find_request(session, kda_number(&event->seen->peer));
    struct request *first;

    if (!request)
        return;
    event->request = &request->packet;
    event->request_payload = request->payload;
    event->request_size = request->size;
    first = find_request(session, request->original);
    if (!first)
        first = request;
    if (first->answered)
        packet->flags |= KDA_REPEATED;
    else if (!(packet->flags & KDA_DAMAGED))
        first->answered = true;
}

/* flags: enum kda_packet_flags known already. */
static void take_frame(struct kda_session *session, enum kd_flow flow, const struct mark *first,
                       const struct mark *last, const struct kd_frame *frame, const uint8_t *bytes,
                       uint32_t flags)
{
    struct kda_packet packet = {.number = ++session->number,
                                .frame = last->frame,
                                .first_frame = first->frame,
                                .time = last->time,
                                .flow = flow,
                                .flags = flags};
    struct kda_event event = {.kind = frame->kind == KD_FRAME_BREAKIN ? KDA_BREAKIN
                                      : frame->kind == KD_FRAME_NOISE ? KDA_NOISE
                                                                      : KDA_PACKET,
                              .frame = last->frame,
                              .first_frame = first->frame,
                              .time = last->time,
                              .flow = flow,
                              .framed = frame,
                              .bytes = bytes,
                              .size = frame->size};
    const struct kd_passing passing = {.ref = {(void *)(uintptr_t)packet.number, last->frame},
                                       .time = last->time,
                                       .flow = flow,
                                       .frame = frame,
                                       .bytes = bytes};
    struct kd_seen seen;

    session->now = *last;
    kd_observe(&session->link, &passing, &seen);
    if (flags & KDA_CUT)
        seen.findings |= UINT64_C(1) << KD_FINDING_TRUNCATED;
    event.seen = &seen;
    event.packet = frame->kind == KD_FRAME_NOISE ? NULL : &packet;
    if (event.kind == KDA_PACKET) {
        describe_packet(&event, &packet);
        add_request(session, &event, &packet);
    }
    session->event(session->context, &event);
    if (event.kind == KDA_PACKET && !seen.retransmission && !(packet.flags & KDA_DAMAGED) &&
        is_request(&packet))
        session->failed = !keep_request(session, &event) || session->failed;
}

/* --- lanes */

static bool open_lane(struct kda_session *session, struct lane *lane, enum kd_flow flow)
{
    const struct kd_framing framing = {session->config.max_payload, flow};
    size_t capacity = KD_FRAMER_CAPACITY(session->config.max_payload);

    if (lane->buffer)
        return true;
    lane->buffer = malloc(capacity);
    if (!lane->buffer)
        return false;
    kd_framer_init(&lane->framer, &framing, lane->buffer, capacity);
    return true;
}

static bool add_mark(struct lane *lane)
{
    if (lane->mark_start && lane->mark_start + lane->mark_count == lane->mark_room) {
        memmove(lane->marks, lane->marks + lane->mark_start,
                lane->mark_count * sizeof *lane->marks);
        lane->mark_start = 0;
    }
    if (lane->mark_count == lane->mark_room) {
        size_t room = lane->mark_room ? 2 * lane->mark_room : 8;
        struct mark *marks = realloc(lane->marks, room * sizeof *marks);

        if (!marks)
            return false;
        lane->marks = marks;
        lane->mark_room = room;
    }
    lane->marks[lane->mark_start + lane->mark_count++] = lane->now;
    return true;
}

/* Forgets the marks of bytes that are taken; the first one left is that of the next byte. */
static void drop_marks(struct lane *lane)
{
    while (lane->mark_count > 1 && lane->marks[lane->mark_start + 1].position <= lane->taken) {
        lane->mark_start++;
        lane->mark_count--;
    }
}

/* The record of the byte at this position, which is not taken yet. */
static struct mark mark_of(const struct lane *lane, uint64_t position)
{
    const struct mark *marks = lane->marks + lane->mark_start;
    size_t i = 0;

    while (i + 1 < lane->mark_count && marks[i + 1].position <= position)
        i++;
    return lane->mark_count ? marks[i] : lane->now;
}

static void take(struct kda_session *session, struct lane *lane, enum kd_flow flow,
                 const struct kd_frame *frame, const uint8_t *bytes)
{
    struct mark first;

    drop_marks(lane);
    first = mark_of(lane, lane->taken);
    lane->taken += frame->size;
    /* Where it is known what it is: noise may need the record behind it. */
    take_frame(session, flow, &first, &lane->now, frame, bytes, 0);
}

/* What the framer has now. Noise comes in pieces that touch; they become one. */
static void drain(struct kda_session *session, struct lane *lane, enum kd_flow flow, bool end)
{
    struct kd_frame frame, noise = {.size = 0};
    const uint8_t *bytes, *noise_bytes = NULL;

    for (;;) {
        enum kd_frame_kind kind = kd_framer_next(&lane->framer, end, &frame, &bytes);

        if (kind == KD_FRAME_NOISE && frame.flags == 0 && noise.size) {
            noise.size += frame.size;
            continue;
        }
        if (noise.size)
            take(session, lane, flow, &noise, noise_bytes);
        noise.size = 0;
        if (kind == KD_FRAME_NEED_MORE)
            return;
        if (kind == KD_FRAME_NOISE && frame.flags == 0) {
            noise = frame;
            noise_bytes = bytes;
        } else {
            take(session, lane, flow, &frame, bytes);
        }
    }
}

static bool push(struct kda_session *session, struct lane *lane, enum kd_flow flow,
                 const uint8_t *bytes, size_t size)
{
    lane->now.position = lane->pushed;
    if (!add_mark(lane))
        return false;
    while (size) {
        size_t taken = kd_framer_push(&lane->framer, bytes, size);

        lane->pushed += taken;
        bytes += taken;
        size -= taken;
        drain(session, lane, flow, session->config.datagrams && size == 0);
    }
    return true;
}

bool kda_session_bytes(struct kda_session *session, uint32_t frame, uint64_t time,
                       enum kd_flow flow, const uint8_t *bytes, size_t size)
{
    struct lane *lane = &session->lanes[flow];

    if (size == 0)
        return !session->failed;
    if (!open_lane(session, lane, flow))
        return false;
    lane->now.frame = frame;
    lane->now.time = time;
    return push(session, lane, flow, bytes, size) && !session->failed;
}

/* --- what is not bytes */

void kda_session_datagram(struct kda_session *session, uint32_t frame, uint64_t time,
                          const struct kda_datagram *datagram)
{
    const struct kda_event event = {
        .kind = KDA_DATAGRAM,
        .frame = frame,
        .first_frame = frame,
        .time = time,
        .flow = !datagram->opened         ? KD_FLOW_UNKNOWN
                : datagram->from_debugger ? KD_FLOW_TO_TARGET
                                          : KD_FLOW_TO_DEBUGGER,
        .datagram = datagram,
    };

    session->now = (struct mark){.frame = frame, .time = time};
    if (datagram->kind == KDA_DATAGRAM_RESPONSE && datagram->new_key)
        kd_observer_restart(&session->link);
    session->event(session->context, &event);
}

/* A packet whose missing bytes are just those that the capture lacks: its header can be trusted. */
static void take_cut(struct kda_session *session, struct lane *lane, enum kd_flow flow,
                     uint64_t missing)
{
    struct kd_framer *framer = &lane->framer;
    size_t size = framer->end - framer->start;
    struct kd_frame frame;
    struct mark first, last;

    if (size < KD_HEADER_SIZE)
        return;
    kd_frame_scan(&framer->framing, framer->buffer + framer->start, size, framer->after_noise,
                  false, &frame);
    if (frame.kind != KD_FRAME_NEED_MORE || frame.need != size + missing)
        return;
    frame.kind = KD_FRAME_PACKET;
    frame.size = size;
    frame.payload = size - KD_HEADER_SIZE;
    drop_marks(lane);
    first = mark_of(lane, lane->taken);
    last = lane->now;
    take_frame(session, flow, &first, &last, &frame, framer->buffer + framer->start, KDA_CUT);
    framer->start = framer->end = 0;
    framer->need = 1;
    framer->after_noise = false;
    lane->taken = lane->pushed;
}

void kda_session_gap(struct kda_session *session, uint32_t frame, uint64_t time, enum kd_flow flow,
                     enum kda_gap_kind kind, uint64_t missing)
{
    struct lane *lane = &session->lanes[flow];
    const struct kda_event event = {.kind = KDA_GAP,
                                    .frame = frame,
                                    .first_frame = frame,
                                    .time = time,
                                    .flow = flow,
                                    .gap = kind,
                                    .missing = missing};

    if (lane->buffer && kind == KDA_GAP_BYTES) {
        take_cut(session, lane, flow, missing);
        drain(session, lane, flow, true);
    }
    session->event(session->context, &event);
}

void kda_session_end(struct kda_session *session)
{
    for (size_t i = 0; i < LANES; i++)
        if (session->lanes[i].buffer)
            drain(session, &session->lanes[i], (enum kd_flow)i, true);
    kd_observer_end(&session->link);
}
