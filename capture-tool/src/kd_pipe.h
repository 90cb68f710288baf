/* kd_pipe.h - KD bytes out of records of VMBus: packets of a pipe channel, frames in them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A record of the dissector vmbus (kd/vmbus_record.def) that holds a ring packet with a pipe header
 * has a piece of a byte stream: KD itself, or a frame (kd/vmbus.def) with a piece of KD in it.
 */
#ifndef KDLENS_KD_PIPE_H
#define KDLENS_KD_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The part of kd_pipe_packet.channel that is the channel's relid; above it is the SINT. */
#define KD_PIPE_RELID UINT32_C(0xFFFFFF)

struct kd_pipe_packet {
    uint32_t channel; /* tells channels of one recording apart */
    bool to_host;
    const uint8_t *bytes; /* in the record */
    size_t size;
};

/* False when the record is none, or not one of data in a pipe. */
bool kd_pipe_packet(const uint8_t *record, size_t size, struct kd_pipe_packet *out);

/* Whether it is a frame of KD or begins with a packet of KD. */
bool kd_pipe_is_kd(const struct kd_pipe_packet *packet);

/* What tells a frame that was sent again, for each direction. */
struct kd_pipe {
    struct {
        bool seen;
        uint32_t sequence;
    } ways[2];
};

/* From the packet to the bytes of KD in it. False when there are none: an acknowledgement, or a
 * frame that was there already. */
bool kd_pipe_open(struct kd_pipe *pipe, struct kd_pipe_packet *packet);

#endif
