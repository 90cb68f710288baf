/* test_protocol.c - what other UEFI programs can ask of the agent, and what reaches the engine.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The engine is a recorder, the machine a piece of memory; calls are made through the structures
 * of kdagent_protocol.h, as a program makes them.
 */
#include "protocol.h"

#include "check.h"
#include "kd/protocol.h"

#define MEMORY_BASE UINT64_C(0x100000)
#define MEMORY_SIZE 0x2000u

struct kda_engine {
    char log[8192]; /* what was called, one line each */
    bool answers;
    const char *typed; /* to a prompt */
    struct kda_exception stopped;
    uint64_t loaded[64];
    size_t images;
    bool full;
};

static struct kda_engine engine;
static bool engine_busy;
static uint8_t memory[MEMORY_SIZE];
static struct kda_handlers handlers;
static struct kda_protocol protocol;
static KDAGENT_PROTOCOL *agent;

static void note(const char *what, const char *text, size_t size)
{
    size_t used = strlen(engine.log);

    snprintf(engine.log + used, sizeof engine.log - used, "%s<%.*s>\n", what, (int)size, text);
}

bool kda_print(struct kda_engine *to, const char *text, size_t size)
{
    note("print", text, size);
    return to->answers;
}

size_t kda_prompt(struct kda_engine *to, const char *text, size_t size, char *out, size_t room)
{
    size_t length = strlen(to->typed);

    note("prompt", text, size);
    if (!to->answers)
        return SIZE_MAX;
    if (length > room)
        length = room;
    memcpy(out, to->typed, length);
    return length;
}

bool kda_image_loaded(struct kda_engine *to, const struct kda_image *image, bool tell)
{
    char text[160];
    int size = snprintf(text, sizeof text, "%s %llx %x %llx %x %x %d", image->path,
                        (unsigned long long)image->base, image->size,
                        (unsigned long long)image->entry, image->checksum, image->timestamp, tell);

    if (to->full)
        return false;
    note("loaded", text, (size_t)size);
    to->images++;
    return true;
}

void kda_image_unloaded(struct kda_engine *to, uint64_t base, bool tell)
{
    char text[40];

    note("unloaded", text,
         (size_t)snprintf(text, sizeof text, "%llx %d", (unsigned long long)base, tell));
    to->images--;
}

bool kda_command(struct kda_engine *to, const char *text, size_t size)
{
    note("command", text, size);
    return to->answers;
}

enum kda_outcome kda_stop(struct kda_engine *to, const struct kda_exception *exception)
{
    to->stopped = *exception;
    note("stop", "", 0);
    return to->answers ? KDA_HANDLED : KDA_NO_DEBUGGER;
}

bool kda_attached(const struct kda_engine *of)
{
    return of->answers;
}

static size_t read_memory(void *self, uint64_t address, uint8_t *out, size_t size)
{
    size_t done = 0;

    (void)self;
    for (; done < size; done++, address++) {
        uint64_t line = (uint64_t)(uintptr_t)KdAgentCommand;

        if (address >= MEMORY_BASE && address - MEMORY_BASE < MEMORY_SIZE)
            out[done] = memory[address - MEMORY_BASE];
        else if (address >= line && address - line < KDA_COMMAND_LINE)
            out[done] = (uint8_t)KdAgentCommand[address - line];
        else
            break;
    }
    return done;
}

static size_t write_memory(void *self, uint64_t address, const uint8_t *bytes, size_t size)
{
    size_t done = 0;

    (void)self;
    for (; done < size; done++, address++) {
        uint64_t line = (uint64_t)(uintptr_t)KdAgentCommand;

        if (address >= MEMORY_BASE && address - MEMORY_BASE < MEMORY_SIZE)
            memory[address - MEMORY_BASE] = bytes[done];
        else if (address >= line && address - line < KDA_COMMAND_LINE)
            KdAgentCommand[address - line] = (char)bytes[done];
        else
            break;
    }
    return done;
}

static const struct kda_target_ops memory_ops = {.read_virtual = read_memory,
                                                 .write_virtual = write_memory};

static bool call(void (*function)(struct kda_engine *of, void *argument), void *argument)
{
    if (engine_busy)
        return false;
    engine_busy = true;
    function(&engine, argument);
    engine_busy = false;
    return true;
}

static uint64_t caller(void)
{
    return 0x1234;
}

/* The firmware's own image. */
static bool known(uint64_t base)
{
    return base == MEMORY_BASE + 0x1000;
}

