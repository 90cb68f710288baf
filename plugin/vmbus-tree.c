/* vmbus-tree.c - the data of a record as fields.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "registry.h"
#include "vmbus-show.h"

static int hf_interface_name = -1;
static int hf_instance_name = -1;
static int hf_service_name = -1;
static int hf_call_input = -1;
static int hf_note = -1;
static int hf_payload = -1;
static int hf_data = -1;
static int ett_message = -1;

static const struct kd_show plain = {0, NULL, KD_SHOW_ALL, 0};

proto_item *vmbus_show_frame_link(const struct vmbus_view *view, int hf, uint32_t frame)
{
    proto_item *item = NULL;

    if (view->tree && frame) {
        item = proto_tree_add_uint(view->tree, hf, view->tvb, 0, 0, frame);
        proto_item_set_generated(item);
    }
    return item;
}

/* --- messages */

static void show_guid_name(proto_tree *tree, tvbuff_t *tvb, int hf, int offset)
{
    uint8_t guid[16];
    const char *label;

    if (tvb_captured_length_remaining(tvb, offset) < (int)sizeof guid)
        return;
    tvb_memcpy(tvb, guid, offset, sizeof guid);
    label = kd_vmbus_guid_label(guid);
    if (label)
        proto_item_set_generated(
            proto_tree_add_string(tree, hf, tvb, offset, (int)sizeof guid, label));
}

static void show_offer(proto_tree *tree, tvbuff_t *tvb, int size)
{
    int flags = (int)offsetof(struct kd_vmbus_offer, flags);
    int user = (int)offsetof(struct kd_vmbus_offer, user_defined);

    show_guid_name(tree, tvb, hf_interface_name,
                   (int)offsetof(struct kd_vmbus_offer, interface_type));
    show_guid_name(tree, tvb, hf_instance_name,
                   (int)offsetof(struct kd_vmbus_offer, interface_instance));
    if (size >= (int)sizeof(struct kd_vmbus_offer) &&
        tvb_get_letohs(tvb, flags) & KD_VMBUS_OFFER_NAMED_PIPE)
        kd_show_layout(tree, tvb, user, (int)sizeof(struct kd_vmbus_offer_pipe),
                       KD_LAYOUT_vmbus_offer_pipe, &plain);
}

/* What a message has beside the fields of its layout. */
static void show_rest(const struct vmbus_view *view, proto_tree *tree, tvbuff_t *tvb, int size)
{
    int header = (int)sizeof(struct kd_vmbus_gpadl_header);
    int body = (int)sizeof(struct kd_vmbus_gpadl_body);
    int before = (int)sizeof(struct kd_hv_message);

    switch (view->event->message) {
    case KD_VMBUS_OFFER_CHANNEL:
        show_offer(tree, tvb, size);
        break;
    case KD_VMBUS_TL_CONNECT_REQUEST:
    case KD_VMBUS_TL_CONNECT_RESULT:
        show_guid_name(tree, tvb, hf_service_name,
                       (int)offsetof(struct kd_vmbus_tl_connect, service_id));
        break;
    case KD_VMBUS_GPADL_HEADER:
        if (size >= header)
            vmbus_show_ranges(tree, tvb, header, size - header, tvb_get_letohs(tvb, 18));
        break;
    case KD_VMBUS_GPADL_BODY:
        vmbus_show_pages(view, tree, before + body, size - body);
        break;
    }
}

static void show_channel_message(const struct vmbus_view *view, int offset, int size)
{
    const struct kd_vmbus_message_info *info = kd_vmbus_message_find(view->event->message);
    tvbuff_t *tvb = tvb_new_subset_length(view->tvb, offset, size);
    proto_tree *tree;

    tree = proto_tree_add_subtree(view->tree, tvb, 0, size, ett_message, NULL,
                                  info ? info->name : "VMBus message");
    kd_show_fields(tree, tvb, 0, size,
                   info ? kd_vmbus_message_layout(info, view->event->version)
                        : KD_LAYOUT_vmbus_message,
                   &plain);
    if (!info && size > (int)sizeof(struct kd_vmbus_message))
        proto_tree_add_item(tree, hf_data, tvb, (int)sizeof(struct kd_vmbus_message), -1, ENC_NA);
    if (info)
        show_rest(view, tree, tvb, size);
    vmbus_show_gpadl(view);
}

