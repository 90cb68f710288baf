/* observe.c - what each packet of a KD link is to those before. See observe.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For each side the last data packets it sent are kept (an ACK names one of them), and the requests
 * that wait for a reply. A packet may be kept in several places; what becomes known of it later is
 * told to all of them by its number.
 */
#include "kd/observe.h"

#include "kd/describe.h"
#include "observe_message.h"

static void find(struct kd_seen *seen, enum kd_finding finding)
{
    seen->findings |= UINT64_C(1) << finding;
}

void kd_observer_init(struct kd_observer *observer, bool kdnet)
{
    *observer = (struct kd_observer){.kdnet = kdnet};
}

/* Serial ids alternate in bit 0; the SYNC bit says that the sender began anew. */
static uint32_t clean_id(const struct kd_observer *observer, uint32_t id)
{
    return observer->kdnet ? id : id & ~KD_SYNC_PACKET_ID;
}

static uint32_t next_id(const struct kd_observer *observer, uint32_t id)
{
    return observer->kdnet ? id + 2 : clean_id(observer, id) ^ 1;
}

static enum kd_flow other_flow(enum kd_flow flow)
{
    return flow == KD_FLOW_TO_TARGET     ? KD_FLOW_TO_DEBUGGER
           : flow == KD_FLOW_TO_DEBUGGER ? KD_FLOW_TO_TARGET
                                         : KD_FLOW_UNKNOWN;
}

/* --- what is kept */

static struct kd_sent *waiting_slot(struct kd_observer *observer, unsigned back)
{
    return &observer->waiting[(observer->waiting_next - 1 - back) % KD_OBSERVER_WAITING];
}

static struct kd_sent *find_sent(const struct kd_observer *observer, struct kd_observer_side *side,
                                 uint32_t id)
{
    for (unsigned i = 0; i < KD_OBSERVER_RECENT; i++) {
        struct kd_sent *sent = &side->recent[(side->newest - i) % KD_OBSERVER_RECENT];

        if (sent->number && clean_id(observer, sent->id) == clean_id(observer, id))
            return sent;
    }
    return NULL;
}

/* Every copy of the packet with this number. */
static void mark_acknowledged(struct kd_observer *observer, struct kd_observer_side *side,
                              uint64_t number)
{
    for (unsigned i = 0; i < KD_OBSERVER_RECENT; i++)
        if (side->recent[i].number == number)
            side->recent[i].acknowledged = true;
    if (side->last.number == number)
        side->last.acknowledged = true;
    if (side->before.number == number)
        side->before.acknowledged = true;
    for (unsigned back = 0;
         side == &observer->sides[KD_FLOW_TO_TARGET] && back < KD_OBSERVER_WAITING; back++) {
        struct kd_sent *request = waiting_slot(observer, back);

        if (request->number == number) {
            request->acknowledged = true;
            break;
        }
    }
}

/* The packet leaves the last place that an ACK could reach it at. */
static void forget_sent(struct kd_observer *observer, const struct kd_sent *sent)
{
    if (observer->never && sent->number && !sent->acknowledged && !sent->retransmission &&
        !sent->repeated)
        observer->never(observer->context, KD_FINDING_UNACKNOWLEDGED, &sent->ref);
}

static bool is_recent(const struct kd_observer_side *side, uint64_t number)
{
    for (unsigned i = 0; i < KD_OBSERVER_RECENT; i++)
        if (side->recent[i].number == number)
            return true;
    return false;
}

static bool must_answer(uint32_t number)
{
    const struct kd_api_info *api = kd_api_find(number);

    return !api || api->answer == KD_ANSWER_REPLY;
}

static void forget_request(struct kd_observer *observer, const struct kd_sent *request)
{
    const struct kd_api_info *api = kd_api_find(request->message.api);

    if (observer->never && request->number && !request->has_peer && !request->repeated && api &&
        api->answer == KD_ANSWER_REPLY)
        observer->never(observer->context, KD_FINDING_UNANSWERED, &request->ref);
}

