/* test_fault.c - --fault: what it does to a line, how often, and that it does nothing else.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "fault.h"

#define MS UINT64_C(1000000)

enum { PACKETS = 2000, PAYLOAD = 40, ROOM = PACKETS * 80 };

struct line {
    struct fault fault;
    uint64_t now;
    uint8_t out[2 * ROOM];
    size_t size;  /* delivered */
    size_t lost;  /* bytes that were not */
    size_t spans; /* with a fault */
    size_t late;  /* spans that went out late */
};

static void on_span(void *context, const struct fault_span *span)
{
    struct line *line = context;

    line->spans += span->fault != NULL;
    line->late += span->late;
    if (!span->delivered) {
        line->lost += span->size;
        return;
    }
    memcpy(line->out + line->size, span->bytes, span->size);
    line->size += span->size;
}

static const struct fault_events events = {.span = on_span};

static struct line *line_new(const char *text)
{
    struct line *line = calloc(1, sizeof *line);
    struct fault_options options;
    struct problem problem;

    if (!line || !fault_parse(&options, text, &problem)) {
        fprintf(stderr, "%s\n", line ? problem.text : "out of memory");
        abort();
    }
    fault_init(&line->fault, &options, &events, line);
    line->now = MS;
    return line;
}

/* PACKETS requests, one after the other, each of KD_HEADER_SIZE + PAYLOAD + 1 bytes. */
static const uint8_t *make_packets(size_t *size)
{
    static uint8_t bytes[ROOM];
    uint8_t payload[PAYLOAD];

    *size = 0;
    for (uint32_t i = 0; i < PACKETS; i++) {
        memset(payload, (int)(i & 0x7f), sizeof payload);
        *size += kd_frame_encode(bytes + *size, sizeof bytes - *size, KD_PACKET_STATE_MANIPULATE,
                                 KD_INITIAL_PACKET_ID | (i & 1), payload, sizeof payload, true);
    }
    return bytes;
}

#define PACKET (KD_HEADER_SIZE + PAYLOAD + 1u)

/* In reads of different sizes; waits are waited for. */
static void push_all(struct line *line, enum side from, const uint8_t *bytes, size_t size)
{
    unsigned seed = 5;

    while (size > 0) {
        size_t part = 1 + (seed = seed * 1103515245u + 12345u) % 97;

        if (part > size)
            part = size;
        fault_push(&line->fault, from, line->now, bytes, part);
        bytes += part;
        size -= part;
        while (fault_waits(&line->fault, from)) {
            line->now = fault_deadline(&line->fault);
            fault_tick(&line->fault, line->now);
        }
        line->now += MS;
    }
}

static size_t differing_bits(const uint8_t *a, const uint8_t *b, size_t size)
{
    size_t bits = 0;

    for (size_t i = 0; i < size; i++)
        for (unsigned x = a[i] ^ b[i]; x; x &= x - 1)
            bits++;
    return bits;
}

/* --- cases */