static struct kda_target debugger_sees(void)
{
    return kda_handlers_target(&handlers);
}

static bool backtrace(const void *context)
{
    note("backtrace", context, context ? 4 : 0);
    return !context || !memcmp(context, "good", 4);
}

static EFI_STATUS guard(KDAGENT_FUNCTION function, void *argument, KDAGENT_FAULT *fault)
{
    note("guard", argument, strlen(argument));
    function(argument);
    fault->Vector = 14;
    return EFI_ABORTED;
}

static void begin(void)
{
    const struct kda_target machine = {&memory_ops, NULL};
    const struct kda_protocol_ports ports = {call,  caller,    known,  backtrace,
                                             guard, &handlers, machine};

    memset(&engine, 0, sizeof engine);
    memset(memory, 0, sizeof memory);
    engine.answers = true;
    engine.typed = "";
    engine_busy = false;
    kda_handlers_init(&handlers, &machine, KdAgentCommand, KdAgentAnswer);
    kda_protocol_init(&protocol, &ports);
    agent = &protocol.calls;
}

static void structure(void)
{
    begin();
    CHECK_EQ_U64(agent->Revision, 0x00010002);
    CHECK_EQ_U64(agent->Size, 18 * 8);
    CHECK_EQ_U64(protocol.output.Revision, 1);
    CHECK_EQ_U64(offsetof(KDAGENT_OUTPUT_PROTOCOL, OutputMsg), 8);
}

static void prints(void)
{
    static CHAR16 percent[] = u"100%s %n \u00e9";

    begin();
    CHECK_EQ_U64(agent->Print(agent, u"one\n"), EFI_SUCCESS);
    CHECK_EQ_U64(agent->Print(agent, u""), EFI_SUCCESS);
    CHECK_EQ_U64(protocol.output.OutputMsg(percent), EFI_SUCCESS);
    CHECK_EQ_STR(engine.log, "print<one\n>\nprint<100%s %n \xC3\xA9>\n");
    CHECK_EQ_U64(agent->Print(agent, NULL), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(protocol.output.OutputMsg(NULL), EFI_INVALID_PARAMETER);
    engine.answers = false;
    CHECK(EFI_ERROR(agent->Print(agent, u"x")));
    CHECK(EFI_ERROR(agent->Connected(agent)));
    kda_protocol_close(&protocol);
    CHECK_EQ_U64(protocol.output.OutputMsg(percent), EFI_NOT_READY);
}

static void long_text_is_cut(void)
{
    static CHAR16 text[5000];

    begin();
    for (size_t i = 0; i < 4999; i++)
        text[i] = 0x20AC; /* three bytes of UTF-8 */
    CHECK_EQ_U64(agent->Print(agent, text), EFI_SUCCESS);
    CHECK_EQ_U64(strlen(engine.log), strlen("print<>\n") + 3 * 2048);
}

static void prompts(void)
{
    CHAR16 answer[512];

    begin();
    engine.typed = "yes";
    CHECK_EQ_U64(agent->Prompt(agent, u"sure? ", answer, 512), EFI_SUCCESS);
    CHECK_EQ_MEM(answer, u"yes", 8);
    CHECK_EQ_U64(agent->Prompt(agent, u"sure? ", answer, 3), EFI_SUCCESS);
    CHECK_EQ_MEM(answer, u"ye", 6);
    CHECK_EQ_U64(agent->Prompt(agent, u"", answer, 1), EFI_SUCCESS);
    CHECK_EQ_U64(answer[0], 0);
    CHECK_EQ_U64(agent->Prompt(agent, u"", answer, 0), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->Prompt(agent, u"", answer, 513), EFI_INVALID_PARAMETER);
    engine.answers = false;
    answer[0] = 'x';
    CHECK(EFI_ERROR(agent->Prompt(agent, u"", answer, 512)));
    CHECK_EQ_U64(answer[0], 0);
}

/* Microsoft's PE/COFF specification: signature offset at 0x3c, then Machine, ..., optional header
 * of magic 0x20b at +24. */
static void put_image(size_t at)
{
    uint8_t *image = memory + at;

    memcpy(image, "MZ", 2);
    image[0x3C] = 0x80;
    memcpy(image + 0x80, "PE\0\0\x64\x86", 6);
    memcpy(image + 0x80 + 8, "\x11\x22\x33\x44", 4);   /* TimeDateStamp */
    image[0x80 + 20] = 112;                            /* SizeOfOptionalHeader: no directories */
    memcpy(image + 0x80 + 24, "\x0b\x02", 2);          /* PE32+ */
    memcpy(image + 0x80 + 24 + 16, "\x40\x01\0\0", 4); /* AddressOfEntryPoint */
    memcpy(image + 0x80 + 24 + 56, "\0\x50\0\0", 4);   /* SizeOfImage */
    memcpy(image + 0x80 + 24 + 64, "\xcd\xab\0\0", 4); /* CheckSum */
}

static const void *base(uint64_t offset)
{
    return (const void *)(uintptr_t)(MEMORY_BASE + offset);
}

static void modules(void)
{
    begin();
    put_image(0);
    CHECK_EQ_U64(agent->ReportModule(agent, u"\\efi\\x.efi", base(0)), EFI_SUCCESS);
    CHECK_EQ_U64(agent->ReportModule(agent, u"\\efi\\x.efi", base(0)), EFI_ALREADY_STARTED);
    CHECK_EQ_U64(agent->ForgetModule(agent, base(0)), EFI_SUCCESS);
    CHECK_EQ_U64(agent->ForgetModule(agent, base(0)), EFI_NOT_FOUND);
    CHECK_EQ_STR(engine.log, "loaded<\\efi\\x.efi 100000 5000 100140 abcd 44332211 1>\n"
                             "unloaded<100000 1>\n");
    CHECK_EQ_U64(agent->ReportModule(agent, u"", base(0)), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->ReportModule(agent, NULL, base(0)), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", NULL), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->ForgetModule(agent, NULL), EFI_INVALID_PARAMETER);
    put_image(0x1000);
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(0x1000)), EFI_ALREADY_STARTED);
}

