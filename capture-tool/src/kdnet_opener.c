/* kdnet_opener.c - sessions of KDNET, followed in a capture. See kdnet_opener.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A data datagram is tried with the session that opened the conversation's last one, then with the
 * others from the newest on: data of the old key may still arrive after a new response.
 */
#include "kdnet_opener.h"

#include <stdlib.h>
#include <string.h>

#include "analysis/kdnet.h"
#include "kd/frame.h"
#include "keyring_keys.h"

#define SESSIONS_MAX   16u /* of a conversation; the oldest is forgotten */
#define PLAINTEXT_MAX  65536u
#define ANNOUNCE_SHORT 8u /* an announce may lack the address */

struct session {
    struct kdnet_cipher *cipher; /* NULL: version 1, where the control key opens all */
    uint8_t data_key[KDNET_KEY_SIZE];
    struct datagram_end target;
    uint64_t highest[2]; /* sequence number, by whether the debugger sent it */
};

/* Two ends that exchange KDNET. */
struct flow {
    struct datagram_end ends[2];
    bool poked;
    kd_u8 nonce[KDNET_NONCE_SIZE]; /* of the last poke */
    size_t key;                    /* that opened it; SIZE_MAX: none yet */
    size_t count, last;
    struct session sessions[SESSIONS_MAX]; /* [0..count), the newest last */
    struct session plain;                  /* version 1 */
};

struct kdnet_opener {
    const struct keyring *keyring;
    struct kdnet_cipher *ciphers[KEYRING_KEYS_MAX]; /* of the control channel; made when needed */
    struct flow *flows[KDNET_FLOWS_MAX];
    size_t flow_count;
    struct kdnet_plaintext out;
    uint8_t plaintext[PLAINTEXT_MAX];
};

/* One datagram on its way. */
struct attempt {
    struct kdnet_opener *opener;
    const struct datagram *datagram;
    struct kdnet_datagram kdnet;
    struct flow *flow;
    struct kdnet_seen *seen;
};

struct kdnet_opener *kdnet_opener_new(const struct keyring *keyring, struct problem *problem)
{
    struct kdnet_opener *opener = calloc(1, sizeof *opener);

    if (!opener) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    opener->keyring = keyring;
    return opener;
}

static void forget_session(struct session *session)
{
    kdnet_cipher_free(session->cipher);
    keyring_wipe(session, sizeof *session);
}

void kdnet_opener_free(struct kdnet_opener *opener)
{
    if (!opener)
        return;
    for (size_t i = 0; i < opener->flow_count; i++) {
        for (size_t j = 0; j < opener->flows[i]->count; j++)
            forget_session(&opener->flows[i]->sessions[j]);
        free(opener->flows[i]);
    }
    for (size_t i = 0; i < KEYRING_KEYS_MAX; i++)
        if (opener->ciphers[i])
            kdnet_cipher_free(opener->ciphers[i]);
    free(opener);
}

bool kdnet_is_datagram(const struct datagram *datagram)
{
    struct kdnet_datagram kdnet;

    switch (kdnet_classify(datagram->bytes, datagram->size, &kdnet)) {
    case KDNET_KIND_CONTROL:
    case KDNET_KIND_DATA:
    case KDNET_KIND_V1:
        return true;
    default:
        return false;
    }
}

bool kdnet_is_refused(const struct datagram *datagram)
{
    struct kdnet_datagram kdnet;

    kdnet_classify(datagram->bytes, datagram->size, &kdnet);
    return !kdnet.v1 && (kdnet.kind == KDNET_KIND_VERSION || kdnet.kind == KDNET_KIND_FLAGS ||
                         kdnet.kind == KDNET_KIND_LENGTH);
}

static void find(struct kda_datagram *what, enum kd_finding finding)
{
    what->findings |= UINT64_C(1) << finding;
}

static struct flow *find_flow(struct kdnet_opener *opener, const struct datagram *datagram)
{
    struct flow *flow;

