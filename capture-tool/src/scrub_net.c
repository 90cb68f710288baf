/* scrub_net.c - datagrams of KDNET opened, scrubbed, and sealed with another key. See scrub.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Everything but bodies and tags stays: version, sequence number, direction. The key of a session's
 * data follows from the control key and the response, so each response that opens a session gives
 * the cipher that its data are sealed with afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/kdnet.h"
#include "kdnet_opener.h"
#include "keyring_keys.h"
#include "scrub.h"

#define SESSIONS_MAX 1024u

/* Data that this key opens are sealed with that cipher. */
struct renewal {
    uint8_t key[KDNET_KEY_SIZE];
    struct kdnet_cipher *cipher;
};

struct scrub_net {
    struct kda_scrub *scrub;
    const struct keyring *keyring;
    struct kdnet_opener *opener;
    uint8_t control_key[KDNET_KEY_SIZE];
    struct kdnet_cipher *control;
    size_t count;
    struct renewal renewals[SESSIONS_MAX];
    uint8_t body[65536];
};

struct scrub_net *scrub_net_new(struct kda_scrub *scrub, const struct keyring *keyring,
                                struct problem *problem)
{
    struct scrub_net *net = calloc(1, sizeof *net);

    problem_set(problem, "out of memory");
    if (!net)
        return NULL;
    net->scrub = scrub;
    net->keyring = keyring;
    kdnet_key_parse(SCRUB_KEY, strlen(SCRUB_KEY), net->control_key, NULL);
    net->control = kdnet_cipher_new(net->control_key, net->control_key);
    net->opener = net->control ? kdnet_opener_new(keyring, problem) : NULL;
    if (net->opener)
        return net;
    scrub_net_free(net);
    return NULL;
}

void scrub_net_free(struct scrub_net *net)
{
    if (!net)
        return;
    for (size_t i = 0; i < net->count; i++)
        kdnet_cipher_free(net->renewals[i].cipher);
    if (net->control)
        kdnet_cipher_free(net->control);
    kdnet_opener_free(net->opener);
    keyring_wipe(net, sizeof *net);
    free(net);
}

/* A session begins: its data key as it was, and as it will be. */
static bool renew(struct scrub_net *net, const struct kdnet_seen *seen)
{
    const struct kd_kdnet_response *response = (const void *)seen->datagram.body;
    struct renewal *renewal = &net->renewals[net->count];
    uint8_t key[KDNET_KEY_SIZE];

    if (net->count == SESSIONS_MAX ||
        kdnet_data_key(net->keyring->entries[seen->key].key, response, renewal->key) != KDNET_OK ||
        kdnet_data_key(net->control_key, response, key) != KDNET_OK)
        return false;
    renewal->cipher = kdnet_cipher_new(key, net->control_key);
    net->count += renewal->cipher != NULL;
    return renewal->cipher != NULL;
}

static struct kdnet_cipher *cipher_of(struct scrub_net *net, const struct kdnet_seen *seen)
{
    if (!seen->data_key)
        return net->control; /* the control channel, and version 1 */
    for (size_t i = net->count; i-- > 0;)
        if (memcmp(net->renewals[i].key, seen->data_key, KDNET_KEY_SIZE) == 0)
            return net->renewals[i].cipher;
    return NULL;
}

/* The body, scrubbed, into net->body: of KD packets, and of what pretends to be one. */
static void scrub_body(struct scrub_net *net, const struct kdnet_seen *seen)
{
    const struct kda_datagram *what = &seen->datagram;
    struct kd_frame frame;

    memcpy(net->body, what->body, what->body_size);
    if (what->control || what->kind == KDA_DATAGRAM_ANNOUNCE)
        return;
    kd_frame_datagram(net->body, what->body_size, &frame);
    kda_scrub_frame(net->scrub, &frame, net->body);
}

enum scrub_net_result scrub_net_datagram(struct scrub_net *net, const struct datagram *datagram,
                                         uint8_t *out)
{
    struct kdnet_cipher *cipher;
    struct kdnet_message message;
    struct kdnet_seen seen;
    size_t size;

    kdnet_opener_see(net->opener, datagram, &seen);
    if (seen.kind == KDNET_SEEN_OTHER)
        return SCRUB_NET_OTHER;
    if (!seen.datagram.opened || !seen.datagram.body ||
        seen.datagram.body_size > sizeof net->body ||
        (seen.datagram.new_key && !renew(net, &seen)) || !(cipher = cipher_of(net, &seen)))
        return SCRUB_NET_SEALED;
    scrub_body(net, &seen);
    message = (struct kdnet_message){
        .version = seen.datagram.version,
        .control = seen.datagram.control,
        .from_debugger = seen.datagram.from_debugger,
        .sequence = seen.datagram.sequence,
        .body = net->body,
        .body_size = seen.datagram.body_size,
    };
    if (kdnet_seal(cipher, &message, out, datagram->size, &size) != KDNET_OK ||
        size != datagram->size)
        return SCRUB_NET_SEALED;
    return SCRUB_NET_DONE;
}
