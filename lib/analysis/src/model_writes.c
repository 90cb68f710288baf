/* model_writes.c - what the debugger changed: memory and breakpoints. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "model_parts.h"

#define BEFORE_MAX 4096u /* bytes before a write that are kept */

bool model_add_write(struct kda_model *model, const struct reply *reply, struct kda_write *write,
                     const uint8_t *data, size_t size)
{
    write->frame = reply->request_frame;
    write->reply = reply->packet->frame;
    write->stop = model_stop_frame(model);
    write->time = reply->request_time;
    write->processor = reply->packet->processor;
    write->status = reply->packet->message.status;
    if (!(model->keep & KDA_KEEP_WRITES) && !model->listener.write)
        return true;
    if (!model_keep_bytes(model, data, size, &write->data))
        return false;
    if (model->listener.write)
        model->listener.write(model->listener.context, write);
    return !(model->keep & KDA_KEEP_WRITES) ||
           list_add(&model->writes, write, sizeof *write) != NULL;
}

/* --- memory */

/* What was known of the place before. */
static bool keep_before(struct kda_model *model, bool physical, uint64_t address, size_t size,
                        struct kda_write *write)
{
    static const struct kda_view end = {.at = KDA_END};
    uint8_t before[BEFORE_MAX], bits[BEFORE_MAX / 8] = {0};
    uint32_t known[BEFORE_MAX];

    size = smaller(size, BEFORE_MAX);
    if (!(model->keep & KDA_KEEP_MEMORY) ||
        (!(model->keep & KDA_KEEP_WRITES) && !model->listener.write) ||
        kda_memory_read(model_space(model, physical), &end, address, before, known, size) == 0)
        return true;
    for (size_t i = 0; i < size; i++)
        if (known[i])
            bits[i / 8] |= (uint8_t)(1u << i % 8);
    return model_keep_bytes(model, before, size, &write->before) &&
           model_keep_bytes(model, bits, (size + 7) / 8, &write->known);
}

static void count_written(struct kda_model *model, uint64_t size)
{
    if (!model->stopped)
        return;
    model->stop.writes++;
    model->stop.written_bytes += size;
}

static bool see_fill(struct kda_model *model, const struct reply *reply)
{
    const struct kd_fill_memory *asked = (const struct kd_fill_memory *)reply->asked;
    const struct kd_fill_memory *done = (const struct kd_fill_memory *)reply->body;
    bool physical = kd_get16(asked->flags) & KD_FILL_PHYSICAL;
    size_t pattern = smaller(kd_get16(asked->pattern_length), reply->sent_size);
    struct kda_write write = {
        .kind = physical ? KDA_WRITE_FILL_PHYSICAL : KDA_WRITE_FILL_VIRTUAL,
        .address = kd_get64(asked->address),
        .size = kd_get32(asked->length),
        .actual = reply->succeeded ? kd_get32(done->length) : 0,
    };

    write.actual = (uint32_t)smaller(write.actual, write.size);
    if (!keep_before(model, physical, write.address, write.actual, &write))
        return false;
    count_written(model, write.actual);
    if (write.actual && pattern && (model->keep & KDA_KEEP_MEMORY) &&
        !kda_memory_fill(model_space(model, physical), KDA_FILL, reply->packet->frame,
                         model_stop_frame(model), write.address, reply->sent, pattern,
                         write.actual))
        return false;
    return model_add_write(model, reply, &write, reply->sent, pattern);
}

bool model_write_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kd_message *message = &reply->packet->message;
    bool physical = message->api == KD_API_WRITE_PHYSICAL_MEMORY;
    struct kda_write write = {
        .kind = physical ? KDA_WRITE_PHYSICAL : KDA_WRITE_VIRTUAL,
        .address = message->address,
        .size = message->requested,
        .actual = message->count,
    };

    if (message->api == KD_API_FILL_MEMORY)
        return see_fill(model, reply);
    write.actual = (uint32_t)smaller(write.actual, write.size);
    if (!keep_before(model, physical, write.address, smaller(write.actual, reply->sent_size),
                     &write))
        return false;
    count_written(model, write.actual);
    if (write.actual && reply->sent_size && (model->keep & KDA_KEEP_MEMORY) &&
        !kda_memory_see(model_space(model, physical), KDA_WRITE, reply->packet->frame,
                        model_stop_frame(model), write.address, reply->sent,
                        smaller(write.actual, reply->sent_size)))
        return false;
    return model_add_write(model, reply, &write, reply->sent,
                           smaller(write.size, reply->sent_size));
}

/* --- breakpoints */

static struct kda_breakpoint *breakpoint_at(struct kda_model *model, uint32_t index)
{
    return list_at(&model->breakpoints, index, sizeof(struct kda_breakpoint));
}

static void forget_active(struct kda_model *model, size_t place)
{
    model->active_count--;
    memmove(model->active + place, model->active + place + 1,
            (model->active_count - place) * sizeof model->active[0]);
}

