/* stats.c - the verb stats: how much of everything is in a capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>

#include "facts.h"
#include "models.h"
#include "verbs.h"

#define TYPES 16u

struct stats_options {
    struct sessions_options sessions;
    bool json;
};

static const char *const flows[] = {[KD_FLOW_UNKNOWN] = "unknown",
                                    [KD_FLOW_TO_TARGET] = "to_target",
                                    [KD_FLOW_TO_DEBUGGER] = "to_debugger"};

static const char *const datagrams[] = {
    [KDA_DATAGRAM_KD] = "kd",
    [KDA_DATAGRAM_SEALED] = "sealed",
    [KDA_DATAGRAM_EARLY] = "before the key exchange",
    [KDA_DATAGRAM_REFUSED] = "refused",
    [KDA_DATAGRAM_POKE] = "poke",
    [KDA_DATAGRAM_RESPONSE] = "response",
    [KDA_DATAGRAM_EMPTY] = "empty",
    [KDA_DATAGRAM_CONTROL] = "other control",
    [KDA_DATAGRAM_ANNOUNCE] = "announce",
    [KDA_DATAGRAM_DUPLICATE] = "duplicate",
    [KDA_DATAGRAM_REFLECTED] = "reflected",
    [KDA_DATAGRAM_NOISE] = "noise",
};
#define DATAGRAMS (sizeof datagrams / sizeof datagrams[0])

static bool is_nothing(const uint64_t counts[3])
{
    return counts[0] == 0 && counts[1] == 0 && counts[2] == 0;
}

static uint64_t duration(const struct kda_counts *counts)
{
    return counts->last_time > counts->first_time ? counts->last_time - counts->first_time : 0;
}

/* --- JSON lines */

static void by_flow_json(const char *what, const uint64_t counts[3])
{
    printf(", \"%s\": {", what);
    for (unsigned i = 1; i < 3; i++)
        printf("%s\"%s\": %" PRIu64, i > 1 ? ", " : "", flows[i], counts[i]);
    if (counts[KD_FLOW_UNKNOWN])
        printf(", \"unknown\": %" PRIu64, counts[KD_FLOW_UNKNOWN]);
    putchar('}');
}

static void session_json(const struct models_seat *seat)
{
    const struct kda_counts *counts = kda_model_counts(seat->model);
    const struct kda_version *version = kda_model_version(seat->model);
    const struct kd_arch_info *arch = kd_arch_info(kda_model_arch(seat->model));

    fact_begin(stdout, seat->number);
    fact_string(stdout, "kind", "session");
    fact_string(stdout, "name", seat->stream->name);
    fact_number(stdout, "first_frame", counts->first_frame);
    fact_number(stdout, "last_frame", counts->last_frame);
    fact_seconds(stdout, "time", counts->first_time);
    fact_seconds(stdout, "duration", duration(counts));
    if (arch)
        fact_string(stdout, "arch", arch->name);
    if (version->frame) {
        fact_number(stdout, "build", version->build);
        fact_number(stdout, "protocol", version->protocol);
        fact_hex(stdout, "kern_base", version->kern_base);
    }
    by_flow_json("bytes", counts->bytes);
    by_flow_json("breakins", counts->breakins);
    by_flow_json("damaged", counts->damaged);
    by_flow_json("repeated", counts->repeated);
    by_flow_json("noise_bytes", counts->noise_bytes);
    fact_number(stdout, "gaps", counts->gaps);
    fact_number(stdout, "gap_bytes", counts->gap_bytes);
    fact_number(stdout, "stops", counts->stops);
    for (unsigned i = 0; i < 5; i++) {
        char name[32];

        snprintf(name, sizeof name, "stops_%s", reason_name((enum kda_reason)i));
        fact_number(stdout, name, counts->stops_by[i]);
    }
    fact_seconds(stdout, "stopped", counts->stopped_time);
    fact_seconds(stdout, "running", counts->running_time);
    fact_number(stdout, "prints", counts->prints);
    fact_number(stdout, "print_bytes", counts->print_bytes);
    fact_number(stdout, "prompts", counts->prompts);
    fact_number(stdout, "file_creates", counts->file_requests[0]);
    fact_number(stdout, "file_reads", counts->file_requests[1]);
    fact_number(stdout, "file_writes", counts->file_requests[2]);
    fact_number(stdout, "file_closes", counts->file_requests[3]);
    fact_end(stdout);
}