    for (size_t i = 0; i < opener->flow_count; i++) {
        flow = opener->flows[i];
        for (unsigned way = 0; way < 2; way++)
            if (datagram_end_equal(&flow->ends[way], &datagram->source) &&
                datagram_end_equal(&flow->ends[!way], &datagram->destination))
                return flow;
    }
    if (opener->flow_count == KDNET_FLOWS_MAX || !(flow = calloc(1, sizeof *flow)))
        return NULL;
    flow->ends[0] = datagram->source;
    flow->ends[1] = datagram->destination;
    flow->key = SIZE_MAX;
    opener->flows[opener->flow_count++] = flow;
    return flow;
}

/* A bad pad is authentic, so the key is the right one, but nobody takes the datagram. */
static bool try_cipher(struct attempt *attempt, struct kdnet_cipher *cipher)
{
    struct kdnet_opener *opener = attempt->opener;
    struct kda_datagram *what = &attempt->seen->datagram;
    enum kdnet_verdict verdict;

    if (!cipher || attempt->kdnet.cipher_size > PLAINTEXT_MAX)
        return false;
    verdict = kdnet_open(cipher, &attempt->kdnet, opener->plaintext, &opener->out, true);
    if (verdict != KDNET_OK && verdict != KDNET_BAD_PAD)
        return false;
    if (verdict == KDNET_BAD_PAD)
        find(what, KD_FINDING_NET_PAD);
    what->opened = true;
    what->from_debugger = opener->out.from_debugger;
    what->sequence = opener->out.sequence;
    return true;
}

static bool try_key(struct attempt *attempt, size_t i)
{
    struct kdnet_opener *opener = attempt->opener;
    const uint8_t *key = opener->keyring->entries[i].key;

    if (!opener->ciphers[i])
        opener->ciphers[i] = kdnet_cipher_new(key, key);
    if (!try_cipher(attempt, opener->ciphers[i]))
        return false;
    attempt->flow->key = i;
    return true;
}

/* The key that opened this conversation before comes first. */
static bool try_keys(struct attempt *attempt)
{
    const struct keyring *keyring = attempt->opener->keyring;
    bool any = false;

    if (attempt->flow->key != SIZE_MAX && try_key(attempt, attempt->flow->key))
        return true;
    for (size_t i = 0; i < keyring->count; i++) {
        if (!keyring_applies(keyring, i, attempt->datagram))
            continue;
        any = true;
        if (i != attempt->flow->key && try_key(attempt, i))
            return true;
    }
    find(&attempt->seen->datagram, any ? KD_FINDING_NET_WRONG_KEY : KD_FINDING_NET_NO_KEY);
    return false;
}

static const uint8_t *body_of(const struct attempt *attempt)
{
    return attempt->opener->plaintext + attempt->opener->out.body_offset;
}

/* A response begins a session, unless it is a copy of one that did. */
static void see_response(struct attempt *attempt, const struct kd_kdnet_response *response)
{
    struct flow *flow = attempt->flow;
    const uint8_t *control_key = attempt->opener->keyring->entries[flow->key].key;
    struct session session = {.target = attempt->datagram->destination};

    if (kdnet_data_key(control_key, response, session.data_key) != KDNET_OK)
        return;
    attempt->seen->datagram.kind = KDA_DATAGRAM_RESPONSE;
    for (size_t i = 0; i < flow->count; i++)
        if (memcmp(flow->sessions[i].data_key, session.data_key, sizeof session.data_key) == 0)
            return;
    session.cipher = kdnet_cipher_new(session.data_key, control_key);
    if (!session.cipher)
        return;
    if (flow->count == SESSIONS_MAX) {
        forget_session(&flow->sessions[0]);
        memmove(flow->sessions, flow->sessions + 1, (SESSIONS_MAX - 1) * sizeof session);
        flow->count--;
    }
    flow->last = flow->count;
    flow->sessions[flow->count++] = session;
    attempt->seen->datagram.new_key = true;
}

/* The constant part of the nonce is another after a restart of the target. */
static void see_poke(struct attempt *attempt, const struct kd_kdnet_poke *poke)
{
    struct flow *flow = attempt->flow;

    attempt->seen->datagram.kind = KDA_DATAGRAM_POKE;
    if (flow->poked && !kdnet_same_boot(flow->nonce, poke->nonce))
        find(&attempt->seen->datagram, KD_FINDING_NET_RESTART);
    flow->poked = true;
    memcpy(flow->nonce, poke->nonce, sizeof flow->nonce);
}

