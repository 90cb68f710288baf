/* vmbus_line.c - the VMBus channel as the agent's line. See vmbus_line.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The pages that the host gets to know are reserved memory: should it not answer when the agent
 * leaves, an operating system must not find them among its own.
 */
#include "vmbus_line.h"

#include "agent_state.h"
#include "hyperv.h"
#include "trace_file.h"
#include "vmbus_pipe.h"
#include "x64.h"

#define PAGE_SIZE     4096u
#define MONITOR_PAGES 2u
#define RING_PAGES    (2 * KDA_VMBUS_RING_PAGES)
#define DATA_PAGES    (KDA_HYPERV_PAGES + MONITOR_PAGES + RING_PAGES)

static struct {
    struct kda_hyperv hyperv;
    struct kda_vmbus bus;
    struct vmbus_pipe pipe;
    struct kda_trace trace;
    uint8_t *code, *data; /* pages */
    bool open;
    char news[sizeof(((struct kda_vmbus *)0)->problem)];
} line;

static const struct kda_hyperv_gates gates = {x64_hook, x64_unhook};

static void say_problem(const char *what)
{
    agent_say("kdagent: no VMBus channel to a debugger:");
    agent_say(what);
}

static bool allocate_pages(EFI_MEMORY_TYPE type, UINTN pages, uint8_t **out)
{
    uint64_t memory;

    if (EFI_ERROR(agent.services->AllocatePages(AllocateAnyPages, type, pages, &memory)))
        return false;
    *out = (uint8_t *)(uintptr_t)memory;
    __builtin_memset(*out, 0, pages * PAGE_SIZE);
    return true;
}

static bool allocate(void)
{
    return allocate_pages(EfiBootServicesCode, 1, &line.code) &&
           allocate_pages(EfiReservedMemoryType, DATA_PAGES, &line.data);
}

void agent_vmbus_free(void)
{
    if (line.code)
        agent.services->FreePages((uint64_t)(uintptr_t)line.code, 1);
    if (line.data && !line.bus.memory_lost)
        agent.services->FreePages((uint64_t)(uintptr_t)line.data, DATA_PAGES);
    line.code = line.data = NULL;
}

bool agent_vmbus_wanted(void)
{
    if (agent.options.transport == KDA_TRANSPORT_UART)
        return false;
    if (kda_hyperv_present())
        return true;
    if (agent.options.transport == KDA_TRANSPORT_VMBUS)
        say_problem(kda_hyperv_text(KDA_HYPERV_NONE));
    return false;
}

static void init_bus(void)
{
    uint8_t *monitors = line.data + KDA_HYPERV_PAGES * PAGE_SIZE;
    uint8_t *rings = monitors + MONITOR_PAGES * PAGE_SIZE;
    struct kda_vmbus_config config = {.rings = rings,
                                      .rings_at = (uint64_t)(uintptr_t)rings,
                                      .monitor_at = (uint64_t)(uintptr_t)monitors};
    struct kda_vmbus_ports ports = kda_hyperv_ports;

    ports.self = &line.hyperv;
    __builtin_memcpy(config.interface, agent.options.interface, sizeof config.interface);
    kda_vmbus_init(&line.bus, &config, &ports);
    vmbus_pipe_init(&line.pipe, &line.bus, agent.options.framing);
    agent_trace_begin(&line.trace, &line.bus);
    if (line.trace.bytes) {
        line.bus.watch = kda_trace_watch(&line.trace);
        line.pipe.trace = &line.trace;
    }
}

/* Whether the line is one to work with: open, or to be waited for because nothing else will do. */
static bool connect(void)
{
    if (kda_vmbus_connect(&line.bus))
        return true;
    if (line.bus.state == KDA_VMBUS_ABSENT && agent.options.transport == KDA_TRANSPORT_VMBUS) {
        agent_say("kdagent: the host offers no VMBus channel to a debugger; waiting for it");
        return true;
    }
    say_problem(kda_vmbus_problem(&line.bus)[0] ? kda_vmbus_problem(&line.bus)
                                                : "the host offers none to this machine");
    return false;
}

bool agent_vmbus_open(void)
{
    struct kda_hyperv_memory memory;
    enum kda_hyperv_state state;

    if (!allocate()) {
        say_problem("out of memory");
        agent_vmbus_free();
        return false;
    }
    memory.code = line.code;
    memory.data = line.data;
    state = kda_hyperv_open(&line.hyperv, &memory, &gates, x64_now);
    if (state != KDA_HYPERV_OK) {
        say_problem(kda_hyperv_text(state));
        agent_vmbus_free();
        return false;
    }
    line.open = true;
    init_bus();
    if (!connect()) {
        agent_vmbus_leave();
        agent_trace_save();
        agent_vmbus_free();
        return false;
    }
    agent.transport.ops = &vmbus_pipe_ops;
    agent.transport.self = &line.pipe;
    return true;
}

bool agent_vmbus_owns(unsigned vector)
{
    return line.open && vector == line.hyperv.vector;
}

bool agent_vmbus_interrupt(unsigned vector)
{
    if (!agent_vmbus_owns(vector))
        return false;
    kda_hyperv_end_interrupt(&line.hyperv);
    return true;
}

void agent_vmbus_listen(bool listen)
{
    if (line.open)
        vmbus_pipe_listen(&line.pipe, listen);
}

const char *agent_vmbus_news(void)
{
    if (!line.open || line.bus.state != KDA_VMBUS_OPEN || !line.bus.problem[0])
        return NULL;
    __builtin_memcpy(line.news, line.bus.problem, sizeof line.news);
    line.bus.problem[0] = 0;
    return line.news;
}

void agent_vmbus_check(void)
{
    if (!line.open || line.bus.state == KDA_VMBUS_OFF || kda_hyperv_usable(&line.hyperv))
        return;
    line.bus.memory_lost = true;
    line.bus.state = KDA_VMBUS_OFF;
}

void agent_vmbus_leave(void)
{
    if (!line.open)
        return;
    kda_vmbus_leave(&line.bus);
    kda_hyperv_close(&line.hyperv);
    line.open = false;
}
