/* fuzz_ring.c - libFuzzer target: both ends of a ring whose peer writes what it likes, GPADLs,
 * frames.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first bytes choose the ring's size; then each byte is a step of the peer or of an end of
 * ours, with operands behind it. Data and control page are blocks of their own, so that a
 * sanitizer sees the first byte beyond them. All bytes together are tried as a frame.
 */
#include <stdlib.h>
#include <string.h>

#include "kd/ring.h"
#include "kd/vmbus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CONTROL = sizeof(struct kd_vmbus_ring_control), COPY = 1024 };

struct input {
    const uint8_t *at;
    size_t left;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static uint32_t take(struct input *input, unsigned bytes)
{
    uint32_t value = 0;

    for (; bytes && input->left; bytes--, input->at++, input->left--)
        value = value << 8 | *input->at;
    return value;
}

static void check_ring(const struct kd_ring *ring)
{
    require(ring->position < ring->size && ring->position % 8 == 0);
}

/* The peer writes a word of the control page, or bytes of the data. */
static void peer(struct input *input, uint8_t *control, uint8_t *bytes, uint32_t size)
{
    uint32_t where = take(input, 1), value = take(input, 4);

    if (where < 5)
        memcpy(control + (where == 4 ? 64 : 4 * where), &value, sizeof value);
    else
        for (uint32_t i = 0; i < 16; i++)
            bytes[(value + i) % size] = (uint8_t)take(input, 1);
}

static void write_one(struct input *input, struct kd_ring *ring)
{
    static const uint8_t zeros[0x10000];
    struct kd_ring_part parts[2] = {{zeros, take(input, 2)}, {zeros, take(input, 1)}};
    struct kd_ring_packet packet = {
        .type = 6, .header = {zeros, take(input, 1)}, .parts = parts, .part_count = 2};
    uint32_t before = ring->position, length = kd_ring_packet_size(&packet);
    bool signal;
    enum kd_ring_status status = kd_ring_write(ring, &packet, &signal);

    require(status != KD_RING_EMPTY && status != KD_RING_BAD_PACKET);
    require(status == KD_RING_OK || (!signal && ring->position == before));
    require(status != KD_RING_OK || (length && ring->position == (before + length) % ring->size));
    check_ring(ring);
}

static void read_one(struct kd_ring *ring, uint32_t offset)
{
    uint8_t copied[COPY];
    struct kd_ring_view view;
    enum kd_ring_status status = kd_ring_peek(ring, &view);
    uint32_t got;

    require(status != KD_RING_FULL && status != KD_RING_TOO_LARGE);
    if (status != KD_RING_OK) {
        kd_ring_discard(ring);
        check_ring(ring);
        return;
    }
    require(view.payload >= 16 && view.payload <= view.length && view.length + 8 < ring->size);
    got = kd_ring_copy(ring, &view, offset, copied, sizeof copied);
    require(got <= sizeof copied && (offset < view.length || got == 0));
    kd_ring_consume(ring, &view);
    check_ring(ring);
}

static void run(struct input *input, uint8_t *control, uint8_t *bytes, uint32_t size)
{
    struct kd_ring reader, writer;

    if (kd_ring_init_reader(&reader, control, bytes, size) != KD_RING_OK ||
        kd_ring_init_writer(&writer, control, bytes, size) != KD_RING_OK)
        return;
    while (input->left) {
        switch (take(input, 1) % 8) {
        case 0:
        case 1:
            peer(input, control, bytes, size);
            break;
        case 2:
            write_one(input, &writer);
            break;
        case 3:
            read_one(&reader, take(input, 1));
            break;
        case 4:
            kd_ring_publish(&reader);
            break;
        case 5:
            kd_ring_may_sleep(&reader);
            break;
        case 6:
            kd_ring_stop_waiting(&writer);
            break;
        default:
            kd_ring_mask(&reader, true);
            break;
        }
    }
}

static void build_gpadl(uint32_t pages)
{
    static const uint64_t numbers[KD_VMBUS_GPADL_MAX_PAGES];
    struct kd_vmbus_gpadl gpadl = {.pages = numbers, .page_count = pages};
    uint32_t count = kd_vmbus_gpadl_messages(&gpadl);
    uint8_t message[KD_HV_MESSAGE_MAX];

    if (count)
        require(kd_vmbus_gpadl_message(&gpadl, count - 1, message) <= sizeof message);
    require(kd_vmbus_gpadl_message(&gpadl, count, message) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    uint32_t ring_size = take(&input, 2);
    uint8_t *control = calloc(1, CONTROL), *bytes = calloc(1, ring_size + 1);
    uint8_t *ring = realloc(bytes, ring_size ? ring_size : 1);

    (void)kd_vmbus_frame_good(data, size);
    build_gpadl(ring_size);
    run(&input, control, ring, ring_size);
    free(ring);
    free(control);
    return 0;
}
