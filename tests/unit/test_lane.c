/* test_lane.c - the recorder's parts: cutting a stream into records, and the queue before that.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "lane.h"
#include "ring.h"
#include "thread.h"

enum { ROOM = 1 << 18 };

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

/* --- lane: every byte's value and time of read are known, so records can be checked */

struct watcher {
    struct lane lane;
    uint8_t bytes[ROOM];
    uint64_t times[ROOM];
    size_t size;     /* of the stream */
    size_t position; /* of the next record in it */
    char kinds[4096];
    size_t records;
};

static void on_frame(void *context, enum side side, uint64_t when, const struct kd_frame *frame,
                     const uint8_t *bytes)
{
    (void)context;
    (void)side;
    (void)when;
    (void)frame;
    (void)bytes;
}

static void on_record(void *context, enum side side, uint64_t when, const uint8_t *bytes,
                      size_t size)
{
    struct watcher *watcher = context;
    struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET};
    struct kd_frame frame;

    (void)side;
    CHECK(size <= watcher->size - watcher->position);
    CHECK_EQ_MEM(bytes, watcher->bytes + watcher->position, size);
    CHECK_EQ_U64(when, watcher->times[watcher->position]);
    watcher->position += size;
    kd_frame_scan(&framing, bytes, size, false, true, &frame);
    if (watcher->records < sizeof watcher->kinds - 1)
        watcher->kinds[watcher->records++] = frame.kind == KD_FRAME_PACKET && frame.size == size
                                                 ? 'P'
                                             : frame.kind == KD_FRAME_BREAKIN && size == 1 ? 'b'
                                                                                           : 'n';
}

static const struct lane_events lane_events = {.frame = on_frame, .record = on_record};

static struct watcher *watch(void)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);

    if (!watcher)
        abort();
    lane_init(&watcher->lane, SIDE_DEBUGGER, &lane_events, watcher);
    return watcher;
}

static void add(struct watcher *watcher, const void *bytes, size_t size)
{
    memcpy(watcher->bytes + watcher->size, bytes, size);
    watcher->size += size;
}

static void add_packet(struct watcher *watcher, enum kd_packet_type type, size_t size)
{
    static const uint8_t payload[KD_PACKET_MAX_SIZE] = {0x30, 0x30, 0x62, 0x69};

    watcher->size += kd_frame_encode(watcher->bytes + watcher->size, ROOM - watcher->size, type,
                                     KD_INITIAL_PACKET_ID, payload, size, true);
}

/* In pieces of a random size up to most; each piece is a read of its own. */
static void push(struct watcher *watcher, size_t most, uint32_t *state)
{
    uint64_t when = 1;

    for (size_t at = 0; at < watcher->size; when++) {
        size_t size = 1 + next_random(state) % most;

        if (size > watcher->size - at)
            size = watcher->size - at;
        for (size_t i = 0; i < size; i++)
            watcher->times[at + i] = when;
        lane_push(&watcher->lane, when, watcher->bytes + at, size);
        at += size;
    }
    lane_end(&watcher->lane);
    CHECK_EQ_U64(watcher->position, watcher->size);
    CHECK(!lane_is_open(&watcher->lane));
}

static void packets_are_records_whatever_the_cut(void)
{
    uint32_t state = 7;

    for (size_t most = 1; most <= 9000; most = most * 3 / 2 + 1) {
        struct watcher *watcher = watch();

        add(watcher, "b", 1);
        add_packet(watcher, KD_PACKET_RESET, 0);
        add(watcher, "some text 0000 iii", 18);
        add_packet(watcher, KD_PACKET_STATE_MANIPULATE, 56);
        add_packet(watcher, KD_PACKET_STATE_MANIPULATE, KD_PACKET_MAX_SIZE);
        add_packet(watcher, KD_PACKET_ACKNOWLEDGE, 0);
        add(watcher, "b", 1);
        add(watcher, "bb", 2);
        add(watcher, "end", 3);
        push(watcher, most, &state);
        CHECK_EQ_STR(watcher->kinds, "bPnPPPbbbn");
        free(watcher);
    }
}

static void random_bytes_come_out(void)
{
    uint32_t state = 42;

    for (int round = 0; round < 60; round++) {
        struct watcher *watcher = watch();

        for (int i = 0; i < 40; i++) {
            uint8_t noise[600];
            size_t size = next_random(&state) % sizeof noise;

            for (size_t k = 0; k < size; k++)
                noise[k] = (uint8_t) "\x30\x69\x62\x07\x00text"[next_random(&state) % 9];
            add(watcher, noise, size);
            if (next_random(&state) % 2)
                add_packet(watcher, KD_PACKET_STATE_MANIPULATE, next_random(&state) % 3000);
        }
        push(watcher, round % 2 ? 3 : 5000, &state);
        free(watcher);
    }
}

