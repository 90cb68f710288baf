/* kd-message.c - payloads of data packets as trees. See kd-message.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Fixed parts are layouts of lib/kd; here is what composes them: which layout applies, where text
 * and data follow, and what only several fields together say (the mode of the stopped code, an
 * access violation).
 */
#include "kd-message.h"

#include <inttypes.h>

#include "kd-experts.h"
#include "kd-image.h"
#include "kd-info.h"
#include "kd-mode.h"
#include "registry.h"

static int hf_text = -1;
static int hf_prompt = -1;
static int hf_answer = -1;
static int hf_module_path = -1;
static int hf_command_component = -1;
static int hf_command_text = -1;
static int hf_file_path = -1;
static int hf_data = -1;
static int hf_file_data = -1;
static int hf_trace_data = -1;
static int hf_data_length = -1;
static int hf_pattern = -1;
static int hf_symbol = -1;
static int hf_mode = -1;
static int hf_access = -1;
static int hf_access_address = -1;
static int hf_service = -1;
static int hf_msr_value = -1;
static int hf_context = -1;
static int hf_report = -1;

/* One message on its way into the tree. */
struct message {
    const struct kd_view *view;
    proto_tree *tree;
    proto_item *item;
    tvbuff_t *tvb;
    int size;
};

static struct kd_show show_for(const struct message *m, enum kd_flow request)
{
    struct kd_show show = {kd_view_direction(m->view, request), m->view, KD_SHOW_ALL, 0};

    return show;
}

/* The capture holds only the beginning: what is missing is not the sender's fault. */
static bool is_cut(const struct message *m)
{
    return (m->view->packet->flags & KD_PKT_CUT) != 0;
}

static void too_short(const struct message *m, const char *what, unsigned needed)
{
    if (is_cut(m))
        return;
    expert_add_info_format(m->view->pinfo, m->item, kd_expert(KD_FINDING_LENGTH),
                           "%s needs %u bytes, the packet has %d", what, needed, m->size);
}

/* A generated item with the module and offset of an address. */
static void show_symbol(const struct message *m, int offset, int size, uint64_t address)
{
    const char *name = m->tree ? kd_view_name(m->view, address) : NULL;

    if (name)
        proto_item_set_generated(
            proto_tree_add_string(m->tree, hf_symbol, m->tvb, offset, size, name));
}

/* Bytes of memory, a file, ...: a field, and a data source of their own so that they can be
 * exported. */
static tvbuff_t *show_data(const struct message *m, int hf, int offset, const char *name)
{
    int length = m->size - offset;
    tvbuff_t *data;

    if (length <= 0)
        return NULL;
    data = tvb_new_subset_length(m->tvb, offset, length);
    if (!m->tree)
        return data;
    add_new_data_source(m->view->pinfo, data, name);
    proto_tree_add_item(m->tree, hf, data, 0, length, ENC_NA);
    proto_item_set_generated(
        proto_tree_add_uint(m->tree, hf_data_length, data, 0, length, (unsigned)length));
    return data;
}

static void show_text(const struct message *m, int hf, int offset, int length)
{
    length = MIN(length, m->size - offset);
    while (length > 0 && !tvb_get_uint8(m->tvb, offset + length - 1))
        length--;
    if (length > 0)
        proto_tree_add_item(m->tree, hf, m->tvb, offset, length, ENC_UTF_8 | ENC_NA);
}

/* --- State changes ------------------------------------------------------------------------------
 */

static void show_mode(const struct message *m, int offset)
{
    int size = MIN(m->size - offset, 48);
    enum kd_mode mode;
    proto_item *item;

    if (size < (int)sizeof(struct kd_control_report_amd64))
        return;
    mode = kd_mode_of_report((enum kd_arch)m->view->packet->arch, tvb_get_ptr(m->tvb, offset, size),
                             (size_t)size);
    item = proto_tree_add_uint(m->tree, hf_mode, m->tvb, offset, size, mode);
    proto_item_set_generated(item);
}

static void show_report(const struct message *m, int offset)
{
    const struct kd_arch_info *arch = kd_view_arch(m->view);
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);

    if (!m->tree || offset >= m->size)
        return;
    if (!arch || arch->report == KD_LAYOUT_none) {
        proto_tree_add_item(m->tree, hf_report, m->tvb, offset, m->size - offset, ENC_NA);
        return;
    }
    kd_show_layout(m->tree, m->tvb, offset, m->size - offset, arch->report, &show);
    show_mode(m, offset);
}

