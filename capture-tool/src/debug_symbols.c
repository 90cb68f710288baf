/* debug_symbols.c - names of addresses, by llvm-symbolizer. See debug_symbols.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * llvm-symbolizer wants the image's file and finds the PDB that it names, beside it or where it was
 * built. So the symbol path is a list of folders with images and their PDBs.
 */
#include "debug_symbols.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug_modules.h"
#include "files.h"
#include "image/image.h"
#include "process.h"

#define SYMBOLIZER_MS 30000u
#define BATCH         64u
#define BATCH_SIZE    24000u /* of arguments; Windows has room for 32767 characters */
#ifdef _WIN32
#define PATH_SEPARATOR ';'
#else
#define PATH_SEPARATOR ':'
#endif

static const char *file_name(const char *path)
{
    const char *name = path;

    for (; *path; path++)
        if (*path == '\\' || *path == '/')
            name = path + 1;
    return name;
}

/* The module's image file: its own name, or the PDB's with the endings of images. */
static bool find_image(const struct debug_session *session, const struct debug_module *module,
                       char *out, size_t room)
{
    static const char *const endings[] = {"", ".efi", ".exe", ".dll", ".sys"};
    const char *folder = session->symbol_path, *name = file_name(module->path);

    while (folder && *folder) {
        const char *next = strchr(folder, PATH_SEPARATOR);
        int size = next ? (int)(next - folder) : (int)strlen(folder);

        for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
            FILE *file;

            snprintf(out, room, "%.*s/%s%s", size, folder, i == 0 ? name : module->name,
                     endings[i]);
            file = *name ? fopen(out, "rb") : NULL;
            if (file) {
                fclose(file);
                return true;
            }
        }
        folder = next ? next + 1 : NULL;
    }
    return false;
}

/* Names of another build would be wrong ones. Without a record of the PDB on one side nobody knows.
 */
static bool is_same_build(struct debug_session *session, const struct debug_module *module,
                          const char *path)
{
    struct debug_module *running = &session->modules[module - session->modules];
    struct img_source source;
    struct img_image image;
    struct img_codeview codeview;
    struct problem ignored;
    size_t size;
    uint8_t *bytes;
    bool same = true;

    modules_identify(session, running);
    bytes = running->pdb[0] ? file_load(path, &size, &ignored) : NULL;
    if (!bytes)
        return true;
    source = img_memory_source(bytes, size, IMG_FILE);
    if (img_open(&image, &source, 0) == IMG_OK && img_codeview(&image, &codeview) == IMG_OK)
        same = codeview.age == running->age &&
               memcmp(codeview.guid, running->guid, sizeof codeview.guid) == 0;
    free(bytes);
    return same;
}

/* The file that names the places of the module. */
static bool find_symbols(struct debug_session *session, const struct debug_module *module,
                         char *image, size_t room, struct problem *problem)
{
    if (!find_image(session, module, image, room)) {
        problem_set(problem, "no image of %s on the symbol path, -y FOLDERS", module->name);
        return false;
    }
    if (!is_same_build(session, module, image)) {
        problem_set(problem, "%.300s is another build of %s than the one that runs", image,
                    module->name);
        return false;
    }
    return true;
}

/* "function\nfile:line:column\n" as one line. False when it knows nothing. */
static bool take_answer(const char *text, char *out, size_t room)
{
    const char *end = strchr(text, '\n');
    const char *line = end ? end + 1 : "";

    if (!end || strncmp(text, "??", 2) == 0)
        return false;
    snprintf(out, room, "%.*s %.*s", (int)(end - text), text, (int)strcspn(line, "\n"),
             file_name(line)[0] ? line : "");
    return true;
}

bool symbols_name(struct debug_session *session, uint64_t address, char *out, size_t room,
                  struct problem *problem)
{
    const struct debug_module *module = modules_at(session, address);
    char program[PROCESS_PATH_SIZE], image[1024], object[1100], offset[40];
    const char *arguments[] = {program, object, "--relative-address", "--demangle", offset, NULL};
    struct process_result result;
    bool known;

