/* carve.c - the verb carve: an image out of captured memory, as a PE file; transferred files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "carve.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analysis/carve.h"
#include "facts.h"
#include "files.h"
#include "mem.h"
#include "verbs.h"

/* One image on its way. */
struct carving {
    const struct carve_options *options;
    const struct models_seat *seat;
    const struct kda_module *module; /* NULL: only an address is known */
    uint64_t base;
    uint32_t at;
    struct kda_carved carved;
};

/* --- which */

static bool has_headers(const struct carving *carving, uint64_t address)
{
    const struct kda_view view = {.at = carving->at};
    uint8_t magic[2];

    return kda_memory_read(kda_model_virtual(carving->seat->model), &view, address, magic, NULL,
                           2) == 2 &&
           magic[0] == 'M' && magic[1] == 'Z';
}

/* An address inside a module means the module, unless an image begins just there. */
static bool find(struct carving *carving, struct problem *problem)
{
    const struct mem_options look = {.at = carving->options->at};
    const struct kda_model *model = carving->seat->model;

    if (!mem_address(&look, model, carving->options->place, &carving->base, problem))
        return false;
    carving->module = kda_model_module_at(model, carving->base, carving->at);
    if (carving->module && !has_headers(carving, carving->base))
        carving->base = carving->module->base;
    return true;
}

/* --- JSON */

static void image_json(const struct carving *carving)
{
    const struct kda_carved *carved = &carving->carved;
    char name[MODULE_NAME_SIZE];

    fact_begin(stdout, carving->seat->number);
    fact_string(stdout, "kind", "image");
    if (carving->module) {
        module_name(carving->seat->model, carving->module, name);
        fact_string(stdout, "name", name);
    }
    fact_hex(stdout, "base", carving->base);
    fact_hex(stdout, "image_base", carved->preferred);
    fact_hex(stdout, "size", carved->image.size);
    fact_hex(stdout, "machine", carved->image.machine);
    fact_hex(stdout, "timestamp", carved->image.timestamp);
    fact_number(stdout, "file_size", carved->size);
    fact_number(stdout, "mapped", carved->mapped);
    fact_number(stdout, "captured", carved->captured);
    fact_end(stdout);
}

static void part_json(const struct carving *carving, const struct kda_carve_part *part)
{
    fact_begin(stdout, carving->seat->number);
    fact_string(stdout, "kind", part->name[0] ? "section" : "headers");
    if (part->name[0])
        fact_text(stdout, "name", (const uint8_t *)part->name, strlen(part->name));
    fact_hex(stdout, "rva", part->rva);
    fact_hex(stdout, "file_offset", part->file_offset);
    fact_number(stdout, "file_size", part->file_size);
    fact_number(stdout, "mapped", part->mapped);
    fact_number(stdout, "captured", part->known);
    if (part->first) {
        fact_number(stdout, "first_frame", part->first);
        fact_number(stdout, "last_frame", part->last);
    }
    fact_end(stdout);
}

static void hole_json(const struct carving *carving, const struct kda_carve_hole *hole)
{
    fact_begin(stdout, carving->seat->number);
    fact_string(stdout, "kind", "hole");
    fact_hex(stdout, "address", carving->base + hole->rva);
    fact_hex(stdout, "rva", hole->rva);
    fact_hex(stdout, "file_offset", hole->file_offset);
    fact_number(stdout, "size", hole->size);
    fact_end(stdout);
}

/* --- what the debugger wrote into the image */

#define WRITE_SHOWN 16u

static void write_json(const struct carving *carving, const struct kda_piece *piece,
                       const uint8_t *bytes)
{
    fact_begin(stdout, carving->seat->number);
    fact_string(stdout, "kind", "write");
    fact_hex(stdout, "address", piece->address);
    fact_hex(stdout, "rva", piece->address - carving->base);
    fact_number(stdout, "size", piece->size);
    fact_number(stdout, "frame", piece->frame);
    fact_bytes(stdout, "bytes", bytes, piece->size);
    fact_flag(stdout, "applied", !carving->options->without_writes && !carving->options->as_loaded);
    fact_end(stdout);
}

static void write_text(const struct carving *carving, const struct kda_piece *piece,
                       const uint8_t *bytes)
{
    char address[ADDRESS_TEXT_SIZE];
    bool applied = !carving->options->without_writes && !carving->options->as_loaded;

    address_text(piece->address, address);
    printf("  %s +%06" PRIx64 " frame %-7" PRIu32 " ", address, piece->address - carving->base,
           piece->frame);
    show_bytes(stdout, bytes, piece->size, WRITE_SHOWN);
    printf("%s\n", applied ? "" : "  (left out)");
}