static void not_an_image(void)
{
    begin();
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(0)), EFI_UNSUPPORTED);
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(MEMORY_SIZE)), EFI_UNSUPPORTED);
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(MEMORY_SIZE - 2)), EFI_UNSUPPORTED);
    put_image(0);
    memory[0x3F] = 0xFF; /* headers 4 GiB away */
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(0)), EFI_UNSUPPORTED);
    put_image(0);
    memory[0x3F] = 0;
    memory[0x80 + 24] = 7; /* not PE32+ */
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(0)), EFI_UNSUPPORTED);
    CHECK_EQ_STR(engine.log, "");
}

static void too_many_modules(void)
{
    begin();
    for (size_t i = 0; i <= KDA_REPORTED_MAX; i++)
        put_image(i * 0xF0);
    for (size_t i = 0; i < KDA_REPORTED_MAX; i++)
        CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(i * 0xF0)), EFI_SUCCESS);
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(KDA_REPORTED_MAX * 0xF0)),
                 EFI_OUT_OF_RESOURCES);
    CHECK_EQ_U64(agent->ForgetModule(agent, base(0xF0)), EFI_SUCCESS);
    engine.full = true; /* the loader list is */
    CHECK_EQ_U64(agent->ReportModule(agent, u"x", base(KDA_REPORTED_MAX * 0xF0)),
                 EFI_OUT_OF_RESOURCES);
    CHECK_EQ_U64(agent->ForgetModule(agent, base(KDA_REPORTED_MAX * 0xF0)), EFI_NOT_FOUND);
}

static void breaks(void)
{
    begin();
    CHECK_EQ_U64(agent->Break(agent, u"here\n"), EFI_SUCCESS);
    CHECK_EQ_STR(engine.log, "print<here\n>\nstop<>\n");
    CHECK_EQ_U64(engine.stopped.code, 0x80000003);
    CHECK_EQ_U64(engine.stopped.address, 0x1234);
    CHECK(engine.stopped.first_chance);
    engine.answers = false;
    CHECK(EFI_ERROR(agent->Break(agent, NULL)));
}

