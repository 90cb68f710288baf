/* vmbus_pipe.c - KD's bytes to pipe packets and back. See vmbus_pipe.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus_pipe.h"

#include "bytes.h"

#define NANOSECONDS 1000u
#define HEAD        (KD_RING_DESCRIPTOR + (uint32_t)sizeof(struct kd_vmbus_pipe))

static uint64_t now(const struct vmbus_pipe *pipe)
{
    return pipe->bus->ports.now(pipe->bus->ports.self);
}

static bool is_open(const struct vmbus_pipe *pipe)
{
    return pipe->bus->state == KDA_VMBUS_OPEN;
}

/* --- to the host */

static enum kd_ring_status write_packet(struct vmbus_pipe *pipe,
                                        const struct kd_ring_packet *packet)
{
    struct kd_ring *ring = &pipe->bus->to_host;
    uint32_t start = ring->position;
    bool signal = false;
    enum kd_ring_status status = kd_ring_write(ring, packet, &signal);

    if (status == KD_RING_OK) {
        pipe->written_at = now(pipe);
        if (pipe->trace)
            kda_trace_packet(pipe->trace, true, ring, start, kd_ring_packet_size(packet));
        if (signal)
            kda_vmbus_signal(pipe->bus);
    }
    return status;
}

static bool host_has_read(const struct kd_ring *ring)
{
    const volatile uint32_t *read_index =
        (const volatile uint32_t *)(const void *)(ring->control +
                                                  offsetof(struct kd_vmbus_ring_control,
                                                           read_index));

    return *read_index == ring->position;
}

static void remind(struct vmbus_pipe *pipe)
{
    if (host_has_read(&pipe->bus->to_host) || now(pipe) - pipe->written_at < VMBUS_PIPE_REMIND_US)
        return;
    pipe->written_at = now(pipe);
    kda_vmbus_signal(pipe->bus);
}

/* Waits while the host makes no room; bytes are one write of the other end's pipe. */
static bool send_piece(struct vmbus_pipe *pipe, const uint8_t *bytes, size_t size)
{
    const struct kd_vmbus_pipe head = {.type = kd_put32(KD_VMBUS_PIPE_DATA),
                                       .size = kd_put32((uint32_t)size)};
    const struct kd_ring_part parts[] = {{&head, sizeof head}, {bytes, (uint32_t)size}};
    const struct kd_ring_packet packet = {.type = KD_VMBUS_PACKET_IN_BAND,
                                          .transaction_id = ++pipe->transaction,
                                          .parts = parts,
                                          .part_count = 2};
    uint64_t start = now(pipe);
    enum kd_ring_status status = KD_RING_FULL;

    while (is_open(pipe)) {
        status = write_packet(pipe, &packet);
        if (status != KD_RING_FULL || now(pipe) - start >= KDA_LINE_STUCK_US)
            break;
        remind(pipe);
        pipe->bus->ports.relax(pipe->bus->ports.self);
        kda_vmbus_poll(pipe->bus);
    }
    if (status == KD_RING_FULL)
        kd_ring_stop_waiting(&pipe->bus->to_host);
    return status == KD_RING_OK;
}

/* --- from the host */

static void complain(struct vmbus_pipe *pipe, enum kd_ring_status status)
{
    if (!pipe->bad_ring && pipe->trace)
        kda_trace_bad(pipe->trace, &pipe->bus->to_guest, status);
    if (!pipe->bad_ring)
        kda_vmbus_complain(pipe->bus, "ring from the host", "this is no packet; skipped, status",
                           (uint32_t)status);
    pipe->bad_ring = true;
}

/* Who wants a completion gets one, when there is room. */
static void complete(struct vmbus_pipe *pipe, const struct kd_ring_view *view)
{
    const struct kd_ring_packet packet = {.type = KD_VMBUS_PACKET_COMPLETION,
                                          .transaction_id = view->transaction_id};

    if (view->flags & KD_VMBUS_PACKET_COMPLETION_REQUESTED)
        (void)write_packet(pipe, &packet);
}

static void take_packet(struct vmbus_pipe *pipe, const struct kd_ring_view *view)
{
    struct kd_ring *ring = &pipe->bus->to_guest;
    uint32_t size = kd_ring_copy(ring, view, 0, pipe->packet, sizeof pipe->packet);
    const struct kd_vmbus_pipe *head = (const void *)(pipe->packet + KD_RING_DESCRIPTOR);

    if (pipe->trace)
        kda_trace_packet(pipe->trace, false, ring, view->start, view->length + KD_RING_FOOTER);
    /* We ask for no completions; who sends one means well. */
    if (view->type == KD_VMBUS_PACKET_COMPLETION)
        return;
    if (view->type != KD_VMBUS_PACKET_IN_BAND || view->payload != KD_RING_DESCRIPTOR ||
        size < HEAD || kd_get32(head->type) != KD_VMBUS_PIPE_DATA ||
        kd_get32(head->size) > size - HEAD) {
        complain(pipe, KD_RING_BAD_PACKET);
        return;
    }
    kd_pipe_link_push(&pipe->link, now(pipe) * NANOSECONDS, pipe->packet + HEAD,
                      kd_get32(head->size));
    complete(pipe, view);
}

