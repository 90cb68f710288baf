/* kdnet-session.c - sessions and datagrams of KDNET on the first visit. See kdnet-session.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A data datagram is tried with the session that opened the conversation's last one, then with the
 * pair's sessions from the newest to the oldest: after a new response data of the old key may still
 * arrive.
 */
#include "kdnet-session.h"

#include <epan/conversation.h>
#include <epan/to_str.h>
#include <string.h>

#include "kd/sender.h"

#define SESSIONS_TRIED 32 /* at most so many keys are tried on one data datagram */
#define ANNOUNCE_SHORT 8  /* an announce may lack the address */
#define POKES_KEPT     8  /* a response may answer one of the last pokes */

/* Two addresses that exchange KDNET. */
struct pair {
    wmem_array_t *sessions; /* struct kdnet_session * */
    struct kdnet_control_key *key;
    struct {
        kd_u8 nonce[32];
        struct kdnet_record *record;
        uint32_t frame;
    } pokes[POKES_KEPT];
    unsigned poke_count;
};

struct conversation_state {
    struct pair *pair;
    struct kdnet_session *last;    /* opened the last data datagram */
    struct kdnet_session *keyless; /* version 1, or without encryption */
};

static int proto_kdnet = -1;
static wmem_map_t *pairs; /* address pair as text -> struct pair, in file scope */

static struct pair *find_pair(packet_info *pinfo)
{
    char *src = address_to_str(pinfo->pool, &pinfo->src);
    char *dst = address_to_str(pinfo->pool, &pinfo->dst);
    bool ordered = strcmp(src, dst) <= 0;
    const char *name =
        wmem_strdup_printf(pinfo->pool, "%s %s", ordered ? src : dst, ordered ? dst : src);
    struct pair *pair = wmem_map_lookup(pairs, name);

    if (!pair) {
        pair = wmem_new0(wmem_file_scope(), struct pair);
        pair->sessions = wmem_array_new(wmem_file_scope(), sizeof(struct kdnet_session *));
        wmem_map_insert(pairs, wmem_strdup(wmem_file_scope(), name), pair);
    }
    return pair;
}

static struct conversation_state *find_state(packet_info *pinfo)
{
    conversation_t *conversation = find_or_create_conversation(pinfo);
    struct conversation_state *state = conversation_get_proto_data(conversation, proto_kdnet);

    if (!state) {
        state = wmem_new0(wmem_file_scope(), struct conversation_state);
        state->pair = find_pair(pinfo);
        conversation_add_proto_data(conversation, proto_kdnet, state);
    }
    return state;
}

static struct kdnet_session *session_at(const struct pair *pair, unsigned i)
{
    return *(struct kdnet_session **)wmem_array_index(pair->sessions, i);
}

static struct kdnet_session *new_session(struct pair *pair)
{
    struct kdnet_session *session = wmem_new0(wmem_file_scope(), struct kdnet_session);

    wmem_array_append_one(pair->sessions, session);
    session->number = wmem_array_get_count(pair->sessions);
    session->kd = kd_session_new(true);
    return session;
}

/* What one attempt to open a datagram needs and yields. */
struct opening {
    packet_info *pinfo;
    const struct kdnet_datagram *datagram;
    struct kdnet_record *record;
    struct conversation_state *state;
    uint8_t *plaintext;
    struct kdnet_plaintext out;
};

static bool try_cipher(struct opening *o, struct kdnet_cipher *cipher)
{
    enum kdnet_verdict verdict;

    if (!cipher)
        return false;
    o->record->tried++;
    verdict = kdnet_open(cipher, o->datagram, o->plaintext, &o->out, true);
    if (verdict != KDNET_OK && verdict != KDNET_BAD_PAD)
        return false;
    if (verdict == KDNET_BAD_PAD)
        o->record->remarks |= KDNET_REMARK_BAD_PAD;
    o->record->cipher = cipher;
    o->record->sequence = o->out.sequence;
    o->record->from_debugger = o->out.from_debugger;
    return true;
}

