/* test_unwind.c - unwind tables and call stacks that no compiler makes: odd ones and hostile ones.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The tables are written here byte by byte, as the convention's documentation has them; an image is
 * functions made at run time in a small memory of their own.
 */
#include "check.h"
#include "image/unwind.h"

enum {
    IMAGE = 0x1000,
    BASE = 0x400000,
    STACK = 0x100000,
    WORDS = 64,
    TABLE = 0x800,
    INFO = 0x900,
};

static struct {
    uint8_t bytes[IMAGE];
    uint64_t words[WORDS];
    unsigned rows;
    struct img_image image;
    struct img_registers registers;
    struct img_frame frame;
} it;

static bool read_stack(void *context, uint64_t address, void *buffer, size_t size)
{
    (void)context;
    if (address < STACK || size > sizeof it.words || address - STACK > sizeof it.words - size)
        return false;
    memcpy(buffer, (const uint8_t *)it.words + (address - STACK), size);
    return true;
}

static void put32(unsigned at, uint32_t value)
{
    memcpy(it.bytes + at, &value, sizeof value);
}

static void row(uint32_t begin, uint32_t end, uint32_t unwind)
{
    put32(TABLE + it.rows * 12, begin);
    put32(TABLE + it.rows * 12 + 4, end);
    put32(TABLE + it.rows * 12 + 8, unwind);
    it.rows++;
}

static void start(void)
{
    memset(&it, 0, sizeof it);
    memset(it.bytes, 0x90, TABLE); /* nop */
    it.registers.gpr[IMG_RSP] = STACK;
    for (unsigned i = 0; i < WORDS; i++)
        it.words[i] = 0x1000 + i;
}

#define PUT(at, ...) \
    put((at), (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void put(unsigned at, const uint8_t *bytes, size_t size)
{
    memcpy(it.bytes + at, bytes, size);
}

static void open_image(void)
{
    struct img_source source = img_memory_source(it.bytes, IMAGE, IMG_MAPPED);

    img_open_dynamic(&it.image, &source, BASE, IMAGE, TABLE, it.rows);
}

static enum img_unwind_result step(uint32_t rva)
{
    static const struct img_memory memory = {read_stack, NULL};

    open_image();
    it.registers.rip = BASE + rva;
    return img_unwind(&it.image, &memory, &it.registers, &it.frame);
}

/* One function from 0x10 to 0x80, without codes, so that rsp is at the return address. */
static void plain(void)
{
    start();
    row(0x10, 0x80, INFO);
    PUT(INFO, 1, 0, 0, 0);
}

static void test_leaf(void)
{
    plain();
    CHECK_EQ_U64(step(0x100), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.frame.kind, IMG_FRAME_LEAF);
    CHECK_EQ_U64(it.registers.rip, 0x1000);
    CHECK_EQ_U64(it.registers.gpr[IMG_RSP], STACK + 8);
    plain();
    CHECK_EQ_U64(step(IMAGE), IMG_UNWIND_OUTSIDE);
    it.registers.gpr[IMG_RSP] = STACK - 8;
    CHECK_EQ_U64(step(0x100), IMG_UNWIND_STACK);
}

static void test_search(void)
{
    struct img_function function;

    start();
    for (unsigned i = 0; i < 20; i++)
        row(0x10 + i * 0x20, 0x20 + i * 0x20, INFO);
    open_image();
    CHECK_EQ_U64(img_function_count(&it.image), 20);
    for (uint32_t rva = 0; rva < 0x300; rva++) {
        bool in = rva >= 0x10 && rva < 0x280 && (rva - 0x10) % 0x20 < 0x10;

        CHECK(img_function_at(&it.image, rva, &function) == in);
        CHECK(!in || (rva >= function.begin && rva < function.end));
    }
    CHECK(!img_function(&it.image, 20, &function));
}

/* push rbp; sub rsp, 24; lea rbp, [rsp + 16]; with a save of rsi and xmm7 in far form */
static void framed(void)
{
    start();
    row(0x10, 0x80, INFO);
    PUT(INFO, 1, 20, 11, 0x15, /* codes */ 20, 0x79, 0, 0, 1, 0, 16, 0x65, 0x08, 0, 0, 0, 10, 0x03,
        5, 0x22, 1, 0x50);
    PUT(INFO + 4, 20, 0x79, 0x20, 0, 0, 0, 16, 0x65, 0x08, 0, 0, 0, 10, 0x03, 5, 0x22, 1, 0x50);
    it.bytes[INFO + 2] = 9;
}

static void test_frame_register(void)
{
    framed();
    it.registers.gpr[IMG_RBP] = STACK + 0x40 + 16; /* an alloca moved rsp */
    CHECK_EQ_U64(step(0x10 + 20), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.frame.kind, IMG_FRAME_TABLE);
    CHECK_EQ_U64(it.frame.establisher, STACK + 0x40);
    CHECK_EQ_U64(it.registers.gpr[IMG_RSI], 0x1000 + 9);
    CHECK_EQ_U64(it.registers.xmm[7].low, 0x1000 + 12);
    CHECK_EQ_U64(it.registers.xmm[7].high, 0x1000 + 13);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBP], 0x1000 + 11);
    CHECK_EQ_U64(it.registers.rip, 0x1000 + 12);
    CHECK_EQ_U64(it.registers.gpr[IMG_RSP], STACK + 0x68);
}