/* The next packet, if what came before has been taken. False: there is none. */
static bool pull(struct vmbus_pipe *pipe)
{
    struct kd_ring *ring = &pipe->bus->to_guest;
    struct kd_ring_view view;
    enum kd_ring_status status;

    if (pipe->start != pipe->end)
        return false;
    pipe->start = pipe->end = 0;
    status = kd_ring_peek(ring, &view);
    if (status == KD_RING_EMPTY)
        return false;
    if (status == KD_RING_OK) {
        take_packet(pipe, &view);
        kd_ring_consume(ring, &view);
    } else {
        complain(pipe, status);
        status = kd_ring_discard(ring);
    }
    if (kd_ring_publish(ring))
        kda_vmbus_signal(pipe->bus);
    return status == KD_RING_OK;
}

/* --- the frames' events */

static void on_received(void *self, const uint8_t *bytes, size_t size)
{
    struct vmbus_pipe *pipe = self;

    size = kda_min(size, sizeof pipe->received - pipe->end);
    memcpy(pipe->received + pipe->end, bytes, size);
    pipe->end += size;
}

static void on_send(void *self, const uint8_t *frame, size_t size)
{
    struct vmbus_pipe *pipe = self;

    if (!send_piece(pipe, frame, size))
        pipe->lost = true;
}

static void on_news(void *self, enum kd_pipe_news news, uint64_t number)
{
    (void)self;
    (void)news;
    (void)number;
}

static const struct kd_pipe_link_events link_events = {on_received, on_send, on_news};

static void begin(struct vmbus_pipe *pipe)
{
    const struct kd_pipe_link_config config = {
        .end = KD_PIPE_GUEST,
        .framing = pipe->framing,
        .send_max = pipe->bus->offer.message_mode ? KD_PIPE_SEND_MAX : KD_PIPE_SEND_BYTE_MODE};

    kd_pipe_link_init(&pipe->link, &config, &link_events, pipe);
    pipe->generation = pipe->bus->generation;
    pipe->start = pipe->end = 0;
    pipe->bad_ring = false;
    pipe->written_at = now(pipe);
}

void vmbus_pipe_init(struct vmbus_pipe *pipe, struct kda_vmbus *bus, enum kd_pipe_framing framing)
{
    memset(pipe, 0, sizeof *pipe);
    pipe->bus = bus;
    pipe->framing = framing;
    pipe->generation = ~bus->generation;
}

/* False: there is no channel. */
static bool look(struct vmbus_pipe *pipe)
{
    uint64_t time;

    kda_vmbus_poll(pipe->bus);
    if (!is_open(pipe))
        return false;
    if (pipe->generation != pipe->bus->generation)
        begin(pipe);
    (void)pipe->bus->ports.take_event(pipe->bus->ports.self, pipe->bus->offer.relid);
    time = now(pipe) * NANOSECONDS;
    if (time >= kd_pipe_link_deadline(&pipe->link))
        kd_pipe_link_tick(&pipe->link, time);
    remind(pipe);
    return true;
}

static size_t read(void *self, uint8_t *out, size_t room)
{
    struct vmbus_pipe *pipe = self;
    size_t size;

    if (look(pipe)) {
        while (pull(pipe))
            ;
    }
    size = kda_min(room, pipe->end - pipe->start);
    memcpy(out, pipe->received + pipe->start, size);
    pipe->start += size;
    return size;
}

/* While an acknowledgement is missing, what comes is looked through for it. */
static size_t write(void *self, const uint8_t *bytes, size_t size)
{
    struct vmbus_pipe *pipe = self;
    uint64_t start = now(pipe);
    size_t sent = 0;

    pipe->lost = false;
    while (sent < size && look(pipe)) {
        size_t part =
            kd_pipe_link_take(&pipe->link, now(pipe) * NANOSECONDS, bytes + sent, size - sent);

        if (pipe->lost)
            break;
        sent += part;
        if (part > 0)
            continue;
        if (now(pipe) - start >= KDA_LINE_STUCK_US)
            break;
        if (!pull(pipe))
            pipe->bus->ports.relax(pipe->bus->ports.self);
    }
    return sent;
}

void vmbus_pipe_listen(struct vmbus_pipe *pipe, bool listen)
{
    if (is_open(pipe))
        kd_ring_mask(&pipe->bus->to_guest, !listen);
}

const struct kda_transport_ops vmbus_pipe_ops = {.read = read, .write = write};