/* The keys of the user: the one that worked before comes first. */
static bool try_control_keys(struct opening *o)
{
    struct pair *pair = o->state->pair;
    struct kdnet_control_key *key;

    if (pair->key && try_cipher(o, pair->key->cipher))
        return true;
    for (unsigned i = 0; (key = kdnet_keys_candidate(o->pinfo, i)); i++) {
        if (key != pair->key && try_cipher(o, key->cipher)) {
            pair->key = key;
            return true;
        }
    }
    if (!o->record->tried)
        o->record->remarks |= KDNET_REMARK_NO_KEY;
    return false;
}

static const uint8_t *body_of(const struct opening *o)
{
    return o->plaintext + o->out.body_offset;
}

static void see_poke(struct opening *o, const struct kd_kdnet_poke *poke)
{
    struct pair *pair = o->state->pair;
    unsigned slot = pair->poke_count % POKES_KEPT;

    o->record->content = KDNET_CONTENT_POKE;
    if (pair->poke_count &&
        !kdnet_same_boot(poke->nonce, pair->pokes[(pair->poke_count - 1) % POKES_KEPT].nonce))
        o->record->remarks |= KDNET_REMARK_RESTART;
    memcpy(pair->pokes[slot].nonce, poke->nonce, sizeof poke->nonce);
    pair->pokes[slot].record = o->record;
    pair->pokes[slot].frame = o->pinfo->num;
    pair->poke_count++;
}

/* Links a response to the latest poke with its nonce. */
static void answer_poke(struct opening *o, const struct kd_kdnet_response *response)
{
    struct pair *pair = o->state->pair;

    for (unsigned back = 1; back <= MIN(pair->poke_count, POKES_KEPT); back++) {
        unsigned slot = (pair->poke_count - back) % POKES_KEPT;

        if (memcmp(pair->pokes[slot].nonce, response->nonce, sizeof response->nonce))
            continue;
        o->record->poke = pair->pokes[slot].frame;
        if (!pair->pokes[slot].record->response)
            pair->pokes[slot].record->response = o->pinfo->num;
        return;
    }
}

/* A response begins a session, unless it is a copy of one that did. */
static void see_response(struct opening *o, const struct kd_kdnet_response *response)
{
    struct pair *pair = o->state->pair;
    struct kdnet_session *session;
    uint8_t data_key[KDNET_KEY_SIZE];

    o->record->content = KDNET_CONTENT_RESPONSE;
    answer_poke(o, response);
    if (!pair->key || kdnet_data_key(pair->key->bytes, response, data_key) != KDNET_OK)
        return;
    for (unsigned i = wmem_array_get_count(pair->sessions); i-- > 0;) {
        if (!memcmp(session_at(pair, i)->data_key, data_key, sizeof data_key)) {
            o->record->session = session_at(pair, i);
            return;
        }
    }
    session = new_session(pair);
    session->response = o->pinfo->num;
    session->version = o->datagram->version;
    session->cipher = kdnet_keys_cipher(data_key, pair->key->bytes);
    memcpy(session->data_key, data_key, sizeof data_key);
    session->has_target = true;
    copy_address_wmem(wmem_file_scope(), &session->target, &o->pinfo->dst);
    session->target_port = o->pinfo->destport;
    o->record->session = session;
    o->state->last = session;
}

static void see_control(struct opening *o)
{
    struct kdnet_control control;

    if (!try_control_keys(o))
        return;
    switch (kdnet_control_parse(body_of(o), o->out.body_size, &control)) {
    case KDNET_CONTROL_POKE:
        see_poke(o, control.poke);
        break;
    case KDNET_CONTROL_RESPONSE:
        see_response(o, control.response);
        break;
    case KDNET_CONTROL_EMPTY:
        o->record->content = KDNET_CONTENT_EMPTY;
        break;
    default:
        o->record->content = KDNET_CONTENT_CONTROL;
        break;
    }
}

