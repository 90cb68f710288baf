/* profile.c - where the profile is. See profile.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "profile.h"

#include <stdio.h>
#include <string.h>

#include "folders.h"
#include "wireshark.h"

#ifdef _WIN32
#define S "\\"
#else
#define S "/"
#endif

const char *const profile_files[] = {
    "preferences", "colorfilters", "dfilter_buttons", "dfilter_macros", "recent", NULL,
};

const char *const profile_traces[] = {
    "recent",
    "disabled_protos",
    "enabled_protos",
    "heuristic_protos",
    "decode_as_entries",
    "io_graphs",
    "import_hexdump.json",
    "dmacros",
    NULL,
};

/* above: folders above the program's own. */
static const struct {
    unsigned above;
    const char *folder;
} places[] = {
    {0, "profile" S PROFILE_NAME},
    {1, "share" S "kdlens" S "profile" S PROFILE_NAME},
    {1, "plugin" S "profile" S PROFILE_NAME},
};

static bool is_at(const char *folder)
{
    char path[PROCESS_PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s" S "%s", folder, profile_files[0]);

    return length >= 0 && (size_t)length < sizeof path && folders_have(path);
}

bool profile_find(char folder[PROCESS_PATH_SIZE], const char *program, struct problem *problem)
{
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        char above[PROCESS_PATH_SIZE];
        int length;

        snprintf(above, sizeof above, "%s", program);
        for (unsigned up = 0; up <= places[i].above; up++)
            wireshark_parent(above);
        length = snprintf(folder, PROCESS_PATH_SIZE, "%s" S "%s", above, places[i].folder);
        if (length >= 0 && (size_t)length < PROCESS_PATH_SIZE && is_at(folder))
            return true;
    }
    problem_set(problem,
                "there is no profile" S PROFILE_NAME
                " beside %s: unpack the whole release, or take "
                "the files from plugin/profile of the sources",
                program);
    return false;
}
