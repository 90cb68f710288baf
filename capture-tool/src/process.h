/* process.h - other programs, run to their end: arguments are a list and never meet a shell.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * process_linux.c and process_windows.c implement it. Texts are UTF-8.
 */
#ifndef KDLENS_PROCESS_H
#define KDLENS_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

/* Of each of the two streams; what a program writes beyond it is dropped. */
#define PROCESS_OUTPUT_MAX ((size_t)8 << 20)

#define PROCESS_PATH_SIZE 4096u

struct process_result {
    int status;   /* the exit status; -1: it was ended from outside */
    char *output; /* standard output, ended by NUL */
    char *errors; /* standard error, the same */
};

/* Runs arguments[0], which is a path, with nothing on standard input; arguments is ended by NULL.
 * False, with a problem, when it cannot be started or has not ended in time, and is then ended.
 * A result needs process_result_clear after success only. */
bool process_run(const char *const *arguments, uint32_t milliseconds, struct process_result *result,
                 struct problem *problem);

void process_result_clear(struct process_result *result);

/* The path of the program that a shell would run for this name, without looking into the current
 * folder; a name with a separator is a path already. */
bool process_find(const char *name, char *path, size_t room);

/* The path of this program's own file, links resolved. */
bool process_own_path(char *path, size_t room, struct problem *problem);

#endif
