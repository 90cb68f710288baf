/* guard.c - guarded calls: a fault ends a function, and not the program that called it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A guard lies on the stack of the program while its call lasts. Firmware has one thread, so
 * whatever faults meanwhile is the innermost guard's. One that a program jumped over is no longer
 * what its mark says, mostly, and then nobody's.
 */
#include "agent_state.h"
#include "cpu.h"
#include "x64.h"

#define MARK     UINT64_C(0x6472617567646B5A)
#define FLAGS_DF UINT64_C(0x400)

struct guard {
    uint64_t mark; /* with its own address in it */
    struct guard *outer;
    uint64_t stack, flags;
    KDAGENT_FAULT fault;
    struct kd_context_amd64 registers;
};

/* guard.S */
bool x64_guard(KDAGENT_FUNCTION function, void *argument, uint64_t *stack);
extern const uint8_t x64_guard_ended[];

static struct guard *volatile innermost;

static uint64_t mark_of(const struct guard *guard)
{
    return MARK ^ (uint64_t)(uintptr_t)guard;
}

/* Functions have their turn in the order from inner to outer: the program's handler, the guard. */
static bool is_for_guard(const struct x64_frame *frame, bool had_chance)
{
    if (!innermost || innermost->mark != mark_of(innermost) || !agent_fault_is_open(frame))
        return false;
    switch (agent.protocol.policy) {
    case KDAGENT_HANDLER_FIRST:
        return true;
    case KDAGENT_DEBUGGER_FIRST:
        return had_chance;
    default:
        return false;
    }
}

bool agent_end_guarded(struct x64_frame *frame, bool had_chance)
{
    struct guard *guard = innermost;

    if (!is_for_guard(frame, had_chance))
        return false;
    guard->fault =
        (KDAGENT_FAULT){.Vector = frame->vector, .ErrorCode = frame->error, .Address = frame->cr2};
    agent.machine.ops->get_context(agent.machine.self, &guard->registers);
    frame->rip = (uint64_t)(uintptr_t)x64_guard_ended;
    frame->rsp = guard->stack;
    frame->rflags = guard->flags & ~(X64_RFLAGS_TF | FLAGS_DF);
    agent_fault_is_over();
    return true;
}

static EFI_TPL current_tpl(void)
{
    EFI_TPL tpl = agent.services->RaiseTPL(TPL_HIGH_LEVEL);

    agent.services->RestoreTPL(tpl);
    return tpl;
}

/* The function may have raised it. */
static void restore_tpl(EFI_TPL tpl)
{
    agent.services->RaiseTPL(TPL_HIGH_LEVEL);
    agent.services->RestoreTPL(tpl);
}

/* In the caller's time: a fault at a wild pointer is its own. */
static void hand_over(const struct guard *guard, KDAGENT_FAULT *fault)
{
    void *registers;

    if (!fault)
        return;
    registers = fault->Registers;
    if (registers)
        __builtin_memcpy(registers, &guard->registers, sizeof guard->registers);
    *fault = guard->fault;
    fault->Registers = registers;
}

EFI_STATUS agent_guard(KDAGENT_FUNCTION function, void *argument, KDAGENT_FAULT *fault)
{
    struct guard guard = {.outer = innermost};
    bool returned;
    EFI_TPL tpl;

    if (!agent.running || x64_current() || agent_handler_runs())
        return EFI_NOT_READY;
    guard.flags = x64_interrupts_off();
    x64_interrupts_restore(guard.flags);
    tpl = current_tpl();
    guard.mark = mark_of(&guard);
    innermost = &guard;
    returned = x64_guard(function, argument, &guard.stack);
    innermost = guard.outer;
    guard.mark = 0;
    if (returned)
        return EFI_SUCCESS;
    restore_tpl(tpl);
    if (!(guard.flags & X64_RFLAGS_IF))
        (void)x64_interrupts_off();
    hand_over(&guard, fault);
    return EFI_ABORTED;
}
