/* transport.h - port of the engine: the line to the debugger, as a stream of bytes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The line may lose, double or corrupt bytes and carry text of others: that is the engine's and
 * lib/kd's to repair. Calls never fault, never call the firmware and return within the time named.
 */
#ifndef KDA_TRANSPORT_H
#define KDA_TRANSPORT_H

#include <stddef.h>
#include <stdint.h>

struct kda_transport_ops {
    /* What has arrived, at most room bytes, without waiting; 0: nothing, or the line is gone. */
    size_t (*read)(void *self, uint8_t *out, size_t room);

    /* Sends, waiting as long as the line moves. Less than size: the line did not move for
     * KDA_LINE_STUCK_US; the rest is lost, as on any line. */
    size_t (*write)(void *self, const uint8_t *bytes, size_t size);
};

/* A policy decision: at 9600 baud a byte takes 1.1 ms; a UART whose FIFO has not moved for this
 * long has no working other side (or flow control that holds it). */
#define KDA_LINE_STUCK_US UINT64_C(200000)

struct kda_transport {
    const struct kda_transport_ops *ops;
    void *self;
};

#endif
