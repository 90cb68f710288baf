/* kd-session.h - what is known about one KD connection, and what the first visit found out about
 * each packet.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A session is fed each packet once, in capture order (the first visit); it returns a struct
 * kd_packet that holds everything the display of that packet needs later. Later visits, in any
 * order, only read it. Links that point forward (the reply of a request, the acknowledgement of a
 * packet) are filled in when the other packet comes.
 */
#ifndef KDLENS_PLUGIN_KD_SESSION_H
#define KDLENS_PLUGIN_KD_SESSION_H

#include "compat.h"
#include "kd-experts.h"
#include "kd/describe.h"
#include "kd/frame.h"
#include "kd/observe.h"

enum kd_packet_flags {
    KD_PKT_RETRANSMISSION =
        1, /* same id and content as the sender's last data packet, or repeated after RESET */
    KD_PKT_DESYNC = 2,      /* the id is not the one that follows the sender's last */
    KD_PKT_REPEATED = 4,    /* KDNET: an unanswered request, sent again as a new packet */
    KD_PKT_STRAY_ACK = 8,   /* acknowledges no packet of this capture */
    KD_PKT_PROTOCOL32 = 16, /* a message of the 32-bit protocol (before version 5) */
    KD_PKT_IGNORED = 32,  /* the receiver drops it unread: a replayed datagram, a wrong checksum */
    KD_PKT_CUT = 64,      /* the capture holds only its beginning */
    KD_PKT_REPAIRS = 128, /* the good transmission of a packet that arrived with a wrong checksum */
};

struct kd_packet {
    uint32_t frame;
    uint32_t id;
    uint32_t expected_id; /* DESYNC: what would have followed */
    uint32_t size;        /* payload bytes */
    uint32_t checksum;    /* as the header states it */
    uint8_t type;
    uint8_t flow; /* enum kd_flow */
    uint8_t arch; /* enum kd_arch, as known when the packet was sent */
    uint8_t flags;
    uint32_t api;       /* ApiNumber or NewState, 0 for control packets */
    uint32_t status;    /* replies */
    uint32_t requested; /* TransferCount, which a reply echoes */
    uint32_t count;     /* bytes asked for, or moved */
    uint64_t address;   /* first part of the union that a reply echoes */
    uint64_t result;    /* replies: what was asked for, where it is a number (see kd-info.c) */
    uint32_t ack_frame; /* data: acknowledged in; ACK, RESEND: the packet it is about */
    uint32_t stop; /* frame of the state change that holds the target; 0: running, or not known */
    /* The sender's packet before, and the request before: without ACK and reply when this was sent.
     */
    const struct kd_packet *unacknowledged;
    const struct kd_packet *unanswered;
    struct kd_packet *original; /* RETRANSMISSION, REPEATED, REPAIRS: the first transmission */
    struct kd_packet *peer;     /* request <-> reply; of a retransmission: see kd_packet_peer */
    nstime_t time;
};

/* The other half of request and reply, or null. */
static inline const struct kd_packet *kd_packet_peer(const struct kd_packet *packet)
{
    return packet->flags & KD_PKT_RETRANSMISSION ? packet->original->peer : packet->peer;
}

struct kd_module {
    const char *path;
    const char *name; /* file name without extension */
    uint64_t base;
    uint64_t size;
    uint32_t checksum;
    uint32_t loaded;   /* frame */
    uint32_t unloaded; /* frame, 0: still there */
};

struct kd_session;

/* In file scope. kdnet: ids count in steps of 2 and carry no SYNC bit. */
struct kd_session *kd_session_new(bool kdnet);

/* First visit: a frame of kd_frame_scan or kd_frame_datagram; bytes starts with the header of a
 * packet. flow may be unknown. flags: IGNORED makes it described but change nothing, CUT says that
 * less of the payload follows than ByteCount promises. remarks: what is remarkable about it.
 * Returns what its display needs, NULL for break-ins and noise. */
struct kd_packet *kd_session_frame(struct kd_session *session, const packet_info *pinfo,
                                   enum kd_flow flow, const struct kd_frame *frame,
                                   const uint8_t *bytes, unsigned flags,
                                   struct kd_remark **remarks);

/* The module loaded at this address when the frame was captured, or null. */
const struct kd_module *kd_session_module(const struct kd_session *session, uint64_t address,
                                          uint32_t frame);

/* What else is told of each unit. */
struct kd_timeline *kd_session_timeline(const struct kd_session *session);
struct kd_objects *kd_session_objects(const struct kd_session *session);

/* Datagrams of KDNET, or of KD in UDP: packets are whole and have no trailer. */
bool kd_session_kdnet(const struct kd_session *session);

/* DebuggerDataList points here (0: not known). */
uint64_t kd_session_data_block(const struct kd_session *session);

#endif
