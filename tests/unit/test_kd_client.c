/* test_kd_client.c - the debugger's client against a target whose bytes are made here.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Packets are written and read by this file alone, from the public description of the framing; the
 * vectors ACK_FIRST, RESET and GET_VERSION_REPLY are those of a recorded session.
 */
#include "kd_client.h"

#include <stdlib.h>

#include "check.h"

#define SECOND UINT64_C(1000000)

static const uint8_t reset_packet[16] = {'i', 'i', 'i', 'i', 6};
static const uint8_t ack_first[16] = {0x69, 0x69, 0x69, 0x69, 4, 0, 0, 0, 0, 0, 0x80, 0x80};

struct seen {
    enum kd_client_event_kind kind;
    uint8_t bytes[300];
    size_t size;
    uint32_t number;
};

struct world {
    struct kd_client client;
    uint8_t written[1 << 16];
    size_t size;
    struct seen seen[64];
    size_t count;
    uint64_t now;
};

static void on_write(void *context, const uint8_t *bytes, size_t size)
{
    struct world *world = context;

    if (size > sizeof world->written - world->size)
        size = sizeof world->written - world->size;
    memcpy(world->written + world->size, bytes, size);
    world->size += size;
}

static void on_event(void *context, const struct kd_client_event *event)
{
    struct world *world = context;
    struct seen *seen = &world->seen[world->count % 64];

    world->count++;
    *seen = (struct seen){.kind = event->kind, .size = event->size, .number = event->number};
    if (event->size > 0)
        memcpy(seen->bytes, event->bytes,
               event->size < sizeof seen->bytes ? event->size : sizeof seen->bytes);
}

static struct world *new_world(bool break_in, bool hold)
{
    struct world *world = calloc(1, sizeof *world);
    struct kd_client_config config = {.request_us = 10 * SECOND,
                                      .break_us = 2 * SECOND,
                                      .break_in = break_in,
                                      .hold = hold,
                                      .write = on_write,
                                      .event = on_event,
                                      .context = world};

    world->now = 5 * SECOND;
    kd_client_init(&world->client, &config);
    kd_client_attach(&world->client, world->now);
    return world;
}

static void put32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* A data packet of the target. */
static size_t packet(uint8_t *out, unsigned type, uint32_t id, const uint8_t *payload, size_t size)
{
    uint32_t sum = 0;

    memset(out, '0', 4);
    for (size_t i = 0; i < size; i++)
        sum += payload[i];
    out[4] = (uint8_t)type;
    out[5] = 0;
    out[6] = (uint8_t)size;
    out[7] = (uint8_t)(size >> 8);
    put32(out + 8, id);
    put32(out + 12, sum);
    memcpy(out + 16, payload, size);
    out[16 + size] = 0xAA;
    return size + 17;
}

static void give(struct world *world, const uint8_t *bytes, size_t size)
{
    kd_client_receive(&world->client, world->now, bytes, size);
}

static void give_packet(struct world *world, unsigned type, uint32_t id, const uint8_t *payload,
                        size_t size)
{
    uint8_t bytes[5000];

    give(world, bytes, packet(bytes, type, id, payload, size));
}

static void give_control(struct world *world, unsigned type, uint32_t id)
{
    uint8_t bytes[16] = {'i', 'i', 'i', 'i', (uint8_t)type};

    put32(bytes + 8, id);
    give(world, bytes, sizeof bytes);
}

static void give_stop(struct world *world, uint32_t id, uint32_t code)
{
    uint8_t change[240] = {0x30, 0x30};

    put32(change + 32, code);
    give_packet(world, 7, id, change, sizeof change);
}

static const struct seen *last(const struct world *world)
{
    return &world->seen[(world->count - 1) % 64];
}

/* Time passes in steps, and everything that is due is done. */
static void pass(struct world *world, uint64_t us)
{
    for (uint64_t end = world->now + us; world->now < end;) {
        world->now += 10000;
        if (world->now >= kd_client_deadline(&world->client))
            kd_client_tick(&world->client, world->now);
    }
}

/* Connected by RESET, stopped; the target's next id is 0x80800001. */
static struct world *stopped_world(void)
{
    struct world *world = new_world(true, false);

    give(world, reset_packet, sizeof reset_packet);
    give_stop(world, 0x80800000, 0x80000003);
    world->size = 0;
    world->count = 0;
    return world;
}

static bool ask(struct world *world, uint32_t api)
{
    struct kd_client_request request = {.api = api};

    return kd_client_request(&world->client, world->now, &request);
}