static void keep_recent(struct kd_observer *observer, struct kd_observer_side *side,
                        const struct kd_sent *sent)
{
    struct kd_sent *slot = &side->recent[++side->newest % KD_OBSERVER_RECENT];

    if (slot->number != side->last.number && slot->number != side->before.number)
        forget_sent(observer, slot);
    *slot = *sent;
}

static void keep_last(struct kd_observer *observer, struct kd_observer_side *side,
                      const struct kd_sent *sent)
{
    if (!is_recent(side, side->before.number))
        forget_sent(observer, &side->before);
    side->before = side->last;
    side->last = *sent;
}

static void keep_waiting(struct kd_observer *observer, const struct kd_sent *request)
{
    struct kd_sent *slot = &observer->waiting[observer->waiting_next++ % KD_OBSERVER_WAITING];

    forget_request(observer, slot);
    *slot = *request;
}

/* --- storms */

static void note_time(const struct kd_observer *observer, struct kd_recent_times *times,
                      const struct kd_passing *passing)
{
    uint64_t last = times->at[(times->next + KD_STORM_COUNT - 1) % KD_STORM_COUNT];

    if (times->count == 0 || passing->time - last >= KD_STORM_SPAN) {
        times->run = passing->ref;
        times->run_number = observer->passed;
    }
    times->at[times->next] = passing->time;
    times->next = (times->next + 1) % KD_STORM_COUNT;
    if (times->count < KD_STORM_COUNT)
        times->count++;
}

/* Whether the ring was filled within KD_STORM_SPAN. */
static bool is_stormy(const struct kd_recent_times *times, uint64_t now)
{
    return times->count == KD_STORM_COUNT && now - times->at[times->next] < KD_STORM_SPAN;
}

static void storm(struct kd_observer *observer, const struct kd_passing *passing,
                  enum kd_storm kind, const struct kd_recent_times *a,
                  const struct kd_recent_times *b, struct kd_seen *seen)
{
    static const enum kd_finding found[] = {[KD_STORM_RESET] = KD_FINDING_RESET_STORM,
                                            [KD_STORM_RESEND] = KD_FINDING_RESEND_STORM,
                                            [KD_STORM_CONSOLE] = KD_FINDING_CONSOLE_STORM};

    observer->storm_last = passing->time;
    if (observer->storm == kind)
        return;
    observer->storm = kind;
    observer->storm_flow = passing->flow;
    seen->storm = kind;
    /* Both take part from here on. */
    seen->storm_since = a->run_number > b->run_number ? a->run : b->run;
    find(seen, found[kind]);
}

enum kd_storm kd_observer_calm(struct kd_observer *observer, uint64_t now)
{
    enum kd_storm over = observer->storm;

    if (over == KD_STORM_NONE || now <= observer->storm_last ||
        now - observer->storm_last <= KD_STORM_CALM)
        return KD_STORM_NONE;
    observer->storm = KD_STORM_NONE;
    return over;
}

static void look_for_storm(struct kd_observer *observer, const struct kd_passing *passing,
                           struct kd_seen *seen)
{
    const struct kd_recent_times *asks = &observer->sides[KD_FLOW_TO_TARGET].resets;
    const struct kd_recent_times *back = &observer->sides[KD_FLOW_TO_DEBUGGER].resets;
    const struct kd_recent_times *texts = &observer->sides[KD_FLOW_TO_DEBUGGER].texts;
    const struct kd_recent_times *resends = &observer->sides[passing->flow].resends;
    uint64_t now = passing->time;

    if (is_stormy(asks, now) && is_stormy(back, now))
        storm(observer, passing, KD_STORM_RESET, asks, back, seen);
    else if (is_stormy(asks, now) && is_stormy(texts, now))
        storm(observer, passing, KD_STORM_CONSOLE, asks, texts, seen);
    else if (is_stormy(resends, now) && observer->storm != KD_STORM_RESET)
        storm(observer, passing, KD_STORM_RESEND, resends, resends, seen);
}

