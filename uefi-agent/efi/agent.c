/* agent.c - the one agent: what the processor reports goes to the engine, and back.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "agent_state.h"
#include "cpu.h"
#include "kd/protocol.h"
#include "vmbus_line.h"
#include "x64.h"

struct agent agent;

#define VECTOR_DB  1u
#define VECTOR_NMI 2u
#define VECTOR_BP  3u

static const char nmi_text[] = "kdagent: stopped by an NMI\n";

static void print_line(const char *text)
{
    size_t size = 0;

    while (text[size])
        size++;
    (void)kda_print(agent.engine, text, size);
}

static bool say_to_debugger(char *line, size_t size)
{
    return kda_print(agent.engine, line, size);
}

/* The firmware's console, from inside a fault: only when nothing but the firmware's own handler,
 * which ends the program, comes after it. */
static bool say_on_console(char *line, size_t size)
{
    line[size - 1] = 0;
    agent_say(line);
    (void)x64_interrupts_off();
    return true;
}

static bool is_fault(const struct x64_frame *frame)
{
    return frame->vector != VECTOR_DB && frame->vector != VECTOR_NMI && frame->vector != VECTOR_BP;
}

bool agent_backtrace(const void *context)
{
    return agent_tell_stack_of(context, say_to_debugger);
}

static enum kda_outcome stop(const struct kda_exception *exception)
{
    enum kda_outcome outcome;

    agent.faulted = false;
    agent_vmbus_listen(false);
    outcome = kda_stop(agent.engine, exception);
    agent_vmbus_listen(true);
    /* What an NMI meanwhile asked for was there already. */
    (void)x64_take_nmi();
    return outcome;
}

/* A break-in, whoever asked for it: where the program happens to be. why: a line for the debugger's
 * user, who did not ask; or NULL. */
static void stop_here(const struct x64_frame *frame, const char *why)
{
    const struct kda_exception exception = {.code = KD_NT(STATUS_BREAKPOINT),
                                            .address = frame->rip,
                                            .count = 1,
                                            .first_chance = true,
                                            .uncalled = true};

    agent_modules_sync();
    if (why)
        print_line(why);
    (void)stop(&exception);
}

/* The line came back; what had happened to it is of interest to who now gets it. */
static void tell_news(void)
{
    const char *news = kda_attached(agent.engine) ? agent_vmbus_news() : NULL;

    if (!news)
        return;
    print_line("kdagent: VMBus: ");
    print_line(news);
    print_line("\n");
}

/* After a fault of the engine the debugger may wait for a reply that never comes: a stop shows it
 * where it is. */
static void look(const struct x64_frame *frame)
{
    bool wanted;

    if (agent.breaks_soon)
        return;
    wanted = kda_poll(agent.engine);
    tell_news();
    if (x64_take_nmi())
        stop_here(frame, nmi_text);
    else if (agent_key_pressed())
        stop_here(frame, "kdagent: stopped by the hot key\n");
    else if (wanted || agent.faulted)
        stop_here(frame, NULL);
}

static enum x64_verdict on_tick(struct x64_frame *frame)
{
    if (!agent_count_tick((unsigned)frame->vector) && agent.running)
        look(frame);
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

/* The program's own means against a fault. passed: its handler did not take it. after_debugger: who
 * had the first chance. */
static bool offer(struct x64_frame *frame, bool passed, bool after_debugger)
{
    return is_fault(frame) && ((!passed && agent_offer_fault(frame, after_debugger)) ||
                               agent_end_guarded(frame, passed || after_debugger));
}

/* The debugger's chances at a fault that no handler of the program's took, or will have first.
 * passed: the first chance is over. */
static enum kda_outcome show(struct x64_frame *frame, struct kda_exception *exception, bool passed)
{
    enum kda_outcome outcome;

    if (passed && agent.protocol.policy == KDAGENT_DEBUGGER_FIRST)
        exception->first_chance = false;
    else if (is_fault(frame) && agent.options.stack)
        agent_tell_stack(frame, say_to_debugger);
    outcome = stop(exception);
    if (outcome == KDA_HANDLED || !exception->first_chance)
        return outcome;
    if (offer(frame, passed, true))
        return KDA_HANDLED;
    if (outcome == KDA_NO_DEBUGGER)
        return outcome;
    exception->first_chance = false;
    return stop(exception);
}

/* What the debugger leaves unhandled at the first chance, and no handler of the program's takes,
 * comes to it a second time, and then the firmware's own handler has it. */
static enum x64_verdict on_exception(struct x64_frame *frame)
{
    struct kda_exception exception;
    uint64_t rip = frame->rip;
    enum kda_outcome outcome;
    bool passed;

    if (is_engines_step(frame)) {
        frame->dr6 = X64_DR6_RESET;
        return X64_RESUME;
    }
    passed = is_fault(frame) && agent_fault_was_passed(frame);
    if (offer(frame, passed, false))
        return X64_RESUME;
    x64_describe(frame, &exception);
    agent_modules_sync();
    outcome = show(frame, &exception, passed);
    if (outcome == KDA_HANDLED) {
        frame->dr6 = X64_DR6_RESET;
        return X64_RESUME;
    }
    if (frame->rip == exception.address)
        frame->rip = rip;
    if (outcome == KDA_NO_DEBUGGER && is_fault(frame) && agent.options.stack &&
        !agent.options.quiet)
        agent_tell_stack(frame, say_on_console);
    return X64_CHAIN;
}

static enum x64_verdict on_event(void *self, struct x64_frame *frame)
{
    (void)self;
    if (agent_vmbus_interrupt((unsigned)frame->vector)) {
        if (agent.running)
            look(frame);
        return X64_RESUME;
    }
    if (agent_is_tick((unsigned)frame->vector))
        return on_tick(frame);
    if (!agent.running)
        return X64_CHAIN;
    if (frame->vector == VECTOR_NMI) {
        stop_here(frame, nmi_text);
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

/* A defect of the engine, or of a program's handler that it called: it starts anew without
 * breakpoints, and says what happened. A fault in here takes the hooks out (dispatch.c). Fields of
 * the text are overwritten in place. */
static bool on_engine_fault(void *self, const struct x64_frame *frame)
{
    static char text[] = "kdagent: fault in the engine, vector 0000000000000000 at "
                         "0000000000000000, address 0000000000000000; started anew\n";
    const size_t vector = 37, at = vector + 20, address = at + 26;

    (void)self;
    kda_rescue(agent.engine);
    if (!agent_start_engine())
        return false;
    agent_modules_refill();
    put_hex(text + vector, frame->vector);
    put_hex(text + at, frame->rip);
    put_hex(text + address, frame->cr2);
    kda_announce(agent.engine);
    print_line(text);
    agent.faulted = true;
    return true;
}

static bool on_late_interrupt(void *self, unsigned vector)
{
    (void)self;
    return agent_vmbus_interrupt(vector);
}

void agent_hook(void *tss_page)
{
    const struct x64_handlers handlers = {on_event, on_engine_fault, on_late_interrupt, NULL};

    agent.hooked = true;
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
    stop_here(x64_current(), NULL);
}

static void do_poll(struct kda_engine *engine, void *argument)
{
    (void)engine;
    (void)argument;
    look(x64_current());
}

void agent_break_here(void)
{
    kda_agent_call(do_break, NULL);
}

void agent_poll_here(void)
{
    kda_agent_call(do_poll, NULL);
}