static void packets_json(const struct models_seat *seat)
{
    const struct kda_counts *counts = kda_model_counts(seat->model);

    for (unsigned type = 0; type < TYPES; type++) {
        const char *name = kd_value_name(KD_SET_ID_packet_type, type);
        const uint64_t by_flow[3] = {counts->packets[0][type], counts->packets[1][type],
                                     counts->packets[2][type]};

        if (is_nothing(by_flow))
            continue;
        fact_begin(stdout, seat->number);
        fact_string(stdout, "kind", "packets");
        fact_string(stdout, "type", name ? name : "?");
        for (unsigned i = 0; i < 3; i++)
            if (i || by_flow[i])
                fact_number(stdout, flows[i], by_flow[i]);
        fact_end(stdout);
    }
}

static void datagrams_json(const struct models_seat *seat)
{
    const struct kda_counts *counts = kda_model_counts(seat->model);

    for (unsigned i = 0; i < DATAGRAMS; i++) {
        if (!counts->datagrams[i])
            continue;
        fact_begin(stdout, seat->number);
        fact_string(stdout, "kind", "datagrams");
        fact_string(stdout, "type", datagrams[i]);
        fact_number(stdout, "count", counts->datagrams[i]);
        fact_end(stdout);
    }
}

static void apis_json(const struct models_seat *seat)
{
    const struct kda_counts *counts = kda_model_counts(seat->model);

    for (unsigned i = 0; i < KDA_APIS; i++) {
        const struct kda_api_count *count = &counts->apis[i];
        const struct kd_api_info *api = kd_api_find(KD_API_READ_VIRTUAL_MEMORY + i);

        if (!count->requests && !count->replies && !count->repeated)
            continue;
        fact_begin(stdout, seat->number);
        fact_string(stdout, "kind", "api");
        fact_hex(stdout, "api", KD_API_READ_VIRTUAL_MEMORY + i);
        fact_string(stdout, "name", api ? api->name : "?");
        fact_number(stdout, "requests", count->requests);
        fact_number(stdout, "replies", count->replies);
        fact_number(stdout, "refused", count->refused);
        fact_number(stdout, "repeated", count->repeated);
        fact_number(stdout, "bytes", count->bytes);
        if (count->answered) {
            fact_seconds(stdout, "mean", count->total_time / count->answered);
            fact_seconds(stdout, "longest", count->longest);
            fact_number(stdout, "longest_frame", count->longest_frame);
        }
        fact_end(stdout);
    }
}

/* --- text */

static void row(const char *what, const uint64_t counts[3])
{
    if (is_nothing(counts))
        return;
    printf("  %-22s %12" PRIu64 " %12" PRIu64, what, counts[KD_FLOW_TO_TARGET],
           counts[KD_FLOW_TO_DEBUGGER]);
    if (counts[KD_FLOW_UNKNOWN])
        printf(" %12" PRIu64 " (direction unknown)", counts[KD_FLOW_UNKNOWN]);
    putchar('\n');
}

static void target_text(const struct models_seat *seat)
{
    const struct kda_version *version = kda_model_version(seat->model);
    const struct kd_arch_info *arch = kd_arch_info(kda_model_arch(seat->model));
    const char *kind = kd_value_name(KD_SET_ID_version_kind, version->major >> 8);
    char base[ADDRESS_TEXT_SIZE];

    if (!arch)
        return;
    printf("target   %s", arch->name);
    if (version->frame) {
        address_text(version->kern_base, base);
        printf(", %s, build %u, protocol %u, kernel or loader at %s", kind ? kind : "kind unknown",
               version->build, version->protocol, base);
    }
    if (version->processors)
        printf(", %" PRIu32 " processor%s", version->processors,
               version->processors == 1 ? "" : "s");
    putchar('\n');
}

static void packets_text(const struct kda_counts *counts)
{
    printf("\n  %-22s %12s %12s\n", "", "to target", "to debugger");
    for (unsigned type = 0; type < TYPES; type++) {
        const char *name = kd_value_name(KD_SET_ID_packet_type, type);
        const uint64_t by_flow[3] = {counts->packets[0][type], counts->packets[1][type],
                                     counts->packets[2][type]};

        row(name ? name : "?", by_flow);
    }
    row("break-in", counts->breakins);
    row("bytes", counts->bytes);
    row("repeated packets", counts->repeated);
    row("damaged packets", counts->damaged);
    row("noise, bytes", counts->noise_bytes);
}

