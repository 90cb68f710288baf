/* writes.c - the verb writes: what the debugger changed in the target.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Each write is printed as it comes. Registers are named by the tables of lib/kd: of a CONTEXT or
 * of special registers that were set, those that differ from what was read before.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "models.h"
#include "verbs.h"

#define SHOWN_BYTES   32u
#define SUCCESS_BELOW UINT32_C(0x80000000)

struct writes_options {
    struct sessions_options sessions;
    bool json;
    bool all;
    unsigned last; /* session printed last */
};

static const char *const kinds[KDA_WRITE_KINDS] = {
    [KDA_WRITE_VIRTUAL] = "memory",
    [KDA_WRITE_PHYSICAL] = "physical",
    [KDA_WRITE_FILL_VIRTUAL] = "fill",
    [KDA_WRITE_FILL_PHYSICAL] = "fill-physical",
    [KDA_WRITE_CONTEXT] = "context",
    [KDA_WRITE_CONTROL_SPACE] = "control-space",
    [KDA_WRITE_PORT] = "port",
    [KDA_WRITE_MSR] = "msr",
    [KDA_WRITE_BUS] = "bus-data",
    [KDA_WRITE_BREAKPOINT_SET] = "breakpoint-set",
    [KDA_WRITE_BREAKPOINT_CLEAR] = "breakpoint-clear",
};

/* The bytes of a write, and those before it where they are known. */
struct bytes {
    uint8_t *data, *before, *known; /* known: a bit for each byte; NULL: all of before */
    size_t size, before_size;
};

static uint8_t *copy(const struct kda_model *model, struct kda_bytes bytes)
{
    uint8_t *out = malloc(bytes.size + 1u);

    if (out && !kda_model_bytes(model, bytes, out))
        memset(out, 0, bytes.size);
    return out;
}

static void get_bytes(const struct kda_model *model, const struct kda_write *write,
                      struct bytes *out)
{
    *out = (struct bytes){.size = write->data.size, .before_size = write->before.size};
    out->data = copy(model, write->data);
    out->before = write->before.size ? copy(model, write->before) : NULL;
    out->known = write->known.size ? copy(model, write->known) : NULL;
    if (!out->data)
        out->size = 0;
    if (!out->before)
        out->before_size = 0;
}

static void free_bytes(struct bytes *bytes)
{
    free(bytes->data);
    free(bytes->before);
    free(bytes->known);
}

static bool is_known(const struct bytes *bytes, size_t i)
{
    return i < bytes->before_size && (!bytes->known || bytes->known[i / 8] >> i % 8 & 1);
}

/* --- registers */

static const struct kd_layout *layout_of(const struct kda_model *model,
                                         const struct kda_write *write)
{
    const struct kd_arch_info *arch = kd_arch_info(kda_model_arch(model));

    if (!arch)
        return NULL;
    if (write->kind == KDA_WRITE_CONTEXT)
        return &kd_layouts[arch->context];
    return write->kind == KDA_WRITE_CONTROL_SPACE && write->address == arch->special_selector
               ? &kd_layouts[arch->special]
               : NULL;
}

static uint64_t number_at(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = 0; i < size && i < 8; i++)
        value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

struct changed {
    const char *name;
    uint64_t before, now;
};

/* The next register that differs; *at is the row to begin with. */
static bool next_changed(const struct kd_layout *layout, const struct kda_write *write,
                         const struct bytes *bytes, size_t *at, struct changed *out)
{
    size_t from = write->kind == KDA_WRITE_CONTEXT ? (size_t)write->address : 0;

    for (; *at < layout->count; ++*at) {
        const struct kd_field *field = &layout->fields[*at];
        size_t width = kd_type_size((enum kd_type)field->type), place = field->offset - from;

        if (!field->member || field->count > 1 || width > 8 || field->offset < from ||
            place + width > bytes->size || place + width > bytes->before_size ||
            memcmp(bytes->data + place, bytes->before + place, width) == 0)
            continue;
        *out = (struct changed){field->label, number_at(bytes->before + place, width),
                                number_at(bytes->data + place, width)};
        ++*at;
        return true;
    }
    return false;
}

/* --- JSON */