static void test_prologue(void)
{
    framed();
    it.registers.gpr[IMG_RBP] = 0x55;
    CHECK_EQ_U64(step(0x10), IMG_UNWIND_OK); /* nothing done */
    CHECK_EQ_U64(it.registers.rip, 0x1000);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBP], 0x55);
    framed();
    CHECK_EQ_U64(step(0x10 + 1), IMG_UNWIND_OK); /* pushed */
    CHECK_EQ_U64(it.registers.gpr[IMG_RBP], 0x1000);
    CHECK_EQ_U64(it.registers.rip, 0x1001);
    framed();
    it.registers.gpr[IMG_RBP] = 0xBAD0; /* not the frame register yet */
    CHECK_EQ_U64(step(0x10 + 9), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.frame.establisher, STACK);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBP], 0x1003);
    CHECK_EQ_U64(it.registers.rip, 0x1004);
}

static void test_machine_frame(void)
{
    for (uint8_t error = 0; error < 2; error++) {
        start();
        row(0x10, 0x80, INFO);
        PUT(INFO, 1, 0, 2, 0, 0, 0x12, 0, (uint8_t)(0x0A | error << 4));
        CHECK_EQ_U64(step(0x20), IMG_UNWIND_OK);
        CHECK_EQ_U64(it.frame.kind, IMG_FRAME_MACHINE);
        CHECK_EQ_U64(it.registers.rip, 0x1002 + error);
        CHECK_EQ_U64(it.registers.gpr[IMG_RSP], 0x1005 + error);
    }
    it.registers.gpr[IMG_RSP] = STACK;
    PUT(INFO, 1, 0, 2, 0, 0, 0x0A, 0, 0x12); /* an allocation below it */
    CHECK_EQ_U64(step(0x20), IMG_UNWIND_MALFORMED);
    PUT(INFO, 1, 0, 1, 0, 0, 0x2A); /* no such form */
    CHECK_EQ_U64(step(0x20), IMG_UNWIND_MALFORMED);
}

/* 0x10: sub rsp, 16, chained to nothing; 0x80: a piece that saved rbx */
static void test_chained(void)
{
    start();
    row(0x10, 0x80, INFO);
    row(0x80, 0xC0, INFO + 0x20);
    PUT(INFO, 0x19, 4, 1, 0, 4, 0x12, 0, 0, 0x30, 0, 0, 0);
    PUT(INFO + 0x20, 0x21, 5, 2, 0, 5, 0x34, 0, 0, 0x10, 0, 0, 0, 0x80, 0, 0, 0);
    put32(INFO + 0x30, INFO);
    CHECK_EQ_U64(step(0x90), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBX], 0x1000);
    CHECK_EQ_U64(it.registers.rip, 0x1002);
    CHECK_EQ_U64(it.frame.function.begin, 0x80);
    CHECK_EQ_U64(it.frame.primary.begin, 0x10);
    CHECK_EQ_U64(it.frame.flags, IMG_UNWIND_EHANDLER | IMG_UNWIND_UHANDLER);
    CHECK_EQ_U64(it.frame.handler, 0x30);
    CHECK_EQ_U64(it.frame.handler_data, INFO + 12);
    put32(INFO + 0x30, INFO + 0x20); /* chained to itself */
    it.registers.gpr[IMG_RSP] = STACK;
    CHECK_EQ_U64(step(0x90), IMG_UNWIND_MALFORMED);
    put32(INFO + 0x30, IMAGE - 2); /* outside the image */
    CHECK_EQ_U64(step(0x90), IMG_UNWIND_MALFORMED);
}