    if (!module) {
        problem_set(problem, "in no module");
        return false;
    }
    if (!find_symbols(session, module, image, sizeof image, problem))
        return false;
    if (!process_find("llvm-symbolizer", program, sizeof program)) {
        problem_set(problem, "llvm-symbolizer is not installed");
        return false;
    }
    snprintf(object, sizeof object, "--obj=%s", image);
    snprintf(offset, sizeof offset, "0x%" PRIx64, address - module->base);
    if (!process_run(arguments, SYMBOLIZER_MS, &result, problem))
        return false;
    known = result.status == 0 && take_answer(result.output, out, room);
    process_result_clear(&result);
    if (!known)
        problem_set(problem, "%s has no symbol there; is its PDB beside it?", image);
    return known;
}

/* --- many at once */

/* Arguments of one run; indexes says which address each is for. */
struct batch {
    const char *arguments[BATCH + 4];
    size_t indexes[BATCH];
    size_t count, used;
    char text[BATCH_SIZE];
};

/* "\"image\" 0x1234" as an argument. False when there is no room. */
static bool add_argument(struct batch *batch, size_t index, const char *image, uint64_t rva)
{
    size_t room = sizeof batch->text - batch->used;
    char *at = batch->text + batch->used;
    int size;

    if (batch->count == BATCH)
        return false;
    size = snprintf(at, room, "\"%s\" 0x%" PRIx64, image, rva);
    if (size < 0 || (size_t)size >= room)
        return false;
    batch->used += (size_t)size + 1;
    batch->indexes[batch->count] = index;
    batch->arguments[3 + batch->count++] = at;
    return true;
}

static char *copy(const char *text, size_t size)
{
    char *made = malloc(size + 1);

    if (!made)
        return NULL;
    memcpy(made, text, size);
    made[size] = '\0';
    return made;
}

/* One answer for each argument, in their order, ended by an empty line. */
static void take_answers(const struct batch *batch, const char *output, char **texts)
{
    for (size_t i = 0; i < batch->count && *output; i++) {
        const char *end = strstr(output, "\n\n");
        size_t size = end ? (size_t)(end - output) + 1 : strlen(output);

        if (strncmp(output, "??", 2) != 0)
            texts[batch->indexes[i]] = copy(output, size);
        output += end ? size + 1 : size;
    }
}

static bool run_batch(struct batch *batch, const char *program, char **texts,
                      struct problem *problem)
{
    struct process_result result;
    bool fine;

    if (batch->count == 0)
        return true;
    batch->arguments[0] = program;
    batch->arguments[1] = "--relative-address";
    batch->arguments[2] = "--demangle";
    batch->arguments[3 + batch->count] = NULL;
    if (!process_run(batch->arguments, SYMBOLIZER_MS, &result, problem))
        return false;
    fine = result.status == 0;
    if (fine)
        take_answers(batch, result.output, texts);
    else
        problem_set(problem, "llvm-symbolizer failed: %.300s", result.errors);
    process_result_clear(&result);
    batch->count = batch->used = 0;
    return fine;
}

bool symbols_texts(struct debug_session *session, const uint64_t *addresses, size_t count,
                   char **texts, struct problem *problem)
{
    struct batch batch = {.count = 0};
    const struct debug_module *last = NULL;
    char program[PROCESS_PATH_SIZE], image[1024];
    struct problem ignored;
    bool known = false;

    if (!process_find("llvm-symbolizer", program, sizeof program)) {
        problem_set(problem, "llvm-symbolizer is not installed");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        const struct debug_module *module = modules_at(session, addresses[i]);

        if (module != last)
            known = module && find_symbols(session, module, image, sizeof image, &ignored);
        last = module;
        if (!known || strchr(image, '"'))
            continue;
        if (add_argument(&batch, i, image, addresses[i] - module->base))
            continue;
        if (!run_batch(&batch, program, texts, problem))
            return false;
        add_argument(&batch, i, image, addresses[i] - module->base);
    }
    return run_batch(&batch, program, texts, problem);
}
