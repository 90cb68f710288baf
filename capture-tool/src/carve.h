/* carve.h - what the verb carve is asked for. The two things it takes out are carve.c's (images)
 * and carve_files.c's (files).
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_CARVE_H
#define KDLENS_CARVE_H

#include "models.h"

struct carve_options {
    struct sessions_options sessions;
    const char *place; /* module or address; NULL with files */
    const char *out;
    uint64_t at; /* 0: the end */
    bool files;
    bool as_loaded;
    bool without_writes;
    bool json;
};

/* Writes every file that the target had from the debugger, or wrote on it, into the folder. False,
 * with a problem, when one cannot be written or there is none. */
bool carve_files(const struct carve_options *options, const struct models_seat *seat,
                 struct problem *problem);

#endif
