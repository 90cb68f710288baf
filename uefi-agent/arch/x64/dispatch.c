/* dispatch.c - where an entry goes: to the fix-ups, to the engine, or on to the firmware.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "cpu.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_STACK_SIZE  32768u
#define X64_FAULTS_MAX  8u /* of the engine, until the agent gives up: a policy decision */
#define X64_VECTOR_DB   1u
#define X64_VECTOR_NMI  2u
#define X64_ENTRIES     2048u                /* bytes of x64_entries */
#define X64_VECTOR_TICK 32u                  /* the first vector that is not an exception */
#define X64_ERROR_CODES UINT32_C(0x60227D00) /* vectors 8, 10-14, 17, 21, 29, 30 */

struct x64_fixup {
    uint64_t instruction, resume;
};
extern const struct x64_fixup x64_fixups[], x64_fixups_end[];
extern const uint8_t x64_iretq[];
extern const uint8_t x64_entries[][8];

static struct {
    struct x64_handlers handlers;
    struct x64_frame *frame;  /* the interrupted program; NULL: depth 0 */
    struct x64_frame fault;   /* the last fault of the engine */
    enum x64_verdict verdict; /* of the event that was handled last */
    uint64_t entered_dr[4], entered_dr6, entered_dr7;
    unsigned faults;
    bool active;
    volatile bool nmi; /* one came while the engine worked */
    uint32_t processor;
    _Alignas(16) uint8_t stack[X64_STACK_SIZE];
} x64;

static void *stack_top(void)
{
    return x64.stack + sizeof x64.stack;
}

struct x64_frame *x64_current(void)
{
    return x64.frame;
}

bool x64_take_nmi(void)
{
    bool came = x64.nmi;

    x64.nmi = false;
    return came;
}

static uint32_t this_processor(void)
{
    struct x64_cpuid highest = x64_cpuid(0);
    struct x64_cpuid extended = {0, 0, 0, 0};

    if (highest.a >= 0xB)
        extended = x64_cpuid(0xB);
    return extended.b != 0 ? extended.d : x64_cpuid(1).b >> 24;
}

uint64_t x64_legal_dr7(uint64_t value)
{
    return (value & UINT64_C(0xFFFF03FF) & ~X64_DR7_GD) | X64_DR7_RESET;
}

void x64_start(const struct x64_handlers *handlers, void *tss_page)
{
    x64.handlers = *handlers;
    x64.processor = this_processor();
    x64.active = true;
    x64_hook_exceptions(tss_page);
}

void x64_stop(void)
{
    x64_unhook_all();
    x64.active = false;
}

static bool fix_up(struct x64_frame *frame)
{
    for (const struct x64_fixup *fixup = x64_fixups; fixup < x64_fixups_end; fixup++) {
        if (frame->rip == fixup->instruction) {
            frame->rip = fixup->resume;
            return true;
        }
    }
    return false;
}

static unsigned chain(struct x64_frame *frame)
{
    unsigned vector = (unsigned)frame->vector;
    uint64_t previous = x64_previous(vector);

    if (!previous)
        return X64_EXIT_IRET;
    if (vector < 32 && X64_ERROR_CODES >> vector & 1) {
        frame->vector = previous;
        return X64_EXIT_CHAIN_ERROR;
    }
    frame->error = previous;
    return X64_EXIT_CHAIN;
}

static void run_event(void *argument)
{
    struct x64_frame *frame = argument;

    if (frame->vector == X64_CALL) {
        void (*function)(void *) = (void (*)(void *))(uintptr_t)frame->rcx;

        x64.verdict = X64_RESUME;
        function((void *)(uintptr_t)frame->rdx);
    } else {
        x64.verdict = x64.handlers.event(x64.handlers.self, frame);
    }
}

static void run_fault(void *argument)
{
    bool *go_on = argument;

    *go_on = x64.handlers.engine_fault(x64.handlers.self, &x64.fault);
}

/* The event, and after a fault of the engine the handler of that and the event once more. The
 * result: whether the event has been dealt with. A call is not repeated: half of its effects may be
 * there. */
static bool run(struct x64_frame *frame)
{
    while (x64.faults < X64_FAULTS_MAX) {
        bool go_on = false;

        if (x64_on_stack(run_event, frame, stack_top()))
            return true;
        x64.faults++;
        if (!x64_on_stack(run_fault, &go_on, stack_top()) || !go_on)
            break;
        if (frame->vector == X64_CALL)
            return false;
    }
    /* Nobody is there any more who would take what these report. */
    frame->dr7 = X64_DR7_RESET;
    frame->rflags &= ~X64_RFLAGS_TF;
    x64_stop();
    x64.verdict = frame->vector == X64_CALL ? X64_RESUME : X64_CHAIN;
    return false;
}