/* --- who owes an answer */

static void owes(struct kd_observer_side *side, uint64_t now)
{
    if (!side->owes)
        side->owes_since = now;
    side->owes = true;
}

static void heard(struct kd_observer *observer, const struct kd_passing *passing)
{
    observer->sides[passing->flow].owes = false;
}

void kd_observer_connection(struct kd_observer *observer, bool target)
{
    for (unsigned i = 0; i < 3; i++)
        observer->sides[i].owes = false;
    if (target) {
        observer->stop_number = 0;
        observer->stop = (struct kd_ref){0};
    }
}

/* --- control packets */

static void see_ack(struct kd_observer *observer, struct kd_observer_side *side,
                    struct kd_seen *seen)
{
    const struct kd_sent *subject = find_sent(observer, side, seen->id);

    if (!subject) {
        find(seen, KD_FINDING_STRAY_ACK);
        return;
    }
    seen->subject = subject->ref;
    seen->again = subject->acknowledged;
    mark_acknowledged(observer, side, subject->number);
    /* The first transmission counts as acknowledged through any of its repetitions. */
    if (subject->retransmission) {
        seen->first = subject->original;
        mark_acknowledged(observer, side, subject->original_number);
    }
}

static void see_control(struct kd_observer *observer, const struct kd_passing *passing,
                        struct kd_seen *seen)
{
    struct kd_observer_side *own = &observer->sides[passing->flow];
    struct kd_observer_side *side = &observer->sides[other_flow(passing->flow)];

    switch (seen->packet_type) {
    case KD_PACKET_ACKNOWLEDGE:
        see_ack(observer, side, seen);
        break;
    case KD_PACKET_RESEND:
        seen->subject = side->latest;
        side->invited = true;
        note_time(observer, &own->resends, passing);
        look_for_storm(observer, passing, seen);
        break;
    case KD_PACKET_RESET:
        for (unsigned i = 0; i < 3; i++)
            observer->sides[i].reset = observer->sides[i].invited = true;
        owes(side, passing->time);
        note_time(observer, &own->resets, passing);
        look_for_storm(observer, passing, seen);
        break;
    default:
        break;
    }
}

/* --- data packets: ids */

static bool same_content(const struct kd_sent *packet, const struct kd_sent *before)
{
    return packet->type == before->type && packet->size == before->size &&
           packet->checksum == before->checksum;
}

static bool is_state_change(uint32_t type)
{
    return type == KD_PACKET_STATE_CHANGE64 || type == KD_PACKET_STATE_CHANGE32;
}

/* Whether a packet after a RESET is the one before it: the sender repeats what it was waiting for
 * an acknowledgement of, and a stopped target its state change. */
static bool is_pending(const struct kd_observer *observer, const struct kd_sent *last)
{
    return !last->acknowledged ||
           (is_state_change(last->type) && observer->stop_number == last->number);
}

static void check_damaged(const struct kd_observer *observer, const struct kd_sent *packet,
                          const struct kd_observer_side *side, struct kd_seen *seen)
{
    const struct kd_sent *damaged = &side->damaged;

    if (damaged->number && damaged->type == packet->type && damaged->size == packet->size &&
        clean_id(observer, damaged->id) == clean_id(observer, packet->id)) {
        seen->repairs = true;
        seen->original = damaged->ref;
    }
}

static void set_original(struct kd_sent *packet, const struct kd_sent *original,
                         struct kd_seen *seen)
{
    packet->original = original->ref;
    packet->original_number = original->number;
    seen->original = original->ref;
    find(seen, KD_FINDING_DUPLICATE);
}

