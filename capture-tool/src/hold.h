/* hold.h - what --hold and --heal do between the two ends: bytes in, bytes to pass on or keep out.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O. Times are monotonic nanoseconds (clock.h). No byte is ever
 * altered; bytes are passed on, passed on later, or dropped, and every one is reported once, as
 * part of one span. Without either option there is nothing here to do, and the relay does not ask.
 *
 * --hold, for a target whose firmware console shares the line. States:
 *   WAITING  the target has not spoken KD. Dropped: what the debugger sends (RESETs and break-ins,
 *            key presses for the firmware) and what the target sends (text, which the debugger
 *            would answer with more of them). The target's first valid packet -> OPEN, and goes
 *            through. A frame that the debugger has begun by then goes through whole.
 *   OPEN     both ways pass, except text from the target between packets, of which the debugger is
 *            spared. HOLD_TEXT_LIMIT bytes of it without a valid packet: the machine has restarted
 *            -> WAITING. A damaged packet is not text and goes through; a packet goes through as it
 *            comes, once its header is complete.
 *
 * --heal, against the endless exchange of RESETs between WinDbg and Windows' own boot debugger. It
 * begins when several RESETs of a waiting WinDbg are answered one after the other: WinDbg answers
 * each answer but the first by a further RESET, and while a request of it gets through now and then
 * it never stops. When none gets through it gives up after about 18 tries, falls silent, and begins
 * anew with a single RESET. States:
 *   PASSING   the debugger's bytes pass as they come. Its RESET -> ARMED
 *   ARMED     the debugger's data packets are kept back, all else of it passes frame by frame; what
 *             the target sends passes as it comes. The target's next data packet has gone through
 *             -> ACKING. A packet kept replaces the one before, of which it is the repetition.
 *   ACKING    as ARMED, until the debugger's ACKNOWLEDGE of the target's last data packet has gone
 *             through -> SETTLING
 *   SETTLING  as ARMED, for HOLD_HEAL_QUIET: then the packet kept -> PASSING. Another data packet
 *             of the target -> ACKING
 * A further RESET drops the packet kept (its sender has given it up) and begins ARMED anew.
 * HOLD_HEAL_LIMIT after the last RESET the packet kept goes through in any case -> PASSING.
 */
#ifndef KDLENS_HOLD_H
#define KDLENS_HOLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"
#include "kd/frame.h"

#define HOLD_HEAL_LIMIT UINT64_C(2500000000)
/* Longer than a round of RESETs takes (20 to 60 ms), shorter than WinDbg's time-out (0.35 s). */
#define HOLD_HEAL_QUIET UINT64_C(200000000)
#define HOLD_TEXT_LIMIT 32u
/* Silence after which an unfinished frame is taken for what it is. */
#define HOLD_IDLE UINT64_C(500000000)

enum hold_fate {
    HOLD_PASS,
    HOLD_PASS_LATE,     /* --heal: kept back, now passed on */
    HOLD_DROP_EARLY,    /* --hold: from the debugger, before the target spoke KD */
    HOLD_DROP_TEXT,     /* --hold: console text of the target */
    HOLD_DROP_REPEATED, /* --heal: a packet that was kept, and replaced or given up */
};

struct hold_span {
    enum side from;
    enum hold_fate fate;
    uint64_t when; /* when the first byte was read */
    const uint8_t *bytes;
    size_t size;
};

enum hold_news {
    HOLD_AGAIN, /* WAITING once more, because text came */
    HOLD_ENDS,  /* OPEN; number: bytes of the debugger dropped meanwhile */
    HEAL_KEEPS, /* a packet is kept back; number: its bytes */
    HEAL_ENDS,  /* it goes through after the ACKNOWLEDGE; number: nanoseconds kept */
    HEAL_LIMIT, /* it goes through because of the limit; number: nanoseconds kept */
    HEAL_DROPS, /* it is given up with the debugger's next RESET; number: its bytes */
};

struct hold_events {
    /* Spans of one direction come in order; bytes are valid during the call. */
    void (*span)(void *context, const struct hold_span *span);
    void (*news)(void *context, enum hold_news news, uint64_t number);
};

/* Members are the machine's. */
struct hold_stream {
    struct kd_framer framer;
    size_t passed;  /* bytes at the framer's start that have gone through already */
    uint64_t since; /* when the first byte was read that has not gone through */
    uint64_t last;  /* when the last one was */
    uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
};

struct hold {
    const struct hold_events *events;
    void *context;
    bool hold;
    bool heal;
    bool waiting;     /* --hold: WAITING */
    uint64_t dropped; /* bytes of the debugger in WAITING */
    size_t text;      /* bytes of text since the target's last valid packet */
    enum hold_heal_state { HEAL_PASSING, HEAL_ARMED, HEAL_ACKING, HEAL_SETTLING } state;
    uint64_t limit;                /* when the packet kept goes through in any case */
    uint64_t settled_at;           /* SETTLING: when it goes through */
    uint32_t id;                   /* ACKING, SETTLING: of the target's packet */
    size_t kept;                   /* bytes of the packet kept back; 0: none */
    uint64_t kept_since;           /* when its first byte was read */
    struct hold_stream streams[2]; /* by enum side */
    uint8_t packet[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
};

void hold_init(struct hold *hold, bool with_hold, bool with_heal, const struct hold_events *events,
               void *context);

/* Whether bytes must go through hold_push at all. */
bool hold_active(const struct hold *hold);

/* Switches --heal on or off while bytes flow; a packet kept goes through. */
void hold_set_heal(struct hold *hold, bool on, uint64_t now);

/* Bytes of one end, as read. */
void hold_push(struct hold *hold, enum side from, uint64_t when, const uint8_t *bytes, size_t size);

/* This end's connection is gone: what is left of its bytes is reported; what waits for it is
 * dropped. A new target begins in WAITING. */
void hold_disconnected(struct hold *hold, enum side side);

/* When hold_tick has something to do; UINT64_MAX: never. */
uint64_t hold_deadline(const struct hold *hold);

void hold_tick(struct hold *hold, uint64_t now);

#endif
