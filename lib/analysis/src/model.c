/* model.c - a session's facts: where events go, and what may be asked. See analysis/model.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "model_parts.h"

struct kda_model *kda_model_new(uint32_t keep, struct kda_store *store,
                                const struct kda_listener *listener)
{
    struct kda_model *model = calloc(1, sizeof *model);

    if (!model)
        return NULL;
    model->keep = keep;
    model->store = store;
    if (listener)
        model->listener = *listener;
    model->virtual = kda_memory_new(store);
    model->physical = kda_memory_new(store);
    if (model->virtual && model->physical)
        return model;
    kda_model_free(model);
    return NULL;
}

void kda_model_free(struct kda_model *model)
{
    struct list *lists[9];

    if (!model)
        return;
    lists[0] = &model->stops, lists[1] = &model->modules, lists[2] = &model->writes;
    lists[3] = &model->breakpoints, lists[4] = &model->contexts, lists[5] = &model->values;
    lists[6] = &model->texts, lists[7] = &model->files, lists[8] = &model->blocks;
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        list_free(lists[i]);
    kda_memory_free(model->virtual);
    kda_memory_free(model->physical);
    free(model);
}

uint32_t model_stop_frame(const struct kda_model *model)
{
    return model->stopped ? model->stop.frame : 0;
}

bool model_keep_bytes(struct kda_model *model, const uint8_t *bytes, size_t size,
                      struct kda_bytes *out)
{
    *out = (struct kda_bytes){.size = (uint32_t)size};
    if (size)
        out->at = kda_store_add(model->store, bytes, size);
    return out->at != UINT64_MAX;
}

/* --- events */

static bool see_message(struct kda_model *model, const struct kda_event *event)
{
    switch (event->packet->type) {
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_CHANGE64:
        return model_state_change(model, event);
    case KD_PACKET_STATE_MANIPULATE:
        return event->flow == KD_FLOW_TO_TARGET     ? model_request(model, event)
               : event->flow == KD_FLOW_TO_DEBUGGER ? model_reply(model, event)
                                                    : true;
    case KD_PACKET_DEBUG_IO:
        return model_debug_io(model, event);
    case KD_PACKET_TRACE_IO:
        return model_trace_io(model, event);
    case KD_PACKET_FILE_IO:
        return model_file_io(model, event);
    default:
        return true;
    }
}

/* A target that restarted holds nothing that it held before. */
static bool see_datagram(struct kda_model *model, const struct kda_event *event)
{
    if (!KD_HAS(event->datagram->findings, NET_RESTART))
        return true;
    return model_leave(model, KDA_LEFT_UNSEEN, event, 0) &&
           model_remove_modules(model, KD_REBOOT, event->frame, event->time);
}

bool kda_model_event(struct kda_model *model, const struct kda_event *event)
{
    model_count(model, event);
    if (event->kind == KDA_DATAGRAM)
        return see_datagram(model, event);
    if (event->kind == KDA_BREAKIN)
        model->asked = true;
    if (event->kind != KDA_PACKET)
        return true;
    if (kda_event_is_new(event))
        return see_message(model, event);
    if (model->stopped && (event->packet->flags & KDA_REPEATED))
        model->stop.repeated++;
    return true;
}

void kda_model_end(struct kda_model *model)
{
    model_end_stop(model);
    model_count_end(model);
    if (model->keep & KDA_KEEP_MODULES)
        model_finish_modules(model);
}

/* --- lists */

#define LIST(name, member)                                                             \
    size_t kda_model_##name##_count(const struct kda_model *model)                     \
    {                                                                                  \
        return model->member.count;                                                    \
    }                                                                                  \
    const struct kda_##name *kda_model_##name(const struct kda_model *model, size_t i) \
    {                                                                                  \
        return list_at(&model->member, i, sizeof(struct kda_##name));                  \
    }

LIST(stop, stops)
LIST(module, modules)
LIST(write, writes)
LIST(breakpoint, breakpoints)
LIST(context, contexts)
LIST(value, values)
LIST(text, texts)
LIST(file, files)

size_t kda_model_block_count(const struct kda_model *model)
{
    return model->blocks.count;
}

const struct kda_file_block *kda_model_block(const struct kda_model *model, size_t i)
{
    return list_at(&model->blocks, i, sizeof(struct kda_file_block));
}

const struct kda_counts *kda_model_counts(const struct kda_model *model)
{
    return &model->counts;
}

const struct kda_version *kda_model_version(const struct kda_model *model)
{
    return &model->version;
}

enum kd_arch kda_model_arch(const struct kda_model *model)
{
    return model->arch;
}

bool kda_model_bytes(const struct kda_model *model, struct kda_bytes bytes, uint8_t *out)
{
    return kda_store_read(model->store, bytes.at, out, bytes.size);
}

const struct kda_memory *kda_model_virtual(const struct kda_model *model)
{
    return model->virtual;
}

const struct kda_memory *kda_model_physical(const struct kda_model *model)
{
    return model->physical;
}

/* --- questions */

const struct kda_stop *kda_model_stop_at(const struct kda_model *model, uint32_t at)
{
    const struct kda_stop *stops = model->stops.items;
    size_t low = 0, high = model->stops.count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (stops[middle].frame <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low ? &stops[low - 1] : NULL;
}

const struct kda_module *kda_model_module_at(const struct kda_model *model, uint64_t address,
                                             uint32_t at)
{
    const struct kda_module *modules = model->modules.items;

    for (size_t i = model->modules.count; i-- > 0;) {
        const struct kda_module *module = &modules[i];

        if (module->loaded <= at && (!module->unloaded || module->unloaded >= at) &&
            address >= module->base && address - module->base < module->size)
            return module;
    }
    return NULL;
}

const struct kda_context *kda_model_context_at(const struct kda_model *model, uint16_t processor,
                                               uint32_t at, bool since_stop)
{
    const struct kda_context *contexts = model->contexts.items;
    const struct kda_stop *stop = since_stop ? kda_model_stop_at(model, at) : NULL;

    for (size_t i = model->contexts.count; i-- > 0;) {
        if (contexts[i].frame > at || contexts[i].processor != processor)
            continue;
        return since_stop && (!stop || contexts[i].frame < stop->frame) ? NULL : &contexts[i];
    }
    return NULL;
}

const struct kda_value *kda_model_value_at(const struct kda_model *model, enum kda_value_kind kind,
                                           uint16_t processor, uint64_t address, uint32_t at)
{
    const struct kda_value *values = model->values.items;

    for (size_t i = model->values.count; i-- > 0;)
        if (values[i].kind == kind && values[i].address == address && values[i].frame <= at &&
            values[i].status < FAILED_STATUS &&
            (kind == KDA_VALUE_PORT || values[i].processor == processor))
            return &values[i];
    return NULL;
}
