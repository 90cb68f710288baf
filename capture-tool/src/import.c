/* import.c - the verb import: recordings of other programs into a capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A format delivers chunks; here they get the start added to their times, are cut into records
 * (stream_file.h), and counted. What is good is kept whatever else an input holds.
 */
#include "import.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "import_text.h"
#include "interrupt.h"
#include "json.h"
#include "progress.h"
#include "verbs.h"

#define TEXT_SIZE 400u

static const struct import_format *const formats[] = {
    &import_capture, &import_jsonl, &import_socat, &import_html, &import_raw,
};

#define FORMAT_COUNT (sizeof formats / sizeof formats[0])

struct import_options {
    struct operands inputs;
    const char *from_debugger;
    const char *from_target;
    const char *file;
    const char *start;
    unsigned format; /* 0: told by the content */
    bool raw;
    bool swap;
    bool json;
};

/* A line of an input, and where it went. */
struct line {
    struct stream_line what;
    int number; /* in the file; -1 until its first chunk */
};

/* The import of one input. */
struct job {
    const struct import_options *options;
    struct stream_file *file;
    const char *name;   /* of the input */
    const char *format; /* NULL: two dumps */
    struct input *input;
    struct line lines[STREAM_LINES_MAX];
    uint64_t start; /* added to each time */
    struct import_faults faults;
    struct problem problem; /* with the file that is written */
    bool failed;
    bool interrupted;
    struct progress progress;
};

void import_fault(struct import_faults *faults, const char *format, ...)
{
    va_list arguments;

    if (faults->count++ > 0)
        return;
    va_start(arguments, format);
    vsnprintf(faults->first.text, sizeof faults->first.text, format, arguments);
    va_end(arguments);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *base = slash ? slash + 1 : path;
#ifdef _WIN32
    const char *backslash = strrchr(base, '\\');

    base = backslash ? backslash + 1 : base;
#endif
    return strcmp(base, "-") == 0 ? "standard input" : base;
}

/* --- from a format to the file */

static bool sink_line(void *context, unsigned line, const struct stream_line *what)
{
    struct job *job = context;

    if (line < STREAM_LINES_MAX)
        job->lines[line].what = *what;
    return true;
}

/* The line as an interface of the file, when its first bytes come. */
static bool begin_line(struct job *job, struct line *line)
{
    char description[TEXT_SIZE];
    struct stream_line what = line->what;

    snprintf(description, sizeof description, "%s%simported from %s",
             what.description ? what.description : "", what.description ? ", " : "",
             base_name(job->name));
    what.name = what.name ? what.name : "kdlens";
    what.description = description;
    line->number = stream_file_add(job->file, &what, &job->problem);
    return line->number >= 0;
}

static enum cap_direction other_direction(enum cap_direction direction)
{
    return direction == CAP_SENT       ? CAP_RECEIVED
           : direction == CAP_RECEIVED ? CAP_SENT
                                       : CAP_DIRECTION_UNKNOWN;
}

static bool sink_chunk(void *context, const struct import_chunk *chunk)
{
    struct job *job = context;
    struct line *line = &job->lines[chunk->line];
    struct stream_bytes bytes = {
        .time = job->start + chunk->time,
        .direction = job->options->swap ? other_direction(chunk->direction) : chunk->direction,
        .bytes = chunk->bytes,
        .size = chunk->size,
    };

    if (job->input ? input_interrupted(job->input) : interrupt_count() > 0) {
        job->interrupted = true;
        return false;
    }
    job->failed = line->number < 0 && !begin_line(job, line);
    bytes.line = line->number;
    job->failed = job->failed || !stream_file_bytes(job->file, &bytes, &job->problem);
    if (job->input)
        progress_step(&job->progress, input_offset(job->input));
    return !job->failed;
}

/* --- what came of it */

static const char *const way_names[] = {
    [CAP_SENT] = "debugger", [CAP_RECEIVED] = "target", [CAP_DIRECTION_UNKNOWN] = "unknown"};

