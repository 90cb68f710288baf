/* export.c - the verb export: a KD byte stream out of a capture, for other programs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * One stream is exported: the first, or the one that is asked for. Keys that the capture holds
 * itself are used as they come.
 */
#include "export.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "interrupt.h"
#include "keyring.h"
#include "progress.h"
#include "verbs.h"

#define WRITERS 3u

struct export_options {
    const char *capture;
    const char *as_udp;
    const char *raw;
    const char *jsonl;
    const char *key;
    const char *key_file;
    uint64_t stream; /* from 1; 0: not said */
    bool relative;
};

/* An export on its way. */
struct job {
    const struct export_options *options;
    struct keyring *keyring;
    struct kd_streams *streams;
    const struct export_format *formats[WRITERS];
    void *writers[WRITERS];
    unsigned writer_count;
    uint64_t chunks;
    struct problem problem;
};

static bool add_writer(struct job *job, const struct export_format *format, const char *name)
{
    const struct export_settings settings = {name, job->options->relative};
    void *writer;

    if (!name)
        return true;
    writer = format->open(&settings, &job->problem);
    if (!writer)
        return false;
    job->formats[job->writer_count] = format;
    job->writers[job->writer_count++] = writer;
    return true;
}

/* Keys are asked for only where they are needed: without KDNET a capture may still be one of a
 * tap. */
static bool get_keys(struct job *job)
{
    const struct export_options *options = job->options;

    job->keyring = keyring_new(&job->problem);
    if (!job->keyring)
        return !options->key && !options->key_file;
    if (options->key && !keyring_add(job->keyring, options->key, NULL, &job->problem))
        return false;
    return !options->key_file ||
           keyring_add_file(job->keyring, options->key_file, NULL, &job->problem);
}

static bool open_all(struct job *job)
{
    const struct export_options *options = job->options;
    struct cap_failure failure;
    struct cap_reader *reader;

    if (!get_keys(job))
        return false;
    reader = cap_reader_open(options->capture, &failure);
    if (!reader) {
        problem_set(&job->problem, "%s: %s", options->capture, failure.text);
        return false;
    }
    job->streams = kd_streams_new(reader, job->keyring, &job->problem);
    return job->streams && add_writer(job, &export_udp, options->as_udp) &&
           add_writer(job, &export_raw, options->raw) &&
           add_writer(job, &export_jsonl, options->jsonl);
}

static bool write_all(struct job *job)
{
    unsigned wanted = job->options->stream ? (unsigned)job->options->stream - 1 : 0;
    struct progress progress;
    struct kd_chunk chunk;
    bool fine = true;

    progress_start(&progress, job->options->capture);
    while (fine && interrupt_count() == 0 && kd_streams_next(job->streams, &chunk)) {
        progress_step(&progress, kd_streams_offset(job->streams));
        if (chunk.stream != wanted)
            continue;
        job->chunks++;
        for (unsigned i = 0; fine && i < job->writer_count; i++)
            fine = job->formats[i]->chunk(job->writers[i], &chunk, &job->problem);
    }
    progress_end(&progress);
    return fine;
}

static bool close_all(struct job *job)
{
    bool fine = true;

    for (unsigned i = 0; i < job->writer_count; i++)
        fine = job->formats[i]->close(job->writers[i], &job->problem) && fine;
    return fine;
}

/* --- what there is to say afterwards */

static void list_streams(const struct job *job)
{
    unsigned count = kd_streams_count(job->streams);

    for (unsigned i = 0; i < count; i++) {
        const struct kd_stream *stream = kd_streams_get(job->streams, i);

        fprintf(stderr, "  %u  %s%s%s\n", i + 1, stream->name, stream->description[0] ? ", " : "",
                stream->description);
    }
}

/* Nothing came out. */
static void say_nothing(const struct job *job)
{
    const struct kd_streams_tally *tally = kd_streams_tally(job->streams);
    const char *name = job->options->capture;

    if (kd_streams_count(job->streams)) {
        fprintf(stderr, "kdlens export: %s has no stream %" PRIu64 "; it has\n", name,
                job->options->stream);
        list_streams(job);
    } else if (tally->sealed && job->keyring && keyring_count(job->keyring)) {
        fprintf(stderr,
                "kdlens export: %s: none of %" PRIu64 " KDNET datagrams opens: wrong key?\n", name,
                tally->sealed);
    } else if (tally->sealed) {
        fprintf(stderr, "kdlens export: %s holds KDNET: give its key with --key-file%s\n", name,
                job->keyring ? "" : ", to a kdlens that was built with KDNET");
    } else {
        fprintf(stderr, "kdlens export: %s: none of its %" PRIu64 " packets carries KD\n", name,
                tally->packets);
    }
}

