/* kd-session.c - link and debugger state of one KD connection. See kd-session.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * State: for each side the last data packets it sent (an ACK names one of them), the requests that
 * wait for a reply, the target's architecture and modules, the current stop. All of it is bounded.
 */
#include "kd-session.h"

#include <string.h>

#include <epan/charsets.h>

#define RECENT  8    /* data packets of a side that an ACK may still name */
#define WAITING 64   /* requests that a late reply may still answer */
#define MODULES 4096 /* more load events than any system has; the rest goes without names */

struct kd_side {
    struct kd_packet *recent[RECENT]; /* ring, newest at `newest` */
    unsigned newest;
    struct kd_packet *last;    /* last data packet that was no retransmission */
    struct kd_packet *damaged; /* it came after `last`, with a wrong checksum */
    struct kd_packet *latest;  /* what a RESEND asks for */
    bool reset;                /* a RESET passed since `last` */
    bool spoke;                /* this side sent data since the other side's last data packet */
};

struct kd_session {
    bool kdnet;
    enum kd_arch arch;
    bool arch_certain; /* from GetVersion, not from a report */
    bool protocol32;
    uint64_t data_list;
    uint64_t data_block;
    struct kd_side
        sides[3]; /* by the flow of what the side sends: unknown, to target, to debugger */
    struct kd_packet *waiting[WAITING];
    unsigned waiting_next;
    bool echoes;                  /* the target's replies repeat what tells requests apart */
    struct kd_packet *io_request; /* a prompt, file request or control request of the target */
    uint32_t stop;
    wmem_array_t *modules;
};

struct kd_session *kd_session_new(bool kdnet)
{
    struct kd_session *session = wmem_new0(wmem_file_scope(), struct kd_session);

    session->kdnet = kdnet;
    session->modules = wmem_array_new(wmem_file_scope(), sizeof(struct kd_module));
    return session;
}

uint64_t kd_session_data_block(const struct kd_session *session)
{
    return session->data_block;
}

const struct kd_module *kd_session_module(const struct kd_session *session, uint64_t address,
                                          uint32_t frame)
{
    const struct kd_module *modules = wmem_array_get_raw(session->modules);

    for (unsigned i = wmem_array_get_count(session->modules); i-- > 0;) {
        const struct kd_module *module = &modules[i];

        if (module->loaded <= frame && (!module->unloaded || module->unloaded >= frame) &&
            address >= module->base && address - module->base < module->size)
            return module;
    }
    return NULL;
}

/* Serial ids alternate in bit 0; the SYNC bit says that the sender began anew. */
static uint32_t clean_id(const struct kd_session *session, uint32_t id)
{
    return session->kdnet ? id : id & ~KD_SYNC_PACKET_ID;
}

static uint32_t next_id(const struct kd_session *session, uint32_t id)
{
    return session->kdnet ? id + 2 : clean_id(session, id) ^ 1;
}

static struct kd_side *other_side(struct kd_session *session, enum kd_flow flow)
{
    switch (flow) {
    case KD_FLOW_TO_TARGET:
        return &session->sides[KD_FLOW_TO_DEBUGGER];
    case KD_FLOW_TO_DEBUGGER:
        return &session->sides[KD_FLOW_TO_TARGET];
    default:
        return &session->sides[KD_FLOW_UNKNOWN];
    }
}

static struct kd_packet *find_sent(const struct kd_session *session, const struct kd_side *side,
                                   uint32_t id)
{
    for (unsigned i = 0; i < RECENT; i++) {
        struct kd_packet *packet = side->recent[(side->newest - i) % RECENT];

        if (packet && clean_id(session, packet->id) == clean_id(session, id))
            return packet;
    }
    return NULL;
}

