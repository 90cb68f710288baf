/* guarded.c - a UEFI program with a fault in guarded code, linked with uefi-agent/rt.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * It asks in the debugger for words, with blanks between: "handler", "debugger", "never" set the
 * policy; "guarded" and "bare" fault, inside __try and outside, "declined" inside one that does not
 * want it; "where" prints its own call stack, "zero" one that begins nowhere; "break" stops. "deep"
 * and "throw" fault and throw far down, "noise", "endless", "circle" and "unmapped" with a stack
 * that is none: see frames.h. "g-..." are guarded calls of the agent, see guards.c. What is left of
 * a fault in "deep" and of an end by "throw" is taken in the end, so that the debugger can let the
 * program go on.
 */
#include "efi.h"

#include "kdagent_protocol.h"
#include "rt/rt.h"

#include "frames.h"
#include "guards.h"

#define LINE_ROOM   64u
#define STACK_WORDS 8192u
#define ABSENT      UINT64_C(0xFFFFFFFF80000000) /* no firmware maps memory here */

extern const uint8_t __ImageBase[];

static KDAGENT_PROTOCOL *agent;
static const EFI_BOOT_SERVICES *services;
static volatile uint32_t calls;            /* of the handler */
static volatile EFI_STATUS guarded_inside; /* what Guard says to a handler */

static void EFIAPI nothing(void *argument)
{
    (void)argument;
}

static EFI_STATUS EFIAPI on_fault(void *context, KDAGENT_FAULT *fault)
{
    struct rt_fault told = {(uint32_t)fault->Vector, (uint32_t)fault->ErrorCode, fault->Address,
                            fault->Registers};

    (void)context;
    calls = calls + 1;
    guarded_inside = agent->Guard(agent, nothing, NULL, NULL);
    return rt_fault(&told) == RT_FAULT_RESUME ? EFI_SUCCESS : EFI_NOT_FOUND;
}

/* Two bytes, which a debugger can step over: mov [rcx], eax. */
__attribute__((naked, noinline, used)) void GuardedWrite(uint64_t address)
{
    __asm__ volatile("movl %eax, (%rcx)\n\tret");
}

__attribute__((noinline, used)) void GuardedCall(void)
{
    __try {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: went on\n");
    } __except (1) {
        agent->Print(agent, u"guarded: caught\n");
    }
}

__attribute__((noinline, used)) void GuardedDeclined(void)
{
    __try {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: declined went on\n");
    } __except (0) {
        agent->Print(agent, u"guarded: taken after all\n");
    }
}

/* Takes what comes, but no C++ exception. */
static void recover(void (*function)(void))
{
    __try {
        function();
    } __except (_exception_code() != RT_CODE_CXX) {
        agent->Print(agent, u"guarded: recovered\n");
    }
}

static void deep(void)
{
    DeepFault(ABSENT);
}

static void throw_int(void)
{
    ThrowInt(7);
}

/* Room below the stack pointer is for interrupts. */
static void stray(void (*make)(uint64_t *words, unsigned count))
{
    static uint64_t words[STACK_WORDS];

    make(words, STACK_WORDS);
    StrayFault(ABSENT, words + STACK_WORDS / 2, NULL);
    agent->Print(agent, u"guarded: stray went on\n");
}

static void circle(void)
{
    static uint64_t words[STACK_WORDS];
    const void *rbp = MakeCircle(words, STACK_WORDS);

    StrayFault(ABSENT, words + STACK_WORDS / 2, rbp);
    agent->Print(agent, u"guarded: stray went on\n");
}

static void zero(void)
{
    static struct rt_context context;

    context.gpr[IMG_RSP] = (uint64_t)(uintptr_t)__builtin_frame_address(0) & ~UINT64_C(7);
    agent->Backtrace(agent, &context);
}

static bool same(const CHAR16 *a, const CHAR16 *b)
{
    while (*a && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}

static bool set_policy(const CHAR16 *word)
{
    static const CHAR16 *const words[] = {
        [KDAGENT_HANDLER_FIRST] = u"handler",
        [KDAGENT_DEBUGGER_FIRST] = u"debugger",
        [KDAGENT_NEVER] = u"never",
    };

    for (UINTN policy = 0; policy < sizeof words / sizeof words[0]; policy++) {
        if (same(word, words[policy]))
            return !EFI_ERROR(agent->SetExceptionPolicy(agent, policy));
    }
    return false;
}

static void run_fault(const CHAR16 *word)
{
    if (same(word, u"guarded")) {
        GuardedCall();
    } else if (same(word, u"declined")) {
        GuardedDeclined();
    } else if (same(word, u"bare")) {
        GuardedWrite(ABSENT);
        agent->Print(agent, u"guarded: bare went on\n");
    } else if (same(word, u"deep")) {
        recover(deep);
    } else if (same(word, u"throw")) {
        recover(throw_int);
    }
}

static void run_stray(const CHAR16 *word)
{
    if (same(word, u"noise"))
        stray(MakeNoise);
    else if (same(word, u"endless"))
        stray(MakeEndless);
    else if (same(word, u"circle"))
        circle();
    else if (same(word, u"unmapped"))
        StrayPush(ABSENT);
    else if (same(word, u"zero"))
        zero();
}

static void run(const CHAR16 *word)
{
    static void (*const functions[])(void) = {GuardedCall, GuardedDeclined};

    if (set_policy(word) || run_guard_case(agent, services, functions, word))
        return;
    if (same(word, u"inside") && guarded_inside == EFI_NOT_READY)
        agent->Print(agent, u"guarded: not ready inside\n");
    else if (same(word, u"where"))
        agent->Backtrace(agent, NULL);
    else if (same(word, u"break"))
        agent->Break(agent, NULL);
    run_fault(word);
    run_stray(word);
}

static void run_line(CHAR16 *line)
{
    for (CHAR16 *word = line; *line; word = line) {
        while (*line && *line != ' ')
            line++;
        if (*line)
            *line++ = 0;
        run(word);
    }
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    static const EFI_GUID guid = KDAGENT_PROTOCOL_GUID;
    static const struct rt_port port;
    CHAR16 line[LINE_ROOM];
    void *found = NULL;

    (void)image;
    if (EFI_ERROR(table->BootServices->LocateProtocol(&guid, NULL, &found)))
        return EFI_NOT_FOUND;
    agent = found;
    services = table->BootServices;
    if (agent->Revision < 0x00010002u || !rt_init(__ImageBase, &port) ||
        EFI_ERROR(agent->RegisterFaultHandler(agent, __ImageBase, on_fault, NULL)))
        agent->Print(agent, u"guarded: no handler\n");
    while (!EFI_ERROR(agent->Prompt(agent, u"guarded> ", line, LINE_ROOM)))
        run_line(line);
    return agent->RegisterFaultHandler(agent, __ImageBase, NULL, NULL);
}
