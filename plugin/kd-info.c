/* kd-info.c - the Info column. See kd-info.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A request says what is wanted, a reply what came of it: "Read virtual fffff801`3f215000 len 4096
 * -> 4096 bytes (412 us) [to 55]". Once the whole capture was read, requests tell the outcome too:
 * "... [in 57]".
 */
#include "kd-info.h"

#include <inttypes.h>

#include "kd-timeline.h"
#include "registry.h"

#define QUOTE_MAX 120

struct line {
    wmem_strbuf_t *text;
    const struct kd_view *view;
    const uint8_t *payload;
    const uint8_t *body; /* the union, at least 40 bytes of it, or fewer: see size */
    size_t size;
    const uint8_t *data; /* what follows the fixed part */
    size_t data_size;
    bool reply;
};

const char *kd_info_quote(wmem_allocator_t *pool, const uint8_t *text, size_t size, size_t max)
{
    wmem_strbuf_t *out = wmem_strbuf_new(pool, NULL);

    while (size && (text[size - 1] == '\n' || text[size - 1] == '\r' || text[size - 1] == 0))
        size--;
    for (size_t i = 0; i < size && i < max; i++) {
        if (text[i] == '\n')
            wmem_strbuf_append(out, "\\n");
        else if (text[i] == '\r')
            continue;
        else if (g_ascii_isprint((char)text[i]))
            wmem_strbuf_append_c(out, (char)text[i]);
        else
            wmem_strbuf_append_printf(out, "\\x%02x", text[i]);
    }
    if (size > max)
        wmem_strbuf_append(out, "...");
    return wmem_strbuf_get_str(out);
}

static void append_status(wmem_strbuf_t *text, uint32_t status)
{
    const char *name = kd_ntstatus_name(status);

    if (name)
        wmem_strbuf_append(text, name);
    else
        wmem_strbuf_append_printf(text, "0x%08x", status);
}

static void append_address(struct line *line, uint64_t address)
{
    const char *name = kd_view_name(line->view, address);

    wmem_strbuf_append(line->text, kd_view_address(line->view, address));
    if (name)
        wmem_strbuf_append_printf(line->text, " (%s)", name);
}

/* What a request did not get, shown the same in its own line and in the reply's. */
static bool append_failure(wmem_strbuf_t *text, const struct kd_packet *reply)
{
    if (reply->status == KD_NT(STATUS_SUCCESS) ||
        (reply->api == KD_API_GET_CONTEXT_EX && reply->status == KD_NT(STATUS_PENDING)))
        return false;
    append_status(text, reply->status);
    if (reply->count)
        wmem_strbuf_append_printf(text, ", %u bytes", reply->count);
    return true;
}

/* Requests: verb and arguments. */
static void request_memory(struct line *line, const char *verb)
{
    wmem_strbuf_append_printf(line->text, "%s ", verb);
    append_address(line, line->view->packet->address);
    wmem_strbuf_append_printf(line->text, " len %u", line->view->packet->requested);
}

static void request_physical(struct line *line, const char *verb)
{
    wmem_strbuf_append_printf(line->text, "%s %" PRIx64 " len %u", verb,
                              line->view->packet->address, line->view->packet->requested);
}

static void request_control_space(struct line *line, const char *verb)
{
    const struct kd_arch_info *arch = kd_view_arch(line->view);
    uint64_t selector = line->view->packet->address;

    wmem_strbuf_append_printf(line->text, "%s control space %" PRIu64, verb, selector);
    if (arch && arch->special != KD_LAYOUT_none && selector == arch->special_selector)
        wmem_strbuf_append(line->text, " (special registers)");
    wmem_strbuf_append_printf(line->text, " len %u", line->view->packet->requested);
}

static void request_breakpoint(struct line *line, const char *verb)
{
    wmem_strbuf_append_printf(line->text, "%s ", verb);
    append_address(line, line->view->packet->address);
}

static void request_handle(struct line *line, const char *verb)
{
    wmem_strbuf_append_printf(
        line->text, "%s %u", verb,
        kd_get32(((const struct kd_restore_breakpoint *)line->body)->break_point_handle));
}

