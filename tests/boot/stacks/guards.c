/* guards.c - guarded calls of the agent, tried in all ways. See guards.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Results are hexadecimal numbers in one line: "guard: STATUS VECTOR ERROR ADDRESS", and what the
 * case adds.
 */
#include "guards.h"

#include "efi.h"

#include "kdagent_protocol.h"

#include "frames.h"
#include "rt/windows.h"

#define FLAGS_INTERRUPTS 0x200u
#define FLAGS_DIRECTION  0x400u
#define ABSENT           UINT64_C(0xFFFFFFFF80000000)
#define LINE_ROOM        200u
#define MANY             10000u

typedef void(EFIAPI copy_mem)(void *to, void *from, UINTN size);

long keeps_registers(void (*function)(void));

static struct {
    KDAGENT_PROTOCOL *agent;
    const EFI_BOOT_SERVICES *services;
    void (*const *functions)(void);
    struct rt_context registers;
    KDAGENT_FAULT fault;
    EFI_STATUS inner;
    uint64_t argument;
} test;

static struct {
    CHAR16 text[LINE_ROOM];
    UINTN used;
} line;

static void add(const CHAR16 *text)
{
    while (*text && line.used + 1 < LINE_ROOM)
        line.text[line.used++] = *text++;
    line.text[line.used] = 0;
}

static void add_number(uint64_t value)
{
    CHAR16 digit[2] = {0, 0};
    unsigned digits = 1;

    while (digits < 16 && value >> 4 * digits)
        digits++;
    add(u" ");
    while (digits-- > 0) {
        digit[0] = u"0123456789abcdef"[value >> 4 * digits & 15];
        add(digit);
    }
}

static void say(void)
{
    add(u"\n");
    test.agent->Print(test.agent, line.text);
}

static EFI_STATUS guard(KDAGENT_FUNCTION function, uint64_t argument)
{
    test.fault = (KDAGENT_FAULT){.Vector = 0xFF, .Registers = &test.registers};
    return test.agent->Guard(test.agent, function, (void *)(uintptr_t)argument, &test.fault);
}

static void add_result(EFI_STATUS status)
{
    line.used = 0;
    add(u"guard:");
    add_number(status);
    add_number(test.fault.Vector);
    add_number(test.fault.ErrorCode);
    add_number(test.fault.Address);
}

static void EFIAPI write(void *argument)
{
    DeepLeaf((uint64_t)(uintptr_t)argument);
    __asm__ volatile(""); /* no jump */
}

static void EFIAPI take(void *argument)
{
    test.argument = (uint64_t)(uintptr_t)argument;
}

static void EFIAPI divide(void *argument)
{
    (void)argument;
    __asm__ volatile("xorl %%eax, %%eax\n\tdivl %%eax" : : : "rax", "rdx", "cc");
}

static void EFIAPI illegal(void *argument)
{
    (void)argument;
    __asm__ volatile("ud2");
}

static void EFIAPI call(void *argument)
{
    ((void (*)(void))argument)();
}

static void EFIAPI twice(void *argument)
{
    KDAGENT_FAULT fault = {.Registers = NULL};

    test.inner = test.agent->Guard(test.agent, write, argument, &fault);
    if (fault.Vector == 14)
        divide(NULL);
}

static void EFIAPI raise_tpl(void *argument)
{
    test.services->RaiseTPL(TPL_NOTIFY);
    write(argument);
}

/* The firmware faults. */
static void EFIAPI copy(void *argument)
{
    copy_mem *function = (copy_mem *)(uintptr_t)test.services->CopyMem;

    function(argument, line.text, sizeof line.text);
}

static void clobber(void)
{
    test.agent->Guard(test.agent, (KDAGENT_FUNCTION)ClobberFault, (void *)ABSENT, NULL);
}

static void show(KDAGENT_FUNCTION function, uint64_t argument)
{
    add_result(guard(function, argument));
    add_number(test.registers.rip);
    add_number(test.registers.gpr[IMG_RCX]);
    say();
}

static void show_write(void)
{
    show(write, ABSENT);
}

static void show_return(void)
{
    add_result(guard(take, 0x77));
    add_number(test.argument);
    say();
}

static void show_divide(void)
{
    show(divide, 0);
}

static void show_illegal(void)
{
    show(illegal, 0);
}

static void show_jump(void)
{
    show(call, ABSENT);
}

static void show_nested(void)
{
    add_result(guard(twice, ABSENT));
    add_number(test.inner);
    say();
}

/* What is raised here and comes back is the TPL of the call. */
static void show_tpl(void)
{
    add_result(guard(raise_tpl, ABSENT));
    add_number(test.services->RaiseTPL(TPL_HIGH_LEVEL));
    test.services->RestoreTPL(TPL_APPLICATION);
    say();
}

static void show_firmware(void)
{
    show(copy, ABSENT);
}

static void show_registers(void)
{
    uint64_t changed = (uint64_t)keeps_registers(clobber), flags;

    __asm__ volatile("pushfq\n\tpopq %0\n\tcld" : "=r"(flags));
    add_result(EFI_SUCCESS);
    add_number(changed);
    add_number(flags & (FLAGS_INTERRUPTS | FLAGS_DIRECTION));
    say();
}

static void show_many(void)
{
    uint64_t count = 0;

    for (unsigned i = 0; i < MANY; i++)
        count += guard(write, ABSENT) == EFI_ABORTED;
    add_result(EFI_SUCCESS);
    add_number(count);
    say();
}

/* __try inside takes it, then one that does not; and one outside must not be asked. */
static void show_caught(void)
{
    show(call, (uint64_t)(uintptr_t)test.functions[0]);
}

static void show_declined(void)
{
    show(call, (uint64_t)(uintptr_t)test.functions[1]);
}

static void show_outside(void)
{
    __try {
        show(write, ABSENT);
    } __except (1) {
        test.agent->Print(test.agent, u"guard: taken outside\n");
    }
}

static void show_none(void)
{
    add_result(test.agent->Guard(test.agent, NULL, NULL, NULL));
    say();
}

bool run_guard_case(void *agent, const void *services, void (*const functions[2])(void),
                    const uint16_t *word)
{
    static const struct {
        const CHAR16 *word;
        void (*run)(void);
    } cases[] = {
        {u"g-write", show_write},
        {u"g-return", show_return},
        {u"g-divide", show_divide},
        {u"g-illegal", show_illegal},
        {u"g-jump", show_jump},
        {u"g-nested", show_nested},
        {u"g-tpl", show_tpl},
        {u"g-firmware", show_firmware},
        {u"g-registers", show_registers},
        {u"g-many", show_many},
        {u"g-caught", show_caught},
        {u"g-declined", show_declined},
        {u"g-outside", show_outside},
        {u"g-none", show_none},
    };

    test.agent = agent;
    test.services = services;
    test.functions = functions;
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const CHAR16 *a = word, *b = cases[i].word;

        while (*a && *a == *b) {
            a++;
            b++;
        }
        if (*a == *b) {
            cases[i].run();
            return true;
        }
    }
    return false;
}