/* What the head says, or what is there. */
static int payload_size(const struct vmbus_view *view)
{
    int head = (int)sizeof(struct kd_hv_message);
    uint32_t stated =
        view->event->to_guest ? tvb_get_uint8(view->tvb, 4) : tvb_get_letohl(view->tvb, 12);
    uint32_t there = (uint32_t)tvb_captured_length_remaining(view->tvb, head);

    return (int)MIN(stated, there);
}

static void show_message(const struct vmbus_view *view)
{
    int head = (int)sizeof(struct kd_hv_message);
    int size;

    kd_show_layout(view->tree, view->tvb, 0, (int)view->record->size,
                   view->event->to_guest ? KD_LAYOUT_hv_message : KD_LAYOUT_hv_post_message,
                   &plain);
    if ((int)view->record->size < head)
        return;
    size = payload_size(view);
    if (view->event->message && size >= (int)sizeof(struct kd_vmbus_message))
        show_channel_message(view, head, size);
    else if (size)
        proto_tree_add_item(view->tree, hf_data, view->tvb, head, size, ENC_NA);
}

/* --- ring packets */

/* The extra header of a packet that points at memory. */
static void show_pointers(const struct vmbus_view *view, uint16_t type, int offset, int size)
{
    bool pages = type == KD_VMBUS_PACKET_TRANSFER_PAGES;
    int head = 8, at = offset + head;
    uint32_t count;

    if (!view->tree || size < head || (!pages && type != KD_VMBUS_PACKET_GPA_DIRECT))
        return;
    kd_show_layout(view->tree, view->tvb, offset, head,
                   pages ? KD_LAYOUT_vmbus_transfer_pages : KD_LAYOUT_vmbus_gpa_direct, &plain);
    count = tvb_get_letohl(view->tvb, offset + 4);
    if (!pages) {
        vmbus_show_ranges(view->tree, view->tvb, at, size - head, count);
        return;
    }
    for (uint32_t i = 0; i < count && offset + size - at >= 8; i++, at += 8)
        kd_show_layout(view->tree, view->tvb, at, 8, KD_LAYOUT_vmbus_range, &plain);
}

static void show_packet(const struct vmbus_view *view)
{
    int there = (int)view->record->size, head = (int)sizeof(struct kd_vmbus_descriptor);
    int payload, length;
    uint16_t type;

    if (there < head)
        return;
    if (view->tree)
        kd_show_layout(view->tree, view->tvb, 0, there, KD_LAYOUT_vmbus_descriptor, &plain);
    type = tvb_get_letohs(view->tvb, 0);
    payload = MIN(8 * tvb_get_letohs(view->tvb, 2), there);
    length = MIN(8 * tvb_get_letohs(view->tvb, 4), there);
    show_pointers(view, type, head, payload - head);
    if (payload >= head && length > payload) {
        if (type == KD_VMBUS_PACKET_IN_BAND && view->event->in_pipe)
            vmbus_show_payload(view, payload, length - payload);
        else if (view->tree)
            proto_tree_add_item(view->tree, hf_payload, view->tvb, payload, length - payload,
                                ENC_NA);
    }
    if (view->tree && length >= head && there - length >= (int)sizeof(struct kd_vmbus_footer))
        kd_show_layout(view->tree, view->tvb, length, (int)sizeof(struct kd_vmbus_footer),
                       KD_LAYOUT_vmbus_footer, &plain);
}

/* --- MSRs, hypercalls, notes */

