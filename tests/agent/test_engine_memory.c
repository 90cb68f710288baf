/* test_engine_memory.c - virtual and physical memory of a stopped target.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Statuses and counts: the Windows boot manager's answers where it has any, else the public
 * descriptions of NT's.
 */
#include <string.h>

#include "check.h"
#include "peer.h"

#define READ_VIRTUAL   0x3130u
#define WRITE_VIRTUAL  0x3131u
#define READ_PHYSICAL  0x313Du
#define WRITE_PHYSICAL 0x313Eu
#define SEARCH         0x3156u
#define FILL           0x315Bu
#define QUERY          0x315Cu

static struct peer peer;

static void begin(void)
{
    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
}

static void end(void)
{
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    peer_close(&peer);
}

static struct peer_reply read_at(uint32_t api, uint64_t address, uint32_t count, uint32_t hint)
{
    struct peer_reply reply = peer_request(&peer, api, NULL, 0, "qdd", address, count, hint);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.api, api);
    CHECK_EQ_U64(peer_get(reply.body, 8), address);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), count);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), reply.size);
    return reply;
}

static void expect_read(uint32_t api, uint64_t address, uint32_t count, uint32_t status,
                        size_t actual)
{
    struct peer_reply reply = read_at(api, address, count, 0);

    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(reply.size, actual);
    if (actual)
        CHECK_EQ_MEM(reply.data, machine_byte(&peer.machine, address), actual);
}

static void reads(void)
{
    static const uint32_t apis[] = {READ_VIRTUAL, READ_PHYSICAL};

    begin();
    for (size_t i = 0; i < 2; i++) {
        expect_read(apis[i], MACHINE_RAM, 16, 0, 16);
        expect_read(apis[i], MACHINE_RAM, 0, 0, 0);
        expect_read(apis[i], MACHINE_RAM, 4000, 0, 3944);
        expect_read(apis[i], MACHINE_RAM, 65535, 0, 3944);
        expect_read(apis[i], MACHINE_RAM, UINT32_MAX, 0, 3944);
        expect_read(apis[i], MACHINE_NOWHERE, 16, 0xC0000001, 0);
        expect_read(apis[i], UINT64_C(0x8000000000000000), 16, 0xC0000001, 0);
        expect_read(apis[i], 0, 16, 0xC0000001, 0);
        expect_read(apis[i], UINT64_MAX - 7, 16, 0xC0000001, 0);
        expect_read(apis[i], MACHINE_ABSENT, 16, 0xC0000001, 0);
        expect_read(apis[i], MACHINE_ABSENT - 10, 16, 0, 10);
        expect_read(apis[i], MACHINE_ABSENT - 1, 4000, 0, 1);
        expect_read(apis[i], MACHINE_READONLY, 16, 0, 16);
        expect_read(apis[i], MACHINE_RAM + MACHINE_RAM_SIZE - 8, 16, 0, 8);
    }
    read_at(READ_PHYSICAL, MACHINE_RAM, 8, 2);
    CHECK_EQ_U64(peer.machine.last_caching, 2);
    end();
}

static void reads_are_as_long_as_configured(void)
{
    const struct kda_config config = {.major = 0x040F, .max_read = 1992};

    peer_open_with(&peer, &config);
    CHECK(peer_expect_stop(&peer).there);
    expect_read(READ_VIRTUAL, MACHINE_RAM, 2048, 0, 1992);
    expect_read(READ_VIRTUAL, MACHINE_RAM, 1992, 0, 1992);
    end();
}

static void expect_write(uint32_t api, uint64_t address, uint32_t count, size_t size,
                         uint32_t status, uint32_t actual)
{
    static uint8_t bytes[3944];
    struct peer_reply reply;

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(0xA0 + i * 3);
    reply = peer_request(&peer, api, bytes, size, "qdd", address, count, 1u);
    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(reply.size, 0);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), count);
    CHECK_EQ_U64(peer_get(reply.body + 12, 4), actual);
    if (actual)
        CHECK_EQ_MEM(machine_byte(&peer.machine, address), bytes, actual);
}

