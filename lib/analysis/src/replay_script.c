/* replay_script.c - what the recorded target said by itself, and what it answered.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "replay_parts.h"

#define FIRST_API     0x3130u
#define PAIRS_MAX     1000000u /* of a capture that does nothing else for days */
#define FAILED_STATUS UINT32_C(0x80000000)
#define UNION_SIZE    (KD_MANIPULATE_DATA - KD_MANIPULATE_UNION)

struct kda_script *kda_script_new(struct kda_store *store, bool transcript)
{
    struct kda_script *script = calloc(1, sizeof *script);

    if (script) {
        script->store = store;
        script->transcript = transcript;
    }
    return script;
}

void kda_script_free(struct kda_script *script)
{
    if (!script)
        return;
    list_free(&script->lines);
    list_free(&script->pairs);
    list_free(&script->frames);
    free(script);
}

size_t kda_script_stops(const struct kda_script *script)
{
    return script->stops;
}

uint64_t kda_script_files(const struct kda_script *script)
{
    return script->files;
}

uint64_t kda_script_narrow(const struct kda_script *script)
{
    return script->narrow;
}

const struct script_line *script_line(const struct kda_script *script, size_t i)
{
    return list_at(&script->lines, i, sizeof(struct script_line));
}

const struct script_api *script_api(const struct kda_script *script, uint32_t api)
{
    return api - FIRST_API < KDA_APIS ? &script->apis[api - FIRST_API] : NULL;
}

static bool keep(struct kda_script *script, const uint8_t *bytes, size_t size,
                 struct kda_bytes *out)
{
    out->size = (uint32_t)size;
    out->at = kda_store_add(script->store, bytes, size);
    return out->at != UINT64_MAX;
}

/* --- what it said by itself */

/* A message longer than a serial packet holds (KDNET's may be) is cut: its fixed part is not. */
static bool add_line(struct kda_script *script, const struct kda_event *event,
                     struct script_line *line)
{
    line->frame = event->frame;
    return keep(script, event->payload, smaller(event->payload_size, KD_PACKET_MAX_SIZE),
                &line->payload) &&
           list_add(&script->lines, line, sizeof *line);
}

static struct script_line *newest(struct kda_script *script)
{
    return script->lines.count
               ? list_at(&script->lines, script->lines.count - 1, sizeof(struct script_line))
               : NULL;
}

/* The newest stop, when nothing was said since. */
static struct script_line *newest_stop(struct kda_script *script)
{
    struct script_line *line = newest(script);

    return line && line->kind == LINE_STOP ? line : NULL;
}

static struct script_line *open_stop(struct kda_script *script)
{
    for (size_t i = script->stopped ? script->lines.count : 0; i-- > 0;) {
        struct script_line *line = list_at(&script->lines, i, sizeof *line);

        if (line->kind == LINE_STOP)
            return line;
    }
    return NULL;
}

static void leave(struct kda_script *script, uint32_t frame)
{
    struct script_line *stop = open_stop(script);

    if (stop)
        stop->until = frame;
    script->stopped = false;
}

static void mark_asked(struct kda_script *script)
{
    struct script_line *stop = open_stop(script);

    if (stop)
        stop->asked = true;
}

/* The target reports another stop, so it went on by itself. */
static void leave_unasked(struct kda_script *script, uint32_t frame)
{
    struct script_line *stop = open_stop(script);

    if (stop)
        stop->unseen = !stop->asked;
    leave(script, frame);
}

/* A stopped target repeats its state change after RESET, RESEND and break-in: at the same place. */
static bool repeats(const struct kda_script *script, const struct script_line *stop,
                    const uint8_t *payload)
{
    const struct kd_state_change64 *now = (const struct kd_state_change64 *)payload;
    uint8_t before[KD_STATE_CHANGE_UNION];
    const struct kd_state_change64 *then = (const struct kd_state_change64 *)before;

    return stop->payload.size >= sizeof before &&
           kda_store_read(script->store, stop->payload.at, before, sizeof before) &&
           kd_get32(now->new_state) == kd_get32(then->new_state) &&
           kd_get16(now->processor) == kd_get16(then->processor) &&
           kd_get64(now->program_counter) == kd_get64(then->program_counter);
}