static void list_writes(const struct carving *carving)
{
    const struct kda_memory *memory = kda_model_virtual(carving->seat->model);
    const struct kda_view view = {.at = carving->at};
    uint64_t at = carving->base;
    struct kda_piece piece;
    bool head = false;

    while (kda_memory_next(memory, &view, &at, &piece) &&
           piece.address < carving->base + carving->carved.image.size) {
        uint8_t bytes[4096]; /* a piece never crosses a page */

        if (piece.address < carving->base || !(KDA_DEBUGGERS >> piece.origin & 1) ||
            !kda_store_read(kda_memory_store(memory), piece.data, bytes, piece.size))
            continue;
        if (carving->options->json) {
            write_json(carving, &piece, bytes);
            continue;
        }
        if (!head)
            printf("written by the debugger:\n");
        head = true;
        write_text(carving, &piece, bytes);
    }
}

/* --- text */

static void image_text(const struct carving *carving)
{
    const struct kda_carved *carved = &carving->carved;
    const char *machine = kd_value_name(KD_SET_ID_machine_type, carved->image.machine);
    char name[MODULE_NAME_SIZE] = "image", base[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];

    if (carving->module)
        module_name(carving->seat->model, carving->module, name);
    address_text(carving->base, base);
    printf("%s at %s, %s, time %08" PRIx32 ": %zu of %zu bytes were captured\n", name, base,
           machine ? machine : "unknown machine", carved->image.timestamp, carved->captured,
           carved->mapped);
    if (carved->preferred == carving->base)
        return;
    address_text(carved->preferred, other);
    printf("its headers name base %s; addresses in it are those of %s, as far as its loader "
           "relocated it\n",
           other, base);
}

static void part_text(const struct kda_carve_part *part)
{
    const char *name = part->name[0] ? part->name : "headers";
    size_t size = strlen(name);

    printf("  ");
    show_text(stdout, (const uint8_t *)name, size, false);
    printf("%*s rva %08" PRIx32 " file %08" PRIx32 " %9" PRIu32 " of %9" PRIu32 " bytes",
           size < 8 ? (int)(8 - size) : 0, "", part->rva, part->file_offset, part->known,
           part->mapped);
    if (part->first)
        printf(", frames %" PRIu32 " to %" PRIu32, part->first, part->last);
    putchar('\n');
}

static void list(const struct carving *carving)
{
    const struct kda_carved *carved = &carving->carved;
    struct kda_carve_hole hole = {0};
    bool json = carving->options->json, head = false;

    if (json)
        image_json(carving);
    else
        image_text(carving);
    for (unsigned i = 0; i < carved->part_count; i++) {
        if (json)
            part_json(carving, &carved->parts[i]);
        else
            part_text(&carved->parts[i]);
    }
    while (kda_carved_next_hole(carved, &hole)) {
        if (json) {
            hole_json(carving, &hole);
            continue;
        }
        if (!head)
            printf("not captured, zero in the file:\n");
        head = true;
        printf("  rva %08" PRIx32 " file %08" PRIx32 " %9" PRIu32 " bytes\n", hole.rva,
               hole.file_offset, hole.size);
    }
    list_writes(carving);
}

/* --- the verb */

static bool save(const struct carving *carving, struct problem *problem)
{
    FILE *file = file_open(carving->options->out, "wb", problem);
    size_t size = carving->carved.size;
    bool fine;

    if (!file)
        return false;
    fine = fwrite(carving->carved.bytes, 1, size, file) == size;
    fine = file_close(file) && fine;
    if (!fine)
        problem_set(problem, "%s: cannot write all of it", carving->options->out);
    return fine;
}

static bool carve_image(const struct carve_options *options, const struct models_seat *seat,
                        struct problem *problem)
{
    struct carving carving = {
        .options = options, .seat = seat, .at = options->at ? (uint32_t)options->at : KDA_END};
    struct kda_carve_choice choice = {
        .at = carving.at,
        .values = options->as_loaded        ? KDA_CARVE_LOADED
                  : options->without_writes ? KDA_CARVE_UNWRITTEN
                                            : KDA_CARVE_LATEST,
    };
    const char *why;
    bool fine;

