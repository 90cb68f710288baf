/* stops.c - the verb stops: when the target was stopped, why, for how long, what was asked.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A stop is printed when it is over, so that captures of any length need little memory. A module
 * that only the target's list of modules tells of is looked for when an address belongs to none; as
 * that costs a walk, it is done the first, second, fourth, eighth ... time.
 */
#include <inttypes.h>
#include <stdio.h>

#include "facts.h"
#include "models.h"
#include "verbs.h"

struct stops_options {
    struct sessions_options sessions;
    bool json;
    unsigned last; /* session printed last */
    uint64_t misses, next_walk;
};

static void learn_place(struct stops_options *options, const struct models_seat *seat,
                        const struct kda_stop *stop)
{
    if (kda_model_module_at(seat->model, stop->pc, stop->left_frame ? stop->left_frame : KDA_END))
        return;
    if (options->misses++ < options->next_walk)
        return;
    options->next_walk = options->next_walk ? 2 * options->next_walk : 1;
    kda_model_learn_modules(seat->model);
}

static uint32_t end_of(const struct kda_stop *stop)
{
    return stop->left_frame ? stop->left_frame : KDA_END;
}

/* --- JSON */

static void reason_json(const struct kda_stop *stop)
{
    const char *name = kd_value_name(KD_SET_ID_ntstatus, stop->code);

    fact_string(stdout, "reason", reason_name(stop->reason));
    if (stop->reason == KDA_REASON_EXCEPTION) {
        fact_hex(stdout, "code", stop->code);
        if (name)
            fact_string(stdout, "code_name", name);
        fact_flag(stdout, "first_chance", stop->first_chance);
        fact_hex(stdout, "exception_address", stop->address);
    } else if (stop->reason == KDA_REASON_LOAD || stop->reason == KDA_REASON_UNLOAD) {
        fact_hex(stdout, "base", stop->address);
    }
}

static void asked_json(const struct kda_stop *stop)
{
    fact_flag(stdout, "break_in", stop->asked);
    fact_number(stdout, "requests", stop->requests);
    fact_number(stdout, "refused", stop->refused);
    fact_number(stdout, "reads", stop->reads);
    fact_number(stdout, "read_bytes", stop->read_bytes);
    fact_number(stdout, "writes", stop->writes);
    fact_number(stdout, "written_bytes", stop->written_bytes);
    fact_number(stdout, "breakpoints_set", stop->breakpoints_set);
    fact_number(stdout, "breakpoints_cleared", stop->breakpoints_cleared);
    fact_number(stdout, "prints", stop->prints);
    fact_number(stdout, "files", stop->files);
    fact_number(stdout, "repeated", stop->repeated);
}

static void stop_json(const struct models_seat *seat, const struct kda_stop *stop)
{
    fact_begin(stdout, seat->number);
    fact_number(stdout, "stop", stop->number);
    fact_number(stdout, "frame", stop->frame);
    fact_seconds(stdout, "time", stop->time);
    reason_json(stop);
    fact_number(stdout, "processor", stop->processor);
    fact_number(stdout, "processors", stop->processors);
    fact_hex(stdout, "thread", stop->thread);
    fact_address(stdout, "pc", seat->model, stop->pc, end_of(stop));
    fact_string(stdout, "mode", mode_name(stop->mode));
    fact_hex(stdout, "cs", stop->cs);
    fact_hex(stdout, "dr6", stop->dr6);
    fact_hex(stdout, "dr7", stop->dr7);
    fact_hex(stdout, "flags", stop->flags);
    fact_bytes(stdout, "instructions", stop->stream, stop->stream_size);
    asked_json(stop);
    fact_string(stdout, "left", leave_name(stop->leave));
    if (stop->left_frame) {
        fact_number(stdout, "left_frame", stop->left_frame);
        fact_seconds(stdout, "stopped",
                     stop->left_time > stop->time ? stop->left_time - stop->time : 0);
        fact_hex(stdout, "continue_status", stop->continue_status);
    }
    fact_end(stdout);
}

/* --- text */

/* Which of the processor's own breakpoints it was; Dr6 has a bit for each. */
static void registers_text(const struct kda_stop *stop)
{
    if (stop->arch != KD_ARCH_AMD64 && stop->arch != KD_ARCH_X86)
        return;
    for (unsigned i = 0; i < 4; i++)
        if (stop->dr6 >> i & 1)
            printf(", breakpoint in Dr%u", i);
}

static void reason_text(const struct kda_stop *stop)
{
    const char *name = kd_value_name(KD_SET_ID_ntstatus, stop->code);
    char address[ADDRESS_TEXT_SIZE];

    address_text(stop->address, address);
    switch (stop->reason) {
    case KDA_REASON_EXCEPTION:
        printf("%s (0x%08" PRIx32 "%s)", name ? name : "exception", stop->code,
               stop->first_chance ? "" : ", second chance");
        if (stop->code == KD_NT(STATUS_SINGLE_STEP))
            registers_text(stop);
        break;
    case KDA_REASON_LOAD:
        printf("module loaded at %s", address);
        break;
    case KDA_REASON_UNLOAD:
        if (stop->address == KD_REBOOT || stop->address == KD_HIBERNATE)
            printf("the target %s", stop->address == KD_REBOOT ? "ends or restarts" : "hibernates");
        else
            printf("module unloaded at %s", address);
        break;
    case KDA_REASON_COMMAND:
        printf("command for the debugger");
        break;
    case KDA_REASON_OTHER:
        printf("state change 0x%" PRIx32, stop->new_state);
        break;
    }
}

