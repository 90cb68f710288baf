/* test_link_line.h - two links joined by a bad line, in simulated time.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Both ends send numbered messages as fast as their links take them. What must hold, whatever the
 * line does: messages arrive whole and in order; one reported as arrived has arrived; one that has
 * not was reported as given up; none arrives twice, except that on serial links the last one may
 * come again behind RESET_SEEN. When the line is good again, all is settled within a minute and no
 * more RESETs run.
 *
 * The serial line loses packets and runs of bytes, doubles packets, adds noise and changes bytes,
 * but keeps their order: KD's two ids cannot tell an old packet from a new one. Bytes are changed
 * where the protocol can notice it: not type, ByteCount and id, which no checksum covers. RESETs
 * are not doubled: nothing tells the answer to one from the answer to another. The KDNET line does
 * that as well, and mixes up the order of datagrams.
 */
#ifndef KDLENS_TESTS_UNIT_TEST_LINK_LINE_H
#define KDLENS_TESTS_UNIT_TEST_LINK_LINE_H

#include <stdlib.h>

#include "check.h"
#include "kd/link.h"

enum {
    LINE_MESSAGES = 40,
    LINE_CHUNKS = 128,
    LINE_CHUNK = 400,
    LINE_PAYLOAD = 160,
};

#define LINE_SECOND UINT64_C(1000000)

/* Chances of each damage, of 1000 packets. */
struct weather {
    unsigned lost, cut, changed, doubled, noise, late;
};

struct chunk {
    uint64_t at;
    uint64_t order;
    size_t size; /* 0: free */
    uint8_t bytes[LINE_CHUNK];
};

enum fate { FATE_OPEN, FATE_ARRIVED, FATE_GIVEN_UP };

struct line_end {
    struct kd_link link;
    struct kd_framer framer;
    uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    struct chunk inbox[LINE_CHUNKS]; /* what is on its way to this end */

    enum fate fates[LINE_MESSAGES]; /* of the messages this end sends */
    unsigned total;
    unsigned next;
    uint8_t payload[LINE_PAYLOAD];

    unsigned heard[LINE_MESSAGES]; /* how often each message of the other end has come */
    int last;
    bool anew; /* RESET_SEEN since the last message */
    unsigned resets;
    uint64_t last_reset;
};

struct world {
    struct line_end ends[2]; /* by enum kd_link_end */
    bool serial;
    bool prints; /* the target sends what it may give up */
    uint64_t now;
    uint64_t order;
    uint64_t latency;
    uint64_t closed_until; /* nothing reaches the target before */
    uint64_t bad_until;
    struct weather weather;
    uint32_t random;
};

static inline uint32_t world_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 17;
    world->random ^= world->random << 5;
    return world->random;
}

static inline bool world_chance(struct world *world, unsigned of_1000)
{
    return world->now < world->bad_until && world_random(world) % 1000 < of_1000;
}

static inline struct line_end *world_other(struct world *world, const struct line_end *end)
{
    return end == &world->ends[0] ? &world->ends[1] : &world->ends[0];
}

static inline void line_put(struct world *world, struct line_end *to, const uint8_t *bytes,
                            size_t size)
{
    struct chunk *chunk = to->inbox;

    while (chunk < to->inbox + LINE_CHUNKS && chunk->size)
        chunk++;
    if (!CHECK(chunk < to->inbox + LINE_CHUNKS && size <= LINE_CHUNK))
        exit(1);
    chunk->at = world->now + world->latency;
    if (to == &world->ends[KD_END_TARGET] && chunk->at < world->closed_until)
        chunk->at = world->closed_until;
    if (!world->serial && world_chance(world, world->weather.late))
        chunk->at += world_random(world) % (2 * LINE_SECOND);
    chunk->order = world->order++;
    chunk->size = size;
    memcpy(chunk->bytes, bytes, size);
}