static void request_continue(struct line *line, const char *verb)
{
    const struct kd_continue_api *go = (const struct kd_continue_api *)line->body;
    uint32_t status = kd_get32(go->continue_status);

    wmem_strbuf_append_printf(line->text, "%s, ", verb);
    append_status(line->text, status);
}

static void request_continue2(struct line *line, const char *verb)
{
    enum kd_arch arch = (enum kd_arch)line->view->packet->arch;

    request_continue(line, kd_timeline_is_step(arch, line->body, line->size) ? "Step" : verb);
}

static bool is_protocol32(const struct line *line)
{
    return (line->view->packet->flags & KD_PKT_PROTOCOL32) != 0;
}

/* The order of the fields differs between the protocols. */
struct io {
    uint64_t port;
    uint32_t size;
    uint32_t value;
};

static struct io io_of(const struct line *line)
{
    const struct kd_write_io_space *wide = (const struct kd_write_io_space *)line->body;
    const struct kd_write_io_space32 *narrow = (const struct kd_write_io_space32 *)line->body;
    struct io io = {kd_get64(wide->io_address), kd_get32(wide->data_size),
                    kd_get32(wide->data_value)};

    if (is_protocol32(line))
        io = (struct io){kd_get32(narrow->io_address), kd_get32(narrow->data_size),
                         kd_get32(narrow->data_value)};
    return io;
}

static void request_io(struct line *line, const char *verb)
{
    struct io io = io_of(line);

    wmem_strbuf_append_printf(line->text, "%s port %" PRIx64 " size %u", verb, io.port, io.size);
    if (line->view->packet->api == KD_API_WRITE_IO_SPACE)
        wmem_strbuf_append_printf(line->text, " value %x", io.value);
}

static void request_msr(struct line *line, const char *verb)
{
    const struct kd_write_msr *msr = (const struct kd_write_msr *)line->body;

    wmem_strbuf_append_printf(line->text, "%s MSR %x", verb, kd_get32(msr->msr));
    if (line->view->packet->api == KD_API_WRITE_MSR)
        wmem_strbuf_append_printf(line->text, " value %08x`%08x", kd_get32(msr->data_value_high),
                                  kd_get32(msr->data_value_low));
}

static void request_search(struct line *line, const char *verb)
{
    const struct kd_search_memory *search = (const struct kd_search_memory *)line->body;

    wmem_strbuf_append_printf(line->text, "%s ", verb);
    append_address(line, kd_get64(search->search_address));
    wmem_strbuf_append_printf(line->text, " len %" PRIu64 ", pattern of %u bytes",
                              kd_get64(search->search_length), kd_get32(search->pattern_length));
}

static void request_fill(struct line *line, const char *verb)
{
    const struct kd_fill_memory *fill = (const struct kd_fill_memory *)line->body;

    wmem_strbuf_append_printf(line->text, "%s ", verb);
    append_address(line, kd_get64(fill->address));
    wmem_strbuf_append_printf(line->text, " len %u", kd_get32(fill->length));
}

static void request_context_ex(struct line *line, const char *verb)
{
    const struct kd_context_ex *part = (const struct kd_context_ex *)line->body;

    wmem_strbuf_append_printf(line->text, "%s at %u", verb, kd_get32(part->offset));
    if (!line->reply)
        wmem_strbuf_append_printf(line->text, " len %u", kd_get32(part->byte_count));
}

static void request_plain(struct line *line, const char *verb)
{
    wmem_strbuf_append(line->text, verb);
}

static void request_processor(struct line *line, const char *verb)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)line->payload;

    wmem_strbuf_append_printf(line->text, "%s %u", verb, kd_get16(header->processor));
}

static void request_bugcheck(struct line *line, const char *verb)
{
    wmem_strbuf_append_printf(
        line->text, "%s %08x", verb,
        kd_get32(((const struct kd_cause_bugcheck *)line->body)->bugcheck_code));
}

/* What came of a request, from its reply. It is told in both lines. */
static void outcome_bytes(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "%u bytes", reply->count);
}

static void outcome_handle(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "handle %" PRIu64, reply->result);
}

static void outcome_number(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "%" PRIx64, reply->result);
}

