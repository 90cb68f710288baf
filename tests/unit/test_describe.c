/* test_describe.c - the tables of describe.h hold together, and agree with what is known elsewhere.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Two kinds of tests: walks over every row (a filter means one kind of field, rows do not overlap,
 * ...), and lists of numbers taken from public headers, type dumps and recorded sessions rather
 * than from the tables.
 */
#include "check.h"
#include "kd/describe.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* How a field is shown, as far as rows with one filter must agree: Wireshark has 32-bit and 64-bit
 * integers. */
enum shown_class { SHOWN_NARROW, SHOWN_WIDE, SHOWN_BYTES, SHOWN_TEXT, SHOWN_IPV6, SHOWN_GUID };

static enum shown_class class_of(const struct kd_field *field)
{
    switch (field->format) {
    case KD_FORMAT_HEX64:
    case KD_FORMAT_ADDR:
        return SHOWN_WIDE;
    case KD_FORMAT_BYTES:
        return SHOWN_BYTES;
    case KD_FORMAT_ASCII:
        return SHOWN_TEXT;
    case KD_FORMAT_IPV6:
        return SHOWN_IPV6;
    case KD_FORMAT_GUID:
        return SHOWN_GUID;
    default:
        return kd_type_size((enum kd_type)field->type) > 4 ? SHOWN_WIDE : SHOWN_NARROW;
    }
}

static size_t end_of(const struct kd_field *field)
{
    return field->offset + kd_type_size((enum kd_type)field->type) * field->count;
}

/* A failing walk names the row. */
static void check_row(bool ok, const struct kd_layout *layout, const struct kd_field *field,
                      const char *what)
{
    if (CHECK(ok))
        return;
    fprintf(stderr, "    struct kd_%s, %s at %u: %s\n", layout->tag, field->filter, field->offset,
            what);
}

typedef void row_test(const struct kd_layout *layout, const struct kd_field *field);

static void for_each_row(row_test *test)
{
    for (unsigned id = 0; id < KD_LAYOUT_COUNT; id++)
        for (size_t i = 0; i < kd_layouts[id].count; i++)
            test(&kd_layouts[id], &kd_layouts[id].fields[i]);
}

static void check_class(const struct kd_layout *layout, const struct kd_field *field)
{
    for (unsigned id = 0; id < KD_LAYOUT_COUNT; id++) {
        for (size_t i = 0; i < kd_layouts[id].count; i++) {
            const struct kd_field *other = &kd_layouts[id].fields[i];

            if (strcmp(other->filter, field->filter) != 0)
                continue;
            check_row(class_of(other) == class_of(field), layout, field,
                      "another row has this filter, but another class of display");
            check_row(!other->set || !field->set || other->set->kind == field->set->kind, layout,
                      field, "another row has this filter, but names values where this has flags");
        }
    }
}

static void test_filter_classes(void)
{
    for_each_row(check_class);
}

static void check_filter(const struct kd_layout *layout, const struct kd_field *field)
{
    const char *filter = field->filter;
    size_t length = strlen(filter);

    check_row(strncmp(filter, "kd.", 3) == 0 || strncmp(filter, "kdnet.", 6) == 0 ||
                  strncmp(filter, "vmbus.", 6) == 0,
              layout, field, "the filter begins with none of kd., kdnet. and vmbus.");
    check_row(strspn(filter, "abcdefghijklmnopqrstuvwxyz0123456789_.") == length, layout, field,
              "the filter has characters that Wireshark refuses or that are awkward to type");
    check_row(!strstr(filter, "..") && filter[length - 1] != '.', layout, field,
              "the filter has an empty part");
    check_row(field->label[0] != '\0' && !strchr(field->label, '|'), layout, field,
              "the label is empty or breaks a Markdown table");
}

static void test_filter_names(void)
{
    for_each_row(check_filter);
}

