/* vmbus-payload.c - pipes: integration components, KD with and without frames, anything else.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "registry.h"
#include "vmbus-show.h"

static int hf_pipe_data = -1;
static int hf_pipe_end = -1;
static int hf_kd_bytes = -1;
static int hf_ic_data = -1;
static int hf_frame_calculated = -1;

static const struct kd_show plain = {0, NULL, KD_SHOW_ALL, 0};

/* --- integration components */

static enum kd_layout_id ic_layout(uint16_t type, uint16_t major)
{
    switch (type) {
    case KD_VMBUS_IC_NEGOTIATE:
        return KD_LAYOUT_vmbus_ic_negotiate;
    case KD_VMBUS_IC_HEARTBEAT:
        return KD_LAYOUT_vmbus_ic_heartbeat;
    case KD_VMBUS_IC_KVP_EXCHANGE:
        return KD_LAYOUT_vmbus_ic_kvp;
    case KD_VMBUS_IC_SHUTDOWN:
        return KD_LAYOUT_vmbus_ic_shutdown;
    case KD_VMBUS_IC_TIME_SYNC:
        return major >= 4 ? KD_LAYOUT_vmbus_ic_time4 : KD_LAYOUT_vmbus_ic_time;
    default:
        return KD_LAYOUT_none;
    }
}

/* The versions of a negotiation. */
static int show_versions(const struct vmbus_view *view, int offset, int size)
{
    int at = (int)sizeof(struct kd_vmbus_ic_negotiate);
    int step = (int)sizeof(struct kd_vmbus_ic_version);
    unsigned count;

    if (size < at)
        return at;
    count = tvb_get_letohs(view->tvb, offset) + tvb_get_letohs(view->tvb, offset + 2);
    for (; count && at + step <= size; count--, at += step)
        kd_show_layout(view->tree, view->tvb, offset + at, step, KD_LAYOUT_vmbus_ic_version,
                       &plain);
    return at;
}

static void show_integration(const struct vmbus_view *view, int offset, int size)
{
    int head = (int)sizeof(struct kd_vmbus_ic), left = size - head, used;
    enum kd_layout_id layout;
    uint16_t type;

    kd_show_layout(view->tree, view->tvb, offset, size, KD_LAYOUT_vmbus_ic, &plain);
    if (left <= 0)
        return;
    type = tvb_get_letohs(view->tvb, offset + 4);
    layout = ic_layout(type, tvb_get_letohs(view->tvb, offset + 6));
    used = (int)kd_layouts[layout].size;
    if (layout != KD_LAYOUT_none)
        kd_show_layout(view->tree, view->tvb, offset + head, left, layout, &plain);
    if (type == KD_VMBUS_IC_NEGOTIATE)
        used = show_versions(view, offset + head, left);
    if (left > used)
        proto_tree_add_item(view->tree, hf_ic_data, view->tvb, offset + head + used, left - used,
                            ENC_NA);
}

/* --- KD */

static void hand_to_kd(const struct vmbus_view *view, int offset, int size, int stated)
{
    enum kd_flow flow = view->event->to_guest ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;
    tvbuff_t *tvb;

    if (size <= 0)
        return;
    if (view->tree)
        proto_tree_add_item(view->tree, hf_kd_bytes, view->tvb, offset, size, ENC_NA);
    tvb = tvb_new_subset_length_caplen(view->tvb, offset, size, MAX(size, stated));
    kd_stream_dissect(view->event->channel->stream, tvb, view->pinfo, view->top, flow);
}

static void show_frame(const struct vmbus_view *view, int offset, int size)
{
    const struct kd_vmbus_frame *frame;
    uint32_t sum;
    proto_item *item;

    kd_show_layout(view->tree, view->tvb, offset, size, KD_LAYOUT_vmbus_frame, &plain);
    if (!view->tree || size < (int)sizeof *frame)
        return;
    frame = (const void *)tvb_get_ptr(view->tvb, offset, size);
    sum =
        kd_vmbus_frame_checksum(frame, (const uint8_t *)(frame + 1), (size_t)size - sizeof *frame);
    if (sum == kd_get32(frame->checksum) || view->record->cut)
        return;
    item = proto_tree_add_uint(view->tree, hf_frame_calculated, view->tvb, offset + 16, 4, sum);
    proto_item_set_generated(item);
}

/* The data of a pipe packet; `stated` is what its header says of their size. */
static void show_data(const struct vmbus_view *view, int offset, int size, int stated)
{
    int head = (int)sizeof(struct kd_vmbus_frame);

    if (view->event->framed) {
        show_frame(view, offset, size);
        if (view->event->to_kd)
            hand_to_kd(view, offset + head, size - head, stated - head);
        else if (view->tree && size > head)
            proto_tree_add_item(view->tree, hf_pipe_data, view->tvb, offset + head, size - head,
                                ENC_NA);
        return;
    }
    if (view->event->to_kd)
        hand_to_kd(view, offset, size, stated);
    else if (!view->tree)
        return;
    else if (view->event->channel->content == VMBUS_CONTENT_INTEGRATION)
        show_integration(view, offset, size);
    else
        proto_tree_add_item(view->tree, hf_pipe_data, view->tvb, offset, size, ENC_NA);
}

void vmbus_show_payload(const struct vmbus_view *view, int offset, int size)
{
    int head = (int)sizeof(struct kd_vmbus_pipe), there = size - head;
    uint32_t type = tvb_get_letohl(view->tvb, offset);
    uint32_t stated = tvb_get_letohl(view->tvb, offset + 4);

    if (view->tree)
        kd_show_layout(view->tree, view->tvb, offset, head,
                       type == KD_VMBUS_PIPE_PARTIAL ? KD_LAYOUT_vmbus_pipe_partial
                                                     : KD_LAYOUT_vmbus_pipe,
                       &plain);
    if (type == KD_VMBUS_PIPE_DATA && !stated && view->tree) {
        proto_item_set_generated(
            proto_tree_add_boolean(view->tree, hf_pipe_end, view->tvb, offset, head, true));
        return;
    }
    if (type == KD_VMBUS_PIPE_DATA)
        there = (int)MIN(stated, (uint32_t)there);
    else
        stated = (uint32_t)there;
    if (there > 0)
        show_data(view, offset + head, there, (int)MIN(stated, KD_VMBUS_PIPE_MAX));
}

void vmbus_payload_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_pipe_data,
         {"Pipe data", "vmbus.pipe.data", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_pipe_end,
         {"End of the stream", "vmbus.pipe.end", FT_BOOLEAN, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_kd_bytes,
         {"KD bytes", "vmbus.kd", FT_BYTES, BASE_NONE, NULL, 0,
          "Bytes of the KD stream that this channel carries", HFILL}},
        {&hf_ic_data,
         {"Rest of the message", "vmbus.ic.data", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_frame_calculated,
         {"Calculated checksum", "vmbus.frame.checksum_calculated", FT_UINT32, BASE_HEX, NULL, 0,
          NULL, HFILL}},
    };

    proto_register_field_array(proto, hf, array_length(hf));
}