/* What the parameters of well-known exceptions mean. word: bytes of one parameter. */
static void show_parameters(const struct message *m, int offset, int word, uint32_t code,
                            uint32_t count)
{
    proto_item *item;

    if (code == KD_NT(STATUS_ACCESS_VIOLATION) && count >= 2) {
        uint64_t address =
            word == 8 ? tvb_get_letoh64(m->tvb, offset + 8) : tvb_get_letohl(m->tvb, offset + 4);

        item = proto_tree_add_uint(m->tree, hf_access, m->tvb, offset, word,
                                   tvb_get_letohl(m->tvb, offset));
        proto_item_set_generated(item);
        item =
            proto_tree_add_uint64(m->tree, hf_access_address, m->tvb, offset + word, word, address);
        proto_item_set_generated(item);
        kd_view_name_item(m->view, item, address);
    } else if (code == KD_NT(STATUS_BREAKPOINT) && count >= 1) {
        item = proto_tree_add_uint(m->tree, hf_service, m->tvb, offset, word,
                                   tvb_get_letohl(m->tvb, offset));
        proto_item_set_generated(item);
    }
}

static void show_exception(const struct message *m, int offset, enum kd_layout_id layout)
{
    bool wide = layout == KD_LAYOUT_exception64;
    int information = wide ? (int)offsetof(struct kd_exception64, exception_information)
                           : (int)offsetof(struct kd_exception32, exception_information);
    int number = wide ? (int)offsetof(struct kd_exception64, number_parameters)
                      : (int)offsetof(struct kd_exception32, number_parameters);
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    uint32_t code, count;

    if (m->size < offset + (int)kd_layouts[layout].size) {
        too_short(m, "the exception", (unsigned)offset + (unsigned)kd_layouts[layout].size);
        return;
    }
    code = tvb_get_letohl(m->tvb, offset);
    count = tvb_get_letohl(m->tvb, offset + number);
    if (!m->tree)
        return;
    show.elements = MIN(count, 15);
    kd_show_layout(m->tree, m->tvb, offset, m->size - offset, layout, &show);
    show_parameters(m, offset + information, wide ? 8 : 4, code, count);
}

static void show_load_symbols(const struct message *m, int offset, int text,
                              enum kd_layout_id layout)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    uint32_t length;

    if (m->size < offset + (int)kd_layouts[layout].size) {
        too_short(m, "LoadSymbols", (unsigned)offset + (unsigned)kd_layouts[layout].size);
        return;
    }
    length = tvb_get_letohl(m->tvb, offset);
    if (length > (uint32_t)MAX(m->size - text, 0) && !is_cut(m))
        expert_add_info_format(m->view->pinfo, m->item, kd_expert(KD_FINDING_LENGTH),
                               "PathNameLength is %u, the packet has %d bytes of path", length,
                               MAX(m->size - text, 0));
    if (!m->tree)
        return;
    kd_show_layout(m->tree, m->tvb, offset, m->size - offset, layout, &show);
    if (m->size > text && length > 0) {
        unsigned path = tvb_strnlen(m->tvb, text, (int)MIN(length, (uint32_t)(m->size - text))) < 0
                            ? MIN(length, (unsigned)(m->size - text))
                            : (unsigned)tvb_strnlen(m->tvb, text, m->size - text);

        proto_tree_add_item(m->tree, hf_module_path, m->tvb, text, (int)path, ENC_UTF_8 | ENC_NA);
    }
}

static void show_command_string(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    int text = (int)KD_STATE_CHANGE_TEXT;
    int component;

    kd_show_layout(m->tree, m->tvb, KD_STATE_CHANGE_UNION, m->size - (int)KD_STATE_CHANGE_UNION,
                   KD_LAYOUT_command_string, &show);
    if (!m->tree || m->size <= text)
        return;
    component = tvb_strnlen(m->tvb, text, m->size - text);
    if (component < 0)
        component = m->size - text;
    show_text(m, hf_command_component, text, component);
    text += component + 1;
    if (text < m->size) {
        int command = tvb_strnlen(m->tvb, text, m->size - text);

        show_text(m, hf_command_text, text, command < 0 ? m->size - text : command);
    }
}

