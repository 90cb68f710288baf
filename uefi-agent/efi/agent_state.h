/* agent_state.h - what the files of efi/ that make up the agent share.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Start-up and unloading run at task level with boot services. Everything below agent_event runs
 * in exceptions and interrupts: no boot services, no allocation.
 */
#ifndef KDA_AGENT_STATE_H
#define KDA_AGENT_STATE_H

#include "efi.h"

#include "agent.h"
#include "engine.h"
#include "handlers.h"
#include "options.h"
#include "pci_serial.h"
#include "protocol.h"
#include "uart16550.h"

#define AGENT_TICKS_MAX   16u
#define AGENT_CONSOLE_MAX 8u

/* The firmware's consoles that were taken off our UART. */
struct agent_console {
    EFI_HANDLE handles[AGENT_CONSOLE_MAX];
    size_t count;
};

struct agent_line {
    struct uart uart;
    struct pci_serial pci;
    bool on_pci, open;
    uint64_t base;
};

/* A key that stops the program; pressed is set by an event and taken by a tick. */
struct agent_key {
    EFI_SIMPLE_TEXT_INPUT_EX_PROTOCOL *input; /* NULL: none is watched */
    void *registration;
    volatile bool pressed;
};

/* One image as the loader list of the engine has it. */
struct agent_module {
    uint64_t base;
    uint32_t size;  /* in memory */
    char path[104]; /* UTF-8; cut at the front when it is longer */
};

struct agent {
    EFI_HANDLE image;
    EFI_BOOT_SERVICES *services;
    EFI_SYSTEM_TABLE *system;
    const EFI_LOADED_IMAGE_PROTOCOL *loaded;
    struct kda_options options;

    struct agent_line line;
    struct agent_console console;
    struct agent_key key;

    struct kda_config config;
    struct kda_target machine; /* the processor */
    struct kda_transport transport;
    struct kda_handlers handlers;
    struct kda_engine *engine;
    void *engine_memory;
    struct kda_protocol protocol;
    EFI_HANDLE protocol_handle;

    unsigned ticks[AGENT_TICKS_MAX]; /* vectors of the timer */
    size_t tick_count;
    EFI_EVENT poll_event; /* where no vector was found */

    const EFI_DEBUG_IMAGE_INFO_TABLE_HEADER *images;
    struct agent_module modules[KDA_MAX_IMAGES];
    size_t module_count;
    EFI_EVENT image_event;
    void *image_registration;
    EFI_EVENT exit_event;
    bool hooked;  /* were the processor's gates at some time */
    bool faulted; /* the engine began anew, and its debugger has yet to see a stop */
    bool running;
    bool breaks_soon; /* the stop at the start is at hand: a break-in needs none of its own */
};

extern struct agent agent;

/* agent.c */
/* Prints a call stack; agent_tell_stack_of's answer. */
bool agent_backtrace(const void *context);
bool agent_start_engine(void);
/* Once more is nothing. */
void agent_hook(void *tss_page);
/* Stops the caller, as a break-in does. */
void agent_break_here(void);
/* Looks at the line once; a break-in stops the caller. */
void agent_poll_here(void);

/* line.c */
enum uart_state agent_line_open(void);
void agent_line_drain(void);
void agent_line_close(void);

/* console.c */
void agent_console_take(void);
void agent_console_give_back(void);
void agent_say(const char *text);

/* hotkey.c */
void agent_watch_key(void);
void agent_forget_key(void);
/* Once for each time. */
bool agent_key_pressed(void);

/* ticks.c */
void agent_measure_clock(void);
void agent_find_ticks(void);
void agent_forget_ticks(void);
bool agent_is_tick(unsigned vector);
/* True while the timer's vector is being looked for: the interrupt was one to count only. */
bool agent_count_tick(unsigned vector);

/* modules.c */
void agent_modules_list(void);
void agent_modules_start(void); /* announces the agent, too */
void agent_modules_stop(void);
void agent_modules_sync(void);
void agent_modules_refill(void);
bool agent_modules_has(uint64_t base);

/* stack.c: the interrupted program's call stack, line by line, until say returns false. It may
 * change the line, which ends with a line end and NUL; size is without the NUL. */
struct x64_frame;
typedef bool (*agent_line_out)(char *line, size_t size);
void agent_tell_stack(const struct x64_frame *frame, agent_line_out say);
/* context: a CONTEXT of the program, or NULL: whoever entered the engine. False: it cannot be read.
 */
bool agent_tell_stack_of(const void *context, agent_line_out say);

/* fault_handler.c: true when the program now goes on in its own handler. after_debugger: who had
 * the first chance. */
bool agent_offer_fault(struct x64_frame *frame, bool after_debugger);
/* Whether this fault is one that the program's handler has just not handled. */
bool agent_fault_was_passed(const struct x64_frame *frame);
/* Whether a program can go on from it, and is not in its handler. */
bool agent_fault_is_open(const struct x64_frame *frame);
bool agent_handler_runs(void);
/* The next one is another, wherever it comes from. */
void agent_fault_is_over(void);

/* guard.c: Guard's work. agent_end_guarded: true when the program now goes on behind the innermost
 * guarded call. had_chance: the debugger has seen the fault. */
EFI_STATUS agent_guard(KDAGENT_FUNCTION function, void *argument, KDAGENT_FAULT *fault);
bool agent_end_guarded(struct x64_frame *frame, bool had_chance);

/* names.c: what an image is called. services: whether boot services may be asked, too. */
void agent_name_image(const EFI_LOADED_IMAGE_PROTOCOL *image, bool services,
                      struct agent_module *out);

/* ranges.c */
void agent_read_ranges(void);
void agent_find_pci(void);
void *agent_configuration_table(const EFI_GUID *guid);

/* leave.c */
EFI_STATUS agent_watch_exit(void);
void agent_leave(void);

/* next.c: starts the boot loader that the agent stands before. */
void agent_start_next(void);

#endif