static void user_packets(void)
{
    static const uint8_t bytes[34] = {0x00, 0xFF, 0x7F, [33] = 0x21};

    begin();
    CHECK_EQ_U64(agent->SendCommand(agent, u".echo 1"), EFI_SUCCESS);
    CHECK_EQ_U64(agent->SendRecord(agent, u"gop", bytes, 34), EFI_SUCCESS);
    CHECK_EQ_U64(agent->SendRecord(agent, u"none", NULL, 0), EFI_SUCCESS);
    CHECK_EQ_STR(engine.log,
                 "command<.echo 1>\n"
                 "print<{gop 00000000 "
                 "00ff7f0000000000000000000000000000000000000000000000000000000000}\n>\n"
                 "print<{gop 00000020 0021}\n>\n"
                 "print<{gop end 00000022}\n>\n"
                 "print<{none end 00000000}\n>\n");
    CHECK_EQ_U64(agent->SendCommand(agent, u""), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"a b", bytes, 1), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"a}", bytes, 1), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"", bytes, 1), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"a", NULL, 1), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"a", bytes, 65537), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->SendRecord(agent, u"12345678901234567890123456789012", bytes, 1),
                 EFI_INVALID_PARAMETER);
}

/* What the debugger does: a write of text and NUL to the command line. */
static void type(const char *text)
{
    struct kda_target target = debugger_sees();
    size_t size = strlen(text) + 1;

    CHECK_EQ_U64(target.ops->write_virtual(target.self, (uint64_t)(uintptr_t)KdAgentCommand,
                                           (const uint8_t *)text, size),
                 size);
}

static EFI_STATUS EFIAPI shout(void *context, const CHAR16 *arguments, CHAR16 *answer, UINTN room)
{
    size_t used = 0;

    (*(unsigned *)context)++;
    for (; arguments[used] && used + 2 < room; used++)
        answer[used] = arguments[used] >= 'a' && arguments[used] <= 'z'
                           ? (CHAR16)(arguments[used] - 32)
                           : arguments[used];
    answer[used] = 0;
    return EFI_SUCCESS;
}

static EFI_STATUS EFIAPI fail(void *context, const CHAR16 *arguments, CHAR16 *answer, UINTN room)
{
    (void)context;
    (void)arguments;
    for (size_t i = 0; i < room; i++)
        answer[i] = 'f'; /* and no end */
    return EFI_DEVICE_ERROR;
}

static void commands(void)
{
    unsigned called = 0;

    begin();
    CHECK_EQ_U64(agent->AddCommand(agent, u"shout", u"says it loudly", shout, &called),
                 EFI_SUCCESS);
    CHECK_EQ_U64(agent->AddCommand(agent, u"SHOUT", u"", shout, &called), EFI_ALREADY_STARTED);
    CHECK_EQ_U64(agent->AddCommand(agent, u"help", u"", shout, &called), EFI_ALREADY_STARTED);
    type("shout  hello %s w\xC3\xB6rld");
    CHECK_EQ_STR(KdAgentAnswer, "HELLO %S W\xC3\xB6RLD");
    CHECK_EQ_STR(KdAgentCommand, "");
    type("Shout");
    CHECK_EQ_STR(KdAgentAnswer, "");
    CHECK_EQ_U64(called, 2);
    type("help");
    CHECK_EQ_STR(KdAgentAnswer, "help  this list\nshout  says it loudly\n");
    type("whisper a");
    CHECK_EQ_STR(KdAgentAnswer, "no command \"whisper\"; \"help\" lists them\n");
    CHECK_EQ_U64(agent->RemoveCommand(agent, u"shout"), EFI_SUCCESS);
    CHECK_EQ_U64(agent->RemoveCommand(agent, u"shout"), EFI_NOT_FOUND);
    type("shout x");
    CHECK_EQ_U64(called, 2);
}

static void command_names(void)
{
    unsigned called = 0;
    CHAR16 name[] = u"c00";

    begin();
    CHECK_EQ_U64(agent->AddCommand(agent, u"a b", NULL, shout, &called), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddCommand(agent, u"", NULL, shout, &called), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddCommand(agent, NULL, NULL, shout, &called), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddCommand(agent, u"\u00e9", NULL, shout, &called), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddCommand(agent, u"x", NULL, NULL, NULL), EFI_INVALID_PARAMETER);
    for (unsigned i = 0; i < KDA_COMMANDS_MAX; i++) {
        name[1] = (CHAR16)('0' + i / 10);
        name[2] = (CHAR16)('0' + i % 10);
        CHECK_EQ_U64(agent->AddCommand(agent, name, NULL, shout, &called), EFI_SUCCESS);
    }
    CHECK_EQ_U64(agent->AddCommand(agent, u"more", NULL, shout, &called), EFI_OUT_OF_RESOURCES);
}