bool model_set_breakpoint(struct kda_model *model, const struct kda_event *event,
                          const struct kda_breakpoint *breakpoint)
{
    struct kda_breakpoint set = *breakpoint;

    if (model->stopped)
        model->stop.breakpoints_set++;
    if (!(model->keep & KDA_KEEP_BREAKPOINTS))
        return true;
    set.set = event->frame;
    set.set_stop = model_stop_frame(model);
    set.set_time = event->time;
    if (model->active_count == ACTIVE_MAX)
        forget_active(model, 0);
    model->active[model->active_count++] = (uint32_t)model->breakpoints.count;
    return list_add(&model->breakpoints, &set, sizeof set) != NULL;
}

void model_clear_breakpoint(struct kda_model *model, const struct kda_event *event, uint32_t handle,
                            uint32_t number)
{
    if (model->stopped)
        model->stop.breakpoints_cleared++;
    for (size_t i = model->active_count; i-- > 0;) {
        struct kda_breakpoint *breakpoint = breakpoint_at(model, model->active[i]);
        bool meant = number ? model->active[i] + 1 == number
                            : !breakpoint->hardware && breakpoint->handle == handle;

        if (!meant)
            continue;
        breakpoint->cleared = event->frame;
        breakpoint->cleared_time = event->time;
        forget_active(model, i);
        return;
    }
}

void model_hit_breakpoints(struct kda_model *model, uint64_t pc)
{
    for (size_t i = 0; i < model->active_count; i++) {
        struct kda_breakpoint *breakpoint = breakpoint_at(model, model->active[i]);

        if (breakpoint->hardware && breakpoint->kind != 0
                ? (model->stop.dr6 >> breakpoint->handle & 1) != 0
                : breakpoint->address == pc)
            breakpoint->hits++;
    }
}

static bool see_set(struct kda_model *model, const struct reply *reply, uint64_t address,
                    uint32_t handle, bool fine)
{
    const struct kda_breakpoint breakpoint = {.address = address, .handle = handle};
    struct kda_write write = {
        .kind = KDA_WRITE_BREAKPOINT_SET, .address = address, .handle = handle};

    if (fine && !model_set_breakpoint(model, reply->event, &breakpoint))
        return false;
    return model_add_write(model, reply, &write, NULL, 0);
}

static uint64_t address_of(const struct kda_model *model, uint32_t handle)
{
    for (size_t i = model->active_count; i-- > 0;) {
        const struct kda_breakpoint *breakpoint =
            list_at(&model->breakpoints, model->active[i], sizeof *breakpoint);

        if (!breakpoint->hardware && breakpoint->handle == handle)
            return breakpoint->address;
    }
    return 0;
}

static bool see_clear(struct kda_model *model, const struct reply *reply, uint32_t handle,
                      bool fine)
{
    struct kda_write write = {
        .kind = KDA_WRITE_BREAKPOINT_CLEAR, .address = address_of(model, handle), .handle = handle};

    if (fine)
        model_clear_breakpoint(model, reply->event, handle, 0);
    return model_add_write(model, reply, &write, NULL, 0);
}

/* The array in a reply; a count that the data do not bear out is not believed. */
static bool see_array(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_breakpoint_ex *head = (const struct kd_breakpoint_ex *)reply->body;
    size_t one = set ? sizeof(struct kd_breakpoint_entry) : sizeof(struct kd_restore_breakpoint);
    size_t count = smaller(kd_get32(head->break_point_count), reply->data_size / one);
    bool fine = true;

    for (size_t i = 0; fine && i < count && i < KD_MAX_BREAKPOINTS; i++) {
        const struct kd_breakpoint_entry *entry = (const void *)(reply->data + i * one);
        const struct kd_restore_breakpoint *handle = (const void *)(reply->data + i * one);

        fine =
            set ? see_set(model, reply, kd_get64(entry->break_point_address),
                          kd_get32(entry->break_point_handle),
                          reply->succeeded && kd_get32(entry->break_point_handle) != 0)
                : see_clear(model, reply, kd_get32(handle->break_point_handle), reply->succeeded);
    }
    return fine;
}

bool model_breakpoint_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kd_write_breakpoint *set = (const void *)reply->body;
    const struct kd_write_breakpoint32 *set32 = (const void *)reply->body;
    const struct kd_restore_breakpoint *clear = (const void *)reply->body;
    const struct kd_write_custom_breakpoint *custom = (const void *)reply->body;

    switch (reply->packet->message.api) {
    case KD_API_WRITE_BREAKPOINT:
        return reply->narrow ? see_set(model, reply, kd_get32(set32->break_point_address),
                                       kd_get32(set32->break_point_handle), reply->succeeded)
                             : see_set(model, reply, kd_get64(set->break_point_address),
                                       kd_get32(set->break_point_handle), reply->succeeded);
    case KD_API_RESTORE_BREAKPOINT:
        return see_clear(model, reply, kd_get32(clear->break_point_handle), reply->succeeded);
    case KD_API_WRITE_BREAKPOINT_EX:
    case KD_API_RESTORE_BREAKPOINT_EX:
        return see_array(model, reply, reply->packet->message.api == KD_API_WRITE_BREAKPOINT_EX);
    default:
        return see_set(model, reply, kd_get64(custom->break_point_address),
                       kd_get32(custom->break_point_handle), reply->succeeded);
    }
}