static void count_text(const char **separator, uint64_t count, const char *what)
{
    if (!count)
        return;
    printf("%s%" PRIu64 " %s%s", *separator, count, what, count == 1 ? "" : "s");
    *separator = ", ";
}

static void asked_text(const struct kda_stop *stop)
{
    const char *separator = "";

    count_text(&separator, stop->requests, "request");
    count_text(&separator, stop->refused, "refusal");
    count_text(&separator, stop->reads, "read");
    if (stop->read_bytes)
        printf(" (%" PRIu64 " bytes)", stop->read_bytes);
    count_text(&separator, stop->writes, "write");
    if (stop->written_bytes)
        printf(" (%" PRIu64 " bytes)", stop->written_bytes);
    count_text(&separator, stop->breakpoints_set, "breakpoint set");
    count_text(&separator, stop->breakpoints_cleared, "breakpoint cleared");
    count_text(&separator, stop->prints, "print");
    count_text(&separator, stop->files, "file request");
    count_text(&separator, stop->repeated, "repetition");
    printf("%s", *separator ? "" : "nothing was asked");
}

static void left_text(const struct kda_stop *stop)
{
    static const char *const words[] = {
        [KDA_LEFT_NOT] = "still stopped at the end of the capture",
        [KDA_LEFT_CONTINUE] = "continued",
        [KDA_LEFT_STEP] = "single step",
        [KDA_LEFT_PROCESSOR] = "other processor",
        [KDA_LEFT_REBOOT] = "reboot",
        [KDA_LEFT_UNSEEN] = "it ran on unseen",
    };
    const char *name = kd_value_name(KD_SET_ID_ntstatus, stop->continue_status);
    char time[DURATION_TEXT_SIZE];

    printf("        %s", words[stop->leave]);
    if (stop->left_frame) {
        duration_text(stop->left_time > stop->time ? stop->left_time - stop->time : 0, time);
        printf(" in frame %" PRIu32 " after %s", stop->left_frame, time);
    }
    if (stop->continue_status)
        printf(", %s", name ? name : "status unknown");
    putchar('\n');
}

static void stop_text(const struct models_seat *seat, const struct kda_stop *stop)
{
    uint64_t zero = kda_model_counts(seat->model)->first_time;
    char address[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE], time[DURATION_TEXT_SIZE];

    address_text(stop->pc, address);
    place_text(seat->model, stop->pc, end_of(stop), place);
    duration_text(stop->time > zero ? stop->time - zero : 0, time);
    printf("stop %-3" PRIu32 "frame %-7" PRIu32 " at %-10s ", stop->number, stop->frame, time);
    reason_text(stop);
    printf("%s\n        processor %u, %s at %s%s%s\n        ",
           stop->asked ? ", after a break-in" : "", stop->processor,
           stop->mode == KDA_MODE_UNKNOWN ? "code" : mode_name(stop->mode), address,
           place[0] ? " " : "", place);
    asked_text(stop);
    putchar('\n');
    left_text(stop);
}

/* --- the verb */

static void left(void *context, const struct kda_stop *stop)
{
    const struct models_seat *seat = context;
    struct stops_options *options = seat->context;

    learn_place(options, seat, stop);
    if (options->json) {
        stop_json(seat, stop);
        return;
    }
    say_session(seat->number, seat->stream->name, &options->last);
    stop_text(seat, stop);
}

static int run(void *values)
{
    struct stops_options *options = values;
    const struct kda_listener listener = {.left = left};

    return models_verb("stops", &options->sessions, KDA_KEEP_MODULES | KDA_KEEP_MEMORY, &listener,
                       options, NULL);
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct stops_options, sessions),
    {0},
};

static const struct option options[] = {
    {0, "json", OPTION_FLAG, offsetof(struct stops_options, json),
     .help = "JSON lines: one for each stop"},
    SESSIONS_OPTIONS(struct stops_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Modes",
     "What code a processor was in comes from the stop itself: AMD64 targets send SegCs, of which "
     "0x23 is 32-bit code of Windows (WoW64); code above 4 GiB is 64-bit."},
    {0},
};

static const struct example examples[] = {
    {"kdlens stops session.pcapng", "why and where the target stopped, and what was asked"},
    {"kdlens stops session.pcapng --json | jq 'select(.code == \"0x80000003\").pc'",
     "where breakpoints were hit"},
    {0},
};

const struct verb verb_stops = {
    .name = "stops",
    .summary = "list the stops of the target in a capture",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct stops_options),
    .run = run,
};
