/* kdexample.c - a program to be debugged, which uses every function of kdagent_protocol.h 1.0.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * It does what the words of its load options say, one after the other: "hello loop=10 break".
 * Without any it asks for a line of such words in the debugger, again and again until "quit".
 * "help" lists them. Names of functions and variables that begin with KdExample are for the
 * debugger: bp kdexample!KdExampleTick, ba w4 kdexample!KdExampleCounter.
 */
#include "efi.h"

#include "kdagent_protocol.h"

#include "exitboot.h"
#include "faults.h"

#define EXPORTED __attribute__((used))

#define LINE_MAX      256u
#define PAGE          4096u
#define SPIN_LIMIT    (UINT64_C(1) << 40) /* half an hour or more, then it ends by itself */
#define WINDOW_BASE   UINT64_C(0xFFFFA00000000000)
#define ABSENT        UINT64_C(0xFFFFFFFF80000000) /* no firmware maps memory here */
#define NOT_CANONICAL UINT64_C(0x8000000000000000)
#define COM1          0x3F8u

EXPORTED volatile uint32_t KdExampleCounter; /* ticks so far */
EXPORTED volatile uint32_t KdExampleStop;    /* ends "spin" when the debugger sets it */
EXPORTED volatile uint32_t KdExampleResult;  /* of the last tick */
EXPORTED uint8_t KdExampleWindow[PAGE];      /* behind the memory handler */
EXPORTED const char KdExampleText[] = "kdexample was here";

struct example {
    EFI_HANDLE image;
    EFI_SYSTEM_TABLE *table;
    EFI_BOOT_SERVICES *services;
    KDAGENT_PROTOCOL *agent;
    bool quit;
};

/* A line of text that grows. */
struct text {
    CHAR16 units[LINE_MAX];
    size_t used;
};

static void add(struct text *text, const char *piece)
{
    while (*piece && text->used + 1 < LINE_MAX)
        text->units[text->used++] = (CHAR16)(uint8_t)*piece++;
    text->units[text->used] = 0;
}

static void add_hex(struct text *text, uint64_t value)
{
    char digits[] = "0x0000000000000000";

    for (size_t i = 0; i < 16; i++)
        digits[17 - i] = "0123456789abcdef"[value >> 4 * i & 15];
    add(text, digits);
}

static void add_decimal(struct text *text, uint64_t value)
{
    char digits[24];
    size_t at = sizeof digits - 1;

    digits[at] = 0;
    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value);
    add(text, digits + at);
}

/* WHAT: status */
static void tell(struct example *example, const char *what, EFI_STATUS status)
{
    struct text text = {.used = 0};

    add(&text, "kdexample: ");
    add(&text, what);
    add(&text, status ? ": status " : ": done");
    if (status)
        add_hex(&text, status);
    add(&text, "\n");
    example->agent->Print(example->agent, text.units);
}

__attribute__((noinline)) EXPORTED uint32_t KdExampleTick(uint32_t number)
{
    KdExampleCounter++;
    KdExampleResult = number * 3 + 1;
    return KdExampleResult;
}

/* Through a pointer the compiler cannot see through, so that every tick is a call. */
static uint32_t (*volatile tick)(uint32_t number) = KdExampleTick;

__attribute__((noinline)) EXPORTED uint64_t KdExampleLoop(uint64_t count)
{
    uint64_t sum = 0;

    for (uint64_t i = 0; i < count; i++)
        sum += tick((uint32_t)i);
    return sum;
}

__attribute__((noinline)) EXPORTED void KdExampleSpin(void)
{
    KdExampleStop = 0;
    for (uint64_t i = 0; i < SPIN_LIMIT && !KdExampleStop; i++)
        ;
}

static void do_hello(struct example *example, uint64_t number)
{
    static CHAR16 earlier[] = u"kdexample: 100% by the earlier protocol, too\n";
    static const EFI_GUID guid = KDAGENT_OUTPUT_PROTOCOL_GUID;
    void *found = NULL;
    struct text text = {.used = 0};

    (void)number;
    add(&text, "kdexample: hello, connected: ");
    add(&text, example->agent->Connected(example->agent) ? "no\n" : "yes\n");
    example->agent->Print(example->agent, text.units);
    if (!EFI_ERROR(example->services->LocateProtocol(&guid, NULL, &found)))
        ((KDAGENT_OUTPUT_PROTOCOL *)found)->OutputMsg(earlier);
}

