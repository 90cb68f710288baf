/* test_ring.c - both ends of a VMBus ring, against a peer that is written out byte by byte here.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The model knows a ring as bytes at index modulo size and packets as bytes behind one another; it
 * shares nothing with ring.c. Guards around data and control page must stay what they are.
 */
#include <stdlib.h>

#include "check.h"
#include "kd/ring.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

enum { SIZE = 256, GUARD = 64, CONTROL = 128, FILL = 0xA5 };

/* Offsets in the control page, from the public descriptions. */
enum { AT_WRITE = 0, AT_READ = 4, AT_MASK = 8, AT_PENDING = 12, AT_FEATURES = 64 };

/* --- the memory */

static _Alignas(8) uint8_t control[GUARD + CONTROL + GUARD];
static _Alignas(8) uint8_t data[GUARD + SIZE + GUARD];

static uint32_t get(unsigned at)
{
    const uint8_t *b = control + GUARD + at;

    return (uint32_t)b[0] | (uint32_t)b[1] << 8 | (uint32_t)b[2] << 16 | (uint32_t)b[3] << 24;
}

static void put(unsigned at, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        control[GUARD + at + i] = (uint8_t)(value >> (8 * i));
}

static void fresh_memory(uint32_t index)
{
    memset(control, FILL, sizeof control);
    memset(control + GUARD, 0, CONTROL);
    memset(data, FILL, sizeof data);
    put(AT_WRITE, index);
    put(AT_READ, index);
}

static void check_guards(void)
{
    for (unsigned i = 0; i < GUARD; i++)
        if (!CHECK(control[i] == FILL && control[GUARD + CONTROL + i] == FILL && data[i] == FILL &&
                   data[GUARD + SIZE + i] == FILL))
            return;
}

static struct kd_ring writer_at(uint32_t index)
{
    struct kd_ring ring;

    fresh_memory(index);
    CHECK_EQ_U64(kd_ring_init_writer(&ring, control + GUARD, data + GUARD, SIZE), 0);
    return ring;
}

static struct kd_ring reader_at(uint32_t index)
{
    struct kd_ring ring;

    fresh_memory(index);
    put(AT_FEATURES, 1);
    CHECK_EQ_U64(kd_ring_init_reader(&ring, control + GUARD, data + GUARD, SIZE), 0);
    return ring;
}

/* --- the model's packets */

struct bytes {
    uint8_t at[2 * SIZE];
    uint32_t size;
};

static void add(struct bytes *out, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        out->at[out->size++] = (uint8_t)(value >> (8 * i));
}

/* Descriptor, `header` bytes, `payload` bytes counting up from seed, zeros, footer. */
static struct bytes model_packet(uint32_t start, uint64_t id, uint32_t header, uint32_t payload,
                                 uint8_t seed)
{
    uint32_t length = (16 + header + payload + 7) / 8;
    struct bytes out = {.size = 0};

    add(&out, header ? 9 : 6, 2);
    add(&out, (16 + header) / 8, 2);
    add(&out, length, 2);
    add(&out, 1, 2);
    add(&out, id, 8);
    for (uint32_t i = 0; i < header; i++)
        add(&out, 0x40 + i, 1);
    for (uint32_t i = 0; i < payload; i++)
        add(&out, seed + i, 1);
    while (out.size < 8 * length)
        add(&out, 0, 1);
    add(&out, 0, 4);
    add(&out, start, 4);
    return out;
}

static void model_put(uint32_t index, const struct bytes *bytes)
{
    for (uint32_t i = 0; i < bytes->size; i++)
        data[GUARD + (index + i) % SIZE] = bytes->at[i];
}

/* The packet lies at index, and all else is as it was filled. */
static void check_only(uint32_t index, const struct bytes *bytes)
{
    uint8_t expected[SIZE];

    memset(expected, FILL, sizeof expected);
    for (uint32_t i = 0; i < bytes->size; i++)
        expected[(index + i) % SIZE] = bytes->at[i];
    CHECK_EQ_MEM(data + GUARD, expected, SIZE);
    check_guards();
}

/* --- what is written with ring.c */

