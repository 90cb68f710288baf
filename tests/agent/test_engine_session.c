/* test_engine_session.c - stops and what they report, prints, prompts, images, commands, absent
 * debuggers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Layouts are written out as byte offsets, from the public descriptions of the protocol.
 */
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "peer.h"

#define GO 0x00010001u

static struct peer peer;

static void go(void)
{
    peer_continue(&peer, GO);
    CHECK(peer_run(&peer));
}

static void exception_report(void)
{
    struct peer_packet got;
    const uint8_t *p;

    peer_open(&peer);
    peer.exception = (struct kda_exception){
        .code = 0xC0000005,
        .flags = 1,
        .address = MACHINE_RAM + 0x2000,
        .count = 2,
        .information = {1, 0x1234567890},
        .first_chance = true,
    };
    got = peer_expect_stop(&peer);
    p = got.payload;
    CHECK_EQ_U64(got.type, PEER_STATE);
    CHECK_EQ_U64(got.size, 240);
    CHECK_EQ_U64(peer_get(p, 4), 0x3030);
    CHECK_EQ_U64(peer_get(p + 4, 4), 0);
    CHECK_EQ_U64(peer_get(p + 8, 4), 1);
    CHECK_EQ_U64(peer_get(p + 12, 4), 0);
    CHECK_EQ_U64(peer_get(p + 16, 8), 0);
    CHECK_EQ_U64(peer_get(p + 24, 8), MACHINE_RAM + 0x2000);
    CHECK_EQ_U64(peer_get(p + 32, 4), 0xC0000005);
    CHECK_EQ_U64(peer_get(p + 36, 4), 1);
    CHECK_EQ_U64(peer_get(p + 40, 8), 0);
    CHECK_EQ_U64(peer_get(p + 48, 8), MACHINE_RAM + 0x2000);
    CHECK_EQ_U64(peer_get(p + 56, 4), 2);
    CHECK_EQ_U64(peer_get(p + 64, 8), 1);
    CHECK_EQ_U64(peer_get(p + 72, 8), 0x1234567890);
    for (size_t i = 80; i < 184; i++)
        CHECK_EQ_U64(p[i], 0);
    CHECK_EQ_U64(peer_get(p + 184, 4), 1);
    CHECK_EQ_U64(peer_get(p + 192, 8), 0xFFFF0FF0);
    CHECK_EQ_U64(peer_get(p + 200, 8), 0x400);
    CHECK_EQ_U64(peer_get(p + 208, 4), 0x246);
    CHECK_EQ_U64(peer_get(p + 212, 2), 16);
    CHECK_EQ_U64(peer_get(p + 214, 2), 1);
    CHECK_EQ_MEM(p + 216, machine_byte(&peer.machine, MACHINE_RAM + 0x2000), 16);
    CHECK_EQ_U64(peer_get(p + 232, 8), UINT64_C(0x0030003000300038));
    go();
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    peer_close(&peer);
}

static void report_at_the_edge_of_memory(void)
{
    struct peer_packet got;

    peer_open(&peer);
    peer.machine.context.rip = kd_put64(MACHINE_ABSENT - 5);
    peer.exception.count = 99;
    peer.exception.first_chance = false;
    got = peer_expect_stop(&peer);
    CHECK_EQ_U64(peer_get(got.payload + 212, 2), 5);
    CHECK_EQ_U64(got.payload[216 + 5], 0);
    CHECK_EQ_U64(peer_get(got.payload + 56, 4), 15);
    CHECK_EQ_U64(peer_get(got.payload + 184, 4), 0);
    go();
    peer_close(&peer);
}

static void outcomes(void)
{
    static const struct {
        uint32_t status;
        enum kda_outcome outcome;
    } cases[] = {{0x00010001, KDA_HANDLED},
                 {0x00010002, KDA_HANDLED},
                 {0x80010001, KDA_NOT_HANDLED},
                 {0xC0000001, KDA_NOT_HANDLED}};

    peer_open(&peer);
    for (size_t i = 0; i < 8; i++) {
        CHECK(peer_expect_stop(&peer).there);
        if (i < 4)
            peer_continue(&peer, cases[i % 4].status);
        else
            peer_continue2(&peer, cases[i % 4].status, 0, 0x400);
        CHECK(peer_run(&peer));
        CHECK_EQ_U64(peer.outcome, cases[i % 4].outcome);
    }
    peer_close(&peer);
}

