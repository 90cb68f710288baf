/* vmbus-ring.c - packets in rings as the session sees them: indices, completions, what they carry.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include <string.h>

#include "kd/frame.h"
#include "registry.h"
#include "vmbus-state.h"

/* More frames than this are not missing: the numbers are not of one row. */
#define MISSING_LIMIT 1000u

void vmbus_ring_opened(struct vmbus_channel *channel, const struct vmbus_gpadl *gpadl,
                       uint32_t ring_page_offset)
{
    uint32_t pages = gpadl ? gpadl->pages : 0;

    memset(channel->rings, 0, sizeof channel->rings);
    channel->stream = NULL;
    if (ring_page_offset < 2 || pages < 2 || ring_page_offset > pages - 2)
        return;
    channel->rings[false].size = (ring_page_offset - 1) * KD_VMBUS_PAGE_SIZE;
    channel->rings[true].size = (pages - ring_page_offset - 1) * KD_VMBUS_PAGE_SIZE;
}

static bool is_index(uint32_t index, uint32_t size)
{
    return index % 8 == 0 && index < size;
}

static void check_state(struct vmbus_seeing *seeing, const struct vmbus_channel *channel)
{
    if (channel->state == VMBUS_CHANNEL_OFFERED || channel->state == VMBUS_CHANNEL_CLOSED)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_NOT_OPEN, "Channel %u is not open",
                          channel->relid);
}

static void check_status(struct vmbus_seeing *seeing)
{
    uint32_t status = seeing->record->status;

    if (status == KD_RING_OK)
        return;
    vmbus_remark_text(&seeing->event->remarks,
                      status == KD_RING_FULL ? VMBUS_RING_FULL : VMBUS_RING_STATUS,
                      "The recorder says of the ring: %s",
                      val_to_str_const(status, kd_value_strings(KD_SET_ID_ring_status),
                                       "a status that is not known"));
}

static void check_indices(struct vmbus_seeing *seeing, struct vmbus_ring *ring)
{
    const struct vmbus_record *record = seeing->record;
    uint32_t size = record->ring_size;

    if (!size)
        return;
    if (!is_index(record->ring_write, size) || !is_index(record->ring_read, size) ||
        !is_index(record->ring_start, size))
        vmbus_remark_text(&seeing->event->remarks, VMBUS_RING_INDEX,
                          "Write %u, read %u, start %u: indices are multiples of 8 below %u",
                          record->ring_write, record->ring_read, record->ring_start, size);
    if (ring->size && ring->size != size)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_RING_SIZE,
                          "The ring has %u bytes of data; its GPADL has %u for it", size,
                          ring->size);
    if (record->size && ring->has_next && ring->losses == seeing->losses &&
        ring->next != record->ring_start)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_RING_GAP,
                          "Begins at %u, the packet before ended at %u", record->ring_start,
                          ring->next);
}

/* Payload and length in bytes; false with a remark when they do not fit what is there. */
static bool read_descriptor(struct vmbus_seeing *seeing, uint32_t *payload, uint32_t *length)
{
    const struct vmbus_record *record = seeing->record;
    const struct kd_vmbus_descriptor *descriptor = (const void *)record->data;
    bool fits;

    if (record->size < sizeof *descriptor) {
        if (record->size || record->status == KD_RING_OK)
            vmbus_remark(&seeing->event->remarks, record->cut ? VMBUS_CUT : VMBUS_SHORT);
        return false;
    }
    *payload = 8u * kd_get16(descriptor->offset8);
    *length = 8u * kd_get16(descriptor->length8);
    fits = *payload >= sizeof *descriptor && *payload <= *length &&
           (record->cut || *length <= record->size) &&
           (!record->ring_size || *length + sizeof(struct kd_vmbus_footer) < record->ring_size);
    if (!fits)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_BAD_PACKET,
                          "Payload from %u to %u of %u bytes", *payload, *length, record->size);
    if (!kd_value_name(KD_SET_ID_vmbus_packet_type, kd_get16(descriptor->type)))
        vmbus_remark(&seeing->event->remarks, VMBUS_UNKNOWN_PACKET);
    return fits;
}

