/* session.h - one KD connection in capture order: bytes in, packets with all they belong to out.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A session is told the bytes of its two ends as they were captured, each piece with the number of
 * its record and its time. It cuts them into frames (kd/frame.h), has the link judged
 * (kd/observe.h: ids, acknowledgements, repetitions, which request a reply answers) and hands out
 * an event for each packet, break-in and run of noise. What happens below KD (datagrams of KDNET,
 * bytes that the capture lacks) passes through as events of its own, in order.
 *
 * Nothing is kept but what later packets may refer to: memory is bounded, whatever comes. Input is
 * hostile; a size in a packet is never believed beyond the bytes that are there.
 *
 * Frame numbers are those of Wireshark: the number of a record in its capture, from 1. A packet
 * that spans records belongs to the one in which it is complete. Times are nanoseconds since 1970.
 */
#ifndef ANALYSIS_SESSION_H
#define ANALYSIS_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/describe.h"
#include "kd/frame.h"
#include "kd/link.h"
#include "kd/observe.h"

/* "As of the end of the capture", wherever a frame number is asked for. */
#define KDA_END UINT32_MAX

struct kda_session_config {
    enum kd_link_ids ids;
    /* What kda_session_bytes is told is whole (KDNET, KD in UDP): nothing continues in the next. */
    bool datagrams;
    uint32_t max_payload; /* as in struct kd_framing; 0: KD_PACKET_MAX_SIZE */
};

/* A packet, without its payload. Members of messages that the packet is not, or is too short for,
 * are 0. */
struct kda_packet {
    uint64_t number;      /* of the session's packets and break-ins, from 1; never 0 */
    uint32_t frame;       /* record in which it is complete */
    uint32_t first_frame; /* record in which it begins */
    uint64_t time;        /* of `frame` */
    enum kd_flow flow;    /* UNKNOWN where the capture does not say and the packet does not tell */
    uint32_t type;        /* enum kd_packet_type */
    uint32_t id;
    uint32_t size; /* bytes of payload, as ByteCount says */
    uint32_t flags;
    uint16_t processor;        /* of messages that have the field */
    struct kd_message message; /* of data packets; the status of a request is junk */
};

enum kda_packet_flags {
    KDA_DAMAGED = 1,    /* wrong checksum: its receiver cannot use it */
    KDA_CUT = 2,        /* the capture holds only its beginning */
    KDA_REPEATED = 4,   /* transmitted before: it brings nothing new */
    KDA_PROTOCOL32 = 8, /* a message of the 32-bit protocol (before version 5) */
};

/* A datagram of KDNET, as far as it is not a KD packet for KD's ends. */
enum kda_datagram_kind {
    KDA_DATAGRAM_KD,        /* opened, and a packet or break-in event follows at once */
    KDA_DATAGRAM_SEALED,    /* no key opens it */
    KDA_DATAGRAM_EARLY,     /* data, and the capture holds no response that says its key */
    KDA_DATAGRAM_REFUSED,   /* magic of KDNET, but a version, flags or length that WinDbg refuses */
    KDA_DATAGRAM_POKE,      /* control: the target offers a session */
    KDA_DATAGRAM_RESPONSE,  /* control: the debugger opens one */
    KDA_DATAGRAM_EMPTY,     /* control: the debugger asks for a poke */
    KDA_DATAGRAM_CONTROL,   /* control: none of these */
    KDA_DATAGRAM_ANNOUNCE,  /* first data of the target in a session */
    KDA_DATAGRAM_DUPLICATE, /* its sequence number was there already, or is older than the newest */
    KDA_DATAGRAM_REFLECTED, /* says that it comes from the end to which it went */
    KDA_DATAGRAM_NOISE,     /* opened, but no KD packet */
    KDA_DATAGRAM_JUNK       /* neither KDNET nor KD, between ends that speak KDNET */
};

struct kda_end {
    uint8_t address[16];  /* network order */
    uint8_t address_size; /* 4 or 16; 0: not known */
    uint16_t port;
};