static bool stops_at(const struct x64_frame *frame, unsigned index)
{
    bool enabled = (frame->dr7 >> (2 * index) & 3) != 0;
    bool execute = (frame->dr7 >> (16 + 4 * index) & 3) == 0;

    return enabled && execute && frame->dr[index] == frame->rip;
}

/* Debug registers cost a virtual machine much, so they are written only when that changes them.
 * entry.S does not load them, since nested faults must leave them off. */
static void enter_debug_registers(const struct x64_frame *frame)
{
    for (unsigned i = 0; i < 4; i++)
        x64.entered_dr[i] = frame->dr[i];
    x64.entered_dr6 = frame->dr6;
    x64.entered_dr7 = frame->dr7;
    if (frame->dr7 != X64_DR7_RESET)
        x64_write_dr7(X64_DR7_RESET);
}

static void leave_debug_registers(struct x64_frame *frame)
{
    if (frame->dr[0] != x64.entered_dr[0])
        x64_write_dr0(frame->dr[0]);
    if (frame->dr[1] != x64.entered_dr[1])
        x64_write_dr1(frame->dr[1]);
    if (frame->dr[2] != x64.entered_dr[2])
        x64_write_dr2(frame->dr[2]);
    if (frame->dr[3] != x64.entered_dr[3])
        x64_write_dr3(frame->dr[3]);
    if (frame->dr6 != x64.entered_dr6)
        x64_write_dr6(frame->dr6 & UINT64_C(0xFFFFFFFF));
    if (frame->dr7 != x64.entered_dr7 || frame->dr7 != X64_DR7_RESET)
        x64_write_dr7(x64_legal_dr7(frame->dr7));
    /* Without RF an execute breakpoint would stop where it stopped just now. */
    frame->rflags &= ~X64_RFLAGS_RF;
    for (unsigned i = 0; i < 4; i++) {
        if (stops_at(frame, i))
            frame->rflags |= X64_RFLAGS_RF;
    }
}

/* A fault while the engine works, not foreseen by the fix-ups. */
static unsigned nested(struct x64_frame *frame)
{
    if (frame->vector == X64_CALL) {
        frame->rax = false;
        return X64_EXIT_IRET;
    }
    if (frame->vector == X64_VECTOR_NMI) {
        x64.nmi = true;
        return X64_EXIT_IRET;
    }
    if (frame->vector == X64_VECTOR_DB) {
        /* A trap that was pending when the engine was entered, or a step into x64_call. */
        frame->rflags = (frame->rflags & ~X64_RFLAGS_TF) | X64_RFLAGS_RF;
        x64_write_dr6(X64_DR6_RESET);
        return X64_EXIT_IRET;
    }
    if (frame->vector >= X64_VECTOR_TICK)
        return x64.handlers.late_interrupt(x64.handlers.self, (unsigned)frame->vector)
                   ? X64_EXIT_IRET
                   : chain(frame);
    x64.fault = *frame;
    x64_abandon(stack_top());
}

/* iretq faulted: the place where the program was to go on cannot be. The fault becomes the
 * program's own, at that place, so that the debugger sees what it did and can do better. */
static void move_fault_to_target(struct x64_frame *frame)
{
    const uint64_t *target = (const uint64_t *)(uintptr_t)frame->rsp;
    uint64_t words[5];

    if (x64_safe_copy(words, target, sizeof words) != sizeof words)
        return;
    frame->rip = words[0];
    frame->cs = words[1];
    frame->rflags = words[2];
    frame->rsp = words[3];
    frame->ss = words[4];
}

/* Called by entry.S for every entry; the result is an X64_EXIT_. */
unsigned x64_dispatch(struct x64_frame *frame);
unsigned x64_dispatch(struct x64_frame *frame)
{
    bool done;

    if (frame->vector < X64_VECTOR_TICK && fix_up(frame))
        return X64_EXIT_IRET;
    /* A second trap of one instruction (QEMU's, for a step that also hits a watch) finds the first
     * one's entry at work, which reads Dr6 for both. */
    if (frame->vector == X64_VECTOR_DB &&
        frame->rip - (uint64_t)(uintptr_t)x64_entries < X64_ENTRIES)
        return X64_EXIT_IRET;
    if (this_processor() != x64.processor)
        return frame->vector == X64_CALL ? (frame->rax = false, X64_EXIT_IRET) : chain(frame);
    if (x64.frame)
        return nested(frame);
    if (!x64.active) {
        frame->rax = frame->vector == X64_CALL ? false : frame->rax;
        return frame->vector == X64_CALL ? X64_EXIT_IRET : chain(frame);
    }
    if (frame->rip == (uint64_t)(uintptr_t)x64_iretq)
        move_fault_to_target(frame);

    x64.frame = frame;
    enter_debug_registers(frame);
    done = run(frame);
    leave_debug_registers(frame);
    x64.frame = NULL;
    if (frame->vector == X64_CALL)
        frame->rax = done;
    return x64.verdict == X64_CHAIN ? chain(frame) : X64_EXIT_IRET;
}
