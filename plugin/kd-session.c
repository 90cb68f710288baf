/* kd-session.c - link and debugger state of one KD connection. See kd-session.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The link is judged by lib/kd's observer, which names packets by our struct kd_packet. What is
 * kept here beside it: the target's architecture and modules, and where its data block is.
 */
#include "kd-session.h"

#include <string.h>

#include <epan/charsets.h>

#include "kd-objects.h"
#include "kd-timeline.h"

#define MODULES 4096 /* more load events than any system has; the rest goes without names */

struct kd_session {
    struct kd_observer observer;
    enum kd_arch arch;
    bool arch_certain; /* from GetVersion, not from a report */
    uint64_t data_list;
    uint64_t data_block;
    wmem_array_t *modules;
    struct kd_timeline *timeline;
    struct kd_objects *objects;
};

struct kd_session *kd_session_new(bool kdnet)
{
    struct kd_session *session = wmem_new0(wmem_file_scope(), struct kd_session);

    kd_observer_init(&session->observer, kdnet);
    session->modules = wmem_array_new(wmem_file_scope(), sizeof(struct kd_module));
    session->timeline = kd_timeline_new();
    session->objects = kd_objects_new();
    return session;
}

struct kd_timeline *kd_session_timeline(const struct kd_session *session)
{
    return session->timeline;
}

struct kd_objects *kd_session_objects(const struct kd_session *session)
{
    return session->objects;
}

bool kd_session_kdnet(const struct kd_session *session)
{
    return session->observer.kdnet;
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

static void see_state_change(struct kd_session *session, const struct kd_packet *packet,
                             const uint8_t *payload, size_t size)
{
    if (session->observer.protocol32 && !session->arch_certain) {
        session->arch = KD_ARCH_X86;
    } else if (!session->arch_certain && size >= KD_STATE_CHANGE_TEXT) {
        enum kd_arch arch = kd_arch_of_report(payload + KD_STATE_CHANGE_REPORT);

        session->arch = arch != KD_ARCH_UNKNOWN ? arch : session->arch;
    }
    if (!session->observer.protocol32 && (packet->api & 0xFFFF) == KD_STATE_LOAD_SYMBOLS)
        see_symbols64(session, packet->frame, payload, size);
}

static void see_reply(struct kd_session *session, struct kd_packet *packet, const uint8_t *payload,
                      size_t size)
{
    if (packet->status != KD_NT(STATUS_SUCCESS) || (packet->flags & KD_PKT_PROTOCOL32))
        return;
    if (packet->api == KD_API_GET_VERSION && size >= KD_MANIPULATE_UNION)
        learn_version(session, payload + KD_MANIPULATE_UNION, size - KD_MANIPULATE_UNION);
    else if (packet->api == KD_API_READ_VIRTUAL_MEMORY)
        learn_data_block(session, packet, payload, size);
}

/* What a message that arrived for the first time tells of the target. */
static void learn(struct kd_session *session, struct kd_packet *packet, const uint8_t *payload,
                  size_t size)
{
    if (packet->type == KD_PACKET_STATE_CHANGE64 || packet->type == KD_PACKET_STATE_CHANGE32)
        see_state_change(session, packet, payload, size);
    else if (packet->type == KD_PACKET_STATE_MANIPULATE && packet->flow == KD_FLOW_TO_DEBUGGER)
        see_reply(session, packet, payload, size);
}

static void describe_result(struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    size_t at = packet->flags & KD_PKT_PROTOCOL32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;

    if (packet->type == KD_PACKET_STATE_MANIPULATE && packet->flow == KD_FLOW_TO_DEBUGGER &&
        size >= at + sizeof(struct kd_get_version64))
        packet->result = result_of(packet, payload + at);
}

/* The first transmission counts as acknowledged through any of its repetitions. */
static void link_ack(struct kd_packet *ack, const struct kd_seen *seen)
{
    struct kd_packet *subject = seen->subject.tag;
    struct kd_packet *original = seen->first.tag;

    if (!subject)
        return;
    ack->ack_frame = subject->frame;
    if (ack->type != KD_PACKET_ACKNOWLEDGE)
        return;
    if (!subject->ack_frame)
        subject->ack_frame = ack->frame;
    if (original && !original->ack_frame)
        original->ack_frame = ack->frame;
}

static void link_peer(struct kd_packet *reply, struct kd_packet *request)
{
    if (!request)
        return;
    reply->peer = request;
    if (!request->peer)
        request->peer = reply;
}

static void take_judgement(struct kd_packet *packet, const struct kd_seen *seen)
{
    packet->expected_id = seen->expected_id;
    packet->flags |=
        (uint8_t)((seen->protocol32 ? KD_PKT_PROTOCOL32 : 0) |
                  (seen->retransmission ? KD_PKT_RETRANSMISSION : 0) |
                  (seen->repeated ? KD_PKT_REPEATED : 0) | (seen->repairs ? KD_PKT_REPAIRS : 0) |
                  (KD_HAS(seen->findings, DESYNC) ? KD_PKT_DESYNC : 0) |
                  (KD_HAS(seen->findings, STRAY_ACK) ? KD_PKT_STRAY_ACK : 0));
    packet->api = seen->message.api;
    packet->status = seen->message.status;
    packet->requested = seen->message.requested;
    packet->count = seen->message.count;
    packet->address = seen->message.address;
    packet->stop = seen->stop.frame;
    packet->unacknowledged = seen->unacknowledged.tag;
    packet->unanswered = seen->unanswered.tag;
    packet->original = seen->original.tag;
    link_ack(packet, seen);
    link_peer(packet, seen->peer.tag);
}

static struct kd_packet *packet_new(const packet_info *pinfo, const struct kd_passing *passing,
                                    unsigned flags)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)passing->bytes;
    struct kd_packet *packet = wmem_new0(wmem_file_scope(), struct kd_packet);

    packet->frame = pinfo->num;
    packet->time = pinfo->abs_ts;
    packet->type = (uint8_t)kd_get16(header->packet_type);
    packet->id = kd_get32(header->packet_id);
    packet->flow = (uint8_t)passing->flow;
    packet->size = kd_get16(header->byte_count);
    packet->checksum = kd_get32(header->checksum);
    packet->flags = (uint8_t)flags;
    if (passing->frame->flags & KD_FRAME_BAD_CHECKSUM)
        packet->flags |= KD_PKT_IGNORED;
    return packet;
}

