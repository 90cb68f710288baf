/* mem.c - the verb mem: the target's memory as a capture tells of it. The actions are mem_*.c.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "mem.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "facts.h"
#include "verbs.h"

struct kda_view mem_view(const struct mem_options *options)
{
    return (struct kda_view){
        .at = options->at ? (uint32_t)options->at : KDA_END,
        .without = options->without_writes ? KDA_DEBUGGERS : 0,
    };
}

const struct kda_memory *mem_space(const struct mem_options *options, const struct kda_model *model)
{
    return options->physical ? kda_model_physical(model) : kda_model_virtual(model);
}

const char *origin_name(enum kda_origin origin)
{
    static const char *const names[KDA_ORIGINS] = {[KDA_READ] = "read",
                                                   [KDA_WRITE] = "write",
                                                   [KDA_FILL] = "fill",
                                                   [KDA_SEARCH] = "search",
                                                   [KDA_STREAM] = "stop"};

    return names[origin];
}

void origins_text(uint32_t origins, char out[ORIGINS_TEXT_SIZE])
{
    size_t used = 0;

    out[0] = '\0';
    for (unsigned i = 0; i < KDA_ORIGINS; i++)
        if (origins >> i & 1)
            used += (size_t)snprintf(out + used, ORIGINS_TEXT_SIZE - used, "%s%s", used ? ", " : "",
                                     origin_name((enum kda_origin)i));
}

/* --- addresses */

/* Hexadecimal, with or without 0x and `. */
static bool take_hex(const char *text, uint64_t *value)
{
    unsigned digits = 0;

    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X'))
        text += 2;
    *value = 0;
    for (; *text; text++) {
        if (*text == '`')
            continue;
        if (!isxdigit((unsigned char)*text) || ++digits > 16)
            return false;
        *value = *value << 4 | (uint64_t)(isdigit((unsigned char)*text)
                                              ? *text - '0'
                                              : tolower((unsigned char)*text) - 'a' + 10);
    }
    return digits > 0;
}

static bool same_name(const char *a, const char *b, size_t size)
{
    if (strlen(a) != size)
        return false;
    for (size_t i = 0; i < size; i++)
        if (tolower((unsigned char)a[i]) != tolower((unsigned char)b[i]))
            return false;
    return true;
}

/* The module of that name that was there at that frame; at any time, the last, when at is NULL. */
static const struct kda_module *find_module(const struct kda_model *model, const char *name,
                                            size_t size, const uint32_t *at)
{
    char known[MODULE_NAME_SIZE];

    for (size_t i = kda_model_module_count(model); i-- > 0;) {
        const struct kda_module *module = kda_model_module(model, i);

        module_name(model, module, known);
        if (at && (module->loaded > *at || (module->unloaded && module->unloaded < *at)))
            continue;
        if (same_name(known, name, size))
            return module;
    }
    return NULL;
}

static void say_no_address(struct problem *problem, const char *text,
                           const struct kda_module *module)
{
    if (module && module->unloaded)
        problem_set(problem,
                    "%s: that module was there from frame %" PRIu32 " to frame %" PRIu32
                    " only: name one of these by --at",
                    text, module->loaded, module->unloaded);
    else if (module)
        problem_set(problem, "%s: that module was there from frame %" PRIu32 " on only", text,
                    module->loaded);
    else
        problem_set(problem,
                    "%s: not an address: hexadecimal, or a module of kdlens modules, or "
                    "module+offset",
                    text);
}

bool mem_address(const struct mem_options *options, const struct kda_model *model, const char *text,
                 uint64_t *address, struct problem *problem)
{
    const char *plus = strchr(text, '+');
    size_t size = plus ? (size_t)(plus - text) : strlen(text);
    const struct kda_module *module;
    uint32_t at = mem_view(options).at;
    uint64_t offset = 0;

    if (take_hex(text, address))
        return true;
    module = find_module(model, text, size, &at);
    if (!module) {
        say_no_address(problem, text, find_module(model, text, size, NULL));
        return false;
    }
    if (plus && !take_hex(plus + 1, &offset)) {
        say_no_address(problem, text, NULL);
        return false;
    }
    *address = module->base + offset;
    return true;
}

/* --- the verb */

struct action {
    const char *name;
    bool (*run)(const struct mem_options *options, const struct models_seat *seat,
                struct problem *problem);
    size_t least, most; /* arguments behind the capture */
    const char *wanted;
};

