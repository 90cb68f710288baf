/* protocol.c - what other UEFI programs can ask of the agent.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "protocol.h"

#include "kd/protocol.h"

#include "pe.h"
#include "text.h"

#ifndef EFI_NO_RESPONSE
#define EFI_NO_RESPONSE (EFI_ERROR_BIT | 16)
#endif

#define ANSWER_MAX      512u /* characters that a prompt's answer may have, NUL included */
#define RECORD_PER_LINE 32u

/* The debugger writes and reads them; no code of the agent's own would need them by name. */
char KdAgentCommand[KDA_COMMAND_LINE];
char KdAgentAnswer[KDA_ANSWER_ROOM];

/* For OutputMsg alone, which gets no This. */
static struct kda_protocol *published;

/* A call on its way into the engine: what it was given, and what comes of it. */
struct request {
    struct kda_protocol *protocol;
    const CHAR16 *text;
    const char *name; /* a tag, or a command's name */
    const void *bytes;
    size_t size;
    uint64_t base;
    CHAR16 *answer;
    KDAGENT_COMMAND command;
    void *context;
    const struct kda_range_entry *range;
    KDAGENT_FAULT_HANDLER fault_handler;
    EFI_STATUS status;
};

static struct kda_protocol *protocol_of(KDAGENT_PROTOCOL *calls)
{
    return (struct kda_protocol *)calls;
}

static EFI_STATUS enter(void (*function)(struct kda_engine *engine, void *argument),
                        struct request *request)
{
    return request->protocol->ports.call(function, request) ? request->status : EFI_NOT_READY;
}

static EFI_STATUS answered(bool by_debugger)
{
    return by_debugger ? EFI_SUCCESS : EFI_NO_RESPONSE;
}

/* Into protocol->utf8, which is free once the engine is entered. */
static size_t take_text(struct kda_protocol *protocol, const CHAR16 *text)
{
    return kda_text_to_utf8(text, kda_text_length16(text, KDAGENT_TEXT_MAX), protocol->utf8,
                            sizeof protocol->utf8);
}

/* A short ASCII text in a buffer of its own; false: too long, or none. */
static bool take_name(const CHAR16 *text, char *out, size_t room)
{
    size_t units;

    if (!text)
        return false;
    units = kda_text_length16(text, room);
    return units && units < room && kda_text_to_utf8(text, units, out, room) == units;
}

static void connected(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    request->status = answered(kda_attached(engine));
}

static EFI_STATUS EFIAPI call_connected(KDAGENT_PROTOCOL *This)
{
    struct request request = {.protocol = protocol_of(This)};

    return enter(connected, &request);
}

static void print(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    size_t size = take_text(request->protocol, request->text);

    request->status = answered(!size || kda_print(engine, request->protocol->utf8, size));
}

static EFI_STATUS EFIAPI call_print(KDAGENT_PROTOCOL *This, const CHAR16 *Text)
{
    struct request request = {.protocol = protocol_of(This), .text = Text};

    return Text ? enter(print, &request) : EFI_INVALID_PARAMETER;
}

static EFI_STATUS EFIAPI call_output(CHAR16 *Text)
{
    struct request request = {.protocol = published, .text = Text};

    if (!published)
        return EFI_NOT_READY;
    return Text ? enter(print, &request) : EFI_INVALID_PARAMETER;
}

static void prompt(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    char *text = request->protocol->utf8, answer[ANSWER_MAX];
    size_t size = take_text(request->protocol, request->text);

    size = kda_prompt(engine, text, size, answer, request->size);
    request->status = answered(size != SIZE_MAX);
    if (size != SIZE_MAX)
        kda_text_to_utf16(answer, size < request->size ? size : request->size, request->answer,
                          request->size);
}

static EFI_STATUS EFIAPI call_prompt(KDAGENT_PROTOCOL *This, const CHAR16 *Text, CHAR16 *Answer,
                                     UINTN AnswerRoom)
{
    struct request request = {
        .protocol = protocol_of(This), .text = Text, .answer = Answer, .size = (size_t)AnswerRoom};

    if (!Text || !Answer || !AnswerRoom || AnswerRoom > ANSWER_MAX)
        return EFI_INVALID_PARAMETER;
    Answer[0] = 0;
    return enter(prompt, &request);
}