static void do_prompt(struct example *example, uint64_t number)
{
    CHAR16 answer[64];
    EFI_STATUS status;

    (void)number;
    status = example->agent->Prompt(example->agent, u"kdexample: what is your name? ", answer, 64);
    if (EFI_ERROR(status)) {
        tell(example, "prompt", status);
        return;
    }
    example->agent->Print(example->agent, u"kdexample: hello, ");
    example->agent->Print(example->agent, answer);
    example->agent->Print(example->agent, u"\n");
}

/* A copy of this program's image, as a loader of its own would make it. */
static void do_module(struct example *example, uint64_t number)
{
    static const EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    uint64_t copy = 0;
    void *found = NULL;
    UINTN pages;

    (void)number;
    if (EFI_ERROR(example->services->HandleProtocol(example->image, &guid, &found)))
        return;
    loaded = found;
    pages = (loaded->ImageSize + PAGE - 1) / PAGE;
    if (EFI_ERROR(example->services->AllocatePages(AllocateAnyPages, EfiLoaderData, pages, &copy)))
        return;
    for (uint64_t i = 0; i < loaded->ImageSize; i++)
        ((volatile uint8_t *)(uintptr_t)copy)[i] = ((const uint8_t *)loaded->ImageBase)[i];
    tell(example, "report module",
         example->agent->ReportModule(example->agent, u"\\kdexample\\kdcopy.efi",
                                      (const void *)(uintptr_t)copy));
    tell(example, "forget module",
         example->agent->ForgetModule(example->agent, (const void *)(uintptr_t)copy));
    example->services->FreePages(copy, pages);
}

static void do_break(struct example *example, uint64_t number)
{
    (void)number;
    tell(example, "break",
         example->agent->Break(example->agent, u"kdexample: stops, do_break is up the stack\n"));
}

static void do_record(struct example *example, uint64_t number)
{
    (void)number;
    tell(example, "record",
         example->agent->SendRecord(example->agent, u"kdexample", KdExampleText,
                                    sizeof KdExampleText));
}

static void do_command(struct example *example, uint64_t number)
{
    (void)number;
    tell(example, "command",
         example->agent->SendCommand(example->agent, u".echo kdexample asked for this"));
}

static void do_loop(struct example *example, uint64_t number)
{
    struct text text = {.used = 0};
    uint64_t sum = KdExampleLoop(number ? number : 1000);

    add(&text, "kdexample: counter ");
    add_decimal(&text, KdExampleCounter);
    add(&text, ", sum ");
    add_decimal(&text, sum);
    add(&text, "\n");
    example->agent->Print(example->agent, text.units);
}

static void do_spin(struct example *example, uint64_t number)
{
    (void)number;
    example->agent->Print(example->agent, u"kdexample: spins until KdExampleStop is set\n");
    KdExampleSpin();
    tell(example, "spin", 0);
}

static void do_write(struct example *example, uint64_t number)
{
    KdExampleWriteFault(number ? number : ABSENT);
    tell(example, "write fault survived", 0);
}

static void do_read(struct example *example, uint64_t number)
{
    KdExampleReadFault(number ? number : ABSENT);
    tell(example, "read fault survived", 0);
}

static void do_execute(struct example *example, uint64_t number)
{
    KdExampleExecuteFault(number ? number : ABSENT);
    tell(example, "execute fault survived", 0);
}

static void do_protection(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleReadFault(NOT_CANONICAL);
    tell(example, "protection fault survived", 0);
}

static void do_divide(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleDivideFault();
    tell(example, "divide fault survived", 0);
}

static void do_illegal(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleIllegalFault();
    tell(example, "illegal instruction survived", 0);
}

static void do_int3(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleBreakpoint();
    tell(example, "int3 survived", 0);
}

static void do_selector(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleSelectorFault();
    tell(example, "selector fault survived", 0);
}

static void do_stack(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleStackFault(NOT_CANONICAL);
    tell(example, "stack fault survived", 0);
}

