/* packet-kd.c - the protocol `kd`: one packet, break-in or run of noise at a time.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * KD is what WinDbg and a stopped machine speak; docs/protocol.md describes it. Where the bytes
 * come from is the business of kd-stream.c (COM port, pipe, TCP) and packet-kdnet.c (UDP).
 *
 * Limitations: memory is not followed from packet to packet (the module list is that of the load
 * events); messages of protocol versions before 6 are shown from public structures, no capture of
 * them is known.
 */
#include "packet-kd.h"

#include "kd-info.h"
#include "kd-message.h"
#include "kd-stream.h"
#include "kd-tap.h"
#include "kd-timeline.h"
#include "kd/sender.h"
#include "registry.h"

#define NOISE_TEXT_MAX 200

static int proto_kd = -1;

static int hf_direction = -1;
static int hf_trailer = -1;
static int hf_breakin = -1;
static int hf_noise = -1;
static int hf_noise_text = -1;
static int hf_fragment = -1;
static int hf_fragment_in = -1;
static int hf_payload = -1;
static int hf_checksum_calculated = -1;
static int hf_expected_id = -1;
static int hf_request_in = -1;
static int hf_response_in = -1;
static int hf_time = -1;
static int hf_ack_in = -1;
static int hf_ack_to = -1;
static int hf_resend_of = -1;
static int hf_retransmission_of = -1;
static int hf_repeats = -1;
static int hf_unanswered = -1;
static int hf_unacknowledged = -1;
static int hf_stop = -1;

static int ett_kd = -1;

static const value_string direction_names[] = {
    {KD_FLOW_UNKNOWN, "unknown"},
    {KD_FLOW_TO_TARGET, "debugger to target"},
    {KD_FLOW_TO_DEBUGGER, "target to debugger"},
    {0, NULL},
};

int kd_proto(void)
{
    return proto_kd;
}

void kd_set_ends(packet_info *pinfo, enum kd_flow flow)
{
    static const char debugger[] = "debugger", target[] = "target";
    bool to_target = flow == KD_FLOW_TO_TARGET;

    if (pinfo->src.type != AT_NONE || flow == KD_FLOW_UNKNOWN)
        return;
    set_address(&pinfo->src, AT_STRINGZ, to_target ? sizeof debugger : sizeof target,
                to_target ? debugger : target);
    set_address(&pinfo->dst, AT_STRINGZ, to_target ? sizeof target : sizeof debugger,
                to_target ? target : debugger);
    /* Flow graphs know two kinds of addresses. */
    copy_address_shallow(&pinfo->net_src, &pinfo->src);
    copy_address_shallow(&pinfo->net_dst, &pinfo->dst);
}

/* What others than the session find out about a unit. */
static void see_unit(struct kd_session *session, const packet_info *pinfo, struct kd_unit *unit,
                     const uint8_t *bytes)
{
    const uint8_t *payload = unit->packet ? bytes + KD_HEADER_SIZE : NULL;
    size_t size = unit->packet ? unit->frame.payload : 0;

    kd_timeline_see(kd_session_timeline(session), pinfo, unit->packet, payload, size,
                    &unit->moment);
    if (unit->packet && !kd_is_control(unit->packet->type))
        kd_objects_see(kd_session_objects(session), session, unit->packet, payload, size,
                       &unit->part);
}

struct kd_unit *kd_unit_new(struct kd_session *session, const packet_info *pinfo,
                            const struct kd_frame *frame, enum kd_flow flow, const uint8_t *bytes,
                            unsigned flags)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    struct kd_unit *unit = wmem_new0(wmem_file_scope(), struct kd_unit);

    unit->frame = *frame;
    if (frame->kind == KD_FRAME_BREAKIN)
        flow = KD_FLOW_TO_TARGET;
    else if (flow == KD_FLOW_UNKNOWN && frame->kind == KD_FRAME_PACKET)
        flow =
            kd_packet_flow(kd_get16(header->packet_type), bytes + KD_HEADER_SIZE, frame->payload);
    unit->flow = flow;
    unit->packet = kd_session_frame(session, pinfo, flow, frame, bytes, flags, &unit->remarks);
    see_unit(session, pinfo, unit, bytes);
    return unit;
}