    if (!find(&carving, problem))
        return false;
    if (carving.module && carving.module->sources & KDA_MODULE_EVENT)
        choice.loaded = carving.module->loaded;
    why = kda_carve(kda_model_virtual(seat->model), carving.base, &choice, &carving.carved);
    if (why)
        problem_set(problem,
                    "no image at 0x%" PRIx64 ": %s; kdlens mem map lists what was captured",
                    carving.base, why);
    fine = !why && save(&carving, problem);
    if (fine)
        list(&carving);
    kda_carved_free(&carving.carved);
    return fine;
}

static const char *check(const struct carve_options *options)
{
    if (!options->out)
        return options->files ? "the folder is missing: -w FOLDER" : "the file is missing: -w FILE";
    if (strcmp(options->out, "-") == 0)
        return "standard output has the list; -w takes a file";
    if (options->files && options->place)
        return "either a module or address, or --files";
    if (!options->files && !options->place)
        return "what to carve is missing: a module, an address, or --files";
    if (options->as_loaded && options->without_writes)
        return "either --as-loaded or --without-writes";
    if (file_same(options->out, options->sessions.capture))
        return "it would overwrite CAPTURE";
    return NULL;
}

static int carve(const struct carve_options *options, struct models *models,
                 struct problem *problem)
{
    const struct models_seat *seat = models_one(models);
    int status;
    bool fine = true;

    if (seat)
        fine = (options->files ? carve_files : carve_image)(options, seat, problem);
    fflush(stdout);
    status = models_report(models);
    if (!fine)
        fprintf(stderr, "kdlens carve: %s\n", problem->text);
    return fine ? status : EXIT_FAILED;
}

static int run(void *values)
{
    const struct carve_options *options = values;
    const char *wrong = check(options);
    struct problem problem = {.text = ""};
    struct models *models;
    int status = EXIT_FAILED;

    if (wrong) {
        fprintf(stderr, "kdlens carve: %s\n", wrong);
        return EXIT_USAGE;
    }
    models = models_open("carve", &options->sessions,
                         options->files ? KDA_KEEP_FILES : KDA_KEEP_MODULES | KDA_KEEP_MEMORY, NULL,
                         NULL, &problem);
    if (models && models_run(models, &problem))
        status = carve(options, models, &problem);
    else
        fprintf(stderr, "kdlens carve: %s\n", problem.text);
    models_close(models);
    return status;
}

#define MEMBER(name) offsetof(struct carve_options, name)

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct carve_options, sessions),
    {"IMAGE", "a module's name, or an address in it or where an image begins", MEMBER(place),
     .optional = true},
    {0},
};

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(out), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "where to: a file; with --files a folder"},
    {0, "at", OPTION_NUMBER, MEMBER(at), .value = "FRAME", .min = 1, .max = UINT32_MAX,
     .help = "memory as it was known when this frame was captured"},
    {0, "without-writes", OPTION_FLAG, MEMBER(without_writes),
     .help = "as if the debugger had written nothing"},
    {0, "as-loaded", OPTION_FLAG, MEMBER(as_loaded),
     .help = "the first value of each byte instead of the last, the debugger's left out"},
    {0, "files", OPTION_FLAG, MEMBER(files),
     .help = "instead of an image, the files that the target had from the debugger (.kdfiles)"},
    {0, "json", OPTION_FLAG, MEMBER(json),
     .help = "JSON lines: the image, its sections, holes, the debugger's writes"},
    SESSIONS_OPTIONS(struct carve_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"What is in the file",
     "Headers and sections where the headers say that they are in the file. Bytes that were not "
     "captured are zero and listed as holes; what was never loaded (a certificate, the padding of "
     "sections) is zero as well. Relocations stay as the loader made them: the addresses in the "
     "file are those of the base that is printed, so a section differs from the original file's "
     "where it holds an address."},
    {"Files", "With --files each file is N-NAME in the folder, N its number in the session. Bytes "
              "that the target did not ask for are zero and listed."},
    {"Exit status", "0 when the file is written, with holes or without."},
    {0},
};

static const struct example examples[] = {
    {"kdlens carve session.pcapng mydriver -w mydriver.sys", "the driver, as it was in memory"},
    {"kdlens carve session.pcapng 10000000 -w boot.efi --without-writes --json | jq 'select(.kind "
     "== \"hole\")'",
     "an image by its address; what is missing of it"},
    {"kdlens carve session.pcapng --files -w transferred", "files that went over the line"},
    {0},
};

const struct verb verb_carve = {
    .name = "carve",
    .summary = "rebuild an image file from captured memory, or transferred files",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct carve_options),
    .run = run,
};
