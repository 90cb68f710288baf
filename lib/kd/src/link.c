/* link.c - one end of a KD link. Rules R1 to R20 are those of link.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * States, the product of three small machines:
 *   packet    IDLE      kd_link_send                           WAITING   (sending)
 *             WAITING   timeout, RESEND, break-in, RESET       WAITING   the packet again
 *             WAITING   ACK                                    IDLE      SENT_OK
 *             WAITING   limit; the peer began anew: debugger,
 *                       and a target's reply                   IDLE      GAVE_UP
 *   streams   STARTED   RESET                                  FRESH     a target, with SYNC
 *             STARTED   ACK                                    RUNNING
 *             FRESH     data taken or own ACKed                RUNNING   (untouched false)
 *             RUNNING   RESET; debugger: a SYNC packet         FRESH
 *             RUNNING   target gave up, sent RESET             STARTED
 *             serial only; on KDNET they are RUNNING for good
 *   reset     QUIET     debugger's kd_link_reset or limit      ASKING    (resetting)
 *             ASKING    timeout                                ASKING    RESET again
 *             ASKING    RESET                                  SETTLED   (now < quiet_until)
 *             QUIET     RESET                                  QUIET     answered; serial debugger:
 *                                                              ASKING    also done by SYNC
 *             QUIET     target's kd_link_reset                 SETTLED
 *             SETTLED   RESET                                  SETTLED   R19, R20
 *             SETTLED   quiet_us over; target: ACK             QUIET
 */
#include "kd/link.h"

#define NEVER         UINT64_MAX
#define KDNET_STEP    2u
#define SERIAL_TOGGLE 1u
#define SECOND        UINT32_C(1000000)

static bool is_serial(const struct kd_link *link)
{
    return link->config.ids == KD_IDS_SERIAL;
}

static bool is_target(const struct kd_link *link)
{
    return link->config.end == KD_END_TARGET;
}

/* Never now itself: a timer of 0 would be due for ever. */
static uint64_t after(uint64_t now, uint32_t us)
{
    uint64_t span = us ? us : 1;

    return span < NEVER - now ? now + span : NEVER;
}

static struct kd_link_action *add(struct kd_link_actions *out, enum kd_link_action_kind kind)
{
    struct kd_link_action *action = &out->list[out->count];

    *action = (struct kd_link_action){.kind = kind};
    out->count++;
    return action;
}

static void add_control(struct kd_link_actions *out, enum kd_packet_type type, uint32_t id)
{
    struct kd_link_action *action = add(out, KD_LINK_SEND_CONTROL);

    action->type = type;
    action->id = id;
}

static void add_of_packet(const struct kd_link *link, struct kd_link_actions *out,
                          enum kd_link_action_kind kind, bool again)
{
    struct kd_link_action *action = add(out, kind);

    action->type = link->type;
    action->id = link->current_id;
    action->payload = link->payload;
    action->size = link->size;
    action->again = again;
}

static void transmit(struct kd_link *link, uint64_t now, bool again, struct kd_link_actions *out)
{
    link->retry_at = after(now, link->config.retry_us);
    add_of_packet(link, out, KD_LINK_SEND_DATA, again);
}

void kd_link_defaults(struct kd_link_config *config, enum kd_link_end end, enum kd_link_ids ids)
{
    bool target = end == KD_END_TARGET;
    bool serial = ids == KD_IDS_SERIAL;

    *config = (struct kd_link_config){
        .end = end,
        .ids = ids,
        .accept = target ? UINT32_C(1) << KD_PACKET_STATE_MANIPULATE : UINT32_MAX,
        .early_limit = target ? 1 : UINT32_MAX,
        .retry_us = serial ? SECOND : SECOND / 2,
        .retry_limit = serial ? (target ? 20 : 5) : 24,
        .resend_limit = 20,
        .reset_us = SECOND / 2,
        .reset_limit = 0,
        .quiet_us = target ? SECOND / 4 : 2 * SECOND,
        .idle_us = serial ? SECOND / 2 : 0,
    };
}

/* Serial: both streams at their beginning; with SYNC by a target's own start, without it by RESET
 * (R1, R16). */
static void begin_streams(struct kd_link *link, bool sync)
{
    link->current_id = KD_INITIAL_PACKET_ID | (sync ? KD_SYNC_PACKET_ID : 0);
    link->remote_id = KD_INITIAL_PACKET_ID;
    link->untouched = true;
    link->early = 0;
    link->sync.valid = false;
}

