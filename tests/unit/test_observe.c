/* test_observe.c - the observer of a link: what each packet is to those before.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Packets are written byte by byte from the protocol's description; nothing of lib/kd makes them.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "kd/observe.h"

#define MS UINT64_C(1000000)

enum { DATA_STOP = 7, DATA_MANIPULATE = 2, DATA_PRINT = 3, ACK = 4, RESEND = 5, RESET = 6 };

struct line {
    struct kd_observer observer;
    struct kd_seen seen;
    uint64_t now;
    uint32_t frame;
    unsigned never[KD_FINDINGS];
    uint32_t never_frame;
};

static void on_never(void *context, enum kd_finding finding, const struct kd_ref *packet)
{
    struct line *line = context;

    line->never[finding]++;
    line->never_frame = packet->frame;
}

static struct line *begin(bool kdnet)
{
    struct line *line = calloc(1, sizeof *line);

    if (!line)
        abort();
    line->now = 1000 * MS;
    kd_observer_init(&line->observer, kdnet);
    line->observer.never = on_never;
    line->observer.context = line;
    return line;
}

static void put(uint8_t *at, uint32_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

/* A packet with this payload; the checksum is the payload's sum plus `wrong`. */
static void pass(struct line *line, enum kd_flow flow, unsigned type, uint32_t id,
                 const uint8_t *payload, size_t size, uint32_t wrong)
{
    uint8_t bytes[400];
    bool control = type >= ACK && type <= RESET;
    struct kd_frame frame = {
        .kind = KD_FRAME_PACKET, .size = 16 + size + !control, .payload = size};
    const struct kd_passing passing = {.ref = {NULL, ++line->frame},
                                       .flow = flow,
                                       .frame = &frame,
                                       .bytes = bytes,
                                       .time = line->now};

    memset(bytes, control ? 0x69 : 0x30, 4);
    put(bytes + 4, type, 2);
    put(bytes + 6, (uint32_t)size, 2);
    put(bytes + 8, id, 4);
    for (size_t i = 0; i < size; i++)
        frame.checksum += payload[i];
    put(bytes + 12, frame.checksum + wrong, 4);
    frame.flags = wrong ? KD_FRAME_BAD_CHECKSUM : 0;
    if (size)
        memcpy(bytes + 16, payload, size);
    bytes[16 + size] = 0xAA;
    kd_observe(&line->observer, &passing, &line->seen);
    line->now += MS;
}

static void control(struct line *line, enum kd_flow flow, unsigned type, uint32_t id)
{
    pass(line, flow, type, id, NULL, 0, 0);
}

static void print(struct line *line, uint32_t id, uint8_t text, uint32_t wrong)
{
    uint8_t payload[17] = {0x30, 0x32};

    payload[8] = 1;
    payload[16] = text;
    pass(line, KD_FLOW_TO_DEBUGGER, DATA_PRINT, id, payload, sizeof payload, wrong);
}

/* Read `count` bytes at `address`; a reply: `actual` of them. */
static void memory(struct line *line, enum kd_flow flow, uint32_t id, uint32_t address,
                   uint32_t count, uint32_t actual)
{
    uint8_t payload[56] = {0x30, 0x31};

    put(payload + 16, address, 4);
    put(payload + 24, count, 4);
    put(payload + 28, actual, 4);
    pass(line, flow, DATA_MANIPULATE, id, payload, sizeof payload, 0);
}

static bool found(const struct line *line, enum kd_finding finding)
{
    return line->seen.findings >> finding & 1;
}