static void give_reply(struct world *world, uint32_t id, uint32_t api, size_t size)
{
    uint8_t reply[400] = {0};

    put32(reply, api);
    give_packet(world, 2, id, reply, size);
}

/* --- connecting */

static void connects(void)
{
    struct world *world = new_world(true, false);

    CHECK_EQ_U64(world->size, 16);
    CHECK_EQ_MEM(world->written, reset_packet, 16);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_UNKNOWN);
    world->size = 0;
    give(world, reset_packet, sizeof reset_packet);
    give_stop(world, 0x80800000, 0x80000003);
    CHECK_EQ_U64(world->size, 16);
    CHECK_EQ_MEM(world->written, ack_first, 16);
    CHECK_EQ_U64(world->count, 1);
    CHECK_EQ_U64(world->seen[0].kind, KD_CLIENT_STATE_CHANGE);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_STOPPED);
    world->size = 0;
    pass(world, 10 * SECOND);
    CHECK_EQ_U64(world->size, 0); /* no break-in to a target that stands: it would be remembered */
    free(world);
}

static void alternates(void)
{
    struct world *world = new_world(true, false);
    unsigned resets = 0, breaks = 0;

    pass(world, 9 * SECOND);
    for (size_t i = 0; i < world->size;) {
        bool is_break = world->written[i] == 'b';

        breaks += is_break;
        resets += !is_break;
        i += is_break ? 1 : 16;
    }
    CHECK(resets >= 10 && resets <= 20);
    CHECK_EQ_U64(breaks, 5);
    CHECK_EQ_U64(world->client.resets, resets);
    CHECK_EQ_U64(world->client.break_ins, breaks);
    free(world);
}

static void no_break_wanted(void)
{
    struct world *world = new_world(false, false);

    pass(world, 9 * SECOND);
    CHECK(memchr(world->written, 'b', world->size) == NULL);
    free(world);
}

/* It answers RESET, but its state change was taken by the debugger before: RESEND asks for it. */
static void nudges(void)
{
    struct world *world = new_world(true, false);
    static const uint8_t resend[16] = {'i', 'i', 'i', 'i', 5};

    give(world, reset_packet, sizeof reset_packet);
    world->size = 0;
    pass(world, SECOND / 2);
    CHECK_EQ_U64(world->size, 16);
    CHECK_EQ_MEM(world->written, resend, 16);
    give_stop(world, 0x80800000, 0x80000003);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_STOPPED);
    free(world);
}

static void holds(void)
{
    struct world *world = new_world(true, true);
    static const char text[] = "Boot 0000 iiii menu\r\n";
    uint8_t print[24] = {0x30, 0x32, 0, 0, 0, 0, 0, 0, 8};

    give(world, (const uint8_t *)text, sizeof text - 1);
    give(world, (const uint8_t *)"0000\2\0\70\0\0\0\200\200", 12); /* a packet that breaks off */
    pass(world, 5 * SECOND);
    CHECK_EQ_U64(world->size, 0);
    memcpy(print + 16, "hello, w", 8);
    give_packet(world, 3, 0x80800800, print, sizeof print);
    CHECK_EQ_MEM(world->written, ack_first, 16);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_PRINT);
    CHECK_EQ_U64(last(world)->size, 8);
    CHECK_EQ_MEM(last(world)->bytes, "hello, w", 8);
    free(world);
}

/* --- requests */

static void request_and_reply(void)
{
    struct world *world = stopped_world();

    CHECK(ask(world, 0x3146));
    CHECK(!ask(world, 0x3146));
    CHECK_EQ_U64(world->size, 16 + 56 + 1);
    CHECK_EQ_U64(world->written[4], 2);
    CHECK_EQ_U64(world->written[8], 0x00);
    CHECK_EQ_U64(world->written[16] | world->written[17] << 8, 0x3146);
    CHECK_EQ_U64(world->written[16 + 56], 0xAA);
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(world->count, 0);
    give_reply(world, 0x80800001, 0x3146, 56);
    CHECK_EQ_U64(world->count, 1);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_REPLY);
    CHECK(!kd_client_busy(&world->client));
    free(world);
}

static void reply_before_acknowledgement(void)
{
    struct world *world = stopped_world();

    ask(world, 0x3130);
    give_reply(world, 0x80800001, 0x3130, 60);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_REPLY);
    CHECK_EQ_U64(last(world)->size, 60);
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(world->count, 1);
    free(world);
}