static bool see_state_change(struct kda_script *script, const struct kda_event *event)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)event->payload;
    struct script_line *stop = newest_stop(script);
    struct script_line line = {.kind = LINE_STOP, .until = KDA_END, .switched = script->switching};

    if (event->payload_size < KD_STATE_CHANGE_TEXT)
        return true;
    script->number++;
    if (script->stopped && stop && repeats(script, stop, event->payload)) {
        stop->last = script->number;
        return true;
    }
    if (script->stopped)
        leave_unasked(script, event->frame ? event->frame - 1 : 0);
    line.number = line.last = script->number;
    line.processor = kd_get16(change->processor);
    script->stopped = true;
    script->switching = false;
    script->stops++;
    return add_line(script, event, &line);
}

static bool see_debug_io(struct kda_script *script, const struct kda_event *event)
{
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)event->payload;
    struct script_line line = {.kind = LINE_PRINT};

    if (event->payload_size < KD_DEBUG_IO_TEXT)
        return true;
    if (kd_get32(header->api_number) == KD_API_GET_STRING)
        line.kind = LINE_PROMPT;
    else if (kd_get32(header->api_number) != KD_API_PRINT_STRING)
        return true;
    return add_line(script, event, &line);
}

/* --- what it answered */

/* What the model has, time by time. */
static bool is_modelled(uint32_t api)
{
    switch (api) {
    case KD_API_READ_VIRTUAL_MEMORY:
    case KD_API_WRITE_VIRTUAL_MEMORY:
    case KD_API_READ_PHYSICAL_MEMORY:
    case KD_API_WRITE_PHYSICAL_MEMORY:
    case KD_API_GET_CONTEXT:
    case KD_API_SET_CONTEXT:
    case KD_API_GET_CONTEXT_EX:
    case KD_API_SET_CONTEXT_EX:
    case KD_API_READ_CONTROL_SPACE:
    case KD_API_WRITE_CONTROL_SPACE:
    case KD_API_WRITE_BREAKPOINT:
    case KD_API_RESTORE_BREAKPOINT:
        return true;
    default:
        return false;
    }
}

static void learn_api(struct kda_script *script, uint32_t api, uint32_t status)
{
    struct script_api *known = api - FIRST_API < KDA_APIS ? &script->apis[api - FIRST_API] : NULL;

    if (!known)
        return;
    if (status >= FAILED_STATUS) {
        if (!known->refusal)
            known->refusal = status;
    } else if (!known->succeeded) {
        known->succeeded = true;
        known->success = status;
    }
    known->answered = true;
}

static bool see_reply(struct kda_script *script, const struct kda_event *event)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)event->payload;
    struct script_pair pair = {.frame = event->frame};

    if (!event->request || event->payload_size < KD_MANIPULATE_DATA ||
        event->request_size < KD_MANIPULATE_DATA)
        return true;
    pair.api = kd_get32(header->api_number);
    learn_api(script, pair.api, kd_get32(header->return_status));
    if (is_modelled(pair.api) || script->pairs.count >= PAIRS_MAX)
        return true;
    return keep(script, event->request_payload, smaller(event->request_size, KD_PACKET_MAX_SIZE),
                &pair.request) &&
           keep(script, event->payload, smaller(event->payload_size, KD_PACKET_MAX_SIZE),
                &pair.reply) &&
           list_add(&script->pairs, &pair, sizeof pair);
}

/* Whether a request uses this byte of the union. */
static bool used(const struct kd_layout *layout, size_t offset)
{
    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];
        size_t size = field->count * kd_type_size((enum kd_type)field->type);

        if ((field->direction & KD_DIR_REQ) && offset >= field->offset &&
            offset - field->offset < size)
            return true;
    }
    return false;
}

