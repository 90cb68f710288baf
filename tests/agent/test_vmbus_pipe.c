/* test_vmbus_pipe.c - the line through a VMBus channel, against a host that may not read or write
 * as it should.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus_pipe.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "vmbus_host.h"

#define RING (16u * 4096u)

static struct host host;
static struct kda_vmbus bus;
static struct vmbus_pipe pipe_;
static void start(enum kd_pipe_framing framing, bool bytes)
{
    struct kda_vmbus_ports ports;
    struct kda_vmbus_config config = host_config();

    host_init(&host);
    host.bytes = bytes;
    ports = host_ports(&host);
    kda_vmbus_init(&bus, &config, &ports);
    CHECK(kda_vmbus_connect(&bus));
    vmbus_pipe_init(&pipe_, &bus, framing);
}

static size_t read_pipe(uint8_t *out, size_t room)
{
    return vmbus_pipe_ops.read(&pipe_, out, room);
}

static size_t write_pipe(const void *bytes, size_t size)
{
    return vmbus_pipe_ops.write(&pipe_, bytes, size);
}

static void check_read(const char *text)
{
    uint8_t got[256];
    size_t size = read_pipe(got, sizeof got);

    CHECK_EQ_U64(size, strlen(text));
    CHECK_EQ_MEM(got, text, strlen(text));
}

static void plain_bytes(void)
{
    uint8_t got[64];

    start(KD_PIPE_PLAIN, false);
    CHECK_EQ_U64(write_pipe("hello", 5), 5);
    CHECK_EQ_U64(host.signals, 1);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 5);
    CHECK_EQ_MEM(got, "hello", 5);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 0);
    CHECK(host_send(&host, "there", 5));
    check_read("there");
    check_read("");
    CHECK_EQ_U64(host.violations, 0);
}

/* The description's own example: sequence 0x5687, payload 62. */
static void frames(void)
{
    static const uint8_t break_in[] = {0x60, 0x79, 0x86, 0x56, 1,    0,    0,   0,    1,
                                       0,    0,    0,    0x87, 0x56, 0,    0,   0xfc, 0x19,
                                       0xae, 0xd1, 0x79, 0x36, 0x28, 0x87, 0x62};
    uint8_t got[64];

    start(KD_PIPE_AUTO, false);
    CHECK_EQ_U64(write_pipe("hello", 5), 5);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 29);
    CHECK_EQ_MEM(got, break_in, 8);
    CHECK_EQ_U64(got[8], 5);
    CHECK_EQ_U64(got[12], 2);
    CHECK_EQ_MEM(got + 24, "hello", 5);
    CHECK(host_send(&host, break_in, 10));
    check_read("");
    CHECK(host_send(&host, break_in + 10, sizeof break_in - 10));
    check_read("b");
    CHECK_EQ_U64(host.violations, 0);
}

static void plain_is_answered_plainly(void)
{
    uint8_t got[64];

    start(KD_PIPE_AUTO, false);
    write_pipe("x", 1);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 25);
    CHECK(host_send(&host, "iiii", 4));
    check_read("iiii");
    write_pipe("x", 1);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 1);
}

/* A byte-mode pipe keeps 2048 bytes together, the rest of a KD packet comes in another. */
static void pieces(void)
{
    static uint8_t packet[4017], got[8192];

    for (size_t i = 0; i < sizeof packet; i++)
        packet[i] = (uint8_t)(i * 7);
    start(KD_PIPE_FRAMES, true);
    CHECK_EQ_U64(write_pipe(packet, sizeof packet), sizeof packet);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), 2048);
    CHECK_EQ_U64(host_receive(&host, got + 2024, sizeof got), sizeof packet - 2024 + 24);
    CHECK_EQ_MEM(got + 2024 + 24, packet + 2024, sizeof packet - 2024);
    CHECK_EQ_U64(host.signals, 1);
    start(KD_PIPE_FRAMES, false);
    CHECK_EQ_U64(write_pipe(packet, sizeof packet), sizeof packet);
    CHECK_EQ_U64(host_receive(&host, got, sizeof got), sizeof packet + 24);
}

