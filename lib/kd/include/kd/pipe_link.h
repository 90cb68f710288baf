/* pipe_link.h - the framing that a debug agent and its host speak over a VMBus pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure, for either end. Times are monotonic nanoseconds. A frame is a struct kd_vmbus_frame and
 * the payload, which is a piece of the KD byte stream. Each side numbers its data frames on its
 * own. One frame is one write to the pipe: agents refuse a message that holds less or more than
 * one.
 *
 * An end may be built to acknowledge frames and to want acknowledgements; nothing announces it.
 * States:
 *   SILENT         frames are sent as they come. An acknowledgement, or a frame that comes a second
 *                  time (its sender misses ours) -> ACKNOWLEDGING
 *   ACKNOWLEDGING  every good data frame is acknowledged, also a repeated one; one frame of ours is
 *                  on the way at a time, and sent again until it is acknowledged, KD_PIPE_RESENDS
 *                  times at most: KD, which is what travels here, has its own recovery above that.
 *                  Given up without a single acknowledgement so far -> SILENT
 *
 * The pipe may as well carry KD's bytes without frames. Which of the two it is the first byte that
 * comes tells, unless the caller says it: frames and KD packets begin differently. Until then what
 * is sent has frames, in which a receiver of plain bytes sees noise before each packet.
 *
 * What comes may be cut anywhere. Damaged bytes are skipped up to the next good frame.
 */
#ifndef KD_PIPE_LINK_H
#define KD_PIPE_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KD_PIPE_HEADER 24u
/* Payload of one frame sent: the largest KD packet. */
#define KD_PIPE_SEND_MAX 4096u
/* The same, with the header no more than the 2048 bytes that a byte-mode pipe keeps together. */
#define KD_PIPE_SEND_BYTE_MODE 2024u
/* Payload of one frame received: a VMBus pipe message holds 16384 bytes. */
#define KD_PIPE_RECEIVE_MAX (16384u - KD_PIPE_HEADER)

#define KD_PIPE_RESEND_AFTER UINT64_C(1000000000) /* doubles each time */
#define KD_PIPE_RESENDS      3u
#define KD_PIPE_SILENCE      UINT64_C(500000000) /* an unfinished frame is damaged after it */
#define KD_PIPE_HISTORY      8u

enum kd_pipe_end { KD_PIPE_HOST, KD_PIPE_GUEST };

enum kd_pipe_framing {
    KD_PIPE_AUTO, /* as the other end does */
    KD_PIPE_FRAMES,
    KD_PIPE_PLAIN
};

enum kd_pipe_news {
    KD_PIPE_ACKNOWLEDGES, /* the other end does */
    KD_PIPE_DAMAGED,      /* number: bytes skipped */
    KD_PIPE_MISSING,      /* number: frames that the other end's numbers leave out */
    KD_PIPE_RESTARTED,    /* the other end counts anew */
    KD_PIPE_RESENT,       /* number: how often this frame of ours has been sent again */
    KD_PIPE_GIVEN_UP,     /* it was never acknowledged; number: payload bytes */
    KD_PIPE_SENDS_PLAIN   /* the other end sends no frames; so do we from now on */
};

struct kd_pipe_link_events {
    /* Payload, in order; valid during the call. */
    void (*received)(void *context, const uint8_t *bytes, size_t size);
    /* One frame (or plain bytes), to be written by one write. */
    void (*send)(void *context, const uint8_t *frame, size_t size);
    void (*news)(void *context, enum kd_pipe_news news, uint64_t number);
};

struct kd_pipe_link_config {
    enum kd_pipe_end end; /* ours */
    enum kd_pipe_framing framing;
    size_t send_max; /* payload bytes of a frame sent, 1 to KD_PIPE_SEND_MAX */
};

/* Members are the machine's. */
struct kd_pipe_link {
    const struct kd_pipe_link_events *events;
    void *context;
    struct kd_pipe_link_config config; /* framing: what has been decided */
    bool acknowledging;
    bool answered; /* an acknowledgement has come */

    uint32_t sequence; /* of our next data frame */
    size_t sent;       /* bytes of the frame on the way, in frame[]; 0: none */
    unsigned resends;  /* of it */
    uint64_t resend_at;
    uint8_t frame[KD_PIPE_HEADER + KD_PIPE_SEND_MAX];

    bool heard; /* last_sequence is valid */
    uint32_t last_sequence;
    struct {
        uint32_t sequence, checksum;
    } history[KD_PIPE_HISTORY]; /* of data frames received */
    size_t history_count, history_next;
    uint64_t damaged;   /* bytes skipped since the last good frame */
    uint64_t last_byte; /* when the last byte came */
    size_t filled;      /* bytes in buffer[]: the start of a frame */
    uint8_t buffer[KD_PIPE_HEADER + KD_PIPE_RECEIVE_MAX];
};

void kd_pipe_link_init(struct kd_pipe_link *link, const struct kd_pipe_link_config *config,
                       const struct kd_pipe_link_events *events, void *context);

/* Bytes from the pipe. */
void kd_pipe_link_push(struct kd_pipe_link *link, uint64_t now, const uint8_t *bytes, size_t size);

/* Sends as much of these bytes as one frame holds, if one may be sent now; returns how many. Ask
 * again after every push and tick. */
size_t kd_pipe_link_take(struct kd_pipe_link *link, uint64_t now, const uint8_t *bytes,
                         size_t size);

/* When kd_pipe_link_tick has something to do; UINT64_MAX: never. */
uint64_t kd_pipe_link_deadline(const struct kd_pipe_link *link);

void kd_pipe_link_tick(struct kd_pipe_link *link, uint64_t now);

/* How many bytes at the start of these, which are frames to send, the first frame has; all of them
 * when they are none. */
size_t kd_pipe_frame_length(const uint8_t *bytes, size_t size);

#endif