static void wrong_replies(void)
{
    struct world *world = stopped_world();

    ask(world, 0x3130);
    give_control(world, 4, 0x80800000);
    give_reply(world, 0x80800001, 0x3131, 56);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_ODD);
    give_reply(world, 0x80800000, 0x3130, 55);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_ODD);
    CHECK(kd_client_busy(&world->client));
    pass(world, 11 * SECOND);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_FAILED);
    CHECK(!kd_client_busy(&world->client));
    free(world);
}

/* Lost requests are repeated; after the last one RESET, and at the repeated stop the request. */
static void request_survives_reset(void)
{
    struct world *world = stopped_world();
    unsigned packets = 0;

    ask(world, 0x3146);
    pass(world, 6 * SECOND + SECOND / 5);
    for (size_t i = 0; i + 16 <= world->size; i += world->written[i] == '0' ? 73 : 16)
        packets += world->written[i] == '0';
    CHECK_EQ_U64(packets, 6);
    CHECK_EQ_MEM(world->written + world->size - 16, reset_packet, 16);
    world->size = 0;
    give(world, reset_packet, sizeof reset_packet);
    give_stop(world, 0x80800000, 0x80000003);
    CHECK_EQ_U64(world->count, 0); /* the same stop is no news */
    CHECK_EQ_MEM(world->written, ack_first, 16);
    CHECK_EQ_U64(world->size, 16 + 73);
    CHECK_EQ_U64(world->written[16 + 8], 0x00);
    give_control(world, 4, 0x80800000);
    give_reply(world, 0x80800001, 0x3146, 56);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_REPLY);
    free(world);
}

static void request_and_another_stop(void)
{
    struct world *world = stopped_world();

    ask(world, 0x3146);
    give_control(world, 4, 0x80800000);
    give_stop(world, 0x80800001, 0xC0000005);
    CHECK_EQ_U64(world->count, 2);
    CHECK_EQ_U64(world->seen[0].kind, KD_CLIENT_FAILED);
    CHECK_EQ_U64(world->seen[1].kind, KD_CLIENT_STATE_CHANGE);
    free(world);
}

static void resumes(void)
{
    struct world *world = stopped_world();
    struct kd_client_request request = {.api = 0x313C, .silent = true, .resumes = true};

    CHECK(kd_client_request(&world->client, world->now, &request));
    give_stop(world, 0x80800001, 0x80000003); /* the old stop, which crossed the request */
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(world->count, 1);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_SENT);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_RUNNING);
    CHECK(!ask(world, 0x3146));
    give_stop(world, 0x80800000, 0x80000003);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_STATE_CHANGE);
    free(world);
}

/* Its acknowledgement is lost, and the target has stopped again before the repetition. */
static void resumes_without_acknowledgement(void)
{
    struct world *world = stopped_world();
    struct kd_client_request request = {.api = 0x313C, .silent = true, .resumes = true};

    kd_client_request(&world->client, world->now, &request);
    give_stop(world, 0x80800001, 0x80000004);
    pass(world, SECOND + SECOND / 10);
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(world->count, 2);
    CHECK_EQ_U64(world->seen[0].kind, KD_CLIENT_SENT);
    CHECK_EQ_U64(world->seen[1].kind, KD_CLIENT_STATE_CHANGE);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_STOPPED);
    free(world);
}

/* --- what the target asks */

static void prompt(void)
{
    struct world *world = stopped_world();
    uint8_t question[18] = {0x31, 0x32, 0, 0, 6, 0, 1, 0, 2, 0, 0, 0, 5, 0, 0, 0, '?', ' '};
    static const uint8_t answer[] = {0x31, 0x32, 0, 0, 6, 0,   1,   0,   2,   0, 0,
                                     0,    5,    0, 0, 0, 'y', 'e', 's', ',', 0};

    give_packet(world, 3, 0x80800001, question, sizeof question);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_PROMPT);
    CHECK_EQ_U64(last(world)->number, 5);
    world->size = 0;
    CHECK(kd_client_answer(&world->client, world->now, "yes, yes", 8));
    CHECK_EQ_U64(world->size, 16 + sizeof answer + 1);
    CHECK_EQ_U64(world->written[4], 3);
    CHECK_EQ_MEM(world->written + 16, answer, sizeof answer);
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_RUNNING);
    CHECK(!kd_client_answer(&world->client, world->now, "no", 2));
    free(world);
}