static void writes(void)
{
    static const uint32_t apis[] = {WRITE_VIRTUAL, WRITE_PHYSICAL};
    uint8_t behind;

    begin();
    for (size_t i = 0; i < 2; i++) {
        expect_write(apis[i], MACHINE_RAM + 64, 8, 8, 0, 8);
        expect_write(apis[i], MACHINE_RAM, 16, 8, 0, 8);
        behind = *machine_byte(&peer.machine, MACHINE_RAM + 0x104);
        expect_write(apis[i], MACHINE_RAM + 0x100, 4, 8, 0, 4);
        CHECK_EQ_U64(*machine_byte(&peer.machine, MACHINE_RAM + 0x104), behind);
        expect_write(apis[i], MACHINE_RAM, 0, 0, 0, 0);
        expect_write(apis[i], MACHINE_RAM + 0x200, 3944, 3944, 0, 3944);
        expect_write(apis[i], MACHINE_NOWHERE, 4, 4, 0xC0000001, 0);
        expect_write(apis[i], MACHINE_ROM, 4, 4, 0xC0000001, 0);
        expect_write(apis[i], MACHINE_READONLY, 4, 4, 0, 4);
        expect_write(apis[i], MACHINE_ABSENT - 3, 8, 8, 0xC0000001, 3);
        expect_write(apis[i], UINT64_MAX - 1, 8, 8, 0xC0000001, 0);
    }
    CHECK_EQ_U64(peer.machine.last_caching, 1);
    end();
}

static void expect_search(uint64_t address, uint64_t range, const char *pattern, size_t length,
                          uint32_t status, uint64_t found)
{
    struct peer_reply reply =
        peer_request(&peer, SEARCH, pattern, length, "qqd", address, range, (uint32_t)length);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(peer_get(reply.body, 8), status ? address : found);
    CHECK_EQ_U64(reply.size, 0);
}

static void search(void)
{
    const uint64_t place = MACHINE_RAM + 0x5000;

    begin();
    memset(machine_byte(&peer.machine, place), 0, 0x2000);
    memcpy(machine_byte(&peer.machine, place + 0x3FE), "needle", 6);
    memcpy(machine_byte(&peer.machine, place + 0x1000), "needle", 6);
    expect_search(place, 0x2000, "needle", 6, 0, place + 0x3FE);
    expect_search(place + 0x3FE, 0x1000, "needle", 6, 0, place + 0x3FE);
    expect_search(place + 0x3FF, 0xC06, "needle", 6, 0x8000001A, 0);
    expect_search(place + 0x3FF, 0xC07, "needle", 6, 0, place + 0x1000);
    expect_search(place, 0x403, "needle", 6, 0x8000001A, 0);
    expect_search(place, 0x404, "needle", 6, 0, place + 0x3FE);
    expect_search(place, 0x100, "\0\0\1", 3, 0x8000001A, 0);
    expect_search(place, 0, "n", 1, 0x8000001A, 0);
    expect_search(place, 1, "ne", 2, 0x8000001A, 0);
    expect_search(place, 0x100, "", 0, 0xC000000D, 0);
    expect_search(MACHINE_NOWHERE, 0x100, "n", 1, 0xC0000001, 0);
    expect_search(MACHINE_ABSENT - 0x40, 0x100, "\x99\x98\x97\x96\x95", 5, 0xC0000001, 0);
    expect_search(UINT64_MAX - 3, UINT64_MAX, "n", 1, 0xC0000001, 0);
    end();
}