static void failing_command(void)
{
    begin();
    agent->AddCommand(agent, u"bad", NULL, fail, NULL);
    type("bad");
    CHECK_EQ_U64(KdAgentAnswer[0], 'f');
    CHECK_EQ_STR(strchr(KdAgentAnswer, ' '), " failed: status 0x8000000000000007\n");
}

/* The line takes several writes until its end comes; writes elsewhere and long lines do no harm. */
static void command_line_in_pieces(void)
{
    struct kda_target target;
    uint64_t line = (uint64_t)(uintptr_t)KdAgentCommand;
    uint8_t full[KDA_COMMAND_LINE];
    unsigned called = 0;

    begin();
    target = debugger_sees();
    agent->AddCommand(agent, u"shout", NULL, shout, &called);
    target.ops->write_virtual(target.self, line, (const uint8_t *)"shout ab", 8);
    target.ops->write_virtual(target.self, line + 8, (const uint8_t *)"cd", 2);
    CHECK_EQ_U64(called, 0);
    target.ops->write_virtual(target.self, line + 10, (const uint8_t *)"\n", 1);
    CHECK_EQ_U64(called, 1);
    CHECK_EQ_STR(KdAgentAnswer, "ABCD");
    target.ops->write_virtual(target.self, MEMORY_BASE, (const uint8_t *)"\0\0", 2);
    CHECK_EQ_U64(called, 1);
    memset(full, 'z', sizeof full);
    memcpy(full, "shout ", 6);
    full[sizeof full - 1] = 0;
    target.ops->write_virtual(target.self, line, full, sizeof full);
    CHECK_EQ_U64(called, 2);
    CHECK_EQ_U64(strlen(KdAgentAnswer), KDA_COMMAND_LINE - 1 - 6);
}

struct device {
    uint8_t bytes[64];
    size_t limit; /* of one access */
    unsigned calls;
};

static UINTN EFIAPI device_read(void *context, KDAGENT_UINT64 offset, void *bytes, UINTN size)
{
    struct device *device = context;

    device->calls++;
    if (size > device->limit)
        size = device->limit;
    memcpy(bytes, device->bytes + offset, (size_t)size);
    return size;
}

static UINTN EFIAPI device_write(void *context, KDAGENT_UINT64 offset, const void *bytes,
                                 UINTN size)
{
    struct device *device = context;

    memcpy(device->bytes + offset, bytes, (size_t)size);
    return size;
}

static UINTN EFIAPI liar(void *context, KDAGENT_UINT64 offset, void *bytes, UINTN size)
{
    (void)context;
    (void)offset;
    (void)bytes;
    return size + 1000;
}

static void memory_handlers(void)
{
    struct device device = {.limit = 64};
    struct kda_target target;
    uint8_t out[0x40];

    begin();
    target = debugger_sees();
    for (size_t i = 0; i < 64; i++)
        device.bytes[i] = (uint8_t)(0x80 + i);
    memset(memory, 0x11, sizeof memory);
    CHECK_EQ_U64(
        agent->AddMemory(agent, MEMORY_BASE + 0x10, 0x10, device_read, device_write, &device),
        EFI_SUCCESS);
    /* Memory, handler, memory in one read. */
    CHECK_EQ_U64(target.ops->read_virtual(target.self, MEMORY_BASE, out, 0x30), 0x30);
    CHECK_EQ_U64(out[0x0F], 0x11);
    CHECK_EQ_U64(out[0x10], 0x80);
    CHECK_EQ_U64(out[0x1F], 0x8F);
    CHECK_EQ_U64(out[0x20], 0x11);
    CHECK_EQ_U64(device.calls, 1);
    CHECK_EQ_U64(
        target.ops->write_virtual(target.self, MEMORY_BASE + 0x0E, (const uint8_t *)"abcd", 4), 4);
    CHECK_EQ_MEM(memory + 0x0E, "ab\x11", 3);
    CHECK_EQ_MEM(device.bytes, "cd\x82", 3);
    /* A handler that has less: the count ends there. */
    device.limit = 4;
    CHECK_EQ_U64(target.ops->read_virtual(target.self, MEMORY_BASE, out, 0x30), 0x14);
    CHECK_EQ_U64(agent->RemoveMemory(agent, MEMORY_BASE + 0x10), EFI_SUCCESS);
    CHECK_EQ_U64(agent->RemoveMemory(agent, MEMORY_BASE + 0x10), EFI_NOT_FOUND);
    CHECK_EQ_U64(target.ops->read_virtual(target.self, MEMORY_BASE, out, 0x30), 0x30);
    CHECK_EQ_U64(out[0x10], 0x11);
}

