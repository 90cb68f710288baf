/* tables.c - prints docs/protocol-tables.md: everything the .def files say, as Markdown.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * kd_tables                prints to standard output
 * kd_tables -o FILE        writes FILE
 * kd_tables --check FILE   fails when FILE says something else
 * The text depends on nothing but the tables.
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "kd/describe.h"
#include "kd/vmbus.h"

/* The C names of values and requests: describe.h has no use for them, so they come from the rows.
 */
/* clang-format off */
#define KD_VALUES(set, title, kind) static const char *const constants_##set[] = {
#define KD_VALUE(set, constant, value, label) #constant,
#define KD_VALUES_END(set) };
#include "kd/protocol.def"

static const char *const *const constants[KD_SET_ID_COUNT] = {
#define KD_VALUES(set, title, kind) [KD_SET_ID_##set] = constants_##set,
#include "kd/protocol.def"
};

static const char *const api_constants[] = {
#define KD_API(constant, number, name, layout, request, reply, answer) #constant,
#include "kd/protocol.def"
};

static const struct {
    uint32_t number;
    const char *constant;
} messages[] = {
#define KD_VMBUS_MESSAGE(constant, number, name, layout, from, size, answer) {number, #constant},
#include "kd/protocol.def"
};

static const struct {
    const char *constant, *label, *text;
} guids[] = {
#define KD_VMBUS_GUID(name, label, a, b, c, d, e) {"KD_VMBUS_GUID_" #name, label, #a "-" #b "-" #c "-" #d "-" #e},
#include "kd/protocol.def"
};

static const enum kd_arch archs[] = {
#define KD_ARCH(name, machine, label, pointer, context, report, set, special, selector) KD_ARCH_##name,
#include "kd/protocol.def"
};
/* clang-format on */

static const char *type_name(unsigned type)
{
    static const char *const names[] = {
        [KD_TYPE_u8] = "u8",     [KD_TYPE_u16] = "u16",   [KD_TYPE_u32] = "u32",
        [KD_TYPE_u64] = "u64",   [KD_TYPE_u128] = "u128", [KD_TYPE_be16] = "be16",
        [KD_TYPE_be64] = "be64",
    };

    return names[type];
}

static const char *direction_name(unsigned direction)
{
    static const char *const names[] = {
        [KD_DIR_REQ] = "request",
        [KD_DIR_REP] = "reply",
        [KD_DIR_BOTH] = "both",
    };

    return names[direction];
}

static const char *data_name(enum kd_data_kind kind)
{
    static const char *const names[] = {
        [KD_DATA_NONE] = "-",
        [KD_DATA_MEMORY] = "memory",
        [KD_DATA_PHYSICAL] = "physical memory",
        [KD_DATA_CONTEXT] = "CONTEXT",
        [KD_DATA_CONTEXT_PART] = "part of CONTEXT",
        [KD_DATA_CONTROL_SPACE] = "control space",
        [KD_DATA_PATTERN] = "pattern",
        [KD_DATA_BREAKPOINTS] = "array of breakpoints",
        [KD_DATA_HANDLES] = "array of handles",
        [KD_DATA_CALLS] = "array of addresses",
        [KD_DATA_BUS_DATA] = "bus data",
    };

    return names[kind];
}

static const char *answer_name(enum kd_answer answer)
{
    static const char *const names[] = {
        [KD_ANSWER_REPLY] = "reply",
        [KD_ANSWER_SILENT] = "none",
        [KD_ANSWER_STATE_CHANGE] = "state change",
    };

    return names[answer];
}

static void print_layout_link(FILE *out, enum kd_layout_id id)
{
    if (id == KD_LAYOUT_none)
        fputs(" - |", out);
    else
        fprintf(out, " [%s](#struct-kd_%s) |", kd_layouts[id].tag, kd_layouts[id].tag);
}

static void print_head(FILE *out)
{
    fputs("<!-- protocol-tables.md - the KD protocol's structures, values and requests.\n"
          "     SPDX-License-Identifier: CC-BY-4.0\n"
          "     Generated from lib/kd/include/kd/*.def; to regenerate:\n"
          "     cmake --build build --target protocol-tables -->\n\n"
          "# KD protocol tables\n\n"
          "What the protocol library, the Wireshark plugin and the tests share. The prose,\n"
          "and where each fact was seen, is in [protocol.md](protocol.md).\n\n"
          "- Offsets and sizes are in bytes; padding is listed as unused.\n"
          "- `u8` to `u128` are little-endian, `be16` and `be64` big-endian.\n"
          "- *Member* is the name in C; a row without one is another meaning of bytes listed\n"
          "  already.\n"
          "- *Filter* is the Wireshark field.\n"
          "- *Direction* says whether the request, the reply or both give the bytes a meaning;\n"
          "  elsewhere they are junk. Messages that nobody replies to count as both.\n\n"
          "Contents: [Requests](#requests), [Architectures](#architectures),\n"
          "[VMBus messages](#vmbus-messages), [VMBus GUIDs](#vmbus-guids),\n"
          "[Structures](#structures), [Value sets](#value-sets), [NTSTATUS](#ntstatus).\n",
          out);
}

