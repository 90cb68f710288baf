/* dump.c - the verb dump: a stop out of a capture, as a file that debuggers open.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "dump.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "facts.h"
#include "files.h"
#include "verbs.h"

enum format { FORMAT_MINIDUMP, FORMAT_ELF, FORMAT_KERNEL };

static const char *const format_names[] = {"minidump", "elf", "kernel", NULL};

struct dump_options {
    struct sessions_options sessions;
    const char *out;
    uint64_t stop; /* 0: not said */
    uint64_t at;   /* 0: not said */
    unsigned format;
    bool json;
};

static const struct kda_stop *find_stop(const struct dump_options *options,
                                        const struct kda_model *model, struct problem *problem)
{
    size_t count = kda_model_stop_count(model);
    const struct kda_stop *stop;

    if (count == 0) {
        problem_set(problem, "the target never stopped in this session");
        return NULL;
    }
    if (options->stop > count) {
        problem_set(problem, "no stop %" PRIu64 ": kdlens stops lists %zu", options->stop, count);
        return NULL;
    }
    if (options->stop)
        return kda_model_stop(model, (size_t)options->stop - 1);
    if (!options->at)
        return kda_model_stop(model, count - 1);
    stop = kda_model_stop_at(model, (uint32_t)options->at);
    if (!stop)
        problem_set(problem, "no stop before frame %" PRIu64, options->at);
    else if (stop->left_frame && stop->left_frame < options->at)
        problem_set(problem,
                    "the target runs in frame %" PRIu64 ": it stood from frame %" PRIu32
                    " to %" PRIu32 ", stop %" PRIu32,
                    options->at, stop->frame, stop->left_frame, stop->number);
    return stop && (!stop->left_frame || stop->left_frame >= options->at) ? stop : NULL;
}

/* --- the file */

static bool write_bytes(void *context, const uint8_t *bytes, size_t size)
{
    return fwrite(bytes, 1, size, context) == size;
}

static const char *write_format(const struct dump_options *options, const struct dump_facts *facts,
                                const struct kda_kernel_dump *kernel, FILE *file)
{
    if (options->format == FORMAT_KERNEL)
        return kda_kernel_dump_write(kernel, write_bytes, file);
    if (options->format == FORMAT_ELF)
        return kda_elf_core(&facts->dump, write_bytes, file);
    return kda_minidump(&facts->dump, write_bytes, file);
}

static bool save(const struct dump_options *options, const struct dump_facts *facts,
                 const struct kda_kernel_dump *kernel, struct problem *problem)
{
    FILE *file = file_open(options->out, "wb", problem);
    const char *why;
    bool closed;

    if (!file)
        return false;
    why = write_format(options, facts, kernel, file);
    closed = file_close(file);
    if (!why && !closed)
        why = "cannot write all of it";
    if (why)
        problem_set(problem, "%s: %s", options->out, why);
    return !why;
}

/* --- what there is to say */

static void measure_memory(const struct dump_facts *facts, uint64_t *runs, uint64_t *bytes)
{
    struct kda_extent extent;

    *runs = *bytes = 0;
    for (uint64_t at = 0;
         kda_memory_next_extent(facts->dump.memory, &facts->dump.view, &at, &extent);) {
        ++*runs;
        *bytes += extent.size;
    }
}

static void tell_json(const struct models_seat *seat, const struct dump_facts *facts,
                      const struct kda_kernel_dump *kernel, const char *format)
{
    uint64_t runs, bytes;

    measure_memory(facts, &runs, &bytes);
    fact_begin(stdout, seat->number);
    fact_string(stdout, "format", format);
    fact_number(stdout, "stop", facts->stop->number);
    fact_number(stdout, "frame", facts->stop->frame);
    if (facts->at != KDA_END)
        fact_number(stdout, "at", facts->at);
    fact_hex(stdout, "pc", facts->stop->pc);
    fact_flag(stdout, "registers", facts->registers_read);
    fact_number(stdout, "processors", facts->dump.thread_count);
    fact_number(stdout, "modules", facts->dump.module_count);
    fact_number(stdout, "modules_with_pdb", facts->named);
    fact_number(stdout, "memory_runs", runs);
    fact_number(stdout, "memory_bytes", bytes);
    if (kernel)
        dump_kernel_tell_json(kernel);
    fact_end(stdout);
    if (kernel)
        dump_kernel_holes_json(kernel, seat->number);
}

static void tell(const struct models_seat *seat, const struct dump_facts *facts,
                 const struct kda_kernel_dump *kernel)
{
    char address[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE];
    uint64_t runs, bytes;

    measure_memory(facts, &runs, &bytes);
    address_text(facts->stop->pc, address);
    place_text(seat->model, facts->stop->pc, facts->at, place);
    printf("stop %" PRIu32 " in frame %" PRIu32 ", %s at %s%s%s: registers of %zu processor%s, "
           "%zu modules (%zu name their PDB), %" PRIu64 " bytes of memory in %" PRIu64 " runs\n",
           facts->stop->number, facts->stop->frame, reason_name(facts->stop->reason), address,
           place[0] ? " " : "", place, facts->dump.thread_count,
           facts->dump.thread_count == 1 ? "" : "s", facts->dump.module_count, facts->named, bytes,
           runs);
    if (!facts->registers_read)
        printf("the debugger did not read the registers in this stop: only the program counter, "
               "the code segment and flags are known\n");
    if (kernel)
        dump_kernel_tell(kernel);
}

/* --- the verb */

/* NULL with a problem that names the format to take instead. */
static struct kda_kernel_dump *make_kernel(const struct dump_facts *facts, struct problem *problem)
{
    const char *why;
    struct kda_kernel_dump *kernel = kda_kernel_dump_new(&facts->dump, &why);