static void outcome_msr(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "%08x`%08x", (uint32_t)(reply->result >> 32),
                              (uint32_t)reply->result);
}

static void outcome_found(struct line *line, const struct kd_packet *reply)
{
    append_address(line, reply->result);
}

static void outcome_fill(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "%" PRIu64 " bytes", reply->result);
}

static void outcome_context_part(struct line *line, const struct kd_packet *reply)
{
    wmem_strbuf_append_printf(line->text, "%u of %u bytes", (uint32_t)reply->result,
                              (uint32_t)(reply->result >> 32));
}

static void outcome_version(struct line *line, const struct kd_packet *reply)
{
    uint16_t major = (uint16_t)(reply->result >> 48), machine = (uint16_t)(reply->result >> 16);
    const char *kind = try_val_to_str(major >> 8, kd_value_strings(KD_SET_ID_version_kind));
    const char *name = try_val_to_str(machine, kd_value_strings(KD_SET_ID_machine_type));

    if (is_protocol32(line)) {
        wmem_strbuf_append_printf(line->text, "build %u", (uint16_t)(reply->result >> 32));
        return;
    }
    if (kind)
        wmem_strbuf_append(line->text, kind);
    else
        wmem_strbuf_append_printf(line->text, "kind %u", major >> 8);
    wmem_strbuf_append_printf(line->text, " build %u, ", (uint16_t)(reply->result >> 32));
    if (name)
        wmem_strbuf_append(line->text, name);
    else
        wmem_strbuf_append_printf(line->text, "machine 0x%04x", machine);
    wmem_strbuf_append_printf(line->text, ", protocol %u", (uint8_t)reply->result);
}

static void outcome_query(struct line *line, const struct kd_packet *reply)
{
    uint32_t flags = (uint32_t)reply->result;

    wmem_strbuf_append_printf(line->text, "%s, %s%s%s",
                              val_to_str_const((uint32_t)(reply->result >> 32),
                                               kd_value_strings(KD_SET_ID_query_space),
                                               "unknown space"),
                              flags & KD_QUERY_READ ? "r" : "-", flags & KD_QUERY_WRITE ? "w" : "-",
                              flags & KD_QUERY_EXECUTE ? "x" : "-");
}

static void outcome_ok(struct line *line, const struct kd_packet *reply _U_)
{
    wmem_strbuf_append(line->text, "ok");
}

/* How each request is told. APIs that are not here are told by their name. */
static const struct verb {
    uint32_t api;
    void (*request)(struct line *, const char *verb);
    const char *verb;
    void (*outcome)(struct line *, const struct kd_packet *reply);
} verbs[] = {
    {KD_API_READ_VIRTUAL_MEMORY, request_memory, "Read virtual", outcome_bytes},
    {KD_API_WRITE_VIRTUAL_MEMORY, request_memory, "Write virtual", outcome_bytes},
    {KD_API_GET_CONTEXT, request_plain, "Get context", outcome_bytes},
    {KD_API_SET_CONTEXT, request_plain, "Set context", outcome_ok},
    {KD_API_WRITE_BREAKPOINT, request_breakpoint, "Set breakpoint", outcome_handle},
    {KD_API_RESTORE_BREAKPOINT, request_handle, "Clear breakpoint", outcome_ok},
    {KD_API_CONTINUE, request_continue, "Go", outcome_ok},
    {KD_API_READ_CONTROL_SPACE, request_control_space, "Read", outcome_bytes},
    {KD_API_WRITE_CONTROL_SPACE, request_control_space, "Write", outcome_bytes},
    {KD_API_READ_IO_SPACE, request_io, "Read", outcome_number},
    {KD_API_WRITE_IO_SPACE, request_io, "Write", outcome_ok},
    {KD_API_REBOOT, request_plain, "Reboot", outcome_ok},
    {KD_API_CONTINUE2, request_continue2, "Go", outcome_ok},
    {KD_API_READ_PHYSICAL_MEMORY, request_physical, "Read physical", outcome_bytes},
    {KD_API_WRITE_PHYSICAL_MEMORY, request_physical, "Write physical", outcome_bytes},
    {KD_API_GET_VERSION, request_plain, "Get version", outcome_version},
    {KD_API_CAUSE_BUGCHECK, request_bugcheck, "Cause bugcheck", outcome_ok},
    {KD_API_SWITCH_PROCESSOR, request_processor, "Switch to processor", outcome_ok},
    {KD_API_READ_MSR, request_msr, "Read", outcome_msr},
    {KD_API_WRITE_MSR, request_msr, "Write", outcome_ok},
    {KD_API_SEARCH_MEMORY, request_search, "Search", outcome_found},
    {KD_API_FILL_MEMORY, request_fill, "Fill", outcome_fill},
    {KD_API_QUERY_MEMORY, request_breakpoint, "Query memory", outcome_query},
    {KD_API_GET_CONTEXT_EX, request_context_ex, "Get context", outcome_context_part},
    {KD_API_SET_CONTEXT_EX, request_context_ex, "Set context", outcome_ok},
};