/* Each row's saves count from the stack pointer that it left. */
static void test_chained_base(void)
{
    start();
    row(0x10, 0x80, INFO);
    row(0x80, 0xC0, INFO + 0x20);
    PUT(INFO, 1, 9, 3, 0, 9, 0x34, 1, 0, 4, 0x12);
    PUT(INFO + 0x20, 0x21, 1, 1, 0, 1, 0x70, 0, 0, 0x10, 0, 0, 0, 0x80, 0, 0, 0);
    put32(INFO + 0x30, INFO);
    CHECK_EQ_U64(step(0x90), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.registers.gpr[IMG_RDI], 0x1000);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBX], 0x1002);
    CHECK_EQ_U64(it.registers.rip, 0x1003);
    CHECK_EQ_U64(it.frame.establisher, STACK);
}

static void test_indirect(void)
{
    start();
    row(0x10, 0x80, TABLE + 12 + 1);
    row(0x10, 0x80, INFO);
    it.rows = 1;
    PUT(INFO, 1, 0, 1, 0, 0, 0x02);
    CHECK_EQ_U64(step(0x20), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.registers.rip, 0x1001);
    put32(TABLE + 8, TABLE + 1); /* refers to itself */
    CHECK_EQ_U64(step(0x20), IMG_UNWIND_MALFORMED);
}

/* rsp + 16 is where the return address is by the codes; an epilogue has less of the frame left. */
static uint64_t return_from(const uint8_t *code, size_t size)
{
    start();
    row(0x10, 0x80, INFO);
    PUT(INFO, 1, 5, 2, 0, 5, 0x02, 1, 0x30); /* push rbx; sub rsp, 8 */
    put(0x40, code, size);
    it.registers.gpr[IMG_RBP] = STACK + 16;
    return step(0x40) == IMG_UNWIND_OK ? it.registers.rip - 0x1000 : UINT64_MAX;
}

