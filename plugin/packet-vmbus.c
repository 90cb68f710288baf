/* packet-vmbus.c - the protocol `vmbus`: records of a guest and its Hyper-V host.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The capture format is described in docs/formats.md, VMBus in docs/protocol.md. Each record is one
 * event. What an event means depends on those before it; vmbus-session.c works that out on the
 * first visit and stores it with the frame.
 *
 * Limitations: messages and rings only; the devices behind the channels (network, storage, video)
 * are not decoded.
 */
#include "packet-vmbus.h"

#include <epan/proto_data.h>
#include <epan/tap.h>

#include "registry.h"
#include "vmbus-show.h"

static int proto_vmbus = -1;
static int tap_vmbus = -1;

static int hf_channel = -1;
static int hf_channel_name = -1;
static int hf_channel_state = -1;
static int hf_offered_in = -1;
static int hf_opened_in = -1;
static int hf_request_in = -1;
static int hf_response_in = -1;
static int hf_time = -1;
static int hf_unknown = -1;
static int ett_vmbus = -1;

/* False when this is no record of a form that is known. */
static bool read_record(tvbuff_t *tvb, struct vmbus_record *record)
{
    uint32_t there = tvb_captured_length(tvb);
    const struct kd_vmbus_record *head;
    uint32_t head_size;

    if (there < sizeof *head)
        return false;
    head = (const void *)tvb_get_ptr(tvb, 0, (int)there);
    head_size = kd_get16(head->head_size);
    if (kd_get8(head->version) == 0 || head_size < sizeof *head || head_size > there)
        return false;
    *record = (struct vmbus_record){
        .kind = kd_get8(head->kind),
        .direction = kd_get8(head->direction),
        .flags = kd_get8(head->flags),
        .sint = kd_get8(head->sint),
        .vp = kd_get32(head->vp),
        .connection_id = kd_get32(head->connection_id),
        .relid = kd_get32(head->relid),
        .status = kd_get32(head->status),
        .number = kd_get32(head->number),
        .ring_size = kd_get32(head->ring_size),
        .ring_write = kd_get32(head->ring_write),
        .ring_read = kd_get32(head->ring_read),
        .ring_start = kd_get32(head->ring_start),
        .event_flag = kd_get32(head->event_flag),
        .data = (const uint8_t *)head + head_size,
        .size = there - head_size,
        .cut = tvb_reported_length(tvb) > there,
    };
    record->cut = record->cut || record->flags & KD_VMBUS_RECORD_CUT;
    return true;
}

static struct vmbus_event *find_event(packet_info *pinfo, const struct vmbus_record *record)
{
    uint32_t key = pinfo->curr_layer_num;
    struct vmbus_event *event = p_get_proto_data(wmem_file_scope(), pinfo, proto_vmbus, key);

    if (!event) {
        event = vmbus_session_see(pinfo, record);
        p_add_proto_data(wmem_file_scope(), pinfo, proto_vmbus, key, event);
    }
    return event;
}

static void set_ends(packet_info *pinfo, const struct vmbus_record *record)
{
    static const char guest[] = "guest", host[] = "host";
    bool to_guest = record->direction == KD_VMBUS_TO_GUEST;

    if (pinfo->src.type != AT_NONE || record->direction == KD_VMBUS_DIRECTION_NONE)
        return;
    set_address(&pinfo->src, AT_STRINGZ, to_guest ? sizeof host : sizeof guest,
                to_guest ? host : guest);
    set_address(&pinfo->dst, AT_STRINGZ, to_guest ? sizeof guest : sizeof host,
                to_guest ? guest : host);
}

static void show_peer(const struct vmbus_view *view)
{
    const struct vmbus_event *event = view->event;
    nstime_t delta;

    if (!event->peer)
        return;
    vmbus_show_frame_link(view, event->answers ? hf_request_in : hf_response_in,
                          event->peer->frame);
    if (!event->answers)
        return;
    nstime_delta(&delta, &event->time, &event->peer->time);
    proto_item_set_generated(proto_tree_add_time(view->tree, hf_time, view->tvb, 0, 0, &delta));
}

static void show_channel(const struct vmbus_view *view)
{
    const struct vmbus_channel *channel = view->event->channel;

    if (!channel)
        return;
    proto_item_set_generated(
        proto_tree_add_uint(view->tree, hf_channel, view->tvb, 0, 0, channel->relid));
    proto_item_set_generated(
        proto_tree_add_string(view->tree, hf_channel_name, view->tvb, 0, 0, channel->name));
    proto_item_set_generated(
        proto_tree_add_uint(view->tree, hf_channel_state, view->tvb, 0, 0, view->event->state));
    if (channel->offered_in != view->event->frame)
        vmbus_show_frame_link(view, hf_offered_in, channel->offered_in);
    if (view->event->opened_in != view->event->frame)
        vmbus_show_frame_link(view, hf_opened_in, view->event->opened_in);
}

/* The head, without what means nothing for this kind of record. */
static void show_head(tvbuff_t *tvb, const struct vmbus_view *view)
{
    static const int ring = (int)offsetof(struct kd_vmbus_record, ring_size);
    static const int flag = (int)offsetof(struct kd_vmbus_record, event_flag);
    static const struct kd_show all = {0, NULL, KD_SHOW_ALL, 0};
    const struct kd_show rest = {0, NULL, KD_SHOW_ALL, flag};
    bool packet = view->record->kind == KD_VMBUS_RECORD_PACKET;
    proto_tree *tree =
        kd_show_layout(view->tree, tvb, 0, packet ? flag : ring, KD_LAYOUT_vmbus_record, &all);

    if (view->record->kind == KD_VMBUS_RECORD_SIGNAL)
        kd_show_fields(tree, tvb, flag, 4, KD_LAYOUT_vmbus_record, &rest);
}