static void check_shape(const struct kd_layout *layout, const struct kd_field *field)
{
    size_t element = kd_type_size((enum kd_type)field->type);

    check_row(field->count > 0 && end_of(field) <= layout->size, layout, field,
              "does not lie in its struct");
    check_row(element <= 8 || field->format == KD_FORMAT_BYTES, layout, field,
              "a number wider than 64 bits");
    check_row(field->format != KD_FORMAT_ASCII || element == 1, layout, field, "text is of u8");
    check_row(field->format != KD_FORMAT_IPV6 || (element == 1 && field->count == 16), layout,
              field, "an address is u8[16]");
    check_row(field->format != KD_FORMAT_GUID || (element == 1 && field->count == 16), layout,
              field, "a GUID is u8[16]");
    check_row(field->direction >= KD_DIR_REQ && field->direction <= KD_DIR_BOTH, layout, field,
              "no direction");
    check_row(!field->set || class_of(field) <= SHOWN_WIDE, layout, field, "values of no number");
}

static void test_fields_fit(void)
{
    for_each_row(check_shape);
}

/* Whether one member has all the bytes of the row. */
static bool alias_has_member(const struct kd_layout *layout, const struct kd_field *alias)
{
    for (size_t i = 0; i < layout->count; i++) {
        const struct kd_field *field = &layout->fields[i];

        if (field->member && field->offset <= alias->offset && end_of(alias) <= end_of(field))
            return true;
    }
    return false;
}

/* Rows of members lie in the order of their offsets; others mean the same bytes in another way. */
static void test_no_overlaps(void)
{
    for (unsigned id = KD_LAYOUT_none + 1; id < KD_LAYOUT_COUNT; id++) {
        const struct kd_layout *layout = &kd_layouts[id];
        size_t end = 0;

        for (size_t i = 0; i < layout->count; i++) {
            const struct kd_field *field = &layout->fields[i];

            if (!field->member) {
                check_row(alias_has_member(layout, field), layout, field, "an alias of no member");
                continue;
            }
            check_row(field->offset >= end, layout, field, "overlaps the row before");
            end = end_of(field);
        }
        CHECK(layout->count > 0);
    }
}

/* Two rows of a struct that have one filter would be told apart by nothing but their place. */
static void test_filters_of_a_struct_differ(void)
{
    for (unsigned id = 0; id < KD_LAYOUT_COUNT; id++) {
        const struct kd_layout *layout = &kd_layouts[id];

        for (size_t i = 0; i < layout->count; i++)
            for (size_t j = 0; j < i; j++)
                check_row(strcmp(layout->fields[i].filter, layout->fields[j].filter) != 0, layout,
                          &layout->fields[i], "an earlier row has this filter");
    }
}

static void check_flags_fit(const struct kd_layout *layout, const struct kd_field *field)
{
    size_t bits = 8 * kd_type_size((enum kd_type)field->type);

    if (!field->set || field->set->kind != KD_SET_FLAGS || bits >= 32)
        return;
    for (size_t i = 0; i < field->set->count; i++)
        check_row(field->set->labels[i].value >> bits == 0, layout, field, "a flag does not fit");
}

static void check_set(const struct kd_value_set *set)
{
    for (size_t i = 0; i < set->count; i++) {
        const struct kd_label *label = &set->labels[i];
        bool unique = true;

        for (size_t j = 0; j < i; j++)
            unique = unique && set->labels[j].value != label->value &&
                     strcmp(set->labels[j].text, label->text) != 0;
        if (!CHECK(unique && label->text[0] != '\0' && !strchr(label->text, '|')))
            fprintf(stderr, "    set %s, value 0x%" PRIx32 "\n", set->tag, label->value);
        if (set->kind == KD_SET_FLAGS)
            CHECK(label->value != 0 && (label->value & (label->value - 1)) == 0);
    }
}

static void test_value_sets(void)
{
    CHECK_EQ_U64(kd_value_sets[KD_SET_ID_none].count, 0);
    for (unsigned id = KD_SET_ID_none + 1; id < KD_SET_ID_COUNT; id++) {
        CHECK(kd_value_sets[id].count > 0);
        CHECK(kd_value_sets[id].tag && kd_value_sets[id].title);
        check_set(&kd_value_sets[id]);
    }
    for_each_row(check_flags_fit);
}

