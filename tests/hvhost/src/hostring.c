/* hostring.c - packets out of the guest's ring and into the other, with every check there is.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "hostring.h"

#include "devices.h"
#include "host.h"
#include "kd/protocol.h"
#include "x86.h"

#define WRITE_INDEX   0u
#define READ_INDEX    4u
#define MASK          8u
#define PENDING_SIZE  12u
#define FEATURES      64u
#define DESCRIPTOR    16u
#define TRAILER       8u
#define UNITS         8u /* of indices and lengths */
#define FEATURE_BITS  KD_VMBUS_RING_PENDING_SEND_SIZE
#define PENDING_BITS  (~UINT32_C(7))
#define COMPLETION_ON KD_VMBUS_PACKET_COMPLETION_REQUESTED
#define TYPE_NONE     0x77u /* no descriptor type */
#define WAIT_US       UINT64_C(3000000)

static uint32_t get(const struct host_ring *ring, uint32_t offset)
{
    return guest_get32(ring->control + offset);
}

static void put(struct host_ring *ring, uint32_t offset, uint32_t value)
{
    guest_put32(ring->control + offset, value);
}

static uint32_t distance(const struct host_ring *ring, uint32_t from, uint32_t to)
{
    return to >= from ? to - from : to + ring->size - from;
}

static bool index_good(const struct host_ring *ring, uint32_t index)
{
    return index < ring->size && index % UNITS == 0;
}

static bool broken(struct host *host, struct channel *channel, struct host_ring *ring,
                   const char *what, uint32_t value)
{
    ring->broken = true;
    log_line(&host->log, LOG_BAD, "channel %u (%s): %s %x; position %x of %x", channel->relid,
             channel->device->name, what, value, ring->position, ring->size);
    return false;
}

/* The bytes at a place of the data, as many as lie in one page. */
static uint8_t *piece(const struct host_ring *ring, uint32_t at, uint32_t *size)
{
    uint32_t in_page = GUEST_PAGE - at % GUEST_PAGE;

    if (*size > in_page)
        *size = in_page;
    return (uint8_t *)(uintptr_t)(ring->pages[at / GUEST_PAGE] * GUEST_PAGE + at % GUEST_PAGE);
}

static void copy_out(const struct host_ring *ring, uint32_t at, uint8_t *out, uint32_t size)
{
    at %= ring->size;
    while (size > 0) {
        uint32_t step = size;
        const uint8_t *from = piece(ring, at, &step);

        __builtin_memcpy(out, from, step);
        out += step;
        size -= step;
        at = (at + step) % ring->size;
    }
}

static uint32_t copy_in(const struct host_ring *ring, uint32_t at, const void *bytes, uint32_t size)
{
    const uint8_t *from = bytes;

    at %= ring->size;
    while (size > 0) {
        uint32_t step = size;
        uint8_t *to = piece(ring, at, &step);

        __builtin_memcpy(to, from, step);
        from += step;
        size -= step;
        at = (at + step) % ring->size;
    }
    return at;
}

bool hostring_open(struct host *host, struct host_ring *ring, const struct gpadl *gpadl,
                   uint32_t first, uint32_t count, bool writer)
{
    *ring = (struct host_ring){
        .control = guest_page(&host->guest, gpadl->pages[first]),
        .pages = gpadl->pages + first + 1,
        .size = (count - 1) * GUEST_PAGE,
    };
    if (!ring->control)
        return false;
    if (writer) {
        if (get(ring, WRITE_INDEX) || get(ring, READ_INDEX)) {
            log_line(&host->log, LOG_BAD, "open: the host's ring does not begin empty, %x and %x",
                     get(ring, WRITE_INDEX), get(ring, READ_INDEX));
            return false;
        }
        put(ring, FEATURES, FEATURE_BITS);
    } else if (get(ring, READ_INDEX)) {
        log_line(&host->log, LOG_BAD, "open: the guest's ring has a read index %x already",
                 get(ring, READ_INDEX));
        return false;
    }
    return true;
}

bool hostring_pending(const struct host_ring *ring)
{
    return !ring->broken && get(ring, WRITE_INDEX) != ring->position;
}

/* The guest's write index, when all three indices are good. */
static bool guest_end(struct host *host, struct channel *channel, uint32_t *end)
{
    struct host_ring *ring = &channel->from_guest;

    *end = get(ring, WRITE_INDEX);
    x86_fence();
    if (!index_good(ring, *end))
        return broken(host, channel, ring, "write index", *end);
    if (get(ring, READ_INDEX) != ring->position)
        return broken(host, channel, ring, "the host's read index was changed to",
                      get(ring, READ_INDEX));
    if (distance(ring, ring->position, *end) < distance(ring, ring->position, ring->other))
        return broken(host, channel, ring, "write index went back to", *end);
    ring->other = *end;
    return true;
}

