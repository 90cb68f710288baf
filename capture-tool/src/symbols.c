/* symbols.c - `kdlens symbols`: the names of an image, and what its exception tables say.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Three sources: metadata that .NET's NativeAOT compiler put into the image, exports, and the
 * exception directory, which has functions without names. A name counts inside its own function
 * only; what is behind that is MODULE+offset, never the nearest name.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "image/aot.h"
#include "image/unwind.h"
#include "json.h"
#include "symbols_eh.h"
#include "verbs.h"

#define NAME_ROOM 4096u
#define COUNT_MAX (1u << 20) /* symbols of one image */
#define BYTES_MAX \
    (256u << 20) /* of all their names: hostile metadata can make long ones of little */
#define FIRST_ROOM 1024u
#define NO_RVA     UINT64_MAX

struct symbols_options {
    const char *image;
    uint64_t at;
    uint64_t eh;
    bool parameters;
    bool json;
};

enum symbol_kind { SYMBOL_METHOD, SYMBOL_EXPORT, SYMBOL_FUNCTION, SYMBOL_PART };

static const char *const kind_names[] = {"method", "export", "function", "part"};

struct symbol {
    uint32_t rva;
    uint32_t end; /* 0: not known */
    enum symbol_kind kind;
    char *name;
};

struct symbols {
    const struct symbols_options *options;
    const char *module; /* the file's name without its folder */
    uint8_t *bytes;
    struct img_image image;
    struct img_aot aot;
    bool has_aot;
    struct symbol *list;
    size_t count, room;
    size_t name_bytes;
    struct problem problem;
};

/* --- Collecting */

static bool too_many(struct symbols *symbols)
{
    problem_set(&symbols->problem, "%s: too many names, or too long ones, to be listed",
                symbols->options->image);
    return false;
}

static bool grow(struct symbols *symbols)
{
    size_t room = symbols->room ? symbols->room * 2 : FIRST_ROOM;
    struct symbol *list;

    if (symbols->count < symbols->room)
        return true;
    list = room <= COUNT_MAX ? realloc(symbols->list, room * sizeof *list) : NULL;
    if (!list)
        return too_many(symbols);
    symbols->list = list;
    symbols->room = room;
    return true;
}

static bool add(struct symbols *symbols, uint32_t rva, enum symbol_kind kind, const char *name)
{
    size_t size = strlen(name) + 1;
    struct img_function function;
    struct symbol *symbol;

    if (!grow(symbols))
        return false;
    symbol = &symbols->list[symbols->count];
    *symbol = (struct symbol){.rva = rva, .kind = kind};
    if (img_function_at(&symbols->image, rva, &function) && function.begin == rva)
        symbol->end = function.end;
    symbols->name_bytes += size;
    symbol->name = symbols->name_bytes <= BYTES_MAX ? malloc(size) : NULL;
    if (!symbol->name)
        return too_many(symbols);
    memcpy(symbol->name, name, size);
    symbols->count++;
    return true;
}

static bool aot_failed(struct symbols *symbols, enum img_aot_status status)
{
    problem_set(&symbols->problem, "%s: its NativeAOT metadata: %s", symbols->options->image,
                img_aot_text(status));
    return false;
}

static bool add_methods(struct symbols *symbols)
{
    char text[NAME_ROOM];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    struct img_aot_methods walk;
    struct img_aot_method method;
    enum img_aot_status status;

    if (!symbols->has_aot)
        return true;
    status = img_aot_methods(&symbols->aot, &walk);
    if (status == IMG_AOT_NO_SECTION)
        return true;
    while (status == IMG_AOT_OK && (status = img_aot_next_method(&walk, &method)) == IMG_AOT_OK) {
        status = img_aot_method_name(&symbols->aot, &method, symbols->options->parameters, &name);
        if (status == IMG_AOT_OK && !add(symbols, method.rva, SYMBOL_METHOD, text))
            return false;
    }
    return status == IMG_AOT_END || aot_failed(symbols, status);
}

static bool add_exports(struct symbols *symbols)
{
    uint32_t count = img_export_count(&symbols->image);
    struct img_export export;

    for (uint32_t i = 0; i < count; i++) {
        if (img_export(&symbols->image, i, &export) != IMG_OK) {
            problem_set(&symbols->problem, "%s: its export directory is damaged at name %" PRIu32,
                        symbols->options->image, i);
            return false;
        }
        if (!export.forwarder && !add(symbols, export.rva, SYMBOL_EXPORT, export.name))
            return false;
    }
    return true;
}

