/* main.c - entry of kdagent.efi: a boot service driver that stays and debugs the firmware.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The order matters: the clock before the line (its waits are timed), the line before the console
 * is taken off it for good (a missing UART leaves everything as it was), the hooks before the
 * first packet (whatever the debugger asks may fault).
 */
#include "agent_state.h"
#include "config_file.h"
#include "publish.h"
#include "trace_file.h"
#include "vmbus_line.h"
#include "x64.h"

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

#define PAGE_SIZE    4096u
#define MICROSECONDS 1000000u
#define MILLISECONDS 1000u

static void configure(void)
{
    const struct kda_options *options = &agent.options;
    uint32_t wait = options->wait_s;

    agent.config.major = options->major;
    agent.config.minor = options->minor;
    /* For the engine 0 is for ever, for a user it is not at all. */
    if (wait == KDA_WAIT_FOREVER)
        agent.config.wait_us = 0;
    else if (wait == 0)
        agent.config.wait_us = 1;
    else
        agent.config.wait_us = wait > UINT32_MAX / MICROSECONDS ? UINT32_MAX : wait * MICROSECONDS;
    agent.config.message_us = options->message_ms > UINT32_MAX / MILLISECONDS
                                  ? UINT32_MAX
                                  : options->message_ms * MILLISECONDS;
    agent.config.kern_base = (uint64_t)(uintptr_t)agent.loaded->ImageBase;
    agent.config.max_read = options->max_read;
}

/* tss: a page that stays when the agent goes; see x64_start. */
static EFI_STATUS allocate(void **tss)
{
    UINTN pages = (kda_size() + PAGE_SIZE - 1) / PAGE_SIZE;
    uint64_t memory;
    EFI_STATUS status =
        agent.services->AllocatePages(AllocateAnyPages, EfiBootServicesData, pages, &memory);

    if (EFI_ERROR(status))
        return status;
    agent.engine_memory = (void *)(uintptr_t)memory;
    *tss = NULL;
    if (!EFI_ERROR(
            agent.services->AllocatePages(AllocateAnyPages, EfiBootServicesData, 1, &memory))) {
        *tss = (void *)(uintptr_t)memory;
        __builtin_memset(*tss, 0, PAGE_SIZE);
    }
    return EFI_SUCCESS;
}

static void release(void)
{
    agent.services->FreePages((uint64_t)(uintptr_t)agent.engine_memory,
                              (kda_size() + PAGE_SIZE - 1) / PAGE_SIZE);
    agent.engine_memory = NULL;
}

static EFI_STATUS EFIAPI unload(EFI_HANDLE image)
{
    (void)image;
    kda_withdraw(agent.services, &agent.protocol, agent.protocol_handle);
    agent_leave();
    release();
    return EFI_SUCCESS;
}

/* The hooks come first: the hypervisor may refuse what is asked of it with a fault. */
static bool open_vmbus(void *tss)
{
    if (!agent_vmbus_wanted())
        return false;
    agent_hook(tss);
    if (agent_vmbus_open())
        return true;
    x64_stop();
    return false;
}

static EFI_STATUS open_line(void *tss)
{
    enum uart_state state;

    agent_measure_clock();
    if (open_vmbus(tss))
        return EFI_SUCCESS;
    if (agent.options.transport == KDA_TRANSPORT_VMBUS)
        return EFI_DEVICE_ERROR;
    agent_console_take();
    state = agent_line_open();
    if (state == UART_OK)
        return EFI_SUCCESS;
    agent_console_give_back();
    agent_say("kdagent: not started, no line to a debugger:");
    agent_say(uart_state_text(state));
    return EFI_DEVICE_ERROR;
}

static void start_engine(void)
{
    struct kda_protocol_ports ports = {.call = kda_agent_call,
                                       .caller = kda_agent_caller,
                                       .handlers = &agent.handlers,
                                       .known = agent_modules_has,
                                       .backtrace = agent_backtrace,
                                       .guard = agent_guard};

    agent.machine.ops = &x64_target_ops;
    ports.machine = agent.machine;
    kda_handlers_init(&agent.handlers, &agent.machine, KdAgentCommand, KdAgentAnswer);
    agent_start_engine();
    kda_protocol_init(&agent.protocol, &ports);
}

static void run(void *tss)
{
    start_engine();
    agent_read_ranges();
    agent_hook(tss);
    agent_find_pci();
    agent_find_ticks();
    agent_modules_list();
    agent_line_drain();
    agent.breaks_soon = agent.options.break_at_start;
    agent.running = true;
    agent_modules_start();
    kda_publish(agent.services, &agent.protocol, &agent.protocol_handle);
    agent_watch_exit();
    agent_watch_key();
    if (agent.breaks_soon)
        agent_break_here();
    agent.breaks_soon = false;
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    EFI_STATUS status;
    void *tss;

    agent.image = image;
    agent.system = system;
    agent.services = system->BootServices;
    status = agent.services->HandleProtocol(image, &loaded_image_guid, (void **)&loaded);
    if (EFI_ERROR(status))
        return status;
    agent.loaded = loaded;
    if (!kda_config_read(agent.services, image, &agent.options))
        agent_say(agent.options.error);
    configure();
    status = allocate(&tss);
    if (EFI_ERROR(status))
        return status;
    status = open_line(tss);
    if (EFI_ERROR(status)) {
        release();
        /* The task register points into it once it has been used. */
        if (tss && !agent.hooked)
            agent.services->FreePages((uint64_t)(uintptr_t)tss, 1);
        return status;
    }
    loaded->Unload = unload;
    run(tss);
    agent_start_next();
    agent_trace_save();
    return EFI_SUCCESS;
}