static void memory_where_none_is(void)
{
    struct device device = {.limit = 64};
    struct kda_target target;
    uint8_t out[8];

    begin();
    target = debugger_sees();
    CHECK_EQ_U64(
        agent->AddMemory(agent, UINT64_C(0xFFFFFFFFFFFFFFC0), 64, device_read, NULL, &device),
        EFI_SUCCESS);
    CHECK_EQ_U64(target.ops->read_virtual(target.self, UINT64_C(0xFFFFFFFFFFFFFFF8), out, 8), 8);
    CHECK_EQ_U64(target.ops->read_virtual(target.self, UINT64_C(0xFFFFFFFFFFFFFFB8), out, 8), 0);
    CHECK_EQ_U64(target.ops->write_virtual(target.self, UINT64_C(0xFFFFFFFFFFFFFFF8), out, 8), 0);
}

static void memory_ranges(void)
{
    struct device device = {.limit = 64};
    struct kda_target target;
    uint8_t out[8];

    begin();
    target = debugger_sees();
    CHECK_EQ_U64(agent->AddMemory(agent, 0x1000, 0x100, device_read, NULL, &device), EFI_SUCCESS);
    CHECK_EQ_U64(agent->AddMemory(agent, 0x10FF, 1, device_read, NULL, &device),
                 EFI_ALREADY_STARTED);
    CHECK_EQ_U64(agent->AddMemory(agent, 0xF00, 0x101, device_read, NULL, &device),
                 EFI_ALREADY_STARTED);
    CHECK_EQ_U64(agent->AddMemory(agent, 0xF00, 0x100, device_read, NULL, &device), EFI_SUCCESS);
    CHECK_EQ_U64(agent->AddMemory(agent, 0x5000, 0, device_read, NULL, &device),
                 EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddMemory(agent, 0x5000, 1, NULL, NULL, &device), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(agent->AddMemory(agent, UINT64_MAX, 2, device_read, NULL, &device),
                 EFI_INVALID_PARAMETER);
    for (unsigned i = 2; i < KDA_RANGES_MAX; i++)
        CHECK_EQ_U64(agent->AddMemory(agent, 0x10000u * i, 1, liar, NULL, NULL), EFI_SUCCESS);
    CHECK_EQ_U64(agent->AddMemory(agent, 0x9000000, 1, liar, NULL, NULL), EFI_OUT_OF_RESOURCES);
    /* A handler that says it read more than asked for. */
    CHECK_EQ_U64(target.ops->read_virtual(target.self, 0x20000, out, 4), 1);
}

/* Called by the agent itself, from a handler: nothing is done. */
static EFI_STATUS EFIAPI calls_back(void *context, const CHAR16 *arguments, CHAR16 *answer,
                                    UINTN room)
{
    (void)context;
    (void)arguments;
    (void)room;
    answer[0] = 0;
    CHECK_EQ_U64(agent->Print(agent, u"x"), EFI_NOT_READY);
    CHECK_EQ_U64(agent->Connected(agent), EFI_NOT_READY);
    CHECK_EQ_U64(agent->RemoveCommand(agent, u"inner"), EFI_NOT_READY);
    CHECK_EQ_U64(agent->RemoveMemory(agent, 0), EFI_NOT_READY);
    CHECK_EQ_U64(agent->Break(agent, u"x"), EFI_NOT_READY);
    return EFI_SUCCESS;
}

static void calls_from_a_handler(void)
{
    begin();
    agent->AddCommand(agent, u"inner", NULL, calls_back, NULL);
    engine_busy = true; /* the debugger's write is being served */
    type("inner");
    engine_busy = false;
    CHECK_EQ_STR(engine.log, "");
    CHECK_EQ_U64(agent->RemoveCommand(agent, u"inner"), EFI_SUCCESS);
}

static void backtraces(void)
{
    begin();
    CHECK_EQ_U64(agent->Backtrace(agent, NULL), EFI_SUCCESS);
    CHECK_EQ_U64(agent->Backtrace(agent, "good"), EFI_SUCCESS);
    CHECK_EQ_U64(agent->Backtrace(agent, "lost"), EFI_INVALID_PARAMETER);
    CHECK_EQ_STR(engine.log, "backtrace<>\nbacktrace<good>\nbacktrace<lost>\n");
    engine.answers = false;
    CHECK_EQ_U64(agent->Backtrace(agent, NULL), EFI_NO_RESPONSE);
    engine_busy = true;
    CHECK_EQ_U64(agent->Backtrace(agent, NULL), EFI_NOT_READY);
}

static EFI_STATUS EFIAPI takes(void *context, KDAGENT_FAULT *fault)
{
    (void)context;
    (void)fault;
    return EFI_SUCCESS;
}

static void fault_handlers(void)
{
    int mine;

    begin();
    CHECK(!kda_protocol_fault_handler(&protocol, MEMORY_BASE));
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), takes, &mine), EFI_UNSUPPORTED);
    put_image(0); /* 0x5000 bytes in memory */
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), takes, &mine), EFI_SUCCESS);
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), takes, NULL), EFI_ALREADY_STARTED);
    CHECK(!kda_protocol_fault_handler(&protocol, MEMORY_BASE - 1));
    CHECK(kda_protocol_fault_handler(&protocol, MEMORY_BASE)->context == &mine);
    CHECK(kda_protocol_fault_handler(&protocol, MEMORY_BASE + 0x4FFF)->run == takes);
    CHECK(!kda_protocol_fault_handler(&protocol, MEMORY_BASE + 0x5000));
    CHECK(!kda_protocol_fault_handler(&protocol, 0));
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), NULL, NULL), EFI_SUCCESS);
    CHECK(!kda_protocol_fault_handler(&protocol, MEMORY_BASE));
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), NULL, NULL), EFI_NOT_FOUND);
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, NULL, takes, NULL), EFI_INVALID_PARAMETER);
    engine_busy = true;
    CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(0), takes, NULL), EFI_NOT_READY);
}

