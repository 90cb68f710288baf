/* observe.h - a KD link seen from beside it: what each packet is to those before.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O, and no time limit of its own: times are nanoseconds of the
 * caller's clock. Both ends' frames go in, in the order in which they passed; each comes back with
 * the findings of findings.def and with the packets it belongs to: its first transmission, the
 * packet it acknowledges, the request it answers. A packet is named by what the caller gave it
 * (struct kd_ref). Memory is bounded: an ACK can name one of the last KD_OBSERVER_RECENT packets of
 * an end, a reply one of the last KD_OBSERVER_WAITING requests.
 *
 * The observer never sees what an end received, only what was sent past it. So it judges by what
 * the ends do: an ACK, a RESEND, the same packet again.
 *
 * Storms: KD_STORM_COUNT packets of an end within KD_STORM_SPAN. RESET storm: RESETs of both ends
 * (WinDbg and Windows' boot debugger do this to each other without end). RESEND storm: RESENDs of
 * one end. Console storm: text of the target makes the debugger RESET, and the RESETs are key
 * presses for the target. A storm is over when KD_STORM_CALM passed without any of its packets.
 */
#ifndef KD_OBSERVE_H
#define KD_OBSERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/frame.h"

enum kd_finding {
#define KD_FINDING(id, name, group, severity, text) KD_FINDING_##id,
#include "kd/findings.def"
#undef KD_FINDING
    KD_FINDINGS
};

enum kd_finding_severity {
    KD_SEVERITY_CHAT,
    KD_SEVERITY_NOTE,
    KD_SEVERITY_WARN,
    KD_SEVERITY_ERROR
};

struct kd_finding_info {
    const char *name;
    enum kd_finding_severity severity;
    const char *text;
};

extern const struct kd_finding_info kd_findings[KD_FINDINGS];

/* A set of findings is a uint64_t. */
#define KD_HAS(findings, id) ((findings) >> KD_FINDING_##id & 1)

#define KD_OBSERVER_RECENT  8u
#define KD_OBSERVER_WAITING 64u
#define KD_STORM_COUNT      6u
#define KD_STORM_SPAN       UINT64_C(1000000000)
#define KD_STORM_CALM       UINT64_C(2000000000)
#define KD_SILENT           UINT64_C(3000000000) /* without an answer that is owed */

/* A packet by the caller's names for it; frame 0: none. */
struct kd_ref {
    void *tag;
    uint32_t frame;
};

/* What a data packet says, as far as requests and replies are told apart by it. */
struct kd_message {
    uint32_t api;       /* ApiNumber or NewState */
    uint32_t status;    /* replies */
    uint32_t requested; /* TransferCount, which a reply echoes */
    uint32_t count;     /* bytes asked for, or moved */
    uint64_t address;   /* first part of the union that a reply echoes; program counter of a stop */
};

enum kd_storm { KD_STORM_NONE, KD_STORM_RESET, KD_STORM_RESEND, KD_STORM_CONSOLE };

/* A frame on its way past the observer. */
struct kd_passing {
    struct kd_ref ref;
    uint64_t time;
    enum kd_flow flow;
    const struct kd_frame *frame;
    const uint8_t *bytes;
    bool ignored; /* the receiver drops it unread (a replayed datagram): judged by itself alone */
};

struct kd_seen {
    uint64_t findings;
    uint32_t packet_type; /* a packet's; else 0 */
    uint32_t id;
    uint32_t expected_id; /* DESYNC: what would have followed */
    bool protocol32;      /* a message of the 32-bit protocol (before version 5) */
    bool retransmission;  /* same id and content as the sender's last, or repeated after RESET */
    bool needless;        /* such a one whose ACK had passed, and no RESET since */
    bool invited;         /* such a one after RESET, RESEND or break-in: it was asked for */
    bool repeated;        /* an unanswered request, sent again as a new packet */
    bool repairs;         /* the good transmission of one that had a wrong checksum */
    struct kd_message message;    /* data packets */
    struct kd_ref original;       /* of these: the first transmission */
    struct kd_ref subject;        /* ACK: of what; RESEND: what is asked for again */
    struct kd_ref first;          /* ACK of a retransmission: the first transmission */
    bool again;                   /* ACK: its packet had one before */
    struct kd_ref unacknowledged; /* the sender's packet before, without ACK so far */
    struct kd_ref unanswered;     /* the request before, without reply so far */
    struct kd_ref peer;           /* reply: its request */
    uint32_t asked;               /* reply: bytes its request asked for */
    struct kd_ref stop;           /* the state change that holds the target */
    enum kd_storm storming;       /* the storm that is on now */
    enum kd_storm storm;          /* the one it begins */
    struct kd_ref storm_since;    /* where that began */
};

