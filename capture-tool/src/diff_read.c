/* diff_read.c - a session as kdlens diff compares it. See diff.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "diff.h"
#include "facts.h"
#include "kd/describe.h"

#define LOOK_BACK 64u /* requests among which a reply's is */

static bool add(struct diff_items *items, const struct diff_item *item)
{
    struct diff_item *grown;

    if (items->count == DIFF_ITEMS_MAX) {
        items->cut = true;
        return true;
    }
    if (items->count == items->room) {
        items->room = items->room ? 2 * items->room : 256;
        grown = realloc(items->list, items->room * sizeof *grown);
        if (!grown)
            return false;
        items->list = grown;
    }
    items->list[items->count++] = *item;
    return true;
}

/* --- requests */

/* Requests about virtual memory have its address first and most of them a count next. */
static void take_arguments(struct diff_item *item, const uint8_t *payload, size_t size)
{
    const struct kd_memory *memory = (const void *)(payload + sizeof(struct kd_manipulate_header));

    if (size < sizeof(struct kd_manipulate_header) + sizeof *memory)
        return;
    switch (item->code) {
    case KD_API_READ_VIRTUAL_MEMORY:
    case KD_API_WRITE_VIRTUAL_MEMORY:
    case KD_API_FILL_MEMORY:
        item->address = kd_get64(memory->target_base_address);
        item->size = kd_get32(memory->transfer_count);
        break;
    case KD_API_READ_PHYSICAL_MEMORY:
    case KD_API_WRITE_PHYSICAL_MEMORY:
    case KD_API_READ_CONTROL_SPACE:
    case KD_API_WRITE_CONTROL_SPACE:
        item->size = kd_get32(memory->transfer_count);
        break;
    case KD_API_WRITE_BREAKPOINT:
    case KD_API_SEARCH_MEMORY:
        item->address = kd_get64(memory->target_base_address);
        break;
    default:
        break;
    }
}

static bool take_request(struct diff_side *side, const struct kda_event *event)
{
    struct diff_item item = {
        .frame = event->frame, .code = event->packet->message.api, .number = event->packet->number};

    if (!(event->packet->flags & KDA_PROTOCOL32))
        take_arguments(&item, event->payload, event->payload_size);
    return add(&side->items[DIFF_REQUESTS], &item);
}

static void take_reply(struct diff_side *side, const struct kda_event *event)
{
    struct diff_items *items = &side->items[DIFF_REQUESTS];

    for (size_t i = 0; i < LOOK_BACK && i < items->count; i++) {
        struct diff_item *item = &items->list[items->count - 1 - i];

        if (item->number != event->request->number)
            continue;
        item->answered = true;
        item->status = event->packet->message.status;
        return;
    }
}

/* The first session that has events, or the one that was asked for: others are left out. */
static bool take_event(void *context, unsigned session, const struct kda_event *event)
{
    struct diff_side *side = context;

    if (side->session == 0)
        side->session = session;
    if (session != side->session)
        return true;
    if (!kda_model_event(side->model, event))
        return false;
    if (!kda_event_is_new(event) || event->packet->type != KD_PACKET_STATE_MANIPULATE)
        return true;
    if (event->packet->flow == KD_FLOW_TO_TARGET)
        return take_request(side, event);
    if (event->request)
        take_reply(side, event);
    return true;
}

/* --- stops and modules */

static bool take_lists(struct diff_side *side)
{
    for (size_t i = 0; i < kda_model_stop_count(side->model); i++) {
        const struct diff_item item = {.frame = kda_model_stop(side->model, i)->frame,
                                       .index = (uint32_t)i};

        if (!add(&side->items[DIFF_STOPS], &item))
            return false;
    }
    for (size_t i = 0; i < kda_model_module_count(side->model); i++) {
        const struct diff_item item = {.frame = kda_model_module(side->model, i)->loaded,
                                       .index = (uint32_t)i};

        if (!add(&side->items[DIFF_MODULES], &item))
            return false;
    }
    return true;
}

/* --- words */

/* " place", or nothing. at: when. */
static void where(const struct diff_side *side, uint64_t address, uint32_t at, char *out,
                  size_t room)
{
    char place[PLACE_TEXT_SIZE];

    place_text(side->model, address, at, place);
    if (side->addresses)
        snprintf(out, room, " 0x%" PRIx64, address);
    else
        snprintf(out, room, "%s%s", place[0] ? " " : "", place);
}

