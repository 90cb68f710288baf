/* trace_file.c - the VMBus trace: its memory, and the file that it becomes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "trace_file.h"

#include "agent_state.h"
#include "config_file.h"

#define KIB       1024u
#define PAGE_SIZE 4096u

uint8_t *KdAgentTrace;
uint64_t KdAgentTraceSize;

static struct kda_trace *current;

static UINTN pages(void)
{
    return (agent.options.trace_kib * KIB + PAGE_SIZE - 1) / PAGE_SIZE;
}

void agent_trace_begin(struct kda_trace *trace, const struct kda_vmbus *bus)
{
    uint64_t memory;

    if (pages() == 0 || EFI_ERROR(agent.services->AllocatePages(
                            AllocateAnyPages, EfiBootServicesData, pages(), &memory)))
        return;
    KdAgentTrace = (uint8_t *)(uintptr_t)memory;
    current = trace;
    kda_trace_begin(trace, KdAgentTrace, (size_t)pages() * PAGE_SIZE, &KdAgentTraceSize, bus);
}

void agent_trace_save(void)
{
    static const CHAR16 name[] = u"\\kdagent-vmbus.pcapng";

    if (KdAgentTrace && !kda_file_write(agent.services, agent.loaded->DeviceHandle, name,
                                        KdAgentTrace, KdAgentTraceSize))
        agent_say("kdagent: \\kdagent-vmbus.pcapng cannot be written");
}

void agent_trace_free(void)
{
    if (KdAgentTrace)
        agent.services->FreePages((uint64_t)(uintptr_t)KdAgentTrace, pages());
    if (current)
        current->bytes = NULL;
    KdAgentTrace = NULL;
    KdAgentTraceSize = 0;
}