bool same_request(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)a;
    const struct kd_api_info *info;

    if (a_size != b_size || a_size < KD_MANIPULATE_DATA || memcmp(a, b, sizeof(kd_u32)) != 0 ||
        memcmp(a + KD_MANIPULATE_DATA, b + KD_MANIPULATE_DATA, a_size - KD_MANIPULATE_DATA) != 0)
        return false;
    info = kd_api_find(kd_get32(header->api_number));
    if (!info)
        return memcmp(a + KD_MANIPULATE_UNION, b + KD_MANIPULATE_UNION, UNION_SIZE) == 0;
    for (size_t i = 0; i < UNION_SIZE; i++)
        if (a[KD_MANIPULATE_UNION + i] != b[KD_MANIPULATE_UNION + i] &&
            used(&kd_layouts[info->layout], i))
            return false;
    return true;
}

static bool asks_the_same(const struct kda_script *script, const struct script_pair *pair,
                          const uint8_t *request, size_t size)
{
    uint8_t recorded[KD_PACKET_MAX_SIZE];

    return pair->request.size == size &&
           kda_store_read(script->store, pair->request.at, recorded, size) &&
           same_request(recorded, size, request, size);
}

const struct script_pair *script_find(const struct kda_script *script, const uint8_t *request,
                                      size_t size, uint32_t first, uint32_t last, bool later)
{
    uint32_t api = kd_get32(((const struct kd_manipulate_header *)request)->api_number);
    const struct script_pair *found = NULL;

    for (size_t i = 0; i < script->pairs.count; i++) {
        const struct script_pair *pair = list_at(&script->pairs, i, sizeof *pair);

        if (pair->frame > last && (found || !later))
            break;
        if (pair->api != api || !asks_the_same(script, pair, request, size))
            continue;
        found = pair;
        if (pair->frame >= first)
            break;
    }
    return found;
}

/* --- the transcript */

static bool add_frame(struct kda_script *script, const struct kda_event *event)
{
    struct script_frame frame = {.frame = event->frame,
                                 .target = event->flow == KD_FLOW_TO_DEBUGGER,
                                 .noise = event->kind == KDA_NOISE};
    size_t size = event->size;

    if (!frame.target && event->flow != KD_FLOW_TO_TARGET)
        return true;
    /* What was damaged on its way, no debugger would send. */
    if (!frame.target &&
        (frame.noise || (event->packet && (event->packet->flags & (KDA_DAMAGED | KDA_CUT)))))
        return true;
    if (event->kind == KDA_PACKET && !kd_is_control(event->packet->type)) {
        size_t whole = KD_HEADER_SIZE + event->packet->size;

        frame.trailer = true;
        if (size > whole) {
            frame.trailer = event->bytes[whole] == KD_TRAILER;
            size = whole;
        }
    }
    return keep(script, event->bytes, size, &frame.bytes) &&
           list_add(&script->frames, &frame, sizeof frame);
}

static bool is_continue(const struct kda_event *event)
{
    uint32_t api = event->packet->message.api;

    return event->packet->type == KD_PACKET_STATE_MANIPULATE &&
           (api == KD_API_CONTINUE || api == KD_API_CONTINUE2 || api == KD_API_REBOOT);
}

static bool see_packet(struct kda_script *script, const struct kda_event *event)
{
    const struct kda_packet *packet = event->packet;

    if (packet->flags & KDA_PROTOCOL32) {
        script->narrow++;
        return true;
    }
    if (event->flow == KD_FLOW_TO_TARGET) {
        mark_asked(script);
        if (is_continue(event))
            leave(script, event->frame);
        else if (packet->type == KD_PACKET_STATE_MANIPULATE &&
                 packet->message.api == KD_API_SWITCH_PROCESSOR)
            script->switching = true;
        return true;
    }
    switch (packet->type) {
    case KD_PACKET_STATE_CHANGE64:
        return see_state_change(script, event);
    case KD_PACKET_DEBUG_IO:
        return see_debug_io(script, event);
    case KD_PACKET_STATE_MANIPULATE:
        return see_reply(script, event);
    case KD_PACKET_FILE_IO:
        script->files++;
        return true;
    default:
        return true;
    }
}

bool kda_script_event(struct kda_script *script, const struct kda_event *event)
{
    bool framed =
        event->kind == KDA_PACKET || event->kind == KDA_BREAKIN || event->kind == KDA_NOISE;

    if (framed && script->transcript && !add_frame(script, event))
        return false;
    return !kda_event_is_new(event) || see_packet(script, event);
}