static void nobody_answers(void)
{
    const struct kda_config config = {.major = 0x040F, .wait_us = 5000000};

    peer_open_with(&peer, &config);
    peer_begin(&peer, peer_stop);
    CHECK(!peer_pass(&peer, 4900000));
    CHECK(peer_pass(&peer, 200000));
    CHECK_EQ_U64(peer.outcome, KDA_NO_DEBUGGER);
    while (peer_take(&peer).there)
        ;
    /* One that answers is waited for as long as it takes. */
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).id, 0x80800800);
    CHECK(!peer_pass(&peer, 60000000));
    peer_control(&peer, PEER_RESET, 0);
    peer.next_id = 0x80800000;
    peer_run(&peer);
    CHECK(!peer_pass(&peer, 60000000));
    while (peer_take(&peer).there)
        ;
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    go();
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    peer_close(&peer);
}

static void nested(struct peer *self)
{
    struct kda_exception inner = {.code = 0xC0000005};

    (void)inner;
    self->said = kda_busy(self->engine);
    self->outcome = kda_stop(self->engine, &self->exception);
}

/* A fault inside the engine must not come back into it. */
static void busy(void)
{
    struct kda_exception inner = {.code = 0xC0000005};
    char answer[4];

    peer_open(&peer);
    peer_begin(&peer, nested);
    peer_run(&peer);
    CHECK(kda_busy(peer.engine));
    CHECK_EQ_U64(kda_stop(peer.engine, &inner), KDA_NO_DEBUGGER);
    CHECK(!kda_poll(peer.engine));
    CHECK(!kda_print(peer.engine, "x", 1));
    CHECK(!kda_command(peer.engine, "x", 1));
    CHECK(kda_prompt(peer.engine, "x", 1, answer, 4) == SIZE_MAX);
    CHECK(!kda_claim_step(peer.engine));
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    go();
    CHECK(!peer.said);
    CHECK(!kda_busy(peer.engine));
    peer_close(&peer);
}

static void print_text(struct peer *self)
{
    self->said = kda_print(self->engine, self->text, strlen(self->text));
}

static void print(void)
{
    struct peer_packet got;

    peer_open(&peer);
    strcpy(peer.text, "hello, world\n");
    peer_begin(&peer, print_text);
    CHECK(!peer_run(&peer));
    got = peer_receive(&peer);
    CHECK_EQ_U64(got.type, PEER_DEBUG_IO);
    CHECK_EQ_U64(got.id, 0x80800800);
    CHECK_EQ_U64(got.size, 16 + 13);
    CHECK_EQ_U64(peer_get(got.payload, 8), 0x3230);
    CHECK_EQ_U64(peer_get(got.payload + 8, 4), 13);
    CHECK_EQ_MEM(got.payload + 16, "hello, world\n", 13);
    CHECK(!peer.call);
    CHECK(peer.said);
    peer_close(&peer);
}

static void print_long_text(struct peer *self)
{
    static char text[5000];

    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)('a' + i % 26);
    self->said = kda_print(self->engine, text, sizeof text);
}

static void print_long(void)
{
    size_t total = 0;
    struct peer_packet got;

    peer_open(&peer);
    peer_begin(&peer, print_long_text);
    peer_run(&peer);
    while ((got = peer_receive(&peer)).there) {
        CHECK(got.size <= 2048); /* radare2 takes no more */
        CHECK_EQ_U64(peer_get(got.payload + 8, 4), got.size - 16);
        for (size_t i = 16; i < got.size; i++)
            if (!CHECK(got.payload[i] == 'a' + (total + i - 16) % 26))
                break;
        total += got.size - 16;
    }
    CHECK_EQ_U64(total, 5000);
    CHECK(peer.said);
    peer_close(&peer);
}

static void print_to_nobody(void)
{
    peer_open(&peer);
    strcpy(peer.text, "x");
    for (int i = 0; i < 3; i++) {
        peer_begin(&peer, print_text);
        CHECK(peer_pass(&peer, 20000));
        CHECK(!peer.said);
        CHECK_EQ_U64(peer_take(&peer).id, 0x80800800);
        CHECK(!peer_take(&peer).there);
    }
    peer_close(&peer);
}