static bool descriptor_good(struct host *host, struct channel *channel, struct host_packet *packet,
                            uint32_t used)
{
    struct host_ring *ring = &channel->from_guest;
    struct kd_vmbus_descriptor descriptor;

    if (used < DESCRIPTOR + TRAILER)
        return broken(host, channel, ring, "less than a packet was published, bytes", used);
    copy_out(ring, ring->position, (uint8_t *)&descriptor, sizeof descriptor);
    packet->type = kd_get16(descriptor.type);
    packet->flags = kd_get16(descriptor.flags);
    packet->transaction = kd_get64(descriptor.transaction_id);
    packet->payload = kd_get16(descriptor.offset8) * UNITS;
    packet->length = kd_get16(descriptor.length8) * UNITS;
    if (packet->payload < DESCRIPTOR || packet->payload > packet->length)
        return broken(host, channel, ring, "packet with a payload offset of", packet->payload);
    if (packet->length + TRAILER > used)
        return broken(host, channel, ring, "packet longer than what was published, length",
                      packet->length);
    if (packet->length > sizeof packet->bytes)
        return broken(host, channel, ring, "packet larger than the host takes, length",
                      packet->length);
    if (packet->type < KD_VMBUS_PACKET_IN_BAND || packet->type > KD_VMBUS_PACKET_COMPLETION ||
        packet->type == KD_VMBUS_PACKET_GPADL)
        return broken(host, channel, ring, "packet of type", packet->type);
    if (packet->flags & ~COMPLETION_ON)
        return broken(host, channel, ring, "packet with flags", packet->flags);
    return true;
}

bool hostring_read(struct host *host, struct channel *channel, struct host_packet *packet)
{
    struct host_ring *ring = &channel->from_guest;
    uint32_t end, trailer[2], start = ring->position;

    if (ring->broken || !guest_end(host, channel, &end) || end == ring->position)
        return false;
    if (!descriptor_good(host, channel, packet, distance(ring, start, end)))
        return false;
    copy_out(ring, start, packet->bytes, packet->length);
    copy_out(ring, start + packet->length, (uint8_t *)trailer, sizeof trailer);
    if (trailer[0] != 0 || trailer[1] != start)
        return broken(host, channel, ring, "packet's trailer says that it began at", trailer[1]);
    trace_packet(host, KD_VMBUS_TO_HOST, channel, packet->bytes, packet->length, start, 0);
    ring->position = (start + packet->length + TRAILER) % ring->size;
    put(ring, READ_INDEX, ring->position);
    x86_fence();
    return true;
}

bool hostring_release(struct host *host, struct channel *channel, uint32_t before)
{
    struct host_ring *ring = &channel->from_guest;
    uint32_t wanted = get(ring, PENDING_SIZE) & PENDING_BITS, end, room, old_room;

    if (!(get(ring, FEATURES) & FEATURE_BITS) || wanted == 0 || !guest_end(host, channel, &end))
        return false;
    room = ring->size - distance(ring, ring->position, end);
    old_room = ring->size - distance(ring, before, end);
    return old_room <= wanted && room > wanted;
}

bool hostring_check_reader(struct host *host, struct channel *channel)
{
    struct host_ring *ring = &channel->to_guest;
    uint32_t index = get(ring, READ_INDEX);

    if (ring->broken)
        return false;
    if (!index_good(ring, index))
        return broken(host, channel, ring, "the guest's read index is", index);
    if (distance(ring, ring->other, index) > distance(ring, ring->other, ring->position))
        return broken(host, channel, ring, "the guest read further than was written, to", index);
    if (get(ring, WRITE_INDEX) != ring->position && !ring->spoiled)
        return broken(host, channel, ring, "the host's write index was changed to",
                      get(ring, WRITE_INDEX));
    ring->other = index;
    return true;
}

/* A host that has said how much room it waits for sleeps until the guest signals; the guest that
 * does not is found out when the time is over. */