static bool try_sessions(struct opening *o)
{
    struct pair *pair = o->state->pair;
    unsigned count = wmem_array_get_count(pair->sessions);

    if (o->state->last && try_cipher(o, o->state->last->cipher)) {
        o->record->session = o->state->last;
        return true;
    }
    for (unsigned back = 1; back <= MIN(count, SESSIONS_TRIED); back++) {
        struct kdnet_session *session = session_at(pair, count - back);

        if (session == o->state->last || !try_cipher(o, session->cipher))
            continue;
        o->record->session = session;
        o->state->last = session;
        return true;
    }
    if (!count)
        o->record->remarks |=
            KDNET_REMARK_NO_SESSION | (kdnet_keys_candidate(o->pinfo, 0) ? 0 : KDNET_REMARK_NO_KEY);
    return false;
}

/* Sequence numbers go up by one for each datagram of a direction; those of the debugger by two in
 * version 1. */
static void check_sequence(struct opening *o)
{
    struct kdnet_session *session = o->record->session;
    uint64_t *highest = &session->highest[o->record->from_debugger];
    uint64_t step = o->datagram->v1 && o->record->from_debugger ? 2 : 1;
    uint64_t sequence = o->record->sequence;

    if (*highest && sequence <= *highest) {
        o->record->remarks |= KDNET_REMARK_REPLAY;
        return;
    }
    if (*highest && sequence > *highest + step)
        o->record->missing = (uint32_t)MIN((sequence - *highest - 1) / step, UINT32_MAX);
    *highest = sequence;
}

/* The receiver drops what says it comes from the receiver itself. Ends with one address and one
 * port between them cannot be told apart. */
static void check_direction(struct opening *o)
{
    const struct kdnet_session *session = o->record->session;
    const packet_info *pinfo = o->pinfo;
    bool to_target, from_target;

    if (!session->has_target)
        return;
    to_target =
        pinfo->destport == session->target_port && addresses_equal(&pinfo->dst, &session->target);
    from_target =
        pinfo->srcport == session->target_port && addresses_equal(&pinfo->src, &session->target);
    if (to_target != from_target && from_target == o->record->from_debugger)
        o->record->remarks |= KDNET_REMARK_DIRECTION;
}

static enum kd_flow flow_of(const struct kdnet_record *record)
{
    return record->from_debugger ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;
}

static void see_body(struct opening *o)
{
    struct kdnet_record *record = o->record;
    bool dropped =
        record->remarks & (KDNET_REMARK_REPLAY | KDNET_REMARK_DIRECTION | KDNET_REMARK_BAD_PAD);
    struct kd_frame frame;

    if ((o->out.body_size == sizeof(struct kd_kdnet_announce) ||
         o->out.body_size == ANNOUNCE_SHORT) &&
        !record->from_debugger) {
        record->content = KDNET_CONTENT_ANNOUNCE;
        return;
    }
    kd_frame_datagram(body_of(o), o->out.body_size, &frame);
    if (frame.kind == KD_FRAME_NOISE) {
        record->content = KDNET_CONTENT_OTHER;
        return;
    }
    record->content = KDNET_CONTENT_KD;
    record->unit = kd_unit_new(record->session->kd, o->pinfo, &frame, flow_of(record), body_of(o),
                               dropped ? KD_PKT_IGNORED : 0);
}

static void see_data(struct opening *o)
{
    unsigned newest;

    if (!try_sessions(o))
        return;
    newest = wmem_array_get_count(o->state->pair->sessions);
    if (o->record->session->number != newest)
        o->record->remarks |= KDNET_REMARK_OLD_KEY;
    check_direction(o);
    if (!(o->record->remarks & KDNET_REMARK_DIRECTION))
        check_sequence(o);
    see_body(o);
}

static struct kdnet_session *keyless_session(struct conversation_state *state)
{
    if (!state->keyless) {
        state->keyless = wmem_new0(wmem_file_scope(), struct kdnet_session);
        state->keyless->kd = kd_session_new(true);
        state->keyless->number = 1;
    }
    return state->keyless;
}