#define RETURN_FROM(...) \
    return_from((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

static void test_epilogues(void)
{
    CHECK_EQ_U64(RETURN_FROM(0x90), 2);                         /* the body */
    CHECK_EQ_U64(RETURN_FROM(0xC3), 0);                         /* ret */
    CHECK_EQ_U64(RETURN_FROM(0xC2, 8, 0), 0);                   /* ret 8 */
    CHECK_EQ_U64(RETURN_FROM(0xF3, 0xC3), 0);                   /* rep ret */
    CHECK_EQ_U64(RETURN_FROM(0x5B, 0xC3), 1);                   /* pop rbx; ret */
    CHECK_EQ_U64(it.registers.gpr[IMG_RBX], 0x1000);            /* gets it */
    CHECK_EQ_U64(RETURN_FROM(0x41, 0x5C, 0x5B, 0xC3), 2);       /* pop r12; pop rbx */
    CHECK_EQ_U64(RETURN_FROM(0x48, 0x83, 0xC4, 0x18, 0xC3), 3); /* add rsp, 24; ret */
    CHECK_EQ_U64(RETURN_FROM(0x48, 0x81, 0xC4, 0x20, 0, 0, 0, 0xC3), 4);
    CHECK_EQ_U64(RETURN_FROM(0xEB, 0x60), 0);                      /* a tail call */
    CHECK_EQ_U64(RETURN_FROM(0xE9, 0x60, 0, 0, 0), 0);             /* another */
    CHECK_EQ_U64(RETURN_FROM(0xEB, 0x10), 2);                      /* a loop */
    CHECK_EQ_U64(RETURN_FROM(0xEB, 0xCE), 0);                      /* calls itself */
    CHECK_EQ_U64(RETURN_FROM(0xFF, 0x25, 0, 0, 0, 0), 0);          /* jmp [import] */
    CHECK_EQ_U64(RETURN_FROM(0x48, 0xFF, 0xE0), 0);                /* rex jmp rax */
    CHECK_EQ_U64(RETURN_FROM(0xFF, 0xE0), 2);                      /* a switch */
    CHECK_EQ_U64(RETURN_FROM(0x48, 0x8D, 0x65, 0, 0xC3), 2);       /* no frame register */
    CHECK_EQ_U64(RETURN_FROM(0x48, 0x83, 0xC4, 8, 0x90, 0xC3), 2); /* add, but no end */
}

/* A jump from one piece of a function to another is no tail call, one to its start is. */
static void test_jump_to_piece(void)
{
    static const uint8_t distances[] = {0x4E, 0x6E, 0xCE};
    static const uint32_t expected[] = {0x1002, 0x1000, 0x1000};

    for (unsigned i = 0; i < sizeof distances; i++) {
        start();
        row(0x10, 0x80, INFO);
        row(0x80, 0xA0, INFO + 0x20);
        PUT(INFO, 1, 5, 2, 0, 5, 0x02, 1, 0x30);
        PUT(INFO + 0x20, 0x21, 0, 0, 0, 0x10, 0, 0, 0, 0x80, 0, 0, 0);
        put32(INFO + 0x2C, INFO);
        PUT(0x40, 0xEB, distances[i]);
        CHECK_EQ_U64(step(0x40), IMG_UNWIND_OK);
        CHECK_EQ_U64(it.registers.rip, expected[i]);
    }
}

static void test_frame_epilogue(void)
{
    framed();
    PUT(0x40, 0x48, 0x8D, 0x67, 8, 0x5D, 0xC3); /* lea rsp, [rdi + 8]: another register */
    it.registers.gpr[IMG_RBP] = STACK + 0x40;
    CHECK_EQ_U64(step(0x40), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.registers.rip, 0x100A);
    CHECK_EQ_U64(it.registers.gpr[IMG_RSI], 0x1007); /* it was the body */
    framed();
    PUT(0x40, 0x48, 0x8D, 0x65, 8, 0x5D, 0xC3); /* lea rsp, [rbp + 8]; pop rbp; ret */
    it.registers.gpr[IMG_RBP] = STACK + 0x40;
    CHECK_EQ_U64(step(0x40), IMG_UNWIND_OK);
    CHECK_EQ_U64(it.registers.gpr[IMG_RBP], 0x1009);
    CHECK_EQ_U64(it.registers.rip, 0x100A);
}

static void test_hostile(void)
{
    struct img_unwind_info info;
    static const uint8_t bad[][6] = {
        {3, 0, 0, 0},          /* version */
        {1, 0, 1, 0, 0, 0x01}, /* a code that needs two slots */
        {1, 0, 1, 0, 0, 0x07}, /* no such code */
        {1, 0, 1, 0, 0, 0x06}, /* version 2's, in version 1 */
        {1, 0, 1, 0, 0, 0x03}, /* sets a frame register that it does not have */
        {1, 0, 2, 0, 0, 0x21}, /* no such form of an allocation */
        {0x29, 0, 0, 0},       /* a handler and a chain */
    };

    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        plain();
        put(INFO, bad[i], sizeof bad[i]);
        CHECK_EQ_U64(step(0x20), IMG_UNWIND_MALFORMED);
    }
    plain();
    row(0x80, IMAGE + 1, INFO);
    CHECK_EQ_U64(step(0x90), IMG_UNWIND_OK); /* no row: taken for a leaf */
    CHECK_EQ_U64(it.frame.kind, IMG_FRAME_LEAF);
    CHECK(!img_unwind_info(&it.image, IMAGE - 3, &info));
    it.bytes[IMAGE - 4] = 1;
    it.bytes[IMAGE - 2] = 255;
    CHECK(!img_unwind_info(&it.image, IMAGE - 4, &info));
}

static const struct img_image *find(void *context, uint64_t address)
{
    uint32_t rva;

    (void)context;
    return img_rva(&it.image, address, &rva) ? &it.image : NULL;
}

static void start_walk(struct img_walk *walk, uint32_t rva)
{
    open_image();
    it.image.section_count = 1;
    it.image.sections[0] = (struct img_section){.size = TABLE, .flags = IMG_SECTION_CODE};
    it.registers.rip = BASE + rva;
    *walk = (struct img_walk){.find = find,
                              .memory = {read_stack, NULL},
                              .stack_low = STACK,
                              .stack_high = STACK + sizeof it.words,
                              .max_frames = 40,
                              .max_scan = WORDS};
    img_walk_start(walk, &it.registers);
}

static unsigned walk_all(struct img_walk *walk, struct img_walk_frame *last,
                         enum img_walk_result *end)
{
    unsigned count = 0;

    while ((*end = img_walk_next(walk, last)) == IMG_WALK_FRAME)
        count++;
    return count;
}

/* Functions of a word each call each other until the stack is full. */
static void test_walk(void)
{
    struct img_walk walk;
    struct img_walk_frame last;
    enum img_walk_result end;

    plain();
    for (unsigned i = 0; i < 20; i++)
        it.words[i] = BASE + 0x20 + i;
    it.words[20] = 0;
    start_walk(&walk, 0x30);
    CHECK_EQ_U64(walk_all(&walk, &last, &end), 21);
    CHECK_EQ_U64(end, IMG_WALK_END);
    CHECK_EQ_U64(last.rip, BASE + 0x20 + 19);
    CHECK(!last.guessed && !last.interrupted);
    for (unsigned i = 20; i < WORDS; i++)
        it.words[i] = BASE + 0x20;
    start_walk(&walk, 0x30);
    CHECK_EQ_U64(walk_all(&walk, &last, &end), 40);
    CHECK_EQ_U64(end, IMG_WALK_FRAMES);
    walk.max_frames = 1000;
    img_walk_start(&walk, &it.registers);
    CHECK_EQ_U64(walk_all(&walk, &last, &end), WORDS + 1);
    CHECK_EQ_U64(end, IMG_WALK_STACK);
    walk.stack_high = STACK + 80;
    img_walk_start(&walk, &it.registers);
    CHECK_EQ_U64(walk_all(&walk, &last, &end), 11);
    CHECK_EQ_U64(end, IMG_WALK_LIMIT);
}

/* An interrupted leaf is no guess; a frame below the one it called ends the walk. */
static void test_walk_leaf(void)
{
    struct img_walk walk;
    struct img_walk_frame frame;

    framed();
    it.words[0] = BASE + 0x40;
    it.registers.gpr[IMG_RBP] = STACK - 0x10;
    start_walk(&walk, 0x100);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK_EQ_U64(frame.frame.kind, IMG_FRAME_LEAF);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK(frame.rip == BASE + 0x40 && !frame.guessed);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_STACK);
    it.registers.gpr[IMG_RSP] = STACK + 0x100;
    it.registers.gpr[IMG_RBP] = STACK + 16;
    start_walk(&walk, 0x40);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_LIMIT);
}

