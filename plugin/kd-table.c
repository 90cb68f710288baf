/* kd-table.c - rows of a statistics table that grow as packets come. See kd-table.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The GUI keeps pointers to rows until it has reset the table, so a row never moves. A row's tag is
 * kept in its first item.
 */
#include "kd-table.h"

#define ROWS   100000u /* no one reads more */
#define LATEST 4096u   /* rows that may still be filled in */

static void free_item(stat_tap_table *table _U_, unsigned row _U_, unsigned column _U_,
                      stat_tap_table_item_type *item)
{
    if (item->type == TABLE_ITEM_STRING)
        g_free((char *)item->value.string_value);
    item->type = TABLE_ITEM_NONE;
}

static void reset(stat_tap_table *table)
{
    for (unsigned row = 0; row < table->num_elements; row++) {
        for (unsigned column = 0; column < table->num_fields; column++)
            free_item(table, row, column, &table->elements[row][column]);
        g_free(table->elements[row]);
    }
    table->num_elements = 0;
}

static void init(stat_tap_table_ui *ui)
{
    stat_tap_table *table = stat_tap_find_table(ui, ui->title);

    if (table)
        reset(table);
    else
        stat_tap_add_table(ui, stat_tap_init_table(ui->title, (int)ui->nfields, 0, NULL));
}

void kd_table_register(stat_tap_table_ui *ui)
{
    ui->group = REGISTER_PACKET_STAT_GROUP_UNSORTED;
    ui->stat_tap_init_cb = init;
    ui->stat_tap_reset_table_cb = reset;
    ui->stat_tap_free_table_item_cb = free_item;
    register_stat_tap_table_ui(ui);
}

stat_tap_table *kd_table_of(void *tap_data)
{
    stat_data_t *data = tap_data;

    return g_array_index(data->stat_tap_data->tables, stat_tap_table *, 0);
}

stat_tap_table_item_type *kd_table_add(void *tap_data, const void *tag)
{
    const stat_tap_table_ui *ui = ((stat_data_t *)tap_data)->stat_tap_data;
    stat_tap_table *table = kd_table_of(tap_data);
    unsigned row = table->num_elements;
    stat_tap_table_item_type *items;

    if (row >= ROWS)
        return NULL;
    items = g_new0(stat_tap_table_item_type, ui->nfields);
    for (size_t i = 0; i < ui->nfields; i++) {
        items[i].type = ui->fields[i].type;
        if (items[i].type == TABLE_ITEM_STRING)
            items[i].value.string_value = g_strdup("");
    }
    items[0].user_data.ptr_value = (void *)tag;
    stat_tap_init_table_row(table, row, (unsigned)ui->nfields, items);
    g_free(items);
    return stat_tap_get_field_data(table, row, 0);
}

stat_tap_table_item_type *kd_table_find(void *tap_data, const void *tag)
{
    const stat_tap_table *table = kd_table_of(tap_data);

    for (unsigned back = 1; back <= MIN(table->num_elements, LATEST); back++) {
        unsigned row = table->num_elements - back;

        if (table->elements[row][0].user_data.ptr_value == tag)
            return table->elements[row];
    }
    return NULL;
}

void kd_table_number(stat_tap_table_item_type *item, uint64_t value)
{
    item->value.uint_value = (unsigned)MIN(value, UINT_MAX);
}

void kd_table_seconds(stat_tap_table_item_type *item, const nstime_t *time)
{
    item->value.float_value = nstime_to_sec(time);
}

void kd_table_text(stat_tap_table_item_type *item, const char *text)
{
    g_free((char *)item->value.string_value);
    item->value.string_value = g_strdup(text);
}