/* A packet that comes byte by byte, then the start of another: times must not run out of room. */
static void many_reads_of_one_byte(void)
{
    struct watcher *watcher = watch();
    uint32_t state = 1;

    for (int i = 0; i < 20; i++)
        add_packet(watcher, KD_PACKET_STATE_MANIPULATE, KD_PACKET_MAX_SIZE - (size_t)i);
    push(watcher, 1, &state);
    CHECK_EQ_U64(watcher->records, 20);
    free(watcher);
}

static void long_noise_is_divided(void)
{
    struct watcher *watcher = watch();
    uint32_t state = 1;

    memset(watcher->bytes, '.', 5 * LANE_NOISE / 2);
    watcher->size = 5 * LANE_NOISE / 2;
    push(watcher, 60000, &state);
    CHECK_EQ_STR(watcher->kinds, "nnn");
    free(watcher);
}

/* --- ring */

static void ring_keeps_order_and_bounds(void)
{
    struct ring *ring = ring_new(1);
    uint8_t bytes[5000];
    struct ring_entry entry;
    uint64_t put = 0, taken = 0;
    uint32_t state = 3;

    CHECK(!ring_peek(ring, &entry));
    for (int round = 0; round < 20000; round++) {
        size_t size = next_random(&state) % sizeof bytes;

        memset(bytes, (int)(put & 0xFF), size);
        entry = (struct ring_entry){.when = put,
                                    .kind = 1,
                                    .comment = "why",
                                    .comment_size = (uint16_t)(put % 4),
                                    .bytes = bytes,
                                    .size = (uint32_t)size};
        if (ring_put(ring, &entry))
            put++;
        CHECK(ring_used(ring) <= ring_capacity(ring));
        while (next_random(&state) % 4 && ring_peek(ring, &entry)) {
            CHECK_EQ_U64(entry.when, taken);
            CHECK_EQ_U64(entry.comment_size, taken % 4);
            CHECK(entry.size == 0 || (entry.bytes[0] == (taken & 0xFF) &&
                                      entry.bytes[entry.size - 1] == (taken & 0xFF)));
            ring_drop(ring);
            taken++;
        }
    }
    while (ring_peek(ring, &entry)) {
        ring_drop(ring);
        taken++;
    }
    CHECK_EQ_U64(put, taken);
    CHECK_EQ_U64(ring_used(ring), 0);
    ring_free(ring);
}

static void ring_refuses_when_full(void)
{
    struct ring *ring = ring_new(1);
    static uint8_t bytes[100000];
    struct ring_entry entry = {.size = sizeof bytes, .bytes = bytes};
    unsigned count = 0;

    while (ring_put(ring, &entry))
        count++;
    CHECK(count == ring_capacity(ring) / sizeof bytes ||
          count == ring_capacity(ring) / sizeof bytes - 1);
    CHECK(ring_peek(ring, &entry));
    ring_drop(ring);
    entry.size = 10;
    CHECK(ring_put(ring, &entry));
    ring_free(ring);
}

enum { THREAD_ENTRIES = 300000 };

static void take_all(void *context)
{
    struct ring *ring = context;
    struct ring_entry entry;
    uint64_t taken = 0;

    while (taken < THREAD_ENTRIES) {
        if (!ring_peek(ring, &entry))
            continue;
        if (!CHECK_EQ_U64(entry.when, taken) || !CHECK_EQ_U64(entry.bytes[0], taken & 0xFF))
            return;
        ring_drop(ring);
        taken++;
    }
}

static void ring_between_threads(void)
{
    struct ring *ring = ring_new(1);
    struct thread thread;

    CHECK(thread_start(&thread, take_all, ring));
    for (uint64_t put = 0; put < THREAD_ENTRIES;) {
        uint8_t byte = (uint8_t)put;
        struct ring_entry entry = {.when = put, .bytes = &byte, .size = 1};

        if (ring_put(ring, &entry))
            put++;
    }
    thread_join(&thread);
    ring_free(ring);
}

KD_TEST_MAIN({"packets are records whatever the cut", packets_are_records_whatever_the_cut},
             {"random bytes come out", random_bytes_come_out},
             {"many reads of one byte", many_reads_of_one_byte},
             {"long noise is divided", long_noise_is_divided},
             {"ring keeps order and bounds", ring_keeps_order_and_bounds},
             {"ring refuses when full", ring_refuses_when_full},
             {"ring between threads", ring_between_threads})