struct sent {
    uint8_t header[64], payload[2 * SIZE];
    struct kd_ring_part parts[3];
    struct kd_ring_packet packet;
};

/* The payload in three parts, one of them empty. */
static const struct kd_ring_packet *sent_packet(struct sent *sent, uint64_t id, uint32_t header,
                                                uint32_t payload, uint8_t seed)
{
    uint32_t first = payload / 3;

    for (uint32_t i = 0; i < header; i++)
        sent->header[i] = (uint8_t)(0x40 + i);
    for (uint32_t i = 0; i < payload; i++)
        sent->payload[i] = (uint8_t)(seed + i);
    sent->parts[0] = (struct kd_ring_part){sent->payload, first};
    sent->parts[1] = (struct kd_ring_part){NULL, 0};
    sent->parts[2] = (struct kd_ring_part){sent->payload + first, payload - first};
    sent->packet = (struct kd_ring_packet){
        .type = header ? KD_VMBUS_PACKET_GPA_DIRECT : KD_VMBUS_PACKET_IN_BAND,
        .flags = KD_VMBUS_PACKET_COMPLETION_REQUESTED,
        .transaction_id = id,
        .header = {sent->header, header},
        .parts = sent->parts,
        .part_count = 3,
    };
    return &sent->packet;
}

static enum kd_ring_status write_payload(struct kd_ring *ring, uint32_t payload, bool *signal)
{
    struct sent sent;

    return kd_ring_write(ring, sent_packet(&sent, 1, 0, payload, 0), signal);
}

/* --- cases */

static void check_written(uint32_t index, uint32_t header, uint32_t payload)
{
    struct kd_ring ring = writer_at(index);
    struct bytes expected = model_packet(index, 0x1122334455667788, header, payload, 7);
    struct sent sent;
    bool signal = false;

    CHECK_EQ_U64(
        kd_ring_write(&ring, sent_packet(&sent, 0x1122334455667788, header, payload, 7), &signal),
        KD_RING_OK);
    CHECK(signal);
    CHECK_EQ_U64(kd_ring_packet_size(&sent.packet), expected.size);
    check_only(index, &expected);
    CHECK_EQ_U64(get(AT_WRITE), (index + expected.size) % SIZE);
    CHECK_EQ_U64(get(AT_READ), index);
    CHECK_EQ_U64(get(AT_PENDING), 0);
    CHECK_EQ_U64(get(AT_FEATURES), 1);
}

static void test_write_everywhere(void)
{
    for (uint32_t index = 0; index < SIZE; index += 8) {
        for (uint32_t payload = 0; payload <= SIZE - 32; payload++)
            check_written(index, 0, payload);
        for (uint32_t header = 8; header <= 64; header += 8)
            check_written(index, header, 13);
    }
}

static void check_read(uint32_t index, uint32_t header, uint32_t payload)
{
    struct kd_ring ring = reader_at(index);
    struct bytes packet = model_packet(index, 0x8877665544332211, header, payload, 9);
    uint8_t copied[2 * SIZE];
    struct kd_ring_view view;

    model_put(index, &packet);
    put(AT_WRITE, (index + packet.size) % SIZE);
    if (!CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_OK))
        return;
    CHECK_EQ_U64(view.type, header ? 9 : 6);
    CHECK_EQ_U64(view.flags, 1);
    CHECK_EQ_U64(view.transaction_id, 0x8877665544332211);
    CHECK_EQ_U64(view.payload, 16 + header);
    CHECK_EQ_U64(view.length, packet.size - 8);
    CHECK(view.footer_good);
    CHECK_EQ_U64(kd_ring_copy(&ring, &view, 0, copied, sizeof copied), packet.size - 8);
    CHECK_EQ_MEM(copied, packet.at, packet.size - 8);
    CHECK_EQ_U64(get(AT_READ), index);
    kd_ring_consume(&ring, &view);
    CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_EMPTY);
    CHECK_EQ_U64(get(AT_READ), index);
    CHECK(!kd_ring_publish(&ring));
    CHECK_EQ_U64(get(AT_READ), (index + packet.size) % SIZE);
    check_only(index, &packet);
}

