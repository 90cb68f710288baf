/* vmbus.c - GUIDs, GPADL messages and frames. See vmbus.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/vmbus.h"

/* clang-format off */
#define BYTE(value, shift) (unsigned char)((0x##value) >> (shift))
#define KD_VMBUS_GUID(name, label, a, b, c, d, e)                                   \
    [KD_VMBUS_GUID_##name] = {BYTE(a, 0), BYTE(a, 8), BYTE(a, 16), BYTE(a, 24),     \
                              BYTE(b, 0), BYTE(b, 8), BYTE(c, 0), BYTE(c, 8),       \
                              BYTE(d, 8), BYTE(d, 0), BYTE(e, 40), BYTE(e, 32),     \
                              BYTE(e, 24), BYTE(e, 16), BYTE(e, 8), BYTE(e, 0)},
const unsigned char kd_vmbus_guids[KD_VMBUS_GUID_COUNT][16] = {
#include "kd/protocol.def"
};
/* clang-format on */

bool kd_vmbus_is_guid(const kd_u8 bytes[16], enum kd_vmbus_guid guid)
{
    for (unsigned i = 0; i < 16; i++)
        if (kd_get8(bytes[i]) != kd_vmbus_guids[guid][i])
            return false;
    return true;
}

uint32_t kd_vmbus_gpadl_messages(const struct kd_vmbus_gpadl *gpadl)
{
    uint32_t rest;

    if (gpadl->page_count == 0 || gpadl->page_count > KD_VMBUS_GPADL_MAX_PAGES)
        return 0;
    if (gpadl->page_count <= KD_VMBUS_GPADL_HEADER_PAGES)
        return 1;
    rest = gpadl->page_count - KD_VMBUS_GPADL_HEADER_PAGES;
    return 1 + (rest + KD_VMBUS_GPADL_BODY_PAGES - 1) / KD_VMBUS_GPADL_BODY_PAGES;
}

/* Pages first, first + 1, ... at most `room` of them. Returns the bytes they take. */
static size_t put_pages(const struct kd_vmbus_gpadl *gpadl, uint32_t first, uint32_t room,
                        uint8_t *out)
{
    uint32_t count = gpadl->page_count - first;
    kd_u64 *pages = (kd_u64 *)out;

    if (count > room)
        count = room;
    for (uint32_t i = 0; i < count; i++)
        pages[i] = kd_put64(gpadl->pages[first + i]);
    return count * sizeof *pages;
}

static size_t put_header(const struct kd_vmbus_gpadl *gpadl, uint8_t *out)
{
    struct kd_vmbus_gpadl_header *header = (struct kd_vmbus_gpadl_header *)out;
    struct kd_vmbus_range *range = (struct kd_vmbus_range *)(out + sizeof *header);
    size_t size = sizeof *header + sizeof *range;
    uint32_t range_size = (uint32_t)(sizeof *range + gpadl->page_count * sizeof(kd_u64));

    *header = (struct kd_vmbus_gpadl_header){
        .message = kd_put32(KD_VMBUS_GPADL_HEADER),
        .relid = kd_put32(gpadl->relid),
        .gpadl = kd_put32(gpadl->gpadl),
        .range_size = kd_put16((uint16_t)range_size),
        .range_count = kd_put16(1),
    };
    range->byte_count = kd_put32(gpadl->byte_count);
    range->byte_offset = kd_put32(gpadl->byte_offset);
    return size + put_pages(gpadl, 0, KD_VMBUS_GPADL_HEADER_PAGES, out + size);
}

static size_t put_body(const struct kd_vmbus_gpadl *gpadl, uint32_t number, uint8_t *out)
{
    struct kd_vmbus_gpadl_body *body = (struct kd_vmbus_gpadl_body *)out;
    uint32_t first = KD_VMBUS_GPADL_HEADER_PAGES + (number - 1) * KD_VMBUS_GPADL_BODY_PAGES;

    *body = (struct kd_vmbus_gpadl_body){
        .message = kd_put32(KD_VMBUS_GPADL_BODY),
        .number = kd_put32(number),
        .gpadl = kd_put32(gpadl->gpadl),
    };
    return sizeof *body + put_pages(gpadl, first, KD_VMBUS_GPADL_BODY_PAGES, out + sizeof *body);
}

size_t kd_vmbus_gpadl_message(const struct kd_vmbus_gpadl *gpadl, uint32_t number,
                              uint8_t out[KD_HV_MESSAGE_MAX])
{
    if (number >= kd_vmbus_gpadl_messages(gpadl))
        return 0;
    return number == 0 ? put_header(gpadl, out) : put_body(gpadl, number, out);
}

static uint32_t xor_bytes(const uint8_t *bytes, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < size; i++)
        sum ^= (uint32_t)bytes[i] << (i % 4 * 8);
    return sum;
}

uint32_t kd_vmbus_frame_checksum(const struct kd_vmbus_frame *frame, const uint8_t *payload,
                                 size_t size)
{
    return xor_bytes((const uint8_t *)frame, sizeof *frame) ^ kd_get32(frame->checksum) ^
           xor_bytes(payload, size);
}

static uint32_t end_of(uint32_t magic)
{
    return magic == KD_VMBUS_FRAME_DATA ? KD_VMBUS_FRAME_DATA_END : KD_VMBUS_FRAME_ACKNOWLEDGE_END;
}

struct kd_vmbus_frame kd_vmbus_frame_seal(enum kd_vmbus_frame_magic magic,
                                          enum kd_vmbus_frame_flag flag, uint32_t sequence,
                                          const uint8_t *payload, size_t size)
{
    struct kd_vmbus_frame frame = {
        .magic = kd_put32((uint32_t)magic),
        .flag = kd_put32((uint32_t)flag),
        .size = kd_put32((uint32_t)size),
        .sequence = kd_put32(sequence),
        .end = kd_put32(end_of((uint32_t)magic)),
    };

    frame.checksum = kd_put32(kd_vmbus_frame_checksum(&frame, payload, size));
    return frame;
}

bool kd_vmbus_frame_good(const uint8_t *bytes, size_t size)
{
    const struct kd_vmbus_frame *frame = (const struct kd_vmbus_frame *)bytes;
    uint32_t magic;

    if (size < sizeof *frame)
        return false;
    magic = kd_get32(frame->magic);
    return (magic == KD_VMBUS_FRAME_DATA || magic == KD_VMBUS_FRAME_ACKNOWLEDGE) &&
           kd_get32(frame->end) == end_of(magic) && kd_get32(frame->size) == size - sizeof *frame &&
           kd_vmbus_frame_checksum(frame, bytes + sizeof *frame, size - sizeof *frame) ==
               kd_get32(frame->checksum);
}
