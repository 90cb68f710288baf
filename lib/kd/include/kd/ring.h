/* ring.h - one VMBus ring buffer in memory shared with a peer: its writer, and its reader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no I/O, no waiting; the caller signals and sleeps. The peer may change the
 * shared memory at any moment and is not trusted: each of its words is read once and checked, and
 * nothing outside the data is read or written whatever it says. Orders between memory accesses are
 * kept by the compiler's atomic builtins.
 *
 * A ring is a control page (struct kd_vmbus_ring_control) and data of `size` bytes. Indices are
 * multiples of 8 below size; equal indices mean empty, so the ring is never quite full. A packet is
 * descriptor, extra header, payload, zeros up to a multiple of 8, and a footer of 8 bytes; it may
 * wrap anywhere. [Linux, openvmm, iPXE and MacHyperVSupport agree]
 *
 * Writing: kd_ring_write, and a signal to the peer when it asks for one. With KD_RING_FULL the size
 * wanted stands in the control page, and a peer that honours that signals when there is room. It
 * may not: callers write again after a bounded wait.
 * Reading: kd_ring_peek, kd_ring_copy as often as needed, kd_ring_consume; after some packets
 * kd_ring_publish, which gives the room back, and a signal when it asks for one. Before a sleep
 * kd_ring_may_sleep.
 */
#ifndef KD_RING_H
#define KD_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

/* Members are the ring's. */
struct kd_ring {
    unsigned char *control; /* 4-byte aligned, at least sizeof(struct kd_vmbus_ring_control) */
    unsigned char *data;
    uint32_t size;      /* of the data */
    uint32_t position;  /* writer: the write index; reader: read up to here */
    uint32_t published; /* reader: the read index that the peer knows */
    bool waiting;       /* writer: the control page says how much room it wants */
};

#define KD_RING_MIN_SIZE   64u
#define KD_RING_DESCRIPTOR ((uint32_t)sizeof(struct kd_vmbus_descriptor))
#define KD_RING_FOOTER     ((uint32_t)sizeof(struct kd_vmbus_footer))
/* offset8 and length8 are 16 bits wide. */
#define KD_RING_MAX_LENGTH (8u * 0xFFFFu)

/* Takes over a ring whose control page says how far it is; a new one has a control page of zeros.
 * The writer also says there that it sets the pending send size. KD_RING_BAD_INDEX when size is
 * below KD_RING_MIN_SIZE or no multiple of 8, or an index does not fit it. */
enum kd_ring_status kd_ring_init_writer(struct kd_ring *ring, void *control, void *data,
                                        uint32_t size);
enum kd_ring_status kd_ring_init_reader(struct kd_ring *ring, void *control, void *data,
                                        uint32_t size);

/* The most bytes of extra header and payload that a packet in a ring of this size may have. */
uint32_t kd_ring_largest(uint32_t size);

/* --- writing --- */

struct kd_ring_part {
    const void *bytes;
    uint32_t size;
};

/* What is to be sent: `header` (ranges, not padded: a multiple of 8; may be empty) lies between
 * descriptor and payload. The payload is the parts behind one another. */
struct kd_ring_packet {
    uint16_t type;  /* enum kd_vmbus_packet_type */
    uint16_t flags; /* enum kd_vmbus_packet_flags */
    uint64_t transaction_id;
    struct kd_ring_part header;
    const struct kd_ring_part *parts;
    size_t part_count;
};

/* Bytes of the ring that the packet takes, its footer included; 0 when no ring takes it. */
uint32_t kd_ring_packet_size(const struct kd_ring_packet *packet);

/* Writes the packet and publishes it. KD_RING_FULL: not now, *signal is false; KD_RING_TOO_LARGE:
 * never; KD_RING_BAD_INDEX: the peer's read index is none. *signal: tell the peer. */
enum kd_ring_status kd_ring_write(struct kd_ring *ring, const struct kd_ring_packet *packet,
                                  bool *signal);

/* The wait for room is over without a write: the peer need not signal any more. */
void kd_ring_stop_waiting(struct kd_ring *ring);

/* --- reading --- */

/* A packet in the ring, all sizes checked. Offsets are from its descriptor. */
struct kd_ring_view {
    uint16_t type;
    uint16_t flags;
    uint64_t transaction_id;
    uint32_t start;   /* index in the data */
    uint32_t payload; /* offset of the payload; the extra header lies between 16 and this */
    uint32_t length;  /* bytes without the footer; the payload may end in padding */
    bool footer_good; /* says where the packet began. Some peers write none. */
};

/* The next packet, which stays. KD_RING_EMPTY; KD_RING_BAD_INDEX: the peer's write index is none;
 * KD_RING_BAD_PACKET: its descriptor does not fit what is there. After the last two only
 * kd_ring_discard goes on. */
enum kd_ring_status kd_ring_peek(const struct kd_ring *ring, struct kd_ring_view *view);

/* Copies what lies in the packet from `offset` on, at most `room` bytes. Returns how many. */
uint32_t kd_ring_copy(const struct kd_ring *ring, const struct kd_ring_view *view, uint32_t offset,
                      void *out, uint32_t room);

/* Steps over the packet; its bytes stay ours until kd_ring_publish. */
void kd_ring_consume(struct kd_ring *ring, const struct kd_ring_view *view);

/* Steps over all that is there, whatever it is. */
enum kd_ring_status kd_ring_discard(struct kd_ring *ring);

/* Gives the consumed bytes back. True: the writer waits for room and has it now; signal. */
bool kd_ring_publish(struct kd_ring *ring);

/* Whether the peer is to signal new packets; masked while the reader is busy anyhow. */
void kd_ring_mask(struct kd_ring *ring, bool masked);

/* Unmasks; false when packets are there already, so that no signal would come for them. */
bool kd_ring_may_sleep(struct kd_ring *ring);

#endif