/* Several units of one frame are told in one line. */
static void append_info(packet_info *pinfo, const char *text)
{
    col_append_sep_str(pinfo->cinfo, COL_INFO, " | ", text);
    col_set_fence(pinfo->cinfo, COL_INFO);
}

static proto_item *add_frame_link(proto_tree *tree, int hf, tvbuff_t *tvb, uint32_t frame)
{
    proto_item *item = NULL;

    if (tree && frame) {
        item = proto_tree_add_uint(tree, hf, tvb, 0, 0, frame);
        proto_item_set_generated(item);
    }
    return item;
}

static void show_peer(tvbuff_t *tvb, proto_tree *tree, const struct kd_packet *packet)
{
    const struct kd_packet *peer = kd_packet_peer(packet);
    bool request =
        packet->flow ==
        (packet->type == KD_PACKET_STATE_MANIPULATE ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER);
    nstime_t delta;

    if (!peer || !tree)
        return;
    add_frame_link(tree, request ? hf_response_in : hf_request_in, tvb, peer->frame);
    if (request || (packet->flags & KD_PKT_RETRANSMISSION))
        return;
    nstime_delta(&delta, &packet->time, &peer->time);
    proto_item_set_generated(proto_tree_add_time(tree, hf_time, tvb, 0, 0, &delta));
}

/* The packet or request before lacked its ACK or reply when this one was sent. Later visits know
 * whether it came after all. */
static bool lacks_reply(const packet_info *pinfo, const struct kd_packet *packet)
{
    return packet->unanswered && !(PINFO_FD_VISITED(pinfo) && packet->unanswered->peer);
}

static bool lacks_ack(const packet_info *pinfo, const struct kd_packet *packet)
{
    return packet->unacknowledged &&
           !(PINFO_FD_VISITED(pinfo) && packet->unacknowledged->ack_frame);
}

/* Links to other packets of the same connection. */
static void show_links(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                       const struct kd_packet *packet)
{
    add_frame_link(tree, hf_stop, tvb, packet->stop);
    if (packet->type == KD_PACKET_ACKNOWLEDGE)
        add_frame_link(tree, hf_ack_to, tvb, packet->ack_frame);
    else if (packet->type == KD_PACKET_RESEND)
        add_frame_link(tree, hf_resend_of, tvb, packet->ack_frame);
    else
        add_frame_link(tree, hf_ack_in, tvb, packet->ack_frame);
    if (packet->flags & (KD_PKT_RETRANSMISSION | KD_PKT_REPAIRS))
        add_frame_link(tree, hf_retransmission_of, tvb, packet->original->frame);
    if (packet->flags & KD_PKT_REPEATED)
        add_frame_link(tree, hf_repeats, tvb, packet->original->frame);
    if (lacks_reply(pinfo, packet))
        add_frame_link(tree, hf_unanswered, tvb, packet->unanswered->frame);
    if (lacks_ack(pinfo, packet))
        add_frame_link(tree, hf_unacknowledged, tvb, packet->unacknowledged->frame);
    show_peer(tvb, tree, packet);
}

/* What only the rest of the capture could tell: known on every visit but the first. */
static void expert_hindsight(packet_info *pinfo, proto_item *item, const struct kd_packet *packet)
{
    const struct kd_api_info *api = kd_api_find(packet->api);
    bool repeated = packet->flags & (KD_PKT_RETRANSMISSION | KD_PKT_REPEATED);

    if (!PINFO_FD_VISITED(pinfo) || repeated || (packet->flags & KD_PKT_IGNORED) ||
        kd_is_control(packet->type))
        return;
    if (!packet->ack_frame)
        kd_expert_add(pinfo, item, KD_FINDING_UNACKNOWLEDGED);
    if (packet->type == KD_PACKET_STATE_MANIPULATE && packet->flow == KD_FLOW_TO_TARGET &&
        !kd_packet_peer(packet) && api && api->answer == KD_ANSWER_REPLY)
        kd_expert_add(pinfo, item, KD_FINDING_UNANSWERED);
}

