/* registry.c - lib/kd's tables as Wireshark fields. See registry.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "registry.h"

#include "view.h"

/* A field and, for a set of flags, one boolean for each flag. */
struct shown_field {
    int hf;
    int *flags; /* as many as the set has labels; null when the set is none of flags */
};

static struct shown_field *fields[KD_LAYOUT_COUNT];
static int ett_layouts[KD_LAYOUT_COUNT];
static int ett_flags = -1;
static value_string *value_strings[KD_SET_ID_COUNT];
static value_string_ext *ntstatus_ext;

static int compare_values(const void *a, const void *b)
{
    const value_string *left = a, *right = b;

    return (left->value > right->value) - (left->value < right->value);
}

static void make_value_strings(void)
{
    for (unsigned id = KD_SET_ID_api; id < KD_SET_ID_COUNT; id++) {
        const struct kd_value_set *set = &kd_value_sets[id];
        value_string *strings = g_new0(value_string, set->count + 1);

        for (size_t i = 0; i < set->count; i++) {
            strings[i].value = set->labels[i].value;
            strings[i].strptr = set->labels[i].text;
        }
        qsort(strings, set->count, sizeof *strings, compare_values);
        value_strings[id] = strings;
    }
    ntstatus_ext =
        kdlens_value_string_ext(value_strings[KD_SET_ID_ntstatus],
                                (unsigned)kd_value_sets[KD_SET_ID_ntstatus].count + 1, "NTSTATUS");
}

const value_string *kd_value_strings(enum kd_set_id set)
{
    if (!ntstatus_ext)
        make_value_strings();
    return value_strings[set];
}

const char *kd_ntstatus_name(uint32_t status)
{
    return try_val_to_str_ext(status, ntstatus_ext);
}

static bool is_wide(const struct kd_field *field)
{
    return field->format == KD_FORMAT_HEX64 || field->format == KD_FORMAT_ADDR;
}

static enum ftenum field_type(const struct kd_field *field)
{
    if (is_wide(field))
        return FT_UINT64;
    switch (field->format) {
    case KD_FORMAT_BYTES:
        return FT_BYTES;
    case KD_FORMAT_ASCII:
        return FT_STRING;
    case KD_FORMAT_IPV6:
        return FT_IPv6;
    case KD_FORMAT_GUID:
        return FT_GUID;
    }
    switch (field->type) {
    case KD_TYPE_u8:
        return FT_UINT8;
    case KD_TYPE_u16:
    case KD_TYPE_be16:
        return FT_UINT16;
    case KD_TYPE_u32:
        return FT_UINT32;
    default:
        return FT_UINT64;
    }
}

static int field_display(const struct kd_field *field)
{
    switch (field->format) {
    case KD_FORMAT_DEC:
        return BASE_DEC;
    case KD_FORMAT_HEX:
    case KD_FORMAT_HEX64:
    case KD_FORMAT_ADDR:
        return BASE_HEX;
    default:
        return BASE_NONE;
    }
}

/* A field's bytes on the wire; arrays of bytes are one item. */
static int element_size(const struct kd_field *field)
{
    int size = (int)kd_type_size((enum kd_type)field->type);

    return size == 1 ? size * field->count : size;
}

static unsigned element_count(const struct kd_field *field)
{
    return kd_type_size((enum kd_type)field->type) == 1 ? 1 : field->count;
}

static void set_names(hf_register_info *info, const struct kd_field *field)
{
    if (!field->set || field->set->kind != KD_SET_ENUM)
        return;
    if (field->set == &kd_value_sets[KD_SET_ID_ntstatus]) {
        info->hfinfo.display |= BASE_EXT_STRING;
        info->hfinfo.strings = ntstatus_ext;
    } else {
        info->hfinfo.strings = value_strings[field->set - kd_value_sets];
    }
}

static int proto_of(const char *filter, const struct kd_registry_protocols *protocols)
{
    return g_str_has_prefix(filter, "kdnet.")   ? protocols->kdnet
           : g_str_has_prefix(filter, "vmbus.") ? protocols->vmbus
                                                : protocols->kd;
}

static void register_one(int proto, int *hf, const char *label, const char *filter,
                         enum ftenum type, int display, const struct kd_field *field, uint64_t mask)
{
    hf_register_info *info = g_new0(hf_register_info, 1);

    *hf = -1;
    info->p_id = hf;
    info->hfinfo.name = label;
    info->hfinfo.abbrev = filter;
    info->hfinfo.type = type;
    info->hfinfo.display = display;
    info->hfinfo.bitmask = mask;
    info->hfinfo.id = -1;
    info->hfinfo.same_name_prev_id = -1;
    if (field)
        set_names(info, field);
    proto_register_field_array(proto, info, 1);
}

/* kd.version.flags and label "64-bit pointers" make kd.version.flags.64_bit_pointers. */
static const char *flag_filter(const char *filter, const char *label)
{
    char *name = g_strdup_printf("%s.%s", filter, label);

    for (char *c = name + strlen(filter) + 1; *c; c++)
        *c = g_ascii_isalnum(*c) ? g_ascii_tolower(*c) : '_';
    return name;
}

static void register_flags(int proto, struct shown_field *shown, const struct kd_field *field)
{
    const struct kd_value_set *set = field->set;
    int bits = 8 * (int)kd_type_size((enum kd_type)field->type);

    shown->flags = g_new(int, set->count);
    for (size_t i = 0; i < set->count; i++)
        register_one(proto, &shown->flags[i], set->labels[i].text,
                     flag_filter(field->filter, set->labels[i].text), FT_BOOLEAN, bits, NULL,
                     set->labels[i].value);
}