static const struct verb *find_verb(uint32_t api)
{
    for (size_t i = 0; i < array_length(verbs); i++)
        if (verbs[i].api == api)
            return &verbs[i];
    return NULL;
}

/* " (412 us) [to 55]": how long the reply took, and where the other packet is. A retransmission has
 * no time of its own. */
static void append_link(wmem_strbuf_t *text, const struct kd_packet *packet, const char *word)
{
    const struct kd_packet *peer = kd_packet_peer(packet);
    nstime_t delta;
    double us;

    if (!(packet->flags & KD_PKT_RETRANSMISSION)) {
        if (packet->frame > peer->frame)
            nstime_delta(&delta, &packet->time, &peer->time);
        else
            nstime_delta(&delta, &peer->time, &packet->time);
        us = nstime_to_sec(&delta) * 1e6;
        if (us < 10000)
            wmem_strbuf_append_printf(text, " (%.0f us)", us);
        else if (us < 10e6)
            wmem_strbuf_append_printf(text, " (%.1f ms)", us / 1e3);
        else
            wmem_strbuf_append_printf(text, " (%.1f s)", us / 1e6);
    }
    wmem_strbuf_append_printf(text, " [%s %u]", word, peer->frame);
}

static void append_request(struct line *line, const struct verb *verb)
{
    const struct kd_api_info *api = kd_api_find(line->view->packet->api);

    if (verb)
        verb->request(line, verb->verb);
    else if (api)
        wmem_strbuf_append(line->text, api->name);
    else
        wmem_strbuf_append_printf(line->text, "Unknown request 0x%04x", line->view->packet->api);
}

static void append_outcome(struct line *line, const struct verb *verb,
                           const struct kd_packet *reply)
{
    wmem_strbuf_append(line->text, " -> ");
    if (append_failure(line->text, reply))
        return;
    if (verb)
        verb->outcome(line, reply);
    else
        wmem_strbuf_append(line->text, "ok");
}

static void append_reply(struct line *line, const struct verb *verb)
{
    const struct kd_packet *reply = line->view->packet;

    append_outcome(line, verb, reply);
    if (kd_packet_peer(reply))
        append_link(line->text, reply, "to");
}

/* What later packets told about this request. */
static void append_answer(struct line *line, const struct verb *verb)
{
    const struct kd_packet *request = line->view->packet;
    const struct kd_packet *reply = kd_packet_peer(request);
    const struct kd_api_info *api = kd_api_find(request->api);

    if (reply) {
        append_outcome(line, verb, reply);
        append_link(line->text, request, "in");
    } else if (!api || api->answer == KD_ANSWER_REPLY) {
        wmem_strbuf_append(line->text, " (no reply)");
    }
}