static void test_value_names(void)
{
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_packet_type, 2), "STATE_MANIPULATE");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_packet_type, 7), "STATE_CHANGE64");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_packet_type, 11), "FILE_IO");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_packet_type, 12), NULL);
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_new_state, 0x3030), "Exception");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_api, 0x3130), "ReadVirtualMemory");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_api, 0x314A), NULL);
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0), "STATUS_SUCCESS");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0x80000003), "STATUS_BREAKPOINT");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0x00010001), "DBG_EXCEPTION_HANDLED");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0xC0000420), "STATUS_ASSERTION_FAILURE");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0xE06D7363), "MSVC_CPP_EXCEPTION");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_ntstatus, 0xDEADBEEF), NULL);
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_machine_type, 0xAA64), "ARM64");
    CHECK_EQ_STR(kd_value_name(KD_SET_ID_none, 0), NULL);
}

static void test_type_sizes(void)
{
    CHECK_EQ_U64(kd_type_size(KD_TYPE_u8), sizeof(kd_u8));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_u16), sizeof(kd_u16));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_u32), sizeof(kd_u32));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_u64), sizeof(kd_u64));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_u128), sizeof(kd_u128));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_be16), sizeof(kd_be16));
    CHECK_EQ_U64(kd_type_size(KD_TYPE_be64), sizeof(kd_be64));
}

static void test_api_numbers(void)
{
    static const struct {
        uint32_t first, last;
    } ranges[] = {{0x3130, 0x3149}, {0x3150, 0x3162}};
    static const uint32_t unknown[] = {
        0,      1,      0x3030, 0x312F,  0x314A, 0x314B, 0x314C,           0x314D,     0x314E,
        0x314F, 0x3163, 0x3230, 0x13130, 0x31FF, 0xFFFF, 0x3131 + 0x10000, 0x80003130, 0xFFFFFFFF};
    size_t found = 0;

    for (size_t i = 0; i < COUNT_OF(ranges); i++) {
        for (uint32_t number = ranges[i].first; number <= ranges[i].last; number++) {
            const struct kd_api_info *api = kd_api_find(number);

            if (!CHECK(api != NULL))
                continue;
            CHECK_EQ_U64(api->number, number);
            CHECK_EQ_STR(kd_value_name(KD_SET_ID_api, number), api->name);
            found++;
        }
    }
    CHECK_EQ_U64(found, 45);
    CHECK_EQ_U64(kd_api_count, 45);
    for (size_t i = 0; i < COUNT_OF(unknown); i++)
        CHECK(kd_api_find(unknown[i]) == NULL);
}

struct expected_api {
    uint32_t number;
    const char *name;
    enum kd_data_kind request, reply;
    enum kd_answer answer;
};

static void check_apis(const struct expected_api *expected, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct kd_api_info *api = kd_api_find(expected[i].number);

        if (!CHECK(api != NULL))
            continue;
        CHECK_EQ_STR(api->name, expected[i].name);
        CHECK_EQ_U64(api->request, expected[i].request);
        CHECK_EQ_U64(api->reply, expected[i].reply);
        CHECK_EQ_U64(api->answer, expected[i].answer);
    }
}

/* Requests with data behind the fixed part, as recorded (public structures where nothing was). */
static void test_api_data(void)
{
    static const struct expected_api expected[] = {
        {0x3130, "ReadVirtualMemory", KD_DATA_NONE, KD_DATA_MEMORY, KD_ANSWER_REPLY},
        {0x3131, "WriteVirtualMemory", KD_DATA_MEMORY, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x3132, "GetContext", KD_DATA_NONE, KD_DATA_CONTEXT, KD_ANSWER_REPLY},
        {0x3133, "SetContext", KD_DATA_CONTEXT, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x3137, "ReadControlSpace", KD_DATA_NONE, KD_DATA_CONTROL_SPACE, KD_ANSWER_REPLY},
        {0x3138, "WriteControlSpace", KD_DATA_CONTROL_SPACE, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x313D, "ReadPhysicalMemory", KD_DATA_NONE, KD_DATA_PHYSICAL, KD_ANSWER_REPLY},
        {0x313E, "WritePhysicalMemory", KD_DATA_PHYSICAL, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x313F, "QuerySpecialCalls", KD_DATA_NONE, KD_DATA_CALLS, KD_ANSWER_REPLY},
        {0x3147, "WriteBreakPointEx", KD_DATA_BREAKPOINTS, KD_DATA_BREAKPOINTS, KD_ANSWER_REPLY},
        {0x3148, "RestoreBreakPointEx", KD_DATA_HANDLES, KD_DATA_HANDLES, KD_ANSWER_REPLY},
        {0x3156, "SearchMemory", KD_DATA_PATTERN, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x3157, "GetBusData", KD_DATA_NONE, KD_DATA_BUS_DATA, KD_ANSWER_REPLY},
        {0x3158, "SetBusData", KD_DATA_BUS_DATA, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x315B, "FillMemory", KD_DATA_PATTERN, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x315F, "GetContextEx", KD_DATA_NONE, KD_DATA_CONTEXT_PART, KD_ANSWER_REPLY},
        {0x3160, "SetContextEx", KD_DATA_CONTEXT_PART, KD_DATA_NONE, KD_ANSWER_REPLY},
        {0x3162, "ReadPhysicalMemoryBulk", KD_DATA_NONE, KD_DATA_PHYSICAL, KD_ANSWER_REPLY},
    };
    size_t with_data = 0;

    check_apis(expected, COUNT_OF(expected));
    for (size_t i = 0; i < kd_api_count; i++)
        with_data += kd_apis[i].request != KD_DATA_NONE || kd_apis[i].reply != KD_DATA_NONE;
    CHECK_EQ_U64(with_data, COUNT_OF(expected));
}