static void see_control(struct kd_session *session, struct kd_packet *packet)
{
    struct kd_side *side = other_side(session, (enum kd_flow)packet->flow);
    struct kd_packet *subject;

    switch (packet->type) {
    case KD_PACKET_ACKNOWLEDGE:
        subject = find_sent(session, side, packet->id);
        if (subject) {
            packet->ack_frame = subject->frame;
            if (!subject->ack_frame)
                subject->ack_frame = packet->frame;
            /* The first transmission counts as acknowledged through any of its repetitions. */
            if ((subject->flags & KD_PKT_RETRANSMISSION) && !subject->original->ack_frame)
                subject->original->ack_frame = packet->frame;
        } else {
            packet->flags |= KD_PKT_STRAY_ACK;
        }
        break;
    case KD_PACKET_RESEND:
        packet->ack_frame = side->latest ? side->latest->frame : 0;
        break;
    case KD_PACKET_RESET:
        for (unsigned i = 0; i < 3; i++)
            session->sides[i].reset = true;
        break;
    }
}

static bool same_content(const struct kd_packet *packet, const struct kd_packet *before)
{
    return packet->type == before->type && packet->size == before->size &&
           packet->checksum == before->checksum;
}

/* Whether a packet after a RESET is the one before it: the sender repeats what it was waiting for
 * an acknowledgement of, and a stopped target its state change. */
static bool is_pending(const struct kd_session *session, const struct kd_packet *last)
{
    bool state_change =
        last->type == KD_PACKET_STATE_CHANGE64 || last->type == KD_PACKET_STATE_CHANGE32;

    return !last->ack_frame || (state_change && session->stop == last->frame);
}

static void check_damaged(const struct kd_session *session, struct kd_packet *packet,
                          const struct kd_side *side)
{
    struct kd_packet *damaged = side->damaged;

    if (damaged && damaged->type == packet->type && damaged->size == packet->size &&
        clean_id(session, damaged->id) == clean_id(session, packet->id)) {
        packet->flags |= KD_PKT_REPAIRS;
        packet->original = damaged;
    }
}

/* What the id says about a data packet: new, repeated, or out of step. */
static void check_id(const struct kd_session *session, struct kd_packet *packet,
                     const struct kd_side *side)
{
    struct kd_packet *last = side->last;
    bool same_id, restarted;

    check_damaged(session, packet, side);
    if (!last)
        return;
    same_id = clean_id(session, packet->id) == clean_id(session, last->id);
    restarted = !session->kdnet && (side->reset || (packet->id & KD_SYNC_PACKET_ID));
    if (same_content(packet, last) && (restarted ? is_pending(session, last) : same_id)) {
        packet->flags |= KD_PKT_RETRANSMISSION;
        packet->original = last;
        return;
    }
    if (restarted)
        return;
    packet->expected_id = next_id(session, last->id);
    if (clean_id(session, packet->id) != packet->expected_id)
        packet->flags |= KD_PKT_DESYNC;
}

static void remember_sent(struct kd_session *session, struct kd_packet *packet,
                          struct kd_side *side)
{
    struct kd_side *other = other_side(session, (enum kd_flow)packet->flow);

    if (!(packet->flags & KD_PKT_RETRANSMISSION)) {
        /* Data of the other side after a packet shows that it arrived, ACK or not. */
        if (side->last && !side->last->ack_frame && !side->reset && !other->spoke)
            packet->unacknowledged = side->last;
        side->last = packet;
        side->reset = false;
        side->spoke = true;
        other->spoke = false;
    }
    side->damaged = NULL;
    side->latest = packet;
    side->recent[++side->newest % RECENT] = packet;
}

/* The part of the union that a reply echoes, as a number: what tells requests of one API apart. */
static uint64_t echoed(enum kd_layout_id layout, const uint8_t *body, size_t size)
{
    const struct kd_field *field = kd_layouts[layout].fields;
    uint64_t value = 0;
    size_t width;

    if (!field || field->direction != KD_DIR_BOTH)
        return 0;
    width = kd_type_size((enum kd_type)field->type);
    for (size_t i = 0; i < width && i < size; i++)
        value |= (uint64_t)body[i] << (8 * i);
    return value;
}

static struct kd_packet **waiting_slot(struct kd_session *session, unsigned back)
{
    return &session->waiting[(session->waiting_next - 1 - back) % WAITING];
}

static bool is_same_request(const struct kd_packet *request, const struct kd_packet *before)
{
    return request->api == before->api && same_content(request, before);
}