static void acknowledges_and_pairs(void)
{
    struct line *line = begin(false);

    memory(line, KD_FLOW_TO_TARGET, 0x80800000, 0x1000, 16, 0);
    CHECK_EQ_U64(line->seen.findings, 0);
    control(line, KD_FLOW_TO_DEBUGGER, ACK, 0x80800000);
    CHECK_EQ_U64(line->seen.subject.frame, 1);
    CHECK(!line->seen.again);
    memory(line, KD_FLOW_TO_DEBUGGER, 0x80800000, 0x1000, 16, 12);
    CHECK_EQ_U64(line->seen.peer.frame, 1);
    CHECK_EQ_U64(line->seen.asked, 16);
    CHECK(found(line, KD_FINDING_SHORT_READ));
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    CHECK_EQ_U64(line->seen.subject.frame, 3);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800007);
    CHECK(found(line, KD_FINDING_STRAY_ACK));
    kd_observer_end(&line->observer);
    CHECK_EQ_U64(line->never[KD_FINDING_UNACKNOWLEDGED], 0);
    CHECK_EQ_U64(line->never[KD_FINDING_UNANSWERED], 0);
    free(line);
}

static void repetitions(void)
{
    struct line *line = begin(false);

    print(line, 0x80800800, 'a', 0);
    print(line, 0x80800800, 'a', 0);
    CHECK(line->seen.retransmission && !line->seen.needless && !line->seen.invited);
    CHECK_EQ_U64(line->seen.original.frame, 1);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    CHECK_EQ_U64(line->seen.subject.frame, 2);
    CHECK_EQ_U64(line->seen.first.frame, 1);
    print(line, 0x80800001, 'b', 0);
    CHECK_EQ_U64(line->seen.findings, 0);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800001);
    print(line, 0x80800001, 'b', 0);
    CHECK(line->seen.needless);
    control(line, KD_FLOW_TO_TARGET, RESEND, 0);
    CHECK_EQ_U64(line->seen.subject.frame, 6);
    print(line, 0x80800001, 'b', 0);
    CHECK(line->seen.invited && !line->seen.needless);
    kd_observer_end(&line->observer);
    CHECK_EQ_U64(line->never[KD_FINDING_UNACKNOWLEDGED], 0);
    free(line);
}

static void stop(struct line *line, uint32_t id)
{
    uint8_t payload[240] = {0x30, 0x30};

    pass(line, KD_FLOW_TO_DEBUGGER, DATA_STOP, id, payload, sizeof payload, 0);
}

static void both_reset(struct line *line)
{
    control(line, KD_FLOW_TO_TARGET, RESET, 0);
    control(line, KD_FLOW_TO_DEBUGGER, RESET, 0);
}

/* After RESET ids begin anew: what is pending comes again under another id, a stopped target's
 * state change even when it was acknowledged; anything else is new. */
static void repetitions_after_reset(void)
{
    struct line *line = begin(false);

    stop(line, 0x80800800);
    CHECK_EQ_U64(line->seen.stop.frame, 1);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    print(line, 0x80800001, 'a', 0);
    both_reset(line);
    print(line, 0x80800000, 'a', 0);
    CHECK(line->seen.retransmission && line->seen.invited);
    CHECK_EQ_U64(line->seen.original.frame, 3);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    both_reset(line);
    print(line, 0x80800000, 'a', 0);
    CHECK(!line->seen.retransmission && !found(line, KD_FINDING_DESYNC));
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    stop(line, 0x80800001);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800001);
    both_reset(line);
    stop(line, 0x80800000);
    CHECK(line->seen.retransmission && !line->seen.needless);
    free(line);
}

static void damage(void)
{
    struct line *line = begin(false);

    print(line, 0x80800000, 'a', 1);
    CHECK(found(line, KD_FINDING_CHECKSUM));
    control(line, KD_FLOW_TO_TARGET, RESEND, 0);
    CHECK_EQ_U64(line->seen.subject.frame, 1);
    print(line, 0x80800000, 'a', 0);
    CHECK(line->seen.repairs && !line->seen.retransmission);
    CHECK_EQ_U64(line->seen.original.frame, 1);
    free(line);
}

