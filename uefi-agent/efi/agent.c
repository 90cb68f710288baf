/* agent.c - the one agent: what the processor reports goes to the engine, and back.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "agent_state.h"
#include "cpu.h"
#include "kd/protocol.h"
#include "x64.h"

struct agent agent;

#define VECTOR_DB  1u
#define VECTOR_NMI 2u

static struct kda_exception breakpoint_at(uint64_t address)
{
    struct kda_exception exception = {
        .code = KD_NT(STATUS_BREAKPOINT), .address = address, .count = 1, .first_chance = true};

    return exception;
}

/* A break-in, whether the debugger asked for it or an NMI did: where the program happens to be. */
static void stop_here(const struct x64_frame *frame)
{
    struct kda_exception exception = breakpoint_at(frame->rip);

    agent_modules_sync();
    (void)kda_stop(agent.engine, &exception);
}

static enum x64_verdict on_tick(struct x64_frame *frame)
{
    if (!agent_count_tick((unsigned)frame->vector) && agent.running && kda_poll(agent.engine))
        stop_here(frame);
    return X64_CHAIN;
}

/* B0 to B3 are set by processors even where DR7 does not ask for them. */
static bool hardware_hit(const struct x64_frame *frame)
{
    for (unsigned i = 0; i < 4; i++) {
        if (frame->dr6 >> i & 1 && frame->dr7 >> (2 * i) & 3)
            return true;
    }
    return (frame->dr6 & X64_DR6_BD) != 0;
}

static bool is_engines_step(const struct x64_frame *frame)
{
    return frame->vector == VECTOR_DB && frame->dr6 & X64_DR6_BS && !hardware_hit(frame) &&
           kda_claim_step(agent.engine);
}

/* No program of the firmware catches exceptions: what the debugger leaves unhandled at the first
 * chance comes to it a second time, and then the firmware's own handler has it. */
static enum x64_verdict on_exception(struct x64_frame *frame)
{
    struct kda_exception exception;
    uint64_t rip = frame->rip;
    enum kda_outcome outcome;

    if (is_engines_step(frame)) {
        frame->dr6 = X64_DR6_RESET;
        return X64_RESUME;
    }
    x64_describe(frame, &exception);
    agent_modules_sync();
    outcome = kda_stop(agent.engine, &exception);
    if (outcome == KDA_NOT_HANDLED && exception.first_chance) {
        exception.first_chance = false;
        outcome = kda_stop(agent.engine, &exception);
    }
    if (outcome == KDA_HANDLED) {
        frame->dr6 = X64_DR6_RESET;
        return X64_RESUME;
    }
    if (frame->rip == exception.address)
        frame->rip = rip;
    return X64_CHAIN;
}

static enum x64_verdict on_event(void *self, struct x64_frame *frame)
{
    (void)self;
    if (agent_is_tick((unsigned)frame->vector))
        return on_tick(frame);
    if (!agent.running)
        return X64_CHAIN;
    if (frame->vector == VECTOR_NMI) {
        stop_here(frame);
        return X64_RESUME;
    }
    return on_exception(frame);
}

bool agent_start_engine(void)
{
    struct kda_target target = kda_handlers_target(&agent.handlers);

    agent.engine =
        kda_init(agent.engine_memory, kda_size(), &agent.config, &target, &agent.transport);
    return agent.engine != NULL;
}

static void put_hex(char *out, uint64_t value)
{
    for (unsigned i = 0; i < 16; i++)
        out[i] = "0123456789abcdef"[value >> (60 - 4 * i) & 0xF];
}

/* A defect of the engine: it starts anew with an empty breakpoint table and says what happened.
 * Fields of the text are overwritten in place. */
static bool on_engine_fault(void *self, const struct x64_frame *frame)
{
    static char text[] = "kdagent: fault in the engine, vector 0000000000000000 at "
                         "0000000000000000, address 0000000000000000; started anew\n";
    const size_t vector = 37, at = vector + 20, address = at + 26;

    (void)self;
    if (!agent_start_engine())
        return false;
    agent_modules_refill();
    put_hex(text + vector, frame->vector);
    put_hex(text + at, frame->rip);
    put_hex(text + address, frame->cr2);
    kda_announce(agent.engine);
    (void)kda_print(agent.engine, text, sizeof text - 1);
    return true;
}

void agent_hook(void *tss_page)
{
    const struct x64_handlers handlers = {on_event, on_engine_fault, NULL};

    x64_start(&handlers, tss_page);
}

struct call {
    kda_agent_function function;
    void *argument;
};

static void forward(void *argument)
{
    const struct call *call = argument;

    call->function(agent.engine, call->argument);
}

bool kda_agent_call(kda_agent_function function, void *argument)
{
    struct call call = {function, argument};

    return agent.running && x64_call(forward, &call);
}

uint64_t kda_agent_caller(void)
{
    const struct x64_frame *frame = x64_current();

    return frame ? frame->rip : 0;
}

static void do_break(struct kda_engine *engine, void *argument)
{
    (void)engine;
    (void)argument;
    stop_here(x64_current());
}

static void do_poll(struct kda_engine *engine, void *argument)
{
    (void)argument;
    if (kda_poll(engine))
        stop_here(x64_current());
}

void agent_break_here(void)
{
    kda_agent_call(do_break, NULL);
}

void agent_poll_here(void)
{
    kda_agent_call(do_poll, NULL);
}