static bool must_answer(uint32_t number)
{
    const struct kd_api_info *api = kd_api_find(number);

    return !api || api->answer == KD_ANSWER_REPLY;
}

/* A request: is it a repetition, and does it show that the one before went unanswered? Over KDNET
 * the debugger may go on with the reply to a repetition, and the other replies come late. */
static void see_request(struct kd_session *session, struct kd_packet *packet)
{
    struct kd_packet *before = session->waiting_next ? *waiting_slot(session, 0) : NULL;

    if (before && !before->peer && must_answer(before->api)) {
        if (is_same_request(packet, before)) {
            packet->flags |= KD_PKT_REPEATED;
            packet->original = before->original ? before->original : before;
        } else if (!session->kdnet) {
            packet->unanswered = before;
        }
    }
    session->waiting[session->waiting_next++ % WAITING] = packet;
    if (packet->api == KD_API_CONTINUE || packet->api == KD_API_CONTINUE2 ||
        packet->api == KD_API_REBOOT || packet->api == KD_API_CAUSE_BUGCHECK)
        session->stop = 0;
}

static bool answers(const struct kd_packet *reply, const struct kd_packet *request)
{
    return request && !request->peer && request->api == reply->api &&
           request->address == reply->address && request->requested == reply->requested;
}

/* The waiting request that a reply echoes. A target acknowledges first and answers then, so one
 * that was acknowledged is preferred. Over KDNET all repetitions are answered, in order; on a
 * serial line the last one is meant. */
static struct kd_packet *find_echoed(struct kd_session *session, const struct kd_packet *reply,
                                     bool acknowledged)
{
    unsigned kept = MIN(session->waiting_next, WAITING);

    for (unsigned i = 0; i < kept; i++) {
        struct kd_packet *request = *waiting_slot(session, session->kdnet ? kept - 1 - i : i);

        if (answers(reply, request) && (request->ack_frame || !acknowledged))
            return request;
    }
    return NULL;
}

/* The request that a reply answers. A target that never echoes answers what came last. */
static struct kd_packet *find_request(struct kd_session *session, const struct kd_packet *reply)
{
    struct kd_packet *last = session->waiting_next ? *waiting_slot(session, 0) : NULL;
    struct kd_packet *request = find_echoed(session, reply, true);

    if (!request)
        request = find_echoed(session, reply, false);
    if (request && (request->address || request->requested))
        session->echoes = true;
    if (!request && !session->echoes && last && !last->peer && last->api == reply->api)
        request = last;
    return request;
}

static void learn_version(struct kd_session *session, const uint8_t *body, size_t size)
{
    const struct kd_get_version64 *version = (const struct kd_get_version64 *)body;
    const struct kd_arch_info *arch;

    if (size < sizeof *version)
        return;
    arch = kd_arch_of_machine(kd_get16(version->machine_type));
    if (!arch)
        return;
    session->arch = arch->arch;
    session->arch_certain = true;
    session->data_list = kd_get64(version->debugger_data_list);
}

/* DebuggerDataList points at a pointer to the block; the debugger reads that pointer first. */
static void learn_data_block(struct kd_session *session, const struct kd_packet *reply,
                             const uint8_t *payload, size_t size)
{
    uint64_t value = 0;
    size_t pointer = session->arch == KD_ARCH_X86 ? 4 : 8;

    if (!session->data_list || reply->address != session->data_list ||
        size < KD_MANIPULATE_DATA + pointer)
        return;
    for (size_t i = 0; i < pointer; i++)
        value |= (uint64_t)payload[KD_MANIPULATE_DATA + i] << (8 * i);
    /* 32-bit targets state addresses sign-extended everywhere else. */
    session->data_block = pointer == 4 ? (uint64_t)(int64_t)(int32_t)(uint32_t)value : value;
}