static void show_msr(const struct vmbus_view *view)
{
    int value = (int)offsetof(struct kd_vmbus_record_msr, value);
    proto_tree *tree = kd_show_layout(view->tree, view->tvb, 0, (int)view->record->size,
                                      KD_LAYOUT_vmbus_record_msr, &plain);
    uint32_t msr;

    if (view->record->size < sizeof(struct kd_vmbus_record_msr))
        return;
    msr = tvb_get_letohl(view->tvb, 0);
    if (msr >= KD_HV_MSR_SINT0 && msr <= KD_HV_MSR_SINT15)
        kd_show_fields(tree, view->tvb, value, 8, KD_LAYOUT_hv_sint_msr, &plain);
    else if (msr == KD_HV_MSR_HYPERCALL || msr == KD_HV_MSR_SIEFP || msr == KD_HV_MSR_SIMP ||
             msr == KD_HV_MSR_SCONTROL)
        kd_show_fields(tree, view->tvb, value, 8, KD_LAYOUT_hv_page_msr, &plain);
}

static enum kd_layout_id input_layout(uint32_t code)
{
    switch (code) {
    case KD_HV_CALL_POST_MESSAGE:
        return KD_LAYOUT_hv_post_message;
    case KD_HV_CALL_SIGNAL_EVENT:
        return KD_LAYOUT_hv_signal_event;
    case KD_HV_CALL_POST_DEBUG_DATA:
        return KD_LAYOUT_hv_post_debug_data;
    case KD_HV_CALL_RETRIEVE_DEBUG_DATA:
        return KD_LAYOUT_hv_retrieve_debug_data;
    case KD_HV_CALL_RESET_DEBUG_SESSION:
        return KD_LAYOUT_hv_reset_debug_session;
    default:
        return KD_LAYOUT_none;
    }
}

static void show_call(const struct vmbus_view *view)
{
    int head = (int)sizeof(struct kd_vmbus_record_hypercall), left = (int)view->record->size - head;
    enum kd_layout_id layout;

    kd_show_layout(view->tree, view->tvb, 0, (int)view->record->size,
                   KD_LAYOUT_vmbus_record_hypercall, &plain);
    if (left <= 0)
        return;
    layout = input_layout(tvb_get_letohs(view->tvb, 0));
    if (layout != KD_LAYOUT_none)
        kd_show_layout(view->tree, view->tvb, head, left, layout, &plain);
    proto_tree_add_item(view->tree, hf_call_input, view->tvb, head, left, ENC_NA);
}

void vmbus_show_data(const struct vmbus_view *view)
{
    if (view->event->kind == KD_VMBUS_RECORD_PACKET)
        show_packet(view);
    if (!view->tree || !view->record->size)
        return;
    switch (view->event->kind) {
    case KD_VMBUS_RECORD_MESSAGE:
        show_message(view);
        break;
    case KD_VMBUS_RECORD_MSR:
        show_msr(view);
        break;
    case KD_VMBUS_RECORD_HYPERCALL:
        show_call(view);
        break;
    case KD_VMBUS_RECORD_NOTE:
        proto_tree_add_item(view->tree, hf_note, view->tvb, 0, -1, ENC_UTF_8);
        break;
    case KD_VMBUS_RECORD_PACKET:
        break;
    default:
        proto_tree_add_item(view->tree, hf_data, view->tvb, 0, -1, ENC_NA);
        break;
    }
}

void vmbus_tree_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_interface_name,
         {"Interface", "vmbus.offer.interface_name", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_instance_name,
         {"Instance", "vmbus.offer.instance_name", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_service_name,
         {"Service", "vmbus.tl.service_name", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_call_input,
         {"Input block", "vmbus.hypercall.block", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_note, {"Note", "vmbus.note", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_payload,
         {"Payload", "vmbus.packet.payload", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_data, {"Data", "vmbus.data", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
    };
    static int *ett[] = {&ett_message};

    proto_register_field_array(proto, hf, array_length(hf));
    proto_register_subtree_array(ett, array_length(ett));
}
