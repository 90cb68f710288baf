/* test_eh_tables.c - exception tables written byte by byte: every form, and what contradicts
 * itself.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "check.h"
#include "image/eh_tables.h"

enum { IMAGE = 0x400, DATA = 0x200, FUNCTION = 0x10 };

static uint8_t bytes[IMAGE];
static struct img_image image;

static void put32(unsigned at, uint32_t value)
{
    memcpy(bytes + at, &value, sizeof value);
}

static void put_words(unsigned at, const uint32_t *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        put32(at + (unsigned)i * 4, words[i]);
}

#define WORDS(at, ...)                               \
    put_words((at), (const uint32_t[]){__VA_ARGS__}, \
              sizeof((const uint32_t[]){__VA_ARGS__}) / sizeof(uint32_t))
#define BYTES(at, ...) \
    memcpy(bytes + (at), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Code up to DATA. */
static void start(void)
{
    struct img_source source = img_memory_source(bytes, IMAGE, IMG_MAPPED);

    memset(bytes, 0, sizeof bytes);
    img_open_dynamic(&image, &source, 0x400000, IMAGE, 0, 0);
    image.section_count = 1;
    image.sections[0] = (struct img_section){.size = DATA, .flags = IMG_SECTION_CODE};
}

enum {
    INFO = DATA + 0x10,
    UNWIND = DATA + 0x40,
    TRIES = DATA + 0x60,
    HANDLERS = DATA + 0x80,
    IPS = DATA + 0xC0
};

static void fixed(void)
{
    start();
    WORDS(DATA, INFO);
    WORDS(INFO, 0x19930522, 3, UNWIND, 1, TRIES, 3, IPS, (uint32_t)-8, 0, 5);
    WORDS(UNWIND, (uint32_t)-1, 0, 0, 0x100, (uint32_t)-1, 0);
    WORDS(TRIES, 0, 1, 2, 2, HANDLERS);
    WORDS(HANDLERS, 9, 0x300, (uint32_t)-16, 0x120, 0x38);
    WORDS(HANDLERS + 20, 0x40, 0, 0, 0x140, 0x40);
    WORDS(IPS, 0x10, (uint32_t)-1, 0x20, 1, 0x30, (uint32_t)-1);
}

static void test_fixed(void)
{
    struct img_eh eh;
    struct img_eh_unwind unwind;
    struct img_eh_try block;
    struct img_eh_handler handler;
    int32_t state;

    fixed();
    CHECK(img_eh_open(&image, IMG_EH_CXX3, DATA, FUNCTION, FUNCTION, &eh) && img_eh_check(&eh));
    CHECK_EQ_U64(eh.flags, IMG_EH_SYNCHRONOUS | IMG_EH_NOEXCEPT);
    CHECK(eh.unwind_help == -8);
    CHECK(img_eh_unwind(&eh, 1, &unwind) && unwind.next == 0);
    CHECK_EQ_U64(unwind.kind, IMG_EH_FUNCLET);
    CHECK_EQ_U64(unwind.action, 0x100);
    CHECK(img_eh_unwind(&eh, 0, &unwind) && unwind.next == -1 && unwind.kind == IMG_EH_NOTHING);
    CHECK(img_eh_try(&eh, 0, &block) && block.low == 0 && block.high == 1);
    CHECK(block.catch_high == 2 && block.handler_count == 2);
    CHECK(img_eh_handler(&eh, &block, 0, &handler) && handler.object == -16);
    CHECK_EQ_U64(handler.adjectives, IMG_EH_CONST | IMG_EH_REFERENCE);
    CHECK_EQ_U64(handler.type, 0x300);
    CHECK_EQ_U64(handler.handler, 0x120);
    CHECK_EQ_U64(handler.frame, 0x38);
    CHECK(img_eh_handler(&eh, &block, 1, &handler) && handler.adjectives == IMG_EH_ANYTHING);
    CHECK(!img_eh_handler(&eh, &block, 2, &handler) && !img_eh_try(&eh, 1, &block));
    CHECK(img_eh_state(&eh, 0x0F, &state) && state == -1);
    CHECK(img_eh_state(&eh, 0x1F, &state) && state == -1);
    CHECK(img_eh_state(&eh, 0x20, &state) && state == 1);
    CHECK(img_eh_state(&eh, 0x30, &state) && state == -1);
}