static void out_of_step(void)
{
    struct line *line = begin(false);

    print(line, 0x80800000, 'a', 0);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    print(line, 0x80800000, 'b', 0);
    CHECK(found(line, KD_FINDING_DESYNC));
    CHECK_EQ_U64(line->seen.expected_id, 0x80800001);
    control(line, KD_FLOW_TO_TARGET, ACK, 0x80800000);
    print(line, 0x80800800, 'c', 0);
    CHECK(found(line, KD_FINDING_RESTART) && !found(line, KD_FINDING_DESYNC));
    free(line);
    line = begin(true);
    print(line, 0, 'a', 0);
    control(line, KD_FLOW_TO_TARGET, ACK, 0);
    print(line, 2, 'b', 0);
    CHECK_EQ_U64(line->seen.findings, 0);
    control(line, KD_FLOW_TO_TARGET, ACK, 2);
    print(line, 8, 'c', 0);
    CHECK(found(line, KD_FINDING_DESYNC));
    CHECK_EQ_U64(line->seen.expected_id, 4);
    kd_observer_restart(&line->observer);
    CHECK_EQ_U64(line->never[KD_FINDING_UNACKNOWLEDGED], 1);
    print(line, 0, 'd', 0);
    CHECK_EQ_U64(line->seen.findings, 0);
    free(line);
}

static void never_answered(void)
{
    struct line *line = begin(false);
    uint32_t id = 0x80800000;

    for (unsigned i = 0; i < 3; i++, id ^= 1) {
        memory(line, KD_FLOW_TO_TARGET, id, 0x1000 + i, 16, 0);
        CHECK_EQ_U64(found(line, KD_FINDING_UNANSWERED), i == 1);
        control(line, KD_FLOW_TO_DEBUGGER, ACK, id);
        if (i == 0)
            continue;
        memory(line, KD_FLOW_TO_DEBUGGER, id ^ 1, 0x1000 + i, 16, 16);
        control(line, KD_FLOW_TO_TARGET, ACK, id ^ 1);
    }
    kd_observer_end(&line->observer);
    CHECK_EQ_U64(line->never[KD_FINDING_UNANSWERED], 1);
    CHECK_EQ_U64(line->never_frame, 1);
    free(line);
}

/* Six RESETs of each end within a second; "since" is where both took part. */
static void storms(void)
{
    struct line *line = begin(false);
    unsigned begun = 0, rounds = 0;

    control(line, KD_FLOW_TO_TARGET, RESET, 0);
    line->now += 400 * MS;
    for (; rounds < 10 && !begun; rounds++) {
        control(line, KD_FLOW_TO_TARGET, RESET, 0);
        begun = line->seen.storm == KD_STORM_RESET;
        if (begun)
            break;
        control(line, KD_FLOW_TO_DEBUGGER, RESET, 0);
        begun = line->seen.storm == KD_STORM_RESET;
        line->now += 80 * MS;
    }
    CHECK_EQ_U64(rounds, 6);
    CHECK(found(line, KD_FINDING_RESET_STORM));
    CHECK_EQ_U64(line->seen.storm_since.frame, 3);
    CHECK_EQ_U64(kd_observer_calm(&line->observer, line->now + 1000 * MS), KD_STORM_NONE);
    CHECK_EQ_U64(kd_observer_calm(&line->observer, line->now + 3000 * MS), KD_STORM_RESET);
    for (unsigned i = 0; i < 6; i++) {
        line->now += 500 * MS;
        control(line, KD_FLOW_TO_TARGET, RESEND, 0);
    }
    CHECK_EQ_U64(line->seen.storming, KD_STORM_NONE);
    free(line);
}

static void texts(void)
{
    CHECK(kd_is_text((const uint8_t *)"BdsDxe: loading Boot0001\r\n", 26));
    CHECK(!kd_is_text((const uint8_t *)"\xff\xfe\x80\xc1\xf0\x0f", 6));
    CHECK(!kd_is_text((const uint8_t *)"abc", 3));
}

KD_TEST_MAIN({"acknowledges and pairs", acknowledges_and_pairs}, {"repetitions", repetitions},
             {"repetitions after RESET", repetitions_after_reset}, {"damage", damage},
             {"out of step", out_of_step}, {"never answered", never_answered}, {"storms", storms},
             {"texts", texts})
