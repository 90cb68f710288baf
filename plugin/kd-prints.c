/* kd-prints.c - what the target printed and asked, with time and processor: -z kd,prints.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-info.h"
#include "kd-table.h"
#include "kd-tap.h"
#include "kd-text.h"

#define TEXT_MAX 1000 /* characters */

enum column {
    COLUMN_FRAME,
    COLUMN_STREAM,
    COLUMN_TIME,
    COLUMN_PROCESSOR,
    COLUMN_KIND,
    COLUMN_TEXT
};

static stat_tap_table_item columns[] = {
    [COLUMN_FRAME] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Frame", "%5u"},
    [COLUMN_STREAM] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "Stream", "%u"},
    [COLUMN_TIME] = {TABLE_ITEM_FLOAT, TAP_ALIGN_RIGHT, "Time", "%.6f"},
    [COLUMN_PROCESSOR] = {TABLE_ITEM_UINT, TAP_ALIGN_RIGHT, "CPU", "%u"},
    [COLUMN_KIND] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "What", "%s"},
    [COLUMN_TEXT] = {TABLE_ITEM_STRING, TAP_ALIGN_LEFT, "Text", "%s"},
};

static tap_packet_status see(void *data, packet_info *pinfo, epan_dissect_t *edt _U_,
                             const void *tap_data, tap_flags_t flags _U_)
{
    static const char *const kinds[] = {"print", "prompt", "answer"};
    const struct kd_tapped *tapped = tap_data;
    struct kd_text text = kd_text_of(tapped->unit->packet, tapped->payload, tapped->size);
    stat_tap_table_item_type *row = kd_table_add(data, NULL);

    if (!row)
        return TAP_PACKET_DONT_REDRAW;
    kd_table_number(&row[COLUMN_FRAME], pinfo->num);
    kd_table_number(&row[COLUMN_STREAM], tapped->unit->moment.stream);
    kd_table_seconds(&row[COLUMN_TIME], &pinfo->rel_ts);
    kd_table_number(&row[COLUMN_PROCESSOR], text.processor);
    kd_table_text(&row[COLUMN_KIND], kinds[text.kind]);
    kd_table_text(&row[COLUMN_TEXT], kd_info_quote(pinfo->pool, text.bytes, text.size, TEXT_MAX));
    return TAP_PACKET_REDRAW;
}

void kd_prints_register(void)
{
    static stat_tap_table_ui ui = {
        .title = "KD Prints and Prompts",
        .tap_name = KD_TAP_FOLLOW,
        .cli_string = "kd,prints",
        .packet_func = see,
        .nfields = array_length(columns),
        .fields = columns,
    };

    kd_table_register(&ui);
}
