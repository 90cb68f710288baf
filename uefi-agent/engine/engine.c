/* engine.c - the session: start, stops, looking at the line in between. See engine.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "engine.h"

#include "bytes.h"
#include "state.h"

/* Frames and reads that one kda_poll handles; it runs in a timer interrupt. */
#define POLL_STEPS 16u

size_t kda_size(void)
{
    return sizeof(struct kda_engine);
}

struct kda_engine *kda_init(void *memory, size_t size, const struct kda_config *config,
                            const struct kda_target *target, const struct kda_transport *transport)
{
    struct kda_engine *engine = memory;

    if (size < sizeof *engine)
        return NULL;
    memset(engine, 0, sizeof *engine);
    engine->config = *config;
    engine->target = *target;
    kda_wire_init(&engine->wire, transport, target);
    kda_images_init(&engine->images);
    kda_blocks_init(engine);
    return engine;
}

void kda_announce(struct kda_engine *engine)
{
    engine->called = true;
    engine->owed = false;
    kda_wire_announce(&engine->wire);
}

bool kda_converse(struct kda_engine *engine, const struct kda_event *event)
{
    struct kda_wire *wire = &engine->wire;
    bool there;

    engine->event = event;
    kda_halt(engine);
    (void)kda_forget_continue(engine);
    for (there = kda_report(engine); there;) {
        if (wire->inbox.full) {
            wire->reset = false;
            if (kda_serve(engine))
                break;
        } else if (wire->breakin || wire->renewed || kda_wire_is_awaited(wire)) {
            there = kda_report(engine);
        } else {
            kda_wire_wait(wire);
        }
    }
    if (!there)
        engine->outcome = KDA_NO_DEBUGGER;
    else if (event->state == KD_STATE_EXCEPTION)
        engine->owed = false;
    /* What was ignored in the stop came again in it: it is no wish for the next one. */
    wire->unheard = false;
    kda_release(engine);
    engine->event = NULL;
    return there;
}

/* A breakpoint whose debugger is gone would stop the program for nothing: all of them go. */
static enum kda_outcome nobody(struct kda_engine *engine, const struct kda_exception *exception)
{
    if (exception->code != KD_NT(STATUS_BREAKPOINT) ||
        !kda_breakpoints_planted(&engine->breakpoints, exception->address))
        return KDA_NO_DEBUGGER;
    kda_breakpoints_drop(&engine->breakpoints, &engine->target, 0, 0);
    return KDA_HANDLED;
}

enum kda_outcome kda_stop(struct kda_engine *engine, const struct kda_exception *exception)
{
    const struct kda_event event = {.state = KD_STATE_EXCEPTION, .exception = exception};
    enum kda_outcome outcome;

    if (engine->busy)
        return KDA_NO_DEBUGGER;
    engine->busy = true;
    outcome = kda_converse(engine, &event) ? engine->outcome : nobody(engine, exception);
    engine->invited = false;
    engine->busy = false;
    return outcome;
}

/* A request that comes while the program runs is a wish for a stop, too: it is served in it. One
 * that the link ignores would be repeated for ever (WinDbg never sends RESET for it): the stop's
 * state change brings the streams back into step. */
static bool is_wanted(struct kda_engine *engine)
{
    (void)kda_forget_continue(engine);
    return engine->owed || engine->wire.breakin || engine->wire.inbox.full || engine->wire.unheard;
}

bool kda_poll(struct kda_engine *engine)
{
    bool wanted;

    if (engine->busy)
        return false;
    engine->busy = true;
    wanted = is_wanted(engine);
    for (unsigned i = 0; i < POLL_STEPS && !wanted && kda_wire_step(&engine->wire); i++)
        wanted = is_wanted(engine);
    engine->wire.renewed = false;
    engine->wire.breakin = false;
    engine->wire.unheard = false;
    engine->owed = false;
    engine->invited = engine->invited || wanted;
    engine->busy = false;
    return wanted;
}

void kda_rescue(struct kda_engine *engine)
{
    kda_breakpoints_drop(&engine->breakpoints, &engine->target, 0, 0);
}

bool kda_breakpoint_at(const struct kda_engine *engine, uint64_t address)
{
    return kda_breakpoints_planted(&engine->breakpoints, address);
}

bool kda_attached(const struct kda_engine *engine)
{
    return engine->wire.attached;
}

bool kda_busy(const struct kda_engine *engine)
{
    return engine->busy;
}
