/* bridge.h - the debugger pipe's other end: the third UART.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Raw: what the guest writes goes out as it is, what comes in becomes packets as it comes. Framed:
 * each pipe packet is u32 size (little-endian) and its bytes, both ways.
 */
#ifndef HVHOST_BRIDGE_H
#define HVHOST_BRIDGE_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct channel;

#define BRIDGE_PORT       0x3E8 /* COM3 */
#define BRIDGE_OUT        65536u
#define BRIDGE_IN         16384u
#define BRIDGE_FRAME_HEAD 4u

struct bridge {
    bool there;
    struct channel *channel; /* the open pipe; NULL: none */
    uint8_t out[BRIDGE_OUT]; /* to the UART, a ring */
    uint32_t out_first, out_size;
    uint8_t in[BRIDGE_IN + BRIDGE_FRAME_HEAD];
    uint32_t in_size;
    uint32_t dropped; /* bytes that came in while no pipe was open */
};

void bridge_start(struct host *host);
void bridge_work(struct host *host);

/* Whether a packet of the largest size fits. */
bool bridge_ready(const struct host *host);
void bridge_take(struct host *host, const uint8_t *bytes, uint32_t size);

void bridge_opened(struct host *host, struct channel *channel);
void bridge_closed(struct host *host, struct channel *channel);

#endif
