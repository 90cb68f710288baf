/* linkwatch.c - the state of the link from its frames. See linkwatch.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "linkwatch.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "kd/describe.h"

#define TEXT_SIZE    200u
#define JUDGE_PERIOD UINT64_C(500000000)

static void emit(struct linkwatch *watch, struct linkwatch_event event)
{
    watch->event(watch->context, &event);
}

/* --- stops */

/* What stopped the target, in the union behind the head of a state change. */
static void describe_stop(uint32_t state, const uint8_t *parts, size_t size, uint64_t address,
                          struct linkwatch_event *event, char *text)
{
    const struct kd_exception64 *exception = (const struct kd_exception64 *)parts;
    const struct kd_load_symbols64 *module = (const struct kd_load_symbols64 *)parts;
    const char *name = kd_value_name(KD_SET_ID_new_state, state);

    if (state == KD_STATE_EXCEPTION && size >= sizeof *exception) {
        event->code = kd_get32(exception->exception_code);
        name = kd_value_name(KD_SET_ID_ntstatus, event->code);
        snprintf(text, TEXT_SIZE, "%s (0x%08" PRIx32 ") at 0x%" PRIx64, name ? name : "exception",
                 event->code, address);
    } else if (state == KD_STATE_LOAD_SYMBOLS && size >= sizeof *module) {
        snprintf(text, TEXT_SIZE, "module %s at 0x%" PRIx64,
                 kd_get8(module->unload_symbols) ? "unloaded" : "loaded",
                 kd_get64(module->base_of_dll));
    } else {
        snprintf(text, TEXT_SIZE, "%s at 0x%" PRIx64, name ? name : "state change", address);
    }
}

static void take_state_change(struct linkwatch *watch, uint64_t when, const uint8_t *payload,
                              size_t size)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    struct linkwatch_event event = {.kind = LINKWATCH_STOPPED, .when = when, .side = SIDE_TARGET};
    uint32_t state;
    char text[TEXT_SIZE];

    if (size < sizeof *change)
        return;
    state = kd_get32(change->new_state) & 0xFFFF;
    event.address = kd_get64(change->program_counter);
    event.processor = kd_get16(change->processor);
    /* The same packet again is no other stop. */
    if (watch->stopped && watch->stop_state == state && watch->stop_address == event.address)
        return;
    watch->stopped = true;
    watch->stop_state = state;
    watch->stop_address = event.address;
    describe_stop(state, payload + KD_STATE_CHANGE_UNION, size - KD_STATE_CHANGE_UNION,
                  event.address, &event, text);
    event.text = text;
    emit(watch, event);
}

static void take_request(struct linkwatch *watch, uint64_t when, const uint8_t *payload,
                         size_t size)
{
    const struct kd_manipulate_header *request = (const struct kd_manipulate_header *)payload;
    uint32_t api;

    if (size < sizeof *request)
        return;
    api = kd_get32(request->api_number);
    if (!watch->stopped || (api != KD_API_CONTINUE && api != KD_API_CONTINUE2))
        return;
    watch->stopped = false;
    emit(watch,
         (struct linkwatch_event){.kind = LINKWATCH_RUNNING, .when = when, .side = SIDE_DEBUGGER});
}

/* --- the interface */

static enum kd_flow flow_from(enum side from)
{
    return from == SIDE_DEBUGGER ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;
}

static const enum linkwatch_kind storm_kinds[] = {[KD_STORM_NONE] = LINKWATCH_CALM_AGAIN,
                                                  [KD_STORM_RESET] = LINKWATCH_RESET_STORM,
                                                  [KD_STORM_RESEND] = LINKWATCH_RESEND_STORM,
                                                  [KD_STORM_CONSOLE] = LINKWATCH_CONSOLE};

void linkwatch_init(struct linkwatch *watch,
                    void (*event)(void *context, const struct linkwatch_event *event),
                    void *context)
{
    *watch = (struct linkwatch){.event = event, .context = context};
    kd_observer_init(&watch->observer, false);
}

static void take_packet(struct linkwatch *watch, enum side from, uint64_t when,
                        const struct kd_frame *frame, const uint8_t *bytes)
{
    uint32_t type = kd_get16(((const struct kd_packet_header *)bytes)->packet_type);

    if (watch->silent[from]) {
        watch->silent[from] = false;
        emit(watch, (struct linkwatch_event){.kind = LINKWATCH_HEARD, .when = when, .side = from});
    }
    if (type == KD_PACKET_STATE_CHANGE64 && from == SIDE_TARGET)
        take_state_change(watch, when, bytes + KD_HEADER_SIZE, frame->payload);
    else if (type == KD_PACKET_STATE_MANIPULATE && from == SIDE_DEBUGGER)
        take_request(watch, when, bytes + KD_HEADER_SIZE, frame->payload);
}