static void stop_words(const struct diff_side *side, const struct kda_stop *stop, char *out)
{
    const char *name = kd_value_name(KD_SET_ID_ntstatus, stop->code);
    char place[PLACE_TEXT_SIZE + 1], code[64] = "";

    where(side, stop->pc, stop->left_frame ? stop->left_frame : KDA_END, place, sizeof place);
    if (stop->reason == KDA_REASON_EXCEPTION && name)
        snprintf(code, sizeof code, " %s", name);
    else if (stop->reason == KDA_REASON_EXCEPTION)
        snprintf(code, sizeof code, " 0x%08" PRIx32, stop->code);
    snprintf(out, DIFF_TEXT_SIZE, "%s%s%s%s, processor %u, %s", reason_name(stop->reason), code,
             place[0] ? " at" : "", place, stop->processor, leave_name(stop->leave));
}

static void module_words(const struct diff_side *side, const struct kda_module *module, char *out)
{
    char name[MODULE_NAME_SIZE], base[32] = "";

    module_name(side->model, module, name);
    if (side->addresses)
        snprintf(base, sizeof base, " at 0x%" PRIx64, module->base);
    snprintf(out, DIFF_TEXT_SIZE,
             "%s%s, 0x%" PRIx32 " bytes, checksum %08" PRIx32 ", time %08" PRIx32 "%s", name, base,
             module->size, module->checksum, module->timestamp,
             module->unloaded ? ", unloaded" : "");
}

static void request_words(const struct diff_side *side, const struct diff_item *item, char *out)
{
    const struct kd_api_info *api = kd_api_find(item->code);
    const char *status = kd_value_name(KD_SET_ID_ntstatus, item->status);
    char place[PLACE_TEXT_SIZE + 1] = "", size[32] = "", result[64] = "";

    if (item->address)
        where(side, item->address, item->frame, place, sizeof place);
    if (item->size)
        snprintf(size, sizeof size, " %" PRIu32 " bytes", item->size);
    if (!item->answered)
        snprintf(result, sizeof result, "%s",
                 api && api->answer == KD_ANSWER_REPLY ? ", no reply" : "");
    else if (item->status && status)
        snprintf(result, sizeof result, ", %s", status);
    else if (item->status)
        snprintf(result, sizeof result, ", 0x%08" PRIx32, item->status);
    if (api)
        snprintf(out, DIFF_TEXT_SIZE, "%s%s%s%s", api->name, place, size, result);
    else
        snprintf(out, DIFF_TEXT_SIZE, "request 0x%" PRIx32 "%s%s%s", item->code, place, size,
                 result);
}

void diff_text(const struct diff_side *side, enum diff_what what, const struct diff_item *item,
               char out[DIFF_TEXT_SIZE])
{
    if (what == DIFF_STOPS)
        stop_words(side, kda_model_stop(side->model, item->index), out);
    else if (what == DIFF_MODULES)
        module_words(side, kda_model_module(side->model, item->index), out);
    else
        request_words(side, item, out);
}

/* --- the interface */

/* FNV-1a, of 64 bits. */
static uint64_t hash(const char *text)
{
    uint64_t value = 0xcbf29ce484222325;

    for (; *text; text++)
        value = (value ^ (uint8_t)*text) * 0x100000001b3;
    return value;
}

static bool make_keys(struct diff_side *side)
{
    char text[DIFF_TEXT_SIZE];

    for (unsigned what = 0; what < DIFF_KINDS; what++) {
        struct diff_items *items = &side->items[what];

        items->keys = calloc(items->count + 1, sizeof *items->keys);
        if (!items->keys)
            return false;
        for (size_t i = 0; i < items->count; i++) {
            diff_text(side, (enum diff_what)what, &items->list[i], text);
            items->keys[i] = hash(text);
        }
    }
    return true;
}

bool diff_read(struct diff_side *side, const struct sessions_options *options, bool addresses,
               struct problem *problem)
{
    const struct sessions_handler handler = {side, take_event};

    *side = (struct diff_side){.addresses = addresses};
    side->sessions = sessions_open("diff", options, problem);
    if (!side->sessions)
        return false;
    problem_set(problem, "out of memory, or no room for a temporary file");
    side->store = kda_store_new(0);
    side->model = side->store ? kda_model_new(KDA_KEEP_STOPS | KDA_KEEP_MODULES | KDA_KEEP_MEMORY,
                                              side->store, NULL)
                              : NULL;
    if (!side->model || !sessions_run(side->sessions, &handler, problem))
        return false;
    kda_model_end(side->model);
    if (sessions_count(side->sessions) > 1 && !options->session)
        fprintf(stderr,
                "kdlens diff: %s holds several sessions; this is session %u, others by --session\n",
                options->capture, side->session);
    return take_lists(side) && make_keys(side);
}

void diff_forget(struct diff_side *side)
{
    for (unsigned what = 0; what < DIFF_KINDS; what++) {
        free(side->items[what].list);
        free(side->items[what].keys);
    }
    kda_model_free(side->model);
    kda_store_free(side->store);
    sessions_close(side->sessions);
    *side = (struct diff_side){0};
}