static void search_with_less_pattern_than_said(void)
{
    struct peer_reply reply;

    begin();
    reply = peer_request(&peer, SEARCH, "ab", 2, "qqd", MACHINE_RAM, UINT64_C(64), 3u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    reply = peer_request(&peer, SEARCH, NULL, 0, "qqd", MACHINE_RAM, UINT64_C(64), UINT32_MAX);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    end();
}

/* A break-in ends a search that has begun; the state change follows the reply. */
static void search_is_interrupted(void)
{
    uint8_t payload[57] = {0x56, 0x31};
    struct peer_packet packet;

    begin();
    memset(peer.machine.ram, 0, sizeof peer.machine.ram);
    peer_put(payload + 16, 8, MACHINE_RAM);
    peer_put(payload + 24, 8, 0x8000);
    peer_put(payload + 32, 4, 1);
    payload[56] = 0xEE;
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, payload, 57);
    peer_raw(&peer, "b", 1);
    peer.next_id ^= 1;
    peer_run(&peer);
    packet = peer_receive(&peer);
    CHECK_EQ_U64(packet.type, PEER_MANIPULATE);
    CHECK_EQ_U64(peer_get(packet.payload + 8, 4), 0xC0000120);
    packet = peer_receive(&peer);
    CHECK_EQ_U64(packet.type, PEER_STATE);
    end();
}

static void expect_fill(uint64_t address, uint32_t length, uint32_t flags, const char *pattern,
                        size_t size, uint32_t status, uint32_t filled)
{
    struct peer_reply reply =
        peer_request(&peer, FILL, pattern, size, "qdww", address, length, flags, (uint32_t)size);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(peer_get(reply.body + 8, 4), filled);
    for (uint32_t i = 0; i < filled && (status == 0 || status == 0xC0000001); i++)
        if (!CHECK(*machine_byte(&peer.machine, address + i) == (uint8_t)pattern[i % size]))
            break;
}

static void fill(void)
{
    uint8_t behind;

    begin();
    behind = *machine_byte(&peer.machine, MACHINE_RAM + 0x20);
    expect_fill(MACHINE_RAM, 0x20, 1, "\xAA\x55", 2, 0, 0x20);
    CHECK_EQ_U64(*machine_byte(&peer.machine, MACHINE_RAM + 0x20), behind);
    expect_fill(MACHINE_RAM, 0x1801, 1, "abc", 3, 0, 0x1801);
    expect_fill(MACHINE_RAM, 0x10, 2, "\x22", 1, 0, 0x10);
    expect_fill(MACHINE_RAM, 0, 1, "x", 1, 0, 0);
    expect_fill(MACHINE_ABSENT - 0x300, 0x1000, 1, "xyz", 3, 0xC0000001, 0x300);
    expect_fill(MACHINE_NOWHERE, 0x10, 1, "\x44", 1, 0xC0000001, 0);
    expect_fill(MACHINE_RAM, 0x10, 0, "\x11", 1, 0xC000000D, 0x10);
    expect_fill(MACHINE_RAM, 0x10, 3, "\x33", 1, 0xC000000D, 0x10);
    expect_fill(MACHINE_RAM, 0x10, 1, "", 0, 0xC000000D, 0x10);
    CHECK_EQ_U64(*machine_byte(&peer.machine, MACHINE_RAM), 0x22);
    end();
}

static void expect_query(uint64_t address, uint32_t status, uint32_t flags)
{
    struct peer_reply reply =
        peer_request(&peer, QUERY, NULL, 0, "qqdd", address, UINT64_C(0), 0u, 0u);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    CHECK_EQ_U64(peer_get(reply.body, 8), address);
    CHECK_EQ_U64(peer_get(reply.body + 16, 4), status ? 0 : 2);
    CHECK_EQ_U64(peer_get(reply.body + 20, 4), flags);
}

static void query(void)
{
    struct peer_reply reply;

    begin();
    expect_query(MACHINE_RAM, 0, 7);
    expect_query(MACHINE_READONLY + 5, 0, 5);
    expect_query(MACHINE_ABSENT, 0xC0000001, 0);
    expect_query(0, 0xC0000001, 0);
    reply = peer_request(&peer, QUERY, NULL, 0, "qqdd", MACHINE_RAM, UINT64_C(0), 2u, 0u);
    CHECK_EQ_U64(reply.status, 0xC000000D);
    end();
}

KD_TEST_MAIN({"reads", reads}, {"max_read", reads_are_as_long_as_configured}, {"writes", writes},
             {"search", search}, {"search, short pattern", search_with_less_pattern_than_said},
             {"search, break-in", search_is_interrupted}, {"fill", fill}, {"query", query})