/* Before protocol 6 the machine's control report and a CONTEXT follow the union at once. */
static void show_old_tail(const struct message *m, int offset)
{
    const struct kd_arch_info *arch = kd_view_arch(m->view);
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    int report;

    show_report(m, offset);
    if (!arch || arch->context == KD_LAYOUT_none)
        return;
    report = (int)kd_layouts[arch->report].size;
    if (m->size >= offset + report + (int)kd_layouts[arch->context].size)
        kd_show_layout(m->tree, m->tvb, offset + report, m->size - offset - report, arch->context,
                       &show);
}

static void show_state_change64(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);

    if (m->size < (int)sizeof(struct kd_state_change64)) {
        too_short(m, "a state change", sizeof(struct kd_state_change64));
        return;
    }
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_state_change64, &show);
    show_symbol(m, offsetof(struct kd_state_change64, program_counter), 8,
                m->view->packet->address);
    switch (m->view->packet->api & 0xFFFF) {
    case KD_STATE_EXCEPTION:
        show_exception(m, KD_STATE_CHANGE_UNION, KD_LAYOUT_exception64);
        break;
    case KD_STATE_LOAD_SYMBOLS:
        show_load_symbols(m, KD_STATE_CHANGE_UNION, KD_STATE_CHANGE_TEXT, KD_LAYOUT_load_symbols64);
        break;
    case KD_STATE_COMMAND_STRING:
        show_command_string(m);
        break;
    default:
        break;
    }
    show_report(m, KD_STATE_CHANGE_REPORT);
}

static void show_state_change32(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    int at = KD_STATE_CHANGE32_UNION;
    int exception = (int)sizeof(struct kd_exception32);

    if (m->size < (int)sizeof(struct kd_state_change32)) {
        too_short(m, "a state change", sizeof(struct kd_state_change32));
        return;
    }
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_state_change32, &show);
    show_symbol(m, offsetof(struct kd_state_change32, program_counter), 4,
                m->view->packet->address);
    if ((m->view->packet->api & 0xFFFF) == KD_STATE_EXCEPTION)
        show_exception(m, at, KD_LAYOUT_exception32);
    else
        show_load_symbols(m, at, m->size, KD_LAYOUT_load_symbols32);
    show_old_tail(m, at + exception);
}

/* --- Manipulate ---------------------------------------------------------------------------------
 */

static void show_context(const struct message *m, int offset, int first, int size)
{
    const struct kd_arch_info *arch = kd_view_arch(m->view);
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);
    const struct kd_arch_info *by_size = kd_arch_of_context((size_t)size);

    if (!first && by_size)
        arch = by_size;
    if (!arch || arch->context == KD_LAYOUT_none) {
        proto_tree_add_item(m->tree, hf_context, m->tvb, offset, size, ENC_NA);
        return;
    }
    show.first = first;
    kd_show_layout(m->tree, m->tvb, offset, size, arch->context, &show);
}

static void show_control_space(const struct message *m, int offset, int size)
{
    const struct kd_arch_info *arch = kd_view_arch(m->view);
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);
    uint64_t selector = m->view->packet->address;

    if (arch && arch->special != KD_LAYOUT_none && selector == arch->special_selector)
        kd_show_layout(m->tree, m->tvb, offset, size, arch->special, &show);
    else if (arch && arch->arch == KD_ARCH_X86 && selector < arch->special_selector)
        show_context(m, offset, (int)selector, size);
    else if (arch && arch->arch != KD_ARCH_X86 && size >= 8)
        kd_show_layout(m->tree, m->tvb, offset, size, KD_LAYOUT_control_space_pointer, &show);
    else
        show_data(m, hf_data, offset, "Control space");
}

static void show_array(const struct message *m, int offset, enum kd_layout_id layout)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);
    int step = (int)kd_layouts[layout].size;

    for (; offset + step <= m->size; offset += step)
        kd_show_layout(m->tree, m->tvb, offset, step, layout, &show);
}

static void show_memory(const struct message *m, int offset)
{
    const struct kd_packet *packet = m->view->packet;
    uint64_t address = packet->address;
    tvbuff_t *data = show_data(
        m, hf_data, offset,
        wmem_strdup_printf(m->view->pinfo->pool, "Memory %s", kd_view_address(m->view, address)));

    if (data && m->tree)
        kd_image_show(m->view, m->tree, data, address);
}

