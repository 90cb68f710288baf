/* kd-follow.c - follow stream: what the target printed and asked, and what was answered.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A stream is a connection, numbered as kd.stream. The debugger is the client. An answer is shown
 * with the line end that was typed and is not sent.
 *
 * Wireshark 4.0 has no menu item for followers of plugins; there only tshark and sharkd have them.
 */
#include "compat.h"

#include <epan/follow.h>
#include <epan/proto_data.h>
#include <epan/to_str.h>

#include "kd-tap.h"
#include "kd-text.h"

#define STREAM_KEY UINT32_MAX /* of proto data; others are numbers of layers */

static int proto_kd = -1;

static char *filter_of_index(unsigned stream, unsigned sub_stream _U_)
{
    return g_strdup_printf("kd.stream == %u", stream);
}

/* The connection of a packet that is selected. It may be asked for without its tree. */
static char *filter_of_packet(epan_dissect_t *edt _U_, packet_info *pinfo, unsigned *stream,
                              unsigned *sub_stream)
{
    const uint32_t *number = p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, STREAM_KEY);

    if (!number)
        return NULL;
    *stream = *number;
    *sub_stream = 0;
    return filter_of_index(*stream, 0);
}

void kd_follow_see(packet_info *pinfo, const struct kd_unit *unit)
{
    if (!p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, STREAM_KEY))
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kd, STREAM_KEY,
                         (void *)&unit->moment.stream);
}

/* tshark -z follow,kd,ascii,ADDRESS:PORT,ADDRESS:PORT: connections on a network. */
static char *filter_of_ends(address *src, address *dst, int src_port, int dst_port)
{
    const char *ip = src->type == AT_IPv6 ? "ipv6" : "ip";
    char *one = address_to_str(NULL, src);
    char *other = address_to_str(NULL, dst);
    char *filter = g_strdup_printf("kd && %s.addr == %s && %s.addr == %s && (udp.port == %d && "
                                   "udp.port == %d || tcp.port == %d && tcp.port == %d)",
                                   ip, one, ip, other, src_port, dst_port, src_port, dst_port);

    wmem_free(NULL, one);
    wmem_free(NULL, other);
    return filter;
}

static char *port_text(wmem_allocator_t *allocator, unsigned port)
{
    return wmem_strdup_printf(allocator, "%u", port);
}

static void learn_ends(follow_info_t *info, const packet_info *pinfo, bool from_target)
{
    if (info->client_ip.type != AT_NONE)
        return;
    copy_address(&info->client_ip, from_target ? &pinfo->dst : &pinfo->src);
    copy_address(&info->server_ip, from_target ? &pinfo->src : &pinfo->dst);
    info->client_port = from_target ? pinfo->destport : pinfo->srcport;
    info->server_port = from_target ? pinfo->srcport : pinfo->destport;
}

static tap_packet_status see(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    const struct kd_tapped *tapped = tap_data;
    struct kd_text text = kd_text_of(tapped->unit->packet, tapped->payload, tapped->size);
    follow_info_t *info = data;
    follow_record_t *record;

    if (!text.size && text.kind != KD_TEXT_ANSWER)
        return TAP_PACKET_DONT_REDRAW;
    record = g_new0(follow_record_t, 1);
    record->is_server = text.kind != KD_TEXT_ANSWER;
    record->packet_num = pinfo->num;
    record->abs_ts = pinfo->abs_ts;
    record->data = g_byte_array_append(g_byte_array_new(), text.bytes, (unsigned)text.size);
    if (text.kind == KD_TEXT_ANSWER && (!text.size || text.bytes[text.size - 1] != '\n'))
        g_byte_array_append(record->data, (const uint8_t *)"\n", 1);
    learn_ends(info, pinfo, record->is_server);
    info->bytes_written[record->is_server] += record->data->len;
    info->payload = g_list_prepend(info->payload, record);
    return TAP_PACKET_REDRAW;
}

void kd_follow_register(int proto)
{
    proto_kd = proto;
#if KDLENS_WIRESHARK(4, 4)
    register_follow_stream(proto, KD_TAP_FOLLOW, filter_of_packet, filter_of_index, filter_of_ends,
                           port_text, see, kd_timeline_count, NULL);
#else
    register_follow_stream(proto, KD_TAP_FOLLOW, filter_of_packet, filter_of_index, filter_of_ends,
                           port_text, see);
#endif
}