static void do_float(struct example *example, uint64_t number)
{
    (void)number;
    KdExampleFloatFault();
    tell(example, "floating point fault survived", 0);
}

/* Comes back only with an error. */
static void do_exit_boot(struct example *example, uint64_t number)
{
    EFI_STATUS status =
        KdExampleExitBoot(example->image, example->table, (uint16_t)(number ? number : COM1), tick);

    tell(example, "exit boot services", status);
}

static void do_quit(struct example *example, uint64_t number)
{
    (void)number;
    example->quit = true;
}

static void do_help(struct example *example, uint64_t number);

struct word {
    const char *name;
    void (*run)(struct example *example, uint64_t number);
    const char *help;
};

static const struct word words[] = {
    {"hello", do_hello, "prints"},
    {"prompt", do_prompt, "asks for a name"},
    {"module", do_module, "reports a copy of this image, and forgets it"},
    {"break", do_break, "stops"},
    {"record", do_record, "sends the bytes of KdExampleText"},
    {"command", do_command, "makes the debugger run .echo"},
    {"loop", do_loop, "=N: calls KdExampleTick N times (1000)"},
    {"spin", do_spin, "runs until KdExampleStop is not 0"},
    {"write", do_write, "=ADDRESS: write fault"},
    {"read", do_read, "=ADDRESS: read fault"},
    {"execute", do_execute, "=ADDRESS: execute fault"},
    {"protection", do_protection, "reads an address that is not canonical"},
    {"divide", do_divide, "divides by zero"},
    {"ud2", do_illegal, "illegal instruction"},
    {"int3", do_int3, "breakpoint instruction"},
    {"selector", do_selector, "loads a segment register with a wild selector"},
    {"stack", do_stack, "pushes with rsp not canonical (double fault)"},
    {"float", do_float, "SSE division by zero, not masked"},
    {"exitboot", do_exit_boot, "=PORT: ends boot services, writes to that UART, resets"},
    {"help", do_help, "this list"},
    {"quit", do_quit, "ends the program"},
};
#define WORDS (sizeof words / sizeof words[0])

static void do_help(struct example *example, uint64_t number)
{
    (void)number;
    for (size_t i = 0; i < WORDS; i++) {
        struct text text = {.used = 0};

        add(&text, "  ");
        add(&text, words[i].name);
        add(&text, words[i].help[0] == '=' ? "" : "  ");
        add(&text, words[i].help);
        add(&text, "\n");
        example->agent->Print(example->agent, text.units);
    }
}

/* Decimal, or hexadecimal with 0x; ends at the first other character. */
static uint64_t number_at(const CHAR16 *at)
{
    unsigned base = 10;
    uint64_t value = 0;

    if (at[0] == '0' && (at[1] == 'x' || at[1] == 'X')) {
        base = 16;
        at += 2;
    }
    for (;; at++) {
        unsigned digit = *at >= '0' && *at <= '9'   ? *at - '0'
                         : *at >= 'a' && *at <= 'f' ? *at - 'a' + 10u
                         : *at >= 'A' && *at <= 'F' ? *at - 'A' + 10u
                                                    : 99u;

        if (digit >= base)
            return value;
        value = value * base + digit;
    }
}

/* What follows name in text, or NULL when text does not begin with this word. */
static const CHAR16 *after(const CHAR16 *text, const char *name)
{
    while (*name && *text == (CHAR16)(uint8_t)*name) {
        text++;
        name++;
    }
    return !*name && (!*text || *text == ' ' || *text == '=') ? text : NULL;
}

static void run_word(struct example *example, const CHAR16 *word)
{
    const CHAR16 *rest;

    for (size_t i = 0; i < WORDS; i++) {
        rest = after(word, words[i].name);
        if (rest) {
            words[i].run(example, *rest == '=' ? number_at(rest + 1) : 0);
            return;
        }
    }
    example->agent->Print(example->agent, u"kdexample: no such word; \"help\" lists them\n");
}