static void info_manipulate(struct line *line, const uint8_t *payload, size_t size)
{
    bool protocol32 = line->view->packet->flags & KD_PKT_PROTOCOL32;
    size_t body = protocol32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    size_t data = protocol32 ? KD_MANIPULATE32_DATA : KD_MANIPULATE_DATA;
    const struct verb *verb = find_verb(line->view->packet->api);

    if (size < data) {
        wmem_strbuf_append(line->text, "STATE_MANIPULATE, too short");
        return;
    }
    line->payload = payload;
    line->body = payload + body;
    line->size = data - body;
    line->data = payload + data;
    line->data_size = size - data;
    line->reply = line->view->packet->flow == KD_FLOW_TO_DEBUGGER;
    /* The found address of a search stands where the searched one stood. */
    if (line->reply && line->view->packet->api == KD_API_SEARCH_MEMORY)
        wmem_strbuf_append(line->text, verb->verb);
    else
        append_request(line, verb);
    if (line->reply)
        append_reply(line, verb);
    else if (PINFO_FD_VISITED(line->view->pinfo))
        append_answer(line, verb);
}

static void append_exception(struct line *line, const uint64_t *information, uint32_t code)
{
    if (code == KD_NT(STATUS_ACCESS_VIOLATION)) {
        wmem_strbuf_append_printf(line->text, "Access violation, %s of ",
                                  val_to_str_const((uint32_t)information[0],
                                                   kd_value_strings(KD_SET_ID_exception_access),
                                                   "access"));
        append_address(line, information[1]);
    } else if (code == KD_NT(STATUS_BREAKPOINT)) {
        wmem_strbuf_append(line->text, "Breakpoint");
    } else if (code == KD_NT(STATUS_SINGLE_STEP)) {
        wmem_strbuf_append(line->text, "Single step");
    } else {
        wmem_strbuf_append(line->text, "Exception ");
        append_status(line->text, code);
    }
}

static void info_exception(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    const struct kd_exception64 *exception =
        (const struct kd_exception64 *)(payload + KD_STATE_CHANGE_UNION);
    uint64_t information[2];

    if (size < KD_STATE_CHANGE_UNION + sizeof *exception) {
        wmem_strbuf_append(line->text, "Exception, too short");
        return;
    }
    information[0] = kd_get64(exception->exception_information[0]);
    information[1] = kd_get64(exception->exception_information[1]);
    append_exception(line, information, kd_get32(exception->exception_code));
    wmem_strbuf_append(line->text, " at ");
    append_address(line, kd_get64(change->program_counter));
    if (!kd_get32(exception->first_chance))
        wmem_strbuf_append(line->text, ", second chance");
    wmem_strbuf_append_printf(line->text, ", processor %u", kd_get16(change->processor));
}

/* Targets name an image when they load it, and give its base alone when they unload it. */
static void append_unloaded(struct line *line, uint64_t base)
{
    const struct kd_module *module =
        kd_session_module(line->view->session, base, line->view->packet->frame);

    if (module && module->base == base)
        wmem_strbuf_append_printf(line->text, " %s", module->name);
}

static void info_symbols(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_load_symbols64 *load =
        (const struct kd_load_symbols64 *)(payload + KD_STATE_CHANGE_UNION);
    uint64_t base;
    bool unload;

    if (size < KD_STATE_CHANGE_UNION + sizeof *load) {
        wmem_strbuf_append(line->text, "LoadSymbols, too short");
        return;
    }
    base = kd_get64(load->base_of_dll);
    unload = kd_get8(load->unload_symbols) != 0;
    if (unload && base == KD_REBOOT) {
        wmem_strbuf_append(line->text, "Target shuts down or reboots");
        return;
    }
    if (unload && base == KD_HIBERNATE) {
        wmem_strbuf_append(line->text, "Target hibernates");
        return;
    }
    wmem_strbuf_append(line->text, unload ? "Unload symbols" : "Load symbols");
    if (size > KD_STATE_CHANGE_TEXT)
        wmem_strbuf_append_printf(line->text, " %s",
                                  kd_info_quote(line->view->pinfo->pool,
                                                payload + KD_STATE_CHANGE_TEXT,
                                                size - KD_STATE_CHANGE_TEXT, QUOTE_MAX));
    else if (unload && line->view->session)
        append_unloaded(line, base);
    wmem_strbuf_append_printf(line->text, " at %s", kd_view_address(line->view, base));
    if (!unload)
        wmem_strbuf_append_printf(line->text, " size %x", kd_get32(load->size_of_image));
}

