/* viewer_windows.c - Wireshark on a named pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "viewer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include "process.h"

struct viewer {
    char path[64]; /* "pipe:NAME" */
};

struct viewer *viewer_new(struct problem *problem)
{
    struct viewer *viewer = calloc(1, sizeof *viewer);

    if (!viewer) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    snprintf(viewer->path, sizeof viewer->path, "pipe:kdlens-%lu", GetCurrentProcessId());
    return viewer;
}

const char *viewer_path(const struct viewer *viewer)
{
    return viewer->path;
}

/* The one that is asked for, the one on the path, or where its installer puts it. */
static bool find_program(char *program, size_t room, struct problem *problem)
{
    const char *wanted = getenv("KDLENS_WIRESHARK"), *folder = getenv("ProgramFiles");

    if (wanted && *wanted) {
        if (process_find(wanted, program, room))
            return true;
        problem_set(problem, "there is no program %s, which KDLENS_WIRESHARK names", wanted);
        return false;
    }
    if (process_find("Wireshark", program, room))
        return true;
    if (folder && snprintf(program, room, "%s\\Wireshark\\Wireshark.exe", folder) < (int)room) {
        char found[PROCESS_PATH_SIZE];

        if (process_find(program, found, sizeof found))
            return true;
    }
    problem_set(problem, "Wireshark is neither on the path nor in its usual folder; name it by the "
                         "environment variable KDLENS_WIRESHARK");
    return false;
}

bool viewer_start(struct viewer *viewer, struct problem *problem)
{
    char program[PROCESS_PATH_SIZE], line[PROCESS_PATH_SIZE + 100];
    wchar_t wide_program[PROCESS_PATH_SIZE], wide_line[PROCESS_PATH_SIZE + 100];
    STARTUPINFOW startup = {.cb = sizeof startup};
    PROCESS_INFORMATION process;

    if (!find_program(program, sizeof program, problem))
        return false;
    snprintf(line, sizeof line, "\"%s\" -k -i \\\\.\\pipe\\%s", program,
             viewer->path + strlen("pipe:"));
    if (MultiByteToWideChar(CP_UTF8, 0, program, -1, wide_program, PROCESS_PATH_SIZE) == 0 ||
        MultiByteToWideChar(CP_UTF8, 0, line, -1, wide_line, PROCESS_PATH_SIZE + 100) == 0) {
        problem_set(problem, "%s: the name is too long", program);
        return false;
    }
    /* A group of its own: Ctrl-C is for the tap alone. */
    if (!CreateProcessW(wide_program, wide_line, NULL, NULL, FALSE, CREATE_NEW_PROCESS_GROUP, NULL,
                        NULL, &startup, &process)) {
        problem_system(problem, GetLastError(), "%s cannot be started", program);
        return false;
    }
    CloseHandle(process.hThread);
    CloseHandle(process.hProcess);
    return true;
}

void viewer_free(struct viewer *viewer)
{
    free(viewer);
}