    if (!kernel)
        problem_set(problem, "%s; --format minidump needs none of this", why);
    return kernel;
}

static bool dump_gathered(const struct dump_options *options, const struct models_seat *seat,
                          struct dump_facts *facts, struct problem *problem)
{
    bool wanted = options->format == FORMAT_KERNEL, fine;
    struct kda_kernel_dump *kernel = NULL;
    char comment[128];

    snprintf(comment, sizeof comment,
             "kdlens " KDLENS_VERSION ": session %u, stop %" PRIu32 " in frame %" PRIu32 "%s",
             seat->number, facts->stop->number, facts->stop->frame,
             wanted ? "; page tables made up, what was not captured is 3f" : "");
    facts->dump.comment = comment;
    if (wanted)
        kernel = make_kernel(facts, problem);
    fine = (!wanted || kernel) && save(options, facts, kernel, problem);
    if (fine && options->json)
        tell_json(seat, facts, kernel, format_names[options->format]);
    else if (fine)
        tell(seat, facts, kernel);
    kda_kernel_dump_free(kernel);
    return fine;
}

static bool dump_stop(const struct dump_options *options, const struct models_seat *seat,
                      struct problem *problem)
{
    const struct kda_stop *stop = find_stop(options, seat->model, problem);
    struct dump_facts facts = {0};
    bool fine;

    if (!stop)
        return false;
    fine = dump_gather(&facts, seat, stop, (uint32_t)options->at, problem) &&
           dump_gathered(options, seat, &facts, problem);
    dump_forget(&facts);
    return fine;
}

static int look(const struct dump_options *options, struct models *models)
{
    const struct models_seat *seat = models_one(models);
    struct problem problem;
    bool fine = !seat || dump_stop(options, seat, &problem);
    int status;

    fflush(stdout);
    status = models_report(models);
    if (!fine)
        fprintf(stderr, "kdlens dump: %s\n", problem.text);
    return fine ? status : EXIT_FAILED;
}

static const char *check(const struct dump_options *options)
{
    if (!options->out)
        return "the file is missing: -w FILE";
    if (strcmp(options->out, "-") == 0)
        return "standard output has the list; -w takes a file";
    if (options->stop && options->at)
        return "either --stop or --at";
    if (file_same(options->out, options->sessions.capture))
        return "it would overwrite CAPTURE";
    return NULL;
}

static int run(void *values)
{
    const struct dump_options *options = values;
    const char *wrong = check(options);
    struct problem problem;
    struct models *models;
    int status = EXIT_FAILED;

    if (wrong) {
        fprintf(stderr, "kdlens dump: %s\n", wrong);
        return EXIT_USAGE;
    }
    models = models_open("dump", &options->sessions,
                         KDA_KEEP_STOPS | KDA_KEEP_MODULES | KDA_KEEP_MEMORY | KDA_KEEP_REGISTERS,
                         NULL, NULL, &problem);
    if (models && models_run(models, &problem))
        status = look(options, models);
    else
        fprintf(stderr, "kdlens dump: %s\n", problem.text);
    models_close(models);
    return status;
}

#define MEMBER(name) offsetof(struct dump_options, name)

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct dump_options, sessions),
    {0},
};

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(out), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "where to"},
    {0, "stop", OPTION_NUMBER, MEMBER(stop), .value = "N", .min = 1, .max = UINT32_MAX,
     .help = "which stop, as kdlens stops numbers them; else the last"},
    {0, "at", OPTION_NUMBER, MEMBER(at), .value = "FRAME", .min = 1, .max = UINT32_MAX,
     .help = "the stop that holds in this frame, with what was known by then"},
    {0, "format", OPTION_CHOICE, MEMBER(format), .value = "FORMAT", .choices = format_names,
     .help =
         "minidump: for WinDbg, the default; elf: a core file for gdb and other programs; kernel: "
         "a kernel dump for WinDbg, of AMD64, with page tables that are made up"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "one JSON line: what is in the dump"},
    SESSIONS_OPTIONS(struct dump_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"What is in it",
     "The registers as they were when the target stopped, as far as the debugger read them (with "
     "--at "
     "those of that frame, what it set included), the modules that were "
     "loaded then with the records that name their PDBs, all memory that was captured by the end "
     "of the stop, what the debugger wrote included, and the exception. In minidump and elf "
     "nothing "
     "is made up: what was not captured is missing in the dump."},
    {"minidump", "WinDbg calls it a user mini dump with full memory; it holds kernel addresses as "
                 "well, and r, lm, k, u, db and .exr work. Each processor is a thread, its number "
                 "plus one."},
    {"kernel",
     "WinDbg calls it a kernel complete dump: control registers, processors (~N), physical "
     "memory and .bugcheck work as well. It needs what a session does not tell, so this is "
     "made up, and listed: page tables; unless the debugger read them, the debugger data "
     "block with the processors' blocks, the list of modules, descriptors. A page of which "
     "a part was captured is there whole; the rest of it is a hole, holds '?' (3f) and is "
     "listed. Where that is in the way, take minidump."},
    {0},
};

static const struct example examples[] = {
    {"kdlens dump session.pcapng -w stop.dmp", "the last stop, for windbg -z stop.dmp"},
    {"kdlens dump session.pcapng --stop 3 --format elf -w core", "the third, for gdb -c core"},
    {"kdlens dump nt.pcapng --format kernel -w memory.dmp", "the last, as a kernel dump"},
    {0},
};

const struct verb verb_dump = {
    .name = "dump",
    .summary = "write a stop in a capture as a dump that WinDbg or gdb opens",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct dump_options),
    .run = run,
};
