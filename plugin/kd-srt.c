/* kd-srt.c - service response times: -z kd,srt.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Measured from the request that a reply answers, as kd.time is. Requests go both ways: the
 * debugger asks for memory, the target for files and for answers to prompts.
 */
#include "compat.h"

#include <epan/srt_table.h>

#include "kd-tap.h"

/* The GUI makes a display filter of the table's field and a row's number, so a row is numbered by
 * its ApiNumber, from the first one on. Targets that are no Windows may use any number: those
 * without a row are not counted. */
#define FIRST  KD_API_READ_VIRTUAL_MEMORY
#define ROWS   (KD_API_CLOSE_FILE - FIRST + 1)
#define FILTER "kd.request - 12592"

static int hf_request = -1;

static bool is_request_or_reply(const struct kd_packet *packet)
{
    return packet->type == KD_PACKET_STATE_MANIPULATE || packet->type == KD_PACKET_DEBUG_IO ||
           packet->type == KD_PACKET_FILE_IO;
}

void kd_srt_show(tvbuff_t *tvb, proto_tree *tree, const struct kd_packet *packet)
{
    if (tree && is_request_or_reply(packet))
        proto_item_set_hidden(proto_tree_add_uint(tree, hf_request, tvb, 0, 0, packet->api));
}

static const char *name_of(uint32_t number)
{
    const struct kd_api_info *api = kd_api_find(number);
    const char *name = api ? api->name : kd_value_name(KD_SET_ID_file_io_api, number);

    if (!name)
        name = kd_value_name(KD_SET_ID_debug_io_api, number);
    return name ? name : "unknown";
}

static void init(struct register_srt *srt _U_, GArray *tables)
{
    srt_stat_table *table =
        init_srt_table("KD requests", NULL, tables, (int)ROWS, "Request", FILTER, NULL);

    for (uint32_t row = 0; row < ROWS; row++)
        init_srt_table_row(table, (int)row, name_of(FIRST + row));
}

static bool is_reply(const struct kd_packet *packet)
{
    return is_request_or_reply(packet) &&
           packet->flow == (packet->type == KD_PACKET_STATE_MANIPULATE ? KD_FLOW_TO_DEBUGGER
                                                                       : KD_FLOW_TO_TARGET);
}

static tap_packet_status count(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                               const void *tap_data, tap_flags_t flags _U_)
{
    const struct kd_tapped *tapped = tap_data;
    const struct kd_packet *reply = tapped->unit->packet;
    srt_stat_table *table;

    if (!kd_tapped_is_new(tapped) || !reply->peer || !is_reply(reply) || reply->api - FIRST >= ROWS)
        return TAP_PACKET_DONT_REDRAW;
    table = g_array_index(((srt_data_t *)data)->srt_array, srt_stat_table *, 0);
    add_srt_table_data(table, (int)(reply->api - FIRST), &reply->peer->time, pinfo);
    return TAP_PACKET_REDRAW;
}

void kd_srt_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_request,
         {"Request", "kd.request", FT_UINT32, BASE_HEX, NULL, 0,
          "ApiNumber of a request or reply, of memory, files or text", HFILL}},
    };

    proto_register_field_array(proto, hf, array_length(hf));
    register_srt_table(proto, KD_TAP, 1, count, init, NULL);
}
