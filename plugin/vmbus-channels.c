/* vmbus-channels.c - the channels of a capture and what went through them: -z vmbus,channels.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-table.h"
#include "vmbus-show.h"

enum column {
    COLUMN_SINT,
    COLUMN_RELID,
    COLUMN_INTERFACE,
    COLUMN_OFFERED,
    COLUMN_OPENED,
    COLUMN_STATE,
    COLUMN_TO_HOST,
    COLUMN_TO_HOST_BYTES,
    COLUMN_TO_GUEST,
    COLUMN_TO_GUEST_BYTES,
    COLUMN_SIGNALS_TO_HOST,
    COLUMN_SIGNALS_TO_GUEST,
    COLUMN_MESSAGES,
};

static stat_tap_table_item columns[] = {
    [COLUMN_SINT] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "SINT", "%u"},
    [COLUMN_RELID] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Channel", "%u"},
    [COLUMN_INTERFACE] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Interface", "%-38s"},
    [COLUMN_OFFERED] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Offered in", "%u"},
    [COLUMN_OPENED] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Opened in", "%u"},
    [COLUMN_STATE] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "State", "%-9s"},
    [COLUMN_TO_HOST] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Packets to host", "%u"},
    [COLUMN_TO_HOST_BYTES] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Bytes to host", "%u"},
    [COLUMN_TO_GUEST] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Packets to guest", "%u"},
    [COLUMN_TO_GUEST_BYTES] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Bytes to guest", "%u"},
    [COLUMN_SIGNALS_TO_HOST] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Signals to host", "%u"},
    [COLUMN_SIGNALS_TO_GUEST] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Signals to guest", "%u"},
    [COLUMN_MESSAGES] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Messages", "%u"},
};

static stat_tap_table_item_type *row_of(void *data, const struct vmbus_channel *channel)
{
    stat_tap_table_item_type *row = kd_table_find(data, channel);

    if (row || !(row = kd_table_add(data, channel)))
        return row;
    kd_table_number(&row[COLUMN_SINT], channel->sint);
    kd_table_number(&row[COLUMN_RELID], channel->relid);
    kd_table_text(&row[COLUMN_INTERFACE], channel->name);
    kd_table_number(&row[COLUMN_OFFERED], channel->offered_in);
    return row;
}

static void add(stat_tap_table_item_type *item, uint32_t value)
{
    kd_table_number(item, (uint64_t)item->value.uint_value + value);
}

static tap_packet_status see(void *data, packet_info *pinfo _U_, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    const struct vmbus_tapped *tapped = tap_data;
    const struct vmbus_event *event = tapped->event;
    stat_tap_table_item_type *row = event->channel ? row_of(data, event->channel) : NULL;

    if (!row)
        return TAP_PACKET_DONT_REDRAW;
    if (event->opened_in)
        kd_table_number(&row[COLUMN_OPENED], event->opened_in);
    kd_table_text(&row[COLUMN_STATE], val_to_str_const(event->state, vmbus_channel_states, ""));
    if (event->kind == KD_VMBUS_RECORD_PACKET) {
        add(&row[event->to_guest ? COLUMN_TO_GUEST : COLUMN_TO_HOST], 1);
        add(&row[event->to_guest ? COLUMN_TO_GUEST_BYTES : COLUMN_TO_HOST_BYTES], tapped->payload);
    } else if (event->kind == KD_VMBUS_RECORD_SIGNAL) {
        add(&row[event->to_guest ? COLUMN_SIGNALS_TO_GUEST : COLUMN_SIGNALS_TO_HOST], 1);
    } else {
        add(&row[COLUMN_MESSAGES], 1);
    }
    return TAP_PACKET_REDRAW;
}

void vmbus_channels_register(void)
{
    static stat_tap_table_ui ui = {
        .title = "VMBus Channels",
        .tap_name = VMBUS_TAP,
        .cli_string = "vmbus,channels",
        .packet_func = see,
        .nfields = array_length(columns),
        .fields = columns,
    };

    kd_table_register(&ui);
}
