/* vmbus-info.c - one event of VMBus in one line.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <inttypes.h>

#include "registry.h"
#include "vmbus-show.h"

static const char *label(enum kd_set_id set, uint32_t value)
{
    return try_val_to_str(value, kd_value_strings(set));
}

static uint32_t word(const struct vmbus_view *view, int offset)
{
    if (tvb_captured_length_remaining(view->tvb, offset) < 4)
        return 0;
    return tvb_get_letohl(view->tvb, offset);
}

/* "15 (Heartbeat)" */
static const char *channel_text(const struct vmbus_view *view)
{
    const struct vmbus_channel *channel = view->event->channel;

    if (!channel)
        return wmem_strdup_printf(view->pinfo->pool, "%u", view->record->relid);
    return wmem_strdup_printf(view->pinfo->pool, "%u (%s)", channel->relid, channel->name);
}

static const char *status_text(const struct vmbus_view *view, uint32_t status)
{
    const char *name = kd_ntstatus_name(status);

    return status ? wmem_strdup_printf(view->pinfo->pool, "status 0x%08x%s%s", status,
                                       name ? " " : "", name ? name : "")
                  : "ok";
}

static const char *version_text(const struct vmbus_view *view, uint32_t version)
{
    return wmem_strdup_printf(view->pinfo->pool, "%u.%u", version >> 16, version & 0xFFFF);
}

/* --- messages; `m` is the offset of the message in the data */

static const char *contact_text(const struct vmbus_view *view, int m)
{
    uint32_t version = word(view, m + 8);

    if (version < KD_VMBUS_VERSION_5_0)
        return version_text(view, version);
    return wmem_strdup_printf(view->pinfo->pool, "%s, SINT %u", version_text(view, version),
                              word(view, m + 16) & 0xFF);
}

static const char *response_text(const struct vmbus_view *view, int m)
{
    uint32_t answer = word(view, m + 8);
    uint32_t version = view->event->version;

    if (!(answer & 0xFF))
        return "not supported";
    if (answer >> 8 & 0xFF)
        return "supported, failed";
    if (version < KD_VMBUS_VERSION_5_0)
        return wmem_strdup_printf(view->pinfo->pool, "%s supported", version_text(view, version));
    return wmem_strdup_printf(view->pinfo->pool, "%s supported, connection 0x%x",
                              version_text(view, version), word(view, m + 12));
}

static const char *gpadl_text(const struct vmbus_view *view, int m)
{
    const char *which = wmem_strdup_printf(view->pinfo->pool, "0x%x, channel %u",
                                           word(view, m + 12), word(view, m + 8));
    uint32_t sizes = word(view, m + 16);

    switch (view->event->message) {
    case KD_VMBUS_GPADL_HEADER:
        return wmem_strdup_printf(view->pinfo->pool, "%s, %u bytes of ranges", which,
                                  sizes & 0xFFFF);
    case KD_VMBUS_GPADL_BODY:
        return wmem_strdup_printf(view->pinfo->pool, "0x%x, number %u", word(view, m + 12),
                                  word(view, m + 8));
    case KD_VMBUS_GPADL_CREATED:
        return wmem_strdup_printf(view->pinfo->pool, "%s, %s", which, status_text(view, sizes));
    case KD_VMBUS_GPADL_TORNDOWN:
        return wmem_strdup_printf(view->pinfo->pool, "0x%x", word(view, m + 8));
    default:
        return which;
    }
}