/* A packet goes onto the line. */
static inline void line_send(struct world *world, struct line_end *to, uint8_t *bytes, size_t size)
{
    uint8_t noise[6];

    if (world_chance(world, world->weather.lost))
        return;
    if (world->serial && world_chance(world, world->weather.noise)) {
        for (size_t i = 0; i < sizeof noise; i++)
            noise[i] = (uint8_t)world_random(world);
        line_put(world, to, noise, 1 + world_random(world) % sizeof noise);
    }
    if (world_chance(world, world->weather.changed)) {
        size_t at = world_random(world) % (size - 8);

        bytes[at < 4 ? at : at + 8] ^= (uint8_t)(1 + world_random(world) % 255);
    }
    if (world->serial && world_chance(world, world->weather.cut)) {
        size_t run = 1 + world_random(world) % 9;
        size_t at = world_random(world) % (size - run);

        memmove(bytes + at, bytes + at + run, size - run - at);
        size -= run;
    }
    line_put(world, to, bytes, size);
    if (!(world->serial && bytes[4] == KD_PACKET_RESET) &&
        world_chance(world, world->weather.doubled))
        line_put(world, to, bytes, size);
}

static inline size_t message_size(unsigned number)
{
    return 64 + number * 37 % (LINE_PAYLOAD - 64);
}

static inline void message_write(enum kd_link_end from, unsigned number, bool print,
                                 uint8_t *payload)
{
    for (size_t i = 0; i < message_size(number); i++)
        payload[i] = (uint8_t)(number * 29 + i * 7 + (unsigned)from * 101);
    payload[0] = 0x30;
    payload[1] = from == KD_END_DEBUGGER ? 0x31 : print ? 0x32 : 0x30;
    payload[2] = payload[3] = 0;
    payload[4] = (uint8_t)number;
}

static inline void line_hear(struct world *world, struct line_end *end,
                             const struct kd_link_action *action)
{
    struct line_end *from = world_other(world, end);
    uint8_t expected[LINE_PAYLOAD];
    unsigned number = action->size > 4 ? action->payload[4] : LINE_MESSAGES;

    if (!CHECK(number < LINE_MESSAGES) || !CHECK_EQ_U64(action->size, message_size(number)))
        return;
    message_write(from->link.config.end, number, action->payload[1] == 0x32, expected);
    CHECK_EQ_MEM(action->payload, expected, action->size);
    CHECK((int)number > end->last || (world->serial && end->anew && (int)number == end->last));
    end->last = (int)number;
    end->anew = false;
    end->heard[number]++;
}

static inline void line_act(struct world *world, struct line_end *end,
                            const struct kd_link_actions *actions);

static inline void line_frames(struct world *world, struct line_end *end, bool pause)
{
    struct kd_link_actions actions;
    struct kd_frame frame;
    const uint8_t *bytes;

    do {
        kd_framer_next(&end->framer, pause, &frame, &bytes);
        kd_link_receive(&end->link, world->now, &frame, bytes, &actions);
        line_act(world, end, &actions);
    } while (frame.kind != KD_FRAME_NEED_MORE);
}

static inline void line_act(struct world *world, struct line_end *end,
                            const struct kd_link_actions *actions)
{
    uint8_t packet[LINE_CHUNK];
    bool flush = false;

    for (size_t i = 0; i < actions->count; i++) {
        const struct kd_link_action *action = &actions->list[i];

        switch (action->kind) {
        case KD_LINK_SEND_CONTROL:
        case KD_LINK_SEND_DATA:
            if (action->type == KD_PACKET_RESET) {
                end->resets++;
                end->last_reset = world->now;
            }
            line_send(world, world_other(world, end), packet,
                      kd_frame_encode(packet, sizeof packet, action->type, action->id,
                                      action->payload, action->size, world->serial));
            break;
        case KD_LINK_DELIVER:
            line_hear(world, end, action);
            break;
        case KD_LINK_SENT_OK:
            CHECK(world_other(world, end)->heard[end->next - 1] > 0);
            end->fates[end->next - 1] = FATE_ARRIVED;
            break;
        case KD_LINK_GAVE_UP:
            end->fates[end->next - 1] = FATE_GIVEN_UP;
            break;
        case KD_LINK_RESET_SEEN:
            end->anew = true;
            break;
        case KD_LINK_FLUSH:
            flush = true;
            break;
        default:
            break;
        }
    }
    if (flush) /* at the end: its frames make actions of their own */
        line_frames(world, end, true);
}

