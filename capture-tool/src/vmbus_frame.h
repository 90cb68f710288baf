/* vmbus_frame.h - the framing that a debug agent and its host speak over a VMBus pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O. Times are monotonic nanoseconds (clock.h). A frame is six
 * little-endian words and the payload, which is a piece of the KD byte stream:
 *
 *   magic  flag  payload size  sequence  checksum  end magic  payload...
 *
 * The checksum is the XOR of all words of the frame, itself taken as 0, the payload padded with
 * zeros. Each side numbers its data frames on its own. One frame is one write to the pipe: agents
 * refuse a message that holds less or more than one.
 *
 * An agent may be built to acknowledge frames and to want acknowledgements; nothing announces it.
 * States:
 *   SILENT         frames are sent as they come. An acknowledgement, or a frame that comes a second
 *                  time (its sender misses ours) -> ACKNOWLEDGING
 *   ACKNOWLEDGING  every good data frame is acknowledged, also a repeated one; one frame of ours is
 *                  on the way at a time, and sent again until it is acknowledged, VMBUS_RESENDS
 *                  times at most: KD, which is what travels here, has its own recovery above that.
 *                  Given up without a single acknowledgement so far -> SILENT
 *
 * What comes may be cut anywhere. Damaged bytes are skipped up to the next good frame.
 */
#ifndef KDLENS_VMBUS_FRAME_H
#define KDLENS_VMBUS_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VMBUS_FRAME_HEADER 24u
/* Payload of one frame sent: with its header no more than the 2048 bytes that a byte-mode pipe
 * keeps together. */
#define VMBUS_SEND_MAX 2024u
/* Payload of one frame received: a VMBus pipe message holds 16384 bytes. */
#define VMBUS_RECEIVE_MAX (16384u - VMBUS_FRAME_HEADER)

#define VMBUS_FIRST_SEQUENCE 0x5687u
#define VMBUS_RESEND_AFTER   UINT64_C(1000000000) /* doubles each time */
#define VMBUS_RESENDS        3u
#define VMBUS_SILENCE        UINT64_C(500000000) /* an unfinished frame is damaged after it */
#define VMBUS_HISTORY        8u

enum vmbus_news {
    VMBUS_ACKNOWLEDGES, /* the agent does */
    VMBUS_DAMAGED,      /* number: bytes skipped */
    VMBUS_MISSING,      /* number: frames that the agent's numbers leave out */
    VMBUS_RESTARTED,    /* the agent counts anew */
    VMBUS_RESENT,       /* number: how often this frame of ours has been sent again */
    VMBUS_GIVEN_UP      /* it was never acknowledged; number: payload bytes */
};

struct vmbus_link_events {
    /* Payload, in order; valid during the call. */
    void (*received)(void *context, const uint8_t *bytes, size_t size);
    /* One frame, to be written by one write. */
    void (*send)(void *context, const uint8_t *frame, size_t size);
    void (*news)(void *context, enum vmbus_news news, uint64_t number);
};

/* Members are the machine's. */
struct vmbus_link {
    const struct vmbus_link_events *events;
    void *context;
    bool acknowledging;
    bool answered; /* an acknowledgement has come */

    uint32_t sequence; /* of our next data frame */
    size_t sent;       /* bytes of the frame on the way, in frame[]; 0: none */
    unsigned resends;  /* of it */
    uint64_t resend_at;
    uint8_t frame[VMBUS_FRAME_HEADER + VMBUS_SEND_MAX];

    bool heard; /* last_sequence is valid */
    uint32_t last_sequence;
    struct {
        uint32_t sequence, checksum;
    } history[VMBUS_HISTORY]; /* of data frames received */
    size_t history_count, history_next;
    uint64_t damaged;   /* bytes skipped since the last good frame */
    uint64_t last_byte; /* when the last byte came */
    size_t filled;      /* bytes in buffer[]: the start of a frame */
    uint8_t buffer[VMBUS_FRAME_HEADER + VMBUS_RECEIVE_MAX];
};

void vmbus_link_init(struct vmbus_link *link, const struct vmbus_link_events *events,
                     void *context);

/* Bytes from the pipe. */
void vmbus_link_push(struct vmbus_link *link, uint64_t now, const uint8_t *bytes, size_t size);

/* Sends as much of these bytes as one frame holds, if one may be sent now; returns how many. Ask
 * again after every push and tick. */
size_t vmbus_link_take(struct vmbus_link *link, uint64_t now, const uint8_t *bytes, size_t size);

/* When vmbus_link_tick has something to do; UINT64_MAX: never. */
uint64_t vmbus_link_deadline(const struct vmbus_link *link);

void vmbus_link_tick(struct vmbus_link *link, uint64_t now);

/* How many bytes at the start of these, which are frames to send, the first frame has. */
size_t vmbus_frame_length(const uint8_t *bytes, size_t size);

#endif