static void show_record(tvbuff_t *tvb, const struct vmbus_view *view)
{
    show_head(tvb, view);
    show_channel(view);
    show_peer(view);
}

/* Bytes that a ring packet carries. */
static uint32_t payload_of(const struct vmbus_record *record)
{
    const struct kd_vmbus_descriptor *descriptor = (const void *)record->data;
    uint32_t from, to;

    if (record->kind != KD_VMBUS_RECORD_PACKET || record->size < sizeof *descriptor)
        return 0;
    from = 8u * kd_get16(descriptor->offset8);
    to = 8u * kd_get16(descriptor->length8);
    return to > from ? to - from : 0;
}

static void tell_taps(packet_info *pinfo, const struct vmbus_view *view)
{
    struct vmbus_tapped *tapped;

    if (!have_tap_listener(tap_vmbus))
        return;
    tapped = wmem_new(pinfo->pool, struct vmbus_tapped);
    tapped->event = view->event;
    tapped->payload = payload_of(view->record);
    tap_queue_packet(tap_vmbus, pinfo, tapped);
}

static void show_event(tvbuff_t *tvb, struct vmbus_view *view)
{
    const char *info = vmbus_info_text(view);
    proto_item *item = proto_tree_add_item(view->top, proto_vmbus, tvb, 0, -1, ENC_NA);

    col_add_str(view->pinfo->cinfo, COL_INFO, info);
    if (proto_field_is_referenced(view->top, proto_vmbus)) {
        proto_item_append_text(item, ", %s", info);
        view->tree = proto_item_add_subtree(item, ett_vmbus);
        show_record(tvb, view);
    }
    vmbus_experts_show(view->pinfo, item, view->event->remarks);
    if (PINFO_FD_VISITED(view->pinfo) && view->event->wants_peer && !view->event->peer)
        vmbus_expert_add(view->pinfo, item, VMBUS_UNANSWERED);
    vmbus_show_data(view);
}

static int dissect_unknown(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree)
{
    proto_item *item = proto_tree_add_item(tree, proto_vmbus, tvb, 0, -1, ENC_NA);
    bool cut = tvb_captured_length(tvb) < tvb_reported_length(tvb);

    col_set_str(pinfo->cinfo, COL_INFO,
                cut ? "Record that was cut" : "Record of a form that is not known");
    proto_tree_add_item(proto_item_add_subtree(item, ett_vmbus), hf_unknown, tvb, 0, -1, ENC_NA);
    vmbus_expert_add(pinfo, item, cut ? VMBUS_CUT : VMBUS_RECORD);
    return (int)tvb_captured_length(tvb);
}

static int dissect_vmbus(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    struct vmbus_record record;
    struct vmbus_view view = {.pinfo = pinfo, .record = &record, .top = tree};

    col_set_str(pinfo->cinfo, COL_PROTOCOL, "VMBus");
    col_clear(pinfo->cinfo, COL_INFO);
    if (!read_record(tvb, &record))
        return dissect_unknown(tvb, pinfo, tree);
    set_ends(pinfo, &record);
    view.event = find_event(pinfo, &record);
    view.tvb = tvb_new_subset_remaining(tvb, (int)(tvb_captured_length(tvb) - record.size));
    show_event(tvb, &view);
    tell_taps(pinfo, &view);
    return (int)tvb_captured_length(tvb);
}

static void register_fields(void)
{
    static hf_register_info hf[] = {
        {&hf_channel, {"Channel", "vmbus.channel", FT_UINT32, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_channel_name,
         {"Channel's interface", "vmbus.channel.name", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_channel_state,
         {"Channel's state", "vmbus.channel.state", FT_UINT8, BASE_DEC, VALS(vmbus_channel_states),
          0, "After this event", HFILL}},
        {&hf_offered_in,
         {"Offered in", "vmbus.offered_in", FT_FRAMENUM, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_opened_in,
         {"Opened in", "vmbus.opened_in", FT_FRAMENUM, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_request_in,
         {"Request in", "vmbus.request_in", FT_FRAMENUM, BASE_NONE,
          FRAMENUM_TYPE(FT_FRAMENUM_REQUEST), 0, "Answered, or completed, by this event", HFILL}},
        {&hf_response_in,
         {"Response in", "vmbus.response_in", FT_FRAMENUM, BASE_NONE,
          FRAMENUM_TYPE(FT_FRAMENUM_RESPONSE), 0, "Answers, or completes, this event", HFILL}},
        {&hf_time,
         {"Time from request", "vmbus.time", FT_RELATIVE_TIME, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_unknown, {"Bytes", "vmbus.record.bytes", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
    };

    proto_register_field_array(proto_vmbus, hf, array_length(hf));
}

void proto_register_vmbus(void)
{
    static int *ett[] = {&ett_vmbus};

    proto_vmbus = proto_register_protocol("Hyper-V VMBus", "VMBus", "vmbus");
    register_fields();
    proto_register_subtree_array(ett, array_length(ett));
    vmbus_experts_register(proto_vmbus);
    vmbus_tree_register(proto_vmbus);
    vmbus_pages_register(proto_vmbus);
    vmbus_payload_register(proto_vmbus);
    vmbus_channels_register();
    vmbus_session_register();
    register_dissector("vmbus", dissect_vmbus, proto_vmbus);
    tap_vmbus = register_tap(VMBUS_TAP);
}