/* A debugger that died while it was attached costs one print 20 repetitions. */
static void print_to_the_dead(void)
{
    unsigned sent = 0;

    peer_open(&peer);
    strcpy(peer.text, "x");
    peer_begin(&peer, print_text);
    peer_run(&peer);
    peer_receive(&peer);
    CHECK(kda_attached(peer.engine));
    peer_begin(&peer, print_text);
    CHECK(peer_pass(&peer, 30000000));
    CHECK(!peer.said);
    CHECK(!kda_attached(peer.engine));
    while (peer_take(&peer).there)
        sent++;
    CHECK_EQ_U64(sent, 21);
    peer_close(&peer);
}

static void ask(struct peer *self)
{
    memset(self->text, '#', sizeof self->text);
    self->answer = kda_prompt(self->engine, "name? ", 6, self->text, 16);
}

static void answer(uint32_t api, const char *text, uint32_t said, size_t size)
{
    uint8_t payload[200] = {0};

    peer_put(payload, 4, api);
    peer_put(payload + 8, 4, 6);
    peer_put(payload + 12, 4, said);
    memcpy(payload + 16, text, size);
    peer_data(&peer, PEER_DEBUG_IO, peer.next_id, payload, 16 + size);
    peer.next_id ^= 1;
    peer_run(&peer);
}

static void expect_prompt(void)
{
    struct peer_packet got = peer_receive(&peer);

    CHECK_EQ_U64(got.type, PEER_DEBUG_IO);
    CHECK_EQ_U64(got.size, 16 + 6);
    CHECK_EQ_U64(peer_get(got.payload, 8), 0x3231);
    CHECK_EQ_U64(peer_get(got.payload + 8, 4), 6);
    CHECK_EQ_U64(peer_get(got.payload + 12, 4), 16);
    CHECK_EQ_MEM(got.payload + 16, "name? ", 6);
}

static void prompt(void)
{
    static const struct {
        const char *text;
        uint32_t said;
        size_t size, expected;
    } cases[] = {{"Ada", 4, 4, 3},
                 {"Ada", 3, 3, 3},
                 {"", 1, 1, 0},
                 {"", 0, 0, 0},
                 {"Ada", 9999, 3, 3},
                 {"A\0da", 5, 5, 1},
                 {"0123456789abcdefghijk", 22, 22, 16}};

    peer_open(&peer);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        peer_begin(&peer, ask);
        peer_run(&peer);
        expect_prompt();
        CHECK(!peer_pass(&peer, 5000000));
        answer(0x3231, cases[i].text, cases[i].said, cases[i].size);
        CHECK(!peer.call);
        CHECK_EQ_U64(peer.answer, cases[i].expected);
        CHECK_EQ_MEM(peer.text, cases[i].text, cases[i].expected);
        CHECK_EQ_U64((uint8_t)peer.text[peer.answer], '#');
        while (peer_take(&peer).there)
            ;
    }
    peer_close(&peer);
}

static void prompt_and_troubles(void)
{
    peer_open(&peer);
    peer_begin(&peer, ask);
    peer_run(&peer);
    expect_prompt();
    /* What is no answer is none. */
    answer(0x3230, "Ada", 4, 4);
    CHECK(peer.call != NULL);
    /* A debugger that begins anew is asked again. */
    while (peer_take(&peer).there)
        ;
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    peer.next_id = 0x80800000;
    expect_prompt();
    answer(0x3231, "Bob", 4, 4);
    CHECK(!peer.call);
    CHECK_EQ_U64(peer.answer, 3);
    /* Requests are served again afterwards. */
    CHECK(peer_expect_stop(&peer).there);
    while (peer_take(&peer).there)
        ;
    CHECK_EQ_U64(peer_request(&peer, 0x3146, NULL, 0, "").status, 0);
    go();
    peer_close(&peer);
    /* Nobody there. */
    peer_open(&peer);
    peer_begin(&peer, ask);
    CHECK(peer_pass(&peer, 20000));
    CHECK(peer.answer == SIZE_MAX);
    peer_close(&peer);
}