static void print_apis(FILE *out)
{
    fputs("\n## Requests\n\n"
          "Manipulate requests (packet type 2). The layout lies in the union at byte 16 of the\n"
          "message, the data follow at 56. \"32-bit\" is the layout before protocol 5, where the\n"
          "union is at 12. Continue2 has the control set of the architecture behind its layout,\n"
          "at 4.\n\n"
          "| Number | Name | Constant | Layout | 32-bit | Request data | Reply data | Answer |\n"
          "|---|---|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < kd_api_count; i++) {
        const struct kd_api_info *api = &kd_apis[i];
        enum kd_layout_id old = kd_api_layout32(api);

        fprintf(out, "| 0x%04" PRIX32 " | %s | `%s` |", api->number, api->name, api_constants[i]);
        print_layout_link(out, api->layout);
        if (old == api->layout)
            fputs(" same |", out);
        else
            print_layout_link(out, old);
        fprintf(out, " %s | %s | %s |\n", data_name(api->request), data_name(api->reply),
                answer_name(api->answer));
    }
}

static void print_archs(FILE *out)
{
    fputs("\n## Architectures\n\n"
          "*Selector* is the TargetBaseAddress of the special registers in control space.\n\n"
          "| Name | Machine type | Pointer | CONTEXT | Control report | Control set "
          "| Special registers | Selector |\n"
          "|---|---|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        const struct kd_arch_info *info = kd_arch_info(archs[i]);

        fprintf(out, "| %s | 0x%04X | %u |", info->name, info->machine, info->pointer_size);
        print_layout_link(out, info->context);
        print_layout_link(out, info->report);
        print_layout_link(out, info->control_set);
        print_layout_link(out, info->special);
        if (info->special == KD_LAYOUT_none)
            fputs(" - |\n", out);
        else
            fprintf(out, " 0x%" PRIX64 " |\n", info->special_selector);
    }
}

static void print_messages(FILE *out)
{
    fputs("\n## VMBus messages\n\n"
          "Channel messages. *Size* is that of the shortest form. Since version 5.0 "
          "INITIATE_CONTACT\n"
          "and VERSION_RESPONSE have the layouts whose names end in 5.\n\n"
          "| Number | Name | Constant | From | Size | Layout | Answered by |\n"
          "|---|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < sizeof messages / sizeof messages[0]; i++) {
        const struct kd_vmbus_message_info *info = kd_vmbus_message_find(messages[i].number);
        const struct kd_vmbus_message_info *answer = kd_vmbus_message_find(info->answer);

        fprintf(out, "| %" PRIu32 " | %s | `%s` | %s | %" PRIu32 " |", info->number, info->name,
                messages[i].constant, info->from_guest ? "guest" : "host", info->size);
        print_layout_link(out, info->layout);
        fprintf(out, " %s |\n", answer ? answer->name : "-");
    }
}

static void print_guids(FILE *out)
{
    fputs("\n## VMBus GUIDs\n\n| GUID | Label | Constant |\n|---|---|---|\n", out);
    for (size_t i = 0; i < sizeof guids / sizeof guids[0]; i++)
        fprintf(out, "| %s | %s | `%s` |\n", guids[i].text, guids[i].label, guids[i].constant);
}

static void print_gap(FILE *out, size_t from, size_t to)
{
    if (from < to)
        fprintf(out, "| 0x%03zX | %zu | | | *unused* | | | |\n", from, to - from);
}

static void print_field(FILE *out, const struct kd_field *field)
{
    size_t element = kd_type_size((enum kd_type)field->type);

    fprintf(out, "| 0x%03X | %zu | %s", field->offset, element * field->count,
            type_name(field->type));
    if (field->count > 1)
        fprintf(out, "[%u]", field->count);
    if (field->member)
        fprintf(out, " | `%s`", field->member);
    else
        fputs(" |", out);
    fprintf(out, " | %s | `%s` |", field->label, field->filter);
    if (!field->set)
        fputs(" |", out);
    else if (field->set == &kd_value_sets[KD_SET_ID_ntstatus])
        fputs(" [ntstatus](#ntstatus) |", out);
    else if (field->set == &kd_value_sets[KD_SET_ID_api])
        fputs(" [api](#requests) |", out);
    else if (field->set == &kd_value_sets[KD_SET_ID_vmbus_message])
        fputs(" [vmbus_message](#vmbus-messages) |", out);
    else
        fprintf(out, " [%s](#values-%s) |", field->set->tag, field->set->tag);
    fprintf(out, " %s |\n", direction_name(field->direction));
}