/* Requests that nobody replies to: the boot manager's answers, and public structures for the last
 * three. */
static void test_api_answers(void)
{
    static const struct expected_api expected[] = {
        {0x3136, "Continue", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x313C, "Continue2", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x3140, "SetSpecialCall", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x3141, "ClearSpecialCalls", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x3142, "SetInternalBreakPoint", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x315A, "ClearAllInternalBreakpoints", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x313B, "Reboot", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x3149, "CauseBugCheck", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_SILENT},
        {0x3150, "SwitchProcessor", KD_DATA_NONE, KD_DATA_NONE, KD_ANSWER_STATE_CHANGE},
    };
    size_t without_reply = 0;

    check_apis(expected, COUNT_OF(expected));
    for (size_t i = 0; i < kd_api_count; i++)
        without_reply += kd_apis[i].answer != KD_ANSWER_REPLY;
    CHECK_EQ_U64(without_reply, COUNT_OF(expected));
}

static void test_unions_fit(void)
{
    for (size_t i = 0; i < kd_api_count; i++) {
        CHECK(kd_layouts[kd_apis[i].layout].size <= 40);
        CHECK(kd_layouts[kd_api_layout32(&kd_apis[i])].size <= 40);
    }
    CHECK(kd_layouts[KD_LAYOUT_exception64].size <= KD_STATE_CHANGE_UNION_SIZE);
    CHECK(kd_layouts[KD_LAYOUT_load_symbols64].size <= KD_STATE_CHANGE_UNION_SIZE);
    CHECK(kd_layouts[KD_LAYOUT_command_string].size <= KD_STATE_CHANGE_UNION_SIZE);
    CHECK(KD_FILE_IO_UNION + kd_layouts[KD_LAYOUT_create_file].size <= KD_FILE_IO_DATA);
}

static void test_layouts_before_protocol_5(void)
{
    CHECK_EQ_U64(kd_api_layout32(kd_api_find(0x3130)), KD_LAYOUT_memory32);
    CHECK_EQ_U64(kd_api_layout32(kd_api_find(0x3134)), KD_LAYOUT_write_breakpoint32);
    CHECK_EQ_U64(kd_api_layout32(kd_api_find(0x3146)), KD_LAYOUT_get_version32);
    CHECK_EQ_U64(kd_api_layout32(kd_api_find(0x3135)), KD_LAYOUT_restore_breakpoint);
    CHECK_EQ_U64(kd_api_layout32(kd_api_find(0x3136)), KD_LAYOUT_continue_api);
}

static void check_arch(uint16_t machine, enum kd_arch arch, const char *name, unsigned pointer,
                       size_t context)
{
    const struct kd_arch_info *info = kd_arch_of_machine(machine);

    if (!CHECK(info != NULL))
        return;
    CHECK(kd_arch_info(arch) == info);
    CHECK_EQ_U64(info->arch, arch);
    CHECK_EQ_U64(info->machine, machine);
    CHECK_EQ_STR(info->name, name);
    CHECK_EQ_U64(info->pointer_size, pointer);
    CHECK_EQ_U64(kd_layouts[info->context].size, context);
    if (context)
        CHECK(kd_arch_of_context(context) == info);
    CHECK(kd_layouts[info->report].size <= 48);
    CHECK(KD_CONTINUE2_CONTROL_SET + kd_layouts[info->control_set].size <= 40);
}

