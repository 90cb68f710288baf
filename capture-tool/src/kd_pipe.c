/* kd_pipe.c - KD bytes out of records of VMBus. See kd_pipe.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd_pipe.h"

#include "kd/frame.h"
#include "kd/vmbus.h"

bool kd_pipe_packet(const uint8_t *record, size_t size, struct kd_pipe_packet *out)
{
    const struct kd_vmbus_record *head = (const struct kd_vmbus_record *)record;
    const struct kd_vmbus_descriptor *packet;
    const struct kd_vmbus_pipe *pipe;
    size_t at, room;

    if (size < sizeof *head || kd_get8(head->kind) != KD_VMBUS_RECORD_PACKET ||
        kd_get16(head->head_size) < sizeof *head)
        return false;
    at = kd_get16(head->head_size);
    if (at > size || size - at < sizeof *packet)
        return false;
    packet = (const struct kd_vmbus_descriptor *)(record + at);
    room = (size_t)kd_get16(packet->length8) * 8;
    room = room < size - at ? room : size - at;
    at = (size_t)kd_get16(packet->offset8) * 8;
    if (kd_get16(packet->type) != KD_VMBUS_PACKET_IN_BAND || at > room || room - at < sizeof *pipe)
        return false;
    pipe = (const struct kd_vmbus_pipe *)((const uint8_t *)packet + at);
    room -= at + sizeof *pipe;
    if (kd_get32(pipe->type) != KD_VMBUS_PIPE_DATA || kd_get32(pipe->size) > room)
        return false;
    *out = (struct kd_pipe_packet){
        .channel = (uint32_t)kd_get8(head->sint) << 24 | (kd_get32(head->relid) & KD_PIPE_RELID),
        .to_host = kd_get8(head->direction) == KD_VMBUS_TO_HOST,
        .bytes = (const uint8_t *)(pipe + 1),
        .size = kd_get32(pipe->size),
    };
    return true;
}

bool kd_pipe_is_kd(const struct kd_pipe_packet *packet)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct kd_frame frame;

    if (kd_vmbus_frame_good(packet->bytes, packet->size))
        return true;
    kd_frame_scan(&framing, packet->bytes, packet->size, false, true, &frame);
    return frame.kind == KD_FRAME_PACKET && frame.flags == 0;
}

bool kd_pipe_open(struct kd_pipe *pipe, struct kd_pipe_packet *packet)
{
    const struct kd_vmbus_frame *frame = (const struct kd_vmbus_frame *)packet->bytes;
    uint32_t sequence;

    if (!kd_vmbus_frame_good(packet->bytes, packet->size))
        return packet->size > 0;
    sequence = kd_get32(frame->sequence);
    if (kd_get32(frame->magic) != KD_VMBUS_FRAME_DATA ||
        (pipe->ways[packet->to_host].seen && pipe->ways[packet->to_host].sequence == sequence))
        return false;
    pipe->ways[packet->to_host].seen = true;
    pipe->ways[packet->to_host].sequence = sequence;
    packet->bytes += sizeof *frame;
    packet->size -= sizeof *frame;
    return packet->size > 0;
}