/* Each change alone makes the table one that is refused. */
static void test_fixed_hostile(void)
{
    static const struct {
        uint32_t at;
        uint32_t value;
        const char *what;
    } changes[] = {
        {DATA, 0, "no FuncInfo"},
        {DATA, IMAGE - 8, "FuncInfo leaves the image"},
        {INFO, 0x19930523, "unknown version"},
        {INFO + 4, 0x7FFFFFFF, "many states"},
        {INFO + 12, 0x7FFFFFFF, "many try blocks"},
        {INFO + 20, 0x7FFFFFFF, "many rows"},
        {INFO + 8, IMAGE - 12, "unwind map leaves the image"},
        {INFO + 16, 0xFFFFFFF0, "try map outside"},
        {UNWIND + 8, 1, "a state that leads to itself"},
        {UNWIND + 8, 2, "a state that leads up"},
        {UNWIND + 12, 0x300, "an action that is no code"},
        {TRIES, 2, "low above high"},
        {TRIES + 8, 3, "no such state"},
        {TRIES + 16, IMAGE - 4, "handlers leave the image"},
        {HANDLERS + 12, 0x300, "a catch block that is no code"},
        {HANDLERS + 4, IMAGE, "a type outside the image"},
        {IPS + 4, 7, "a row with no such state"},
    };
    struct img_eh eh;

    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        fixed();
        put32(changes[i].at, changes[i].value);
        if (!CHECK(!img_eh_open(&image, IMG_EH_CXX3, DATA, FUNCTION, FUNCTION, &eh) ||
                   !img_eh_check(&eh)))
            fprintf(stderr, "  %s\n", changes[i].what);
    }
}

/* Integers of each length: 5, 300, 70000, 20000000, 4000000000 as they are stored. */
static void test_integers(void)
{
    struct img_eh eh;
    uint32_t rva;
    int32_t state;

    start();
    WORDS(DATA, INFO);
    BYTES(INFO, 0x00);
    put32(INFO + 1, IPS);
    BYTES(IPS, 5 << 1, /* rows */
          5 << 1, 0 << 1, (300 << 2 | 1) & 0xFF, (300 << 2 | 1) >> 8, 0 << 1,
          (70000 << 3 | 3) & 0xFF, (70000 << 3 | 3) >> 8 & 0xFF, (70000 << 3 | 3) >> 16, 0,
          (20000000 << 4 | 7) & 0xFF, (20000000 << 4 | 7) >> 8 & 0xFF,
          (20000000 << 4 | 7) >> 16 & 0xFF, (20000000 << 4 | 7) >> 24 & 0xFF, 0, /* */
          0x0F, 0x00, 0x28, 0x6B, 0xEE, 0);
    CHECK(img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION, &eh));
    CHECK_EQ_U64(eh.ip_count, 5);
    CHECK(img_eh_ip(&eh, 0, &rva, &state) && rva == FUNCTION + 5 && state == -1);
    CHECK(img_eh_ip(&eh, 1, &rva, &state) && rva == FUNCTION + 305);
    CHECK(img_eh_ip(&eh, 2, &rva, &state) && rva == FUNCTION + 70305);
    CHECK(img_eh_ip(&eh, 3, &rva, &state) && rva == FUNCTION + 20070305);
    CHECK(img_eh_ip(&eh, 4, &rva, &state) && rva == (uint32_t)(FUNCTION + 20070305 + 4000000000u));
    CHECK(!img_eh_ip(&eh, 5, &rva, &state));
}

#define RVA(value) (value) & 0xFF, (value) >> 8, 0, 0