static void show_api_data(const struct message *m, enum kd_data_kind kind, int offset)
{
    int size = m->size - offset;

    if (size <= 0 || !m->tree)
        return;
    switch (kind) {
    case KD_DATA_MEMORY:
        show_memory(m, offset);
        break;
    case KD_DATA_PHYSICAL:
        show_data(m, hf_data, offset,
                  wmem_strdup_printf(m->view->pinfo->pool, "Physical memory %" PRIx64,
                                     m->view->packet->address));
        break;
    case KD_DATA_CONTEXT:
        show_context(m, offset, 0, size);
        break;
    case KD_DATA_CONTEXT_PART:
        show_context(m, offset, (int)MIN(m->view->packet->address, INT_MAX / 2), size);
        break;
    case KD_DATA_CONTROL_SPACE:
        show_control_space(m, offset, size);
        break;
    case KD_DATA_PATTERN:
        proto_tree_add_item(m->tree, hf_pattern, m->tvb, offset, size, ENC_NA);
        break;
    case KD_DATA_BREAKPOINTS:
        show_array(m, offset, KD_LAYOUT_breakpoint_entry);
        break;
    case KD_DATA_HANDLES:
        show_array(m, offset, KD_LAYOUT_restore_breakpoint);
        break;
    case KD_DATA_CALLS:
        show_array(m, offset, KD_LAYOUT_special_call_entry);
        break;
    default:
        show_data(m, hf_data, offset, "Data");
        break;
    }
}

static void show_control_set(const struct message *m, int offset)
{
    const struct kd_arch_info *arch = kd_view_arch(m->view);
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);

    offset += KD_CONTINUE2_CONTROL_SET;
    if (arch && offset < m->size)
        kd_show_layout(m->tree, m->tvb, offset, m->size - offset, arch->control_set, &show);
}

/* The value of an MSR is in two halves. */
static void show_msr_value(const struct message *m, int offset)
{
    uint64_t value =
        tvb_get_letohl(m->tvb, offset + 4) | (uint64_t)tvb_get_letohl(m->tvb, offset + 8) << 32;

    proto_item_set_generated(
        proto_tree_add_uint64(m->tree, hf_msr_value, m->tvb, offset + 4, 8, value));
}

static bool has_msr_value(const struct message *m)
{
    bool reply = m->view->packet->flow == KD_FLOW_TO_DEBUGGER;

    return m->view->packet->api == KD_API_WRITE_MSR ||
           (m->view->packet->api == KD_API_READ_MSR && reply);
}

/* Whether the union begins with an address of the target's memory. */
static bool names_address(enum kd_layout_id layout)
{
    return kd_layouts[layout].count && kd_layouts[layout].fields[0].format == KD_FORMAT_ADDR &&
           kd_layouts[layout].fields[0].direction == KD_DIR_BOTH;
}

static void show_body(const struct message *m, const struct kd_api_info *api, int body, int data)
{
    bool protocol32 = m->view->packet->flags & KD_PKT_PROTOCOL32;
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);
    bool reply = m->view->packet->flow == KD_FLOW_TO_DEBUGGER;
    enum kd_layout_id layout = protocol32 ? kd_api_layout32(api) : api->layout;

    kd_show_layout(m->tree, m->tvb, body, data - body, layout, &show);
    if (names_address(layout))
        show_symbol(m, body,
                    kd_type_size((enum kd_type)kd_layouts[layout].fields[0].type) == 8 ? 8 : 4,
                    m->view->packet->address);
    if (api->number == KD_API_CONTINUE2)
        show_control_set(m, body);
    if (has_msr_value(m))
        show_msr_value(m, body);
    if (m->view->packet->flow == KD_FLOW_UNKNOWN)
        show_data(m, hf_data, data, "Data");
    else
        show_api_data(m, reply ? api->reply : api->request, data);
}