/* Whether there was a word. */
static bool run_words(struct example *example, const CHAR16 *line, size_t units)
{
    CHAR16 word[LINE_MAX];
    bool any = false;
    size_t at = 0;

    while (at < units && line[at] && !example->quit) {
        size_t used = 0;

        while (at < units && line[at] == ' ')
            at++;
        while (at < units && line[at] && line[at] != ' ' && used + 1 < LINE_MAX)
            word[used++] = line[at++];
        word[used] = 0;
        /* The shell puts the image's own name in front. */
        if (used && !(used > 4 && word[used - 4] == '.')) {
            any = true;
            run_word(example, word);
        }
    }
    return any;
}

static void run_menu(struct example *example)
{
    CHAR16 line[LINE_MAX];

    while (!example->quit) {
        EFI_STATUS status = example->agent->Prompt(example->agent, u"kdexample> ", line, LINE_MAX);

        if (EFI_ERROR(status))
            return;
        run_words(example, line, LINE_MAX);
    }
}

/* The debugger's command "counter [NUMBER]". */
static EFI_STATUS EFIAPI counter_command(void *context, const CHAR16 *arguments, CHAR16 *answer,
                                         UINTN room)
{
    struct text text = {.used = 0};

    (void)context;
    if (*arguments == '-')
        return EFI_INVALID_PARAMETER;
    if (*arguments)
        KdExampleCounter = (uint32_t)number_at(arguments);
    add(&text, "counter ");
    add_decimal(&text, KdExampleCounter);
    add(&text, "\n");
    for (size_t i = 0; i <= text.used && i < room; i++)
        answer[i] = text.units[i];
    return EFI_SUCCESS;
}

/* The debugger's command "wild": a handler with a defect. */
static EFI_STATUS EFIAPI wild_command(void *context, const CHAR16 *arguments, CHAR16 *answer,
                                      UINTN room)
{
    (void)context;
    (void)arguments;
    (void)answer;
    (void)room;
    KdExampleWriteFault(ABSENT);
    return EFI_SUCCESS;
}

static UINTN EFIAPI window_read(void *context, KDAGENT_UINT64 offset, void *bytes, UINTN size)
{
    uint8_t *out = bytes;

    (void)context;
    for (UINTN i = 0; i < size; i++)
        out[i] = KdExampleWindow[offset + i];
    return size;
}

static UINTN EFIAPI window_write(void *context, KDAGENT_UINT64 offset, const void *bytes,
                                 UINTN size)
{
    const uint8_t *in = bytes;

    (void)context;
    for (UINTN i = 0; i < size; i++)
        KdExampleWindow[offset + i] = in[i];
    return size;
}

static void add_handlers(struct example *example)
{
    for (size_t i = 0; i < PAGE; i++)
        KdExampleWindow[i] = (uint8_t)(i ^ 0x5A);
    example->agent->AddCommand(example->agent, u"counter", u"[NUMBER]: shows or sets the counter",
                               counter_command, example);
    example->agent->AddCommand(example->agent, u"wild", u": faults in the agent's own time",
                               wild_command, example);
    example->agent->AddMemory(example->agent, WINDOW_BASE, PAGE, window_read, window_write,
                              example);
}

/* They must not outlive the image. */
static void remove_handlers(struct example *example)
{
    example->agent->RemoveMemory(example->agent, WINDOW_BASE);
    example->agent->RemoveCommand(example->agent, u"wild");
    example->agent->RemoveCommand(example->agent, u"counter");
}

static bool run_load_options(struct example *example)
{
    static const EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    void *found = NULL;

    if (EFI_ERROR(example->services->HandleProtocol(example->image, &guid, &found)))
        return false;
    loaded = found;
    return loaded->LoadOptions &&
           run_words(example, loaded->LoadOptions, loaded->LoadOptionsSize / sizeof(CHAR16));
}

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table);

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *table)
{
    static const EFI_GUID guid = KDAGENT_PROTOCOL_GUID;
    struct example example = {.image = image, .table = table, .services = table->BootServices};
    void *found = NULL;

    if (EFI_ERROR(table->BootServices->LocateProtocol(&guid, NULL, &found))) {
        table->ConOut->OutputString(
            table->ConOut, u"kdexample: the agent is not here; load kdagent.efi first\r\n");
        return EFI_NOT_FOUND;
    }
    example.agent = found;
    add_handlers(&example);
    if (!run_load_options(&example))
        run_menu(&example);
    remove_handlers(&example);
    return EFI_SUCCESS;
}