static void see_control(struct attempt *attempt)
{
    struct kda_datagram *what = &attempt->seen->datagram;
    struct kdnet_control control;

    if (!try_keys(attempt))
        return;
    attempt->seen->kind = KDNET_SEEN_CONTROL;
    what->kind = KDA_DATAGRAM_CONTROL;
    if (KD_HAS(what->findings, NET_PAD))
        return;
    what->body = body_of(attempt);
    what->body_size = attempt->opener->out.body_size;
    switch (kdnet_control_parse(what->body, what->body_size, &control)) {
    case KDNET_CONTROL_POKE:
        see_poke(attempt, control.poke);
        break;
    case KDNET_CONTROL_RESPONSE:
        see_response(attempt, control.response);
        break;
    case KDNET_CONTROL_EMPTY:
        what->kind = KDA_DATAGRAM_EMPTY;
        break;
    default:
        break;
    }
}

/* A datagram that says it comes from the end it went to. Ends with the same address and port cannot
 * be told apart. */
static bool is_reflected(const struct attempt *attempt, const struct session *session)
{
    bool to_target = datagram_end_equal(&attempt->datagram->destination, &session->target);
    bool from_target = datagram_end_equal(&attempt->datagram->source, &session->target);

    return session->cipher && to_target != from_target &&
           from_target == attempt->opener->out.from_debugger;
}

/* Sequence numbers go up by one for each datagram of a direction; those of the debugger by two in
 * version 1. False: the receiver drops it. */
static bool check_sequence(struct attempt *attempt, struct session *session)
{
    const struct kdnet_plaintext *out = &attempt->opener->out;
    struct kda_datagram *what = &attempt->seen->datagram;
    uint64_t *highest = &session->highest[out->from_debugger];
    uint64_t step = attempt->kdnet.kind == KDNET_KIND_V1 && out->from_debugger ? 2 : 1;

    what->highest = *highest;
    if (*highest && out->sequence <= *highest) {
        what->kind = KDA_DATAGRAM_DUPLICATE;
        find(what, KD_FINDING_NET_REPLAY);
        return false;
    }
    if (*highest && out->sequence > *highest + step)
        find(what, KD_FINDING_NET_GAP);
    *highest = out->sequence;
    return true;
}

static void see_body(struct attempt *attempt, struct session *session)
{
    const struct kdnet_plaintext *out = &attempt->opener->out;
    struct kda_datagram *what = &attempt->seen->datagram;
    struct kd_frame frame;

    attempt->seen->kind = KDNET_SEEN_DROPPED;
    attempt->seen->data_key = session->cipher ? session->data_key : NULL;
    what->kind = KDA_DATAGRAM_NOISE;
    what->body = body_of(attempt);
    what->body_size = out->body_size;
    if (is_reflected(attempt, session)) {
        what->kind = KDA_DATAGRAM_REFLECTED;
        find(what, KD_FINDING_NET_DIRECTION);
        return;
    }
    if (!check_sequence(attempt, session) || KD_HAS(what->findings, NET_PAD))
        return;
    if (!out->from_debugger &&
        (out->body_size == sizeof(struct kd_kdnet_announce) || out->body_size == ANNOUNCE_SHORT)) {
        attempt->seen->kind = KDNET_SEEN_CONTROL;
        what->kind = KDA_DATAGRAM_ANNOUNCE;
        return;
    }
    kd_frame_datagram(body_of(attempt), out->body_size, &frame);
    if (frame.kind == KD_FRAME_NOISE) {
        find(what, KD_FINDING_NET_BODY);
        return;
    }
    attempt->seen->kind = KDNET_SEEN_KD;
    what->kind = KDA_DATAGRAM_KD;
    attempt->seen->bytes = body_of(attempt);
    attempt->seen->size = frame.size;
}