static void print_json(FILE *out, const struct job *job, const struct line *line,
                       enum cap_direction direction, const struct stream_counts *counts)
{
    fprintf(out, "{\"input\": ");
    json_text(out, job->name);
    fprintf(out,
            ", \"format\": \"%s\", \"interface\": %d, \"from\": \"%s\", \"records\": %" PRIu64
            ", \"bytes\": %" PRIu64 ", \"packets\": %" PRIu64 ", \"damaged\": %" PRIu64
            ", \"breakins\": %" PRIu64 ", \"noise\": %" PRIu64 "}\n",
            job->format ? job->format : "dumps", line->number, way_names[direction],
            counts->records, counts->bytes, counts->packets, counts->damaged, counts->breakins,
            counts->noise);
}

/* ", 3 break-ins", unless there are none. */
static void print_some(FILE *out, uint64_t count, const char *one, const char *many)
{
    if (count)
        fprintf(out, ", %" PRIu64 " %s", count, count == 1 ? one : many);
}

static void print_text(FILE *out, enum cap_direction direction, const struct stream_counts *counts)
{
    static const char *const names[] = {[CAP_SENT] = "from the debugger",
                                        [CAP_RECEIVED] = "from the target",
                                        [CAP_DIRECTION_UNKNOWN] = "either way"};

    fprintf(out, "  %-18s %" PRIu64 " packets", names[direction], counts->packets);
    print_some(out, counts->damaged, "of them damaged", "of them damaged");
    print_some(out, counts->breakins, "break-in", "break-ins");
    print_some(out, counts->noise, "byte of noise", "bytes of noise");
    fputc('\n', out);
}

/* Whether the packets say that debugger and target are named the wrong way round. */
static bool looks_swapped(const struct job *job, const struct line *line)
{
    uint64_t against = 0, packets = 0;

    for (int i = CAP_SENT; i <= CAP_RECEIVED; i++) {
        const struct stream_counts *counts =
            stream_file_counts(job->file, line->number, (enum cap_direction)i);

        against += counts->against;
        packets += counts->packets;
    }
    return against > packets / 10;
}

static void report_line(struct job *job, const struct line *line)
{
    FILE *out = strcmp(job->options->file, "-") == 0 ? stderr : stdout;

    stream_file_end(job->file, line->number, &job->problem);
    if (!job->options->json)
        fprintf(out, "%s (%s), interface %d:\n", job->name, job->format ? job->format : "dumps",
                line->number);
    for (int i = CAP_SENT; i <= CAP_DIRECTION_UNKNOWN; i++) {
        const struct stream_counts *counts =
            stream_file_counts(job->file, line->number, (enum cap_direction)i);

        if (counts->records == 0)
            continue;
        if (job->options->json)
            print_json(out, job, line, (enum cap_direction)i, counts);
        else
            print_text(out, (enum cap_direction)i, counts);
    }
    if (looks_swapped(job, line))
        fprintf(stderr,
                "kdlens import: %s: its packets say that debugger and target are the other way "
                "round; see --swap\n",
                job->name);
}

/* The exit status. reason: why the input was not read to its end, or NULL. */
static int report(struct job *job, const char *reason)
{
    bool any = false;

    for (unsigned i = 0; i < STREAM_LINES_MAX; i++) {
        if (job->lines[i].number < 0)
            continue;
        report_line(job, &job->lines[i]);
        any = true;
    }
    reason = job->interrupted ? "interrupted" : reason;
    if (job->failed)
        fprintf(stderr, "kdlens import: %s\n", job->problem.text);
    else if (reason)
        fprintf(stderr, "kdlens import: %s: %s%s\n", job->name, reason,
                any ? "; what is before is kept" : "");
    if (job->faults.count)
        fprintf(stderr, "kdlens import: %s: %s", job->name, job->faults.first.text);
    if (job->faults.count > 1)
        fprintf(stderr, "; left out, with %" PRIu64 " more places", job->faults.count - 1);
    if (job->faults.count)
        fputc('\n', stderr);
    if (!any && !job->failed && !reason && !job->faults.count)
        fprintf(stderr, "kdlens import: %s: nothing to import in it\n", job->name);
    return any && !job->failed && !reason && !job->faults.count ? EXIT_OK : EXIT_FAILED;
}

/* --- one input */

static const struct import_format *choose_format(const struct import_options *options,
                                                 struct input *input, struct problem *problem)
{
    size_t size;
    const uint8_t *head = input_head(input, &size);