/* Later visits know whether the ACK or reply came after all. */
static bool still_holds(const packet_info *pinfo, const struct kd_packet *packet,
                        enum kd_finding finding)
{
    if (finding == KD_FINDING_UNACKNOWLEDGED)
        return lacks_ack(pinfo, packet);
    return finding != KD_FINDING_UNANSWERED || lacks_reply(pinfo, packet);
}

static void expert_unit(packet_info *pinfo, proto_item *item, const struct kd_unit *unit)
{
    for (const struct kd_remark *remark = unit->remarks; remark; remark = remark->next)
        if (!unit->packet || still_holds(pinfo, unit->packet, remark->finding))
            expert_add_info_format(pinfo, item, kd_expert(remark->finding), "%s", remark->text);
    if (unit->packet)
        expert_hindsight(pinfo, item, unit->packet);
}

static void show_header(tvbuff_t *tvb, proto_tree *tree, const struct kd_unit *unit)
{
    struct kd_show show = {0, NULL, KD_SHOW_ALL, 0};
    proto_item *item;

    item = proto_tree_add_uint(tree, hf_direction, tvb, 0, 0, unit->flow);
    proto_item_set_generated(item);
    kd_show_fields(tree, tvb, 0, (int)KD_HEADER_SIZE, KD_LAYOUT_packet_header, &show);
    if (unit->frame.flags & KD_FRAME_BAD_CHECKSUM) {
        item = proto_tree_add_uint(tree, hf_checksum_calculated, tvb, 12, 4, unit->frame.checksum);
        proto_item_set_generated(item);
    }
    if (unit->packet->flags & KD_PKT_DESYNC) {
        item = proto_tree_add_uint(tree, hf_expected_id, tvb, 8, 4, unit->packet->expected_id);
        proto_item_set_generated(item);
    }
}

/* Where the unit stands: its connection, ends and time. */
static void show_place(tvbuff_t *tvb, const packet_info *pinfo, proto_tree *tree,
                       const struct kd_unit *unit)
{
    kd_ends_show(tvb, pinfo, tree);
    kd_moment_show(tvb, tree, &unit->moment);
    if (unit->packet)
        kd_srt_show(tvb, tree, unit->packet);
}

static void show_packet(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                        const struct kd_session *session, const struct kd_unit *unit)
{
    struct kd_view view = {pinfo, session, unit->packet};
    int payload = (int)unit->frame.payload;
    bool damaged = unit->frame.flags & KD_FRAME_BAD_CHECKSUM;
    const char *info;
    proto_item *item;
    proto_tree *subtree = NULL; /* nobody looks: columns and expert infos only */

    info = damaged
               ? wmem_strdup_printf(pinfo->pool, "%s with a wrong checksum",
                                    val_to_str_const(unit->packet->type,
                                                     kd_value_strings(KD_SET_ID_packet_type),
                                                     "Packet"))
               : kd_info_text(&view, tvb_get_ptr(tvb, KD_HEADER_SIZE, payload), (size_t)payload);
    append_info(pinfo, info);
    item = proto_tree_add_item(tree, proto_kd, tvb, 0, -1, ENC_NA);
    if (proto_field_is_referenced(tree, proto_kd)) {
        proto_item_append_text(item, ", %s", info);
        subtree = proto_item_add_subtree(item, ett_kd);
        show_place(tvb, pinfo, subtree, unit);
        show_header(tvb, subtree, unit);
        show_links(tvb, pinfo, subtree, unit->packet);
    }
    expert_unit(pinfo, item, unit);
    if (damaged)
        proto_tree_add_item(subtree, hf_payload, tvb, KD_HEADER_SIZE, payload, ENC_NA);
    else if (payload)
        kd_message_show(&view, subtree, item, tvb_new_subset_length(tvb, KD_HEADER_SIZE, payload));
    if (subtree && (int)tvb_captured_length(tvb) > (int)KD_HEADER_SIZE + payload)
        proto_tree_add_item(subtree, hf_trailer, tvb, (int)KD_HEADER_SIZE + payload, 1, ENC_NA);
}