/* The acknowledgement of Continue is lost, and the target asks before the repetition. */
static void prompt_before_acknowledgement(void)
{
    struct world *world = stopped_world();
    struct kd_client_request request = {.api = 0x313C, .silent = true, .resumes = true};
    uint8_t question[18] = {0x31, 0x32, 0, 0, 6, 0, 1, 0, 2, 0, 0, 0, 5, 0, 0, 0, '?', ' '};

    kd_client_request(&world->client, world->now, &request);
    give_packet(world, 3, 0x80800001, question, sizeof question);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_PROMPT);
    pass(world, SECOND + SECOND / 10);
    give_control(world, 4, 0x80800000);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_SENT);
    CHECK_EQ_U64(world->client.state, KD_CLIENT_PROMPTING);
    CHECK(kd_client_answer(&world->client, world->now, "yes", 3));
    free(world);
}

static void file_request(void)
{
    struct world *world = stopped_world();
    uint8_t create[72] = {0x30, 0x34};

    create[64] = 'x';
    give_packet(world, 11, 0x80800001, create, sizeof create);
    CHECK_EQ_U64(last(world)->kind, KD_CLIENT_FILE);
    CHECK_EQ_U64(last(world)->number, 0x3430);
    CHECK_EQ_U64(last(world)->size, 8);
    CHECK_EQ_U64(world->size, 16 + 16 + 64 + 1);
    CHECK_EQ_U64(world->written[16 + 4], 11);
    CHECK_EQ_U64(world->written[32 + 4], 0x0F); /* C000000F */
    CHECK_EQ_U64(world->written[32 + 7], 0xC0);
    free(world);
}

static void short_messages(void)
{
    static const uint8_t kinds[] = {2, 3, 7, 9, 11};
    static const uint8_t payload[15] = {0x30, 0x30};

    for (size_t i = 0; i < sizeof kinds; i++) {
        struct world *world = stopped_world();

        ask(world, 0x3146);
        give_packet(world, kinds[i], 0x80800001, payload, sizeof payload);
        CHECK_EQ_U64(last(world)->kind, KD_CLIENT_ODD);
        CHECK_EQ_U64(world->count, 1);
        free(world);
    }
}

/* A target that was reset begins with SYNC. */
static void restart(void)
{
    struct world *world = stopped_world();

    ask(world, 0x3146);
    give_stop(world, 0x80800800, 0xC0000005);
    CHECK_EQ_U64(world->seen[0].kind, KD_CLIENT_BEGAN_ANEW);
    CHECK_EQ_U64(world->seen[1].kind, KD_CLIENT_FAILED);
    CHECK_EQ_U64(world->seen[2].kind, KD_CLIENT_STATE_CHANGE);
    CHECK(ask(world, 0x3146));
    free(world);
}

/* --- anything at all: no crash, no endless request */

static void random_bytes(void)
{
    struct world *world = stopped_world();
    uint32_t state = 12345;

    for (unsigned round = 0; round < 20000; round++) {
        uint8_t payload[300];
        size_t size;

        state = state * 1664525 + 1013904223;
        size = state >> 8 & 0xFF;
        for (size_t i = 0; i < size; i++)
            payload[i] = (uint8_t)((state = state * 1664525 + 1013904223) >> 24);
        if (state >> 28 < 2)
            give(world, payload, size);
        else if (state >> 28 < 5)
            give_control(world, 4 + (state >> 20) % 3, 0x80800000 | (state >> 16 & 1));
        else
            give_packet(world, state >> 24 & 15, 0x80800000 | (state >> 16 & 1), payload, size);
        ask(world, 0x3130);
        pass(world, 20000);
        world->size = 0;
    }
    pass(world, 15 * SECOND);
    CHECK(!kd_client_busy(&world->client));
    free(world);
}

KD_TEST_MAIN(
    {"connecting to a stopped target", connects}, {"RESET and break-in alternate", alternates},
    {"no break-in unless wanted", no_break_wanted}, {"a missing state change is asked for", nudges},
    {"hold sends nothing first", holds}, {"a request and its reply", request_and_reply},
    {"a reply before the acknowledgement", reply_before_acknowledgement},
    {"replies that are none", wrong_replies}, {"a request survives RESET", request_survives_reset},
    {"another stop ends a request", request_and_another_stop},
    {"continue and the next stop", resumes},
    {"continue without its acknowledgement", resumes_without_acknowledgement},
    {"a prompt and its answer", prompt},
    {"a prompt before the acknowledgement", prompt_before_acknowledgement},
    {"a file request is refused", file_request}, {"messages that are too short", short_messages},
    {"a target that was reset", restart}, {"random bytes", random_bytes})
