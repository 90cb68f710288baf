/* wire.h - the engine's end of the line: transport, framer and link as one machine.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * kda_wire_step takes one frame or does one thing that is due. What it means for the session is
 * left in the members marked "news", which their reader clears.
 */
#ifndef KDA_WIRE_H
#define KDA_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/frame.h"
#include "kd/link.h"
#include "target.h"
#include "transport.h"

/* A message of the debugger, acknowledged and not yet served. */
struct kda_inbox {
    bool full; /* news */
    enum kd_packet_type type;
    size_t size;
    uint8_t payload[KD_PACKET_MAX_SIZE];
};

/* A policy decision: WinDbg on a busy host was behind by half a second. */
#define KDA_WIRE_MORE_US 2000000u

struct kda_wire {
    struct kda_transport transport;
    struct kda_target clock; /* now and relax */
    struct kd_link link;
    struct kd_framer framer;

    struct kda_inbox inbox;
    bool sent;    /* news: the packet on the way was acknowledged */
    bool lost;    /* news: the link gave it up */
    bool breakin; /* news */
    bool renewed; /* news: the debugger asked for a packet when there was none */
    bool reset;   /* news: the debugger began anew */
    uint64_t reset_at;
    bool unheard; /* news: a request the link ignores, since the streams are out of step (R15) */
    bool attached;
    uint64_t heard_at; /* when a good packet came last, or the one on the way was begun */

    bool pushed; /* bytes the framer has not been asked about */
    bool flush;  /* silence: what the framer holds is decided now */
    size_t chunk_start;
    size_t chunk_end;
    uint8_t chunk[256];                                      /* read, not yet in the framer */
    uint8_t stream[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];  /* the framer's */
    uint8_t packet[KD_HEADER_SIZE + KD_PACKET_MAX_SIZE + 1]; /* encoded, on its way out */
};

void kda_wire_init(struct kda_wire *wire, const struct kda_transport *transport,
                   const struct kda_target *clock);

/* Throws away what came in, begins the streams anew and sends RESET. */
void kda_wire_announce(struct kda_wire *wire);

/* One frame, or one read, or what is due. False: nothing to do at present. */
bool kda_wire_step(struct kda_wire *wire);

/* The same, and a pause when there was nothing to do. */
void kda_wire_wait(struct kda_wire *wire);

/* Sends a message and waits for its ACK: patience microseconds after the last packet of a debugger
 * that is there but behind, at most KDA_WIRE_MORE_US longer than patience; or with 0 as long as the
 * link tries (R5: for state changes of exceptions and for replies that is for ever). What arrives
 * meanwhile is news. */
bool kda_wire_send(struct kda_wire *wire, enum kd_packet_type type, const uint8_t *payload,
                   size_t size, uint32_t patience);

/* The debugger began anew a while ago, and asked for nothing since. */
bool kda_wire_is_awaited(const struct kda_wire *wire);

/* Something came that a long piece of work should give way to. */
bool kda_wire_has_news(const struct kda_wire *wire);

#endif
