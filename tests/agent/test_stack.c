/* test_stack.c - a fault's call stack as lines of text, on images and stacks made by hand.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * "app.efi" has an exception table and an export; "Core" has neither, as firmware made by gcc. What
 * a stack holds follows from what the functions of the table do; nothing is unwound here.
 */
#include "stackfake.h"

#include "check.h"

#define APP        UINT64_C(0x140000000)
#define CORE       UINT64_C(0x7E000000)
#define STACK      UINT64_C(0x7F000000)
#define IMAGE_SIZE 0x3000u
#define WORDS      512u
#define HEADERS    0x40u
#define OPTIONAL   (HEADERS + 24)
#define SECTIONS   (OPTIONAL + 240)
#define TABLE      0x2000u /* rows of the exception directory */
#define UNWIND     0x2100u
#define EXPORTS    0x2200u
#define LINES_MAX  64u

/* Functions of app.efi; each is called at its byte 10h. */
#define LEAF   0x1100u /* no row */
#define PUSHES 0x1200u /* exported; push rbx; sub rsp, 20h */
#define PLAIN  0x1300u /* sub rsp, 28h */

static uint8_t app[IMAGE_SIZE], core[IMAGE_SIZE];
static uint64_t words[WORDS];

static struct {
    char lines[LINES_MAX][200];
    unsigned count, most;
} said;

static bool say(char *line, size_t size)
{
    CHECK(size < sizeof said.lines[0] && strlen(line) == size && size > 0);
    CHECK(line[size - 1] == '\n');
    if (said.count < LINES_MAX) {
        memcpy(said.lines[said.count], line, size - 1);
        said.lines[said.count][size - 1] = 0;
    }
    said.count++;
    return said.count < said.most;
}