/* A data packet as the observer remembers it. */
struct kd_sent {
    uint64_t number; /* 1, 2, ... in the order of passing; 0: none */
    uint64_t original_number;
    struct kd_ref ref;
    struct kd_ref original; /* of a retransmission or repetition */
    struct kd_message message;
    uint32_t id;
    uint32_t size;
    uint32_t checksum; /* as the header states it */
    uint32_t type;
    uint32_t asked; /* reply: bytes its request asked for */
    bool has_peer;
    bool retransmission;
    bool repeated;
    bool acknowledged;
};

/* When the last few of something passed, a ring. */
struct kd_recent_times {
    uint64_t at[KD_STORM_COUNT];
    unsigned next, count;
    struct kd_ref run;   /* the first of those that follow each other within KD_STORM_SPAN */
    uint64_t run_number; /* in the order of passing */
};

struct kd_observer_side {
    struct kd_sent recent[KD_OBSERVER_RECENT]; /* ring, newest at `newest` */
    unsigned newest;
    struct kd_sent last;    /* last data packet that was no retransmission */
    struct kd_sent before;  /* and the one before that */
    struct kd_sent damaged; /* came after `last`, with a wrong checksum */
    struct kd_ref latest;   /* what a RESEND asks for */
    bool reset;             /* a RESET passed since `last` */
    bool invited;           /* RESET, RESEND or break-in since `last`: it may be sent again */
    bool spoke;             /* this side sent data since the other side's last data packet */
    bool owes;              /* an answer, since: */
    uint64_t owes_since;
    struct kd_recent_times resets, resends, texts;
};

/* Members are the observer's; reading is welcome. */
struct kd_observer {
    bool kdnet; /* ids count in steps of 2 and carry no SYNC bit */
    bool protocol32;
    bool echoes;                      /* the target's replies repeat what tells requests apart */
    uint64_t numbers;                 /* of data packets */
    uint64_t passed;                  /* frames */
    struct kd_observer_side sides[3]; /* by enum kd_flow of what the side sends */
    struct kd_sent waiting[KD_OBSERVER_WAITING];
    unsigned waiting_next;
    struct kd_sent io_request; /* a prompt, file request or control request of the target */
    uint64_t stop_number; /* of the state change that holds the target; 0: running, or unknown */
    struct kd_ref stop;
    enum kd_storm storm;
    enum kd_flow storm_flow; /* RESEND: who asks */
    uint64_t storm_last;

    /* Hindsight, when not NULL: a packet that can no longer be acknowledged, a request that can no
     * longer be answered. */
    void (*never)(void *context, enum kd_finding finding, const struct kd_ref *packet);
    void *context;
};

void kd_observer_init(struct kd_observer *observer, bool kdnet);

/* A frame of kd_frame_scan, kd_framer_next or kd_frame_datagram. */
void kd_observe(struct kd_observer *observer, const struct kd_passing *passing,
                struct kd_seen *seen);

/* No more comes: what is without ACK or reply has none. */
void kd_observer_end(struct kd_observer *observer);

/* The line was cut or made: nobody owes anything; without its line the target is not known to be
 * stopped. */
void kd_observer_connection(struct kd_observer *observer, bool target);

/* The link begins anew between the same ends (a new key of KDNET): what is without ACK or reply has
 * none, ids start again. */
void kd_observer_restart(struct kd_observer *observer);

/* The storm that is over by now, or KD_STORM_NONE; tells each once. */
enum kd_storm kd_observer_calm(struct kd_observer *observer, uint64_t now);

/* Noise that is text: most of it is printable. */
bool kd_is_text(const uint8_t *bytes, size_t size);

/* What the payload of a data packet says. protocol32: messages of the 32-bit protocol. */
void kd_message_read(uint32_t packet_type, enum kd_flow flow, bool protocol32,
                     const uint8_t *payload, size_t size, struct kd_message *out);

#endif