/* The place of base among the reported images, or of 0: a free one. */
static uint64_t *find_reported(struct kda_protocol *protocol, uint64_t base)
{
    for (size_t i = 0; i < KDA_REPORTED_MAX; i++) {
        if (protocol->reported[i] == base)
            return &protocol->reported[i];
    }
    return NULL;
}

static EFI_STATUS report(struct kda_engine *engine, const struct request *request)
{
    struct kda_protocol *protocol = request->protocol;
    uint64_t *place = find_reported(protocol, 0);
    struct kda_image image = {.path = protocol->utf8, .base = request->base};
    struct kda_pe headers;

    if (!kda_pe_read(&protocol->ports.machine, request->base, &headers) || !headers.size)
        return EFI_UNSUPPORTED;
    if (find_reported(protocol, request->base) ||
        (protocol->ports.known && protocol->ports.known(request->base)))
        return EFI_ALREADY_STARTED;
    image.entry = headers.entry;
    image.size = headers.size;
    image.checksum = headers.checksum;
    image.timestamp = headers.timestamp;
    if (!place || !take_text(protocol, request->text) || !kda_image_loaded(engine, &image, true))
        return EFI_OUT_OF_RESOURCES;
    *place = request->base;
    return EFI_SUCCESS;
}

static void report_module(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    request->status = report(engine, request);
}

static EFI_STATUS EFIAPI call_report_module(KDAGENT_PROTOCOL *This, const CHAR16 *Path,
                                            const void *Base)
{
    struct request request = {
        .protocol = protocol_of(This), .text = Path, .base = (uint64_t)(uintptr_t)Base};

    if (!Path || !Path[0] || !Base)
        return EFI_INVALID_PARAMETER;
    return enter(report_module, &request);
}

static void forget_module(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    uint64_t *place = find_reported(request->protocol, request->base);

    request->status = EFI_NOT_FOUND;
    if (!place)
        return;
    kda_image_unloaded(engine, *place, true);
    *place = 0;
    request->status = EFI_SUCCESS;
}

static EFI_STATUS EFIAPI call_forget_module(KDAGENT_PROTOCOL *This, const void *Base)
{
    struct request request = {.protocol = protocol_of(This), .base = (uint64_t)(uintptr_t)Base};

    return Base ? enter(forget_module, &request) : EFI_INVALID_PARAMETER;
}

static void stop(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    const struct kda_exception exception = {
        .code = KD_NT(STATUS_BREAKPOINT),
        .address = request->protocol->ports.caller(),
        .count = 1, /* information[0] is 0: a plain breakpoint */
        .first_chance = true,
    };

    if (request->text)
        print(engine, request);
    request->status = answered(kda_stop(engine, &exception) != KDA_NO_DEBUGGER);
}

static EFI_STATUS EFIAPI call_break(KDAGENT_PROTOCOL *This, const CHAR16 *Text)
{
    struct request request = {.protocol = protocol_of(This), .text = Text};

    return enter(stop, &request);
}

static EFI_STATUS status_of(enum kda_added added)
{
    switch (added) {
    case KDA_ADDED:
        return EFI_SUCCESS;
    case KDA_TAKEN:
        return EFI_ALREADY_STARTED;
    case KDA_FULL:
        return EFI_OUT_OF_RESOURCES;
    case KDA_WRONG:
        break;
    }
    return EFI_INVALID_PARAMETER;
}

static void add_command(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    char *help = request->protocol->utf8;

    (void)engine;
    help[0] = 0;
    if (request->text)
        take_text(request->protocol, request->text);
    request->status =
        status_of(kda_handlers_add_command(request->protocol->ports.handlers, request->name, help,
                                           request->command, request->context));
}

static EFI_STATUS EFIAPI call_add_command(KDAGENT_PROTOCOL *This, const CHAR16 *Name,
                                          const CHAR16 *Help, KDAGENT_COMMAND Handler,
                                          void *Context)
{
    char name[KDAGENT_NAME_MAX + 1];
    struct request request = {.protocol = protocol_of(This),
                              .name = name,
                              .text = Help,
                              .command = Handler,
                              .context = Context};

    if (!Handler || !take_name(Name, name, sizeof name))
        return EFI_INVALID_PARAMETER;
    return enter(add_command, &request);
}

static void remove_command(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    (void)engine;
    request->status = kda_handlers_remove_command(request->protocol->ports.handlers, request->name)
                          ? EFI_SUCCESS
                          : EFI_NOT_FOUND;
}

