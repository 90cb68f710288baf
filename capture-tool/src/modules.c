/* modules.c - the verb modules: which modules the target had loaded, and when.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "facts.h"
#include "models.h"
#include "verbs.h"

struct modules_options {
    struct sessions_options sessions;
    bool json;
    uint64_t at;
    unsigned last; /* session printed last */
};

static bool is_kernel(const struct kda_module *module)
{
    return module->process == UINT64_MAX || module->process == UINT32_MAX;
}

static void sources_json(uint32_t sources)
{
    static const char *const names[] = {"event", "list", "image"};
    const char *separator = "";

    printf(", \"sources\": [");
    for (unsigned i = 0; i < 3; i++) {
        if (!(sources >> i & 1))
            continue;
        printf("%s\"%s\"", separator, names[i]);
        separator = ", ";
    }
    putchar(']');
}

static void path_json(const struct models_seat *seat, const struct kda_module *module)
{
    uint8_t *path = malloc(module->path.size + 1u);

    if (path && kda_model_bytes(seat->model, module->path, path))
        fact_text(stdout, "path", path, module->path.size);
    free(path);
}

static void module_json(const struct models_seat *seat, const struct kda_module *module)
{
    char name[MODULE_NAME_SIZE];

    module_name(seat->model, module, name);
    fact_begin(stdout, seat->number);
    fact_string(stdout, "name", name);
    path_json(seat, module);
    fact_hex(stdout, "base", module->base);
    fact_hex(stdout, "size", module->size);
    fact_hex(stdout, "checksum", module->checksum);
    if (module->timestamp)
        fact_hex(stdout, "timestamp", module->timestamp);
    if (module->machine)
        fact_hex(stdout, "machine", module->machine);
    if (module->sources & KDA_MODULE_EVENT)
        fact_hex(stdout, "process", module->process);
    sources_json(module->sources);
    fact_number(stdout, "loaded_frame", module->loaded);
    if (module->loaded_time)
        fact_seconds(stdout, "loaded_time", module->loaded_time);
    if (module->unloaded) {
        fact_number(stdout, "unloaded_frame", module->unloaded);
        fact_seconds(stdout, "unloaded_time", module->unloaded_time);
    }
    fact_end(stdout);
}

static void frame_text(uint32_t frame, char out[16])
{
    if (frame)
        snprintf(out, 16, "%" PRIu32, frame);
    else
        snprintf(out, 16, "-");
}

static void module_text(const struct models_seat *seat, const struct kda_module *module)
{
    char name[MODULE_NAME_SIZE], start[ADDRESS_TEXT_SIZE], end[ADDRESS_TEXT_SIZE];
    char loaded[16], unloaded[16], process[24];

    module_name(seat->model, module, name);
    address_text(module->base, start);
    address_text(module->base + module->size, end);
    frame_text(module->loaded, loaded);
    frame_text(module->unloaded, unloaded);
    if (!(module->sources & KDA_MODULE_EVENT))
        snprintf(process, sizeof process, "-");
    else if (is_kernel(module))
        snprintf(process, sizeof process, "kernel");
    else
        snprintf(process, sizeof process, "%" PRIx64, module->process);
    printf("%s %s %-24s %8s %8s %-8s %08" PRIx32 " %08" PRIx32 "\n", start, end, name, loaded,
           unloaded, process, module->timestamp, module->checksum);
}

static void print(const struct models_seat *seat)
{
    struct modules_options *options = seat->context;
    uint32_t at = options->at ? (uint32_t)options->at : KDA_END;
    bool head = false;

    for (size_t i = 0; i < kda_model_module_count(seat->model); i++) {
        const struct kda_module *module = kda_model_module(seat->model, i);

        if (options->at && (module->loaded > at || (module->unloaded && module->unloaded <= at)))
            continue;
        if (options->json) {
            module_json(seat, module);
            continue;
        }
        if (!head) {
            say_session(seat->number, seat->stream->name, &options->last);
            printf("%-17s %-17s %-24s %8s %8s %-8s %-8s %-8s\n", "start", "end", "module", "loaded",
                   "unloaded", "process", "time", "checksum");
        }
        head = true;
        module_text(seat, module);
    }
}

static int run(void *values)
{
    struct modules_options *options = values;

    return models_verb("modules", &options->sessions, KDA_KEEP_MODULES | KDA_KEEP_MEMORY, NULL,
                       options, print);
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct modules_options, sessions),
    {0},
};

static const struct option options[] = {
    {0, "at", OPTION_NUMBER, offsetof(struct modules_options, at), .value = "FRAME", .min = 1,
     .max = UINT32_MAX, .help = "only those that were loaded when this frame was captured"},
    {0, "json", OPTION_FLAG, offsetof(struct modules_options, json),
     .help = "JSON lines: one for each module"},
    SESSIONS_OPTIONS(struct modules_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Where they come from", "Load and unload events of the target; its own list of modules, as "
                             "far as the debugger read it "
                             "while the capture ran; image headers that were read. \"loaded\" and "
                             "\"unloaded\" are frames."},
    {0},
};

static const struct example examples[] = {
    {"kdlens modules session.pcapng --at 812", "what was loaded when frame 812 was captured"},
    {0},
};

const struct verb verb_modules = {
    .name = "modules",
    .summary = "list the modules of the target in a capture",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct modules_options),
    .run = run,
};
