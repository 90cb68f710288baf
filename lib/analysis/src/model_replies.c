/* model_replies.c - what the target answers, by request. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A failed read may still carry the bytes before the first bad page, so what counts is how many
 * bytes there are, not the status.
 */
#include <string.h>

#include "model_parts.h"

/* physical_bulk: ActualBytes with these top bits counts repetitions of one dword. */
#define BULK_REPEATED UINT32_C(0x40000000)
#define BULK_COUNT    UINT32_C(0x3FFFFFFF)

struct kda_memory *model_space(const struct kda_model *model, bool physical)
{
    return physical ? model->physical : model->virtual;
}

/* Cuts a manipulate message: its union is copied to body, so that all of it can be read. */
static void cut(bool narrow, const uint8_t *payload, size_t size, uint8_t body[40],
                const uint8_t **data, size_t *data_size)
{
    size_t at = narrow ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    size_t behind = narrow ? KD_MANIPULATE32_DATA : KD_MANIPULATE_DATA;

    memset(body, 0, 40);
    if (size > at)
        memcpy(body, payload + at, smaller(size - at, 40));
    *data = size ? payload + smaller(size, behind) : payload;
    *data_size = size - smaller(size, behind);
}

/* --- versions */

static void learn_version(struct kda_model *model, const struct reply *reply)
{
    const struct kd_get_version64 *version = (const struct kd_get_version64 *)reply->body;
    const struct kd_arch_info *arch;

    if (reply->narrow || !reply->succeeded)
        return;
    model->version = (struct kda_version){
        .frame = reply->packet->frame,
        .major = kd_get16(version->major_version),
        .build = kd_get16(version->minor_version),
        .protocol = kd_get8(version->protocol_version),
        .secondary = kd_get8(version->kd_secondary_version),
        .flags = kd_get16(version->flags),
        .machine = kd_get16(version->machine_type),
        .kern_base = kd_get64(version->kern_base),
        .module_list = kd_get64(version->ps_loaded_module_list),
        .data_list = kd_get64(version->debugger_data_list),
        .data_block = model->version.data_block,
        .processors = model->version.processors,
    };
    arch = kd_arch_of_machine(model->version.machine);
    if (!arch)
        return;
    model->arch = arch->arch;
    model->arch_certain = true;
}

/* DebuggerDataList points at a pointer to the block; the debugger reads that pointer first. */
static void learn_data_block(struct kda_model *model, uint64_t address, const uint8_t *data,
                             size_t size)
{
    const struct kd_arch_info *arch = kd_arch_info(model->arch);
    size_t pointer = arch ? arch->pointer_size : 8;
    uint64_t value = 0;

    if (!model->version.data_list || address != model->version.data_list || size < pointer)
        return;
    for (size_t i = 0; i < pointer; i++)
        value |= (uint64_t)data[i] << (8 * i);
    /* 32-bit targets state addresses sign-extended everywhere else. */
    model->version.data_block = pointer == 4 ? (uint64_t)(int64_t)(int32_t)(uint32_t)value : value;
}

/* --- reads */

static bool see_bytes(struct kda_model *model, const struct reply *reply, bool physical,
                      uint64_t address, const uint8_t *bytes, size_t size)
{
    if (model->stopped) {
        model->stop.reads++;
        model->stop.read_bytes += size;
    }
    if (!physical)
        learn_data_block(model, address, bytes, size);
    if (!(model->keep & KDA_KEEP_MEMORY))
        return true;
    return kda_memory_see(model_space(model, physical), KDA_READ, reply->packet->frame,
                          model_stop_frame(model), address, bytes, size);
}

static bool read_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kda_packet *packet = reply->packet;

    return see_bytes(model, reply, packet->message.api == KD_API_READ_PHYSICAL_MEMORY,
                     packet->message.address, reply->data,
                     smaller(packet->message.count, reply->data_size));
}