/* Both ways at once, sizes of all kinds, so that packets wrap around the rings' ends. */
static void streams(void)
{
    static uint8_t to_host[1 << 20], got[1 << 15];
    size_t sent = 0, received = 0, came = 0, given = 0;
    uint8_t piece[300];

    start(KD_PIPE_PLAIN, false);
    srand(1);
    for (size_t i = 0; i < sizeof to_host; i++)
        to_host[i] = (uint8_t)rand();
    while (received < sizeof to_host) {
        size_t size = (size_t)rand() % 4017 + 1, part;

        if (size > sizeof to_host - sent)
            size = sizeof to_host - sent;
        if (sent < sizeof to_host)
            sent += write_pipe(to_host + sent, size);
        memset(piece, (int)given, sizeof piece);
        if (host_send(&host, piece, (size_t)rand() % sizeof piece + 1))
            given++;
        while ((part = host_receive(&host, got, sizeof got)) > 0) {
            CHECK_EQ_MEM(got, to_host + received, part);
            received += part;
        }
        while ((part = read_pipe(got, sizeof got)) > 0)
            for (came++; part > 1; part--)
                CHECK_EQ_U64(got[part - 1], got[0]);
    }
    CHECK_EQ_U64(came, given);
    CHECK_EQ_U64(host.violations, 0);
}

static void a_host_that_does_not_read(void)
{
    static uint8_t packet[4000];
    uint8_t got[64];
    size_t taken = 0;
    uint64_t start_time;

    start(KD_PIPE_PLAIN, false);
    while (write_pipe(packet, sizeof packet) == sizeof packet)
        taken++;
    CHECK_EQ_U64(taken, RING / (sizeof packet + 32));
    start_time = host.time;
    CHECK_EQ_U64(write_pipe(packet, sizeof packet), 0);
    CHECK(host.time - start_time >= KDA_LINE_STUCK_US);
    CHECK(host.time - start_time < 2 * KDA_LINE_STUCK_US);
    while (host_receive(&host, got, sizeof got) > 0)
        ;
    CHECK_EQ_U64(write_pipe(packet, sizeof packet), sizeof packet);
    CHECK_EQ_U64(host.violations, 0);
}

static void a_lost_signal_is_repeated(void)
{
    uint8_t out[4];

    start(KD_PIPE_PLAIN, false);
    host.lose_signals = 1;
    write_pipe("x", 1);
    CHECK_EQ_U64(host.signals, 0);
    for (unsigned i = 0; i < 1000 && host.signals == 0; i++) {
        host.time += 1000;
        read_pipe(out, sizeof out);
    }
    CHECK_EQ_U64(host.signals, 1);
    host_receive(&host, out, sizeof out);
    for (unsigned i = 0; i < 1000; i++) {
        host.time += 1000;
        read_pipe(out, sizeof out);
    }
    CHECK_EQ_U64(host.signals, 1);
}

static void no_channel_no_bytes(void)
{
    uint8_t out[4];
    uint64_t time;

    start(KD_PIPE_AUTO, false);
    write_pipe("abc", 3);
    host_send(&host, "iiii", 4);
    check_read("iiii");
    host_rescind(&host);
    check_read("");
    time = host.time;
    CHECK_EQ_U64(write_pipe("x", 1), 0);
    CHECK(host.time - time < 1000);
    host_offer(&host, 77);
    for (unsigned i = 0; i < 100; i++)
        read_pipe(out, sizeof out);
    CHECK_EQ_U64(bus.state, KDA_VMBUS_OPEN);
    /* The other end may be another one. */
    CHECK_EQ_U64(write_pipe("x", 1), 1);
    {
        uint8_t got[64];

        CHECK_EQ_U64(host_receive(&host, got, sizeof got), 25);
        CHECK_EQ_U64(got[12], 2);
    }
    CHECK_EQ_U64(host.violations, 0);
}

/* Puts a word into the control page of a ring. */
static void poke(const struct kd_ring *ring, size_t at, uint32_t value)
{
    memcpy(ring->control + at, &value, sizeof value);
}