static void registers_json(const struct kd_layout *layout, const struct kda_write *write,
                           const struct bytes *bytes)
{
    const char *separator = "";
    struct changed changed;

    printf(", \"changed\": {");
    for (size_t at = 0; next_changed(layout, write, bytes, &at, &changed); separator = ", ")
        printf("%s\"%s\": [\"0x%" PRIx64 "\", \"0x%" PRIx64 "\"]", separator, changed.name,
               changed.before, changed.now);
    putchar('}');
}

static void before_json(const struct bytes *bytes)
{
    printf(", \"before\": \"");
    for (size_t i = 0; i < bytes->before_size; i++) {
        if (is_known(bytes, i))
            printf("%02x", bytes->before[i]);
        else
            printf("??");
    }
    putchar('"');
}

static void write_json(const struct models_seat *seat, const struct kda_write *write,
                       const struct bytes *bytes)
{
    const struct kd_layout *layout = layout_of(seat->model, write);
    bool memory = write->kind <= KDA_WRITE_FILL_PHYSICAL;

    fact_begin(stdout, seat->number);
    fact_string(stdout, "kind", kinds[write->kind]);
    fact_number(stdout, "frame", write->frame);
    fact_number(stdout, "reply_frame", write->reply);
    if (write->stop)
        fact_number(stdout, "stop_frame", write->stop);
    fact_seconds(stdout, "time", write->time);
    fact_number(stdout, "processor", write->processor);
    fact_hex(stdout, "status", write->status);
    if (memory)
        fact_address(stdout, "address", seat->model, write->address, write->frame);
    else
        fact_hex(stdout, "address", write->address);
    if (write->handle)
        fact_number(stdout, "handle", write->handle);
    if (write->kind == KDA_WRITE_BUS)
        fact_hex(stdout, "offset", write->offset);
    fact_number(stdout, "size", write->size);
    fact_number(stdout, "actual", write->actual);
    if (bytes->size)
        fact_bytes(stdout, "bytes", bytes->data, bytes->size);
    if (bytes->before_size)
        before_json(bytes);
    if (layout && bytes->before_size)
        registers_json(layout, write, bytes);
    fact_end(stdout);
}

/* --- text */

static void registers_text(const struct kd_layout *layout, const struct kda_write *write,
                           const struct bytes *bytes)
{
    struct changed changed;
    bool any = false;

    if (bytes->before_size == 0) {
        printf("%zu bytes; not read before\n", bytes->size);
        return;
    }
    for (size_t at = 0; next_changed(layout, write, bytes, &at, &changed); any = true)
        printf("%s%s %" PRIx64 " -> %" PRIx64, any ? ", " : "", changed.name, changed.before,
               changed.now);
    printf("%s\n", any ? "" : "as before");
}

static void before_text(const struct bytes *bytes)
{
    size_t shown = bytes->before_size < SHOWN_BYTES ? bytes->before_size : SHOWN_BYTES;

    printf(", before ");
    for (size_t i = 0; i < shown; i++) {
        if (is_known(bytes, i))
            printf("%s%02x", i ? " " : "", bytes->before[i]);
        else
            printf("%s??", i ? " " : "");
    }
    if (bytes->before_size > shown)
        printf(" ...");
}

static void memory_text(const struct models_seat *seat, const struct kda_write *write,
                        const struct bytes *bytes)
{
    bool fill = write->kind == KDA_WRITE_FILL_VIRTUAL || write->kind == KDA_WRITE_FILL_PHYSICAL;
    char address[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE] = "";

    address_text(write->address, address);
    if (write->kind == KDA_WRITE_VIRTUAL || write->kind == KDA_WRITE_FILL_VIRTUAL)
        place_text(seat->model, write->address, write->frame, place);
    printf("%s%s%s%s, %" PRIu32 " byte%s %s ", address, place[0] ? " (" : "", place,
           place[0] ? ")" : "", write->actual, write->actual == 1 ? "" : "s", fill ? "of" : "=");
    show_bytes(stdout, bytes->data, bytes->size, SHOWN_BYTES);
    if (bytes->before_size)
        before_text(bytes);
    if (write->actual < write->size)
        printf("; %" PRIu32 " were asked for", write->size);
    putchar('\n');
}