/* What the id says about a data packet: new, repeated, or out of step. */
static void check_id(const struct kd_observer *observer, struct kd_sent *packet,
                     const struct kd_observer_side *side, struct kd_seen *seen)
{
    const struct kd_sent *last = &side->last;
    bool sync = !observer->kdnet && packet->id & KD_SYNC_PACKET_ID;
    bool same_id, restarted;

    check_damaged(observer, packet, side, seen);
    if (!last->number)
        return;
    same_id = clean_id(observer, packet->id) == clean_id(observer, last->id);
    restarted = !observer->kdnet && (side->reset || sync);
    if (same_content(packet, last) && (restarted ? is_pending(observer, last) : same_id)) {
        packet->retransmission = seen->retransmission = true;
        seen->invited = side->invited;
        seen->needless = !seen->invited && last->acknowledged;
        packet->has_peer = last->has_peer;
        packet->asked = last->asked;
        set_original(packet, last, seen);
        return;
    }
    if (sync)
        find(seen, KD_FINDING_RESTART);
    if (restarted)
        return;
    seen->expected_id = next_id(observer, last->id);
    if (clean_id(observer, packet->id) != seen->expected_id)
        find(seen, KD_FINDING_DESYNC);
}

/* Data of the other side after a packet shows that it arrived, ACK or not. */
static void check_last_arrived(const struct kd_observer_side *side,
                               const struct kd_observer_side *other, struct kd_seen *seen)
{
    if (!side->last.number || side->last.acknowledged || side->reset || other->spoke)
        return;
    seen->unacknowledged = side->last.ref;
    find(seen, KD_FINDING_UNACKNOWLEDGED);
}

/* --- data packets: requests and replies */

/* A request: is it a repetition, and does it show that the one before went unanswered? Over KDNET
 * the debugger may go on with the reply to a repetition, and the other replies come late. */
static void see_request(struct kd_observer *observer, struct kd_sent *packet, struct kd_seen *seen)
{
    const struct kd_sent *before = observer->waiting_next ? waiting_slot(observer, 0) : NULL;

    if (before && !before->has_peer && must_answer(before->message.api)) {
        if (packet->message.api == before->message.api && same_content(packet, before)) {
            struct kd_sent first = *before;

            if (before->repeated) {
                first.ref = before->original;
                first.number = before->original_number;
            }
            packet->repeated = seen->repeated = true;
            set_original(packet, &first, seen);
        } else if (!observer->kdnet) {
            seen->unanswered = before->ref;
            find(seen, KD_FINDING_UNANSWERED);
        }
    }
    if (packet->message.api == KD_API_CONTINUE || packet->message.api == KD_API_CONTINUE2 ||
        packet->message.api == KD_API_REBOOT || packet->message.api == KD_API_CAUSE_BUGCHECK) {
        observer->stop_number = 0;
        observer->stop = (struct kd_ref){0};
    }
}

static bool answers(const struct kd_sent *reply, const struct kd_sent *request)
{
    return request->number && !request->has_peer && request->message.api == reply->message.api &&
           request->message.address == reply->message.address &&
           request->message.requested == reply->message.requested;
}

/* The waiting request that a reply echoes. A target acknowledges first and answers then, so one
 * that was acknowledged is preferred. Over KDNET all repetitions are answered, in order; on a
 * serial line the last one is meant. */
static struct kd_sent *find_echoed(struct kd_observer *observer, const struct kd_sent *reply,
                                   bool acknowledged)
{
    unsigned kept =
        observer->waiting_next < KD_OBSERVER_WAITING ? observer->waiting_next : KD_OBSERVER_WAITING;

    for (unsigned i = 0; i < kept; i++) {
        struct kd_sent *request = waiting_slot(observer, observer->kdnet ? kept - 1 - i : i);

        if (answers(reply, request) && (request->acknowledged || !acknowledged))
            return request;
    }
    return NULL;
}