    if (options->format > 0)
        return formats[options->format - 1];
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (formats[i]->recognise && formats[i]->recognise(head, size))
            return formats[i];
    if (input_failure(input))
        problem_set(problem, "%s", input_failure(input));
    else if (size == 0)
        problem_set(problem, "empty");
    else
        problem_set(problem, "neither a capture, JSON lines, a log of socat -x, nor one of "
                             "VirtualKD; for raw bytes say --format raw, or --from-debugger and "
                             "--from-target");
    return NULL;
}

static struct job *new_job(const struct import_options *options, struct stream_file *file,
                           const char *name)
{
    struct job *job = calloc(1, sizeof *job);

    if (!job) {
        fprintf(stderr, "kdlens import: out of memory\n");
        return NULL;
    }
    job->options = options;
    job->file = file;
    job->name = name;
    for (unsigned i = 0; i < STREAM_LINES_MAX; i++)
        job->lines[i].number = -1;
    progress_start(&job->progress, name);
    return job;
}

/* The start of recordings that do not say when they began. */
static uint64_t start_of(const struct import_options *options)
{
    uint64_t start = 0;

    if (options->start) {
        struct text text = {options->start, options->start + strlen(options->start)};

        text_take_seconds(&text, &start);
    }
    return start;
}

static int import_input(const struct import_options *options, struct stream_file *file,
                        const char *path)
{
    struct job *job = new_job(options, file, path);
    const struct import_sink sink = {sink_chunk, sink_line, job};
    const struct import_format *format;
    struct problem problem;
    int status = EXIT_FAILED;
    bool fine;

    if (!job)
        return status;
    job->input = input_open(path, &problem);
    if (!job->input) {
        fprintf(stderr, "kdlens import: %s\n", problem.text);
    } else if (!(format = choose_format(options, job->input, &problem))) {
        fprintf(stderr, "kdlens import: %s: %s\n", path, problem.text);
    } else {
        job->format = format->name;
        job->start = format->relative ? start_of(options) : 0;
        fine = format->read(job->input, &sink, &job->faults, &problem);
        progress_end(&job->progress);
        status = report(job, fine ? NULL : problem.text);
    }
    input_close(job->input);
    free(job);
    return status;
}

/* path: may be NULL. False when it cannot be opened. */
static bool open_dump(const char *path, struct input **input)
{
    struct problem problem;

    *input = path ? input_open(path, &problem) : NULL;
    if (path && !*input)
        fprintf(stderr, "kdlens import: %s\n", problem.text);
    return !path || *input;
}

static int import_two(const struct import_options *options, struct stream_file *file)
{
    struct job *job = new_job(
        options, file, options->from_debugger ? options->from_debugger : options->from_target);
    const struct import_sink sink = {sink_chunk, sink_line, job};
    struct input *debugger = NULL, *target = NULL;
    struct problem problem;
    int status = EXIT_FAILED;

    if (!job)
        return status;
    job->start = start_of(options);
    if (open_dump(options->from_debugger, &debugger) && open_dump(options->from_target, &target)) {
        bool fine = import_dumps(debugger, target, &sink, &problem);

        progress_end(&job->progress);
        status = report(job, fine ? NULL : problem.text);
    }
    input_close(debugger);
    input_close(target);
    free(job);
    return status;
}

/* --- the verb */

/* NULL, or what is wrong with the arguments together. */
static const char *check(const struct import_options *options)
{
    bool dumps = options->from_debugger || options->from_target;
    uint64_t start;

    if (!options->file)
        return "-w FILE is missing";
    if (dumps && options->inputs.count)
        return "--from-debugger and --from-target take the place of INPUT";
    if (!dumps && !options->inputs.count)
        return "INPUT is missing";
    if (options->start) {
        struct text text = {options->start, options->start + strlen(options->start)};

        if (!text_take_seconds(&text, &start) || text.at < text.end)
            return "--start: not a number of seconds since 1970 (date +%s prints it)";
    }
    for (size_t i = 0; i < options->inputs.count; i++)
        if (file_same(options->inputs.items[i], options->file))
            return "INPUT and FILE are the same file";
    if ((options->from_debugger && file_same(options->from_debugger, options->file)) ||
        (options->from_target && file_same(options->from_target, options->file)))
        return "a dump and FILE are the same file";
    return NULL;
}

