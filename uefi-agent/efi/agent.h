/* agent.h - the one agent: the engine, the processor, the line and the firmware joined together.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_AGENT_H
#define KDA_AGENT_H

#include "efi.h"

#include "engine.h"

/* For everybody but the processor's exceptions this is the only way into the engine: function runs
 * with interrupts off on the engine's own stack, and the caller's registers at this call are the
 * interrupted program's, so that stops and load events made inside show the caller (one step out).
 * False: the engine is at work already (the caller was called by it), or the agent has left; then
 * nothing was called. Any TPL. */
typedef void (*kda_agent_function)(struct kda_engine *engine, void *argument);
bool kda_agent_call(kda_agent_function function, void *argument);

/* Inside such a function: where its caller goes on. */
uint64_t kda_agent_caller(void);

#endif
