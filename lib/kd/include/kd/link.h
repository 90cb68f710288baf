/* link.h - one end of a KD link: packet ids, ACKNOWLEDGE, RESEND, RESET, retransmission.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O. Time is the caller's, in microseconds, and never runs
 * backwards. Every input fills a struct kd_link_actions, which the caller carries out in order
 * before the next input.
 *
 * One end has at most one data packet of its own on the way; the other end's data packets are
 * taken and acknowledged meanwhile. The rules R1 to R20 are named again in link.c. The source of
 * each stands in brackets:
 *   kd      public descriptions and re-implementations (ReactOS, ntoseye, rizin, Xen kdd)
 *   boot    measured at the Windows boot manager's own debugger, 10.0.17763
 *   windbg  measured at WinDbg's engine, 10.0.29507
 *   ours    where the known ends lose packets or RESET each other for ever; works with them, too
 *
 * Sending
 *   R1  Serial ids: 0x80800000 and 0x80800001 in turn. The target's first id after a start has
 *       the SYNC bit (0x80800800), cleared when acknowledged. [kd, boot, windbg]
 *   R2  KDNET ids: counters of step 2, the target's from 0, the debugger's from 0x80000000; SYNC
 *       is no flag there. [kd]
 *   R3  The ACK of the packet on the way ends it. Serial: SYNC is masked on both sides (rizin's
 *       ACKs keep it); KDNET: exact echo. Any other ACK is stray (rizin acknowledges ACKs and
 *       RESETs, too). [kd, boot]
 *   R4  No ACK for retry_us: the same packet again. Debugger, after retry_limit times: serial,
 *       it gives up and sends RESET; KDNET, RESET and as many times again, then it gives up. [kd]
 *   R5  Target, after retry_limit times: gives up PrintString, CreateFile and LoadSymbols, with
 *       ids as after a start; all else is repeated without end. [kd, boot]
 *   R6  RESEND: the same packet again, at most resend_limit times between two of R4. With nothing
 *       on the way the caller is told; a stopped target then sends its state change again.
 *       [kd, boot]
 *   R7  Break-in: the caller is told. A target that waits for an ACK sends its packet again, as
 *       in R6. [kd]
 *
 * Receiving data packets
 *   R8  Wrong checksum or trailer, ByteCount too large, packet broken off: RESEND with id 0.
 *       [kd, boot, windbg]
 *   R9  Target, moreover: payload smaller than the message's fixed part, or (serial) an id other
 *       than 0x80800000, 0x80800001 and these with SYNC: RESEND. [boot]
 *   R10 Good: ACK before anything else, also for duplicates, with the packet's id, serial without
 *       SYNC. [kd]
 *   R11 Duplicate: serial, not the id expected; KDNET, not above the highest id taken. Dropped.
 *       [kd]
 *   R12 Target: a type the caller does not wait for is dropped, and its id remains the expected
 *       one. [kd, boot]
 *   R13 Debugger, serial: a SYNC id begins both streams anew; what is on the way is given up, the
 *       next id sent is 0x80800000. A repetition of the SYNC packet just taken is a duplicate.
 *       [kd; repetition: ours]
 *   R14 A data packet that comes before the ACK of the own one is taken (action.early); the
 *       caller keeps it and serves it after SENT_OK. Past early_limit of them it is ignored and
 *       will come again. But a target whose reply is on the way takes the next request for the
 *       reply's ACK: that was lost, or the reply was, and WinDbg, which then asks anew with the
 *       next id, no longer wants it; sent after all, it and every later one would be taken for
 *       the answer to the request behind it. [windbg, on a line that loses packets] The known
 *       targets take any data packet for the ACK and answer RESEND, which keeps the RESET storm
 *       alive. [rest: ours]
 *   R15 Target, serial: until its SYNC packet is acknowledged, data packets are older than that
 *       start; they are ignored, without ACK. [ours]
 *
 * RESET
 *   R16 Serial: both ids become 0x80800000, whichever end sent it; RESET has id 0. KDNET: the
 *       counters go on; the id is the sender's current one, and nobody here looks at it.
 *       [kd, boot, windbg]
 *   R17 A RESET is answered by RESET. The target then sends its packet on the way again, under the
 *       new id; but a serial target gives up a reply, since WinDbg sends its request again, and
 *       would take one of two replies for the answer to the request behind it. The serial debugger
 *       gives its packet up; what it answers with is a RESET of its own, as in R18, since a lost
 *       one would leave the ends with different ids, but a SYNC packet will do for the answer. On
 *       KDNET both ends send their packets again, with the old ids. [kd, boot; waiting, and
 *       replies given up: ours]
 *   R18 The debugger repeats a RESET of its own every reset_us until one comes back, which is not
 *       answered. Meanwhile, on serial links, it ignores data packets: they belong to the streams
 *       before. [kd, windbg]
 *   R19 The target sends RESET by itself once, at its start, and not after it answered one. For
 *       quiet_us, or until an ACK, it takes a RESET for the answer. For quiet_us after it answered
 *       one, another changes nothing: WinDbg that has seen one too many on a bad line (an ACK with
 *       one bit wrong) answers each answer, and repeats a RESET that it means after 0.35 s.
 *       [windbg: else 68 RESETs ran back and forth, or some hundred on a bad line]
 *   R20 The debugger, for quiet_us after it sent RESET: further answers to its RESETs, of which
 *       several may have waited in a buffer, change nothing, nor does one that follows on another.
 *       [ours]
 */
