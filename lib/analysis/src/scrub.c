/* scrub.c - KD packets without what they carry. See scrub.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A message of which it is not known what it is keeps nothing but its first word.
 */
#include "analysis/scrub.h"

#include <string.h>

#include "kd/describe.h"

#define FIXED      56u /* of a manipulate message: what follows is data */
#define TEXT       16u /* of debug I/O: where texts begin */
#define FILE_DATA  64u /* of file and trace I/O: where data and names begin */
#define REPORT     192u
#define STATE_DATA 240u /* of a state change: where the path or command begins */

/* A payload on its way. */
struct payload {
    struct kda_scrub *scrub;
    uint8_t *bytes;
    size_t size;
    bool touched;
};

static void clear(struct payload *payload, size_t from, size_t size)
{
    if (from >= payload->size)
        return;
    if (size > payload->size - from)
        size = payload->size - from;
    memset(payload->bytes + from, 0, size);
    payload->scrub->bytes += size;
    payload->touched |= size > 0;
}

static bool is_line_end(uint8_t byte)
{
    return byte == '\r' || byte == '\n' || byte == 0;
}

static void cross_out(struct payload *payload, size_t from)
{
    if (payload->scrub->keep_texts)
        return;
    for (size_t i = from; i < payload->size; i++) {
        if (is_line_end(payload->bytes[i]))
            continue;
        payload->bytes[i] = 'x';
        payload->scrub->bytes++;
        payload->touched = true;
    }
}

/* --- messages */

static uint32_t word(const struct payload *payload)
{
    return payload->size < 4 ? 0 : kd_get32(*(const kd_u32 *)(const void *)payload->bytes);
}

/* What the fixed part of a request says that is a value and no argument. */
static void clear_values(struct payload *payload, uint32_t api)
{
    const size_t at = sizeof(struct kd_manipulate_header);

    switch (api) {
    case KD_API_READ_IO_SPACE:
    case KD_API_WRITE_IO_SPACE:
        clear(payload, at + offsetof(struct kd_io_space, data_value), 4);
        break;
    case KD_API_READ_IO_SPACE_EXTENDED:
    case KD_API_WRITE_IO_SPACE_EXTENDED:
        clear(payload, at + offsetof(struct kd_io_space_extended, data_value), 4);
        break;
    case KD_API_READ_MSR:
    case KD_API_WRITE_MSR:
        clear(payload, at + 4, 8); /* behind the number: both halves of the value */
        break;
    default:
        break;
    }
}

static void scrub_manipulate(struct payload *payload)
{
    uint32_t number = word(payload);
    const struct kd_api_info *api = kd_api_find(number);
    size_t used;
    bool handles = api && (api->request == KD_DATA_BREAKPOINTS || api->request == KD_DATA_HANDLES);

    if (!api) {
        clear(payload, 4, payload->size);
        return;
    }
    clear_values(payload, number);
    /* What the fixed part has room for beyond this request is whatever was in its memory; but how
     * Continue2 goes on is there, in the way of its processor. */
    used = sizeof(struct kd_manipulate_header) + kd_layouts[api->layout].size;
    if (number == KD_API_CONTINUE2)
        used = FIXED;
    if (used < FIXED)
        clear(payload, used, FIXED - used);
    if (!handles)
        clear(payload, FIXED, payload->size);
}

/* Where the bytes of instructions are in a control report depends on the processor. */
static size_t stream_offset(const uint8_t report[48])
{
    switch (kd_arch_of_report(report)) {
    case KD_ARCH_AMD64:
        return offsetof(struct kd_control_report_amd64, instruction_stream);
    case KD_ARCH_X86:
        return offsetof(struct kd_control_report_x86, instruction_stream);
    case KD_ARCH_ARM64:
        return offsetof(struct kd_control_report_arm64, instruction_stream);
    default:
        return 48;
    }
}

static void scrub_state_change(struct payload *payload)
{
    size_t at;

    if (payload->size < STATE_DATA) {
        clear(payload, REPORT, payload->size);
        return;
    }
    at = stream_offset(payload->bytes + REPORT);
    if (at < 48)
        clear(payload, REPORT + at, 16);
    else
        clear(payload, REPORT, 48);
    if ((word(payload) & 0xFFFF) == KD_STATE_COMMAND_STRING)
        cross_out(payload, STATE_DATA);
    else if ((word(payload) & 0xFFFF) != KD_STATE_LOAD_SYMBOLS)
        clear(payload, STATE_DATA, payload->size);
}

static void scrub_file(struct payload *payload)
{
    if (word(payload) != KD_API_CREATE_FILE)
        clear(payload, FILE_DATA, payload->size);
}

static void scrub_payload(struct payload *payload, uint32_t type)
{
    switch (type) {
    case KD_PACKET_STATE_MANIPULATE:
        scrub_manipulate(payload);
        break;
    case KD_PACKET_STATE_CHANGE64:
        scrub_state_change(payload);
        break;
    case KD_PACKET_DEBUG_IO:
        cross_out(payload, TEXT);
        break;
    case KD_PACKET_FILE_IO:
        scrub_file(payload);
        break;
    case KD_PACKET_TRACE_IO:
        clear(payload, FILE_DATA, payload->size);
        break;
    case KD_PACKET_CONTROL_REQUEST:
        break;
    default:
        payload->scrub->old |= type == KD_PACKET_STATE_CHANGE32;
        clear(payload, 4, payload->size);
        break;
    }
}

/* --- the interface */

/* Text of other programs, and remains of packets: these keep their header. */
static void scrub_noise(struct kda_scrub *scrub, const struct kd_frame *frame, uint8_t *bytes)
{
    bool remains = frame->flags & (KD_FRAME_TRUNCATED | KD_FRAME_BAD_LENGTH);
    struct payload payload = {scrub, bytes, frame->size, false};

    if (remains)
        clear(&payload, KD_HEADER_SIZE, payload.size);
    else
        cross_out(&payload, 0);
}

void kda_scrub_frame(struct kda_scrub *scrub, const struct kd_frame *frame, uint8_t *bytes)
{
    struct payload payload = {scrub, bytes + KD_HEADER_SIZE, frame->payload, false};
    struct kd_packet_header *header = (void *)bytes;
    uint32_t off;

    if (frame->kind == KD_FRAME_NOISE)
        scrub_noise(scrub, frame, bytes);
    if (frame->kind != KD_FRAME_PACKET || frame->payload == 0)
        return;
    off = kd_get32(header->checksum) - frame->checksum;
    scrub_payload(&payload, kd_get16(header->packet_type));
    scrub->packets += payload.touched;
    header->checksum = kd_put32(kd_checksum(payload.bytes, payload.size) + off);
}