static void show_manipulate(const struct message *m)
{
    bool protocol32 = m->view->packet->flags & KD_PKT_PROTOCOL32;
    int body = protocol32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    int data = protocol32 ? KD_MANIPULATE32_DATA : KD_MANIPULATE_DATA;
    const struct kd_api_info *api = kd_api_find(m->view->packet->api);
    struct kd_show show = show_for(m, KD_FLOW_TO_TARGET);

    if (m->size < data)
        too_short(m, "STATE_MANIPULATE", (unsigned)data);
    kd_show_layout(m->tree, m->tvb, 0, m->size,
                   protocol32 ? KD_LAYOUT_manipulate_header32 : KD_LAYOUT_manipulate_header, &show);
    if (m->size < data || !m->tree)
        return;
    if (api)
        show_body(m, api, body, data);
    else
        show_data(m, hf_data, body, "Unknown request");
}

/* --- Messages the target starts -----------------------------------------------------------------
 */

static void show_debug_io(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    bool prompt = m->view->packet->api == KD_API_GET_STRING;
    int hf = !prompt ? hf_text : show.direction == KD_DIR_REP ? hf_answer : hf_prompt;
    int text = KD_DEBUG_IO_TEXT;
    uint32_t said;

    if (m->size < text) {
        too_short(m, "DEBUG_IO", (unsigned)text);
        return;
    }
    said = tvb_get_letohl(m->tvb, KD_DEBUG_IO_UNION);
    if (prompt && show.direction == KD_DIR_REP)
        said = tvb_get_letohl(m->tvb, KD_DEBUG_IO_UNION + 4);
    if (said > (uint32_t)(m->size - text) && !is_cut(m))
        expert_add_info_format(m->view->pinfo, m->item, kd_expert(KD_FINDING_LENGTH),
                               "The length says %u bytes of text, the packet has %d", said,
                               m->size - text);
    if (!m->tree)
        return;
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_debug_io_header, &show);
    kd_show_layout(m->tree, m->tvb, KD_DEBUG_IO_UNION, m->size - (int)KD_DEBUG_IO_UNION,
                   prompt ? KD_LAYOUT_get_string : KD_LAYOUT_print_string, &show);
    show_text(m, hf, text, (int)MIN(said, (uint32_t)(m->size - text)));
}

static enum kd_layout_id file_layout(uint32_t api)
{
    switch (api) {
    case KD_API_CREATE_FILE:
        return KD_LAYOUT_create_file;
    case KD_API_READ_FILE:
    case KD_API_WRITE_FILE:
        return KD_LAYOUT_read_write_file;
    case KD_API_CLOSE_FILE:
        return KD_LAYOUT_close_file;
    default:
        return KD_LAYOUT_none;
    }
}

/* UTF-16 up to its NUL; some slack may follow. */
static void show_path(const struct message *m)
{
    int offset = KD_FILE_IO_DATA;
    int length = 0;

    while (offset + length + 2 <= m->size && tvb_get_letohs(m->tvb, offset + length))
        length += 2;
    if (length)
        proto_tree_add_item(m->tree, hf_file_path, m->tvb, offset, length,
                            ENC_UTF_16 | ENC_LITTLE_ENDIAN);
}

static void show_file_io(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);
    const struct kd_packet *packet = m->view->packet;
    enum kd_layout_id layout = file_layout(packet->api);

    if (m->size < (int)KD_FILE_IO_DATA) {
        too_short(m, "FILE_IO", KD_FILE_IO_DATA);
        return;
    }
    if (!m->tree)
        return;
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_file_io_header, &show);
    kd_show_layout(m->tree, m->tvb, KD_FILE_IO_UNION, m->size - (int)KD_FILE_IO_UNION, layout,
                   &show);
    if (packet->api == KD_API_CREATE_FILE && show.direction == KD_DIR_REQ)
        show_path(m);
    else if (packet->api == KD_API_READ_FILE || packet->api == KD_API_WRITE_FILE)
        show_data(m, hf_file_data, KD_FILE_IO_DATA, "File data");
}

static void show_trace_io(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);

    if (m->size < (int)KD_TRACE_IO_DATA)
        too_short(m, "TRACE_IO", KD_TRACE_IO_DATA);
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_trace_io, &show);
    show_data(m, hf_trace_data, KD_TRACE_IO_DATA, "Trace data");
}

static void show_control_request(const struct message *m)
{
    struct kd_show show = show_for(m, KD_FLOW_TO_DEBUGGER);

    if (m->size < (int)sizeof(struct kd_control_request))
        too_short(m, "CONTROL_REQUEST", sizeof(struct kd_control_request));
    kd_show_layout(m->tree, m->tvb, 0, m->size, KD_LAYOUT_control_request, &show);
}

