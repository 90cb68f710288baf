/* main.c - the exception test program: a UEFI application, or loaded by run_pe on the build
 * machine.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * In firmware it takes the processor's vectors for faults, writes traces to QEMU's debug console
 * and gives everything back before it returns. run_pe starts it without a system table and with a
 * struct host instead of the image handle.
 */
#include "host.h"
#include "rt/rt.h"

#include "fixture.h"
#include "vectors.h"

enum { DEBUG_CONSOLE = 0xE9 };

extern const unsigned char __ImageBase;

int _setjmp(struct rt_jump *jump, void *frame) __attribute__((returns_twice));
_Noreturn void longjmp(struct rt_jump *jump, int value);

long fh4_plain(void (*fault)(void));
long fh4_types(void (*raise)(void));
long fh4_separated(void (*raise)(void));
long gs_try(void (*fault)(void), long damage);
void gs_plain(long damage);

static struct {
    struct host *host;
    bool catching; /* ends_with waits */
    struct rt_jump jump;
    int reason;
} state;

static void put(const char *text)
{
    if (state.host) {
        state.host->write(text);
        return;
    }
    for (; *text; text++)
        __asm__ volatile("outb %0, %1" : : "a"(*text), "Nd"((uint16_t)DEBUG_CONSOLE));
}

void begin(const char *name)
{
    put("\n");
    put(name);
    put(":");
}

void note(const char *text)
{
    put(" ");
    put(text);
}

void note_number(long number)
{
    char text[16];
    unsigned at = sizeof text;
    unsigned long left = number < 0 ? 0ul - (unsigned long)number : (unsigned long)number;

    text[--at] = 0;
    do {
        text[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (number < 0)
        text[--at] = '-';
    note(text + at);
}

static void terminated(void *context, enum rt_reason reason, const struct rt_record *record,
                       const struct rt_context *registers)
{
    (void)context;
    (void)record;
    (void)registers;
    if (!state.catching) {
        begin("terminated");
        note(rt_reason_text(reason));
        put("\n");
        return;
    }
    state.reason = (int)reason;
    longjmp(&state.jump, 1);
}

static const struct rt_port port = {.terminate = terminated};

int ends_with(void (*function)(void))
{
    state.reason = -1;
    state.catching = true;
    if (_setjmp(&state.jump, NULL) == 0)
        function();
    state.catching = false;
    /* What was on its way is forgotten. */
    rt_init(&__ImageBase, &port);
    return state.reason;
}

static void sound(void)
{
    gs_plain(0);
}

static void damaged(void)
{
    gs_plain(8);
}

static void damaged_try(void)
{
    gs_try(read_nowhere, 8);
}

static void cookies(void)
{
    begin("gs_sound");
    note_number(gs_try(read_nowhere, 0));
    note_number(gs_try(sound, 0));
    begin("gs_damaged");
    note_number(ends_with(damaged));
    note_number(ends_with(damaged_try));
}

static void caught_fault(void)
{
    read_nowhere();
}

/* Handlers are looked for or not, as the policy says; the debugger's part is played here. */
static void policies(void)
{
    struct rt_context context = {.rip = (uint64_t)(uintptr_t)caught_fault,
                                 .gpr[IMG_RSP] = (uint64_t)(uintptr_t)&context};
    struct rt_fault fault = {.vector = 3, .context = &context};

    begin("policy");
    note_number(rt_fault(&fault)); /* a breakpoint */
    fault.vector = 1;
    note_number(rt_fault(&fault)); /* a single step */
    fault.vector = 14;
    rt_exception_policy(RT_DEBUGGER_FIRST);
    note_number(rt_fault(&fault));
    rt_exception_policy(RT_NEVER);
    note_number(rt_fault(&fault));
    rt_exception_policy(RT_HANDLER_FIRST);
}

__attribute__((noinline)) void run(void)
{
    throw_cases(begin);
    fault_cases();
    async_cases(rt_catch_faults);
    seh_cases();
    walk_case();
    begin("fh4_plain");
    note_number(fh4_plain(read_nowhere));
    begin("fh4_int");
    note_number(fh4_types(raise_int_7));
    begin("fh4_any");
    note_number(fh4_types(raise_pointer));
    begin("fh4_fault");
    note_number(fh4_types(read_nowhere));
    begin("fh4_separated");
    note_number(fh4_separated(raise_int_7));
    begin("registers");
    note_number(keeps_registers(out_of_catch));
    policies();
    cookies();
    cookie_cases();
    end_cases();
    begin("done");
    put("\n");
}

uint64_t EfiMain(void *image, void *system_table);

uint64_t EfiMain(void *image, void *system_table)
{
    if (!system_table) {
        state.host = image;
        state.host->fault = rt_fault;
    }
    if (!rt_init(&__ImageBase, &port)) {
        put("no image\n");
        return 1;
    }
    if (!state.host)
        take_vectors();
    run();
    if (!state.host)
        give_vectors();
    return 0;
}