/* The exit status. */
static int report(const struct job *job)
{
    const struct kd_streams_tally *tally = kd_streams_tally(job->streams);
    const struct cap_failure *failure = kd_streams_failure(job->streams);
    const char *name = job->options->capture;
    bool many = kd_streams_count(job->streams) > 1 && !job->options->stream;

    if (failure->kind != CAP_FAILURE_NONE)
        fprintf(stderr, "kdlens export: %s: offset %" PRIu64 ": %s; what is before is exported\n",
                name, failure->offset, failure->text);
    if (interrupt_count()) {
        fprintf(stderr, "kdlens export: interrupted; what was read is exported\n");
        return EXIT_FAILED;
    }
    if (job->chunks == 0)
        say_nothing(job);
    if (job->chunks && tally->sealed)
        fprintf(stderr, "kdlens export: %s: %" PRIu64 " KDNET datagrams could not be opened\n",
                name, tally->sealed);
    if (tally->cut)
        fprintf(stderr, "kdlens export: %s: %" PRIu64 " packets are not whole in the capture\n",
                name, tally->cut);
    if (job->chunks && many) {
        fprintf(stderr,
                "kdlens export: %s holds several streams; exported is 1, others by "
                "--stream\n",
                name);
        list_streams(job);
    }
    return job->chunks && !many && failure->kind == CAP_FAILURE_NONE ? EXIT_OK : EXIT_FAILED;
}

/* --- the verb */

static const char *check(const struct export_options *options)
{
    const char *const files[] = {options->as_udp, options->jsonl};

    if (!options->as_udp && !options->raw && !options->jsonl)
        return "what to write is missing: --as-udp, --raw or --jsonl";
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (files[i] && file_same(files[i], options->capture))
            return "it would overwrite CAPTURE";
    return NULL;
}

static int run(void *values)
{
    const struct export_options *options = values;
    struct job job = {.options = options};
    const char *wrong = check(options);
    int status = EXIT_FAILED;
    bool fine;

    if (wrong) {
        fprintf(stderr, "kdlens export: %s\n", wrong);
        return EXIT_USAGE;
    }
    if (options->key)
        fprintf(stderr, "kdlens export: a key on the command line can be seen by other users; "
                        "--key-file hides it\n");
    interrupt_catch();
    fine = open_all(&job) && write_all(&job);
    if (fine)
        status = report(&job);
    fine = close_all(&job) && fine;
    if (!fine) {
        fprintf(stderr, "kdlens export: %s\n", job.problem.text);
        status = EXIT_FAILED;
    }
    kd_streams_free(job.streams);
    keyring_free(job.keyring);
    return status;
}

#define MEMBER(name) offsetof(struct export_options, name)

static const struct operand operands[] = {
    {"CAPTURE", "a pcapng or pcap file, also compressed by gzip; - for standard input",
     MEMBER(capture), .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {0, "as-udp", OPTION_TEXT, MEMBER(as_udp), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "a pcap file of UDP between port 51111, the debugger, and 51112, the target, for "
             "programs that know KD only so"},
    {0, "raw", OPTION_TEXT, MEMBER(raw), .value = "PREFIX", .complete = COMPLETE_FILE,
     .help = "the bytes, in PREFIX.from-debugger and PREFIX.from-target"},
    {0, "jsonl", OPTION_TEXT, MEMBER(jsonl), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "JSON lines {\"t\": seconds, \"dir\": \"h2t\" or \"t2h\", \"hex\": bytes}; - for "
             "standard output"},
    {0, "relative", OPTION_FLAG, MEMBER(relative),
     .help = "JSON lines: count seconds from the first line instead of from 1970"},
    {0, "stream", OPTION_NUMBER, MEMBER(stream), .value = "N", .min = 1, .max = KD_STREAMS_MAX,
     .help = "which, when the capture holds several"},
    KEYRING_OPTIONS(MEMBER(key_file), MEMBER(key)),
    {0},
};

static const struct section sections[] = {
    {"KDNET",
     "What a key opens is exported as a serial line would carry it: each packet with its trailer "
     "byte. Keys that kdlens keys put into the capture need not be given."},
    {0},
};

static const struct example examples[] = {
    {"kdlens export session.pcapng --jsonl - | less", "look at the bytes"},
    {"kdlens export kdnet.pcapng --key-file key.txt --as-udp old.pcap",
     "a KDNET session for a program that knows UDP 51111 only"},
    {0},
};

const struct verb verb_export = {
    .name = "export",
    .summary = "write the bytes of a capture for other programs",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct export_options),
    .run = run,
};
