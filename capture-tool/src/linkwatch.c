/* linkwatch.c - the state of the link from its frames. See linkwatch.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "linkwatch.h"

#include <inttypes.h>
#include <stdio.h>

#include "kd/describe.h"

#define STORM_TIME UINT64_C(1000000000)
#define TEXT_SIZE  200u

static void times_add(struct linkwatch_times *times, uint64_t when)
{
    times->at[times->next] = when;
    times->next = (times->next + 1) % LINKWATCH_STORM;
}

/* Whether the ring was filled within a second. */
static bool times_stormy(const struct linkwatch_times *times, uint64_t now)
{
    uint64_t oldest = times->at[times->next];

    return oldest != 0 && now - oldest < STORM_TIME;
}

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

/* --- storms */

static void storm(struct linkwatch *watch, enum linkwatch_kind kind, enum side side, uint64_t when)
{
    watch->storm_last = when;
    if (watch->storm == kind)
        return;
    watch->storm = kind;
    emit(watch, (struct linkwatch_event){.kind = kind, .when = when, .side = side});
}

static void look_for_storm(struct linkwatch *watch, enum side from, uint64_t when)
{
    if (times_stormy(&watch->resets[SIDE_DEBUGGER], when) &&
        times_stormy(&watch->resets[SIDE_TARGET], when))
        storm(watch, LINKWATCH_RESET_STORM, from, when);
    else if (times_stormy(&watch->resets[SIDE_DEBUGGER], when) && times_stormy(&watch->texts, when))
        storm(watch, LINKWATCH_CONSOLE, from, when);
    else if (times_stormy(&watch->resends[from], when) && watch->storm != LINKWATCH_RESET_STORM)
        storm(watch, LINKWATCH_RESEND_STORM, from, when);
}

/* --- silence */

static void asks(struct linkwatch *watch, enum side from, uint64_t when)
{
    enum side other = side_other(from);

    if (watch->asked_at[other] == 0)
        watch->asked_at[other] = when;
}

static void answers(struct linkwatch *watch, enum side from, uint64_t when)
{
    watch->asked_at[from] = 0;
    if (!watch->silent[from])
        return;
    watch->silent[from] = false;
    emit(watch, (struct linkwatch_event){.kind = LINKWATCH_HEARD, .when = when, .side = from});
}

/* --- the interface */

void linkwatch_init(struct linkwatch *watch,
                    void (*event)(void *context, const struct linkwatch_event *event),
                    void *context)
{
    *watch = (struct linkwatch){.event = event, .context = context, .storm = LINKWATCH_CALM_AGAIN};
}

static void take_packet(struct linkwatch *watch, enum side from, uint64_t when,
                        const struct kd_frame *frame, const uint8_t *bytes)
{
    uint32_t type = kd_get16(((const struct kd_packet_header *)bytes)->packet_type);

    answers(watch, from, when);
    if (type == KD_PACKET_RESET) {
        times_add(&watch->resets[from], when);
        asks(watch, from, when);
        look_for_storm(watch, from, when);
    } else if (type == KD_PACKET_RESEND) {
        times_add(&watch->resends[from], when);
        look_for_storm(watch, from, when);
    } else if (type != KD_PACKET_ACKNOWLEDGE) {
        asks(watch, from, when);
        if (type == KD_PACKET_STATE_CHANGE64 && from == SIDE_TARGET)
            take_state_change(watch, when, bytes + KD_HEADER_SIZE, frame->payload);
        else if (type == KD_PACKET_STATE_MANIPULATE && from == SIDE_DEBUGGER)
            take_request(watch, when, bytes + KD_HEADER_SIZE, frame->payload);
    }
}

void linkwatch_frame(struct linkwatch *watch, enum side from, uint64_t when,
                     const struct kd_frame *frame, const uint8_t *bytes)
{
    if (frame->kind == KD_FRAME_PACKET && frame->flags == 0) {
        take_packet(watch, from, when, frame, bytes);
    } else if (frame->kind == KD_FRAME_BREAKIN) {
        asks(watch, from, when);
        emit(watch,
             (struct linkwatch_event){.kind = LINKWATCH_BREAK_IN, .when = when, .side = from});
    } else if (frame->kind == KD_FRAME_NOISE && from == SIDE_TARGET) {
        times_add(&watch->texts, when);
        look_for_storm(watch, from, when);
    }
}

void linkwatch_connection(struct linkwatch *watch, enum side side, bool connected)
{
    (void)connected;
    watch->asked_at[SIDE_DEBUGGER] = watch->asked_at[SIDE_TARGET] = 0;
    watch->silent[SIDE_DEBUGGER] = watch->silent[SIDE_TARGET] = false;
    if (side == SIDE_TARGET)
        watch->stopped = false;
}

void linkwatch_tick(struct linkwatch *watch, uint64_t now)
{
    if (watch->storm != LINKWATCH_CALM_AGAIN && now > watch->storm_last + LINKWATCH_CALM) {
        enum linkwatch_kind over = watch->storm;

        watch->storm = LINKWATCH_CALM_AGAIN;
        emit(watch,
             (struct linkwatch_event){.kind = LINKWATCH_CALM_AGAIN, .when = now, .storm = over});
    }
    for (int i = 0; i < 2; i++) {
        if (watch->asked_at[i] == 0 || watch->silent[i] ||
            now < watch->asked_at[i] + LINKWATCH_SILENT)
            continue;
        watch->silent[i] = true;
        emit(watch, (struct linkwatch_event){
                        .kind = LINKWATCH_SILENCE, .when = now, .side = (enum side)i});
    }
}
