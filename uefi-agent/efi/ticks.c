/* ticks.c - time: the clock's rate, and the timer interrupt that the line is looked at from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Which vector the firmware's timer has differs (local APIC, 8254, a hypervisor's timer), so it is
 * found: all interrupt vectors are hooked for a moment, and those that come keep their hook.
 */
#include "agent_state.h"
#include "vmbus_line.h"
#include "x64.h"

#define VECTOR_FIRST   32u
#define VECTORS        256u
#define CLOCK_STALL_US 10000u
#define PROBE_STALL_US 20000u
#define PROBE_ROUNDS   10u /* 0.2 s: firmware ticks come every 10 ms, rarely every 55 ms */
#define PROBE_ENOUGH   2u
#define POLL_100NS     100000u /* 10 ms */

static unsigned counts[VECTORS];
static bool probing;

void agent_measure_clock(void)
{
    uint64_t start = x64_ticks();

    agent.services->Stall(CLOCK_STALL_US);
    x64_set_clock((x64_ticks() - start) / (CLOCK_STALL_US / 1000));
}

bool agent_is_tick(unsigned vector)
{
    return vector >= VECTOR_FIRST && vector < VECTORS;
}

/* True while the vectors are only counted. */
bool agent_count_tick(unsigned vector)
{
    if (probing)
        counts[vector]++;
    return probing;
}

static bool came_often(void)
{
    for (unsigned vector = VECTOR_FIRST; vector < VECTORS; vector++) {
        if (counts[vector] >= PROBE_ENOUGH)
            return true;
    }
    return false;
}

static void EFIAPI poll_from_event(EFI_EVENT event, void *context)
{
    (void)event;
    (void)context;
    agent_poll_here();
}

/* Where no vector is known (an interrupt controller that does not use the table's gates) a timer
 * event must do; a break-in then shows that event and not what it interrupted. */
static void poll_by_event(void)
{
    if (EFI_ERROR(agent.services->CreateEvent(EVT_TIMER | EVT_NOTIFY_SIGNAL, TPL_NOTIFY,
                                              poll_from_event, NULL, &agent.poll_event)))
        return;
    agent.services->SetTimer(agent.poll_event, TimerPeriodic, POLL_100NS);
}

void agent_find_ticks(void)
{
    probing = true;
    for (unsigned vector = VECTOR_FIRST; vector < VECTORS; vector++)
        x64_hook(vector);
    for (unsigned i = 0; i < PROBE_ROUNDS && !came_often(); i++)
        agent.services->Stall(PROBE_STALL_US);
    probing = false;
    for (unsigned vector = VECTOR_FIRST; vector < VECTORS; vector++) {
        if (counts[vector] >= PROBE_ENOUGH)
            agent.tick_count++;
        else if (!agent_vmbus_owns(vector))
            x64_unhook(vector);
    }
    if (agent.tick_count == 0)
        poll_by_event();
}

void agent_forget_ticks(void)
{
    if (agent.poll_event)
        agent.services->CloseEvent(agent.poll_event);
    agent.poll_event = NULL;
}