static void test_read_everywhere(void)
{
    for (uint32_t index = 0; index < SIZE; index += 8) {
        for (uint32_t payload = 0; payload <= SIZE - 32; payload++)
            check_read(index, 0, payload);
        for (uint32_t header = 8; header <= 64; header += 8)
            check_read(index, header, 13);
    }
}

static void test_copy_in_pieces(void)
{
    struct kd_ring ring = reader_at(SIZE - 24);
    struct bytes packet = model_packet(SIZE - 24, 1, 8, 50, 3);
    struct kd_ring_view view;
    uint8_t piece[16];

    model_put(SIZE - 24, &packet);
    put(AT_WRITE, packet.size - 24);
    CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_OK);
    for (uint32_t offset = 0; offset < view.length; offset++) {
        uint32_t left = view.length - offset < 16 ? view.length - offset : 16;

        memset(piece, 0, sizeof piece);
        CHECK_EQ_U64(kd_ring_copy(&ring, &view, offset, piece, sizeof piece), left);
        CHECK_EQ_MEM(piece, packet.at + offset, left);
    }
    CHECK_EQ_U64(kd_ring_copy(&ring, &view, view.length, piece, sizeof piece), 0);
    CHECK_EQ_U64(kd_ring_copy(&ring, &view, UINT32_MAX, piece, sizeof piece), 0);
}

/* Free bytes and packet sizes around the limit: a packet of T bytes needs more than T free. */
static void test_room(void)
{
    for (uint32_t used = 0; used < SIZE; used += 8) {
        for (uint32_t payload = 0; payload <= SIZE - 32; payload += 8) {
            struct kd_ring ring = writer_at(40);
            uint32_t total = 24 + payload, unread = (40 + SIZE - used) % SIZE;
            bool signal = true;
            enum kd_ring_status status;

            put(AT_READ, unread);
            status = write_payload(&ring, payload, &signal);
            if (total < SIZE - used) {
                CHECK_EQ_U64(status, KD_RING_OK);
                CHECK(signal == (used == 0));
                CHECK_EQ_U64(get(AT_PENDING), 0);
            } else {
                CHECK_EQ_U64(status, KD_RING_FULL);
                CHECK(!signal);
                CHECK_EQ_U64(get(AT_PENDING), total);
                CHECK_EQ_U64(get(AT_WRITE), 40);
            }
        }
    }
}

static void test_too_large(void)
{
    struct kd_ring ring = writer_at(0);
    struct kd_ring_part huge[2] = {{data, UINT32_MAX}, {data, UINT32_MAX}};
    struct kd_ring_packet packet = {.type = 6, .parts = huge, .part_count = 2};
    bool signal = true;

    CHECK_EQ_U64(kd_ring_largest(SIZE), SIZE - 32);
    CHECK_EQ_U64(kd_ring_largest(4096 * 1024), 8 * 0xFFFF - 16);
    CHECK_EQ_U64(write_payload(&ring, SIZE - 31, &signal), KD_RING_TOO_LARGE);
    CHECK(!signal);
    CHECK_EQ_U64(kd_ring_write(&ring, &packet, &signal), KD_RING_TOO_LARGE);
    CHECK_EQ_U64(kd_ring_packet_size(&packet), 0);
    huge[0].size = huge[1].size = 8 * 0xFFFF - 16;
    packet.part_count = 1;
    CHECK_EQ_U64(kd_ring_packet_size(&packet), 8 * 0xFFFF + 8);
    huge[1].size = 1;
    packet.part_count = 2;
    CHECK_EQ_U64(kd_ring_packet_size(&packet), 0);
    packet.part_count = 0;
    packet.header = (struct kd_ring_part){data, 12};
    CHECK_EQ_U64(kd_ring_packet_size(&packet), 0);
    CHECK_EQ_U64(get(AT_WRITE), 0);
    check_guards();
}

