/* kd-stops.c - the timeline of stops: -z kd,stops.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A row for each state change, which is filled in as the packets come that belong to the stop.
 */
#include "kd-info.h"
#include "kd-mode.h"
#include "kd-table.h"
#include "kd-tap.h"

enum column {
    COLUMN_FRAME,
    COLUMN_STREAM,
    COLUMN_TIME,
    COLUMN_DURATION,
    COLUMN_PROCESSOR,
    COLUMN_MODE,
    COLUMN_REQUESTS,
    COLUMN_READ,
    COLUMN_WRITTEN,
    COLUMN_LAST,
    COLUMN_END,
    COLUMN_REASON,
};

static stat_tap_table_item columns[] = {
    [COLUMN_FRAME] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Frame", "%5u"},
    [COLUMN_STREAM] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Stream", "%u"},
    [COLUMN_TIME] = {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Time", "%.6f"},
    [COLUMN_DURATION] = {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Stopped for", "%.6f"},
    [COLUMN_PROCESSOR] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "CPU", "%u"},
    [COLUMN_MODE] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Mode", "%s"},
    [COLUMN_REQUESTS] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Requests", "%u"},
    [COLUMN_READ] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Read", "%u"},
    [COLUMN_WRITTEN] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Written", "%u"},
    [COLUMN_LAST] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Until", "%u"},
    [COLUMN_END] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Ended by", "%s"},
    [COLUMN_REASON] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Reason", "%s"},
};

static stat_tap_table_item_type *add_stop(void *data, packet_info *pinfo,
                                          const struct kd_tapped *tapped)
{
    const struct kd_stop *stop = tapped->unit->moment.stop;
    stat_tap_table_item_type *row = kd_table_add(data, stop);
    struct kd_view view = kd_tapped_view(tapped, pinfo);

    if (!row)
        return NULL;
    kd_table_number(&row[COLUMN_FRAME], stop->change->frame);
    kd_table_number(&row[COLUMN_STREAM], tapped->unit->moment.stream);
    kd_table_seconds(&row[COLUMN_TIME], &stop->time);
    kd_table_number(&row[COLUMN_PROCESSOR], stop->processor);
    kd_table_text(&row[COLUMN_MODE], val_to_str_const(stop->mode, kd_mode_names, ""));
    kd_table_text(&row[COLUMN_REASON], kd_info_text(&view, tapped->payload, tapped->size));
    return row;
}

static void fill_in(stat_tap_table_item_type *row, const struct kd_stop *stop)
{
    kd_table_seconds(&row[COLUMN_DURATION], &stop->duration);
    kd_table_number(&row[COLUMN_REQUESTS], stop->requests);
    kd_table_number(&row[COLUMN_READ], stop->read);
    kd_table_number(&row[COLUMN_WRITTEN], stop->written);
    kd_table_number(&row[COLUMN_LAST], stop->last);
    kd_table_text(&row[COLUMN_END], val_to_str_const(stop->end, kd_stop_end_names, ""));
}

/* The state change that ends a stop belongs to the next one, and finishes the one before too. */
static tap_packet_status see(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    const struct kd_tapped *tapped = tap_data;
    const struct kd_moment *moment = &tapped->unit->moment;
    stat_tap_table_item_type *row;

    if (moment->before && (row = kd_table_find(data, moment->before)))
        fill_in(row, moment->before);
    if (!moment->stop)
        return TAP_PACKET_DONT_REDRAW;
    row = moment->stop->change == tapped->unit->packet ? add_stop(data, pinfo, tapped)
                                                       : kd_table_find(data, moment->stop);
    if (row)
        fill_in(row, moment->stop);
    return row ? TAP_PACKET_REDRAW : TAP_PACKET_DONT_REDRAW;
}

void kd_stops_register(void)
{
    static stat_tap_table_ui ui = {
        .title = "KD Stops",
        .tap_name = KD_TAP,
        .cli_string = "kd,stops",
        .packet_func = see,
        .nfields = array_length(columns),
        .fields = columns,
    };

    kd_table_register(&ui);
}
