/* profile.h - Wireshark's profile kdlens: the files of it, and where they come from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_PROFILE_H
#define KDLENS_PROFILE_H

#include <stdbool.h>

#include "problem.h"
#include "process.h"

#define PROFILE_NAME "kdlens"

/* Names of its files, then NULL. */
extern const char *const profile_files[];

/* What Wireshark itself puts into the folder of a profile that is used, then NULL. */
extern const char *const profile_traces[];

/* The folder that the files are copied from: profile/kdlens beside the program, where an
 * installation puts it, or of the build that the program is from. */
bool profile_find(char folder[PROCESS_PATH_SIZE], const char *program, struct problem *problem);

#endif
