/* ring.c - the two ends of a VMBus ring. See ring.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/ring.h"

enum word {
    WRITE_INDEX = offsetof(struct kd_vmbus_ring_control, write_index),
    READ_INDEX = offsetof(struct kd_vmbus_ring_control, read_index),
    INTERRUPT_MASK = offsetof(struct kd_vmbus_ring_control, interrupt_mask),
    PENDING_SEND_SIZE = offsetof(struct kd_vmbus_ring_control, pending_send_size),
    FEATURES = offsetof(struct kd_vmbus_ring_control, features),
};

/* --- shared memory --- */

static uint32_t *word_at(const struct kd_ring *ring, enum word word)
{
    return (uint32_t *)(void *)(ring->control + word);
}

/* What comes behind is not read before it. VMBus machines are little-endian. */
static uint32_t load(const struct kd_ring *ring, enum word word)
{
    return __atomic_load_n(word_at(ring, word), __ATOMIC_ACQUIRE);
}

/* What came before is visible before it. */
static void store(struct kd_ring *ring, enum word word, uint32_t value)
{
    __atomic_store_n(word_at(ring, word), value, __ATOMIC_RELEASE);
}

/* A store before it is visible before a load behind it is made. */
static void full_barrier(void)
{
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* Eight bytes at a time: there may be no library that knows better. One copy of it
 * is enough, for compilers unroll it. */
__attribute__((noinline)) static void copy(unsigned char *out, const unsigned char *bytes,
                                           uint32_t size)
{
    uint32_t i = 0;

    for (; i + 8 <= size; i += 8)
        __builtin_memcpy(out + i, bytes + i, 8);
    for (; i < size; i++)
        out[i] = bytes[i];
}

static bool is_index(const struct kd_ring *ring, uint32_t index)
{
    return index < ring->size && index % 8 == 0;
}

/* Both are indices, distance below or equal size. */
static uint32_t advanced(const struct kd_ring *ring, uint32_t index, uint32_t distance)
{
    uint32_t left = ring->size - index;

    return distance < left ? index + distance : distance - left;
}

static uint32_t used_between(const struct kd_ring *ring, uint32_t write, uint32_t read)
{
    return write >= read ? write - read : ring->size - read + write;
}

static void copy_in(struct kd_ring *ring, uint32_t index, const void *bytes, uint32_t size)
{
    uint32_t left = ring->size - index;
    uint32_t first = size < left ? size : left;

    copy(ring->data + index, bytes, first);
    if (size > first)
        copy(ring->data, (const unsigned char *)bytes + first, size - first);
}

static void copy_out(const struct kd_ring *ring, uint32_t index, void *out, uint32_t size)
{
    uint32_t left = ring->size - index;
    uint32_t first = size < left ? size : left;

    copy(out, ring->data + index, first);
    if (size > first)
        copy((unsigned char *)out + first, ring->data, size - first);
}

/* --- both ends --- */

static enum kd_ring_status init(struct kd_ring *ring, void *control, void *data, uint32_t size,
                                enum word own)
{
    ring->control = control;
    ring->data = data;
    ring->size = size;
    ring->waiting = false;
    if (size < KD_RING_MIN_SIZE || size % 8 != 0)
        return KD_RING_BAD_INDEX;
    ring->position = ring->published = load(ring, own);
    return is_index(ring, ring->position) ? KD_RING_OK : KD_RING_BAD_INDEX;
}

enum kd_ring_status kd_ring_init_writer(struct kd_ring *ring, void *control, void *data,
                                        uint32_t size)
{
    enum kd_ring_status status = init(ring, control, data, size, WRITE_INDEX);

    if (status == KD_RING_OK)
        store(ring, FEATURES, load(ring, FEATURES) | KD_VMBUS_RING_PENDING_SEND_SIZE);
    return status;
}

enum kd_ring_status kd_ring_init_reader(struct kd_ring *ring, void *control, void *data,
                                        uint32_t size)
{
    return init(ring, control, data, size, READ_INDEX);
}

uint32_t kd_ring_largest(uint32_t size)
{
    uint32_t largest = size - 8 - KD_RING_DESCRIPTOR - KD_RING_FOOTER;
    uint32_t limit = KD_RING_MAX_LENGTH - KD_RING_DESCRIPTOR;

    return largest < limit ? largest : limit;
}

/* --- writing --- */

static uint32_t rounded_up(uint32_t size)
{
    return (size + 7) & ~UINT32_C(7);
}

/* Bytes without the footer; 0 when length8 cannot say them. */
static uint32_t packet_length(const struct kd_ring_packet *packet)
{
    uint32_t length = KD_RING_DESCRIPTOR;

    if (packet->header.size % 8 != 0 || packet->header.size > KD_RING_MAX_LENGTH - length)
        return 0;
    length += packet->header.size;
    for (size_t i = 0; i < packet->part_count; i++) {
        if (packet->parts[i].size > KD_RING_MAX_LENGTH - length)
            return 0;
        length += packet->parts[i].size;
    }
    return rounded_up(length);
}

uint32_t kd_ring_packet_size(const struct kd_ring_packet *packet)
{
    uint32_t length = packet_length(packet);

    return length ? length + KD_RING_FOOTER : 0;
}

/* Whether `size` bytes are free; one index value is not used, so that full differs from empty. */
static enum kd_ring_status has_room(const struct kd_ring *ring, uint32_t size)
{
    uint32_t read = load(ring, READ_INDEX);

    if (!is_index(ring, read))
        return KD_RING_BAD_INDEX;
    return size < ring->size - used_between(ring, ring->position, read) ? KD_RING_OK : KD_RING_FULL;
}

/* Not enough room: leaves word of it, and looks again, for the reader may just have missed it. */
static enum kd_ring_status want_room(struct kd_ring *ring, uint32_t size)
{
    enum kd_ring_status status = has_room(ring, size);

    if (status != KD_RING_FULL)
        return status;
    ring->waiting = true;
    store(ring, PENDING_SEND_SIZE, size);
    full_barrier();
    return has_room(ring, size);
}

static void put_packet(struct kd_ring *ring, const struct kd_ring_packet *packet, uint32_t length)
{
    static const unsigned char zeros[8];
    uint32_t at = ring->position;
    uint32_t done = KD_RING_DESCRIPTOR + packet->header.size;
    struct kd_vmbus_descriptor descriptor = {
        .type = kd_put16(packet->type),
        .offset8 = kd_put16((uint16_t)(done / 8)),
        .length8 = kd_put16((uint16_t)(length / 8)),
        .flags = kd_put16(packet->flags),
        .transaction_id = kd_put64(packet->transaction_id),
    };
    struct kd_vmbus_footer footer = {.start = kd_put32(ring->position)};

    copy_in(ring, at, &descriptor, KD_RING_DESCRIPTOR);
    at = advanced(ring, at, KD_RING_DESCRIPTOR);
    copy_in(ring, at, packet->header.bytes, packet->header.size);
    at = advanced(ring, at, packet->header.size);
    for (size_t i = 0; i < packet->part_count; i++) {
        copy_in(ring, at, packet->parts[i].bytes, packet->parts[i].size);
        at = advanced(ring, at, packet->parts[i].size);
        done += packet->parts[i].size;
    }
    copy_in(ring, at, zeros, length - done);
    at = advanced(ring, at, length - done);
    copy_in(ring, at, &footer, KD_RING_FOOTER);
}

/* Publishes the packet that ends at `end`. The peer sleeps when it had read all before this one and
 * wants signals; otherwise it will find the packet, or somebody has signalled already. */
static bool publish_packet(struct kd_ring *ring, uint32_t end)
{
    uint32_t start = ring->position;

    ring->position = end;
    store(ring, WRITE_INDEX, end);
    full_barrier();
    return load(ring, INTERRUPT_MASK) == 0 && load(ring, READ_INDEX) == start;
}

enum kd_ring_status kd_ring_write(struct kd_ring *ring, const struct kd_ring_packet *packet,
                                  bool *signal)
{
    uint32_t length = packet_length(packet);
    enum kd_ring_status status;

    *signal = false;
    if (!length || length - KD_RING_DESCRIPTOR > kd_ring_largest(ring->size))
        return KD_RING_TOO_LARGE;
    status = want_room(ring, length + KD_RING_FOOTER);
    if (status != KD_RING_OK)
        return status;
    kd_ring_stop_waiting(ring);
    put_packet(ring, packet, length);
    *signal = publish_packet(ring, advanced(ring, ring->position, length + KD_RING_FOOTER));
    return KD_RING_OK;
}

void kd_ring_stop_waiting(struct kd_ring *ring)
{
    if (ring->waiting)
        store(ring, PENDING_SEND_SIZE, 0);
    ring->waiting = false;
}

/* --- reading --- */

/* Bytes written and not yet read. */
static enum kd_ring_status available(const struct kd_ring *ring, uint32_t *used)
{
    uint32_t write = load(ring, WRITE_INDEX);

    *used = 0;
    if (!is_index(ring, write))
        return KD_RING_BAD_INDEX;
    *used = used_between(ring, write, ring->position);
    return *used ? KD_RING_OK : KD_RING_EMPTY;
}

enum kd_ring_status kd_ring_peek(const struct kd_ring *ring, struct kd_ring_view *view)
{
    struct kd_vmbus_descriptor descriptor;
    struct kd_vmbus_footer footer;
    uint32_t used;
    enum kd_ring_status status = available(ring, &used);

    if (status != KD_RING_OK)
        return status;
    if (used < KD_RING_DESCRIPTOR + KD_RING_FOOTER)
        return KD_RING_BAD_PACKET;
    copy_out(ring, ring->position, &descriptor, KD_RING_DESCRIPTOR);
    view->type = kd_get16(descriptor.type);
    view->flags = kd_get16(descriptor.flags);
    view->transaction_id = kd_get64(descriptor.transaction_id);
    view->start = ring->position;
    view->payload = 8u * kd_get16(descriptor.offset8);
    view->length = 8u * kd_get16(descriptor.length8);
    if (view->payload < KD_RING_DESCRIPTOR || view->length < view->payload ||
        view->length > used - KD_RING_FOOTER)
        return KD_RING_BAD_PACKET;
    copy_out(ring, advanced(ring, view->start, view->length), &footer, KD_RING_FOOTER);
    view->footer_good = kd_get32(footer.start) == view->start;
    return KD_RING_OK;
}

uint32_t kd_ring_copy(const struct kd_ring *ring, const struct kd_ring_view *view, uint32_t offset,
                      void *out, uint32_t room)
{
    uint32_t size = offset < view->length ? view->length - offset : 0;

    if (size > room)
        size = room;
    if (size)
        copy_out(ring, advanced(ring, view->start, offset), out, size);
    return size;
}

void kd_ring_consume(struct kd_ring *ring, const struct kd_ring_view *view)
{
    ring->position = advanced(ring, view->start, view->length + KD_RING_FOOTER);
}

enum kd_ring_status kd_ring_discard(struct kd_ring *ring)
{
    uint32_t write = load(ring, WRITE_INDEX);

    if (!is_index(ring, write))
        return KD_RING_BAD_INDEX;
    ring->position = write;
    return KD_RING_OK;
}

/* Peers differ in whether `wanted` free bytes are enough or one more is needed: both crossings
 * signal, for a missed signal stops a writer and a needless one costs a hypercall. */
bool kd_ring_publish(struct kd_ring *ring)
{
    uint32_t before = ring->published;
    uint32_t write, wanted, free_before, free_after;

    ring->published = ring->position;
    store(ring, READ_INDEX, ring->position);
    full_barrier();
    wanted = load(ring, PENDING_SEND_SIZE) & ~UINT32_C(7);
    write = load(ring, WRITE_INDEX);
    if (!wanted || !(load(ring, FEATURES) & KD_VMBUS_RING_PENDING_SEND_SIZE) ||
        !is_index(ring, write))
        return false;
    free_before = ring->size - used_between(ring, write, before);
    free_after = ring->size - used_between(ring, write, ring->position);
    return free_before < free_after && free_before <= wanted && free_after >= wanted;
}

void kd_ring_mask(struct kd_ring *ring, bool masked)
{
    store(ring, INTERRUPT_MASK, masked);
}

bool kd_ring_may_sleep(struct kd_ring *ring)
{
    uint32_t used;

    kd_ring_mask(ring, false);
    full_barrier();
    return available(ring, &used) == KD_RING_EMPTY;
}