void kd_link_init(struct kd_link *link, const struct kd_link_config *config)
{
    *link =
        (struct kd_link){.config = *config, .retry_at = NEVER, .reset_at = NEVER, .idle_at = NEVER};
    if (is_serial(link))
        begin_streams(link, is_target(link));
    else
        link->current_id = is_target(link) ? 0 : KD_KDNET_HOST_FIRST_ID;
}

void kd_link_accept(struct kd_link *link, uint32_t types)
{
    link->config.accept = types;
}

/* The packet on the way is done with, one way or the other. */
static void end_packet(struct kd_link *link, enum kd_link_action_kind kind,
                       struct kd_link_actions *out)
{
    add_of_packet(link, out, kind, false);
    link->sending = false;
    link->retry_at = NEVER;
    if (is_serial(link))
        link->current_id = (link->current_id ^ SERIAL_TOGGLE) & ~KD_SYNC_PACKET_ID;
    else
        link->current_id += KDNET_STEP;
}

bool kd_link_send(struct kd_link *link, uint64_t now, enum kd_packet_type type,
                  const uint8_t *payload, size_t size, struct kd_link_actions *out)
{
    out->count = 0;
    if (link->sending || (link->resetting && is_serial(link)) || kd_is_control((uint32_t)type) ||
        size > UINT16_MAX)
        return false;
    link->sending = true;
    link->type = type;
    link->payload = payload;
    link->size = size;
    link->retries = 0;
    link->resends = 0;
    link->early = 0;
    link->reset_tried = false;
    transmit(link, now, false, out);
    return true;
}

void kd_link_sent(struct kd_link *link, uint64_t now)
{
    if (link->sending)
        link->retry_at = after(now, link->config.retry_us);
}

/* R6, R7. A peer that asks without end gets no more than the line can bear. */
static bool transmit_on_demand(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    if (link->resends >= link->config.resend_limit)
        return false;
    link->resends++;
    transmit(link, now, true, out);
    return true;
}

/* R16: RESET carries 0 on serial links, on KDNET the current id. */
static void add_reset(struct kd_link *link, struct kd_link_actions *out)
{
    add_control(out, KD_PACKET_RESET, is_serial(link) ? 0 : link->current_id);
}

/* A RESET of our own. */
static void ask_reset(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    add_reset(link, out);
    link->quiet_until = after(now, link->config.quiet_us);
    if (link->resets_owed < UINT32_MAX)
        link->resets_owed++;
}

static void repeat_reset(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    ask_reset(link, now, out);
    link->resets_asked = link->resetting ? link->resets_asked + 1 : 1;
    link->resetting = true;
    link->reset_at = after(now, link->config.reset_us);
}

static void stop_resetting(struct kd_link *link)
{
    link->resetting = false;
    link->reset_at = NEVER;
}

bool kd_link_reset(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    out->count = 0;
    if (is_target(link) && (now < link->quiet_until || now < link->answered_until))
        return false;
    if (is_target(link)) {
        link->resets_owed = 0;
        ask_reset(link, now, out);
        if (is_serial(link))
            begin_streams(link, true);
        if (link->sending)
            transmit(link, now, true, out);
        return true;
    }
    if (is_serial(link)) {
        if (link->sending)
            end_packet(link, KD_LINK_GAVE_UP, out);
        begin_streams(link, false);
    }
    if (!link->resetting && now >= link->quiet_until)
        link->resets_owed = 0;
    link->sync_answers = false;
    repeat_reset(link, now, out);
    return true;
}

/* R9: what is too small for the fixed part of its message, or has no id of this protocol. */
static bool refused_by_target(const struct kd_link *link, uint32_t type, uint32_t id, size_t size)
{
    size_t least = KD_MANIPULATE_DATA;

    if (type == KD_PACKET_DEBUG_IO)
        least = KD_DEBUG_IO_TEXT;
    else if (type == KD_PACKET_FILE_IO)
        least = KD_FILE_IO_DATA;
    return size < least ||
           (is_serial(link) && (id & ~(KD_SYNC_PACKET_ID | SERIAL_TOGGLE)) != KD_INITIAL_PACKET_ID);
}

