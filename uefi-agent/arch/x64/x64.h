/* x64.h - the x86-64 processor, as the agent uses it: exceptions in, registers and memory out.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * One processor. Exceptions of others (firmware that runs work on application processors) go to the
 * handlers that were there before, untouched.
 *
 * Depth
 *   program   depth 0. An exception, an NMI, a tick or x64_call enters the engine.
 *   engine    depth 1. Hardware breakpoints are off, the stack is ours. A fault here goes to the
 *             fix-up table (safe.S); a stray debug trap is dropped, an NMI noted; any other fault
 *             is a defect of the engine: its work is abandoned and x64_handlers.engine_fault
 *             called.
 * When that faults as well, or too often, the hooks are taken out and the machine is the firmware's
 * again. So no fault can repeat without end.
 */
#ifndef KDA_X64_H
#define KDA_X64_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"

#include "frame.h"

enum x64_verdict {
    X64_RESUME, /* go on as the frame says */
    X64_CHAIN,  /* the handler that was there before has its turn */
};

struct x64_handlers {
    /* An exception, interrupt or NMI of the program. */
    enum x64_verdict (*event)(void *self, struct x64_frame *frame);
    /* The engine faulted at frame; called on a fresh stack. False: give up, take the hooks out. */
    bool (*engine_fault)(void *self, const struct x64_frame *frame);
    /* An interrupt while the engine works (it called the firmware). True: it is dealt with. */
    bool (*late_interrupt)(void *self, unsigned vector);
    void *self;
};

/* One range of the physical address space that something answers at; see x64_set_ranges. */
struct x64_range {
    uint64_t base, end;
    bool device; /* registers: only aligned accesses of 4 bytes, where alignment allows */
};
#define X64_RANGES_MAX 128u

/* Hooks the exceptions. tss: a page that is never freed, for a task state segment and the copy of
 * the GDT it needs (the processor keeps pointing at it, since a task register cannot be emptied).
 */
void x64_start(const struct x64_handlers *handlers, void *tss_page);
/* Gates that still are ours get their old contents back. */
void x64_stop(void);

/* Hooks one more vector, with the same event handler. False: no present gate there. */
bool x64_hook(unsigned vector);
void x64_unhook(unsigned vector);

/* Calls function(argument) as the engine, with the caller's registers in the frame. */
bool x64_call(void (*function)(void *argument), void *argument);

/* The program's registers while the engine works, else NULL. */
struct x64_frame *x64_current(void);

/* Whether an NMI came while the engine worked; the note is gone then. */
bool x64_take_nmi(void);

/* What of the physical address space exists; ranges in rising order. None: everything. */
void x64_set_ranges(const struct x64_range *ranges, size_t count);

/* Where PCI configuration space lies in memory, all 4096 bytes of each function: base is bus 0's.
 */
void x64_set_pci(uint64_t base, unsigned first_bus, unsigned last_bus);

/* Ticks of the time stamp counter per millisecond, for kda_target_ops.now. */
void x64_set_clock(uint64_t ticks_per_ms);
uint64_t x64_ticks(void);
uint64_t x64_now(void *self);

/* The machine as the engine sees it. */
extern const struct kda_target_ops x64_target_ops;

/* The KD form of an exception; address in the frame is corrected to the instruction for #BP. */
struct kda_exception;
void x64_describe(struct x64_frame *frame, struct kda_exception *out);

#endif
