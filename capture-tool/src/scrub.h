/* scrub.h - the parts of the verb scrub: bytes of streams, datagrams of KDNET.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_SCRUB_H
#define KDLENS_SCRUB_H

#include "analysis/scrub.h"
#include "datagram.h"
#include "kd_streams.h"

/* The key that scrubbed KDNET captures open with. */
#define SCRUB_KEY "1.2.3.4"

/* --- streams: a packet may span records, so all of a capture is read before it is copied */

struct scrub_lanes;

/* NULL, with a problem. */
struct scrub_lanes *scrub_lanes_new(struct kda_scrub *scrub, struct problem *problem);
void scrub_lanes_free(struct scrub_lanes *lanes);

/* First all chunks, in order, then the end. False when memory is short. */
bool scrub_lanes_take(struct scrub_lanes *lanes, const struct kd_chunk *chunk);
bool scrub_lanes_end(struct scrub_lanes *lanes);

/* Then the scrubbed bytes of each, in the same order. */
bool scrub_lanes_give(struct scrub_lanes *lanes, const struct kd_chunk *chunk, uint8_t *out);

/* --- KDNET */

struct scrub_net;

/* keyring: with the keys of the capture. NULL, with a problem; also in a build without KDNET. */
struct scrub_net *scrub_net_new(struct kda_scrub *scrub, const struct keyring *keyring,
                                struct problem *problem);
void scrub_net_free(struct scrub_net *net);

enum scrub_net_result {
    SCRUB_NET_OTHER,  /* not KDNET */
    SCRUB_NET_DONE,   /* out has the datagram, of the same size */
    SCRUB_NET_SEALED, /* no key opens it, or it cannot be sealed as it was */
};

enum scrub_net_result scrub_net_datagram(struct scrub_net *net, const struct datagram *datagram,
                                         uint8_t *out);

#endif