static void datagrams_text(const struct kda_counts *counts)
{
    bool head = false;

    for (unsigned i = 0; i < DATAGRAMS; i++) {
        if (!counts->datagrams[i])
            continue;
        if (!head)
            printf("\n  KDNET datagrams\n");
        head = true;
        printf("  %-25s %9" PRIu64 "\n", datagrams[i], counts->datagrams[i]);
    }
}

static void apis_text(const struct kda_counts *counts)
{
    bool head = false;

    for (unsigned i = 0; i < KDA_APIS; i++) {
        const struct kda_api_count *count = &counts->apis[i];
        const struct kd_api_info *api = kd_api_find(KD_API_READ_VIRTUAL_MEMORY + i);
        char mean[DURATION_TEXT_SIZE] = "", longest[DURATION_TEXT_SIZE] = "";

        if (!count->requests && !count->replies && !count->repeated)
            continue;
        if (!head)
            printf("\n  %-28s %8s %8s %8s %11s %10s %10s\n", "request", "sent", "replies",
                   "refused", "bytes", "mean", "longest");
        head = true;
        if (count->answered) {
            duration_text(count->total_time / count->answered, mean);
            duration_text(count->longest, longest);
        }
        printf("  %-28s %8" PRIu64 " %8" PRIu64 " %8" PRIu64 " %11" PRIu64 " %10s %10s\n",
               api ? api->name : "?", count->requests, count->replies, count->refused, count->bytes,
               mean, longest);
    }
}

static void stops_text(const struct kda_counts *counts)
{
    char stopped[DURATION_TEXT_SIZE], running[DURATION_TEXT_SIZE];

    duration_text(counts->stopped_time, stopped);
    duration_text(counts->running_time, running);
    printf("\nstops    %" PRIu64 ": %" PRIu64 " exceptions, %" PRIu64 " loads, %" PRIu64
           " unloads, %" PRIu64 " commands; stopped %s, running %s\n",
           counts->stops, counts->stops_by[KDA_REASON_EXCEPTION], counts->stops_by[KDA_REASON_LOAD],
           counts->stops_by[KDA_REASON_UNLOAD], counts->stops_by[KDA_REASON_COMMAND], stopped,
           running);
    printf("prints   %" PRIu64 " of %" PRIu64 " bytes, %" PRIu64 " prompts\n", counts->prints,
           counts->print_bytes, counts->prompts);
    printf("files    %" PRIu64 " opened, %" PRIu64 " reads, %" PRIu64 " writes, %" PRIu64
           " closed\n",
           counts->file_requests[0], counts->file_requests[1], counts->file_requests[2],
           counts->file_requests[3]);
    if (counts->gaps)
        printf("capture  lacks bytes or records in %" PRIu64 " places, %" PRIu64
               " bytes at least\n",
               counts->gaps, counts->gap_bytes);
}

static void session_text(const struct models_seat *seat)
{
    const struct kda_counts *counts = kda_model_counts(seat->model);
    char text[DURATION_TEXT_SIZE];

    duration_text(duration(counts), text);
    printf("session  %u, %s%s%s\n", seat->number, seat->stream->name,
           seat->stream->description[0] ? ", " : "", seat->stream->description);
    printf("frames   %" PRIu32 " to %" PRIu32 ", %s\n", counts->first_frame, counts->last_frame,
           text);
    target_text(seat);
    packets_text(counts);
    datagrams_text(counts);
    apis_text(counts);
    stops_text(counts);
}

/* --- the verb */

static void print(const struct models_seat *seat)
{
    const struct stats_options *options = seat->context;

    if (options->json) {
        session_json(seat);
        packets_json(seat);
        datagrams_json(seat);
        apis_json(seat);
        return;
    }
    if (seat->number > 1)
        putchar('\n');
    session_text(seat);
}

static int run(void *values)
{
    struct stats_options *options = values;

    return models_verb("stats", &options->sessions, 0, NULL, options, print);
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct stats_options, sessions),
    {0},
};

static const struct option options[] = {
    {0, "json", OPTION_FLAG, offsetof(struct stats_options, json),
     .help = "JSON lines: one for each session, packet type and request"},
    SESSIONS_OPTIONS(struct stats_options, sessions),
    {0},
};

static const struct example examples[] = {
    {"kdlens stats session.pcapng", "what is in it"},
    {0},
};

const struct verb verb_stats = {
    .name = "stats",
    .summary = "count what a capture holds: packets, requests, times",
    .operands = operands,
    .options = options,
    .examples = examples,
    .size = sizeof(struct stats_options),
    .run = run,
};