static void check_footer(struct vmbus_seeing *seeing, struct vmbus_ring *ring, uint32_t length)
{
    const struct vmbus_record *record = seeing->record;
    const struct kd_vmbus_footer *footer = (const void *)(record->data + length);

    if (record->ring_size) {
        ring->next = (uint32_t)((record->ring_start + length + sizeof *footer) % record->ring_size);
        ring->has_next = true;
        ring->losses = seeing->losses;
    }
    if (record->size < length || record->size - length < sizeof *footer || !record->ring_size)
        return;
    if (kd_get32(footer->start) != record->ring_start)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_FOOTER,
                          "The footer states a start of %u, the packet begins at %u",
                          kd_get32(footer->start), record->ring_start);
}

/* --- transactions */

static wmem_map_t *requested(struct vmbus_ring *ring)
{
    if (!ring->requested)
        ring->requested = wmem_map_new(wmem_file_scope(), wmem_int64_hash, g_int64_equal);
    return ring->requested;
}

static void see_request(struct vmbus_seeing *seeing, struct vmbus_ring *ring, uint64_t id)
{
    if (wmem_map_lookup(requested(ring), &id))
        vmbus_remark(&seeing->event->remarks, VMBUS_TRANSACTION);
    wmem_map_insert(requested(ring), wmem_memdup(wmem_file_scope(), &id, sizeof id), seeing->event);
}

static void see_completion(struct vmbus_seeing *seeing, struct vmbus_channel *channel, uint64_t id)
{
    struct vmbus_ring *other = &channel->rings[!seeing->event->to_guest];
    struct vmbus_event *request = wmem_map_remove(requested(other), &id);

    if (!request) {
        if (channel->opened_in)
            vmbus_remark(&seeing->event->remarks, VMBUS_STRAY_COMPLETION);
        return;
    }
    request->peer = seeing->event;
    seeing->event->peer = request;
    seeing->event->answers = true;
}

static void see_transaction(struct vmbus_seeing *seeing, struct vmbus_channel *channel)
{
    const struct kd_vmbus_descriptor *descriptor = (const void *)seeing->record->data;
    uint64_t id = kd_get64(descriptor->transaction_id);

    if (kd_get16(descriptor->type) == KD_VMBUS_PACKET_COMPLETION)
        see_completion(seeing, channel, id);
    else if (kd_get16(descriptor->flags) & KD_VMBUS_PACKET_COMPLETION_REQUESTED)
        see_request(seeing, &channel->rings[seeing->event->to_guest], id);
}

/* --- what a pipe carries */

/* One frame of the older agent is one packet. A damaged or repeated one is not handed on. */
static void see_frame(struct vmbus_seeing *seeing, struct vmbus_ring *ring, const uint8_t *bytes,
                      uint32_t size)
{
    const struct kd_vmbus_frame *frame = (const void *)bytes;
    uint32_t sequence = kd_get32(frame->sequence);

    seeing->event->framed = true;
    if (seeing->record->cut)
        return;
    if (!kd_vmbus_frame_good(bytes, size)) {
        vmbus_remark(&seeing->event->remarks, VMBUS_FRAME);
        return;
    }
    if (kd_get32(frame->magic) != KD_VMBUS_FRAME_DATA)
        return;
    if (ring->has_sequence && sequence == ring->sequence) {
        vmbus_remark(&seeing->event->remarks, VMBUS_FRAME_REPEATED);
        return;
    }
    if (ring->has_sequence && sequence - ring->sequence > 1 &&
        sequence - ring->sequence < MISSING_LIMIT)
        vmbus_remark_text(&seeing->event->remarks, VMBUS_FRAME_MISSING, "%u frames are missing",
                          sequence - ring->sequence - 1);
    ring->has_sequence = true;
    ring->sequence = sequence;
    seeing->event->to_kd = size > sizeof *frame;
}

