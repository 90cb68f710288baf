/* describe.c - the tables of describe.h, and look-ups in them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/describe.h"

#include "kd/vmbus.h"

/* clang-format off */
static const struct kd_label labels_api[] = {
#define KD_API(constant, number, name, layout, request, reply, answer) {number, name},
#include "kd/protocol.def"
};

static const struct kd_label labels_ntstatus[] = {
#define KD_NTSTATUS(name, value) {value, #name},
#include "kd/protocol.def"
};

static const struct kd_label labels_vmbus_message[] = {
#define KD_VMBUS_MESSAGE(constant, number, name, layout, from, size, answer) {number, name},
#include "kd/protocol.def"
};

#define KD_VALUES(set, title, kind) static const struct kd_label labels_##set[] = {
#define KD_VALUE(set, constant, value, label) {value, label},
#define KD_VALUES_END(set) };
#include "kd/protocol.def"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const struct kd_value_set kd_value_sets[KD_SET_ID_COUNT] = {
    [KD_SET_ID_api] = {"api", "ApiNumber", KD_SET_ENUM, COUNT_OF(labels_api), labels_api},
    [KD_SET_ID_ntstatus] = {"ntstatus", "NTSTATUS", KD_SET_ENUM, COUNT_OF(labels_ntstatus), labels_ntstatus},
    [KD_SET_ID_vmbus_message] = {"vmbus_message", "VMBus message", KD_SET_ENUM, COUNT_OF(labels_vmbus_message), labels_vmbus_message},
#define KD_VALUES(set, title, kind) \
    [KD_SET_ID_##set] = {#set, title, KD_SET_##kind, COUNT_OF(labels_##set), labels_##set},
#include "kd/protocol.def"
};