static void compressed(void)
{
    start();
    WORDS(DATA, INFO);
    BYTES(INFO, 0x7D, 9 << 1, RVA(UNWIND), RVA(TRIES), RVA(IPS), 0x20 << 1);
    /* four states; each leads to the one before, the last to the first */
    BYTES(UNWIND, 4 << 1, 8 << 1, (1 << 2 | 1) << 1, RVA(0x100), 0x28 << 1, (6 << 2 | 2) << 1,
          RVA(0x110), 0x30 << 1, (13 << 2 | 3) << 1, RVA(0x120));
    BYTES(TRIES, 1 << 1, 0, 2 << 1, 3 << 1, RVA(HANDLERS));
    BYTES(HANDLERS, 3 << 1, 0x07, 8 << 1, RVA(0x300), 0x38 << 1, RVA(0x130), 0x11, 0x40 << 1,
          RVA(0x140), 0x44 << 1, 0x2A, RVA(0x300), RVA(0x150), RVA(0x50), RVA(0x60));
    BYTES(IPS, 2 << 1, 4 << 1, 2 << 1, 4 << 1, 0);
}

static void test_compressed(void)
{
    static const int32_t next[] = {-1, 0, 1, 0};
    static const enum img_eh_action kinds[] = {IMG_EH_NOTHING, IMG_EH_DESTROY, IMG_EH_DESTROY_AT,
                                               IMG_EH_FUNCLET};
    struct img_eh eh;
    struct img_eh_unwind unwind;
    struct img_eh_try block;
    struct img_eh_handler handler;
    int32_t state;

    compressed();
    CHECK(img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION, &eh) && img_eh_check(&eh));
    CHECK_EQ_U64(eh.flags, IMG_EH_CATCH | IMG_EH_SYNCHRONOUS | IMG_EH_NOEXCEPT);
    CHECK_EQ_U64(eh.catch_frame, 0x20);
    for (int32_t i = 0; i < 4; i++) {
        CHECK(img_eh_unwind(&eh, i, &unwind) && unwind.next == next[i]);
        CHECK_EQ_U64(unwind.kind, kinds[i]);
        CHECK_EQ_U64(unwind.action, i ? 0xF0u + (uint32_t)i * 0x10 : 0);
    }
    CHECK(img_eh_unwind(&eh, 2, &unwind) && unwind.object == 0x30);
    CHECK(img_eh_try(&eh, 0, &block) && block.high == 2 && block.catch_high == 3);
    CHECK(img_eh_handler(&eh, &block, 0, &handler) && handler.continuation_count == 0);
    CHECK(handler.type == 0x300 && handler.object == 0x38 && handler.frame == 0x20);
    CHECK(img_eh_handler(&eh, &block, 1, &handler) && handler.continuation_count == 1);
    CHECK_EQ_U64(handler.continuations[0], FUNCTION + 0x44);
    CHECK(img_eh_handler(&eh, &block, 2, &handler) && handler.continuation_count == 2);
    CHECK(handler.continuations[0] == 0x50 && handler.continuations[1] == 0x60);
    CHECK(img_eh_state(&eh, FUNCTION + 3, &state) && state == -1);
    CHECK(img_eh_state(&eh, FUNCTION + 4, &state) && state == 1);
    CHECK(img_eh_state(&eh, FUNCTION + 8, &state) && state == -1);
}

static void test_compressed_hostile(void)
{
    static const struct {
        uint32_t at;
        uint8_t value;
        const char *what;
    } changes[] = {
        {INFO, 0xFD, "an unknown flag"},
        {INFO + 3, 0x7F, "the unwind map is outside"},
        {UNWIND, 0x0F, "very many states"},
        {UNWIND + 1, 0, "a state that leads to itself"},
        {UNWIND + 2, (3 << 2 | 1) << 1, "below the map: the state is wrong for the try block"},
        {UNWIND + 8, (5 << 2 | 2) << 1, "into the middle of a row"},
        {UNWIND + 14, (7 << 2 | 3) << 1, "into the middle of another row"},
        {UNWIND + 4, 3, "an action that is no code"},
        {TRIES + 3, 9 << 1, "no such state"},
        {HANDLERS + 1, 0x47, "an unknown flag of a catch block"},
        {HANDLERS + 1, 0x37, "three continuations"},
        {IPS + 2, 9 << 1, "a row with no such state"},
    };
    struct img_eh eh;

    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        compressed();
        bytes[changes[i].at] = changes[i].value;
        if (i == 4) /* sound, but it ends there */
            CHECK(img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION, &eh) &&
                  img_eh_check(&eh));
        else if (!CHECK(!img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION, &eh) ||
                        !img_eh_check(&eh)))
            fprintf(stderr, "  %s\n", changes[i].what);
    }
}

