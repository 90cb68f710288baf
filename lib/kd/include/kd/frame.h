/* frame.h - byte streams (COM port, pipe, TCP) as KD packets, break-ins and noise; the encoder.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock. Every byte of a stream belongs to exactly one frame, and cutting
 * the stream elsewhere does not change which bytes form packets and break-ins. Real lines carry
 * firmware text, lose bytes and join packets in the middle; a leader counts only with a plausible
 * header behind it.
 *
 * What is a frame:
 *   packet    leader, known type, ByteCount within bounds, payload, and (data packets) trailer
 *             0xAA. One of checksum and trailer may be wrong, which flags tell; with both wrong,
 *             bytes were lost.
 *   break-in  the byte 0x62 between packets, on its way to the target (public KD headers: a lone
 *             0x62).
 *   noise     all else: text, remains of packets that lost bytes (flag KD_FRAME_TRUNCATED).
 */
#ifndef KD_FRAME_H
#define KD_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

/* Which way bytes go. Only a stream to the target can carry break-ins. */
enum kd_flow { KD_FLOW_UNKNOWN, KD_FLOW_TO_TARGET, KD_FLOW_TO_DEBUGGER };

struct kd_framing {
    uint32_t max_payload; /* a larger ByteCount is no packet; KD_PACKET_MAX_SIZE on serial links */
    enum kd_flow flow;
};

enum kd_frame_kind { KD_FRAME_NEED_MORE, KD_FRAME_PACKET, KD_FRAME_BREAKIN, KD_FRAME_NOISE };

enum kd_frame_flags {
    KD_FRAME_BAD_CHECKSUM = 1, /* packet: Checksum is not the sum of the payload */
    KD_FRAME_NO_TRAILER = 2,   /* packet: not followed by 0xAA; the byte there is not taken */
    KD_FRAME_TRUNCATED = 4,    /* noise: starts with a packet header, but bytes are missing */
    KD_FRAME_BAD_LENGTH = 8,   /* noise: starts with leader and type, but ByteCount is too large */
};

struct kd_frame {
    enum kd_frame_kind kind;
    uint32_t flags; /* enum kd_frame_flags */
    size_t size;    /* bytes of the stream it takes; 0 for NEED_MORE */
    size_t need;    /* NEED_MORE: bytes from the start of the frame before asking again can help */
    size_t payload; /* packet: ByteCount; the payload starts at KD_HEADER_SIZE */
    uint32_t checksum; /* packet: the payload's true sum */
};

/* Sum of unsigned bytes modulo 2^32. */
uint32_t kd_checksum(const uint8_t *bytes, size_t size);

/* The first frame of bytes[0..size). after_noise: the byte before was noise, so a 0x62 is noise
 * too. end: no more bytes will come, so never NEED_MORE unless size is 0. The time is linear in the
 * frame's size plus, for a damaged packet, in max_payload; calling again before frame.need bytes
 * are there costs O(1). */
void kd_frame_scan(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                   bool after_noise, bool end, struct kd_frame *frame);

/* A whole datagram (KDNET): header and ByteCount bytes, no trailer, nothing behind. NOISE when it
 * is not. */
void kd_frame_datagram(const uint8_t *bytes, size_t size, struct kd_frame *frame);

/* Writes a packet; the leader follows from the type. Returns its size, or 0 when room is too small,
 * the payload is above 65535 bytes, or a control packet has one. trailer: byte streams true, KDNET
 * false. */
size_t kd_frame_encode(uint8_t *out, size_t room, enum kd_packet_type type, uint32_t id,
                       const uint8_t *payload, size_t size, bool trailer);

/* Whether packets of this type are control packets. */
bool kd_is_control(uint32_t packet_type);

/* A framer that keeps unfinished bytes in memory the caller lends it. */
struct kd_framer {
    struct kd_framing framing;
    uint8_t *buffer;
    size_t capacity;
    size_t start; /* first byte not yet taken */
    size_t end;
    size_t need; /* bytes the next frame waits for */
    bool after_noise;
};

/* Room for any frame of this framing and for what decides about it: header, payload and trailer,
 * or a control packet and the 7 bytes behind it that tell whether another packet starts in it. */
#define KD_FRAMER_CAPACITY(max_payload) (KD_HEADER_SIZE + (max_payload) + 7u)

/* capacity is at least KD_FRAMER_CAPACITY(max_payload). */
void kd_framer_init(struct kd_framer *framer, const struct kd_framing *framing, uint8_t *buffer,
                    size_t capacity);

/* Takes as many bytes as there is room for and returns how many. It always takes some after
 * kd_framer_next has returned NEED_MORE. */
size_t kd_framer_push(struct kd_framer *framer, const uint8_t *bytes, size_t size);

/* The next frame; *bytes points at it, in the framer's buffer, until the next push. end as in
 * kd_frame_scan: also for a pause on a live line, so that a damaged header cannot keep later
 * packets waiting. More may be pushed afterwards; what was taken as noise stays noise, but a 0x62
 * after the pause is a break-in again. */
enum kd_frame_kind kd_framer_next(struct kd_framer *framer, bool end, struct kd_frame *frame,
                                  const uint8_t **bytes);

/* How many bytes the packet that seems to have begun still lacks, or its header while that is not
 * complete, after kd_framer_next has returned NEED_MORE. 0: nothing has begun. */
size_t kd_framer_missing(const struct kd_framer *framer);

#endif