/* A signal only when the reader had read all before this packet, and wants to be told. */
static void test_signal_of_writer(void)
{
    struct kd_ring ring = writer_at(0);
    bool signal;

    CHECK_EQ_U64(write_payload(&ring, 8, &signal), KD_RING_OK);
    CHECK(signal);
    CHECK_EQ_U64(write_payload(&ring, 8, &signal), KD_RING_OK);
    CHECK(!signal); /* the first one is unread */
    put(AT_READ, 32);
    CHECK_EQ_U64(write_payload(&ring, 8, &signal), KD_RING_OK);
    CHECK(!signal); /* the second one is unread */
    put(AT_READ, 96);
    CHECK_EQ_U64(write_payload(&ring, 8, &signal), KD_RING_OK);
    CHECK(signal);
    put(AT_READ, 128);
    put(AT_MASK, 1);
    CHECK_EQ_U64(write_payload(&ring, 8, &signal), KD_RING_OK);
    CHECK(!signal);
}

static void test_waiting_for_room(void)
{
    struct kd_ring ring = writer_at(0);
    bool signal;

    CHECK_EQ_U64(write_payload(&ring, 200, &signal), KD_RING_OK);
    CHECK_EQ_U64(write_payload(&ring, 20, &signal), KD_RING_FULL);
    CHECK_EQ_U64(get(AT_PENDING), 48);
    put(AT_READ, 224);
    CHECK_EQ_U64(write_payload(&ring, 20, &signal), KD_RING_OK);
    CHECK_EQ_U64(get(AT_PENDING), 0);
    CHECK_EQ_U64(write_payload(&ring, 200, &signal), KD_RING_FULL);
    CHECK_EQ_U64(get(AT_PENDING), 224);
    kd_ring_stop_waiting(&ring);
    CHECK_EQ_U64(get(AT_PENDING), 0);
}

/* Whether the reader signals when its free bytes go from `before` to `after` while the writer wants
 * `wanted`: where a writer is content with that many, and where it needs one more. */
static void test_signal_of_reader(void)
{
    static const struct {
        uint32_t before, after, wanted, features;
        bool signal;
    } cases[] = {
        {32, 64, 48, 1, true},   {32, 48, 48, 1, true},    {48, 64, 48, 1, true},
        {56, 64, 48, 1, false},  {32, 40, 48, 1, false},   {32, 64, 0, 1, false},
        {32, 64, 48, 0, false},  {48, 48, 48, 1, false},   {32, 64, 48 + 5, 1, true},
        {32, 64, 7, 1, false},   {8, 256, 248, 1, true},   {8, 248, 248, 1, true},
        {8, 240, 248, 1, false}, {32, 64, 1024, 1, false},
    };

    for (size_t i = 0; i < COUNT_OF(cases); i++) {
        uint32_t unread = SIZE - cases[i].before, distance = cases[i].after - cases[i].before;
        struct kd_ring ring = reader_at(16);
        struct kd_ring_view view = {.start = 16, .length = distance - 8};

        put(AT_WRITE, (16 + unread) % SIZE);
        put(AT_PENDING, cases[i].wanted);
        put(AT_FEATURES, cases[i].features);
        if (distance)
            kd_ring_consume(&ring, &view);
        if (!CHECK(kd_ring_publish(&ring) == cases[i].signal))
            fprintf(stderr, "    case %zu\n", i);
        CHECK_EQ_U64(get(AT_READ), (16 + distance) % SIZE);
    }
}

static void test_sleep(void)
{
    struct kd_ring ring = reader_at(0);

    kd_ring_mask(&ring, true);
    CHECK_EQ_U64(get(AT_MASK), 1);
    CHECK(kd_ring_may_sleep(&ring));
    CHECK_EQ_U64(get(AT_MASK), 0);
    kd_ring_mask(&ring, true);
    put(AT_WRITE, 24);
    CHECK(!kd_ring_may_sleep(&ring));
    CHECK_EQ_U64(get(AT_MASK), 0);
}

/* --- a hostile peer */

static const uint32_t bad_indices[] = {1,    4,        7,          12,        SIZE - 1,
                                       SIZE, SIZE + 8, 0x80000000, UINT32_MAX};

