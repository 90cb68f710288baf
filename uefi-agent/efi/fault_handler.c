/* fault_handler.c - a program's own handler gets a fault: outside the engine, on a stack of its
 * own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The interrupted program is made to go on in run_handler, and from there, by a call into the
 * engine, where the handler wants. What it does not handle happens again: the instruction is run
 * once more, and then the fault is the debugger's.
 *
 * Where the debugger comes first, a fault at the place that it has just seen is either the same
 * one, which the handler looked into and left, or a new one. The handler is asked: what it leaves
 * is the same, what it takes is new, and then the debugger sees it before the handler really gets
 * it.
 */
#include "agent_state.h"
#include "cpu.h"
#include "x64.h"

#define STACK_SIZE 32768u
#define RFLAGS_DF  UINT64_C(0x400)
/* #DE, #OF, #BR, #UD, #NM, #NP, #SS, #GP, #PF, #MF, #AC, #XM: what a program can go on from. */
#define VECTORS UINT32_C(0x000B78F1)

/* A fault that must come once more. */
struct mark {
    bool set;
    uint64_t rip, rsp;
};

static struct {
    bool busy; /* the handler runs; a fault of its own is the debugger's */
    struct kda_fault_handler handler;
    KDAGENT_FAULT fault;
    EFI_STATUS status;
    bool probe;         /* only asked, of a fault that the debugger may have seen or not */
    struct mark passed; /* the handler did not take it */
    struct mark shown;  /* the debugger had its first chance */
    _Alignas(16) struct kd_context_amd64 registers;
    struct kd_context_amd64 before;
    _Alignas(16) uint8_t stack[STACK_SIZE];
} own;

/* Once for each time. */
static bool take_mark(struct mark *mark, const struct x64_frame *frame)
{
    bool same = mark->set && mark->rip == frame->rip && mark->rsp == frame->rsp;

    mark->set = false;
    return same;
}

static void finish(struct kda_engine *engine, void *argument)
{
    struct x64_frame *frame = x64_current();

    (void)engine;
    (void)argument;
    own.busy = false;
    if (EFI_ERROR(own.status) || own.probe)
        own.registers = own.before;
    own.registers.context_flags = own.before.context_flags;
    agent.machine.ops->set_context(agent.machine.self, &own.registers);
    own.passed = (struct mark){EFI_ERROR(own.status), frame->rip, frame->rsp};
    frame->vector = 0; /* no call that returns: rax is the program's */
}

static void run_handler(void)
{
    own.status = own.handler.run(own.handler.context, &own.fault);
    kda_agent_call(finish, NULL);
    __builtin_trap();
}

bool agent_fault_is_open(const struct x64_frame *frame)
{
    return !own.busy && frame->vector < 32 && VECTORS >> frame->vector & 1;
}

bool agent_handler_runs(void)
{
    return own.busy;
}

void agent_fault_is_over(void)
{
    own.passed.set = false;
    own.shown.set = false;
}

static bool is_for_handler(const struct x64_frame *frame, bool after_debugger)
{
    bool shown = take_mark(&own.shown, frame);

    if (!agent_fault_is_open(frame))
        return false;
    switch (agent.protocol.policy) {
    case KDAGENT_HANDLER_FIRST:
        return !after_debugger;
    case KDAGENT_DEBUGGER_FIRST:
        return after_debugger || shown;
    default:
        return false;
    }
}

bool agent_offer_fault(struct x64_frame *frame, bool after_debugger)
{
    const struct kda_fault_handler *handler =
        kda_protocol_fault_handler(&agent.protocol, frame->rip);

    if (!handler || !is_for_handler(frame, after_debugger))
        return false;
    own.busy = true;
    own.handler = *handler;
    own.probe = !after_debugger && agent.protocol.policy == KDAGENT_DEBUGGER_FIRST;
    own.shown = (struct mark){after_debugger, frame->rip, frame->rsp};
    agent.machine.ops->get_context(agent.machine.self, &own.registers);
    own.before = own.registers;
    own.fault = (KDAGENT_FAULT){.Vector = frame->vector,
                                .ErrorCode = frame->error,
                                .Address = frame->cr2,
                                .Registers = &own.registers};
    frame->rip = (uint64_t)(uintptr_t)run_handler;
    frame->rsp = (uint64_t)(uintptr_t)(own.stack + STACK_SIZE - 40); /* as after a call */
    frame->rflags &= ~(X64_RFLAGS_IF | X64_RFLAGS_TF | RFLAGS_DF);
    return true;
}

bool agent_fault_was_passed(const struct x64_frame *frame)
{
    return take_mark(&own.passed, frame);
}