static void no_fault_changes_nothing(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("");

    push_all(line, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(line->size, size);
    CHECK_EQ_MEM(line->out, bytes, size);
    CHECK_EQ_U64(line->spans, 0);
    CHECK_EQ_U64(line->fault.frames, PACKETS);
    free(line);
}

static void text_and_half_packets_go_through(void)
{
    static const uint8_t text[] = "BdsDxe: starting\r\n00";
    struct line *line = line_new("drop=1");

    fault_push(&line->fault, SIDE_TARGET, line->now, text, sizeof text - 1);
    fault_tick(&line->fault, fault_deadline(&line->fault));
    CHECK_EQ_U64(line->size, sizeof text - 1);
    CHECK_EQ_MEM(line->out, text, sizeof text - 1);
    CHECK_EQ_U64(fault_deadline(&line->fault), UINT64_MAX);
    free(line);
}

static void every_packet_dropped(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("drop=100%");

    push_all(line, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(line->size, 0);
    CHECK_EQ_U64(line->lost, size);
    CHECK_EQ_U64(line->spans, PACKETS);
    free(line);
}

static void one_bit_of_each_packet(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("corrupt=1");

    push_all(line, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(line->size, size);
    for (size_t at = 0; at < size; at += PACKET)
        CHECK_EQ_U64(differing_bits(line->out + at, bytes + at, PACKET), 1);
    free(line);
}

static void each_packet_twice(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("dup=1");

    push_all(line, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(line->size, 2 * size);
    for (size_t at = 0; at < size; at += PACKET) {
        CHECK_EQ_MEM(line->out + 2 * at, bytes + at, PACKET);
        CHECK_EQ_MEM(line->out + 2 * at + PACKET, bytes + at, PACKET);
    }
    free(line);
}

static void late_but_in_order(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("delay=10%:250ms");

    push_all(line, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(line->size, size);
    CHECK_EQ_MEM(line->out, bytes, size);
    CHECK(line->fault.counts[FAULT_LATE] > 0);
    CHECK_EQ_U64(line->spans, line->fault.counts[FAULT_LATE]);
    free(line);
}

static void a_packet_waits_as_long_as_was_said(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("delay=1:250ms");

    fault_push(&line->fault, SIDE_TARGET, line->now, bytes, 2 * PACKET);
    CHECK_EQ_U64(line->size, 0);
    CHECK(fault_waits(&line->fault, SIDE_TARGET));
    CHECK(!fault_waits(&line->fault, SIDE_DEBUGGER));
    CHECK_EQ_U64(fault_deadline(&line->fault), line->now + 250 * MS);
    fault_tick(&line->fault, line->now + 249 * MS);
    CHECK_EQ_U64(line->size, 0);
    fault_tick(&line->fault, line->now + 250 * MS);
    CHECK_EQ_U64(line->size, PACKET); /* the second one has its own wait */
    CHECK_EQ_U64(fault_deadline(&line->fault), line->now + 500 * MS);
    fault_disconnected(&line->fault);
    CHECK_EQ_U64(line->size, 2 * PACKET);
    CHECK_EQ_MEM(line->out, bytes, 2 * PACKET);
    free(line);
}

/* More than there is room for ends the wait; nothing is lost. */
static void too_much_for_a_wait(void)
{
    enum { MUCH = FAULT_ROOM + 100000 };
    struct line *line = line_new("delay=1:1000ms,drop=0");
    uint8_t *text = malloc(MUCH);
    size_t size;
    const uint8_t *bytes = make_packets(&size);

    memset(text, 'x', MUCH);
    fault_push(&line->fault, SIDE_TARGET, line->now, bytes, PACKET);
    for (size_t at = 0; at < MUCH; at += 1000) {
        fault_push(&line->fault, SIDE_TARGET, line->now, text + at, 1000);
        if (line->size > ROOM) /* the buffer of this test is smaller */
            break;
    }
    CHECK(line->size >= PACKET);
    CHECK_EQ_MEM(line->out, bytes, PACKET);
    CHECK(!fault_waits(&line->fault, SIDE_TARGET));
    free(text);
    free(line);
}

static void chances_are_what_was_asked_for(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("drop=10%,corrupt=0.1,dup=0.1,seed=3");
    const uint64_t *counts = line->fault.counts;

    push_all(line, SIDE_DEBUGGER, bytes, size);
    /* Of 2000, 200, 180 and 162 are expected; five standard deviations either side. */
    CHECK(counts[FAULT_DROP] > 133 && counts[FAULT_DROP] < 267);
    CHECK(counts[FAULT_CORRUPT] > 115 && counts[FAULT_CORRUPT] < 245);
    CHECK(counts[FAULT_DUP] > 101 && counts[FAULT_DUP] < 224);
    CHECK_EQ_U64(counts[FAULT_LATE], 0);
    CHECK_EQ_U64(line->lost, counts[FAULT_DROP] * PACKET);
    CHECK_EQ_U64(line->size, size - line->lost + counts[FAULT_DUP] * PACKET);
    free(line);
}

static void the_seed_decides(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *a = line_new("drop=5%,seed=7"), *b = line_new("drop=5%,seed=7"),
                *c = line_new("drop=5%,seed=8");

    push_all(a, SIDE_DEBUGGER, bytes, size);
    push_all(b, SIDE_DEBUGGER, bytes, size);
    push_all(c, SIDE_DEBUGGER, bytes, size);
    CHECK_EQ_U64(a->size, b->size);
    CHECK_EQ_MEM(a->out, b->out, a->size);
    CHECK(c->size != a->size || memcmp(a->out, c->out, a->size) != 0);
    free(a);
    free(b);
    free(c);
}

static void one_direction_only(void)
{
    size_t size;
    const uint8_t *bytes = make_packets(&size);
    struct line *line = line_new("drop=1,from=target");

    fault_push(&line->fault, SIDE_DEBUGGER, line->now, bytes, 10 * PACKET + 3);
    CHECK_EQ_U64(line->size, 10 * PACKET + 3);
    fault_push(&line->fault, SIDE_TARGET, line->now, bytes, PACKET);
    CHECK_EQ_U64(line->lost, PACKET);
    free(line);
}

static void what_is_not_understood(void)
{
    static const char *const wrong[] = {
        "drop",          "drop=", "drop=2",    "drop=-1",  "lose=0.1",        "drop=0.1x",
        "delay=0.1:0ms", "seed=", "from=both", "drop=1,,", "delay=0.1:99999", "drop=nan"};
    struct fault_options options;
    struct problem problem;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (!CHECK(!fault_parse(&options, wrong[i], &problem)))
            fprintf(stderr, "  %s\n", wrong[i]);
    CHECK(fault_parse(&options, "delay=0.25:20ms", &problem));
    CHECK_EQ_U64(options.delay, 20 * MS);
    CHECK_EQ_U64(options.chance[FAULT_LATE], FAULT_CERTAIN / 4);
    CHECK(options.from[SIDE_DEBUGGER] && options.from[SIDE_TARGET]);
}

KD_TEST_MAIN({"no fault changes nothing", no_fault_changes_nothing},
             {"text and half packets go through", text_and_half_packets_go_through},
             {"every packet dropped", every_packet_dropped},
             {"one bit of each packet", one_bit_of_each_packet},
             {"each packet twice", each_packet_twice}, {"late but in order", late_but_in_order},
             {"a packet waits as long as was said", a_packet_waits_as_long_as_was_said},
             {"too much for a wait", too_much_for_a_wait},
             {"chances are what was asked for", chances_are_what_was_asked_for},
             {"the seed decides", the_seed_decides}, {"one direction only", one_direction_only},
             {"what is not understood", what_is_not_understood})