#ifndef KD_LINK_H
#define KD_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/frame.h"

enum kd_link_end { KD_END_TARGET, KD_END_DEBUGGER };
enum kd_link_ids { KD_IDS_SERIAL, KD_IDS_KDNET };

/* Behind each member what kd_link_defaults sets: target / debugger, or one value for both. */
struct kd_link_config {
    enum kd_link_end end;
    enum kd_link_ids ids;
    uint32_t accept;       /* bit n: type n is waited for (R12); 1 << 2, STATE_MANIPULATE / all */
    uint32_t early_limit;  /* packets taken early (R14); 1 / no limit */
    uint32_t retry_us;     /* R4; 1 s as Windows' targets do; KDNET 0.5 s */
    uint32_t retry_limit;  /* R4, R5; 20 / 5; KDNET 24 */
    uint32_t resend_limit; /* R6; 20 */
    uint32_t reset_us;     /* R18; 0.5 s, WinDbg takes 0.35 to 0.7 s */
    uint32_t reset_limit;  /* R18: unanswered RESETs before it is given up, 0 is never; 0 */
    uint32_t quiet_us;     /* R19, R20; 0.25 s, below WinDbg's period / 2 s, above a round trip */
    uint32_t idle_us;      /* silence that ends an unfinished frame; 0.5 s; KDNET 0: no such */
};

enum kd_link_action_kind {
    KD_LINK_SEND_CONTROL, /* kd_frame_encode(..., type, id, payload, size, serial) and send it */
    KD_LINK_SEND_DATA,    /* the same; again: a retransmission */
    KD_LINK_DELIVER,     /* a message; its payload is in the bytes of kd_link_receive. early: R14 */
    KD_LINK_SENT_OK,     /* the packet on the way has arrived */
    KD_LINK_GAVE_UP,     /* it may have arrived or not. Type RESET: reset_limit reached */
    KD_LINK_BREAKIN,     /* target: 0x62. When stopped: send the state change again */
    KD_LINK_RESET_SEEN,  /* see below */
    KD_LINK_RESEND_SEEN, /* RESEND with nothing on the way (R6) */
    KD_LINK_FLUSH,       /* idle_us is over: kd_framer_next(end = true) until NEED_MORE */
};

/* RESET_SEEN, the peer began anew: with type RESET, or with the type of the SYNC packet that
 * follows. Drop what was taken early. A stopped target with nothing on the way sends its state
 * change again. The debugger expects one, and perhaps the last message a second time. On KDNET
 * nothing was lost. */
struct kd_link_action {
    enum kd_link_action_kind kind;
    enum kd_packet_type type;
    uint32_t id;
    bool again;
    bool early;
    size_t size;
    const uint8_t *payload;
};

#define KD_LINK_MAX_ACTIONS 4u

/* How long a stopped target waits for a request after RESET before it sends its state change again.
 * WinDbg that RESETs the link in a stop sends its request again within some 10 ms, and takes a
 * state change that comes instead of the answer for a reason to ask once more; one that has just
 * come sends RESETs 0.35 s apart, and nothing else. [windbg] */