static bool has_sync(const struct kd_link *link, uint32_t id)
{
    return is_serial(link) && !is_target(link) &&
           (id & ~SERIAL_TOGGLE) == (KD_INITIAL_PACKET_ID | KD_SYNC_PACKET_ID);
}

/* R11, R13. KDNET's counters are compared so that they may pass zero. */
static bool is_duplicate(const struct kd_link *link, const struct kd_link_sync *packet)
{
    const struct kd_link_sync *last = &link->sync;

    if (!is_serial(link))
        return link->remote_seen && packet->id - link->remote_id - 1 >= UINT32_C(0x7FFFFFFF);
    if (!has_sync(link, packet->id))
        return packet->id != link->remote_id;
    return last->valid && last->id == packet->id && last->type == packet->type &&
           last->checksum == packet->checksum && last->size == packet->size;
}

static void add_ack(const struct kd_link *link, uint32_t id, struct kd_link_actions *out)
{
    add_control(out, KD_PACKET_ACKNOWLEDGE, is_serial(link) ? id & ~KD_SYNC_PACKET_ID : id);
}

/* R14: whether this packet is as good as the ACK of the reply on the way. */
static bool replaces_ack(const struct kd_link *link, const struct kd_link_sync *packet)
{
    return is_target(link) && link->sending && !link->untouched && link->early == 0 &&
           link->type == KD_PACKET_STATE_MANIPULATE && packet->type == KD_PACKET_STATE_MANIPULATE;
}

/* Takes a packet that is new and wanted. */
static void take(struct kd_link *link, const struct kd_link_sync *packet, const uint8_t *payload,
                 struct kd_link_actions *out)
{
    bool sync = has_sync(link, packet->id), replaces = replaces_ack(link, packet);
    struct kd_link_action *action;

    add_ack(link, packet->id, out);
    if (sync && !link->untouched) {
        if (link->sending)
            end_packet(link, KD_LINK_GAVE_UP, out);
        begin_streams(link, false);
        add(out, KD_LINK_RESET_SEEN)->type = (enum kd_packet_type)packet->type;
    }
    link->untouched = false;
    link->remote_seen = true;
    link->remote_id =
        is_serial(link) ? (packet->id & ~KD_SYNC_PACKET_ID) ^ SERIAL_TOGGLE : packet->id;
    stop_resetting(link);
    link->sync = *packet;
    link->sync.valid = sync;
    if (replaces)
        end_packet(link, KD_LINK_SENT_OK, out);
    if (link->sending)
        link->early++;
    action = add(out, KD_LINK_DELIVER);
    action->type = (enum kd_packet_type)packet->type;
    action->id = packet->id;
    action->payload = payload;
    action->size = packet->size;
    action->early = link->sending;
}

static enum kd_link_verdict receive_data(struct kd_link *link, const struct kd_frame *frame,
                                         const uint8_t *bytes, struct kd_link_actions *out)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    struct kd_link_sync packet = {
        .id = kd_get32(header->packet_id),
        .type = kd_get16(header->packet_type),
        .checksum = frame->checksum,
        .size = frame->payload,
    };
    bool wanted = packet.type < 32 && link->config.accept >> packet.type & 1;

    if (link->resetting && is_serial(link) && !(link->sync_answers && has_sync(link, packet.id)))
        return KD_LINK_IGNORED;
    if (frame->flags ||
        (is_target(link) && refused_by_target(link, packet.type, packet.id, packet.size))) {
        add_control(out, KD_PACKET_RESEND, 0);
        return KD_LINK_DAMAGED;
    }
    if (is_target(link) && is_serial(link) && link->current_id & KD_SYNC_PACKET_ID)
        return KD_LINK_IGNORED;
    if (is_duplicate(link, &packet)) {
        add_ack(link, packet.id, out);
        return KD_LINK_DUPLICATE;
    }
    if (!wanted) {
        add_ack(link, packet.id, out);
        return KD_LINK_UNWANTED;
    }
    if (link->sending && link->early >= link->config.early_limit)
        return KD_LINK_IGNORED;
    take(link, &packet, bytes + KD_HEADER_SIZE, out);
    return KD_LINK_TAKEN;
}

static enum kd_link_verdict receive_ack(struct kd_link *link, uint32_t id,
                                        struct kd_link_actions *out)
{
    uint32_t mask = is_serial(link) ? ~KD_SYNC_PACKET_ID : UINT32_MAX;