static void test_architectures(void)
{
    check_arch(0x014C, KD_ARCH_X86, "x86", 4, 0x2CC);
    check_arch(0x8664, KD_ARCH_AMD64, "AMD64", 8, 0x4D0);
    check_arch(0xAA64, KD_ARCH_ARM64, "ARM64", 8, 0x390);
    check_arch(0x01C0, KD_ARCH_ARM, "ARM", 4, 0);
    check_arch(0x01C4, KD_ARCH_ARMNT, "ARM", 4, 0);
    check_arch(0x0200, KD_ARCH_IA64, "IA64", 8, 0);
    CHECK_EQ_U64(kd_arch_info(KD_ARCH_X86)->special_selector, 0x2CC);
    CHECK_EQ_U64(kd_arch_info(KD_ARCH_AMD64)->special_selector, 2);
    CHECK_EQ_U64(kd_arch_info(KD_ARCH_ARM64)->special_selector, 2);
    CHECK_EQ_U64(kd_arch_info(KD_ARCH_AMD64)->report, KD_LAYOUT_control_report_amd64);
    CHECK_EQ_U64(kd_arch_info(KD_ARCH_ARM)->report, KD_LAYOUT_control_report_arm64);
    CHECK(kd_arch_info(KD_ARCH_UNKNOWN) == NULL);
    CHECK(kd_arch_of_machine(0) == NULL);
    CHECK(kd_arch_of_machine(0x0EBC) == NULL);
    CHECK(kd_arch_of_machine(0x8665) == NULL);
    CHECK(kd_arch_of_context(0) == NULL);
    CHECK(kd_arch_of_context(0x4D1) == NULL);
}

struct expected_offset {
    const char *member;
    unsigned offset;
};

static void check_offsets(enum kd_layout_id id, const struct expected_offset *expected,
                          size_t count)
{
    const struct kd_layout *layout = &kd_layouts[id];

    for (size_t i = 0; i < count; i++) {
        const struct kd_field *found = NULL;

        for (size_t j = 0; j < layout->count && !found; j++)
            if (layout->fields[j].member &&
                strcmp(layout->fields[j].member, expected[i].member) == 0)
                found = &layout->fields[j];
        if (!CHECK(found != NULL) || !CHECK_EQ_U64(found->offset, expected[i].offset))
            fprintf(stderr, "    struct kd_%s, %s\n", layout->tag, expected[i].member);
    }
}

static void test_context_offsets(void)
{
    static const struct expected_offset amd64[] = {
        {"context_flags", 0x30},
        {"seg_cs", 0x38},
        {"seg_ss", 0x42},
        {"eflags", 0x44},
        {"dr7", 0x70},
        {"rax", 0x78},
        {"rsp", 0x98},
        {"r15", 0xF0},
        {"rip", 0xF8},
        {"control_word", 0x100},
        {"xmm_registers", 0x1A0},
        {"vector_register", 0x300},
        {"vector_control", 0x4A0},
        {"debug_control", 0x4A8},
        {"last_exception_from_rip", 0x4C8},
    };
    static const struct expected_offset x86[] = {
        {"context_flags", 0},   {"dr7", 0x18},
        {"control_word", 0x1C}, {"cr0_npx_state", 0x88},
        {"seg_gs", 0x8C},       {"edi", 0x9C},
        {"eax", 0xB0},          {"ebp", 0xB4},
        {"eip", 0xB8},          {"seg_cs", 0xBC},
        {"eflags", 0xC0},       {"esp", 0xC4},
        {"seg_ss", 0xC8},       {"extended_registers", 0xCC},
    };
    static const struct expected_offset arm64[] = {
        {"cpsr", 4},    {"x0", 8},      {"x18", 0x98},  {"x28", 0xE8},  {"fp", 0xF0},
        {"lr", 0xF8},   {"sp", 0x100},  {"pc", 0x108},  {"v", 0x110},   {"fpcr", 0x310},
        {"bcr", 0x318}, {"bvr", 0x338}, {"wcr", 0x378}, {"wvr", 0x380},
    };

    check_offsets(KD_LAYOUT_context_amd64, amd64, COUNT_OF(amd64));
    check_offsets(KD_LAYOUT_context_x86, x86, COUNT_OF(x86));
    check_offsets(KD_LAYOUT_context_arm64, arm64, COUNT_OF(arm64));
}