static int by_rva(const void *left, const void *right)
{
    const struct symbol *a = left, *b = right;

    if (a->rva != b->rva)
        return a->rva < b->rva ? -1 : 1;
    return a->kind < b->kind ? -1 : a->kind > b->kind;
}

static const struct symbol *find(const struct symbols *symbols, size_t count, uint32_t rva)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (symbols->list[middle].rva < rva)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && symbols->list[low].rva == rva ? &symbols->list[low] : NULL;
}

/* Functions that nothing named so far starts at; of one in pieces, the others are parts of it. */
static bool add_functions(struct symbols *symbols)
{
    uint32_t count = img_function_count(&symbols->image);
    size_t named = symbols->count;
    struct img_function function, primary;
    char text[NAME_ROOM + 16];

    qsort(symbols->list, named, sizeof *symbols->list, by_rva);
    for (uint32_t i = 0; i < count; i++) {
        const struct symbol *owner;
        bool part;

        if (!img_function(&symbols->image, i, &function))
            continue;
        primary = function;
        part = img_primary_function(&symbols->image, &primary) && primary.begin != function.begin;
        owner = find(symbols, named, primary.begin);
        if (!part && owner)
            continue;
        if (owner)
            snprintf(text, sizeof text, "%s", owner->name);
        else
            snprintf(text, sizeof text, "%s+0x%" PRIx32, symbols->module, primary.begin);
        if (!add(symbols, function.begin, part ? SYMBOL_PART : SYMBOL_FUNCTION, text))
            return false;
    }
    qsort(symbols->list, symbols->count, sizeof *symbols->list, by_rva);
    return true;
}

/* --- Printing */

static void print(const struct symbols *symbols, const struct symbol *symbol, uint32_t offset)
{
    if (symbols->options->json) {
        printf("{\"rva\": %" PRIu32 ", \"kind\": \"%s\", \"name\": ", symbol->rva,
               kind_names[symbol->kind]);
        json_text(stdout, symbol->name);
        if (symbol->end)
            printf(", \"size\": %" PRIu32, symbol->end - symbol->rva);
        if (symbols->options->at != NO_RVA)
            printf(", \"offset\": %" PRIu32, offset);
        printf("}\n");
        return;
    }
    printf("%08" PRIx32 "  %-8s  %s", symbol->rva, kind_names[symbol->kind], symbol->name);
    if (symbols->options->at != NO_RVA)
        printf("+0x%" PRIx32, offset);
    printf("\n");
}

static bool print_all(struct symbols *symbols)
{
    if (!add_methods(symbols) || !add_exports(symbols) || !add_functions(symbols))
        return false;
    for (size_t i = 0; i < symbols->count; i++)
        print(symbols, &symbols->list[i], 0);
    return true;
}

static void print_at(struct symbols *symbols, uint32_t rva)
{
    char text[NAME_ROOM];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    struct img_function function;
    struct img_export export;
    struct symbol symbol = {.rva = rva, .kind = SYMBOL_FUNCTION, .name = text};
    uint32_t offset = 0;

    if (img_function_at(&symbols->image, rva, &function) &&
        img_primary_function(&symbols->image, &function)) {
        symbol.rva = function.begin;
        symbol.end = function.end;
    }
    if (symbols->has_aot && img_aot_name_of(&symbols->aot, rva, symbols->options->parameters, &name,
                                            &offset) == IMG_AOT_OK) {
        symbol.kind = SYMBOL_METHOD;
    } else if (img_export_of(&symbols->image, rva, &export) == IMG_OK) {
        symbol.kind = SYMBOL_EXPORT;
        symbol.rva = export.rva;
        symbol.name = export.name;
        offset = rva - export.rva;
    } else {
        /* No name: the module's, and the place in it. */
        snprintf(text, sizeof text, "%s", symbols->module);
        offset = rva;
    }
    print(symbols, &symbol, offset);
}

/* --- The verb */

static const char *file_name(const char *path)
{
    const char *name = path;

    for (const char *at = path; *at; at++)
        if (*at == '/' || *at == '\\')
            name = at + 1;
    return name;
}

/* An RVA, or an address at the base that the image's headers prefer. */
static bool place(struct symbols *symbols, uint64_t number, uint32_t *rva)
{
    if (number >= symbols->image.size && !img_rva(&symbols->image, number, rva)) {
        problem_set(&symbols->problem,
                    "%s: 0x%" PRIx64 " is no RVA of it (below 0x%" PRIx32
                    ") and no address (from 0x%" PRIx64 " on)",
                    symbols->options->image, number, symbols->image.size, symbols->image.base);
        return false;
    }
    if (number < symbols->image.size)
        *rva = (uint32_t)number;
    return true;
}

