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
#include <string.h>

#include "debug_modules.h"
#include "process.h"

#define SYMBOLIZER_MS 30000u
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
    if (!find_image(session, module, image, sizeof image)) {
        problem_set(problem, "no image of %s on the symbol path, -y FOLDERS", module->name);
        return false;
    }
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