/* The request that a reply answers. A target that never echoes answers what came last. */
static struct kd_sent *find_request(struct kd_observer *observer, const struct kd_sent *reply)
{
    struct kd_sent *last = observer->waiting_next ? waiting_slot(observer, 0) : NULL;
    struct kd_sent *request = find_echoed(observer, reply, true);

    if (!request)
        request = find_echoed(observer, reply, false);
    if (request && (request->message.address || request->message.requested))
        observer->echoes = true;
    if (!request && !observer->echoes && last && !last->has_peer &&
        last->message.api == reply->message.api)
        request = last;
    return request;
}

static void see_reply(struct kd_observer *observer, struct kd_sent *packet, struct kd_seen *seen)
{
    struct kd_sent *request = find_request(observer, packet);

    if (!request)
        return;
    request->has_peer = packet->has_peer = true;
    packet->asked = request->message.count;
    seen->peer = request->ref;
}

/* Messages the target starts: at most one waits for the debugger's answer, which has its type and
 * ApiNumber. */
static void see_io(struct kd_observer *observer, struct kd_sent *packet, enum kd_flow flow,
                   struct kd_seen *seen)
{
    struct kd_sent *request = &observer->io_request;

    if (flow == KD_FLOW_TO_DEBUGGER) {
        if (packet->message.api != KD_API_PRINT_STRING && packet->message.api != KD_API_PRINT_TRACE)
            *request = *packet;
    } else if (request->number && request->type == packet->type &&
               request->message.api == packet->message.api) {
        request->has_peer = packet->has_peer = true;
        seen->peer = request->ref;
    }
}

static void see_state_change(struct kd_observer *observer, const struct kd_sent *packet,
                             struct kd_seen *seen)
{
    observer->stop_number = packet->number;
    observer->stop = seen->stop = packet->ref;
    observer->protocol32 = packet->type == KD_PACKET_STATE_CHANGE32;
}

static void see_message(struct kd_observer *observer, struct kd_sent *packet, enum kd_flow flow,
                        struct kd_seen *seen)
{
    if (is_state_change(packet->type))
        see_state_change(observer, packet, seen);
    else if (packet->type != KD_PACKET_STATE_MANIPULATE)
        see_io(observer, packet, flow, seen);
    else if (flow == KD_FLOW_TO_TARGET)
        see_request(observer, packet, seen);
    else if (flow == KD_FLOW_TO_DEBUGGER)
        see_reply(observer, packet, seen);
}

/* --- frames */

static void see_good_data(struct kd_observer *observer, const struct kd_passing *passing,
                          struct kd_sent *packet, struct kd_seen *seen)
{
    struct kd_observer_side *side = &observer->sides[passing->flow];
    struct kd_observer_side *other = &observer->sides[other_flow(passing->flow)];

    check_id(observer, packet, side, seen);
    if (!packet->retransmission) {
        check_last_arrived(side, other, seen);
        see_message(observer, packet, passing->flow, seen);
        keep_last(observer, side, packet);
        if (packet->type == KD_PACKET_STATE_MANIPULATE && passing->flow == KD_FLOW_TO_TARGET)
            keep_waiting(observer, packet);
        side->reset = side->invited = false;
        side->spoke = true;
        other->spoke = false;
    }
    side->damaged.number = 0;
    side->latest = packet->ref;
    keep_recent(observer, side, packet);
    owes(other, passing->time);
}

static void see_data(struct kd_observer *observer, const struct kd_passing *passing,
                     struct kd_seen *seen)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)passing->bytes;
    struct kd_observer_side *side = &observer->sides[passing->flow];
    struct kd_sent packet = {.number = ++observer->numbers,
                             .ref = passing->ref,
                             .id = seen->id,
                             .size = kd_get16(header->byte_count),
                             .checksum = kd_get32(header->checksum),
                             .type = seen->packet_type};

    kd_message_read(seen->packet_type, passing->flow, observer->protocol32,
                    passing->bytes + KD_HEADER_SIZE, passing->frame->payload, &packet.message);
    seen->message = packet.message;
    if (passing->frame->flags & KD_FRAME_BAD_CHECKSUM) {
        /* A packet the receiver cannot use still is what a RESEND asks for. */
        side->damaged = packet;
        side->latest = packet.ref;
        return;
    }
    if (passing->ignored)
        return;
    see_good_data(observer, passing, &packet, seen);
    seen->asked = packet.asked;
    seen->findings |= observe_message(passing, seen);
}