    if (!link->sending || (id & mask) != (link->current_id & mask))
        return KD_LINK_STRAY;
    end_packet(link, KD_LINK_SENT_OK, out);
    link->untouched = false;
    if (is_target(link))
        link->quiet_until = 0;
    if (!is_serial(link))
        stop_resetting(link);
    return KD_LINK_TAKEN;
}

static enum kd_link_verdict receive_resend(struct kd_link *link, uint64_t now,
                                           struct kd_link_actions *out)
{
    if (link->sending)
        return transmit_on_demand(link, now, out) ? KD_LINK_TAKEN : KD_LINK_STRAY;
    add(out, KD_LINK_RESEND_SEEN)->type = KD_PACKET_RESEND;
    return KD_LINK_STRAY;
}

/* R16, R17, R19. */
static enum kd_link_verdict reset_serial_target(struct kd_link *link, uint64_t now,
                                                struct kd_link_actions *out)
{
    bool answer = now >= link->quiet_until;

    if (now < link->answered_until)
        return KD_LINK_DUPLICATE;
    if (answer) {
        add_reset(link, out);
        link->answered_until = after(now, link->config.quiet_us);
    }
    if (link->sending && link->type == KD_PACKET_STATE_MANIPULATE)
        end_packet(link, KD_LINK_GAVE_UP, out);
    begin_streams(link, false);
    add(out, KD_LINK_RESET_SEEN)->type = KD_PACKET_RESET;
    if (link->sending && answer) {
        link->retries = 0;
        transmit(link, now, true, out);
    }
    return KD_LINK_TAKEN;
}

/* R16 to R18, R20. */
static enum kd_link_verdict reset_serial_debugger(struct kd_link *link, uint64_t now,
                                                  struct kd_link_actions *out)
{
    bool settled = !link->resetting && now < link->quiet_until;
    /* The answer to an earlier RESET of ours, which the target read before all we sent since. */
    bool late = link->resets_owed > 0 && link->current_id == KD_INITIAL_PACKET_ID;

    link->resets_owed -= link->resets_owed > 0;
    if (settled && (late || link->untouched))
        return KD_LINK_DUPLICATE;
    if (link->resetting) {
        stop_resetting(link);
    } else {
        if (link->sending)
            end_packet(link, KD_LINK_GAVE_UP, out);
        link->resets_owed = 0;
        link->sync_answers = true;
        repeat_reset(link, now, out);
    }
    begin_streams(link, false);
    add(out, KD_LINK_RESET_SEEN)->type = KD_PACKET_RESET;
    return KD_LINK_TAKEN;
}

static enum kd_link_verdict reset_kdnet(struct kd_link *link, uint64_t now,
                                        struct kd_link_actions *out)
{
    bool quiet = link->resetting || now < link->quiet_until;

    if (quiet && link->resets_owed == 0)
        return KD_LINK_DUPLICATE;
    if (quiet) {
        link->resets_owed--;
    } else {
        add_reset(link, out);
        if (is_target(link))
            link->answered_until = after(now, link->config.quiet_us);
        else
            link->quiet_until = after(now, link->config.quiet_us);
        link->resets_owed = 0;
    }
    stop_resetting(link);
    add(out, KD_LINK_RESET_SEEN)->type = KD_PACKET_RESET;
    if (link->sending)
        transmit(link, now, true, out);
    return KD_LINK_TAKEN;
}

static enum kd_link_verdict receive_packet(struct kd_link *link, uint64_t now,
                                           const struct kd_frame *frame, const uint8_t *bytes,
                                           struct kd_link_actions *out)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;

    switch (kd_get16(header->packet_type)) {
    case KD_PACKET_ACKNOWLEDGE:
        return receive_ack(link, kd_get32(header->packet_id), out);
    case KD_PACKET_RESEND:
        return receive_resend(link, now, out);
    case KD_PACKET_RESET:
        if (!is_serial(link))
            return reset_kdnet(link, now, out);
        return is_target(link) ? reset_serial_target(link, now, out)
                               : reset_serial_debugger(link, now, out);
    default:
        return receive_data(link, frame, bytes, out);
    }
}

