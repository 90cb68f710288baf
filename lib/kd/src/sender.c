/* sender.c - which end sent a packet. See sender.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/sender.h"

#include "kd/describe.h"

/* STATE_MANIPULATE: requests and replies of one API differ in which of them carries data. */
static enum kd_flow manipulate_flow(const uint8_t *payload, size_t size)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)payload;
    const struct kd_api_info *api;
    bool data;

    if (size < KD_MANIPULATE_DATA)
        return KD_FLOW_UNKNOWN;
    if (kd_get32(header->return_status) == KD_NT(STATUS_PENDING) &&
        kd_get32(header->api_number) != KD_API_GET_CONTEXT_EX)
        return KD_FLOW_TO_TARGET;
    api = kd_api_find(kd_get32(header->api_number));
    if (!api)
        return KD_FLOW_UNKNOWN;
    if (api->answer == KD_ANSWER_SILENT)
        return KD_FLOW_TO_TARGET;
    data = size > KD_MANIPULATE_DATA;
    if ((api->request == KD_DATA_NONE) != (api->reply == KD_DATA_NONE) && data)
        return api->request == KD_DATA_NONE ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;
    return KD_FLOW_UNKNOWN;
}

static enum kd_flow debug_io_flow(const uint8_t *payload, size_t size)
{
    const struct kd_debug_io_header *header = (const struct kd_debug_io_header *)payload;

    if (size >= sizeof *header && kd_get32(header->api_number) == KD_API_PRINT_STRING)
        return KD_FLOW_TO_DEBUGGER;
    return KD_FLOW_UNKNOWN;
}

/* A create request carries the file's name, its reply ends at the header. */
static enum kd_flow file_io_flow(const uint8_t *payload, size_t size)
{
    const struct kd_file_io_header *header = (const struct kd_file_io_header *)payload;

    if (size >= sizeof *header && kd_get32(header->api_number) == KD_API_CREATE_FILE)
        return size > KD_FILE_IO_DATA ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;
    return KD_FLOW_UNKNOWN;
}

enum kd_flow kd_packet_flow(uint32_t packet_type, const uint8_t *payload, size_t size)
{
    switch (packet_type) {
    case KD_PACKET_STATE_CHANGE32:
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_TRACE_IO:
        return KD_FLOW_TO_DEBUGGER;
    case KD_PACKET_STATE_MANIPULATE:
        return manipulate_flow(payload, size);
    case KD_PACKET_DEBUG_IO:
        return debug_io_flow(payload, size);
    case KD_PACKET_FILE_IO:
        return file_io_flow(payload, size);
    default:
        return KD_FLOW_UNKNOWN;
    }
}

enum kd_flow kd_datagram_flow(const struct kd_frame *frame, const uint8_t *bytes)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    uint32_t type;
    enum kd_flow flow;
    bool high;

    if (frame->kind == KD_FRAME_BREAKIN)
        return KD_FLOW_TO_TARGET;
    if (frame->kind != KD_FRAME_PACKET)
        return KD_FLOW_UNKNOWN;
    type = kd_get16(header->packet_type);
    high = (kd_get32(header->packet_id) & KD_KDNET_HOST_FIRST_ID) != 0;
    if (type == KD_PACKET_RESEND)
        return KD_FLOW_UNKNOWN;
    if (type == KD_PACKET_ACKNOWLEDGE)
        return high ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;
    flow = kd_packet_flow(type, bytes + KD_HEADER_SIZE, frame->payload);
    if (flow != KD_FLOW_UNKNOWN)
        return flow;
    return high ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;
}