static bool bulk_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kd_physical_bulk *bulk = (const struct kd_physical_bulk *)reply->body;
    uint64_t address = kd_get64(bulk->target_base_address);
    uint32_t actual = kd_get32(bulk->actual_bytes);
    uint64_t size = (uint64_t)(actual & BULK_COUNT) * 4;

    if ((actual & ~BULK_COUNT) != BULK_REPEATED || reply->data_size < 4)
        return see_bytes(model, reply, true, address, reply->data,
                         smaller(actual & BULK_COUNT, reply->data_size));
    if (model->stopped) {
        model->stop.reads++;
        model->stop.read_bytes += size;
    }
    return !(model->keep & KDA_KEEP_MEMORY) ||
           kda_memory_fill(model->physical, KDA_READ, reply->packet->frame, model_stop_frame(model),
                           address, reply->data, 4, size);
}

static bool search_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kd_search_memory *asked = (const struct kd_search_memory *)reply->asked;
    uint64_t found = kd_get64(*(const kd_u64 *)reply->body);
    size_t size = smaller(kd_get32(asked->pattern_length), reply->sent_size);

    if (!reply->succeeded || !size || !(model->keep & KDA_KEEP_MEMORY))
        return true;
    return kda_memory_see(model->virtual, KDA_SEARCH, reply->packet->frame, model_stop_frame(model),
                          found, reply->sent, size);
}

/* --- all of them */

static bool dispatch(struct kda_model *model, const struct reply *reply)
{
    switch (reply->packet->message.api) {
    case KD_API_READ_VIRTUAL_MEMORY:
    case KD_API_READ_PHYSICAL_MEMORY:
        return read_reply(model, reply);
    case KD_API_READ_PHYSICAL_BULK:
        return bulk_reply(model, reply);
    case KD_API_SEARCH_MEMORY:
        return search_reply(model, reply);
    case KD_API_GET_VERSION:
        learn_version(model, reply);
        return true;
    case KD_API_WRITE_VIRTUAL_MEMORY:
    case KD_API_WRITE_PHYSICAL_MEMORY:
    case KD_API_FILL_MEMORY:
        return model_write_reply(model, reply);
    case KD_API_WRITE_BREAKPOINT:
    case KD_API_RESTORE_BREAKPOINT:
    case KD_API_WRITE_BREAKPOINT_EX:
    case KD_API_RESTORE_BREAKPOINT_EX:
    case KD_API_WRITE_CUSTOM_BREAKPOINT:
    case KD_API_WRITE_CUSTOM_BREAKPOINT_EX:
        return model_breakpoint_reply(model, reply);
    case KD_API_GET_CONTEXT:
    case KD_API_SET_CONTEXT:
    case KD_API_GET_CONTEXT_EX:
    case KD_API_SET_CONTEXT_EX:
        return model_context_reply(model, reply);
    default:
        return model_value_reply(model, reply);
    }
}

bool model_reply(struct kda_model *model, const struct kda_event *event)
{
    uint8_t body[40], asked[40];
    struct reply reply = {
        .event = event,
        .packet = event->packet,
        .narrow = (event->packet->flags & KDA_PROTOCOL32) != 0,
        .succeeded = event->packet->message.status < FAILED_STATUS,
        .body = body,
        .asked = asked,
        .request_frame = event->request ? event->request->frame : event->frame,
        .request_time = event->request ? event->request->time : event->time,
    };

    if (event->payload_size < sizeof(struct kd_manipulate_header32))
        return true;
    cut(reply.narrow, event->payload, event->payload_size, body, &reply.data, &reply.data_size);
    if (event->request)
        cut(reply.narrow, event->request_payload, event->request_size, asked, &reply.sent,
            &reply.sent_size);
    else
        memset(asked, 0, sizeof asked);
    if (model->stopped && !reply.succeeded)
        model->stop.refused++;
    if (model->switching && event->packet->message.api == KD_API_SWITCH_PROCESSOR)
        model->switching = false;
    return dispatch(model, &reply);
}
