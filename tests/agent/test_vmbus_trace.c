/* test_vmbus_trace.c - the trace of a VMBus session, read back as the capture it is.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * lib/capture reads the blocks, and makes the heads of records that are compared.
 */
#include "trace.h"

#include <string.h>

#include "capture/pcapng.h"
#include "capture/upper_pdu.h"
#include "check.h"
#include "vmbus_host.h"
#include "vmbus_pipe.h"

static struct host host;
static struct kda_vmbus bus;
static struct vmbus_pipe pipe_;
static struct kda_trace trace;
static uint8_t buffer[65536];
static uint64_t used;

static void start(size_t room)
{
    struct kda_vmbus_ports ports;
    struct kda_vmbus_config config = host_config();

    host_init(&host);
    ports = host_ports(&host);
    kda_vmbus_init(&bus, &config, &ports);
    kda_trace_begin(&trace, buffer, room, &used, &bus);
    bus.watch = kda_trace_watch(&trace);
    vmbus_pipe_init(&pipe_, &bus, KD_PIPE_PLAIN);
    pipe_.trace = &trace;
}

struct seen {
    unsigned records, kinds[8];
    uint32_t numbers;         /* of the last */
    uint8_t last_packet[256]; /* the last record of this kind */
    size_t last_packet_size;
    char messages[64]; /* types of messages, as letters from A; to the host in capitals */
    char note[200];
};

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void see_record(struct seen *seen, const uint8_t *record, size_t size)
{
    unsigned kind = record[1], direction = record[2];

    CHECK_EQ_U64(record[0], 1);
    CHECK_EQ_U64(record[4], 48);
    CHECK_EQ_U64(record[6], HOST_SINT);
    CHECK_EQ_U64(get32(record + 24), seen->numbers + 1);
    seen->numbers++;
    seen->records++;
    CHECK(kind < 8);
    seen->kinds[kind % 8]++;
    if (kind == 1 && strlen(seen->messages) < sizeof seen->messages - 1)
        seen->messages[strlen(seen->messages)] =
            (char)((direction == 1 ? 'A' : 'a') + record[48 + 16] - 1);
    if (kind == 2) {
        seen->last_packet_size = size - 48 < 256 ? size - 48 : 256;
        memcpy(seen->last_packet, record + 48, seen->last_packet_size);
    }
    if (kind == 6)
        memcpy(seen->note, record + 48, size - 48);
}

/* One packet block: its record is after the head that lib/capture makes. */
static void see_block(struct seen *seen, const uint8_t *block, uint32_t length)
{
    uint8_t head[64];
    size_t size = get32(block + 20);
    const uint8_t *record;
    size_t head_size;
    bool to_host;

    CHECK_EQ_U64(get32(block), CAP_BLOCK_PACKET);
    CHECK_EQ_U64(get32(block + length - 4), length);
    CHECK_EQ_U64(get32(block + 24), size);
    head_size = cap_upper_pdu_encode(head, sizeof head, "vmbus", CAP_SENT);
    record = block + 28 + head_size;
    to_host = record[2] == 1;
    cap_upper_pdu_encode(head, sizeof head, "vmbus", to_host ? CAP_RECEIVED : CAP_SENT);
    CHECK_EQ_MEM(block + 28, head, head_size);
    see_record(seen, record, size - head_size);
}

static struct seen read_back(void)
{
    const struct cap_section section = {.os = {0}};
    const struct cap_interface interface = {.linktype = 252};
    uint8_t expected[64];
    struct seen seen;
    size_t at = cap_encode_section(expected, sizeof expected, &section);

    (void)interface;
    memset(&seen, 0, sizeof seen);
    CHECK_EQ_MEM(buffer, expected, at);
    CHECK_EQ_U64(get32(buffer + at), CAP_BLOCK_INTERFACE);
    CHECK_EQ_U64(get32(buffer + at + 8), 252);
    for (at += get32(buffer + at + 4); at < used; at += get32(buffer + at + 4)) {
        CHECK(get32(buffer + at + 4) >= 32 && get32(buffer + at + 4) <= used - at);
        see_block(&seen, buffer + at, get32(buffer + at + 4));
    }
    CHECK_EQ_U64(at, used);
    return seen;
}

/* C contact, R request offers, H GPADL header, B body, O open, X close, ... by their numbers. */
static void a_session(void)
{
    uint8_t out[64];
    struct seen seen;
    static const char types[] = {'A' + 13, 'a' + 14, 'A' + 2,  'a',      'a',     'a' + 3,
                                 'A' + 7,  'A' + 8,  'a' + 9,  'A' + 4,  'a' + 5, 'A' + 6,
                                 'A' + 10, 'a' + 11, 'A' + 15, 'a' + 16, 0};
    static const uint8_t packet[] = {6,   0, 2, 0, 4, 0, 0, 0, 1, 0, 0,   0,   0,   0,
                                     0,   0, 1, 0, 0, 0, 5, 0, 0, 0, 'h', 'e', 'l', 'l',
                                     'o', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   0};

    start(sizeof buffer);
    CHECK(kda_vmbus_connect(&bus));
    host_send(&host, "there", 5);
    vmbus_pipe_ops.read(&pipe_, out, sizeof out);
    vmbus_pipe_ops.write(&pipe_, (const uint8_t *)"hello", 5);
    kda_vmbus_leave(&bus);
    seen = read_back();
    CHECK_EQ_STR(seen.messages, types);
    CHECK_EQ_U64(seen.kinds[2], 2);
    CHECK_EQ_U64(seen.kinds[3], 1);
    CHECK_EQ_U64(seen.last_packet_size, sizeof packet);
    CHECK_EQ_MEM(seen.last_packet, packet, sizeof packet);
}

static void what_goes_wrong(void)
{
    struct seen seen;

    start(sizeof buffer);
    host.refuse_open = 9;
    CHECK(!kda_vmbus_connect(&bus));
    seen = read_back();
    CHECK_EQ_U64(seen.kinds[6], 3);
    CHECK_EQ_STR(seen.note, "OPENCHANNEL: the host refuses to open the channel, status (c0000001)");
}

/* Wherever it ends, it is a whole file. */
static void a_small_buffer(void)
{
    for (size_t room = KDA_TRACE_MIN; room < 4096; room += 7) {
        struct seen seen;

        memset(buffer, 0xEE, sizeof buffer);
        start(room);
        CHECK(kda_vmbus_connect(&bus));
        seen = read_back();
        CHECK(used <= room);
        CHECK_EQ_U64(buffer[room], 0xEE);
        CHECK_EQ_U64(seen.records + trace.missing, trace.number);
        CHECK(trace.number == 11);
    }
    start(KDA_TRACE_MIN - 1);
    CHECK(kda_vmbus_connect(&bus));
    CHECK_EQ_U64(used, 0);
}

KD_TEST_MAIN({"a session", a_session}, {"what goes wrong", what_goes_wrong},
             {"a small buffer", a_small_buffer})
