/* vmbus_pipe.h - the line to the debugger through a VMBus channel in pipe mode.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * KD's bytes travel in pipe packets of the channel's rings, with the frames of kd/pipe_link.h or
 * without. The channel may go and come back meanwhile: then there is nothing to read, what is
 * written is lost, and both ends' frames begin anew with the new channel.
 */
#ifndef KDA_VMBUS_PIPE_H
#define KDA_VMBUS_PIPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/pipe_link.h"
#include "trace.h"
#include "transport.h"
#include "vmbus.h"

/* A host that does not read what it was told of was perhaps not told. */
#define VMBUS_PIPE_REMIND_US UINT64_C(100000)
/* One packet may complete a frame that others began. */
#define VMBUS_PIPE_ROOM (2u * KD_VMBUS_PIPE_MAX)

/* Members are the pipe's. */
struct vmbus_pipe {
    struct kda_vmbus *bus;
    struct kda_trace *trace; /* NULL: nobody wants to know */
    enum kd_pipe_framing framing;
    struct kd_pipe_link link;
    unsigned generation; /* of the channel */
    uint64_t transaction;
    uint64_t written_at; /* the last packet, or the last reminder */
    bool lost;           /* what had to be sent could not be */
    bool bad_ring;       /* said once for each channel */
    size_t start, end;   /* in received[] */
    uint8_t received[VMBUS_PIPE_ROOM];
    uint8_t packet[KD_RING_DESCRIPTOR + sizeof(struct kd_vmbus_pipe) + KD_VMBUS_PIPE_MAX];
};

void vmbus_pipe_init(struct vmbus_pipe *pipe, struct kda_vmbus *bus, enum kd_pipe_framing framing);

/* Whether the host is to signal new packets: when nobody looks at the ring all the time. */
void vmbus_pipe_listen(struct vmbus_pipe *pipe, bool listen);

/* self is a struct vmbus_pipe. */
extern const struct kda_transport_ops vmbus_pipe_ops;

#endif