static void see_reply(struct kd_session *session, struct kd_packet *packet, const uint8_t *payload,
                      size_t size)
{
    struct kd_packet *request = find_request(session, packet);
    const uint8_t *body = payload + KD_MANIPULATE_UNION;

    if (request) {
        packet->peer = request;
        request->peer = packet;
    }
    if (packet->status != KD_NT(STATUS_SUCCESS) || (packet->flags & KD_PKT_PROTOCOL32))
        return;
    if (packet->api == KD_API_GET_VERSION)
        learn_version(session, body, size - KD_MANIPULATE_UNION);
    else if (packet->api == KD_API_READ_VIRTUAL_MEMORY)
        learn_data_block(session, packet, payload, size);
}

static void see_manipulate(struct kd_session *session, struct kd_packet *packet,
                           const uint8_t *payload, size_t size)
{
    if (packet->flags & KD_PKT_RETRANSMISSION)
        return;
    if (packet->flow == KD_FLOW_TO_TARGET)
        see_request(session, packet);
    else if (packet->flow == KD_FLOW_TO_DEBUGGER)
        see_reply(session, packet, payload, size);
}

/* "C:\Windows\system32\ntoskrnl.exe" -> "ntoskrnl" */
static char *module_name(const char *path)
{
    const char *file = path;
    const char *dot;

    for (const char *c = path; *c; c++)
        if (*c == '\\' || *c == '/')
            file = c + 1;
    dot = strrchr(file, '.');
    return wmem_strndup(wmem_file_scope(), file,
                        dot && dot != file ? (size_t)(dot - file) : strlen(file));
}

static void add_module(struct kd_session *session, uint32_t frame, uint64_t base, uint32_t size,
                       uint32_t checksum, const uint8_t *text, size_t text_size)
{
    struct kd_module module = {.base = base, .size = size, .checksum = checksum, .loaded = frame};

    if (!text_size || wmem_array_get_count(session->modules) >= MODULES)
        return;
    module.path = (const char *)get_ascii_string(wmem_file_scope(), text,
                                                 (int)strnlen((const char *)text, text_size));
    module.name = module_name(module.path);
    wmem_array_append_one(session->modules, module);
}

/* An unload event ends the module at that base; the reboot and hibernate events end all. */
static void remove_modules(struct kd_session *session, uint32_t frame, uint64_t base)
{
    struct kd_module *modules = wmem_array_get_raw(session->modules);

    for (unsigned i = 0; i < wmem_array_get_count(session->modules); i++)
        if (!modules[i].unloaded &&
            (modules[i].base == base || base == KD_REBOOT || base == KD_HIBERNATE))
            modules[i].unloaded = frame;
}

static void see_symbols64(struct kd_session *session, uint32_t frame, const uint8_t *payload,
                          size_t size)
{
    const struct kd_load_symbols64 *load =
        (const struct kd_load_symbols64 *)(payload + KD_STATE_CHANGE_UNION);

    if (size < KD_STATE_CHANGE_TEXT)
        return;
    if (kd_get8(load->unload_symbols))
        remove_modules(session, frame, kd_get64(load->base_of_dll));
    else
        add_module(session, frame, kd_get64(load->base_of_dll), kd_get32(load->size_of_image),
                   kd_get32(load->check_sum), payload + KD_STATE_CHANGE_TEXT,
                   size - KD_STATE_CHANGE_TEXT);
}

static void see_state_change(struct kd_session *session, struct kd_packet *packet,
                             const uint8_t *payload, size_t size)
{
    if (packet->flags & KD_PKT_RETRANSMISSION)
        return;
    session->stop = packet->stop = packet->frame;
    session->protocol32 = packet->type == KD_PACKET_STATE_CHANGE32;
    if (session->protocol32 && !session->arch_certain) {
        session->arch = KD_ARCH_X86;
    } else if (!session->arch_certain && size >= KD_STATE_CHANGE_TEXT) {
        enum kd_arch arch = kd_arch_of_report(payload + KD_STATE_CHANGE_REPORT);

        session->arch = arch != KD_ARCH_UNKNOWN ? arch : session->arch;
    }
    if (!session->protocol32 && (packet->api & 0xFFFF) == KD_STATE_LOAD_SYMBOLS)
        see_symbols64(session, packet->frame, payload, size);
}