static bool is_frame(const uint8_t *bytes, uint32_t size)
{
    const struct kd_vmbus_frame *frame = (const void *)bytes;
    uint32_t magic = size >= sizeof *frame ? kd_get32(frame->magic) : 0;

    return magic == KD_VMBUS_FRAME_DATA || magic == KD_VMBUS_FRAME_ACKNOWLEDGE;
}

static bool is_kd_packet(const uint8_t *bytes, uint32_t size)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN};
    struct kd_frame frame;

    kd_frame_scan(&framing, bytes, size, false, false, &frame);
    return frame.kind == KD_FRAME_PACKET && !frame.flags;
}

/* A pipe carries KD when its interface says so, or what travels in it looks so. */
static void see_data(struct vmbus_seeing *seeing, struct vmbus_channel *channel,
                     const uint8_t *bytes, uint32_t size)
{
    bool framed = is_frame(bytes, size);

    if (!channel->kd)
        channel->kd = framed || is_kd_packet(bytes, size);
    if (!channel->kd)
        return;
    if (!channel->stream)
        channel->stream = kd_stream_new();
    if (framed)
        see_frame(seeing, &channel->rings[seeing->event->to_guest], bytes, size);
    else
        seeing->event->to_kd = true;
}

/* Whether a payload of a channel without offer begins like a pipe's. */
static bool looks_like_pipe(const struct kd_vmbus_pipe *pipe, uint32_t size)
{
    uint32_t stated = kd_get32(pipe->size), there = size - (uint32_t)sizeof *pipe;

    return kd_get32(pipe->type) == KD_VMBUS_PIPE_DATA && stated && stated <= there &&
           there - stated < 8;
}

static void see_payload(struct vmbus_seeing *seeing, struct vmbus_channel *channel,
                        const uint8_t *payload, uint32_t size)
{
    const struct kd_vmbus_pipe *pipe = (const void *)payload;
    uint32_t stated;

    if (size < sizeof *pipe || (channel->content == VMBUS_CONTENT_OTHER &&
                                (channel->offered || !looks_like_pipe(pipe, size))))
        return;
    seeing->event->in_pipe = true;
    if (kd_get32(pipe->type) != KD_VMBUS_PIPE_DATA)
        return;
    stated = kd_get32(pipe->size);
    if (stated > size - sizeof *pipe && !seeing->record->cut) {
        vmbus_remark_text(&seeing->event->remarks, VMBUS_PIPE,
                          "The pipe header states %u bytes, %u are there", stated,
                          size - (uint32_t)sizeof *pipe);
        return;
    }
    stated = MIN(stated, size - (uint32_t)sizeof *pipe);
    if (stated && channel->content != VMBUS_CONTENT_INTEGRATION)
        see_data(seeing, channel, payload + sizeof *pipe, stated);
}

void vmbus_see_packet(struct vmbus_seeing *seeing)
{
    const struct vmbus_record *record = seeing->record;
    const struct kd_vmbus_descriptor *descriptor = (const void *)record->data;
    struct vmbus_channel *channel = vmbus_find_channel(seeing, record->relid);
    struct vmbus_ring *ring = &channel->rings[seeing->event->to_guest];
    uint32_t payload, length;

    check_state(seeing, channel);
    check_status(seeing);
    check_indices(seeing, ring);
    if (!read_descriptor(seeing, &payload, &length)) {
        ring->has_next = false;
        return;
    }
    check_footer(seeing, ring, length);
    see_transaction(seeing, channel);
    if (kd_get16(descriptor->type) == KD_VMBUS_PACKET_IN_BAND && payload <= record->size)
        see_payload(seeing, channel, record->data + payload, MIN(length, record->size) - payload);
}
