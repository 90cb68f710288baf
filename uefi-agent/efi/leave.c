/* leave.c - how the agent goes: unloaded, or because the operating system takes the machine over.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "agent_state.h"
#include "trace_file.h"
#include "vmbus_line.h"
#include "x64.h"

static void do_leave(struct kda_engine *engine, void *argument)
{
    struct x64_frame *frame = x64_current();

    (void)argument;
    kda_leave(engine);
    /* No breakpoint outlives the agent that reports it. */
    frame->dr7 = 0x400;
    frame->dr6 = UINT64_C(0xFFFF0FF0);
}

/* The engine's part; calls no boot services. */
static void leave(void)
{
    kda_agent_call(do_leave, NULL);
    agent.running = false;
    agent_vmbus_leave();
    x64_stop();
}

static void EFIAPI on_exit_boot_services(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    if (!agent.running)
        return;
    agent_vmbus_check();
    kda_protocol_close(&agent.protocol);
    leave();
}

EFI_STATUS agent_watch_exit(void)
{
    return agent.services->CreateEvent(EVT_SIGNAL_EXIT_BOOT_SERVICES, TPL_NOTIFY,
                                       on_exit_boot_services, NULL, &agent.exit_event);
}

void agent_leave(void)
{
    if (agent.running)
        leave();
    if (agent.exit_event)
        agent.services->CloseEvent(agent.exit_event);
    agent_modules_stop();
    agent_forget_key();
    agent_forget_ticks();
    agent_line_close();
    agent_vmbus_free();
    agent_trace_save();
    agent_trace_free();
    agent_console_give_back();
}