static bool waits(struct host *host, struct channel *channel, bool room)
{
    struct host_ring *ring = &channel->to_guest;
    uint64_t now = log_now(&host->log);

    if (!ring->waiting_time) {
        if (!room) {
            ring->waiting_time = now;
            channel->room_told = false;
        }
        return !room;
    }
    if (!channel->room_told && now - ring->waiting_time < WAIT_US)
        return true;
    if (room && !channel->room_told)
        log_line(&host->log, LOG_BAD,
                 "channel %u (%s): there is room in the host's ring, and no signal", channel->relid,
                 channel->device->name);
    ring->waiting_time = room ? 0 : now;
    channel->room_told = false;
    return !room;
}

static uint32_t total_of(uint32_t payload)
{
    return DESCRIPTOR + payload + (0 - payload) % UNITS + TRAILER;
}

bool hostring_takes(const struct host_ring *ring, uint32_t payload)
{
    return total_of(payload) < ring->size;
}

bool hostring_has_room(struct host *host, struct channel *channel, uint32_t payload)
{
    struct host_ring *ring = &channel->to_guest;
    uint32_t total = total_of(payload);
    bool room;

    if (!hostring_check_reader(host, channel))
        return false;
    room = total < ring->size - distance(ring, ring->other, ring->position);
    if (waits(host, channel, room)) {
        put(ring, PENDING_SIZE, total);
        return false;
    }
    put(ring, PENDING_SIZE, 0);
    return true;
}

uint32_t hostring_next_size(const struct host_ring *ring)
{
    struct kd_vmbus_descriptor descriptor;
    uint32_t length;

    if (!hostring_pending(ring))
        return 0;
    copy_out(ring, ring->position, (uint8_t *)&descriptor, sizeof descriptor);
    length = kd_get16(descriptor.length8) * UNITS;
    return length > DESCRIPTOR ? length - DESCRIPTOR : 0;
}

static void corrupt_descriptor(struct kd_vmbus_descriptor *descriptor, uint32_t corrupt,
                               const struct host_ring *ring)
{
    switch (corrupt) {
    case CORRUPT_LENGTH:
        descriptor->length8 = kd_put16((uint16_t)(ring->size / UNITS + 100));
        break;
    case CORRUPT_OFFSET:
        descriptor->offset8 = kd_put16(1);
        break;
    case CORRUPT_SHORT:
        descriptor->length8 = kd_put16(1);
        break;
    case CORRUPT_TYPE:
        descriptor->type = kd_put16(TYPE_NONE);
        break;
    default:
        break;
    }
}

static uint32_t corrupt_index(uint32_t index, uint32_t corrupt, const struct host_ring *ring)
{
    if (corrupt == CORRUPT_INDEX)
        return ring->size + UNITS;
    return corrupt == CORRUPT_UNALIGNED ? index + 4 : index;
}

bool hostring_write(struct host *host, struct channel *channel, const struct host_write *write,
                    bool *signal)
{
    static const uint8_t zeros[UNITS];
    struct host_ring *ring = &channel->to_guest;
    const struct host_part *parts = write->parts;
    uint32_t corrupt = write->corrupt;
    uint32_t payload = parts[0].size + parts[1].size, padding = (0 - payload) % UNITS;
    uint32_t length = DESCRIPTOR + payload + padding, start = ring->position, at;
    struct kd_vmbus_descriptor descriptor = {
        .type = kd_put16(write->type),
        .offset8 = kd_put16(DESCRIPTOR / UNITS),
        .length8 = kd_put16((uint16_t)(length / UNITS)),
        .flags = kd_put16(write->flags),
        .transaction_id = kd_put64(write->transaction),
    };
    uint32_t trailer[2] = {0, corrupt == CORRUPT_TRAILER ? start + UNITS : start};

    *signal = false;
    if (!hostring_has_room(host, channel, payload))
        return false;
    corrupt_descriptor(&descriptor, corrupt, ring);
    at = copy_in(ring, start, &descriptor, sizeof descriptor);
    at = copy_in(ring, at, parts[0].bytes, parts[0].size);
    at = copy_in(ring, at, parts[1].bytes, parts[1].size);
    at = copy_in(ring, at, zeros, padding);
    at = copy_in(ring, at, trailer, sizeof trailer);
    x86_fence();
    ring->position = at;
    put(ring, WRITE_INDEX, corrupt_index(at, corrupt, ring));
    x86_fence();
    *signal = get(ring, MASK) == 0 && get(ring, READ_INDEX) == start;
    if (host->trace.on) {
        copy_out(ring, start, host->trace.packet, length);
        trace_packet(host, KD_VMBUS_TO_GUEST, channel, host->trace.packet, length, start,
                     corrupt ? KD_VMBUS_RECORD_FAULT : 0);
    }
    return true;
}