static int run(void *values)
{
    const struct import_options *options = values;
    const struct stream_file_options target = {
        .path = options->file, .application = "kdlens " KDLENS_VERSION, .raw = options->raw};
    const char *wrong = check(options);
    struct stream_file *file;
    struct problem problem;
    int status = EXIT_OK;

    if (wrong) {
        fprintf(stderr, "kdlens import: %s\n", wrong);
        return EXIT_USAGE;
    }
    file = stream_file_new(&target, &problem);
    if (!file) {
        fprintf(stderr, "kdlens import: %s\n", problem.text);
        return EXIT_FAILED;
    }
    interrupt_catch();
    if (options->inputs.count == 0)
        status = import_two(options, file);
    for (size_t i = 0; i < options->inputs.count && interrupt_count() == 0; i++)
        if (import_input(options, file, options->inputs.items[i]) != EXIT_OK)
            status = EXIT_FAILED;
    if (!stream_file_close(file, &problem)) {
        fprintf(stderr, "kdlens import: %s\n", problem.text);
        status = EXIT_FAILED;
    }
    return status;
}

static const char *const format_names[] = {"auto",      "capture", "jsonl", "socat",
                                           "virtualkd", "raw",     NULL};

#define MEMBER(name) offsetof(struct import_options, name)

static const struct operand operands[] = {
    {"INPUT", "a recording; - for standard input. Each becomes an interface of the capture",
     MEMBER(inputs), .optional = true, .many = true, .complete = COMPLETE_FILE},
    {0},
};

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "write the capture to FILE: pcapng, compressed when the name ends in .gz; - for "
             "standard output"},
    {0, "format", OPTION_CHOICE, MEMBER(format), .value = "FORMAT", .choices = format_names,
     .help = "what the inputs are; it is told by their content unless they are raw bytes"},
    {0, "from-debugger", OPTION_TEXT, MEMBER(from_debugger), .value = "DUMP",
     .complete = COMPLETE_FILE, .help = "raw bytes that the debugger sent"},
    {0, "from-target", OPTION_TEXT, MEMBER(from_target), .value = "DUMP", .complete = COMPLETE_FILE,
     .help = "raw bytes that the target sent"},
    {0, "swap", OPTION_FLAG, MEMBER(swap),
     .help = "what the input calls the debugger is the target"},
    {0, "start", OPTION_TEXT, MEMBER(start), .value = "SECONDS",
     .help = "when a recording began that does not say so, in seconds since 1970"},
    {0, "raw", OPTION_FLAG, MEMBER(raw),
     .help = "keep the chunks of the input as records, instead of one for each packet"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "print what was found as JSON lines"},
    {0},
};

static const struct section sections[] = {
    {"Formats",
     "They are told by the content, all but the last."
     "\n capture    pcap, pcapng: UDP of an older tool (debugger 51111, target 51112);"
     "\n            recordings of a tap, to be cut into packets again"
     "\n jsonl      {\"t\": seconds, \"dir\": \"h2t\" or \"t2h\", \"hex\": bytes}, h the debugger"
     "\n socat      log of socat -x -v, or -x, whose first address is the debugger"
     "\n virtualkd  HTML log of VirtualKD(-Redux): payloads only, headers are made up"
     "\n raw        bytes as they came, without directions and times"},
    {"What is good is kept",
     "Where an input breaks off or makes no sense, the place is named and what is good is written; "
     "the exit status is then 1."},
    {"Dumps",
     "A dump has no times and, when there are two, no order: packets are put in one in which a "
     "debugger and a target can have sent them, a microsecond apart. socat -r and -R write such "
     "dumps."},
    {0},
};

static const struct example examples[] = {
    {"kdlens import session.jsonl -w session.pcapng", "JSON lines of a recorder"},
    {"socat -x -v UNIX-LISTEN:wd UNIX-CONNECT:vm 2>&1 | kdlens import - -w session.pcapng",
     "the log of a socat between debugger and target"},
    {"kdlens import --from-debugger dbg.bin --from-target vm.bin -w session.pcapng",
     "a dump of each direction"},
    {0},
};

const struct verb verb_import = {
    .name = "import",
    .summary = "make a capture of recordings of other programs",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct import_options),
    .run = run,
};