static inline void line_talk(struct world *world, struct line_end *end)
{
    bool target = end->link.config.end == KD_END_TARGET;
    bool print = target && world->prints && end->next % 3;
    struct kd_link_actions actions;
    uint8_t payload[LINE_PAYLOAD];

    if (end->next >= end->total || end->link.sending)
        return;
    message_write(end->link.config.end, end->next, print, payload);
    memcpy(end->payload, payload, sizeof payload);
    if (!kd_link_send(&end->link, world->now,
                      !target ? KD_PACKET_STATE_MANIPULATE
                      : print ? KD_PACKET_DEBUG_IO
                              : KD_PACKET_STATE_CHANGE64,
                      end->payload, message_size(end->next), &actions))
        return;
    end->next++;
    line_act(world, end, &actions);
}

static inline void line_receive(struct world *world, struct line_end *end,
                                const struct chunk *chunk)
{
    struct kd_link_actions actions;
    struct kd_frame frame;

    if (!world->serial) {
        kd_frame_datagram(chunk->bytes, chunk->size, &frame);
        kd_link_receive(&end->link, world->now, &frame, chunk->bytes, &actions);
        line_act(world, end, &actions);
        return;
    }
    for (size_t at = 0; at < chunk->size;) {
        size_t piece = 1 + world_random(world) % (chunk->size - at);

        at += kd_framer_push(&end->framer, chunk->bytes + at, piece);
        line_frames(world, end, false);
    }
}

/* The next thing that happens; false when nothing will before `limit`. */
static inline bool world_step(struct world *world, uint64_t limit)
{
    struct line_end *end = NULL;
    struct chunk *first = NULL;
    struct kd_link_actions actions;
    uint64_t at = limit;

    for (unsigned i = 0; i < 2; i++) {
        struct line_end *here = &world->ends[i];

        for (struct chunk *chunk = here->inbox; chunk < here->inbox + LINE_CHUNKS; chunk++) {
            bool before = first && chunk->at == at && chunk->order < first->order;

            if (chunk->size && (chunk->at < at || before)) {
                end = here;
                first = chunk;
                at = chunk->at;
            }
        }
        if (kd_link_deadline(&here->link) < at) {
            end = here;
            first = NULL;
            at = kd_link_deadline(&here->link);
        }
    }
    if (!end)
        return false;
    CHECK(at >= world->now);
    world->now = at;
    if (first) {
        struct chunk chunk = *first;

        first->size = 0;
        line_receive(world, end, &chunk);
    } else {
        kd_link_tick(&end->link, world->now, &actions);
        CHECK(kd_link_deadline(&end->link) > world->now);
        line_act(world, end, &actions);
    }
    line_talk(world, &world->ends[0]);
    line_talk(world, &world->ends[1]);
    return true;
}

static inline void world_begin(struct world *world, enum kd_link_ids ids, uint32_t seed)
{
    memset(world, 0, sizeof *world);
    world->serial = ids == KD_IDS_SERIAL;
    world->random = seed * UINT32_C(2654435761) | 1;
    world->latency = 1 + world_random(world) % 30000;
    for (unsigned i = 0; i < 2; i++) {
        struct line_end *end = &world->ends[i];
        struct kd_framing framing = {KD_PACKET_MAX_SIZE,
                                     i == KD_END_TARGET ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER};
        struct kd_link_config config;

        kd_link_defaults(&config, (enum kd_link_end)i, ids);
        kd_link_init(&end->link, &config);
        kd_framer_init(&end->framer, &framing, end->buffer, sizeof end->buffer);
        end->total = LINE_MESSAGES;
        end->last = -1;
    }
}