/* Component, NUL, command, NUL. */
static void info_command(struct line *line, const uint8_t *payload, size_t size)
{
    const uint8_t *text = payload + KD_STATE_CHANGE_TEXT;
    size_t left = size > KD_STATE_CHANGE_TEXT ? size - KD_STATE_CHANGE_TEXT : 0;
    size_t component = 0;

    while (component < left && text[component])
        component++;
    wmem_strbuf_append_printf(line->text, "Command string %s",
                              kd_info_quote(line->view->pinfo->pool, text, component, QUOTE_MAX));
    if (component + 1 < left)
        wmem_strbuf_append_printf(line->text, ": %s",
                                  kd_info_quote(line->view->pinfo->pool, text + component + 1,
                                                left - component - 1, QUOTE_MAX));
}

static void info_state_change(struct line *line, const uint8_t *payload, size_t size)
{
    switch (line->view->packet->api & 0xFFFF) {
    case KD_STATE_EXCEPTION:
        info_exception(line, payload, size);
        break;
    case KD_STATE_LOAD_SYMBOLS:
        info_symbols(line, payload, size);
        break;
    case KD_STATE_COMMAND_STRING:
        info_command(line, payload, size);
        break;
    default:
        wmem_strbuf_append_printf(line->text, "State change 0x%x", line->view->packet->api);
    }
}

static void info_state_change32(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_packet *packet = line->view->packet;
    const struct kd_exception32 *exception =
        (const struct kd_exception32 *)(payload + KD_STATE_CHANGE32_UNION);
    uint64_t information[2];

    if ((packet->api & 0xFFFF) == KD_STATE_EXCEPTION &&
        size >= KD_STATE_CHANGE32_UNION + sizeof *exception) {
        information[0] = kd_get32(exception->exception_information[0]);
        information[1] = kd_get32(exception->exception_information[1]);
        append_exception(line, information, kd_get32(exception->exception_code));
    } else {
        wmem_strbuf_append(
            line->text,
            val_to_str_const(packet->api, kd_value_strings(KD_SET_ID_new_state), "State change"));
    }
    wmem_strbuf_append_printf(line->text, " at %s (32-bit protocol)",
                              kd_view_address(line->view, packet->address));
}

static void info_debug_io(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_get_string *prompt =
        (const struct kd_get_string *)(payload + KD_DEBUG_IO_UNION);
    bool reply = line->view->packet->flow == KD_FLOW_TO_TARGET;
    size_t length;

    if (size < KD_DEBUG_IO_TEXT) {
        wmem_strbuf_append(line->text, "DEBUG_IO, too short");
        return;
    }
    length = size - KD_DEBUG_IO_TEXT;
    if (line->view->packet->api == KD_API_GET_STRING && !reply)
        length = MIN(length, kd_get32(prompt->length_of_prompt_string));
    wmem_strbuf_append_printf(
        line->text, "%s \"%s\"",
        line->view->packet->api == KD_API_PRINT_STRING ? "Print"
        : reply                                        ? "Answer"
                                                       : "Prompt",
        kd_info_quote(line->view->pinfo->pool, payload + KD_DEBUG_IO_TEXT, length, QUOTE_MAX));
}

static const char *utf16_text(wmem_allocator_t *pool, const uint8_t *bytes, size_t size)
{
    wmem_strbuf_t *out = wmem_strbuf_new(pool, NULL);

    for (size_t i = 0; i + 1 < size && i < 2 * QUOTE_MAX; i += 2) {
        gunichar c = (gunichar)(bytes[i] | bytes[i + 1] << 8);

        if (!c)
            break;
        wmem_strbuf_append_unichar(out, g_unichar_isprint(c) ? c : 0xFFFD);
    }
    return wmem_strbuf_get_str(out);
}