static struct kda_image image = {
    .path = "\\EFI\\BOOT\\prob\xC3\xA9.efi",
    .base = MACHINE_RAM + 0x6000,
    .entry = MACHINE_RAM + 0x6100,
    .size = 0x2000,
    .checksum = 0xABCDE,
    .timestamp = 0x5F000000,
};

static void load(struct peer *self)
{
    self->said = kda_image_loaded(self->engine, &image, true);
}

static void unload(struct peer *self)
{
    kda_image_unloaded(self->engine, image.base, true);
}

/* The base addresses in the list as the debugger reads it; returns their number. */
static size_t read_list(uint64_t *bases, size_t room)
{
    struct peer_reply reply = peer_request(&peer, 0x3146, NULL, 0, "");
    uint64_t head = peer_get(reply.body + 24, 8), at = head, before = head;
    size_t count = 0;

    for (;;) {
        reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", at, 0x88u, 0u);
        if (at != head) {
            CHECK_EQ_U64(peer_get(reply.data + 8, 8), before);
            if (count < room)
                bases[count] = peer_get(reply.data + 0x30, 8);
            count++;
        }
        before = at;
        at = peer_get(reply.data, 8);
        if (at == head || count > KDA_MAX_IMAGES)
            break;
    }
    reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", head, 16u, 0u);
    CHECK_EQ_U64(peer_get(reply.data + 8, 8), before);
    return count;
}

static void check_entry(uint64_t entry)
{
    static const uint8_t name[] = {'p', 0, 'r', 0, 'o', 0, 'b', 0, 0xE9, 0,
                                   '.', 0, 'e', 0, 'f', 0, 'i', 0, 0,    0};
    struct peer_reply reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", entry, 0x88u, 0u);
    struct peer_reply text;

    CHECK_EQ_U64(peer_get(reply.data + 0x30, 8), image.base);
    CHECK_EQ_U64(peer_get(reply.data + 0x38, 8), image.entry);
    CHECK_EQ_U64(peer_get(reply.data + 0x40, 4), 0x2000);
    CHECK_EQ_U64(peer_get(reply.data + 0x48, 2), 2 * 19);
    CHECK_EQ_U64(peer_get(reply.data + 0x58, 2), 2 * 9);
    CHECK_EQ_U64(peer_get(reply.data + 0x5A, 2), 2 * 10);
    CHECK_EQ_U64(peer_get(reply.data + 0x78, 4), 0xABCDE);
    CHECK_EQ_U64(peer_get(reply.data + 0x80, 4), 0x5F000000);
    text = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(reply.data + 0x60, 8),
                        (uint32_t)sizeof name, 0u);
    CHECK_EQ_MEM(text.data, name, sizeof name);
    text = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(reply.data + 0x50, 8), 4u, 0u);
    CHECK_EQ_MEM(text.data, "\\\0E\0", 4);
}

