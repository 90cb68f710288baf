/* wire.c - bytes to frames to link actions to bytes. See wire.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "wire.h"

#include "bytes.h"

/* What may lie in FIFOs and buffers when the line is taken over; more is somebody who sends without
 * pause. */
#define STALE_BYTES 65536u

static uint64_t now(const struct kda_wire *wire)
{
    return wire->clock.ops->now(wire->clock.self);
}

static void begin(struct kda_wire *wire)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET};
    struct kd_link_config config;

    kd_link_defaults(&config, KD_END_TARGET, KD_IDS_SERIAL);
    kd_link_init(&wire->link, &config);
    kd_framer_init(&wire->framer, &framing, wire->stream, sizeof wire->stream);
    wire->chunk_start = 0;
    wire->chunk_end = 0;
    wire->pushed = false;
    wire->flush = false;
}

void kda_wire_init(struct kda_wire *wire, const struct kda_transport *transport,
                   const struct kda_target *clock)
{
    wire->transport = *transport;
    wire->clock = *clock;
    begin(wire);
}

static void write_packet(struct kda_wire *wire, const struct kd_link_action *action)
{
    size_t size = kd_frame_encode(wire->packet, sizeof wire->packet, action->type, action->id,
                                  action->payload, action->size, true);

    (void)wire->transport.ops->write(wire->transport.self, wire->packet, size);
    if (action->kind == KD_LINK_SEND_DATA)
        kd_link_sent(&wire->link, now(wire));
}

/* A debugger has one request outstanding, so that a newer one replaces one not yet served. */
static void deliver(struct kda_wire *wire, const struct kd_link_action *action)
{
    wire->inbox.full = true;
    wire->inbox.type = action->type;
    wire->inbox.size = kda_min(action->size, sizeof wire->inbox.payload);
    memcpy(wire->inbox.payload, action->payload, wire->inbox.size);
}

static void carry_out(struct kda_wire *wire, const struct kd_link_action *action)
{
    switch (action->kind) {
    case KD_LINK_SEND_CONTROL:
    case KD_LINK_SEND_DATA:
        write_packet(wire, action);
        break;
    case KD_LINK_DELIVER:
        deliver(wire, action);
        break;
    case KD_LINK_SENT_OK:
        wire->sent = true;
        wire->attached = true;
        break;
    case KD_LINK_GAVE_UP:
        wire->lost = true;
        wire->attached = false;
        break;
    case KD_LINK_BREAKIN:
        wire->breakin = true;
        break;
    case KD_LINK_RESET_SEEN:
        wire->inbox.full = false;
        wire->attached = false;
        if (!wire->reset)
            wire->reset_at = now(wire);
        wire->reset = true;
        break;
    case KD_LINK_RESEND_SEEN:
        wire->renewed = true;
        break;
    case KD_LINK_FLUSH:
        wire->flush = true;
        break;
    }
}

static void carry_out_all(struct kda_wire *wire, const struct kd_link_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++)
        carry_out(wire, &actions->list[i]);
}

void kda_wire_announce(struct kda_wire *wire)
{
    struct kd_link_actions actions;

    for (size_t stale = 0; stale < STALE_BYTES;) {
        size_t size =
            wire->transport.ops->read(wire->transport.self, wire->chunk, sizeof wire->chunk);

        if (size == 0)
            break;
        stale += size;
    }
    begin(wire);
    wire->inbox.full = false;
    wire->breakin = false;
    wire->renewed = false;
    wire->reset = false;
    wire->unheard = false;
    wire->attached = false;
    if (kd_link_reset(&wire->link, now(wire), &actions))
        carry_out_all(wire, &actions);
}

/* Moves bytes from the line into the framer. */
static bool feed(struct kda_wire *wire)
{
    if (wire->chunk_start == wire->chunk_end) {
        wire->chunk_start = 0;
        wire->chunk_end =
            wire->transport.ops->read(wire->transport.self, wire->chunk, sizeof wire->chunk);
        if (wire->chunk_end == 0)
            return false;
    }
    wire->chunk_start += kd_framer_push(&wire->framer, wire->chunk + wire->chunk_start,
                                        wire->chunk_end - wire->chunk_start);
    wire->pushed = true;
    return true;
}

static bool tick(struct kda_wire *wire)
{
    struct kd_link_actions actions;
    uint64_t time = now(wire);

    if (time < kd_link_deadline(&wire->link))
        return false;
    kd_link_tick(&wire->link, time, &actions);
    carry_out_all(wire, &actions);
    return true;
}

bool kda_wire_step(struct kda_wire *wire)
{
    struct kd_frame frame;
    struct kd_link_actions actions;
    const uint8_t *bytes;
    bool more = kd_framer_next(&wire->framer, wire->flush, &frame, &bytes) == KD_FRAME_NEED_MORE;

    /* The link hears of NEED_MORE once after each push: it measures the silence from there. */
    if (!more || wire->pushed) {
        enum kd_link_verdict verdict =
            kd_link_receive(&wire->link, now(wire), &frame, bytes, &actions);

        if (verdict == KD_LINK_IGNORED)
            wire->unheard = true;
        if (verdict != KD_LINK_NOT_FOR_LINK && verdict != KD_LINK_DAMAGED)
            wire->heard_at = now(wire);
        carry_out_all(wire, &actions);
    }
    if (!more)
        return true;
    wire->pushed = false;
    wire->flush = false;
    return feed(wire) || tick(wire);
}

void kda_wire_wait(struct kda_wire *wire)
{
    if (!kda_wire_step(wire))
        wire->clock.ops->relax(wire->clock.self);
}

/* Nobody there: the packet is dropped, and the next one begins the streams, as after R5. */
static void abandon(struct kda_wire *wire)
{
    struct kd_link_config config = wire->link.config;

    kd_link_init(&wire->link, &config);
    wire->attached = false;
}

static bool is_out_of_patience(const struct kda_wire *wire, uint64_t start, uint64_t patience)
{
    uint64_t time = now(wire);

    return patience > 0 &&
           (time - wire->heard_at >= patience || time - start >= patience + KDA_WIRE_MORE_US);
}

bool kda_wire_send(struct kda_wire *wire, enum kd_packet_type type, const uint8_t *payload,
                   size_t size, uint32_t patience)
{
    struct kd_link_actions actions;
    uint64_t start = now(wire);

    wire->sent = false;
    wire->lost = false;
    wire->heard_at = start;
    if (!kd_link_send(&wire->link, start, type, payload, size, &actions))
        return false;
    carry_out_all(wire, &actions);
    while (!wire->sent && !wire->lost) {
        if (is_out_of_patience(wire, start, patience)) {
            abandon(wire);
            return false;
        }
        kda_wire_wait(wire);
    }
    return wire->sent;
}

bool kda_wire_is_awaited(const struct kda_wire *wire)
{
    return wire->reset && now(wire) - wire->reset_at >= KD_LINK_RESET_GRACE_US;
}

bool kda_wire_has_news(const struct kda_wire *wire)
{
    return wire->inbox.full || wire->breakin || wire->renewed || wire->reset;
}