/* Messages the target starts: at most one waits for the debugger's answer, which has its type and
 * ApiNumber. */
static void see_io(struct kd_session *session, struct kd_packet *packet)
{
    struct kd_packet *request = session->io_request;

    if (packet->flags & KD_PKT_RETRANSMISSION)
        return;
    if (packet->flow == KD_FLOW_TO_DEBUGGER) {
        if (packet->api != KD_API_PRINT_STRING && packet->api != KD_API_PRINT_TRACE)
            session->io_request = packet;
    } else if (request && request->type == packet->type && request->api == packet->api) {
        packet->peer = request;
        if (!request->peer)
            request->peer = packet;
    }
}

static void see_data(struct kd_session *session, struct kd_packet *packet, const uint8_t *payload,
                     size_t size)
{
    struct kd_side *side = &session->sides[packet->flow];

    check_id(session, packet, side);
    remember_sent(session, packet, side);
    switch (packet->type) {
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_STATE_CHANGE32:
        see_state_change(session, packet, payload, size);
        break;
    case KD_PACKET_STATE_MANIPULATE:
        see_manipulate(session, packet, payload, size);
        break;
    default:
        see_io(session, packet);
        break;
    }
}

/* Byte counts: what was asked for, and in a reply what was moved. They lie alike in all memory
 * layouts. */
static void describe_transfer(struct kd_packet *packet, const uint8_t *body, size_t size,
                              enum kd_layout_id layout)
{
    const struct kd_memory *memory = (const struct kd_memory *)body;
    const struct kd_memory32 *memory32 = (const struct kd_memory32 *)body;
    uint32_t moved;

    switch (layout) {
    case KD_LAYOUT_memory:
    case KD_LAYOUT_physical_memory:
    case KD_LAYOUT_control_space:
        if (size < sizeof *memory)
            return;
        packet->requested = kd_get32(memory->transfer_count);
        moved = kd_get32(memory->actual_bytes);
        break;
    case KD_LAYOUT_memory32:
    case KD_LAYOUT_physical_memory32:
    case KD_LAYOUT_control_space32:
        if (size < sizeof *memory32)
            return;
        packet->requested = kd_get32(memory32->transfer_count);
        moved = kd_get32(memory32->actual_bytes);
        break;
    default:
        return;
    }
    packet->count = packet->flow == KD_FLOW_TO_DEBUGGER ? moved : packet->requested;
}

/* A reply's number, for the Info column of its request too. */
static uint64_t result_of(const struct kd_packet *packet, const uint8_t *body)
{
    const struct kd_write_breakpoint *breakpoint = (const void *)body;
    const struct kd_write_breakpoint32 *breakpoint32 = (const void *)body;
    const struct kd_write_io_space *io = (const void *)body;
    const struct kd_write_io_space32 *io32 = (const void *)body;
    const struct kd_read_msr *msr = (const void *)body;
    const struct kd_query_memory *query = (const void *)body;
    const struct kd_get_version64 *version = (const void *)body;
    const struct kd_fill_memory *fill = (const void *)body;
    const struct kd_context_ex *part = (const void *)body;
    bool narrow = packet->flags & KD_PKT_PROTOCOL32;

    switch (packet->api) {
    case KD_API_WRITE_BREAKPOINT:
        return kd_get32(narrow ? breakpoint32->break_point_handle : breakpoint->break_point_handle);
    case KD_API_READ_IO_SPACE:
        return kd_get32(narrow ? io32->data_value : io->data_value);
    case KD_API_READ_MSR:
        return (uint64_t)kd_get32(msr->data_value_high) << 32 | kd_get32(msr->data_value_low);
    case KD_API_SEARCH_MEMORY:
        return kd_get64(*(const kd_u64 *)body);
    case KD_API_QUERY_MEMORY:
        return (uint64_t)kd_get32(query->address_space) << 32 | kd_get32(query->flags);
    case KD_API_FILL_MEMORY:
        return kd_get32(fill->length);
    case KD_API_GET_CONTEXT_EX:
        return (uint64_t)kd_get32(part->byte_count) << 32 | kd_get32(part->bytes_copied);
    case KD_API_GET_VERSION:
        return (uint64_t)kd_get16(version->major_version) << 48 |
               (uint64_t)kd_get16(version->minor_version) << 32 |
               (uint64_t)kd_get16(version->machine_type) << 16 | kd_get8(version->protocol_version);
    default:
        return 0;
    }
}