static inline void world_reset(struct world *world, enum kd_link_end end)
{
    struct kd_link_actions actions;

    kd_link_reset(&world->ends[end].link, world->now, &actions);
    line_act(world, &world->ends[end], &actions);
}

/* Runs until nothing happens any more, or `limit`. */
static inline void world_run(struct world *world, uint64_t limit)
{
    line_talk(world, &world->ends[0]);
    line_talk(world, &world->ends[1]);
    while (world_step(world, limit))
        continue;
}

/* Everything sent has a known fate, and the fates agree with what was heard. Returns how many
 * messages were given up. */
static inline unsigned world_check(struct world *world)
{
    unsigned given_up = 0;

    for (unsigned i = 0; i < 2; i++) {
        struct line_end *end = &world->ends[i];
        const struct line_end *other = world_other(world, end);

        CHECK_EQ_U64(end->next, end->total);
        CHECK(!end->link.sending && !end->link.resetting);
        for (unsigned k = 0; k < end->total; k++) {
            CHECK(end->fates[k] != FATE_OPEN);
            CHECK(end->fates[k] != FATE_ARRIVED || other->heard[k] > 0);
            given_up += end->fates[k] == FATE_GIVEN_UP;
            if (!world->serial)
                CHECK(other->heard[k] <= 1);
        }
        CHECK(end->last_reset <= world->bad_until + 10 * LINE_SECOND);
    }
    return given_up;
}

/* Reports the seed of a run that failed; false to stop after it. */
static inline bool world_report(unsigned before, uint32_t seed)
{
    if (check_failures == before)
        return true;
    fprintf(stderr, "    seed %u\n", seed);
    return false;
}

static struct world line_world;

/* Without damage all arrive, each once, and nothing is given up but what a RESET overtakes. */
static void line_serial_clean(void)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        unsigned before = check_failures, heard = 0, given_up;
        unsigned resets = (seed % 3 == 1 ? 1u : 0u) + (seed % 5 == 0 ? 1u : 0u);

        world_begin(&line_world, KD_IDS_SERIAL, seed);
        if (seed % 3 == 1)
            world_reset(&line_world, KD_END_DEBUGGER);
        if (seed % 5 == 0)
            world_reset(&line_world, KD_END_TARGET);
        world_run(&line_world, 60 * LINE_SECOND);
        given_up = world_check(&line_world);
        for (unsigned i = 0; i < LINE_MESSAGES; i++)
            heard += line_world.ends[0].heard[i] + line_world.ends[1].heard[i];
        CHECK(given_up <= resets);
        CHECK(heard >= 2 * LINE_MESSAGES - given_up && heard <= 2 * LINE_MESSAGES);
        if (!world_report(before, seed))
            return;
    }
}

static void line_lossy(enum kd_link_ids ids, uint32_t seeds, unsigned worst)
{
    for (uint32_t seed = 1; seed <= seeds; seed++) {
        unsigned before = check_failures;
        unsigned *chances = (unsigned *)&line_world.weather;

        world_begin(&line_world, ids, seed);
        for (size_t i = 0; i < sizeof line_world.weather / sizeof *chances; i++)
            chances[i] = world_random(&line_world) % 2 ? world_random(&line_world) % worst : 0;
        line_world.bad_until = 40 * LINE_SECOND;
        if (seed % 3 == 0)
            world_reset(&line_world, KD_END_DEBUGGER);
        if (seed % 4 == 0)
            world_reset(&line_world, KD_END_TARGET);
        world_run(&line_world, 100 * LINE_SECOND);
        world_check(&line_world);
        if (!world_report(before, seed))
            return;
    }
}