/* A machine frame that leads to itself. */
static void test_walk_loop(void)
{
    struct img_walk walk;
    struct img_walk_frame last;
    enum img_walk_result end;

    start();
    row(0x10, 0x80, INFO);
    PUT(INFO, 1, 0, 1, 0, 0, 0x0A);
    it.words[0] = BASE + 0x20;
    it.words[3] = STACK;
    start_walk(&walk, 0x20);
    CHECK_EQ_U64(walk_all(&walk, &last, &end), 40);
    CHECK_EQ_U64(end, IMG_WALK_FRAMES);
}

static void test_walk_scan(void)
{
    struct img_walk walk;
    struct img_walk_frame frame;

    start();
    PUT(0x40, 0xE8, 0, 0, 0, 0);       /* call */
    PUT(0x60, 0xFF, 0x15, 0, 0, 0, 0); /* call [rip] */
    PUT(0x80, 0x41, 0xFF, 0xD2);       /* call r10 */
    PUT(0xA0, 0xFF, 0x54, 0x24, 8);    /* call [rsp + 8] */
    PUT(0xC0, 0xFF, 0xE0, 0x90);       /* jmp rax */
    it.words[0] = BASE + 0x41;         /* inside the call */
    it.words[1] = BASE + 0xC2;         /* behind a jump */
    it.words[2] = BASE + TABLE + 0x10; /* not code */
    it.words[3] = BASE + 0x45;
    it.words[4] = BASE + 0x66;
    it.words[5] = BASE + 0x83;
    it.words[7] = BASE + 0xA4;
    start_walk(&walk, 0x20);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK(!frame.guessed && frame.interrupted);
    CHECK_EQ_U64(frame.frame.kind, IMG_FRAME_SCAN);
    for (unsigned i = 0; i < 4; i++) {
        static const uint32_t expected[] = {0x45, 0x66, 0x83, 0xA4};

        CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
        CHECK_EQ_U64(frame.rip, BASE + expected[i]);
        CHECK(frame.guessed && !frame.interrupted);
    }
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_END);
    walk.max_scan = 0;
    img_walk_start(&walk, &it.registers);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_END);
}