static void put(uint8_t *image, size_t at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        image[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_headers(uint8_t *image)
{
    memset(image, 0, IMAGE_SIZE);
    memcpy(image, "MZ", 2);
    put(image, 0x3C, HEADERS, 4);
    memcpy(image + HEADERS, "PE", 2);
    put(image, HEADERS + 4, 0x8664, 2);
    put(image, HEADERS + 6, 2, 2);
    put(image, HEADERS + 20, 240, 2);
    put(image, OPTIONAL, 0x20B, 2);
    put(image, OPTIONAL + 56, IMAGE_SIZE, 4);
    put(image, OPTIONAL + 60, 0x400, 4);
    put(image, OPTIONAL + 108, 16, 4);
    for (unsigned i = 0; i < 2; i++) { /* code, then data */
        put(image, SECTIONS + 40 * i + 8, 0x1000, 4);
        put(image, SECTIONS + 40 * i + 12, 0x1000 * (i + 1), 4);
        put(image, SECTIONS + 40 * i + 36, i ? 0x40000040 : 0x60000020, 4);
    }
}

/* What a guess looks for: a call before the place of return. */
static void put_call(uint8_t *image, unsigned function)
{
    image[function + 0x10 - 5] = 0xE8;
}

static void put_row(unsigned index, unsigned begin, const char *unwind, size_t size)
{
    put(app, TABLE + 12 * index, begin, 4);
    put(app, TABLE + 12 * index + 4, begin + 0x40, 4);
    put(app, TABLE + 12 * index + 8, UNWIND + 0x10 * index, 4);
    memcpy(app + UNWIND + 0x10 * index, unwind, size);
    put_call(app, begin);
}

static void put_export(const char *name)
{
    put(app, OPTIONAL + 112, EXPORTS, 4);
    put(app, OPTIONAL + 116, 0x100, 4);
    put(app, EXPORTS + 20, 1, 4);
    put(app, EXPORTS + 24, 1, 4);
    put(app, EXPORTS + 28, EXPORTS + 0x40, 4);
    put(app, EXPORTS + 32, EXPORTS + 0x44, 4);
    put(app, EXPORTS + 36, EXPORTS + 0x48, 4);
    put(app, EXPORTS + 0x40, PUSHES, 4);
    put(app, EXPORTS + 0x44, EXPORTS + 0x100, 4);
    memcpy(app + EXPORTS + 0x100, name, strlen(name) + 1);
}

static void start(void)
{
    put_headers(app);
    put_headers(core);
    put_row(0, PUSHES, "\1\5\2\0\5\x32\1\x30", 8);
    put_row(1, PLAIN, "\1\4\1\0\4\x42", 6);
    put(app, OPTIONAL + 112 + 24, TABLE, 4);
    put(app, OPTIONAL + 112 + 28, 24, 4);
    put_export("Pushes");
    put_call(core, 0x1400);
    put_call(core, 0x1500);
    memset(words, 0, sizeof words);
    memset(&said, 0, sizeof said);
    said.most = LINES_MAX;
    stackfake_clear();
    stackfake_memory(APP, app, sizeof app);
    stackfake_memory(CORE, core, sizeof core);
    stackfake_memory(STACK, words, sizeof words);
    stackfake_module("\\EFI\\app.efi", APP, IMAGE_SIZE);
    stackfake_module("Core", CORE, IMAGE_SIZE);
}

static void tell(uint64_t rip, unsigned at)
{
    struct x64_frame frame = {
        .vector = 14, .cr2 = 0x1234, .rip = rip, .rsp = STACK + 8 * (uint64_t)at};

    agent_tell_stack(&frame, say);
}

static void check_lines(const char *const *expected, unsigned count)
{
    CHECK_EQ_U64(said.count, count);
    for (unsigned i = 0; i < count && i < said.count; i++)
        CHECK_EQ_STR(said.lines[i], expected[i]);
}
#define CHECK_LINES(...)                                                 \
    do {                                                                 \
        static const char *const lines_[] = {__VA_ARGS__};               \
        check_lines(lines_, (unsigned)(sizeof lines_ / sizeof *lines_)); \
    } while (0)

/* A leaf, a function with a name, one without, and the end. */
static void tables_and_names(void)
{
    start();
    words[0] = APP + PUSHES + 0x10;
    words[6] = APP + PLAIN + 0x10; /* behind 20h bytes and rbx */
    words[12] = 0;                 /* behind 28h bytes */
    tell(APP + LEAF + 3, 0);
    CHECK_LINES(
        "kdagent: fault, vector 0e at 0000000140001103, address 0000000000001234; call stack:",
        "  00 0000000140001103 app+0x1103", "  01 0000000140001210 app!Pushes+0x10",
        "  02 0000000140001310 app+0x1310");
}

/* In Core callers are looked for, and from there on all is a guess, tables or not. */
static void guesses(void)
{
    start();
    words[0] = CORE + 0x1411; /* one byte behind a return address */
    words[3] = CORE + 0x1410;
    words[9] = APP + PLAIN + 0x10;
    words[15] = CORE + 0x1510;
    tell(CORE + 0x1200, 0);
    CHECK_EQ_U64(said.count, 5);
    CHECK_EQ_STR(said.lines[1], "  00 000000007e001200 Core+0x1200");
    CHECK_EQ_STR(said.lines[2], "  01 000000007e001410 Core+0x1410 (guess)");
    CHECK_EQ_STR(said.lines[3], "  02 0000000140001310 app+0x1310 (guess)");
    CHECK_EQ_STR(said.lines[4], "  03 000000007e001510 Core+0x1510 (guess)");
}

static void nothing_known(void)
{
    start();
    agent.module_count = 0;
    tell(APP + LEAF, 0);
    CHECK_EQ_U64(said.count, 2);
    CHECK_EQ_STR(said.lines[1], "  00 0000000140001100 ?");
    start();
    memset(app, 0, sizeof app); /* an image whose headers are gone */
    tell(APP + LEAF, 0);
    CHECK_EQ_STR(said.lines[1], "  00 0000000140001100 ?");
}

/* A stack that leads on and on ends after 32 frames, one of garbage at once, with the reason. */
static void bounded(void)
{
    start();
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = APP + PLAIN + 0x10;
    tell(APP + LEAF, 0);
    CHECK_EQ_U64(said.count, 34);
    CHECK_EQ_STR(said.lines[33], "  no further: more frames than asked for");
    start();
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = 0x5A5A5A5A5A5A5A5A ^ i;
    tell(APP + PLAIN + 0x20, 0);
    CHECK_EQ_U64(said.count, 3);
    CHECK_EQ_STR(said.lines[2], "  01 5a5a5a5a5a5a5a5f ?");
    start();
    tell(APP + PLAIN + 0x20, WORDS); /* no memory there */
    CHECK_EQ_U64(said.count, 3);
    CHECK_EQ_STR(said.lines[2], "  no further: the stack cannot be read");
    start();
    app[UNWIND + 0x12] = 200; /* codes that the prologue does not have room for */
    app[UNWIND + 0x10] = 7;   /* of a version that there is not */
    tell(APP + PLAIN + 0x20, 0);
    CHECK_EQ_STR(said.lines[2], "  no further: the unwind table contradicts itself");
}

/* Names of any length and content: a line fits, and nothing in it moves a cursor. */
static void hostile_names(void)
{
    char name[300], path[104];

    memset(name, '\33', sizeof name - 1);
    name[sizeof name - 1] = 0;
    memset(path, 'p', sizeof path - 1);
    path[sizeof path - 1] = 0;
    start();
    put_export(name);
    strcpy(agent.modules[0].path, path);
    tell(APP + PUSHES + 0x10, 0);
    CHECK(strlen(said.lines[1]) < 156);
    for (const char *c = said.lines[1]; *c; c++)
        CHECK(*c >= 0x20);
    CHECK(strstr(said.lines[1], "pppp!????") != NULL);
}

static void stops_when_told(void)
{
    start();
    for (unsigned i = 0; i < WORDS; i++)
        words[i] = APP + PLAIN + 0x10;
    said.most = 3;
    tell(APP + LEAF, 0);
    CHECK_EQ_U64(said.count, 3);
    said.count = 0;
    said.most = 1; /* not even the first line */
    tell(APP + LEAF, 0);
    CHECK_EQ_U64(said.count, 1);
}

/* Without a fault: of a CONTEXT, which must be readable, and of whoever called. */
static void of_a_context(void)
{
    static struct kd_context_amd64 context;
    struct x64_frame frame = {.vector = X64_CALL, .rip = APP + PUSHES + 0x10, .rsp = STACK};

    start();
    context.rip = kd_put64(APP + PLAIN + 0x20);
    context.rsp = kd_put64(STACK);
    CHECK(!agent_tell_stack_of(&context, say));
    CHECK_EQ_U64(said.count, 0);
    stackfake_memory((uint64_t)(uintptr_t)&context, &context, sizeof context);
    CHECK(agent_tell_stack_of(&context, say));
    CHECK_LINES("kdagent: call stack:", "  00 0000000140001320 app+0x1320");
    said.count = 0;
    stackfake_current(&frame);
    CHECK(agent_tell_stack_of(NULL, say));
    CHECK_LINES("kdagent: call stack:", "  00 0000000140001210 app!Pushes+0x10");
}

KD_TEST_MAIN({"tables and names", tables_and_names}, {"guesses", guesses},
             {"nothing known", nothing_known}, {"bounded", bounded},
             {"hostile names", hostile_names}, {"stops when told", stops_when_told},
             {"of a context", of_a_context})