static void register_layout(unsigned id, const struct kd_registry_protocols *protocols)
{
    const struct kd_layout *layout = &kd_layouts[id];

    fields[id] = g_new0(struct shown_field, layout->count + 1);
    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];
        int proto = proto_of(field->filter, protocols);

        register_one(proto, &fields[id][i].hf, field->label, field->filter, field_type(field),
                     field_display(field), field, 0);
        if (field->set && field->set->kind == KD_SET_FLAGS)
            register_flags(proto, &fields[id][i], field);
    }
}

void kd_registry_register(const struct kd_registry_protocols *protocols)
{
    static int *ett[KD_LAYOUT_COUNT + 1];

    if (!ntstatus_ext)
        make_value_strings();
    for (unsigned id = 0; id < KD_LAYOUT_COUNT; id++) {
        ett_layouts[id] = -1;
        ett[id] = &ett_layouts[id];
        register_layout(id, protocols);
    }
    ett[KD_LAYOUT_COUNT] = &ett_flags;
    proto_register_subtree_array(ett, KD_LAYOUT_COUNT + 1);
}

static uint64_t integer_at(tvbuff_t *tvb, int offset, int size)
{
    switch (size) {
    case 1:
        return tvb_get_uint8(tvb, offset);
    case 2:
        return tvb_get_letohs(tvb, offset);
    case 4:
        return tvb_get_letohl(tvb, offset);
    default:
        return tvb_get_letoh64(tvb, offset);
    }
}

static void show_flags(proto_item *item, tvbuff_t *tvb, int offset, int size,
                       const struct shown_field *shown, const struct kd_field *field)
{
    const struct kd_value_set *set = field->set;
    uint64_t value = integer_at(tvb, offset, size);
    proto_tree *tree = proto_item_add_subtree(item, ett_flags);
    const char *separator = " (";

    for (size_t i = 0; i < set->count; i++) {
        proto_tree_add_boolean(tree, shown->flags[i], tvb, offset, size, value);
        if (value & set->labels[i].value) {
            proto_item_append_text(item, "%s%s", separator, set->labels[i].text);
            separator = ", ";
        }
    }
    if (separator[0] == ',')
        proto_item_append_text(item, ")");
}

static proto_item *show_element(proto_tree *tree, tvbuff_t *tvb, int offset, int size,
                                const struct shown_field *shown, const struct kd_field *field,
                                const struct kd_show *show)
{
    proto_item *item;
    uint64_t value;

    if (field->type == KD_TYPE_be16 || field->type == KD_TYPE_be64)
        return proto_tree_add_item(tree, shown->hf, tvb, offset, size, ENC_BIG_ENDIAN);
    if (field->format == KD_FORMAT_ASCII)
        return proto_tree_add_item(tree, shown->hf, tvb, offset, size, ENC_ASCII);
    if (!is_wide(field))
        return proto_tree_add_item(tree, shown->hf, tvb, offset, size,
                                   field->format == KD_FORMAT_IPV6 ? ENC_NA : ENC_LITTLE_ENDIAN);
    value = integer_at(tvb, offset, size);
    item = proto_tree_add_uint64(tree, shown->hf, tvb, offset, size, value);
    if (field->format == KD_FORMAT_ADDR && show->view)
        kd_view_name_item(show->view, item, value);
    return item;
}

static void show_field(proto_tree *tree, tvbuff_t *tvb, int offset, int size,
                       const struct shown_field *shown, const struct kd_field *field,
                       const struct kd_show *show)
{
    int step = element_size(field);
    unsigned count = element_count(field);

    if (count > 1 && show->elements < count)
        count = show->elements;
    for (unsigned i = 0; i < count; i++) {
        int at = field->offset + (int)i * step - show->first;
        int begin = MAX(at, 0), end = MIN(at + step, size);
        bool whole = end - begin == step;
        proto_item *item;

        /* A CONTEXT in two parts may be cut inside a register, of which each part has some bytes.
         */
        if (begin >= end || !(whole || (count > 1 && field->format == KD_FORMAT_BYTES)))
            continue;
        item = show_element(tree, tvb, offset + begin, end - begin, shown, field, show);
        if (!whole)
            proto_item_append_text(item, " (bytes %d to %d)", begin - at, end - at - 1);
        if (shown->flags)
            show_flags(item, tvb, offset + at, step, shown, field);
        if (field->count > 1 && element_count(field) > 1)
            proto_item_append_text(item, " [%u]", i);
    }
}

void kd_show_fields(proto_tree *tree, tvbuff_t *tvb, int offset, int size, enum kd_layout_id id,
                    const struct kd_show *show)
{
    const struct kd_layout *layout = &kd_layouts[id];

    if (!tree)
        return;
    for (size_t i = 0; i < layout->count; i++)
        if (layout->fields[i].direction == KD_DIR_BOTH ||
            (layout->fields[i].direction & show->direction))
            show_field(tree, tvb, offset, size, &fields[id][i], &layout->fields[i], show);
}

proto_tree *kd_show_layout(proto_tree *tree, tvbuff_t *tvb, int offset, int size,
                           enum kd_layout_id id, const struct kd_show *show)
{
    int length = size < (int)kd_layouts[id].size ? size : (int)kd_layouts[id].size;
    proto_tree *subtree;

    if (!tree || length <= 0)
        return NULL;
    subtree = proto_tree_add_subtree(tree, tvb, offset, length, ett_layouts[id], NULL,
                                     kd_layouts[id].title);
    kd_show_fields(subtree, tvb, offset, size, id, show);
    return subtree;
}