static void too_many_fault_handlers(void)
{
    begin();
    for (size_t i = 0; i <= KDA_FAULT_HANDLERS_MAX; i++) {
        put_image(i * 0xF0);
        CHECK_EQ_U64(agent->RegisterFaultHandler(agent, base(i * 0xF0), takes, NULL),
                     i < KDA_FAULT_HANDLERS_MAX ? EFI_SUCCESS : EFI_OUT_OF_RESOURCES);
    }
}

static void policies(void)
{
    begin();
    CHECK_EQ_U64(protocol.policy, KDAGENT_HANDLER_FIRST);
    CHECK_EQ_U64(agent->SetExceptionPolicy(agent, KDAGENT_NEVER), EFI_SUCCESS);
    CHECK_EQ_U64(protocol.policy, KDAGENT_NEVER);
    CHECK_EQ_U64(agent->SetExceptionPolicy(agent, 3), EFI_INVALID_PARAMETER);
    CHECK_EQ_U64(protocol.policy, KDAGENT_NEVER);
    CHECK_EQ_U64(agent->SetExceptionPolicy(agent, KDAGENT_DEBUGGER_FIRST), EFI_SUCCESS);
    CHECK_EQ_U64(protocol.policy, KDAGENT_DEBUGGER_FIRST);
}

static void EFIAPI guarded(void *argument)
{
    note("guarded", argument, strlen(argument));
}

/* It is the program's own call: the engine is not entered. */
static void guards(void)
{
    static char argument[] = "argument";
    KDAGENT_FAULT fault = {0};

    begin();
    engine_busy = true;
    CHECK_EQ_U64(agent->Guard(agent, guarded, argument, &fault), EFI_ABORTED);
    CHECK_EQ_U64(fault.Vector, 14);
    CHECK_EQ_U64(agent->Guard(agent, NULL, argument, &fault), EFI_INVALID_PARAMETER);
    CHECK_EQ_STR(engine.log, "guard<argument>\nguarded<argument>\n");
}

KD_TEST_MAIN({"backtraces", backtraces}, {"guards", guards}, {"fault handlers", fault_handlers},
             {"too many fault handlers", too_many_fault_handlers}, {"policies", policies},
             {"structure", structure}, {"prints", prints}, {"long text is cut", long_text_is_cut},
             {"prompts", prompts}, {"modules", modules}, {"not an image", not_an_image},
             {"too many modules", too_many_modules}, {"breaks", breaks},
             {"user packets", user_packets}, {"commands", commands},
             {"command names", command_names}, {"failing command", failing_command},
             {"command line in pieces", command_line_in_pieces},
             {"memory handlers", memory_handlers}, {"memory where none is", memory_where_none_is},
             {"memory ranges", memory_ranges}, {"calls from a handler", calls_from_a_handler})
