/* faults.h - what the host does wrong on purpose, and when.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Faults strike every connection but the firmware's own. A count is used up; 0 is never.
 */
#ifndef HVHOST_FAULTS_H
#define HVHOST_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

struct log;

enum fault_corrupt {
    CORRUPT_NOTHING,
    CORRUPT_LENGTH,      /* the packet is longer than what the ring holds */
    CORRUPT_OFFSET,      /* the payload begins inside the descriptor */
    CORRUPT_SHORT,       /* the payload ends before it begins */
    CORRUPT_TYPE,        /* a descriptor type that there is not */
    CORRUPT_PIPE_TYPE,   /* a pipe packet type that there is not */
    CORRUPT_PIPE_LENGTH, /* the pipe header says more than the packet has */
    CORRUPT_INDEX,       /* a write index outside of the ring */
    CORRUPT_UNALIGNED,   /* a write index that is no multiple of 8 */
    CORRUPT_TRAILER,     /* the trailer names another place */
};

struct faults {
    /* Connecting. */
    uint32_t max_version;    /* 0: the newest */
    uint32_t refuse;         /* first version requests refused */
    uint32_t state;          /* version responses: supported, but failed */
    uint32_t no_multiclient; /* connection id 4 does not exist */
    uint32_t wrong_id;       /* the version response names a connection id that does not work */
    uint32_t busy;           /* posts refused with "insufficient buffers" */
    uint32_t bad_id;         /* posts refused with "invalid connection id" */
    /* Messages to the guest. */
    uint32_t drop_type; /* messages of this type, 0: of any */
    uint32_t drop;      /* are dropped, so many */
    uint32_t double_type;
    uint32_t twice;
    uint32_t delay_message; /* milliseconds, each */
    /* Channels. */
    uint32_t no_offer; /* the pipe is not offered */
    uint32_t nack_gpadl;
    uint32_t delay_gpadl;
    uint32_t nack_open;
    uint32_t delay_open;
    /* Signals and interrupts to the guest. */
    uint32_t drop_signal; /* every n-th */
    uint32_t double_signal;
    uint32_t delay_signal;   /* milliseconds */
    uint32_t late_interrupt; /* milliseconds after what it tells of */
    uint32_t no_interrupt;
    uint32_t lose_interrupt; /* every n-th */
    uint32_t spurious;       /* an event flag without data, each so many milliseconds */
    /* Rings. */
    uint32_t stall;      /* milliseconds after an open in which the guest's ring is not read */
    uint32_t trickle;    /* bytes of each payload in a packet of its own; 0: all */
    uint32_t corrupt;    /* enum fault_corrupt */
    uint32_t corrupt_at; /* this packet to the guest, from 1 */
    /* The host's side of the pipe. */
    uint32_t rescind_after; /* packets of the guest */
    uint32_t rescinds;      /* so often; 0: once */
    uint32_t reoffer;       /* milliseconds later; 0: never */
    uint32_t away_after;    /* packets of the guest, then the host is deaf */
    uint32_t away;          /* for so many milliseconds */
};

/* Uses one of count up; says so in the log. */
bool fault_strikes(struct log *log, uint32_t *count, const char *what);

/* A version as options write it, "5.0"; 0: it is none. */
uint32_t fault_version(const char *text);

/* "length", "offset" ...; CORRUPT_NOTHING: it is none. */
enum fault_corrupt fault_corrupt(const char *text);

#endif
