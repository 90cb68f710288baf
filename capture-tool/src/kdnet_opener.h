/* kdnet_opener.h - KD packets out of the KDNET datagrams of a capture, one datagram after another.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Follows sessions: a response on the control channel, opened with a key of the keyring, opens the
 * data that follow it. What the receiver would drop (a copy, a forged or reflected datagram) is not
 * delivered. Memory is bounded by KDNET_FLOWS_MAX conversations.
 */
#ifndef KDLENS_KDNET_OPENER_H
#define KDLENS_KDNET_OPENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/session.h"
#include "datagram.h"
#include "keyring.h"

#define KDNET_FLOWS_MAX 256u

struct kdnet_opener;

enum kdnet_seen_kind {
    KDNET_SEEN_OTHER,   /* not KDNET */
    KDNET_SEEN_SEALED,  /* KDNET that no key opens */
    KDNET_SEEN_CONTROL, /* opened; of the control channel, or the target's announce */
    KDNET_SEEN_DROPPED, /* opened; the receiver drops it */
    KDNET_SEEN_KD,      /* opened: a KD packet, without trailer, or a break-in */
};

struct kdnet_seen {
    enum kdnet_seen_kind kind;
    size_t key; /* opened: with this one of the keyring */
    bool from_debugger;
    const uint8_t *data_key; /* data of versions 2 to 5: what opened it; of KDNET_KEY_SIZE bytes */
    const uint8_t *bytes;    /* KD: valid until the next call */
    size_t size;
    struct kda_datagram datagram; /* the same and more, for the session; valid as long */
};

/* NULL, with a problem; also in a build without KDNET. The keyring must outlive it. */
struct kdnet_opener *kdnet_opener_new(const struct keyring *keyring, struct problem *problem);
void kdnet_opener_free(struct kdnet_opener *opener);

void kdnet_opener_see(struct kdnet_opener *opener, const struct datagram *datagram,
                      struct kdnet_seen *seen);

/* What is known of it without any key; needs no opener. */
void kdnet_see_sealed(const struct datagram *datagram, struct kdnet_seen *seen);

/* The end as a session names it. */
static inline struct kda_end kdnet_end(const struct datagram_end *end)
{
    struct kda_end out = {.address_size = end->address_size, .port = end->port};

    for (unsigned i = 0; i < end->address_size && i < sizeof out.address; i++)
        out.address[i] = end->address[i];
    return out;
}

/* Whether this looks like a datagram of KDNET; needs no opener, but a build with KDNET. */
bool kdnet_is_datagram(const struct datagram *datagram);

/* Whether it has the magic "MDBG", but WinDbg refuses it by its head. */
bool kdnet_is_refused(const struct datagram *datagram);

#endif