/* What stands behind the message's name, or null. */
static const char *details(const struct vmbus_view *view, int m)
{
    wmem_allocator_t *pool = view->pinfo->pool;

    switch (view->event->message) {
    case KD_VMBUS_OFFER_CHANNEL:
    case KD_VMBUS_RESCIND_OFFER:
    case KD_VMBUS_CLOSE_CHANNEL:
    case KD_VMBUS_RELID_RELEASED:
    case KD_VMBUS_MODIFY_CHANNEL:
        return channel_text(view);
    case KD_VMBUS_OPEN_CHANNEL:
        return wmem_strdup_printf(pool, "%s, GPADL 0x%x", channel_text(view), word(view, m + 16));
    case KD_VMBUS_OPEN_RESULT:
        return wmem_strdup_printf(pool, "%s, %s", channel_text(view),
                                  status_text(view, word(view, m + 16)));
    case KD_VMBUS_MODIFY_CHANNEL_RESPONSE:
        return wmem_strdup_printf(pool, "%s, %s", channel_text(view),
                                  status_text(view, word(view, m + 12)));
    case KD_VMBUS_TL_CONNECT_RESULT:
        return status_text(view, word(view, m + 40));
    case KD_VMBUS_GPADL_HEADER:
    case KD_VMBUS_GPADL_BODY:
    case KD_VMBUS_GPADL_CREATED:
    case KD_VMBUS_GPADL_TEARDOWN:
    case KD_VMBUS_GPADL_TORNDOWN:
        return gpadl_text(view, m);
    case KD_VMBUS_INITIATE_CONTACT:
        return contact_text(view, m);
    case KD_VMBUS_VERSION_RESPONSE:
        return response_text(view, m);
    default:
        return NULL;
    }
}

static const char *message_text(const struct vmbus_view *view)
{
    const struct kd_vmbus_message_info *info = kd_vmbus_message_find(view->event->message);
    uint32_t type = word(view, view->event->to_guest ? 0 : 8);
    const char *failed = !view->event->to_guest && view->record->status ? " [not posted]" : "";
    const char *more;

    if (!view->event->message)
        return type == KD_HV_MESSAGE_TIMER_EXPIRED
                   ? "SynIC message, timer expired"
                   : wmem_strdup_printf(view->pinfo->pool, "SynIC message of type 0x%x", type);
    if (!info)
        return wmem_strdup_printf(view->pinfo->pool, "VMBus message %u", view->event->message);
    more = details(view, (int)sizeof(struct kd_hv_message));
    return wmem_strdup_printf(view->pinfo->pool, "%s%s%s%s", info->name, more ? " " : "",
                              more ? more : "", failed);
}

/* --- packets */

const char *vmbus_info_integration(const struct vmbus_view *view, const uint8_t *bytes, int size)
{
    const struct kd_vmbus_ic *ic = (const void *)bytes;
    const char *type;
    uint8_t flags;

    if (size < (int)sizeof *ic)
        return "integration message";
    type = label(KD_SET_ID_vmbus_ic_type, kd_get16(ic->type));
    flags = kd_get8(ic->flags);
    return wmem_strdup_printf(view->pinfo->pool, "%s%s", type ? type : "integration message",
                              flags & KD_VMBUS_IC_REQUEST    ? " request"
                              : flags & KD_VMBUS_IC_RESPONSE ? " response"
                                                             : "");
}

/* Of a pipe packet that KD does not tell about. */
static const char *pipe_text(const struct vmbus_view *view, int offset, int size)
{
    int head = (int)sizeof(struct kd_vmbus_pipe);
    uint32_t type = word(view, offset), stated = word(view, offset + 4);
    const char *name = label(KD_SET_ID_vmbus_pipe_type, type);

    if (type != KD_VMBUS_PIPE_DATA)
        return wmem_strdup_printf(view->pinfo->pool, "pipe %s", name ? name : "packet");
    if (!stated)
        return "end of the stream";
    if (view->event->framed)
        return word(view, offset + head) == KD_VMBUS_FRAME_ACKNOWLEDGE
                   ? wmem_strdup_printf(view->pinfo->pool, "frame 0x%x acknowledged",
                                        word(view, offset + head + 12))
                   : wmem_strdup_printf(view->pinfo->pool, "frame 0x%x",
                                        word(view, offset + head + 12));
    if (view->event->channel->content == VMBUS_CONTENT_INTEGRATION && size > head)
        return vmbus_info_integration(view, tvb_get_ptr(view->tvb, offset + head, size - head),
                                      size - head);
    return wmem_strdup_printf(view->pinfo->pool, "%u bytes of data", stated);
}

