/* kd-table.h - statistics that are a list of rows, one for each thing that happened.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_TABLE_H
#define KDLENS_PLUGIN_KD_TABLE_H

#include "compat.h"

#include <epan/stat_tap_ui.h>

/* Registers a ui that has its names, its columns and packet_func; what all lists have in common is
 * filled in. It lives as long as Wireshark. */
void kd_table_register(stat_tap_table_ui *ui);

/* The table of a tap listener's data. */
stat_tap_table *kd_table_of(void *tap_data);

/* A new row of the ui's columns, all empty; tag is what it is about. Returns its first item, or
 * null when there are too many rows. */
stat_tap_table_item_type *kd_table_add(void *tap_data, const void *tag);

/* The row added last with this tag, or null. */
stat_tap_table_item_type *kd_table_find(void *tap_data, const void *tag);

void kd_table_number(stat_tap_table_item_type *item, uint64_t value);
void kd_table_seconds(stat_tap_table_item_type *item, const nstime_t *time);
void kd_table_text(stat_tap_table_item_type *item, const char *text);

#endif