static void test_bad_indices(void)
{
    for (size_t i = 0; i < COUNT_OF(bad_indices); i++) {
        struct kd_ring writer = writer_at(0), reader;
        struct kd_ring_view view;
        bool signal = true;

        put(AT_READ, bad_indices[i]);
        CHECK_EQ_U64(write_payload(&writer, 8, &signal), KD_RING_BAD_INDEX);
        CHECK(!signal);
        CHECK_EQ_U64(get(AT_WRITE), 0);
        reader = reader_at(0);
        put(AT_WRITE, bad_indices[i]);
        put(AT_PENDING, 8);
        CHECK_EQ_U64(kd_ring_peek(&reader, &view), KD_RING_BAD_INDEX);
        CHECK_EQ_U64(kd_ring_discard(&reader), KD_RING_BAD_INDEX);
        CHECK(!kd_ring_publish(&reader));
        CHECK(!kd_ring_may_sleep(&reader));
        check_guards();
    }
}

static void test_bad_start(void)
{
    struct kd_ring ring;

    for (size_t i = 0; i < COUNT_OF(bad_indices); i++) {
        fresh_memory(bad_indices[i]);
        CHECK_EQ_U64(kd_ring_init_writer(&ring, control + GUARD, data + GUARD, SIZE),
                     KD_RING_BAD_INDEX);
        CHECK_EQ_U64(kd_ring_init_reader(&ring, control + GUARD, data + GUARD, SIZE),
                     KD_RING_BAD_INDEX);
    }
    fresh_memory(0);
    CHECK_EQ_U64(kd_ring_init_reader(&ring, control + GUARD, data + GUARD, 0), KD_RING_BAD_INDEX);
    CHECK_EQ_U64(kd_ring_init_reader(&ring, control + GUARD, data + GUARD, 56), KD_RING_BAD_INDEX);
    CHECK_EQ_U64(kd_ring_init_reader(&ring, control + GUARD, data + GUARD, 100), KD_RING_BAD_INDEX);
}

/* Each descriptor with each amount of bytes that are there. */
static void test_bad_descriptors(void)
{
    static const uint16_t values[] = {0, 1, 2, 3, 4, 8, 29, 30, 31, 32, 33, 0x7FFF, 0xFFFF};

    for (size_t o = 0; o < COUNT_OF(values); o++) {
        for (size_t l = 0; l < COUNT_OF(values); l++) {
            for (uint32_t used = 8; used < SIZE; used += 8) {
                bool good = values[o] >= 2 && values[l] >= values[o] && 8u * values[l] + 8 <= used;
                struct bytes head = {.size = 0};
                struct kd_ring ring = reader_at(248);
                struct kd_ring_view view;

                add(&head, 6, 2);
                add(&head, values[o], 2);
                add(&head, values[l], 2);
                add(&head, 0, 2);
                add(&head, 0, 8);
                model_put(248, &head);
                put(AT_WRITE, (248 + used) % SIZE);
                CHECK_EQ_U64(kd_ring_peek(&ring, &view), good ? KD_RING_OK : KD_RING_BAD_PACKET);
                CHECK_EQ_U64(kd_ring_discard(&ring), KD_RING_OK);
                CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_EMPTY);
            }
        }
    }
}

static void test_bad_footer(void)
{
    struct kd_ring ring = reader_at(0);
    struct bytes packet = model_packet(8, 1, 0, 20, 0);
    struct kd_ring_view view;

    model_put(0, &packet);
    put(AT_WRITE, packet.size);
    CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_OK);
    CHECK(!view.footer_good);
}

/* The peer rewrites length and indices between peek and copy: nothing outside is touched. */
static void test_changes_behind_the_back(void)
{
    struct kd_ring ring = reader_at(200);
    struct bytes packet = model_packet(200, 1, 0, 100, 0);
    struct kd_ring_view view;
    uint8_t copied[SIZE];

    model_put(200, &packet);
    put(AT_WRITE, (200 + packet.size) % SIZE);
    CHECK_EQ_U64(kd_ring_peek(&ring, &view), KD_RING_OK);
    memset(data + GUARD, 0xFF, SIZE);
    put(AT_WRITE, UINT32_MAX);
    put(AT_READ, UINT32_MAX);
    CHECK_EQ_U64(kd_ring_copy(&ring, &view, 0, copied, sizeof copied), 120);
    kd_ring_consume(&ring, &view);
    CHECK(!kd_ring_publish(&ring));
    CHECK_EQ_U64(get(AT_READ), (200 + 128) % SIZE);
    check_guards();
}