static void line_serial_lossy(void)
{
    line_lossy(KD_IDS_SERIAL, 2000, 150);
    line_lossy(KD_IDS_SERIAL, 1000, 500);
}

static void line_kdnet_lossy(void)
{
    line_lossy(KD_IDS_KDNET, 2000, 150);
    line_lossy(KD_IDS_KDNET, 1000, 600);
}

/* Nothing passes for up to a minute, now and then: limits are reached on both sides. */
static void line_serial_silent(void)
{
    for (uint32_t seed = 1; seed <= 500; seed++) {
        unsigned before = check_failures;

        world_begin(&line_world, KD_IDS_SERIAL, seed);
        line_world.prints = true;
        for (unsigned i = 0; i < 4; i++) {
            line_world.weather.lost = i % 2 ? 1000 : 50;
            line_world.bad_until = line_world.now + 300 * LINE_SECOND;
            world_run(&line_world, line_world.now + world_random(&line_world) % (60 * LINE_SECOND));
        }
        line_world.bad_until = line_world.now;
        world_run(&line_world, line_world.now + 60 * LINE_SECOND);
        world_check(&line_world);
        if (!world_report(before, seed))
            return;
    }
}

/* The debugger has waited since before power-on; its RESETs reach the target all at once, when that
 * has sent its first packet. Between the reference ends this never ends. */
static void line_no_storm(void)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        unsigned before = check_failures;
        const uint64_t start = 4068 * LINE_SECOND / 1000;
        struct line_end *target = &line_world.ends[KD_END_TARGET];
        struct line_end *debugger = &line_world.ends[KD_END_DEBUGGER];
        unsigned waiting;

        world_begin(&line_world, KD_IDS_SERIAL, seed);
        line_world.latency = 200 + world_random(&line_world) % (seed % 2 ? 5000 : 400000);
        line_world.closed_until = start + 1000;
        debugger->link.config.reset_us = 350000;
        target->total = 0;
        world_reset(&line_world, KD_END_DEBUGGER);
        world_run(&line_world, start);
        waiting = debugger->resets;
        CHECK(waiting >= 10);
        line_world.now = start;
        target->total = LINE_MESSAGES;
        world_run(&line_world, start + 60 * LINE_SECOND);
        world_check(&line_world);
        /* While the first answer is on its way the debugger may ask three times more. */
        CHECK(debugger->resets <= waiting + 3);
        CHECK(target->resets <= debugger->resets);
        CHECK(debugger->last_reset <= start + LINE_SECOND);
        if (!world_report(before, seed))
            return;
    }
}

/* One RESET that nobody is answerable for, or two that cross. */
static void line_no_ping_pong(void)
{
    for (uint32_t seed = 1; seed <= 200; seed++) {
        unsigned before = check_failures;
        uint8_t packet[16];
        size_t size = kd_frame_encode(packet, sizeof packet, KD_PACKET_RESET, 0, NULL, 0, true);
        enum kd_link_ids ids = seed % 2 ? KD_IDS_SERIAL : KD_IDS_KDNET;

        world_begin(&line_world, ids, seed);
        line_world.latency = 1 + world_random(&line_world) % (seed % 3 ? 5000 : 900000);
        if (seed % 8 < 4)
            line_put(&line_world, &line_world.ends[seed / 8 % 2], packet, size);
        if (seed % 8 >= 2)
            world_reset(&line_world, KD_END_TARGET);
        if (seed % 8 >= 4)
            world_reset(&line_world, KD_END_DEBUGGER);
        world_run(&line_world, 200 * LINE_SECOND);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ_U64(line_world.ends[i].next, LINE_MESSAGES);
            /* A debugger repeats its RESET for as long as the answer is on its way. */
            CHECK(line_world.ends[i].resets <= 5 + 4 * line_world.latency / (LINE_SECOND / 2));
            CHECK(line_world.ends[i].last_reset <= 10 * LINE_SECOND);
        }
        if (!world_report(before, seed))
            return;
    }
}

#endif