static void show_noise(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                       const struct kd_unit *unit)
{
    int size = (int)tvb_captured_length(tvb);
    const uint8_t *bytes = tvb_get_ptr(tvb, 0, size);
    bool lost = unit->frame.flags & KD_FRAME_TRUNCATED;
    const char *text = !lost && kd_is_text(bytes, (size_t)size)
                           ? kd_info_quote(pinfo->pool, bytes, (size_t)size, NOISE_TEXT_MAX)
                           : NULL;
    proto_item *item;

    append_info(
        pinfo,
        lost   ? wmem_strdup_printf(pinfo->pool, "Damaged packet, %d bytes are left", size)
        : text ? wmem_strdup_printf(pinfo->pool, "Noise \"%s\"", text)
               : wmem_strdup_printf(pinfo->pool, "Noise, %d byte%s", size, size == 1 ? "" : "s"));
    item = proto_tree_add_item(tree, proto_kd, tvb, 0, -1, ENC_NA);
    proto_item_append_text(item, ", %s", lost ? "damaged packet" : "noise");
    tree = proto_item_add_subtree(item, ett_kd);
    proto_item_set_generated(proto_tree_add_uint(tree, hf_direction, tvb, 0, 0, unit->flow));
    show_place(tvb, pinfo, tree, unit);
    proto_tree_add_item(tree, hf_noise, tvb, 0, -1, ENC_NA);
    if (text)
        proto_tree_add_string(tree, hf_noise_text, tvb, 0, size, text);
    expert_unit(pinfo, item, unit);
}

static void show_breakin(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                         const struct kd_unit *unit)
{
    proto_item *item = proto_tree_add_item(tree, proto_kd, tvb, 0, -1, ENC_NA);

    append_info(pinfo, "Break-in");
    proto_item_append_text(item, ", Break-in");
    tree = proto_item_add_subtree(item, ett_kd);
    proto_item_set_generated(proto_tree_add_uint(tree, hf_direction, tvb, 0, 0, KD_FLOW_TO_TARGET));
    show_place(tvb, pinfo, tree, unit);
    proto_tree_add_item(tree, hf_breakin, tvb, 0, 1, ENC_NA);
    expert_unit(pinfo, item, unit);
}

void kd_unit_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                  const struct kd_session *session, const struct kd_unit *unit)
{
    pinfo->current_proto = "KD";
    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
    switch (unit->frame.kind) {
    case KD_FRAME_PACKET:
        show_packet(tvb, pinfo, tree, session, unit);
        break;
    case KD_FRAME_BREAKIN:
        show_breakin(tvb, pinfo, tree, unit);
        break;
    default:
        show_noise(tvb, pinfo, tree, unit);
        break;
    }
    kd_tap_unit(tvb, pinfo, session, unit);
}

void kd_fragment_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, enum kd_flow flow,
                      uint32_t shown_in)
{
    proto_item *item;

    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
    append_info(pinfo, shown_in
                           ? wmem_strdup_printf(pinfo->pool, "[Fragment, shown in %u]", shown_in)
                           : "[Fragment]");
    item = proto_tree_add_item(tree, proto_kd, tvb, 0, -1, ENC_NA);
    proto_item_append_text(item, ", fragment of %u bytes", tvb_captured_length(tvb));
    tree = proto_item_add_subtree(item, ett_kd);
    proto_item_set_generated(proto_tree_add_uint(tree, hf_direction, tvb, 0, 0, flow));
    proto_tree_add_item(tree, hf_fragment, tvb, 0, -1, ENC_NA);
    add_frame_link(tree, hf_fragment_in, tvb, shown_in);
}

