/* trace_file.h - the VMBus trace: its memory, and the file that it becomes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_TRACE_FILE_H
#define KDA_TRACE_FILE_H

#include "trace.h"

/* A debugger finds the capture by these names, the agent's line may be whatever it is. */
extern uint8_t *KdAgentTrace;
extern uint64_t KdAgentTraceSize;

/* Allocates what the settings ask for, and begins. */
void agent_trace_begin(struct kda_trace *trace, const struct kda_vmbus *bus);

/* Writes \kdagent-vmbus.pcapng on the volume the agent came from, if there is a trace; at task
 * level. */
void agent_trace_save(void);
void agent_trace_free(void);

#endif