/* --- both ends together, against a queue of what was sent */

static uint32_t next_random(void)
{
    static uint32_t state = 0x2545F491;

    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    return state;
}

struct queue {
    struct {
        uint32_t size;
        uint8_t seed;
        uint64_t id;
    } items[SIZE];
    unsigned first, count;
    uint32_t bytes; /* in the ring, published or not */
};

static void send_some(struct kd_ring *ring, struct queue *queue, uint32_t unpublished)
{
    uint32_t size = next_random() % (SIZE - 24), total = 24 + (size + 7) / 8 * 8;
    uint8_t seed = (uint8_t)next_random();
    uint64_t id = (uint64_t)next_random() << 32 | next_random();
    struct sent sent;
    bool signal;
    enum kd_ring_status status =
        kd_ring_write(ring, sent_packet(&sent, id, 0, size, seed), &signal);
    unsigned slot = (queue->first + queue->count) % SIZE;

    if (total > SIZE - 8) {
        CHECK_EQ_U64(status, KD_RING_TOO_LARGE);
        return;
    }
    if (!CHECK_EQ_U64(status,
                      total < SIZE - queue->bytes - unpublished ? KD_RING_OK : KD_RING_FULL) ||
        status != KD_RING_OK)
        return;
    queue->items[slot].size = size;
    queue->items[slot].seed = seed;
    queue->items[slot].id = id;
    queue->count++;
    queue->bytes += total;
}

/* Returns the bytes that were read and wait to be published. */
static uint32_t receive_one(struct kd_ring *ring, struct queue *queue)
{
    struct kd_ring_view view;
    uint8_t got[SIZE];
    uint32_t total;

    if (kd_ring_peek(ring, &view) == KD_RING_EMPTY) {
        CHECK_EQ_U64(queue->count, 0);
        return 0;
    }
    if (!CHECK(queue->count > 0))
        return 0;
    CHECK_EQ_U64(view.transaction_id, queue->items[queue->first].id);
    CHECK_EQ_U64(kd_ring_copy(ring, &view, view.payload, got, sizeof got),
                 (queue->items[queue->first].size + 7) / 8 * 8);
    for (uint32_t i = 0; i < queue->items[queue->first].size; i++)
        CHECK(got[i] == (uint8_t)(queue->items[queue->first].seed + i));
    CHECK(view.footer_good);
    kd_ring_consume(ring, &view);
    total = view.length + 8;
    queue->first = (queue->first + 1) % SIZE;
    queue->count--;
    queue->bytes -= total;
    return total;
}

static void test_random_traffic(void)
{
    struct kd_ring writer = writer_at(0), reader;
    struct queue queue = {.first = 0};
    uint32_t unpublished = 0, sent_before = check_failures;

    CHECK_EQ_U64(kd_ring_init_reader(&reader, control + GUARD, data + GUARD, SIZE), KD_RING_OK);
    for (unsigned step = 0; step < 100000 && check_failures == sent_before; step++) {
        switch (next_random() % 4) {
        case 0:
        case 1:
            send_some(&writer, &queue, unpublished);
            break;
        case 2:
            unpublished += receive_one(&reader, &queue);
            break;
        default:
            kd_ring_publish(&reader);
            unpublished = 0;
            break;
        }
    }
    check_guards();
}

KD_TEST_MAIN({"packets of every size at every index, written", test_write_everywhere},
             {"packets of every size at every index, read", test_read_everywhere},
             {"a packet copied in pieces", test_copy_in_pieces}, {"room", test_room},
             {"packets that never fit", test_too_large},
             {"when a writer signals", test_signal_of_writer},
             {"waiting for room", test_waiting_for_room},
             {"when a reader signals", test_signal_of_reader}, {"before a sleep", test_sleep},
             {"indices that are none", test_bad_indices}, {"rings that are none", test_bad_start},
             {"descriptors that fit nothing", test_bad_descriptors},
             {"a footer that is none", test_bad_footer},
             {"memory that changes meanwhile", test_changes_behind_the_back},
             {"random traffic", test_random_traffic})