static void see_packet(struct kd_observer *observer, const struct kd_passing *passing,
                       struct kd_seen *seen)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)passing->bytes;

    seen->packet_type = kd_get16(header->packet_type);
    seen->id = kd_get32(header->packet_id);
    if (passing->frame->flags & KD_FRAME_BAD_CHECKSUM)
        find(seen, KD_FINDING_CHECKSUM);
    if (passing->frame->flags & KD_FRAME_NO_TRAILER)
        find(seen, KD_FINDING_TRAILER);
    if (passing->frame->flags == 0)
        heard(observer, passing);
    if (seen->packet_type == KD_PACKET_RESET)
        find(seen, KD_FINDING_RESET);
    else if (seen->packet_type == KD_PACKET_RESEND)
        find(seen, KD_FINDING_RESEND);
    if (!kd_is_control(seen->packet_type))
        see_data(observer, passing, seen);
    else if (!passing->ignored && !(passing->frame->flags & KD_FRAME_BAD_CHECKSUM))
        see_control(observer, passing, seen);
}

static void see_noise(struct kd_observer *observer, const struct kd_passing *passing,
                      struct kd_seen *seen)
{
    find(seen,
         passing->frame->flags & KD_FRAME_TRUNCATED ? KD_FINDING_LOST_BYTES : KD_FINDING_NOISE);
    if (passing->flow != KD_FLOW_TO_DEBUGGER)
        return;
    note_time(observer, &observer->sides[passing->flow].texts, passing);
    look_for_storm(observer, passing, seen);
}

void kd_observe(struct kd_observer *observer, const struct kd_passing *passing,
                struct kd_seen *seen)
{
    observer->passed++;
    *seen = (struct kd_seen){.stop = observer->stop, .protocol32 = observer->protocol32};
    (void)kd_observer_calm(observer, passing->time);
    switch (passing->frame->kind) {
    case KD_FRAME_PACKET:
        see_packet(observer, passing, seen);
        break;
    case KD_FRAME_BREAKIN:
        find(seen, KD_FINDING_BREAKIN);
        observer->sides[KD_FLOW_TO_DEBUGGER].invited = true;
        owes(&observer->sides[KD_FLOW_TO_DEBUGGER], passing->time);
        break;
    case KD_FRAME_NOISE:
        see_noise(observer, passing, seen);
        break;
    default:
        break;
    }
    seen->storming = observer->storm;
}

void kd_observer_end(struct kd_observer *observer)
{
    for (unsigned i = 0; i < 3; i++) {
        struct kd_observer_side *side = &observer->sides[i];

        for (unsigned back = KD_OBSERVER_RECENT; back-- > 0;) {
            const struct kd_sent *sent = &side->recent[(side->newest - back) % KD_OBSERVER_RECENT];

            if (sent->number != side->last.number && sent->number != side->before.number)
                forget_sent(observer, sent);
        }
        forget_sent(observer, &side->before);
        forget_sent(observer, &side->last);
    }
    for (unsigned back = KD_OBSERVER_WAITING; back-- > 0;)
        forget_request(observer, waiting_slot(observer, back));
}

void kd_observer_restart(struct kd_observer *observer)
{
    struct kd_observer next = {.kdnet = observer->kdnet,
                               .protocol32 = observer->protocol32,
                               .numbers = observer->numbers,
                               .never = observer->never,
                               .context = observer->context};

    kd_observer_end(observer);
    *observer = next;
}