static void describe_manipulate(struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    const struct kd_manipulate_header32 *header = (const struct kd_manipulate_header32 *)payload;
    bool protocol32 = packet->flags & KD_PKT_PROTOCOL32;
    size_t at = protocol32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    const struct kd_api_info *api;
    enum kd_layout_id layout;

    if (size < at)
        return;
    packet->api = kd_get32(header->api_number);
    packet->status = kd_get32(header->return_status);
    api = kd_api_find(packet->api);
    layout = !api ? KD_LAYOUT_none : protocol32 ? kd_api_layout32(api) : api->layout;
    packet->address = echoed(layout, payload + at, size - at);
    describe_transfer(packet, payload + at, size - at, layout);
    if (packet->flow == KD_FLOW_TO_DEBUGGER && size - at >= sizeof(struct kd_get_version64))
        packet->result = result_of(packet, payload + at);
    if (packet->api == KD_API_GET_CONTEXT)
        packet->count = (uint32_t)(size - MIN(size, (size_t)KD_MANIPULATE_DATA));
}

/* What the packet says of itself, whatever the session. */
static void describe(struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    const struct kd_state_change32 *change32 = (const struct kd_state_change32 *)payload;

    if (packet->type == KD_PACKET_STATE_MANIPULATE) {
        describe_manipulate(packet, payload, size);
        return;
    }
    if (size >= sizeof(kd_u32))
        packet->api = kd_get32(*(const kd_u32 *)payload);
    if (packet->type == KD_PACKET_STATE_CHANGE64 && size >= sizeof *change)
        packet->address = kd_get64(change->program_counter);
    else if (packet->type == KD_PACKET_STATE_CHANGE32 && size >= sizeof *change32)
        packet->address = kd_get32(change32->program_counter);
    else if (packet->type == KD_PACKET_FILE_IO && size >= sizeof(struct kd_file_io_header))
        packet->status = kd_get32(((const struct kd_file_io_header *)payload)->status);
}

/* A packet the receiver cannot use still is what a RESEND asks for. */
static void see_damaged(struct kd_session *session, struct kd_packet *packet)
{
    struct kd_side *side = &session->sides[packet->flow];

    side->damaged = packet;
    side->latest = packet;
}

struct kd_packet *kd_session_packet(struct kd_session *session, const packet_info *pinfo,
                                    enum kd_flow flow, const struct kd_frame *frame,
                                    const uint8_t *bytes, unsigned flags)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    const uint8_t *payload = bytes + KD_HEADER_SIZE;
    struct kd_packet *packet = wmem_new0(wmem_file_scope(), struct kd_packet);

    packet->frame = pinfo->num;
    packet->time = pinfo->abs_ts;
    packet->type = (uint8_t)kd_get16(header->packet_type);
    packet->id = kd_get32(header->packet_id);
    packet->flow = (uint8_t)flow;
    packet->size = kd_get16(header->byte_count);
    packet->checksum = kd_get32(header->checksum);
    packet->stop = session->stop;
    packet->flags = (uint8_t)(flags | (session->protocol32 ? KD_PKT_PROTOCOL32 : 0));
    if (frame->flags & KD_FRAME_BAD_CHECKSUM)
        packet->flags |= KD_PKT_IGNORED;
    if (!kd_is_control(packet->type))
        describe(packet, payload, frame->payload);
    if (frame->flags & KD_FRAME_BAD_CHECKSUM)
        see_damaged(session, packet);
    else if (!(packet->flags & KD_PKT_IGNORED) && kd_is_control(packet->type))
        see_control(session, packet);
    else if (!(packet->flags & KD_PKT_IGNORED))
        see_data(session, packet, payload, frame->payload);
    packet->arch = (uint8_t)session->arch;
    return packet;
}
