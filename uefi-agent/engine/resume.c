/* resume.c - how a stop begins and ends: breakpoints, trace flag, debug registers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "state.h"

#define DR6_NONE UINT64_C(0xFFFF0FF0) /* no condition; what the processor has after its reset */
#define INT3     0xCCu

static bool succeeded(uint32_t status)
{
    return status < UINT32_C(0x80000000);
}

/* Control group only; the rest of the program's registers stays untouched. */
static void set_control(struct kda_engine *engine)
{
    engine->context.context_flags = kd_put32(KD_CONTEXT_AMD64 | KD_CONTEXT_AMD64_CONTROL);
    engine->target.ops->set_context(engine->target.self, &engine->context);
}

static bool trace_flag(const struct kda_engine *engine)
{
    return kd_get32(engine->context.eflags) & KD_EFLAGS_TF;
}

static void set_trace_flag(struct kda_engine *engine, bool on)
{
    uint32_t flags = kd_get32(engine->context.eflags) & ~(uint32_t)KD_EFLAGS_TF;

    engine->context.eflags = kd_put32(on ? flags | KD_EFLAGS_TF : flags);
}

/* A TF of ours is no register of the program's: it goes before anybody looks. The step over a
 * breakpoint may have been overtaken by an interrupt or a fault; it begins anew on release. */
void kda_halt(struct kda_engine *engine)
{
    kda_breakpoints_lift(&engine->breakpoints, &engine->target);
    engine->stepping.active = false;
    engine->answered = false;
    engine->special_written = false;
    engine->outcome = KDA_HANDLED;
    if (!engine->trace)
        return;
    engine->trace = false;
    kda_get_registers(engine);
    set_trace_flag(engine, false);
    set_control(engine);
}

/* An int3 of the program's own would stop it for ever; after a break-in it has yet to run. WinDbg
 * moves the program counter past it, radare2 does not; Windows' kernel skips the int3 of its debug
 * services in the same way. */
static void skip_own_int3(struct kda_engine *engine)
{
    const struct kda_exception *exception = engine->event->exception;
    uint64_t rip = kd_get64(engine->context.rip);
    uint8_t byte = 0;

    if (!exception || engine->invited || exception->uncalled ||
        exception->code != KD_NT(STATUS_BREAKPOINT) || exception->address != rip ||
        kda_breakpoints_have(&engine->breakpoints, rip))
        return;
    if (engine->target.ops->read_virtual(engine->target.self, rip, &byte, 1) == 1 && byte == INT3)
        engine->context.rip = kd_put64(rip + 1);
}

/* The instruction under a breakpoint runs alone, with the breakpoint out of memory and TF set;
 * kda_claim_step puts it back. */
static void step_over(struct kda_engine *engine)
{
    if (!kda_breakpoints_have(&engine->breakpoints, kd_get64(engine->context.rip)))
        return;
    engine->stepping.active = true;
    engine->stepping.reported = trace_flag(engine);
    if (!trace_flag(engine)) {
        set_trace_flag(engine, true);
        engine->trace = true;
    }
}

void kda_release(struct kda_engine *engine)
{
    uint64_t rip;

    kda_get_registers(engine);
    if (engine->outcome == KDA_HANDLED) {
        skip_own_int3(engine);
        step_over(engine);
        set_control(engine);
    }
    rip = kd_get64(engine->context.rip);
    kda_breakpoints_plant(&engine->breakpoints, &engine->target,
                          engine->stepping.active ? &rip : NULL);
}

bool kda_claim_step(struct kda_engine *engine)
{
    if (engine->busy || !engine->stepping.active)
        return false;
    engine->stepping.active = false;
    /* kda_stop follows: it lifts, takes back TF and plants. */
    if (engine->stepping.reported)
        return false;
    engine->trace = false;
    kda_get_registers(engine);
    set_trace_flag(engine, false);
    set_control(engine);
    kda_breakpoints_plant(&engine->breakpoints, &engine->target, NULL);
    return true;
}

static enum kda_flow resume_with(struct kda_engine *engine, uint32_t status)
{
    engine->outcome = succeeded(status) ? KDA_HANDLED : KDA_NOT_HANDLED;
    return KDA_RESUME;
}

enum kda_flow kda_continue(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_continue_api *in = request->body;

    return resume_with(engine, kd_get32(in->continue_status));
}

/* Dr7 of Continue2. WinDbg writes the debug registers with WriteControlSpace and repeats Dr7 here:
 * never 0 while bit 10 is kept, and 0 means 0 when it wrote them in this stop. radare2 sets them
 * with SetContext and sends 0 here whatever they are: obeying that would erase its breakpoints. */
static bool dr7_counts(const struct kda_engine *engine, uint64_t dr7)
{
    return dr7 != 0 || engine->special_written;
}

/* What Windows does for a control set: TF as TraceFlag says, Dr7, Dr6 cleared (kd.md 7.4). */
enum kda_flow kda_continue2(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_continue_api *in = request->body;
    const struct kd_control_set_amd64 *set =
        (const struct kd_control_set_amd64 *)((const uint8_t *)request->body +
                                              KD_CONTINUE2_CONTROL_SET);
    uint32_t status = kd_get32(in->continue_status);
    uint64_t dr7 = kd_get64(set->dr7);

    if (!succeeded(status))
        return resume_with(engine, status);
    engine->trace = kd_get32(set->trace_flag) != 0;
    kda_get_registers(engine);
    set_trace_flag(engine, engine->trace);
    set_control(engine);
    kda_get_special(engine);
    engine->special.dr6 = kd_put64(DR6_NONE);
    if (dr7_counts(engine, dr7))
        engine->special.dr7 = kd_put64(dr7);
    /* A Dr7 the processor refuses leaves the old one; there is no reply to say so. */
    (void)engine->target.ops->set_special(engine->target.self, &engine->special);
    return resume_with(engine, status);
}