static void wrong_indices_are_survived(void)
{
    uint8_t out[64];

    start(KD_PIPE_PLAIN, false);
    poke(&host.to_guest, 0, 0xFFFFFFF0);
    for (unsigned i = 0; i < 10; i++)
        CHECK_EQ_U64(read_pipe(out, sizeof out), 0);
    CHECK(strstr(kda_vmbus_problem(&bus), "ring from the host"));
    poke(&host.to_guest, 0, host.to_guest.position);
    host_send(&host, "fine", 4);
    check_read("fine");
    poke(&host.from_guest, 4, 12);
    CHECK_EQ_U64(write_pipe("x", 1), 0);
    poke(&host.from_guest, 4, host.from_guest.position);
    CHECK_EQ_U64(write_pipe("x", 1), 1);
}

static void wrong_packets_are_skipped(void)
{
    static const struct {
        uint8_t at, value;
    } damages[] = {{0, 7},    {2, 0},  {2, 9},     {4, 0}, {4, 0xFF},
                   {5, 0xFF}, {16, 7}, {20, 0xF0}, {23, 1}};
    uint8_t out[64];

    for (size_t i = 0; i < sizeof damages / sizeof damages[0]; i++) {
        uint32_t position;

        start(KD_PIPE_PLAIN, false);
        host_send(&host, "one", 3);
        check_read("one");
        position = host.to_guest.position;
        host_send(&host, "two", 3);
        host.to_guest.data[position + damages[i].at] = damages[i].value;
        CHECK_EQ_U64(read_pipe(out, sizeof out), 0);
        CHECK(strstr(kda_vmbus_problem(&bus), "ring from the host"));
        host_send(&host, "three", 5);
        check_read("three");
    }
}

static void completions_are_given(void)
{
    const struct kd_ring_part part = {"\1\0\0\0\2\0\0\0ok", 10};
    const struct kd_ring_packet packet = {
        .type = 6, .flags = 1, .transaction_id = 0x1234, .parts = &part, .part_count = 1};
    struct kd_ring_view view;
    bool signal;

    start(KD_PIPE_PLAIN, false);
    CHECK_EQ_U64(kd_ring_write(&host.to_guest, &packet, &signal), KD_RING_OK);
    check_read("ok");
    CHECK_EQ_U64(kd_ring_peek(&host.from_guest, &view), KD_RING_OK);
    CHECK_EQ_U64(view.type, 0x0B);
    CHECK_EQ_U64(view.transaction_id, 0x1234);
    CHECK_EQ_U64(view.length, 16);
}

/* A host that waits for room is told when there is some, once. */
static void a_waiting_host_is_told(void)
{
    static uint8_t bytes[4000];
    uint8_t out[4096];

    start(KD_PIPE_PLAIN, false);
    while (host_send(&host, bytes, sizeof bytes))
        ;
    CHECK_EQ_U64(host.signals, 0);
    while (read_pipe(out, sizeof out) > 0)
        ;
    CHECK_EQ_U64(host.signals, 1);
}

/* The mask is the reader's: the host asks for it before it signals. */
static void the_mask_follows_who_listens(void)
{
    start(KD_PIPE_PLAIN, false);
    vmbus_pipe_listen(&pipe_, false);
    CHECK(host_send(&host, "a", 1));
    CHECK(!host.event);
    check_read("a");
    vmbus_pipe_listen(&pipe_, true);
    CHECK(host_send(&host, "b", 1));
    CHECK(host.event);
    check_read("b");
    CHECK(!host.event);
}

KD_TEST_MAIN({"plain bytes both ways", plain_bytes}, {"frames both ways", frames},
             {"plain bytes are answered plainly", plain_is_answered_plainly},
             {"long packets in pieces", pieces}, {"streams wrap around", streams},
             {"a host that does not read", a_host_that_does_not_read},
             {"a lost signal is repeated", a_lost_signal_is_repeated},
             {"no channel, no bytes; another one, other frames", no_channel_no_bytes},
             {"wrong indices are survived", wrong_indices_are_survived},
             {"wrong packets are skipped", wrong_packets_are_skipped},
             {"completions are given", completions_are_given},
             {"a waiting host is told", a_waiting_host_is_told},
             {"the mask follows who listens", the_mask_follows_who_listens})