static void print_layout(FILE *out, const struct kd_layout *layout)
{
    size_t end = 0;

    fprintf(out, "\n### struct kd_%s\n\n%s, %zu bytes.\n\n", layout->tag, layout->title,
            layout->size);
    fputs("| Offset | Size | Type | Member | Label | Filter | Values | Direction |\n"
          "|---|---|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];

        if (field->member) {
            print_gap(out, end, field->offset);
            end = field->offset + kd_type_size((enum kd_type)field->type) * field->count;
        }
        print_field(out, field);
    }
    print_gap(out, end, layout->size);
}

static void print_layouts(FILE *out)
{
    fputs("\n## Structures\n\n| Structure | Title | Bytes |\n|---|---|---|\n", out);
    for (unsigned id = KD_LAYOUT_none + 1; id < KD_LAYOUT_COUNT; id++)
        fprintf(out, "| [%s](#struct-kd_%s) | %s | %zu |\n", kd_layouts[id].tag, kd_layouts[id].tag,
                kd_layouts[id].title, kd_layouts[id].size);
    for (unsigned id = KD_LAYOUT_none + 1; id < KD_LAYOUT_COUNT; id++)
        print_layout(out, &kd_layouts[id]);
}

static void print_set(FILE *out, unsigned id)
{
    const struct kd_value_set *set = &kd_value_sets[id];

    fprintf(out, "\n### Values %s\n\n%s, %s.\n\n| Value | Label | Constant |\n|---|---|---|\n",
            set->tag, set->title, set->kind == KD_SET_FLAGS ? "any of" : "one of");
    for (size_t i = 0; i < set->count; i++)
        fprintf(out, "| 0x%02" PRIX32 " | %s | `%s` |\n", set->labels[i].value, set->labels[i].text,
                constants[id][i]);
}

/* Three to a row: the list is long and nobody reads it from top to bottom. */
static void print_ntstatus(FILE *out)
{
    const struct kd_value_set *set = &kd_value_sets[KD_SET_ID_ntstatus];
    const size_t columns = 3;

    fputs("\n## NTSTATUS\n\n"
          "Statuses of replies, exception codes and continue statuses; in C `KD_NT(name)`.\n\n"
          "| Value | Name | Value | Name | Value | Name |\n|---|---|---|---|---|---|\n",
          out);
    for (size_t i = 0; i < set->count; i += columns) {
        fputs("|", out);
        for (size_t j = i; j < i + columns; j++) {
            if (j < set->count)
                fprintf(out, " %08" PRIX32 " | %s |", set->labels[j].value, set->labels[j].text);
            else
                fputs(" | |", out);
        }
        fputs("\n", out);
    }
}

static void print_all(FILE *out)
{
    print_head(out);
    print_apis(out);
    print_archs(out);
    print_messages(out);
    print_guids(out);
    print_layouts(out);
    fputs("\n## Value sets\n", out);
    for (unsigned id = 0; id < KD_SET_ID_COUNT; id++)
        if (constants[id])
            print_set(out, id);
    print_ntstatus(out);
}

static int fail(const char *what, const char *path)
{
    fprintf(stderr, "kd_tables: %s ", what);
    perror(path);
    return 2;
}

static int write_file(const char *path)
{
    FILE *out = fopen(path, "wb");

    if (!out)
        return fail("cannot write", path);
    print_all(out);
    if (fclose(out) != 0)
        return fail("cannot write", path);
    return 0;
}

/* The line at which the files begin to differ, or 0. */
static unsigned first_difference(FILE *a, FILE *b)
{
    unsigned line = 1;
    int left, right;

    do {
        left = getc(a);
        right = getc(b);
        if (left != right)
            return line;
        line += left == '\n';
    } while (left != EOF);
    return 0;
}

static int check_file(const char *path)
{
    FILE *written = fopen(path, "rb");
    FILE *expected = tmpfile();
    unsigned line;

    if (!expected || !written) {
        int status = fail("cannot open", written ? "a temporary file" : path);

        if (expected)
            fclose(expected);
        if (written)
            fclose(written);
        return status;
    }
    print_all(expected);
    rewind(expected);
    line = first_difference(written, expected);
    fclose(expected);
    fclose(written);
    if (!line)
        return 0;
    fprintf(stderr,
            "%s differs from the .def files at line %u. Regenerate it:\n"
            "  cmake --build build --target protocol-tables\n",
            path, line);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc == 1) {
        print_all(stdout);
        return fflush(stdout) == 0 ? 0 : fail("cannot write", "standard output");
    }
    if (argc == 3 && strcmp(argv[1], "-o") == 0)
        return write_file(argv[2]);
    if (argc == 3 && strcmp(argv[1], "--check") == 0)
        return check_file(argv[2]);
    fputs("usage: kd_tables [-o FILE | --check FILE]\n", stderr);
    return 2;
}