static void register_fields(void)
{
#define LINK(hf, label, name, kind, help)                                            \
    {                                                                                \
        &hf,                                                                         \
        {                                                                            \
            label, name, FT_FRAMENUM, BASE_NONE, FRAMENUM_TYPE(kind), 0, help, HFILL \
        }                                                                            \
    }
    static hf_register_info hf[] = {
        {&hf_direction,
         {"Direction", "kd.direction", FT_UINT8, BASE_DEC, VALS(direction_names), 0, NULL, HFILL}},
        {&hf_trailer, {"Trailer", "kd.trailer", FT_UINT8, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_breakin,
         {"Break-in", "kd.breakin", FT_UINT8, BASE_HEX, NULL, 0,
          "The debugger asks a running target to stop", HFILL}},
        {&hf_noise,
         {"Noise", "kd.noise", FT_BYTES, BASE_NONE, NULL, 0,
          "Bytes that are neither packet nor break-in", HFILL}},
        {&hf_noise_text,
         {"Noise as text", "kd.noise.text", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_fragment,
         {"Fragment", "kd.fragment", FT_BYTES, BASE_NONE, NULL, 0,
          "Part of a packet that other frames complete", HFILL}},
        LINK(hf_fragment_in, "Shown in frame", "kd.fragment.in", FT_FRAMENUM_NONE, NULL),
        {&hf_payload,
         {"Payload", "kd.payload", FT_BYTES, BASE_NONE, NULL, 0, "Payload that cannot be trusted",
          HFILL}},
        {&hf_checksum_calculated,
         {"Calculated checksum", "kd.checksum.calculated", FT_UINT32, BASE_HEX, NULL, 0, NULL,
          HFILL}},
        {&hf_expected_id,
         {"Expected PacketId", "kd.id.expected", FT_UINT32, BASE_HEX, NULL, 0, NULL, HFILL}},
        LINK(hf_request_in, "Request in frame", "kd.request_in", FT_FRAMENUM_REQUEST,
             "The request that this packet answers"),
        LINK(hf_response_in, "Reply in frame", "kd.response_in", FT_FRAMENUM_RESPONSE,
             "The reply to this request"),
        {&hf_time,
         {"Time since request", "kd.time", FT_RELATIVE_TIME, BASE_NONE, NULL, 0, NULL, HFILL}},
        LINK(hf_ack_in, "Acknowledged in frame", "kd.ack_in", FT_FRAMENUM_ACK, NULL),
        LINK(hf_ack_to, "Acknowledges frame", "kd.ack_to", FT_FRAMENUM_ACK, NULL),
        LINK(hf_resend_of, "Asks for frame again", "kd.resend_of", FT_FRAMENUM_NONE,
             "The last data packet of the other side"),
        LINK(hf_retransmission_of, "Retransmission of frame", "kd.retransmission_of",
             FT_FRAMENUM_RETRANS_PREV, NULL),
        LINK(hf_repeats, "Repeats the request of frame", "kd.repeats", FT_FRAMENUM_RETRANS_PREV,
             "KDNET: an unanswered request sent again under a new id"),
        LINK(hf_unanswered, "Request not answered, in frame", "kd.unanswered", FT_FRAMENUM_NONE,
             "The request before this one got no reply"),
        LINK(hf_unacknowledged, "Packet not acknowledged, in frame", "kd.unacknowledged",
             FT_FRAMENUM_NONE, "The packet before this one got no ACK"),
        LINK(hf_stop, "Stopped since frame", "kd.stop", FT_FRAMENUM_NONE,
             "The state change that holds the target"),
    };
#undef LINK

    proto_register_field_array(proto_kd, hf, array_length(hf));
}

static void register_statistics(void)
{
    kd_tap_register(kd_export_register(proto_kd));
    kd_srt_register(proto_kd);
    kd_stops_register();
    kd_prints_register();
    kd_ends_register(proto_kd);
    kd_follow_register(proto_kd);
}

void proto_register_kd(void)
{
    static int *ett[] = {&ett_kd};

    proto_kd = proto_register_protocol("Windows Kernel Debugger protocol", "KD", "kd");
    register_fields();
    proto_register_subtree_array(ett, array_length(ett));
    kd_message_register(proto_kd);
    kd_stream_register(proto_kd);
    kd_timeline_register(proto_kd);
    register_statistics();
}

void proto_reg_handoff_kd(void)
{
    kd_stream_handoff();
    kd_tree_register();
}
