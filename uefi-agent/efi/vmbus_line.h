/* vmbus_line.h - the VMBus channel as the agent's line: memory, hypervisor, client and pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_VMBUS_LINE_H
#define KDA_VMBUS_LINE_H

#include <stdbool.h>

/* Opens the channel if the settings want it and the host has it; the hooks must be in place. False:
 * there is none, the console tells why, and all is as it was. True with transport = vmbus also
 * while the host offers no channel yet. */
bool agent_vmbus_open(void);

/* Whether the settings ask for VMBus, and there is a hypervisor to ask. */
bool agent_vmbus_wanted(void);

/* True: this vector is VMBus's own, and its interrupt is ended. */
bool agent_vmbus_interrupt(unsigned vector);
bool agent_vmbus_owns(unsigned vector);

/* Whether the host is to interrupt the program for what it sends. */
void agent_vmbus_listen(bool listen);

/* What went wrong on the way and did not end the session; once. NULL: nothing. */
const char *agent_vmbus_news(void);

/* Firmware may take its pages back when boot services end, before the agent hears of that: then
 * nothing can be called any more, and the line is dead. */
void agent_vmbus_check(void);

/* Closes and unloads; calls no boot services. */
void agent_vmbus_leave(void);
/* Gives the memory back after that. */
void agent_vmbus_free(void);

#endif
