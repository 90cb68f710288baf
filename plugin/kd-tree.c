/* kd-tree.c - packets and bytes by direction, type and request: -z kd,tree.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Bytes are those on the line or in the datagram: header, payload, trailer. All packets are
 * counted, also those that were sent again.
 */
#include "compat.h"

#include <epan/stats_tree.h>

#include "kd-tap.h"
#include "registry.h"

#define READS "Bytes moved by a read of memory"

static int node_packets;
static int node_bytes;
static int node_other;

static void init(stats_tree *tree)
{
    node_packets = stats_tree_create_node(tree, "Packets", 0, STAT_DT_INT, true);
    node_bytes = stats_tree_create_node(tree, "Bytes", 0, STAT_DT_INT, true);
    stats_tree_create_range_node(tree, READS, 0, "0-0", "1-15", "16-63", "64-255", "256-1023",
                                 "1024-2047", "2048-", NULL);
    node_other = stats_tree_create_node(tree, "Line", 0, STAT_DT_INT, true);
}

static const char *sender(const struct kd_unit *unit)
{
    switch (unit->flow) {
    case KD_FLOW_TO_TARGET:
        return "Debugger";
    case KD_FLOW_TO_DEBUGGER:
        return "Target";
    default:
        return "Sender not known";
    }
}

static const char *request(const struct kd_packet *packet)
{
    static const enum kd_set_id sets[] = {
        [KD_PACKET_STATE_CHANGE32] = KD_SET_ID_new_state,
        [KD_PACKET_STATE_MANIPULATE] = KD_SET_ID_api,
        [KD_PACKET_DEBUG_IO] = KD_SET_ID_debug_io_api,
        [KD_PACKET_STATE_CHANGE64] = KD_SET_ID_new_state,
        [KD_PACKET_TRACE_IO] = KD_SET_ID_trace_io_api,
        [KD_PACKET_CONTROL_REQUEST] = KD_SET_ID_control_request_api,
        [KD_PACKET_FILE_IO] = KD_SET_ID_file_io_api,
    };
    enum kd_set_id set = packet->type < array_length(sets) ? sets[packet->type] : KD_SET_ID_none;
    uint32_t number = set == KD_SET_ID_new_state ? packet->api & 0xFFFF : packet->api;
    const char *name = set ? try_val_to_str(number, kd_value_strings(set)) : NULL;

    return name ? name : "Unknown";
}

static void count(stats_tree *tree, int parent, const struct kd_tapped *tapped, int value)
{
    const struct kd_packet *packet = tapped->unit->packet;
    const char *type =
        val_to_str_const(packet->type, kd_value_strings(KD_SET_ID_packet_type), "Unknown packet");
    bool control = kd_is_control(packet->type);
    int node = parent;

    increase_stat_node(tree, parent == node_packets ? "Packets" : "Bytes", 0, true, value);
    node = increase_stat_node(tree, sender(tapped->unit), node, true, value);
    node = increase_stat_node(tree, type, node, !control, value);
    if (!control && tapped->payload)
        increase_stat_node(tree, request(packet), node, false, value);
}

static void count_line(stats_tree *tree, const char *what)
{
    tick_stat_node(tree, "Line", 0, true);
    tick_stat_node(tree, what, node_other, false);
}

static void count_trouble(stats_tree *tree, const struct kd_tapped *tapped)
{
    const struct kd_packet *packet = tapped->unit->packet;

    if (!tapped->payload)
        count_line(tree, "Wrong checksum");
    if (packet->flags & KD_PKT_RETRANSMISSION)
        count_line(tree, "Sent again");
    if (packet->flags & KD_PKT_REPEATED)
        count_line(tree, "Request repeated");
    if (packet->flags & KD_PKT_DESYNC)
        count_line(tree, "PacketId out of step");
    if (packet->type == KD_PACKET_RESEND)
        count_line(tree, "RESEND");
    if (packet->type == KD_PACKET_RESET)
        count_line(tree, "RESET");
}

static void count_read(stats_tree *tree, const struct kd_tapped *tapped)
{
    const struct kd_packet *packet = tapped->unit->packet;
    const struct kd_api_info *api = kd_api_find(packet->api);

    if (!kd_tapped_is_new(tapped) || packet->type != KD_PACKET_STATE_MANIPULATE ||
        packet->flow != KD_FLOW_TO_DEBUGGER || !api ||
        (api->reply != KD_DATA_MEMORY && api->reply != KD_DATA_PHYSICAL))
        return;
    tick_stat_node(tree, READS, 0, true);
    stats_tree_tick_range(tree, READS, 0,
                          packet->status == KD_NT(STATUS_SUCCESS)
                              ? (int)MIN(packet->count, KD_CONTEXT_MAX_SIZE * 16u)
                              : 0);
}

static tap_packet_status see(stats_tree *tree, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    const struct kd_tapped *tapped = tap_data;
    const struct kd_unit *unit = tapped->unit;

    if (unit->frame.kind == KD_FRAME_BREAKIN) {
        count_line(tree, "Break-in");
    } else if (!unit->packet) {
        count_line(tree, "Noise");
    } else {
        count(tree, node_packets, tapped, 1);
        count(tree, node_bytes, tapped, (int)unit->frame.size);
        count_trouble(tree, tapped);
        count_read(tree, tapped);
    }
    return TAP_PACKET_REDRAW;
}

void kd_tree_register(void)
{
    stats_tree_register_plugin(KD_TAP, "kd", "KD Packets and Bytes", 0, see, init, NULL);
}