static uint64_t nanoseconds(const nstime_t *time)
{
    return (uint64_t)time->secs * 1000000000u + (uint64_t)time->nsecs;
}

struct kd_packet *kd_session_frame(struct kd_session *session, const packet_info *pinfo,
                                   enum kd_flow flow, const struct kd_frame *frame,
                                   const uint8_t *bytes, unsigned flags, struct kd_remark **remarks)
{
    const uint8_t *payload = bytes + KD_HEADER_SIZE;
    struct kd_passing passing = {.ref = {NULL, pinfo->num},
                                 .time = nanoseconds(&pinfo->abs_ts),
                                 .flow = flow,
                                 .frame = frame,
                                 .bytes = bytes,
                                 .ignored = (flags & KD_PKT_IGNORED) != 0};
    struct kd_packet *packet = NULL;
    struct kd_seen seen;

    if (frame->kind == KD_FRAME_PACKET)
        passing.ref.tag = packet = packet_new(pinfo, &passing, flags);
    kd_observe(&session->observer, &passing, &seen);
    if (flags & KD_PKT_CUT)
        seen.findings |= UINT64_C(1) << KD_FINDING_TRUNCATED;
    *remarks = kd_remarks_new(&passing, &seen);
    if (!packet)
        return NULL;
    take_judgement(packet, &seen);
    if (!kd_is_control(packet->type)) {
        describe_result(packet, payload, frame->payload);
        if (!(packet->flags & (KD_PKT_IGNORED | KD_PKT_RETRANSMISSION)))
            learn(session, packet, payload, frame->payload);
    }
    packet->arch = (uint8_t)session->arch;
    return packet;
}