static void info_file_io(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_packet *packet = line->view->packet;
    const struct kd_read_write_file *file =
        (const struct kd_read_write_file *)(payload + KD_FILE_IO_UNION);
    bool reply = packet->flow == KD_FLOW_TO_TARGET;

    wmem_strbuf_append(
        line->text,
        val_to_str_const(packet->api, kd_value_strings(KD_SET_ID_file_io_api), "FILE_IO"));
    if (size < KD_FILE_IO_DATA)
        return;
    if (packet->api == KD_API_CREATE_FILE && !reply)
        wmem_strbuf_append_printf(
            line->text, " \"%s\"",
            utf16_text(line->view->pinfo->pool, payload + KD_FILE_IO_DATA, size - KD_FILE_IO_DATA));
    else if (packet->api == KD_API_READ_FILE || packet->api == KD_API_WRITE_FILE)
        wmem_strbuf_append_printf(line->text, " at %" PRIu64 " len %u", kd_get64(file->offset),
                                  kd_get32(file->length));
    if (!reply && PINFO_FD_VISITED(line->view->pinfo) && kd_packet_peer(packet)) {
        wmem_strbuf_append(line->text, " -> ");
        append_status(line->text, kd_packet_peer(packet)->status);
        append_link(line->text, packet, "in");
    }
    if (!reply)
        return;
    wmem_strbuf_append(line->text, " -> ");
    append_status(line->text, packet->status);
    if (kd_packet_peer(packet))
        append_link(line->text, packet, "to");
}

static void info_control_request(struct line *line, const uint8_t *payload, size_t size)
{
    const struct kd_control_request *request = (const struct kd_control_request *)payload;

    wmem_strbuf_append(line->text, val_to_str_const(line->view->packet->api,
                                                    kd_value_strings(KD_SET_ID_control_request_api),
                                                    "Control request"));
    if (size < sizeof *request)
        return;
    wmem_strbuf_append_printf(line->text, " %u", kd_get32(request->hardware_breakpoint_number));
    if (line->view->packet->flow == KD_FLOW_TO_TARGET)
        wmem_strbuf_append(line->text, kd_get32(request->available) ? " -> yes" : " -> no");
}

static void info_control(struct line *line)
{
    const struct kd_packet *packet = line->view->packet;

    switch (packet->type) {
    case KD_PACKET_ACKNOWLEDGE:
        wmem_strbuf_append_printf(line->text, "ACK %08x", packet->id);
        if (packet->ack_frame)
            wmem_strbuf_append_printf(line->text, " [of %u]", packet->ack_frame);
        break;
    case KD_PACKET_RESEND:
        wmem_strbuf_append(line->text, "RESEND");
        if (packet->ack_frame)
            wmem_strbuf_append_printf(line->text, " [of %u]", packet->ack_frame);
        break;
    default:
        wmem_strbuf_append(line->text, "RESET");
    }
}

static void append_payload(struct line *line, const uint8_t *payload, size_t size)
{
    switch (line->view->packet->type) {
    case KD_PACKET_STATE_MANIPULATE:
        info_manipulate(line, payload, size);
        break;
    case KD_PACKET_STATE_CHANGE64:
        info_state_change(line, payload, size);
        break;
    case KD_PACKET_STATE_CHANGE32:
        info_state_change32(line, payload, size);
        break;
    case KD_PACKET_DEBUG_IO:
        info_debug_io(line, payload, size);
        break;
    case KD_PACKET_FILE_IO:
        info_file_io(line, payload, size);
        break;
    case KD_PACKET_TRACE_IO:
        wmem_strbuf_append_printf(line->text, "Trace, %zu bytes",
                                  size - MIN(size, (size_t)KD_TRACE_IO_DATA));
        break;
    case KD_PACKET_CONTROL_REQUEST:
        info_control_request(line, payload, size);
        break;
    default:
        info_control(line);
    }
}

const char *kd_info_text(const struct kd_view *view, const uint8_t *payload, size_t size)
{
    struct line line = {.text = wmem_strbuf_new(view->pinfo->pool, NULL), .view = view};

    if (view->packet->flags & (KD_PKT_RETRANSMISSION | KD_PKT_REPAIRS))
        wmem_strbuf_append_printf(line.text, "[Retransmission of %u] ",
                                  view->packet->original->frame);
    else if (view->packet->flags & KD_PKT_REPEATED)
        wmem_strbuf_append_printf(line.text, "[Repeats %u] ", view->packet->original->frame);
    append_payload(&line, payload, size);
    return wmem_strbuf_get_str(line.text);
}