/* --- the doctor */

bool linkwatch_consult(struct linkwatch *watch)
{
    watch->doctor = kda_doctor_new();
    watch->report = calloc(1, sizeof *watch->report);
    if (watch->doctor && watch->report)
        return true;
    linkwatch_clear(watch);
    return false;
}

void linkwatch_clear(struct linkwatch *watch)
{
    kda_doctor_free(watch->doctor);
    free(watch->report);
    watch->doctor = NULL;
    watch->report = NULL;
}

static void tell_doctor(struct linkwatch *watch, const struct kd_passing *passing,
                        const struct kd_seen *seen)
{
    const struct kda_packet packet = {.flags = passing->frame->flags ? KDA_DAMAGED : 0};
    bool is_packet = passing->frame->kind == KD_FRAME_PACKET;
    struct kda_event event = {.kind = is_packet                                  ? KDA_PACKET
                                      : passing->frame->kind == KD_FRAME_BREAKIN ? KDA_BREAKIN
                                                                                 : KDA_NOISE,
                              .frame = passing->ref.frame,
                              .first_frame = passing->ref.frame,
                              .time = passing->time,
                              .flow = passing->flow,
                              .framed = passing->frame,
                              .bytes = passing->bytes,
                              .size = passing->frame->size,
                              .packet = is_packet ? &packet : NULL,
                              .seen = seen};

    if (is_packet) {
        event.payload = passing->bytes + KD_HEADER_SIZE;
        event.payload_size = passing->frame->payload;
    }
    kda_doctor_event(watch->doctor, &event);
}

static void ask_doctor(struct linkwatch *watch, uint64_t now)
{
    const struct kda_diagnosis *top = watch->report->list;

    watch->judge_at = now + JUDGE_PERIOD;
    kda_doctor_judge(watch->doctor, now, watch->report);
    if (watch->told && watch->said == top->verdict && watch->gravity == top->gravity)
        return;
    watch->told = true;
    watch->said = top->verdict;
    watch->gravity = top->gravity;
    emit(watch, (struct linkwatch_event){.kind = LINKWATCH_VERDICT, .when = now, .diagnosis = top});
}

/* --- storms and silence */

/* Tells of the storm that is over, if one is. */
static void look_for_calm(struct linkwatch *watch, uint64_t now)
{
    enum kd_storm over = kd_observer_calm(&watch->observer, now);

    if (over != KD_STORM_NONE)
        emit(watch, (struct linkwatch_event){
                        .kind = LINKWATCH_CALM_AGAIN, .when = now, .storm = storm_kinds[over]});
}

void linkwatch_frame(struct linkwatch *watch, enum side from, uint64_t when,
                     const struct kd_frame *frame, const uint8_t *bytes)
{
    const struct kd_passing passing = {.ref = {NULL, (uint32_t)++watch->frames},
                                       .time = when,
                                       .flow = flow_from(from),
                                       .frame = frame,
                                       .bytes = bytes};
    struct kd_seen seen;

    look_for_calm(watch, when);
    kd_observe(&watch->observer, &passing, &seen);
    if (watch->doctor)
        tell_doctor(watch, &passing, &seen);
    if (frame->kind == KD_FRAME_PACKET && frame->flags == 0)
        take_packet(watch, from, when, frame, bytes);
    else if (frame->kind == KD_FRAME_BREAKIN)
        emit(watch,
             (struct linkwatch_event){.kind = LINKWATCH_BREAK_IN, .when = when, .side = from});
    if (seen.storm != KD_STORM_NONE)
        emit(watch,
             (struct linkwatch_event){.kind = storm_kinds[seen.storm], .when = when, .side = from});
}

void linkwatch_connection(struct linkwatch *watch, enum side side, bool connected)
{
    (void)connected;
    kd_observer_connection(&watch->observer, side == SIDE_TARGET);
    watch->silent[SIDE_DEBUGGER] = watch->silent[SIDE_TARGET] = false;
    if (side == SIDE_TARGET)
        watch->stopped = false;
}

void linkwatch_tick(struct linkwatch *watch, uint64_t now)
{
    look_for_calm(watch, now);
    if (watch->doctor && watch->frames && now >= watch->judge_at)
        ask_doctor(watch, now);
    for (int i = 0; i < 2; i++) {
        const struct kd_observer_side *owing = &watch->observer.sides[flow_from((enum side)i)];

        if (!owing->owes || watch->silent[i] || now < owing->owes_since + KD_SILENT)
            continue;
        watch->silent[i] = true;
        emit(watch, (struct linkwatch_event){
                        .kind = LINKWATCH_SILENCE, .when = now, .side = (enum side)i});
    }
}