struct kda_datagram {
    enum kda_datagram_kind kind;
    struct kda_end source, destination;
    uint8_t version;     /* as sent */
    size_t size;         /* bytes of the whole datagram */
    bool control;        /* by the channel bit */
    bool opened;         /* the members below are authentic */
    bool from_debugger;  /* opened */
    uint64_t sequence;   /* opened */
    uint64_t highest;    /* DUPLICATE: the newest of its sender so far */
    uint64_t findings;   /* the rows NET_x of kd/findings.def that hold */
    bool new_key;        /* RESPONSE: opens a session; else it is a copy of one that did */
    const uint8_t *body; /* opened; POKE, RESPONSE: kd_kdnet_poke or _response */
    size_t body_size;
};

enum kda_event_kind {
    KDA_PACKET,   /* any packet, control packets and damaged ones too */
    KDA_BREAKIN,  /* the byte 0x62 */
    KDA_NOISE,    /* bytes that are no packet; see kd/frame.h for framed->flags */
    KDA_DATAGRAM, /* KDNET, see above */
    KDA_GAP,      /* `missing` bytes or records were on the line, but are not in the capture */
    KDA_NEVER     /* hindsight: the packet `about` was never acknowledged or answered */
};

enum kda_gap_kind {
    KDA_GAP_BYTES,  /* a hole in a TCP connection, the end of a record beyond the snap length */
    KDA_GAP_RECORDS /* the capturing program dropped them */
};

/* Everything pointed to is valid during the call. */
struct kda_event {
    enum kda_event_kind kind;
    uint32_t frame;
    uint32_t first_frame;
    uint64_t time;
    enum kd_flow flow;

    /* PACKET, BREAKIN, NOISE: from the packet header on, `size` bytes as they were captured. */
    const struct kd_frame *framed;
    const uint8_t *bytes;
    size_t size;

    /* PACKET and BREAKIN. */
    const struct kda_packet *packet;
    const uint8_t *payload; /* behind the header; fewer bytes than packet->size when it is CUT */
    size_t payload_size;
    const struct kd_seen *seen; /* the judgement of the link */

    /* A reply, of either end: what it answers, with its payload. The debugger's answer to a prompt
     * or to a file request is a reply, too. NULL when the capture lacks it. */
    const struct kda_packet *request;
    const uint8_t *request_payload;
    size_t request_size;

    const struct kda_datagram *datagram;
    enum kda_gap_kind gap;
    uint64_t missing; /* GAP */

    enum kd_finding finding; /* NEVER: UNACKNOWLEDGED or UNANSWERED */
    uint32_t about_frame;
    uint64_t about; /* number of the packet */
};

/* Whether the event is a message that its receiver takes: data, whole, not seen before. What a
 * model learns from. */
bool kda_event_is_new(const struct kda_event *event);

typedef void (*kda_event_function)(void *context, const struct kda_event *event);

struct kda_session;

/* NULL when memory is short. */
struct kda_session *kda_session_new(const struct kda_session_config *config,
                                    kda_event_function event, void *context);
void kda_session_free(struct kda_session *session);

/* Bytes of one record. Frames never decrease. Events come before it returns. False when memory is
 * short; the session can then only be freed. */
bool kda_session_bytes(struct kda_session *session, uint32_t frame, uint64_t time,
                       enum kd_flow flow, const uint8_t *bytes, size_t size);

/* A datagram of KDNET. A RESPONSE with a new key begins the link anew. */
void kda_session_datagram(struct kda_session *session, uint32_t frame, uint64_t time,
                          const struct kda_datagram *datagram);

/* Something was lost by the capture: what is unfinished in this direction is noise now. */
void kda_session_gap(struct kda_session *session, uint32_t frame, uint64_t time, enum kd_flow flow,
                     enum kda_gap_kind kind, uint64_t missing);

/* No more will come: unfinished bytes become noise. */
void kda_session_end(struct kda_session *session);

/* What the session's link is in now; its members are in kd/observe.h. */
const struct kd_observer *kda_session_link(const struct kda_session *session);

/* The packet's number that a struct kd_ref of this session means; 0: none. */
uint64_t kda_number(const struct kd_ref *ref);

#endif