static void see_v1(struct opening *o)
{
    if (!try_control_keys(o))
        return;
    o->record->session = keyless_session(o->state);
    check_sequence(o);
    see_body(o);
}

struct kdnet_record *kdnet_session_see(packet_info *pinfo, const struct kdnet_datagram *datagram)
{
    struct opening o = {
        .pinfo = pinfo,
        .datagram = datagram,
        .record = wmem_new0(wmem_file_scope(), struct kdnet_record),
    };

    o.record->kind = (uint8_t)datagram->kind;
    if (!datagram->cipher_size) {
        o.record->content = KDNET_CONTENT_JUNK;
        return o.record;
    }
    o.state = find_state(pinfo);
    o.plaintext = wmem_alloc(pinfo->pool, datagram->cipher_size);
    kdnet_keys_see_comments(pinfo);
    if (datagram->v1)
        see_v1(&o);
    else if (datagram->control)
        see_control(&o);
    else
        see_data(&o);
    return o.record;
}

struct kdnet_record *kdnet_session_see_cut(const struct kdnet_datagram *datagram)
{
    struct kdnet_record *record = wmem_new0(wmem_file_scope(), struct kdnet_record);

    record->kind = (uint8_t)datagram->kind;
    record->remarks = KDNET_REMARK_CUT;
    return record;
}

static bool is_target(const struct kdnet_session *session, const address *end, uint32_t port)
{
    return session->target_port == port && addresses_equal(&session->target, end);
}

/* Learns from packets that tell their sender which end is the target, for those that do not. */
static enum kd_flow settle_flow(struct kdnet_session *session, const packet_info *pinfo,
                                enum kd_flow flow)
{
    bool target = flow == KD_FLOW_TO_DEBUGGER;

    if (flow != KD_FLOW_UNKNOWN && !session->has_target) {
        session->has_target = true;
        copy_address_wmem(wmem_file_scope(), &session->target, target ? &pinfo->src : &pinfo->dst);
        session->target_port = target ? pinfo->srcport : pinfo->destport;
    }
    if (flow != KD_FLOW_UNKNOWN || !session->has_target)
        return flow;
    return is_target(session, &pinfo->src, pinfo->srcport) ? KD_FLOW_TO_DEBUGGER
                                                           : KD_FLOW_TO_TARGET;
}

struct kdnet_record *kdnet_session_see_plain(packet_info *pinfo, const uint8_t *bytes, size_t size)
{
    struct kdnet_record *record = wmem_new0(wmem_file_scope(), struct kdnet_record);
    struct kd_frame frame;
    enum kd_flow flow;

    /* Between ends that have a session with a key, nothing else means anything. */
    if ((size == sizeof(struct kd_kdnet_announce) || size == ANNOUNCE_SHORT) &&
        !find_state(pinfo)->last) {
        record->content = KDNET_CONTENT_ANNOUNCE;
        record->session = keyless_session(find_state(pinfo));
        return record;
    }
    kd_frame_datagram(bytes, size, &frame);
    if (frame.kind == KD_FRAME_NOISE || frame.size != size) {
        record->content = KDNET_CONTENT_JUNK;
        return record;
    }
    record->content = KDNET_CONTENT_PLAIN;
    record->session = keyless_session(find_state(pinfo));
    flow = settle_flow(record->session, pinfo, kd_datagram_flow(&frame, bytes));
    record->from_debugger = flow == KD_FLOW_TO_TARGET;
    record->unit = kd_unit_new(record->session->kd, pinfo, &frame, flow, bytes, 0);
    return record;
}

static void open_capture(void)
{
    pairs = wmem_map_new(wmem_file_scope(), wmem_str_hash, g_str_equal);
}

void kdnet_session_register(int proto)
{
    proto_kdnet = proto;
    register_init_routine(open_capture);
}