static void test_separated(void)
{
    struct img_eh eh;
    int32_t state;

    compressed();
    BYTES(INFO, 0x1A, RVA(UNWIND), RVA(TRIES), RVA(IPS + 0x20));
    BYTES(IPS + 0x20, 2 << 1, RVA(FUNCTION), RVA(IPS + 0x40), RVA(0x80), RVA(IPS));
    BYTES(IPS + 0x40, 0);
    CHECK(img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION + 9, &eh));
    CHECK(img_eh_state(&eh, FUNCTION + 9, &state) && state == -1 && eh.ip_count == 0);
    CHECK(img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, 0x85, &eh));
    CHECK(img_eh_state(&eh, 0x85, &state) && state == 1);
    CHECK(!img_eh_open(&image, IMG_EH_CXX4, DATA, FUNCTION, FUNCTION - 1, &eh));
}

static void test_scopes(void)
{
    const struct img_function function = {0x10, 0x80, 0};
    struct img_eh_scope scope;
    uint32_t count;

    start();
    WORDS(DATA, 2, 0x10, 0x20, 1, 0x30, 0x20, 0x28, 0x100, 0);
    CHECK(img_eh_scope_count(&image, DATA, &count) && count == 2);
    CHECK(img_eh_scope(&image, DATA, 0, &scope) && scope.handler == 1 && scope.target == 0x30);
    CHECK(img_eh_scope(&image, DATA, 1, &scope) && scope.handler == 0x100 && scope.target == 0);
    CHECK(!img_eh_scope(&image, DATA, 2, &scope));
    CHECK_EQ_U64(img_eh_guess(&image, DATA, &function), IMG_EH_SCOPES);
    put32(DATA + 12, 0x300); /* a filter that is no code */
    CHECK(!img_eh_scope(&image, DATA, 0, &scope));
    put32(DATA, 0x10000000);
    CHECK(!img_eh_scope_count(&image, DATA, &count));
}

static void test_cookies(void)
{
    const struct img_function function = {0x10, 0x80, 0};
    struct img_eh_gs gs;

    start();
    WORDS(DATA, 0x43);
    CHECK(img_eh_gs(&image, DATA, &gs) && gs.flags == 3 && gs.cookie == 0x40);
    CHECK_EQ_U64(img_eh_guess(&image, DATA, &function), IMG_EH_GS);
    WORDS(DATA, 0x47, 0x60, 0x20);
    CHECK(img_eh_gs(&image, DATA, &gs) && gs.aligned_base == 0x60 && gs.alignment == 0x20);
    WORDS(DATA, 0x47, 0x60, 0x21);
    CHECK(!img_eh_gs(&image, DATA, &gs));
    fixed();
    CHECK_EQ_U64(img_eh_guess(&image, DATA, &function), IMG_EH_CXX3);
    compressed();
    CHECK_EQ_U64(img_eh_guess(&image, DATA, &function), IMG_EH_CXX4);
}

KD_TEST_MAIN({"fixed-size tables", test_fixed}, {"fixed-size tables that lie", test_fixed_hostile},
             {"compressed integers", test_integers}, {"compressed tables", test_compressed},
             {"compressed tables that lie", test_compressed_hostile},
             {"functions in pieces", test_separated}, {"C scopes", test_scopes},
             {"stack cookies and guesses", test_cookies})