static EFI_STATUS EFIAPI call_remove_command(KDAGENT_PROTOCOL *This, const CHAR16 *Name)
{
    char name[KDAGENT_NAME_MAX + 1];
    struct request request = {.protocol = protocol_of(This), .name = name};

    if (!take_name(Name, name, sizeof name))
        return EFI_INVALID_PARAMETER;
    return enter(remove_command, &request);
}

static void add_memory(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    (void)engine;
    request->status =
        status_of(kda_handlers_add_range(request->protocol->ports.handlers, request->range));
}

static EFI_STATUS EFIAPI call_add_memory(KDAGENT_PROTOCOL *This, KDAGENT_UINT64 Base,
                                         KDAGENT_UINT64 Size, KDAGENT_READ Read,
                                         KDAGENT_WRITE Write, void *Context)
{
    const struct kda_range_entry range = {Base, Size, Read, Write, Context};
    struct request request = {.protocol = protocol_of(This), .range = &range};

    return enter(add_memory, &request);
}

static void remove_memory(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    (void)engine;
    request->status = kda_handlers_remove_range(request->protocol->ports.handlers, request->base)
                          ? EFI_SUCCESS
                          : EFI_NOT_FOUND;
}

static EFI_STATUS EFIAPI call_remove_memory(KDAGENT_PROTOCOL *This, KDAGENT_UINT64 Base)
{
    struct request request = {.protocol = protocol_of(This), .base = Base};

    return enter(remove_memory, &request);
}

static void send_command(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;
    size_t size = take_text(request->protocol, request->text);

    request->status = answered(kda_command(engine, request->protocol->utf8, size));
}

static EFI_STATUS EFIAPI call_send_command(KDAGENT_PROTOCOL *This, const CHAR16 *Text)
{
    struct request request = {.protocol = protocol_of(This), .text = Text};

    return Text && Text[0] ? enter(send_command, &request) : EFI_INVALID_PARAMETER;
}

/* One line of a record. */
struct line {
    char text[KDAGENT_NAME_MAX + 2 * RECORD_PER_LINE + 32];
    size_t used;
};

static void add_text(struct line *line, const char *text)
{
    while (*text)
        line->text[line->used++] = *text++;
}

static void add_hex(struct line *line, uint64_t value, unsigned digits)
{
    while (digits-- > 0)
        line->text[line->used++] = "0123456789abcdef"[value >> 4 * digits & 15];
}

static bool send_line(struct kda_engine *engine, struct line *line)
{
    add_text(line, "}\n");
    return kda_print(engine, line->text, line->used);
}

static bool send_bytes(struct kda_engine *engine, const char *tag, const uint8_t *bytes,
                       size_t size)
{
    struct line line;

    for (size_t at = 0; at < size; at += RECORD_PER_LINE) {
        line.used = 0;
        add_text(&line, "{");
        add_text(&line, tag);
        add_text(&line, " ");
        add_hex(&line, at, 8);
        add_text(&line, " ");
        for (size_t i = at; i < size && i < at + RECORD_PER_LINE; i++)
            add_hex(&line, bytes[i], 2);
        if (!send_line(engine, &line))
            return false;
    }
    line.used = 0;
    add_text(&line, "{");
    add_text(&line, tag);
    add_text(&line, " end ");
    add_hex(&line, size, 8);
    return send_line(engine, &line);
}

static void send_record(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    request->status = answered(send_bytes(engine, request->name, request->bytes, request->size));
}

static EFI_STATUS EFIAPI call_send_record(KDAGENT_PROTOCOL *This, const CHAR16 *Tag,
                                          const void *Bytes, UINTN Size)
{
    char tag[KDAGENT_NAME_MAX + 1];
    struct request request = {
        .protocol = protocol_of(This), .name = tag, .bytes = Bytes, .size = (size_t)Size};

    if (!take_name(Tag, tag, sizeof tag) || (!Bytes && Size) || Size > KDAGENT_RECORD_MAX)
        return EFI_INVALID_PARAMETER;
    for (const char *c = tag; *c; c++) {
        if (*c <= ' ' || *c == '{' || *c == '}')
            return EFI_INVALID_PARAMETER;
    }
    return enter(send_record, &request);
}

static void backtrace(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    if (request->protocol->ports.backtrace(request->bytes))
        request->status = answered(kda_attached(engine));
    else
        request->status = EFI_INVALID_PARAMETER;
}

