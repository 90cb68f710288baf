/* control.h - commands while the machine runs, on the fourth UART.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A line each: "rescind", "offer", "socket", "tally", or options as in opt/hvhost
 * ("stall=2000:drop=1"). The log says what was done.
 */
#ifndef HVHOST_CONTROL_H
#define HVHOST_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct host;

#define CONTROL_PORT 0x2E8 /* COM4 */
#define CONTROL_LINE 120u

struct control {
    bool there;
    char line[CONTROL_LINE];
    uint32_t size;
    uint64_t time; /* of the last look */
};

void control_start(struct host *host);
void control_work(struct host *host);

#endif
