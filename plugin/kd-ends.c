/* kd-ends.c - conversations and endpoints of KD: -z conv,kd and -z endpoints,kd.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Packets are KD packets and break-ins, however records cut them; bytes are theirs, without noise
 * and what a network adds. Each connection is a line, also where several have the same ends.
 */
#include "compat.h"

#include <epan/conversation_table.h>

#include "kd-tap.h"

static int hf_src = -1;
static int hf_dst = -1;
static int hf_end = -1;

static bool counts(const struct kd_unit *unit)
{
    return unit->packet || unit->frame.kind == KD_FRAME_BREAKIN;
}

/* Lines without addresses have the ends "debugger" and "target". */
static const char *field_for(const address *end, conv_filter_type_e filter)
{
    static const char *const fields[][3] = {
        {"kd.src", "kd.dst", "kd.end"},
        {"ip.src", "ip.dst", "ip.addr"},
        {"ipv6.src", "ipv6.dst", "ipv6.addr"},
    };
    size_t row = end->type == AT_IPv4 ? 1 : end->type == AT_IPv6 ? 2 : 0;

    switch (filter) {
    case CONV_FT_SRC_ADDRESS:
        return fields[row][0];
    case CONV_FT_DST_ADDRESS:
        return fields[row][1];
    case CONV_FT_ANY_ADDRESS:
        return fields[row][2];
    default:
        return CONV_FILTER_INVALID;
    }
}

static const char *conversation_field(conv_item_t *item, conv_filter_type_e filter)
{
    return field_for(&item->src_address, filter);
}

static const char *endpoint_field(endpoint_item_t *item, conv_filter_type_e filter)
{
    return field_for(&item->myaddress, filter);
}

static tap_packet_status see_conversation(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                                          const void *tap_data, tap_flags_t flags)
{
    static ct_dissector_info_t info = {conversation_field};
    const struct kd_unit *unit = ((const struct kd_tapped *)tap_data)->unit;
    conv_hash_t *hash = data;

    hash->flags = flags;
    if (!counts(unit))
        return TAP_PACKET_DONT_REDRAW;
    add_conversation_table_data_with_conv_id(
        hash, &pinfo->src, &pinfo->dst, 0, 0, unit->moment.stream, 1, (int)unit->frame.size,
        &pinfo->rel_ts, &pinfo->abs_ts, &info, CONVERSATION_NONE);
    return TAP_PACKET_REDRAW;
}

static tap_packet_status see_endpoint(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                                      const void *tap_data, tap_flags_t flags)
{
    static et_dissector_info_t info = {endpoint_field};
    const struct kd_unit *unit = ((const struct kd_tapped *)tap_data)->unit;
    conv_hash_t *hash = data;
    int size = (int)unit->frame.size;

    hash->flags = flags;
    if (!counts(unit))
        return TAP_PACKET_DONT_REDRAW;
    add_endpoint_table_data(hash, &pinfo->src, 0, true, 1, size, &info, ENDPOINT_NONE);
    add_endpoint_table_data(hash, &pinfo->dst, 0, false, 1, size, &info, ENDPOINT_NONE);
    return TAP_PACKET_REDRAW;
}

static void add_end(tvbuff_t *tvb, proto_tree *tree, int hf, const address *end)
{
    proto_item_set_hidden(proto_tree_add_string(tree, hf, tvb, 0, 0, (const char *)end->data));
    proto_item_set_hidden(proto_tree_add_string(tree, hf_end, tvb, 0, 0, (const char *)end->data));
}

void kd_ends_show(tvbuff_t *tvb, const packet_info *pinfo, proto_tree *tree)
{
    if (!tree || pinfo->src.type != AT_STRINGZ || pinfo->dst.type != AT_STRINGZ)
        return;
    add_end(tvb, tree, hf_src, &pinfo->src);
    add_end(tvb, tree, hf_dst, &pinfo->dst);
}

void kd_ends_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_src,
         {"Sender", "kd.src", FT_STRINGZ, BASE_NONE, NULL, 0,
          "debugger or target, on a line without addresses", HFILL}},
        {&hf_dst,
         {"Receiver", "kd.dst", FT_STRINGZ, BASE_NONE, NULL, 0,
          "debugger or target, on a line without addresses", HFILL}},
        {&hf_end, {"Sender or receiver", "kd.end", FT_STRINGZ, BASE_NONE, NULL, 0, NULL, HFILL}},
    };

    proto_register_field_array(proto, hf, array_length(hf));
    register_conversation_table(proto, true, see_conversation, see_endpoint);
}