static EFI_STATUS EFIAPI call_backtrace(KDAGENT_PROTOCOL *This, const void *Context)
{
    struct request request = {.protocol = protocol_of(This), .bytes = Context};

    return enter(backtrace, &request);
}

static void set_policy(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    (void)engine;
    request->protocol->policy = request->size;
    request->status = EFI_SUCCESS;
}

static EFI_STATUS EFIAPI call_set_policy(KDAGENT_PROTOCOL *This, UINTN Policy)
{
    struct request request = {.protocol = protocol_of(This), .size = Policy};

    return Policy <= KDAGENT_NEVER ? enter(set_policy, &request) : EFI_INVALID_PARAMETER;
}

const struct kda_fault_handler *kda_protocol_fault_handler(const struct kda_protocol *protocol,
                                                           uint64_t address)
{
    for (size_t i = 0; i < KDA_FAULT_HANDLERS_MAX; i++) {
        const struct kda_fault_handler *handler = &protocol->fault_handlers[i];

        if (handler->run && address - handler->base < handler->size)
            return handler;
    }
    return NULL;
}

/* The place of an image's handler, or of base 0: a free one. */
static struct kda_fault_handler *find_fault_handler(struct kda_protocol *protocol, uint64_t base)
{
    for (size_t i = 0; i < KDA_FAULT_HANDLERS_MAX; i++) {
        if (protocol->fault_handlers[i].base == base)
            return &protocol->fault_handlers[i];
    }
    return NULL;
}

static EFI_STATUS set_fault_handler(const struct request *request)
{
    struct kda_protocol *protocol = request->protocol;
    struct kda_fault_handler *place = find_fault_handler(protocol, request->base);
    struct kda_pe headers;

    if (!request->fault_handler) {
        if (!place)
            return EFI_NOT_FOUND;
        *place = (struct kda_fault_handler){.base = 0};
        return EFI_SUCCESS;
    }
    if (place)
        return EFI_ALREADY_STARTED;
    if (!kda_pe_read(&protocol->ports.machine, request->base, &headers) || !headers.size)
        return EFI_UNSUPPORTED;
    place = find_fault_handler(protocol, 0);
    if (!place)
        return EFI_OUT_OF_RESOURCES;
    *place = (struct kda_fault_handler){request->base, headers.size, request->fault_handler,
                                        request->context};
    return EFI_SUCCESS;
}

static void register_fault_handler(struct kda_engine *engine, void *argument)
{
    struct request *request = argument;

    (void)engine;
    request->status = set_fault_handler(request);
}

static EFI_STATUS EFIAPI call_register_fault_handler(KDAGENT_PROTOCOL *This, const void *Image,
                                                     KDAGENT_FAULT_HANDLER Handler, void *Context)
{
    struct request request = {.protocol = protocol_of(This),
                              .base = (uint64_t)(uintptr_t)Image,
                              .fault_handler = Handler,
                              .context = Context};

    return Image ? enter(register_fault_handler, &request) : EFI_INVALID_PARAMETER;
}

static EFI_STATUS EFIAPI call_guard(KDAGENT_PROTOCOL *This, KDAGENT_FUNCTION Function,
                                    void *Argument, KDAGENT_FAULT *Fault)
{
    return Function ? protocol_of(This)->ports.guard(Function, Argument, Fault)
                    : EFI_INVALID_PARAMETER;
}

void kda_protocol_init(struct kda_protocol *protocol, const struct kda_protocol_ports *ports)
{
    *protocol = (struct kda_protocol){
        .calls =
            {
                .Revision = KDAGENT_PROTOCOL_REVISION,
                .Size = sizeof protocol->calls,
                .Connected = call_connected,
                .Print = call_print,
                .Prompt = call_prompt,
                .ReportModule = call_report_module,
                .ForgetModule = call_forget_module,
                .Break = call_break,
                .AddCommand = call_add_command,
                .RemoveCommand = call_remove_command,
                .AddMemory = call_add_memory,
                .RemoveMemory = call_remove_memory,
                .SendCommand = call_send_command,
                .SendRecord = call_send_record,
                .Backtrace = call_backtrace,
                .SetExceptionPolicy = call_set_policy,
                .RegisterFaultHandler = call_register_fault_handler,
                .Guard = call_guard,
            },
        .output = {.Revision = 1, .OutputMsg = call_output},
        .ports = *ports,
    };
    published = protocol;
}

void kda_protocol_close(struct kda_protocol *protocol)
{
    if (published == protocol)
        published = NULL;
}