void kd_message_show(const struct kd_view *view, proto_tree *tree, proto_item *item,
                     tvbuff_t *payload)
{
    struct message m = {view, tree, item, payload, (int)tvb_captured_length(payload)};

    switch (view->packet->type) {
    case KD_PACKET_STATE_CHANGE64:
        show_state_change64(&m);
        break;
    case KD_PACKET_STATE_CHANGE32:
        show_state_change32(&m);
        break;
    case KD_PACKET_STATE_MANIPULATE:
        show_manipulate(&m);
        break;
    case KD_PACKET_DEBUG_IO:
        show_debug_io(&m);
        break;
    case KD_PACKET_FILE_IO:
        show_file_io(&m);
        break;
    case KD_PACKET_TRACE_IO:
        show_trace_io(&m);
        break;
    case KD_PACKET_CONTROL_REQUEST:
        show_control_request(&m);
        break;
    default:
        break;
    }
}

static void register_fields(int proto)
{
    static hf_register_info hf[] = {
        {&hf_text,
         {"Text", "kd.text", FT_STRING, BASE_NONE, NULL, 0, "Text the target prints", HFILL}},
        {&hf_prompt,
         {"Prompt", "kd.prompt", FT_STRING, BASE_NONE, NULL, 0, "Question of the target", HFILL}},
        {&hf_answer,
         {"Answer", "kd.answer", FT_STRING, BASE_NONE, NULL, 0, "What was typed at the prompt",
          HFILL}},
        {&hf_module_path,
         {"Path", "kd.module.path", FT_STRING, BASE_NONE, NULL, 0, "Path of the loaded image",
          HFILL}},
        {&hf_command_component,
         {"Component", "kd.command.component", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_command_text,
         {"Command", "kd.command.text", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_file_path, {"File name", "kd.file.path", FT_STRING, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_data,
         {"Data", "kd.data", FT_BYTES, BASE_NONE, NULL, 0, "Bytes of memory, a file, a bus",
          HFILL}},
        {&hf_file_data, {"File data", "kd.file.data", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_trace_data,
         {"Trace data", "kd.trace.data", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_data_length,
         {"Data length", "kd.data.length", FT_UINT32, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_pattern, {"Pattern", "kd.pattern", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_symbol,
         {"Symbol", "kd.symbol", FT_STRING, BASE_NONE, NULL, 0,
          "Module and offset of the address, from the load events seen before", HFILL}},
        {&hf_mode,
         {"Mode", "kd.mode", FT_UINT8, BASE_DEC, VALS(kd_mode_names), 0,
          "Mode of the stopped code, from SegCs and EFlags of the control report", HFILL}},
        {&hf_access,
         {"Access", "kd.exception.access", FT_UINT32, BASE_DEC, NULL, 0,
          "What the faulting instruction tried to do", HFILL}},
        {&hf_access_address,
         {"Accessed address", "kd.exception.access_address", FT_UINT64, BASE_HEX, NULL, 0, NULL,
          HFILL}},
        {&hf_service,
         {"Debug service", "kd.exception.service", FT_UINT32, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_msr_value, {"Value", "kd.msr.value", FT_UINT64, BASE_HEX, NULL, 0, NULL, HFILL}},
        {&hf_context,
         {"CONTEXT", "kd.context", FT_BYTES, BASE_NONE, NULL, 0,
          "Registers of an architecture that is not known yet", HFILL}},
        {&hf_report,
         {"Control report", "kd.report", FT_BYTES, BASE_NONE, NULL, 0,
          "Of an architecture that is not known yet", HFILL}},
    };

    for (size_t i = 0; i < array_length(hf); i++) {
        if (hf[i].p_id == &hf_access)
            hf[i].hfinfo.strings = kd_value_strings(KD_SET_ID_exception_access);
        else if (hf[i].p_id == &hf_service)
            hf[i].hfinfo.strings = kd_value_strings(KD_SET_ID_debug_service);
    }
    proto_register_field_array(proto, hf, array_length(hf));
}

void kd_message_register(int proto)
{
    register_fields(proto);
    kd_image_register(proto);
}