static const struct action actions[] = {
    {"read", mem_read, 1, 2, "read CAPTURE ADDRESS [LENGTH]"},
    {"find", mem_find, 1, SIZE_MAX, "find CAPTURE BYTES"},
    {"map", mem_map, 0, 0, "map CAPTURE"},
};

static const struct action *find_action(const struct mem_options *options)
{
    for (size_t i = 0; i < sizeof actions / sizeof actions[0]; i++)
        if (strcmp(actions[i].name, options->action) == 0)
            return &actions[i];
    return NULL;
}

static int look(const struct mem_options *options, const struct action *action,
                struct models *models)
{
    struct problem problem = {.text = ""};
    const struct models_seat *seat;
    bool found = false;
    int status;

    if (action->run == mem_map) {
        for (unsigned i = 0; (seat = models_seat(models, i)); i++)
            found = mem_map(options, seat, &problem) || found;
    } else if ((seat = models_one(models))) {
        found = action->run(options, seat, &problem);
    }
    fflush(stdout);
    status = models_report(models);
    if (problem.text[0]) {
        fprintf(stderr, "kdlens mem: %s\n", problem.text);
        return EXIT_USAGE;
    }
    return found ? status : EXIT_FAILED;
}

static int run(void *values)
{
    struct mem_options *options = values;
    const struct action *action = find_action(options);
    struct problem problem;
    struct models *models;
    int status = EXIT_FAILED;

    if (options->arguments.count < action->least || options->arguments.count > action->most) {
        fprintf(stderr, "kdlens mem: use: kdlens mem %s\n", action->wanted);
        return EXIT_USAGE;
    }
    models = models_open("mem", &options->sessions, KDA_KEEP_MODULES | KDA_KEEP_MEMORY, NULL,
                         options, &problem);
    if (models && models_run(models, &problem))
        status = look(options, action, models);
    else
        fprintf(stderr, "kdlens mem: %s\n", problem.text);
    models_close(models);
    return status;
}

#define MEMBER(name) offsetof(struct mem_options, name)

static const char *const action_names[] = {"read", "find", "map", NULL};

static const struct operand operands[] = {
    {"ACTION", "read, find or map", MEMBER(action), .choices = action_names},
    SESSIONS_OPERAND(struct mem_options, sessions),
    {"ARGUMENT", "read: ADDRESS and LENGTH in hexadecimal; find: bytes in hexadecimal, or a text",
     MEMBER(arguments), .optional = true, .many = true},
    {0},
};

static const struct option options[] = {
    {0, "at", OPTION_NUMBER, MEMBER(at), .value = "FRAME", .min = 1, .max = UINT32_MAX,
     .help = "memory as it was known when this frame was captured"},
    {'p', "physical", OPTION_FLAG, MEMBER(physical), .help = "read, find: physical memory"},
    {0, "without-writes", OPTION_FLAG, MEMBER(without_writes),
     .help = "as if the debugger had written nothing"},
    {0, "text", OPTION_FLAG, MEMBER(text), .help = "find: the argument is a text"},
    {0, "utf16", OPTION_FLAG, MEMBER(utf16),
     .help = "find: the argument is a text that the target has in UTF-16"},
    {0, "changes", OPTION_FLAG, MEMBER(changes),
     .help = "map: list values that another took the place of, instead"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "JSON lines"},
    SESSIONS_OPTIONS(struct mem_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Actions",
     " read CAPTURE ADDRESS [LENGTH]  bytes, with the frame that each line comes from\n"
     " find CAPTURE BYTES             where bytes or a text are\n"
     " map CAPTURE                    which addresses are known, and from where\n"
     "\nADDRESS may be a module's name, or name+offset. A byte that is not known is ??; then, and "
     "when nothing is found, the exit status is 1."},
    {"What is known",
     "Bytes that the target read for the debugger, what the debugger wrote and filled, patterns "
     "that a search found, and the instructions in a stop. Virtual memory counts as one space: "
     "which process was asked is not on the wire."},
    {0},
};

static const struct example examples[] = {
    {"kdlens mem map session.pcapng", "what there is"},
    {"kdlens mem read session.pcapng nt+0x1000 40 --at 812", "64 bytes, as known at frame 812"},
    {"kdlens mem find session.pcapng --text PE", "where \"PE\" is"},
    {0},
};

const struct verb verb_mem = {
    .name = "mem",
    .summary = "read, search and map memory that a capture tells of",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct mem_options),
    .run = run,
};