static void value_text(const struct kda_write *write, const struct bytes *bytes)
{
    switch (write->kind) {
    case KDA_WRITE_PORT:
        printf("0x%" PRIx64 ", %" PRIu32 " byte%s = %" PRIx64 "\n", write->address, write->size,
               write->size == 1 ? "" : "s", number_at(bytes->data, bytes->size));
        break;
    case KDA_WRITE_MSR:
        printf("0x%" PRIx64 " = %" PRIx64 "\n", write->address,
               number_at(bytes->data, bytes->size));
        break;
    default:
        printf("0x%" PRIx64, write->address);
        if (write->kind == KDA_WRITE_BUS)
            printf(", offset 0x%" PRIx32, write->offset);
        printf(", %zu bytes = ", bytes->size);
        show_bytes(stdout, bytes->data, bytes->size, SHOWN_BYTES);
        putchar('\n');
        break;
    }
}

static void breakpoint_text(const struct models_seat *seat, const struct kda_write *write)
{
    char address[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE];

    printf("handle %" PRIu32, write->handle);
    if (write->address) {
        address_text(write->address, address);
        place_text(seat->model, write->address, write->frame, place);
        printf(" at %s%s%s", address, place[0] ? " " : "", place);
    }
    putchar('\n');
}

static void write_text(const struct models_seat *seat, const struct kda_write *write,
                       const struct bytes *bytes)
{
    const struct kd_layout *layout = layout_of(seat->model, write);
    const char *status = kd_value_name(KD_SET_ID_ntstatus, write->status);

    printf("frame %-7" PRIu32 " %-16s ", write->frame, kinds[write->kind]);
    if (write->status >= SUCCESS_BELOW)
        printf("[%s] ", status ? status : "refused");
    if (layout)
        registers_text(layout, write, bytes);
    else if (write->kind <= KDA_WRITE_FILL_PHYSICAL)
        memory_text(seat, write, bytes);
    else if (write->kind >= KDA_WRITE_BREAKPOINT_SET)
        breakpoint_text(seat, write);
    else
        value_text(write, bytes);
}

/* --- the verb */

/* A debugger that connects clears all breakpoints that there might be; what the target refuses
 * changes nothing. */
static bool is_wanted(const struct writes_options *options, const struct kda_write *write)
{
    return options->all || write->status < SUCCESS_BELOW ||
           (write->kind <= KDA_WRITE_FILL_PHYSICAL && write->actual > 0);
}

static void see_write(void *context, const struct kda_write *write)
{
    const struct models_seat *seat = context;
    struct writes_options *options = seat->context;
    struct bytes bytes;

    if (!is_wanted(options, write))
        return;
    get_bytes(seat->model, write, &bytes);
    if (options->json) {
        write_json(seat, write, &bytes);
    } else {
        say_session(seat->number, seat->stream->name, &options->last);
        write_text(seat, write, &bytes);
    }
    free_bytes(&bytes);
}

static int run(void *values)
{
    struct writes_options *options = values;
    const struct kda_listener listener = {.write = see_write};

    return models_verb("writes", &options->sessions,
                       KDA_KEEP_MODULES | KDA_KEEP_MEMORY | KDA_KEEP_REGISTERS |
                           KDA_KEEP_BREAKPOINTS,
                       &listener, options, NULL);
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct writes_options, sessions),
    {0},
};

static const struct option options[] = {
    {0, "all", OPTION_FLAG, offsetof(struct writes_options, all),
     .help = "also those that the target refused"},
    {0, "json", OPTION_FLAG, offsetof(struct writes_options, json),
     .help = "JSON lines: one for each write"},
    SESSIONS_OPTIONS(struct writes_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Writes",
     "Memory written and filled, registers and special registers set, ports, MSRs and bus data "
     "written, breakpoints set and cleared. \"before\" is what the capture said of the place until "
     "then; ?? is not known. Debuggers write all registers back to change one: named are those "
     "that differ."},
    {0},
};

static const struct example examples[] = {
    {"kdlens writes session.pcapng", "what the debugger changed"},
    {0},
};

const struct verb verb_writes = {
    .name = "writes",
    .summary = "list what the debugger in a capture changed",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct writes_options),
    .run = run,
};