static void images(void)
{
    struct peer_packet got;
    struct peer_reply version;
    uint64_t base = 0;

    peer_open(&peer);
    peer_begin(&peer, load);
    peer_run(&peer);
    got = peer_receive(&peer);
    CHECK_EQ_U64(got.type, PEER_STATE);
    CHECK_EQ_U64(peer_get(got.payload, 4), 0x3031);
    CHECK_EQ_U64(got.size, 240 + 21);
    CHECK_EQ_U64(peer_get(got.payload + 24, 8), MACHINE_RAM + 0x2000);
    CHECK_EQ_U64(peer_get(got.payload + 32, 4), 21);
    CHECK_EQ_U64(peer_get(got.payload + 40, 8), image.base);
    CHECK_EQ_U64(peer_get(got.payload + 48, 8), 0xFFFFFFFF);
    CHECK_EQ_U64(peer_get(got.payload + 56, 4), 0xABCDE);
    CHECK_EQ_U64(peer_get(got.payload + 60, 4), 0x2000);
    CHECK_EQ_U64(got.payload[64], 0);
    CHECK_EQ_MEM(got.payload + 240, image.path, 21);
    CHECK_EQ_U64(read_list(&base, 1), 1);
    CHECK_EQ_U64(base, image.base);
    version = peer_request(&peer, 0x3146, NULL, 0, "");
    version = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(version.body + 24, 8), 8u, 0u);
    check_entry(peer_get(version.data, 8));
    /* Breakpoints in it go with it; others stay. */
    (void)peer_request(&peer, 0x3134, NULL, 0, "qd", image.base + 0x10, 0u);
    (void)peer_request(&peer, 0x3134, NULL, 0, "qd", image.base + image.size, 0u);
    peer_continue(&peer, 0x00010002);
    CHECK(peer_run(&peer));
    CHECK(peer.said);
    CHECK(kda_breakpoint_at(peer.engine, image.base + 0x10));
    peer_begin(&peer, unload);
    peer_run(&peer);
    got = peer_receive(&peer);
    CHECK_EQ_U64(peer_get(got.payload, 4), 0x3031);
    CHECK_EQ_U64(got.size, 240);
    CHECK_EQ_U64(peer_get(got.payload + 32, 4), 0);
    CHECK_EQ_U64(peer_get(got.payload + 40, 8), image.base);
    CHECK_EQ_U64(got.payload[64], 1);
    CHECK_EQ_U64(read_list(&base, 1), 0);
    peer_continue(&peer, 0x00010002);
    CHECK(peer_run(&peer));
    CHECK(!kda_breakpoint_at(peer.engine, image.base + 0x10));
    CHECK(kda_breakpoint_at(peer.engine, image.base + image.size));
    peer_close(&peer);
}

static void list_of_many(void)
{
    uint64_t bases[KDA_MAX_IMAGES];

    peer_open(&peer);
    for (uint64_t i = 0; i < KDA_MAX_IMAGES; i++) {
        struct kda_image one = {.path = "a.efi", .base = 0x10000 * (i + 1), .size = 0x1000};

        CHECK(kda_image_loaded(peer.engine, &one, false));
    }
    CHECK(!kda_image_loaded(peer.engine, &image, false));
    CHECK(peer_expect_stop(&peer).there);
    CHECK_EQ_U64(read_list(bases, KDA_MAX_IMAGES), KDA_MAX_IMAGES);
    for (uint64_t i = 0; i < KDA_MAX_IMAGES; i++)
        CHECK_EQ_U64(bases[i], 0x10000 * (i + 1));
    go();
    kda_image_unloaded(peer.engine, 0x10000, false);
    kda_image_unloaded(peer.engine, 0x50000, false);
    kda_image_unloaded(peer.engine, 0x10000 * KDA_MAX_IMAGES, false);
    kda_image_unloaded(peer.engine, 0x77, false);
    CHECK(kda_image_loaded(peer.engine, &image, false));
    CHECK(peer_expect_stop(&peer).there);
    CHECK_EQ_U64(read_list(bases, KDA_MAX_IMAGES), KDA_MAX_IMAGES - 2);
    CHECK_EQ_U64(bases[0], 0x20000);
    CHECK_EQ_U64(bases[3], 0x60000);
    CHECK_EQ_U64(bases[KDA_MAX_IMAGES - 3], image.base);
    go();
    peer_close(&peer);
}

/* The text of an image's FullDllName, as UTF-16 units. */
static size_t stored_path(const char *path, uint8_t *out)
{
    struct kda_image one = {.path = path, .base = 0x4000, .size = 1};
    struct peer_reply reply;
    uint64_t buffer;
    size_t size;

    CHECK(kda_image_loaded(peer.engine, &one, false));
    CHECK(peer_expect_stop(&peer).there);
    reply = peer_request(&peer, 0x3146, NULL, 0, "");
    reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(reply.body + 24, 8), 8u, 0u);
    reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", peer_get(reply.data, 8), 0x88u, 0u);
    size = (size_t)peer_get(reply.data + 0x48, 2);
    buffer = peer_get(reply.data + 0x50, 8);
    reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", buffer, (uint32_t)size + 2, 0u);
    memcpy(out, reply.data, size + 2);
    CHECK_EQ_U64(peer_get(out + size, 2), 0);
    go();
    kda_image_unloaded(peer.engine, 0x4000, false);
    return size / 2;
}

