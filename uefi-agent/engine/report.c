/* report.c - the state change packet: why the program stopped, and where.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Built anew each time it is sent, since registers and memory may have been changed in between.
 * Every byte without a meaning is 0 (the boot manager sends what its stack held).
 */
#include "bytes.h"
#include "state.h"

/* The boot manager's ProcessId of every image: the low half only. */
#define KERNEL_PROCESS UINT64_C(0xFFFFFFFF)

/* CommandString: component name and text, as two strings. */
static const char component[] = "kdagent";

static void put_exception(struct kd_exception64 *out, const struct kda_exception *exception)
{
    uint32_t count = exception->count < 15 ? exception->count : 15;

    out->exception_code = kd_put32(exception->code);
    out->exception_flags = kd_put32(exception->flags);
    out->exception_address = kd_put64(exception->address);
    out->number_parameters = kd_put32(count);
    for (uint32_t i = 0; i < count; i++)
        out->exception_information[i] = kd_put64(exception->information[i]);
    out->first_chance = kd_put32(exception->first_chance);
}

/* Returns the size of the path behind the fixed part. */
static size_t put_load(struct kd_load_symbols64 *out, char *text, const struct kda_event *event)
{
    const struct kda_image *image = event->image;
    const char *path;
    size_t size;

    out->process_id = kd_put64(KERNEL_PROCESS);
    if (!image) {
        out->base_of_dll = kd_put64(event->unloaded);
        out->unload_symbols = kd_put8(1);
        return 0;
    }
    path = kda_images_path(image->path, &size);
    memcpy(text, path, size);
    text[size++] = 0;
    out->path_name_length = kd_put32((uint32_t)size);
    out->base_of_dll = kd_put64(image->base);
    out->check_sum = kd_put32(image->checksum);
    out->size_of_image = kd_put32(image->size);
    return size;
}

static size_t put_command(char *text, size_t room, const struct kda_event *event)
{
    size_t size = kda_min(event->command_size, room - sizeof component - 1);

    memcpy(text, component, sizeof component);
    memcpy(text + sizeof component, event->command, size);
    text[sizeof component + size] = 0;
    return sizeof component + size + 1;
}

/* The instructions are the program's: breakpoints are out of memory during a stop. */
static void put_report(struct kda_engine *engine, struct kd_control_report_amd64 *out)
{
    const struct kd_context_amd64 *context = &engine->context;
    size_t count = engine->target.ops->read_virtual(engine->target.self, kd_get64(context->rip),
                                                    (uint8_t *)out->instruction_stream,
                                                    sizeof out->instruction_stream);

    kda_get_special(engine);
    out->dr6 = engine->special.dr6;
    out->dr7 = engine->special.dr7;
    out->eflags = context->eflags;
    out->instruction_count = kd_put16((uint16_t)count);
    out->report_flags = kd_put16(KD_REPORT_SEGMENTS_VALID);
    out->seg_cs = context->seg_cs;
    out->seg_ds = context->seg_ds;
    out->seg_es = context->seg_es;
    out->seg_fs = context->seg_fs;
}

static size_t build(struct kda_engine *engine)
{
    const struct kda_event *event = engine->event;
    struct kd_state_change64 *head = (struct kd_state_change64 *)engine->message;
    void *body = engine->message + KD_STATE_CHANGE_UNION;
    char *text = (char *)engine->message + KD_STATE_CHANGE_TEXT;
    size_t size = 0;

    memset(engine->message, 0, KD_STATE_CHANGE_TEXT);
    kda_get_registers(engine);
    head->new_state = kd_put32((uint32_t)event->state);
    head->number_processors = kd_put32(1);
    head->program_counter = engine->context.rip;
    if (event->state == KD_STATE_EXCEPTION)
        put_exception(body, event->exception);
    else if (event->state == KD_STATE_LOAD_SYMBOLS)
        size = put_load(body, text, event);
    else
        size = put_command(text, sizeof engine->message - KD_STATE_CHANGE_TEXT, event);
    put_report(engine, (void *)(engine->message + KD_STATE_CHANGE_REPORT));
    return KD_STATE_CHANGE_TEXT + size;
}

/* A policy decision: a debugger that asked for the stop is there, however slow it and the line are,
 * so it gets this long even where nobody else is waited for. */
#define INVITED_US 10000000u

/* How long the debugger may take to acknowledge; 0: for ever. */
static uint32_t patience_of(const struct kda_engine *engine)
{
    uint32_t wait = engine->config.wait_us;

    if (engine->wire.attached || engine->answered)
        return 0;
    if (engine->event->state != KD_STATE_EXCEPTION)
        return kda_message_patience(engine);
    return engine->invited && wait && wait < INVITED_US ? INVITED_US : wait;
}

/* The state change is the whole answer where it is a stop. Load events a debugger passes by itself,
 * and goes on waiting for the stop it asked for: so it gets that after them, as from the boot
 * manager. */
static void take_breakin(struct kda_engine *engine)
{
    if (engine->wire.breakin && engine->event->state != KD_STATE_EXCEPTION)
        engine->owed = true;
    engine->wire.breakin = false;
}

/* News that came while the state change was on its way are answered by it: the link sent it again
 * for them (R7, R17). A debugger that has answered once in this stop is waited for without end.
 *
 * WinDbg's engine that RESETs the link while its Continue is obeyed sends that Continue once more
 * before it takes the state change: the program would run on from a stop that nobody saw. So after
 * a RESET no Continue is obeyed that came before the stop's first ACK. Should it have meant this
 * stop after all, the state change that follows says that the program has not moved. */
bool kda_report(struct kda_engine *engine)
{
    struct kda_wire *wire = &engine->wire;
    uint32_t patience = patience_of(engine);
    bool first = !engine->answered, reset = wire->reset;

    take_breakin(engine);
    engine->called = false;
    wire->renewed = false;
    wire->reset = false;
    if (!kda_wire_send(wire, KD_PACKET_STATE_CHANGE64, engine->message, build(engine), patience))
        return false;
    engine->answered = true;
    take_breakin(engine);
    wire->renewed = first && (reset || wire->reset) && kda_forget_continue(engine);
    wire->reset = false;
    return true;
}