/* Metadata of an unknown version is no reason to say nothing at all. */
static void open_aot(struct symbols *symbols)
{
    enum img_aot_status status = img_aot_open(&symbols->aot, &symbols->image);

    symbols->has_aot = status == IMG_AOT_OK;
    if (status == IMG_AOT_VERSION)
        fprintf(stderr,
                "kdlens symbols: %s: a NativeAOT header of version %u.%u, which is not known (8.0, "
                "9.1, 10.1 and 16.0 are): no names from its metadata\n",
                symbols->options->image, symbols->aot.major, symbols->aot.minor);
}

static bool open_image(struct symbols *symbols)
{
    struct img_source source;
    enum img_result result;
    size_t size;

    symbols->bytes = file_load(symbols->options->image, &size, &symbols->problem);
    if (!symbols->bytes)
        return false;
    source = img_memory_source(symbols->bytes, size, IMG_FILE);
    result = img_open(&symbols->image, &source, 0);
    if (result != IMG_OK) {
        problem_set(&symbols->problem, "%s: %s", symbols->options->image, img_result_text(result));
        return false;
    }
    open_aot(symbols);
    return true;
}

static bool run(struct symbols *symbols)
{
    uint32_t rva = 0;

    if (!open_image(symbols))
        return false;
    if (symbols->options->eh != NO_RVA)
        return place(symbols, symbols->options->eh, &rva) &&
               symbols_eh_print(&symbols->image, rva, symbols->options->json, &symbols->problem);
    if (symbols->options->at == NO_RVA)
        return print_all(symbols);
    if (!place(symbols, symbols->options->at, &rva))
        return false;
    print_at(symbols, rva);
    return true;
}

static int run_symbols(void *values)
{
    struct symbols symbols = {.options = values};
    bool fine;

    symbols.module = file_name(symbols.options->image);
    fine = run(&symbols);
    if (!fine)
        fprintf(stderr, "kdlens symbols: %s\n", symbols.problem.text);
    for (size_t i = 0; i < symbols.count; i++)
        free(symbols.list[i].name);
    free(symbols.list);
    free(symbols.bytes);
    if (fflush(stdout) != 0)
        fine = false;
    return fine ? EXIT_OK : EXIT_FAILED;
}

static const struct operand operands[] = {
    {.name = "IMAGE",
     .help = "an .exe, .dll, .sys or .efi for x86-64",
     .offset = offsetof(struct symbols_options, image),
     .complete = COMPLETE_FILE},
    {0},
};

static const struct option table[] = {
    {0, "at", OPTION_NUMBER, offsetof(struct symbols_options, at), .value = "RVA",
     .help = "only the name at this place of the image, with the offset in its function"},
    {0, "eh", OPTION_NUMBER, offsetof(struct symbols_options, eh), .value = "RVA",
     .help = "the exception tables of the function at this place, instead of names"},
    {0, "parameters", OPTION_FLAG, offsetof(struct symbols_options, parameters),
     .help = "write the types of a managed method's parameters, too"},
    {0, "json", OPTION_FLAG, offsetof(struct symbols_options, json),
     .help = "print a JSON object for each line"},
    {0},
};

static const struct section sections[] = {
    {"Output",
     "One line for each name: its RVA, its kind, and the name.\n"
     " method    metadata of .NET's NativeAOT compiler (of .NET 7 to 10)\n"
     " export    the export directory\n"
     " function  a function of the exception directory that has no name: MODULE+RVA\n"
     " part      a piece of the function with that name, elsewhere in the image\n"
     "A name counts inside its own function only. With --at, a place that has none is "
     "MODULE+offset. RVAs are decimal, or hexadecimal with 0x; an address at the base that the "
     "image prefers is taken as well."},
    {0},
};

static const struct example examples[] = {
    {"kdlens symbols app.efi", "list all names"},
    {"kdlens symbols app.efi --at 0x12ab0", "which method is this, and how far in?"},
    {"kdlens symbols driver.sys --eh 0x1200", "try blocks and handlers of a function"},
    {0},
};

static const struct symbols_options defaults = {.at = NO_RVA, .eh = NO_RVA};

const struct verb verb_symbols = {
    .name = "symbols",
    .summary = "list the names in a program, without a PDB",
    .operands = operands,
    .options = table,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct symbols_options),
    .defaults = &defaults,
    .run = run_symbols,
};