static void paths(void)
{
    uint8_t units[600];
    char path[400];

    peer_open(&peer);
    CHECK_EQ_U64(stored_path(NULL, units), 0);
    CHECK_EQ_U64(stored_path("", units), 0);
    memset(path, 'p', sizeof path);
    strcpy(path + 300, "/x.efi");
    CHECK_EQ_U64(stored_path(path, units), 128);
    CHECK_EQ_MEM(units + 2 * 122, "/\0x\0.\0e\0f\0i\0", 12);
    /* U+1F600, and what is no UTF-8: a lone continuation, an overlong slash, a surrogate, a cut. */
    CHECK_EQ_U64(stored_path("\xF0\x9F\x98\x80", units), 2);
    CHECK_EQ_U64(peer_get(units, 2), 0xD83D);
    CHECK_EQ_U64(peer_get(units + 2, 2), 0xDE00);
    CHECK_EQ_U64(stored_path("\x80z", units), 2);
    CHECK_EQ_U64(peer_get(units, 2), 0xFFFD);
    CHECK_EQ_U64(peer_get(units + 2, 2), 'z');
    CHECK_EQ_U64(stored_path("\xC0\xAF", units), 2);
    CHECK_EQ_U64(peer_get(units, 2), 0xFFFD);
    CHECK_EQ_U64(stored_path("\xED\xA0\x80", units), 3);
    CHECK_EQ_U64(peer_get(units, 2), 0xFFFD);
    CHECK_EQ_U64(stored_path("a\xE2\x82", units), 3);
    CHECK_EQ_U64(peer_get(units + 2, 2), 0xFFFD);
    CHECK_EQ_U64(stored_path("\xFF\xF8", units), 2);
    peer_close(&peer);
}

static void command_text(struct peer *self)
{
    self->said = kda_command(self->engine, "!load x", 7);
}

static void command(void)
{
    struct peer_packet got;

    peer_open(&peer);
    peer_begin(&peer, command_text);
    peer_run(&peer);
    got = peer_receive(&peer);
    CHECK_EQ_U64(got.type, PEER_STATE);
    CHECK_EQ_U64(peer_get(got.payload, 4), 0x3032);
    CHECK_EQ_U64(got.size, 240 + 8 + 8);
    CHECK_EQ_MEM(got.payload + 240, "kdagent\0!load x", 16);
    peer_continue(&peer, 0x00010002);
    CHECK(peer_run(&peer));
    CHECK(peer.said);
    peer_close(&peer);
}

static void leave(struct peer *self)
{
    kda_leave(self->engine);
}

static void farewell(void)
{
    struct peer_packet got;
    uint64_t base;

    peer_open(&peer);
    CHECK(kda_image_loaded(peer.engine, &image, false));
    peer_begin(&peer, leave);
    peer_run(&peer);
    got = peer_receive(&peer);
    CHECK_EQ_U64(peer_get(got.payload, 4), 0x3031);
    CHECK_EQ_U64(peer_get(got.payload + 40, 8), UINT64_MAX);
    CHECK_EQ_U64(got.payload[64], 1);
    CHECK_EQ_U64(read_list(&base, 1), 0);
    go();
    peer_close(&peer);
    peer_open(&peer);
    peer_begin(&peer, leave);
    CHECK(peer_pass(&peer, 20000));
    peer_close(&peer);
}

static void too_little_memory(void)
{
    static const struct kda_config config = {.major = 0x040F};
    static struct machine machine;
    struct kda_target target = machine_target(&machine);
    struct kda_transport transport = {0};
    uint8_t byte;

    CHECK(!kda_init(&byte, kda_size() - 1, &config, &target, &transport));
}

KD_TEST_MAIN({"exception report", exception_report},
             {"report at the edge of memory", report_at_the_edge_of_memory}, {"outcomes", outcomes},
             {"nobody answers", nobody_answers}, {"busy", busy}, {"print", print},
             {"print, long", print_long}, {"print to nobody", print_to_nobody},
             {"print to the dead", print_to_the_dead}, {"prompt", prompt},
             {"prompt and troubles", prompt_and_troubles}, {"images", images},
             {"list of many", list_of_many}, {"paths", paths}, {"command", command},
             {"farewell", farewell}, {"too little memory", too_little_memory})