static const char *packet_text(const struct vmbus_view *view)
{
    const struct kd_vmbus_descriptor *descriptor = (const void *)view->record->data;
    int there = (int)view->record->size, payload, length;
    const char *name;
    uint16_t type;

    if (there < (int)sizeof *descriptor)
        return wmem_strdup_printf(
            view->pinfo->pool, "Ring %s: %s", channel_text(view),
            val_to_str_const(view->record->status, kd_value_strings(KD_SET_ID_ring_status), "?"));
    type = kd_get16(descriptor->type);
    payload = 8 * kd_get16(descriptor->offset8);
    length = MIN(8 * kd_get16(descriptor->length8), there);
    if (view->event->in_pipe)
        return wmem_strdup_printf(view->pinfo->pool, "Ring %s: %s", channel_text(view),
                                  pipe_text(view, payload, length - payload));
    name = label(KD_SET_ID_vmbus_packet_type, type);
    return wmem_strdup_printf(view->pinfo->pool, "Ring %s: %s, %d bytes, transaction 0x%" PRIx64,
                              channel_text(view), name ? name : "packet",
                              length > payload ? length - payload : 0,
                              kd_get64(descriptor->transaction_id));
}

/* --- the others */

static const char *signal_text(const struct vmbus_view *view)
{
    const struct vmbus_record *record = view->record;
    const char *channel =
        view->event->channel
            ? wmem_strdup_printf(view->pinfo->pool, ", channel %s", channel_text(view))
            : "";

    if (record->flags & KD_VMBUS_RECORD_BY_MONITOR)
        return wmem_strdup_printf(view->pinfo->pool, "Signal by monitor page%s", channel);
    if (view->event->to_guest)
        return wmem_strdup_printf(view->pinfo->pool, "Event flag %u%s", record->event_flag,
                                  channel);
    return wmem_strdup_printf(view->pinfo->pool, "SignalEvent connection 0x%x flag %u%s",
                              record->connection_id, record->event_flag, channel);
}

static const char *msr_text(const struct vmbus_view *view)
{
    const struct kd_vmbus_record_msr *msr = (const void *)view->record->data;
    const char *name;

    if (view->record->size < sizeof *msr)
        return "MSR";
    name = label(KD_SET_ID_hv_msr, kd_get32(msr->msr));
    return wmem_strdup_printf(
        view->pinfo->pool, "%s %s = 0x%" PRIx64, view->event->to_guest ? "RDMSR" : "WRMSR",
        name ? name : wmem_strdup_printf(view->pinfo->pool, "0x%08x", kd_get32(msr->msr)),
        kd_get64(msr->value));
}

static const char *call_text(const struct vmbus_view *view)
{
    const struct kd_vmbus_record_hypercall *call = (const void *)view->record->data;
    uint32_t code, status;
    const char *name, *result;

    if (view->record->size < sizeof *call)
        return "Hypercall";
    code = (uint32_t)(kd_get64(call->control) & KD_HV_CALL_CODE);
    status = (uint32_t)(kd_get64(call->result) & KD_HV_RESULT_STATUS);
    name = label(KD_SET_ID_hv_call, code);
    result = label(KD_SET_ID_hv_status, status);
    return wmem_strdup_printf(
        view->pinfo->pool, "Hypercall %s: %s",
        name ? name : wmem_strdup_printf(view->pinfo->pool, "0x%x", code),
        result ? result : wmem_strdup_printf(view->pinfo->pool, "status 0x%x", status));
}

const char *vmbus_info_text(const struct vmbus_view *view)
{
    switch (view->event->kind) {
    case KD_VMBUS_RECORD_MESSAGE:
        return message_text(view);
    case KD_VMBUS_RECORD_PACKET:
        return packet_text(view);
    case KD_VMBUS_RECORD_SIGNAL:
        return signal_text(view);
    case KD_VMBUS_RECORD_MSR:
        return msr_text(view);
    case KD_VMBUS_RECORD_HYPERCALL:
        return call_text(view);
    case KD_VMBUS_RECORD_NOTE:
        return wmem_strdup_printf(view->pinfo->pool, "Note: %s",
                                  (const char *)tvb_get_string_enc(view->pinfo->pool, view->tvb, 0,
                                                                   (int)view->record->size,
                                                                   ENC_UTF_8));
    default:
        return wmem_strdup_printf(view->pinfo->pool, "Record of kind %u", view->event->kind);
    }
}
