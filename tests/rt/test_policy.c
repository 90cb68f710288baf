/* test_policy.c - what becomes of a fault before any handler runs, and images of the runtime.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The image is a made-up one: a function with a handler and one without. Handlers are never called
 * here; test_eh_host.py and test_eh_qemu.py let them run.
 */
#include "check.h"
#include "rt/rt.h"

enum { SIZE = 0x1000, HANDLED = 0x10, BARE = 0x90, TABLE = 0x800, INFO = 0x900, WORDS = 1024 };

static _Alignas(16) uint8_t memory[SIZE];
static uint64_t stack[WORDS];
static uint64_t writable_from;
static struct rt_context context;

static bool read_port(void *unused, uint64_t address, void *buffer, size_t size)
{
    (void)unused;
    if (address < (uint64_t)(uintptr_t)stack ||
        address + size > (uint64_t)(uintptr_t)(stack + WORDS))
        return false;
    memcpy(buffer, (const void *)(uintptr_t)address, size);
    return true;
}

static bool write_port(void *unused, uint64_t address, const void *buffer, size_t size)
{
    (void)unused;
    if (address < writable_from || !read_port(NULL, address, (uint8_t[2048]){0}, size))
        return false;
    memcpy((void *)(uintptr_t)address, buffer, size);
    return true;
}

static const struct rt_port port = {.read = read_port, .write = write_port};

static void put32(unsigned at, uint32_t value)
{
    memcpy(memory + at, &value, sizeof value);
}

static void start(uint32_t rva)
{
    static const uint32_t rows[] = {HANDLED, 0x80, INFO, BARE, 0xF0, INFO + 0x10};

    memset(&context, 0, sizeof context);
    memset(memory, 0x90, TABLE);
    memcpy(memory + TABLE, rows, sizeof rows);
    memcpy(memory + INFO, (const uint8_t[]){0x19, 0, 0, 0}, 4);
    put32(INFO + 4, 0x200);
    memcpy(memory + INFO + 0x10, (const uint8_t[]){1, 0, 0, 0}, 4);
    memset(stack, 0, sizeof stack);
    CHECK(!rt_init(memory, &port)); /* no headers */
    CHECK(rt_add_functions(memory, SIZE, memory + TABLE, 2));
    writable_from = 0;
    context.rip = (uint64_t)(uintptr_t)memory + rva;
    context.gpr[IMG_RSP] = (uint64_t)(uintptr_t)(stack + WORDS - 16);
    context.eflags = 0x302;
}

static enum rt_fault_answer fault(uint32_t vector)
{
    struct rt_fault it = {
        .vector = vector, .error_code = 2, .address = 0x1234, .context = &context};

    return rt_fault(&it);
}

static void test_resume(void)
{
    uint64_t rip, at;
    const struct rt_record *record;

    start(HANDLED + 4);
    rip = context.rip;
    CHECK_EQ_U64(fault(14), RT_FAULT_RESUME);
    at = context.gpr[IMG_RSP];
    CHECK(context.rip != rip && at % 16 == 0 &&
          at + 1472 + 256 <= (uint64_t)(uintptr_t)(stack + WORDS - 16));
    CHECK_EQ_U64(context.eflags, 0x202); /* not traced */
    record = (const struct rt_record *)(uintptr_t)(at + 32);
    CHECK_EQ_U64(record->code, RT_CODE_ACCESS);
    CHECK_EQ_U64(record->address, rip);
    CHECK_EQ_U64(record->parameter_count, 2);
    CHECK_EQ_U64(record->parameters[0], 1); /* a write */
    CHECK_EQ_U64(record->parameters[1], 0x1234);
}

static void test_codes(void)
{
    static const struct {
        uint32_t vector;
        uint32_t code;
    } codes[] = {{0, 0xC0000094},  {4, 0xC0000095},  {5, 0xC000008C}, {6, 0xC000001D},
                 {12, 0xC0000005}, {13, 0xC0000005}, {17, 0x80000002}};

    for (unsigned i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        start(HANDLED);
        CHECK_EQ_U64(fault(codes[i].vector), RT_FAULT_RESUME);
        CHECK_EQ_U64(((const struct rt_record *)(uintptr_t)(context.gpr[IMG_RSP] + 32))->code,
                     codes[i].code);
    }
    for (uint32_t vector = 0; vector < 256; vector++) {
        start(HANDLED);
        if (vector == 1 || vector == 2 || vector == 3 || vector == 8 || vector == 18 ||
            vector >= 20)
            CHECK_EQ_U64(fault(vector), RT_FAULT_UNHANDLED);
    }
}

static void test_nobody(void)
{
    start(BARE);
    CHECK(!rt_has_handler(&context));
    CHECK_EQ_U64(fault(14), RT_FAULT_UNHANDLED);
    stack[WORDS - 16] = (uint64_t)(uintptr_t)memory + HANDLED + 8; /* called by the other */
    CHECK(rt_has_handler(&context));
    CHECK_EQ_U64(fault(14), RT_FAULT_RESUME);
    start(HANDLED);
    context.rip = 0x1000; /* in no image */
    CHECK_EQ_U64(fault(14), RT_FAULT_UNHANDLED);
    start(HANDLED);
    context.gpr[IMG_RSP] = 0x1000; /* no stack */
    CHECK_EQ_U64(fault(14), RT_FAULT_UNHANDLED);
    start(HANDLED);
    writable_from = UINT64_MAX; /* one that cannot be written */
    CHECK_EQ_U64(fault(14), RT_FAULT_UNHANDLED);
}

static void test_policies(void)
{
    struct rt_fault it = {.vector = 6, .context = &context};

    start(HANDLED);
    rt_exception_policy(RT_NEVER);
    CHECK_EQ_U64(fault(14), RT_FAULT_UNHANDLED);
    rt_exception_policy(RT_DEBUGGER_FIRST);
    CHECK_EQ_U64(fault(3), RT_FAULT_UNHANDLED);
    CHECK_EQ_U64(fault(6), RT_FAULT_FIRST_CHANCE);
    CHECK_EQ_U64(context.rip, (uint64_t)(uintptr_t)memory + HANDLED);
    CHECK_EQ_U64(rt_fault_pass(&it), RT_FAULT_RESUME);
}

static void test_images(void)
{
    start(HANDLED);
    CHECK(rt_find_image(NULL, (uint64_t)(uintptr_t)memory + SIZE) == NULL);
    CHECK(rt_find_image(NULL, (uint64_t)(uintptr_t)memory) != NULL);
    CHECK(!rt_add_functions(memory, SIZE, memory + SIZE, 1));
    CHECK(!rt_add_functions(memory, SIZE, memory + SIZE - 11, 1));
    for (unsigned i = 1; i < RT_MAX_IMAGES; i++)
        CHECK(rt_add_functions(memory, SIZE, memory + TABLE, 2));
    CHECK(!rt_add_functions(memory, SIZE, memory + TABLE, 2));
    for (unsigned i = 0; i < RT_MAX_IMAGES; i++)
        CHECK(rt_remove_image(memory));
    CHECK(!rt_remove_image(memory));
    for (int reason = RT_REASON_UNHANDLED; reason <= RT_REASON_TERMINATE + 1; reason++)
        CHECK(strcmp(rt_reason_text((enum rt_reason)reason), "unknown reason") != 0 ||
              reason > RT_REASON_TERMINATE);
}

KD_TEST_MAIN({"a fault that a handler may take", test_resume}, {"codes of faults", test_codes},
             {"faults that nobody takes", test_nobody}, {"policies", test_policies},
             {"images", test_images})