/* What unwinding finds from a guessed frame on is no better than the guess. */
static void test_walk_behind_guess(void)
{
    struct img_walk walk;
    struct img_walk_frame frame;

    plain();
    PUT(0x40, 0xE8, 0, 0, 0, 0);
    it.words[2] = BASE + 0x45; /* behind the call */
    it.words[3] = BASE + 0x20; /* what its table leads to */
    it.words[4] = BASE + 0x30;
    it.words[5] = 0;
    start_walk(&walk, 0x40);
    it.registers.rip = 0;
    img_walk_start(&walk, &it.registers);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK(!frame.guessed && frame.frame.kind == IMG_FRAME_SCAN);
    for (unsigned i = 0; i < 3; i++) {
        static const uint32_t expected[] = {0x45, 0x20, 0x30};

        CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
        CHECK_EQ_U64(frame.rip, BASE + expected[i]);
        CHECK_EQ_U64(frame.frame.kind, IMG_FRAME_TABLE);
        CHECK(frame.guessed);
    }
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_END);
    img_walk_start(&walk, &it.registers); /* a new walk knows nothing of it */
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK(!frame.guessed);
}

/* A call of nothing: rip is in no image, the return address is on top of the stack. */
static void test_walk_null(void)
{
    struct img_walk walk;
    struct img_walk_frame frame;

    plain();
    PUT(0x40, 0xFF, 0xD0);
    it.words[0] = BASE + 0x42;
    start_walk(&walk, 0x40);
    it.registers.rip = 0;
    img_walk_start(&walk, &it.registers);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK(frame.image == NULL);
    CHECK_EQ_U64(img_walk_next(&walk, &frame), IMG_WALK_FRAME);
    CHECK_EQ_U64(frame.rip, BASE + 0x42);
    CHECK_EQ_U64(frame.frame.kind, IMG_FRAME_TABLE);
}

KD_TEST_MAIN(
    {"a leaf function", test_leaf}, {"looking up rows", test_search},
    {"a frame register and far saves", test_frame_register}, {"inside a prologue", test_prologue},
    {"machine frames", test_machine_frame}, {"chained rows", test_chained},
    {"saves of chained rows", test_chained_base}, {"rows that refer to rows", test_indirect},
    {"jumps between pieces", test_jump_to_piece}, {"a walk from a leaf", test_walk_leaf},
    {"epilogues", test_epilogues}, {"an epilogue by the frame register", test_frame_epilogue},
    {"hostile tables", test_hostile}, {"a call stack", test_walk},
    {"a call stack without end", test_walk_loop}, {"a call stack by scanning", test_walk_scan},
    {"frames behind a guess", test_walk_behind_guess}, {"a call of nothing", test_walk_null})