#define SET_OF(set) (KD_SET_ID_##set == KD_SET_ID_none ? NULL : &kd_value_sets[KD_SET_ID_##set])
#define KD_STRUCT(tag, title) static const struct kd_field fields_##tag[] = {
#define KD_FIELD(tag, offset, type, member, filter, label, format, set, direction) \
    {#member, filter, label, SET_OF(set), offset, 1, KD_TYPE_##type, KD_FORMAT_##format, KD_DIR_##direction},
#define KD_ARRAY(tag, offset, type, count, member, filter, label, format, set, direction) \
    {#member, filter, label, SET_OF(set), offset, count, KD_TYPE_##type, KD_FORMAT_##format, KD_DIR_##direction},
#define KD_ALIAS(tag, offset, type, filter, label, format, set, direction) \
    {NULL, filter, label, SET_OF(set), offset, 1, KD_TYPE_##type, KD_FORMAT_##format, KD_DIR_##direction},
#define KD_END(tag, size) };
#include "kd/protocol.def"

const struct kd_layout kd_layouts[KD_LAYOUT_COUNT] = {
    [KD_LAYOUT_none] = {"none", "", 0, 0, NULL},
#define KD_STRUCT(tag, title) \
    [KD_LAYOUT_##tag] = {#tag, title, sizeof(struct kd_##tag), COUNT_OF(fields_##tag), fields_##tag},
#include "kd/protocol.def"
};

const struct kd_api_info kd_apis[] = {
#define KD_API(constant, number, name, layout, request, reply, answer) \
    {number, name, KD_LAYOUT_##layout, KD_DATA_##request, KD_DATA_##reply, KD_ANSWER_##answer},
#include "kd/protocol.def"
};
const size_t kd_api_count = COUNT_OF(kd_apis);

enum sender { FROM_HOST, FROM_GUEST };

static const struct kd_vmbus_message_info vmbus_messages[] = {
#define KD_VMBUS_MESSAGE(constant, number, name, layout, from, size, answer) \
    [number] = {number, name, KD_LAYOUT_##layout, FROM_##from == FROM_GUEST, size, answer},
#include "kd/protocol.def"
};

static const char *const vmbus_guid_labels[KD_VMBUS_GUID_COUNT] = {
#define KD_VMBUS_GUID(name, label, a, b, c, d, e) [KD_VMBUS_GUID_##name] = label,
#include "kd/protocol.def"
};

static const struct kd_arch_info archs[] = {
#define KD_ARCH(arch, machine, label, pointer, context, report, set, special, selector) \
    {KD_ARCH_##arch, machine, label, pointer, KD_LAYOUT_##context, KD_LAYOUT_##report, \
     KD_LAYOUT_##set, KD_LAYOUT_##special, selector},
#include "kd/protocol.def"
};
/* clang-format on */

size_t kd_type_size(enum kd_type type)
{
    static const uint8_t sizes[] = {
        [KD_TYPE_u8] = 1,    [KD_TYPE_u16] = 2,  [KD_TYPE_u32] = 4,  [KD_TYPE_u64] = 8,
        [KD_TYPE_u128] = 16, [KD_TYPE_be16] = 2, [KD_TYPE_be64] = 8,
    };

    return sizes[type];
}

const char *kd_value_name(enum kd_set_id set, uint32_t value)
{
    const struct kd_value_set *values = &kd_value_sets[set];

    for (size_t i = 0; i < values->count; i++)
        if (values->labels[i].value == value)
            return values->labels[i].text;
    return NULL;
}

/* The numbers run 3130..3149 and 3150..3162 without holes, in table order. */
const struct kd_api_info *kd_api_find(uint32_t number)
{
    size_t index;

    if (number >= KD_API_READ_VIRTUAL_MEMORY && number <= KD_API_CAUSE_BUGCHECK)
        index = number - KD_API_READ_VIRTUAL_MEMORY;
    else if (number >= KD_API_SWITCH_PROCESSOR && number <= KD_API_READ_PHYSICAL_BULK)
        index = number - KD_API_SWITCH_PROCESSOR +
                (KD_API_CAUSE_BUGCHECK + 1 - KD_API_READ_VIRTUAL_MEMORY);
    else
        return NULL;
    return &kd_apis[index];
}

enum kd_layout_id kd_api_layout32(const struct kd_api_info *api)
{
    static const enum kd_layout_id narrow[KD_LAYOUT_COUNT] = {
        [KD_LAYOUT_memory] = KD_LAYOUT_memory32,
        [KD_LAYOUT_physical_memory] = KD_LAYOUT_physical_memory32,
        [KD_LAYOUT_control_space] = KD_LAYOUT_control_space32,
        [KD_LAYOUT_write_breakpoint] = KD_LAYOUT_write_breakpoint32,
        [KD_LAYOUT_io_space] = KD_LAYOUT_io_space32,
        [KD_LAYOUT_write_io_space] = KD_LAYOUT_write_io_space32,
        [KD_LAYOUT_io_space_extended] = KD_LAYOUT_io_space_extended32,
        [KD_LAYOUT_write_io_space_extended] = KD_LAYOUT_write_io_space_extended32,
        [KD_LAYOUT_special_call] = KD_LAYOUT_special_call32,
        [KD_LAYOUT_set_internal_breakpoint] = KD_LAYOUT_set_internal_breakpoint32,
        [KD_LAYOUT_get_internal_breakpoint] = KD_LAYOUT_get_internal_breakpoint32,
        [KD_LAYOUT_get_version64] = KD_LAYOUT_get_version32,
    };

    return narrow[api->layout] != KD_LAYOUT_none ? narrow[api->layout] : api->layout;
}

const struct kd_vmbus_message_info *kd_vmbus_message_find(uint32_t number)
{
    if (number >= COUNT_OF(vmbus_messages) || !vmbus_messages[number].name)
        return NULL;
    return &vmbus_messages[number];
}

enum kd_layout_id kd_vmbus_message_layout(const struct kd_vmbus_message_info *message,
                                          uint32_t version)
{
    if (version >= KD_VMBUS_VERSION_5_0 && message->number == KD_VMBUS_INITIATE_CONTACT)
        return KD_LAYOUT_vmbus_initiate_contact5;
    if (version >= KD_VMBUS_VERSION_5_0 && message->number == KD_VMBUS_VERSION_RESPONSE)
        return KD_LAYOUT_vmbus_version_response5;
    return message->layout;
}

const char *kd_vmbus_guid_label(const uint8_t guid[16])
{
    for (unsigned id = 0; id < KD_VMBUS_GUID_COUNT; id++)
        if (kd_vmbus_is_guid((const kd_u8 *)guid, (enum kd_vmbus_guid)id))
            return vmbus_guid_labels[id];
    return NULL;
}

const struct kd_arch_info *kd_arch_info(enum kd_arch arch)
{
    for (size_t i = 0; i < COUNT_OF(archs); i++)
        if (archs[i].arch == arch)
            return &archs[i];
    return NULL;
}

const struct kd_arch_info *kd_arch_of_machine(uint16_t machine)
{
    for (size_t i = 0; i < COUNT_OF(archs); i++)
        if (archs[i].machine == machine)
            return &archs[i];
    return NULL;
}

const struct kd_arch_info *kd_arch_of_context(size_t context_size)
{
    for (size_t i = 0; i < COUNT_OF(archs); i++)
        if (archs[i].context != KD_LAYOUT_none && kd_layouts[archs[i].context].size == context_size)
            return &archs[i];
    return NULL;
}

static bool all_zero(const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return false;
    return true;
}

/* A target fills InstructionCount with 1 to 16; where it lies, and what is zero around it, tells
 * the form. The debug registers of AMD64 have their upper halves zero; the shorter reports are
 * padded with zeros. */
enum kd_arch kd_arch_of_report(const uint8_t report[48])
{
    const struct kd_control_report_amd64 *amd64 = (const void *)report;
    const struct kd_control_report_x86 *x86 = (const void *)report;
    const struct kd_control_report_arm64 *arm64 = (const void *)report;
    uint32_t count64 = kd_get16(amd64->instruction_count);
    uint32_t count32 = kd_get16(x86->instruction_count);
    uint32_t count_arm = kd_get32(arm64->instruction_count);

    if (kd_get64(amd64->dr6) <= UINT32_MAX && kd_get64(amd64->dr7) <= UINT32_MAX && count64 >= 1 &&
        count64 <= 16)
        return KD_ARCH_AMD64;
    if (count_arm >= 1 && count_arm <= 16 && all_zero(report + sizeof *arm64, 48 - sizeof *arm64))
        return KD_ARCH_ARM64;
    if (count32 >= 1 && count32 <= 16)
        return KD_ARCH_X86;
    return KD_ARCH_UNKNOWN;
}