/* R8 for what could not be framed. A broken control packet is not asked for: nobody keeps those. */
static enum kd_link_verdict receive_noise(struct kd_link *link, const struct kd_frame *frame,
                                          const uint8_t *bytes, struct kd_link_actions *out)
{
    bool of_packet = frame->flags & (KD_FRAME_TRUNCATED | KD_FRAME_BAD_LENGTH);

    if (!of_packet || bytes[0] != (uint8_t)KD_LEADER_DATA || (link->resetting && is_serial(link)))
        return KD_LINK_NOT_FOR_LINK;
    add_control(out, KD_PACKET_RESEND, 0);
    return KD_LINK_DAMAGED;
}

enum kd_link_verdict kd_link_receive(struct kd_link *link, uint64_t now,
                                     const struct kd_frame *frame, const uint8_t *bytes,
                                     struct kd_link_actions *out)
{
    out->count = 0;
    if (frame->kind == KD_FRAME_NOISE || (frame->kind == KD_FRAME_NEED_MORE && frame->need > 1))
        link->idle_at = link->config.idle_us ? after(now, link->config.idle_us) : NEVER;
    else if (frame->kind != KD_FRAME_NEED_MORE)
        link->idle_at = NEVER;
    switch (frame->kind) {
    case KD_FRAME_PACKET:
        return receive_packet(link, now, frame, bytes, out);
    case KD_FRAME_NOISE:
        return receive_noise(link, frame, bytes, out);
    case KD_FRAME_BREAKIN:
        if (!is_target(link))
            return KD_LINK_NOT_FOR_LINK;
        add(out, KD_LINK_BREAKIN);
        if (link->sending)
            (void)transmit_on_demand(link, now, out);
        return KD_LINK_TAKEN;
    default:
        return KD_LINK_NOT_FOR_LINK;
    }
}

uint64_t kd_link_deadline(const struct kd_link *link)
{
    uint64_t first = link->retry_at < link->reset_at ? link->retry_at : link->reset_at;

    return link->idle_at < first ? link->idle_at : first;
}

/* R5: the messages a target sends without needing an answer to go on. */
static bool may_give_up(const struct kd_link *link)
{
    uint32_t first;

    if (!is_target(link))
        return true;
    if (link->size < sizeof(kd_u32))
        return false;
    first = kd_get32(*(const kd_u32 *)link->payload);
    switch (link->type) {
    case KD_PACKET_DEBUG_IO:
        return first == KD_API_PRINT_STRING;
    case KD_PACKET_FILE_IO:
        return first == KD_API_CREATE_FILE;
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_CHANGE64:
        return first == KD_STATE_LOAD_SYMBOLS || first == KD_STATE_ALTERNATE_LOAD_SYMBOLS;
    default:
        return false;
    }
}

/* R4, R5: the last repetition was not acknowledged either. */
static void retries_used_up(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    if (!is_serial(link) && !is_target(link) && !link->reset_tried) {
        link->reset_tried = true;
        link->retries = 0;
        ask_reset(link, now, out);
        transmit(link, now, true, out);
        return;
    }
    end_packet(link, KD_LINK_GAVE_UP, out);
    if (!is_serial(link))
        return;
    begin_streams(link, is_target(link));
    if (!is_target(link)) {
        link->resets_owed = 0;
        link->sync_answers = false;
        repeat_reset(link, now, out);
    }
}

static void retry(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    link->resends = 0;
    if (link->retries >= link->config.retry_limit && may_give_up(link)) {
        retries_used_up(link, now, out);
        return;
    }
    if (link->retries < UINT32_MAX)
        link->retries++;
    transmit(link, now, true, out);
}

static void reset_unanswered(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    if (link->config.reset_limit && link->resets_asked >= link->config.reset_limit) {
        stop_resetting(link);
        add(out, KD_LINK_GAVE_UP)->type = KD_PACKET_RESET;
        return;
    }
    repeat_reset(link, now, out);
}

static bool is_due(uint64_t at, uint64_t now)
{
    return at != NEVER && now >= at;
}

void kd_link_tick(struct kd_link *link, uint64_t now, struct kd_link_actions *out)
{
    out->count = 0;
    if (is_due(link->idle_at, now)) {
        link->idle_at = NEVER;
        add(out, KD_LINK_FLUSH);
    }
    if (is_due(link->reset_at, now))
        reset_unanswered(link, now, out);
    if (is_due(link->retry_at, now))
        retry(link, now, out);
}