static void test_special_register_offsets(void)
{
    static const struct expected_offset amd64[] = {
        {"cr0", 0},
        {"cr3", 0x10},
        {"cr4", 0x18},
        {"dr6", 0x40},
        {"dr7", 0x48},
        {"gdtr_limit", 0x56},
        {"gdtr_base", 0x58},
        {"idtr_limit", 0x66},
        {"idtr_base", 0x68},
        {"tr", 0x70},
        {"mx_csr", 0x74},
        {"cr8", 0xA0},
        {"msr_gs_base", 0xA8},
        {"msr_lstar", 0xC0},
        {"xcr0", 0xD8},
        {"msr_fs_base", 0xE0},
    };
    static const struct expected_offset x86[] = {
        {"cr4", 0x0C},        {"dr6", 0x20},       {"dr7", 0x24},
        {"gdtr_limit", 0x2A}, {"gdtr_base", 0x2C}, {"idtr_limit", 0x32},
        {"idtr_base", 0x34},  {"tr", 0x38},        {"ldtr", 0x3A},
    };
    static const struct expected_offset arm64[] = {
        {"elr", 0},           {"spsr", 8},          {"tpidr_el1", 0x20},  {"kernel_bvr", 0x28},
        {"kernel_bcr", 0x68}, {"kernel_wvr", 0x88}, {"kernel_wcr", 0x98},
    };

    check_offsets(KD_LAYOUT_special_registers_amd64, amd64, COUNT_OF(amd64));
    check_offsets(KD_LAYOUT_special_registers_x86, x86, COUNT_OF(x86));
    check_offsets(KD_LAYOUT_special_registers_arm64, arm64, COUNT_OF(arm64));
}

static void test_debugger_data_offsets(void)
{
    static const struct expected_offset data[] = {
        {"owner_tag", 0x10},
        {"size", 0x14},
        {"kern_base", 0x18},
        {"breakpoint_with_status", 0x20},
        {"th_callback_stack", 0x30},
        {"ps_loaded_module_list", 0x48},
        {"ps_active_process_head", 0x50},
        {"ki_bugcheck_data", 0x88},
        {"mm_page_size", 0x138},
        {"mm_loaded_user_image_list", 0x200},
        {"nt_build_lab", 0x208},
        {"ki_processor_block", 0x218},
        {"mm_unloaded_drivers", 0x220},
        {"mm_virtual_translation_base", 0x290},
        {"offset_prcb_current_thread", 0x2B4},
        {"offset_prcb_proc_state_context", 0x2BC},
        {"ke_loader_block", 0x2D8},
        {"offset_prcb_proc_state_special_reg", 0x2F2},
        {"gdt_r0_code", 0x2F4},
        {"etwp_debugger_data", 0x330},
        {"offset_kthread_stack_limit", 0x340},
        {"pte_base", 0x360},
        {"offset_eprocess_mm_hot_patch_context", 0x37C},
        {"shadow_stack_enabled", 0x388},
        {"pointer_ignore_bits", 0x3A0},
    };

    check_offsets(KD_LAYOUT_kddebugger_data64, data, COUNT_OF(data));
}

KD_TEST_MAIN({"one filter, one class of display", test_filter_classes},
             {"names of filters", test_filter_names},
             {"fields lie in their structs", test_fields_fit},
             {"fields do not overlap", test_no_overlaps},
             {"filters of a struct differ", test_filters_of_a_struct_differ},
             {"value sets", test_value_sets}, {"names of values", test_value_names},
             {"sizes of types", test_type_sizes}, {"numbers of requests", test_api_numbers},
             {"data of requests", test_api_data}, {"requests without reply", test_api_answers},
             {"unions fit", test_unions_fit},
             {"layouts before protocol 5", test_layouts_before_protocol_5},
             {"architectures", test_architectures}, {"offsets in CONTEXT", test_context_offsets},
             {"offsets in special registers", test_special_register_offsets},
             {"offsets in the debugger data", test_debugger_data_offsets})
