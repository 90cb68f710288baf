/* observe_message.c - what a data packet says of itself, and the table of findings. See observe.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "observe_message.h"

#include "kd/describe.h"

#define FAILED       UINT32_C(0x80000000) /* NTSTATUS from here on */
#define TEXT_LEAST   4u
#define TEXT_PERCENT 90u

const struct kd_finding_info kd_findings[KD_FINDINGS] = {
#define KD_FINDING(id, name, group, severity, text) {name, KD_SEVERITY_##severity, text},
#include "kd/findings.def"
#undef KD_FINDING
};

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

/* Byte counts: what was asked for, and in a reply what was moved. They lie alike in all memory
 * layouts. */
static void read_transfer(struct kd_message *out, bool reply, const uint8_t *body, size_t size,
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
        out->requested = kd_get32(memory->transfer_count);
        moved = kd_get32(memory->actual_bytes);
        break;
    case KD_LAYOUT_memory32:
    case KD_LAYOUT_physical_memory32:
    case KD_LAYOUT_control_space32:
        if (size < sizeof *memory32)
            return;
        out->requested = kd_get32(memory32->transfer_count);
        moved = kd_get32(memory32->actual_bytes);
        break;
    default:
        return;
    }
    out->count = reply ? moved : out->requested;
}

static void read_manipulate(struct kd_message *out, bool reply, bool protocol32,
                            const uint8_t *payload, size_t size)
{
    const struct kd_manipulate_header32 *header = (const struct kd_manipulate_header32 *)payload;
    size_t at = protocol32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    const struct kd_api_info *api;
    enum kd_layout_id layout;

    if (size < at)
        return;
    out->api = kd_get32(header->api_number);
    out->status = kd_get32(header->return_status);
    api = kd_api_find(out->api);
    layout = !api ? KD_LAYOUT_none : protocol32 ? kd_api_layout32(api) : api->layout;
    out->address = echoed(layout, payload + at, size - at);
    read_transfer(out, reply, payload + at, size - at, layout);
    if (out->api == KD_API_GET_CONTEXT)
        out->count = size > KD_MANIPULATE_DATA ? (uint32_t)(size - KD_MANIPULATE_DATA) : 0;
}

void kd_message_read(uint32_t packet_type, enum kd_flow flow, bool protocol32,
                     const uint8_t *payload, size_t size, struct kd_message *out)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    const struct kd_state_change32 *change32 = (const struct kd_state_change32 *)payload;

    *out = (struct kd_message){0};
    if (packet_type == KD_PACKET_STATE_MANIPULATE) {
        read_manipulate(out, flow == KD_FLOW_TO_DEBUGGER, protocol32, payload, size);
        return;
    }
    if (size >= sizeof(kd_u32))
        out->api = kd_get32(*(const kd_u32 *)payload);
    if (packet_type == KD_PACKET_STATE_CHANGE64 && size >= sizeof *change)
        out->address = kd_get64(change->program_counter);
    else if (packet_type == KD_PACKET_STATE_CHANGE32 && size >= sizeof *change32)
        out->address = kd_get32(change32->program_counter);
    else if (packet_type == KD_PACKET_FILE_IO && size >= sizeof(struct kd_file_io_header))
        out->status = kd_get32(((const struct kd_file_io_header *)payload)->status);
}

static uint64_t bit(enum kd_finding finding)
{
    return UINT64_C(1) << finding;
}

static uint64_t observe_stop(const struct kd_passing *passing, const struct kd_seen *seen)
{
    bool wide = seen->packet_type == KD_PACKET_STATE_CHANGE64;
    size_t at = wide ? KD_STATE_CHANGE_UNION : KD_STATE_CHANGE32_UNION;
    size_t size = wide ? sizeof(struct kd_exception64) : sizeof(struct kd_exception32);
    uint32_t code;

    if ((seen->message.api & 0xFFFF) != KD_STATE_EXCEPTION || passing->frame->payload < at + size)
        return 0;
    code = kd_get32(*(const kd_u32 *)(passing->bytes + KD_HEADER_SIZE + at));
    return code != KD_NT(STATUS_BREAKPOINT) && code != KD_NT(STATUS_SINGLE_STEP)
               ? bit(KD_FINDING_EXCEPTION)
               : 0;
}

static uint64_t observe_manipulate(const struct kd_passing *passing, const struct kd_seen *seen)
{
    const struct kd_message *message = &seen->message;
    uint64_t findings = kd_api_find(message->api) ? 0 : bit(KD_FINDING_UNKNOWN_API);

    if (passing->flow != KD_FLOW_TO_DEBUGGER)
        return findings;
    if (message->status >= FAILED)
        findings |= bit(KD_FINDING_STATUS);
    else if (message->count < seen->asked)
        findings |= bit(KD_FINDING_SHORT_READ);
    return findings;
}

static uint64_t observe_file(const struct kd_passing *passing, const struct kd_seen *seen)
{
    const struct kd_message *message = &seen->message;
    uint64_t findings = 0;

    if (passing->frame->payload < KD_FILE_IO_DATA)
        return 0;
    if (passing->flow == KD_FLOW_TO_TARGET && message->status >= FAILED)
        findings |= bit(KD_FINDING_STATUS);
    if (!kd_value_name(KD_SET_ID_file_io_api, message->api))
        findings |= bit(KD_FINDING_UNKNOWN_API);
    return findings;
}

uint64_t observe_message(const struct kd_passing *passing, const struct kd_seen *seen)
{
    if (!passing->frame->payload)
        return 0;
    switch (seen->packet_type) {
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_STATE_CHANGE32:
        return observe_stop(passing, seen);
    case KD_PACKET_STATE_MANIPULATE:
        return observe_manipulate(passing, seen);
    case KD_PACKET_FILE_IO:
        return observe_file(passing, seen);
    default:
        return 0;
    }
}

bool kd_is_text(const uint8_t *bytes, size_t size)
{
    size_t printable = 0;

    for (size_t i = 0; i < size; i++)
        printable += (bytes[i] >= 0x20 && bytes[i] <= 0x7E) ||
                     (bytes[i] >= '\t' && bytes[i] <= '\r') || bytes[i] == 0x1B;
    return size >= TEXT_LEAST && printable >= size * TEXT_PERCENT / 100;
}