/* Data whose key the capture does not say. */
static void see_early(struct attempt *attempt)
{
    const struct keyring *keyring = attempt->opener->keyring;
    bool any = false;

    for (size_t i = 0; i < keyring->count && !any; i++)
        any = keyring_applies(keyring, i, attempt->datagram);
    attempt->seen->datagram.kind = KDA_DATAGRAM_EARLY;
    find(&attempt->seen->datagram, any ? KD_FINDING_NET_NO_SESSION : KD_FINDING_NET_NO_KEY);
}

static void see_data(struct attempt *attempt)
{
    struct flow *flow = attempt->flow;
    size_t i;

    if (flow->count == 0) {
        see_early(attempt);
        return;
    }
    if (!try_cipher(attempt, flow->sessions[flow->last].cipher)) {
        for (i = flow->count; i > 0; i--)
            if (i - 1 != flow->last && try_cipher(attempt, flow->sessions[i - 1].cipher))
                break;
        if (i == 0) {
            find(&attempt->seen->datagram, KD_FINDING_NET_HMAC);
            return;
        }
        flow->last = i - 1;
    }
    if (flow->last + 1 != flow->count)
        find(&attempt->seen->datagram, KD_FINDING_NET_OLD_KEY);
    see_body(attempt, &flow->sessions[flow->last]);
}

/* What the clear bytes say. What WinDbg refuses by its head stays sealed, whatever could be made of
 * it. */
static void see_head(const struct kdnet_datagram *kdnet, const struct datagram *datagram,
                     struct kda_datagram *what)
{
    *what = (struct kda_datagram){
        .kind = KDA_DATAGRAM_SEALED,
        .source = kdnet_end(&datagram->source),
        .destination = kdnet_end(&datagram->destination),
        .version = kdnet->version,
        .size = datagram->size,
        .control = kdnet->control,
    };
    if (datagram->cut) {
        find(what, KD_FINDING_NET_TRUNCATED);
        return;
    }
    if (kdnet->kind == KDNET_KIND_OTHER) {
        what->kind = KDA_DATAGRAM_JUNK;
        find(what, KD_FINDING_NET_BAD_DATAGRAM);
        return;
    }
    if (kdnet->kind != KDNET_KIND_VERSION && kdnet->kind != KDNET_KIND_FLAGS &&
        kdnet->kind != KDNET_KIND_LENGTH)
        return;
    what->kind = KDA_DATAGRAM_REFUSED;
    find(what, kdnet->kind == KDNET_KIND_VERSION ? KD_FINDING_NET_VERSION
               : kdnet->kind == KDNET_KIND_FLAGS ? KD_FINDING_NET_FLAGS
                                                 : KD_FINDING_NET_BAD_DATAGRAM);
}

void kdnet_see_sealed(const struct datagram *datagram, struct kdnet_seen *seen)
{
    struct kdnet_datagram kdnet;

    *seen = (struct kdnet_seen){.kind = KDNET_SEEN_SEALED};
    kdnet_classify(datagram->bytes, datagram->size, &kdnet);
    see_head(&kdnet, datagram, &seen->datagram);
    if (seen->datagram.findings == 0)
        find(&seen->datagram, KD_FINDING_NET_NO_KEY);
}

void kdnet_opener_see(struct kdnet_opener *opener, const struct datagram *datagram,
                      struct kdnet_seen *seen)
{
    struct attempt attempt = {.opener = opener, .datagram = datagram, .seen = seen};

    *seen = (struct kdnet_seen){.kind = KDNET_SEEN_OTHER};
    kdnet_classify(datagram->bytes, datagram->size, &attempt.kdnet);
    if (attempt.kdnet.kind == KDNET_KIND_OTHER)
        return;
    seen->kind = KDNET_SEEN_SEALED;
    see_head(&attempt.kdnet, datagram, &seen->datagram);
    attempt.flow = find_flow(opener, datagram);
    if (!attempt.flow)
        return;
    if (attempt.kdnet.kind == KDNET_KIND_DATA)
        see_data(&attempt);
    else if (attempt.kdnet.kind == KDNET_KIND_CONTROL)
        see_control(&attempt);
    else if (attempt.kdnet.kind == KDNET_KIND_V1 && try_keys(&attempt))
        see_body(&attempt, &attempt.flow->plain);
    seen->key = attempt.flow->key;
    seen->from_debugger = opener->out.from_debugger;
}