#define KD_LINK_RESET_GRACE_US 300000u

struct kd_link_actions {
    size_t count;
    struct kd_link_action list[KD_LINK_MAX_ACTIONS];
};

/* What became of a received frame. */
enum kd_link_verdict {
    KD_LINK_NOT_FOR_LINK, /* noise, NEED_MORE; break-in at the debugger */
    KD_LINK_TAKEN,        /* data delivered, ACK or RESET or RESEND obeyed, break-in */
    KD_LINK_DUPLICATE,    /* data acknowledged and dropped; a RESET that changes nothing */
    KD_LINK_UNWANTED,     /* data acknowledged and dropped (R12) */
    KD_LINK_IGNORED,      /* data not acknowledged (R14, R15, R18) */
    KD_LINK_DAMAGED,      /* R8, R9 */
    KD_LINK_STRAY, /* ACK of nothing; RESEND beyond resend_limit or with nothing on the way */
};

/* Members are the link's; reading current_id, sending, resetting is welcome. */
struct kd_link {
    struct kd_link_config config;
    uint32_t current_id; /* of the packet on the way, or of the next one */
    uint32_t remote_id;  /* serial: expected; KDNET: highest taken, if remote_seen */
    bool remote_seen;
    bool untouched; /* serial: no packet was taken or acknowledged since the streams began */

    bool sending; /* a data packet is on the way: */
    enum kd_packet_type type;
    const uint8_t *payload;
    size_t size;
    uint32_t retries;
    uint32_t resends;
    uint32_t early;   /* packets taken since it was sent */
    bool reset_tried; /* R4, KDNET */
    uint64_t retry_at;

    bool resetting;        /* own RESET, not yet answered */
    bool sync_answers;     /* R17: a SYNC packet will do for its answer */
    uint32_t resets_asked; /* since the last answer */
    uint32_t resets_owed;  /* not answered, the late answers of R20 included */
    uint64_t reset_at;
    uint64_t quiet_until;
    uint64_t answered_until; /* target: no RESET of its own before (R19) */

    uint64_t idle_at;

    struct kd_link_sync { /* R13: the SYNC packet taken last, while no other was taken since */
        bool valid;
        uint32_t id;
        uint32_t type;
        uint32_t checksum;
        size_t size;
    } sync;
};

/* The defaults for this end of this transport. */
void kd_link_defaults(struct kd_link_config *config, enum kd_link_end end, enum kd_link_ids ids);

/* Begins, or begins anew after a restart of the machine, a lost connection or a new KDNET data key.
 * A debugger that joins a serial target goes on with kd_link_reset; a target sends, with or without
 * RESET. */
void kd_link_init(struct kd_link *link, const struct kd_link_config *config);

/* Which packet types the target waits for: 1 << KD_PACKET_FILE_IO before it sends a file request,
 * ... (R12). */
void kd_link_accept(struct kd_link *link, uint32_t types);

/* Sends a message. payload stays the caller's, unchanged until SENT_OK or GAVE_UP. False, and no
 * actions, while another is on the way, while a serial debugger waits for the answer to its RESET,
 * and for what is no data packet. */
bool kd_link_send(struct kd_link *link, uint64_t now, enum kd_packet_type type,
                  const uint8_t *payload, size_t size, struct kd_link_actions *out);

/* On slow lines: the packet on the way has left now, so that retry_us counts from here. */
void kd_link_sent(struct kd_link *link, uint64_t now);

/* A frame of kd_frame_scan, kd_framer_next or kd_frame_datagram, with its bytes; on byte streams
 * also the NEED_MORE after each push (it starts the silence of idle_us). */
enum kd_link_verdict kd_link_receive(struct kd_link *link, uint64_t now,
                                     const struct kd_frame *frame, const uint8_t *bytes,
                                     struct kd_link_actions *out);

/* Sends RESET (R18, R19). False, and no actions, when the target has just answered one. */
bool kd_link_reset(struct kd_link *link, uint64_t now, struct kd_link_actions *out);

/* When kd_link_tick has something to do; UINT64_MAX is never. */
uint64_t kd_link_deadline(const struct kd_link *link);

/* Does what is due; call it when the deadline has passed, or whenever. */
void kd_link_tick(struct kd_link *link, uint64_t now, struct kd_link_actions *out);

#endif
