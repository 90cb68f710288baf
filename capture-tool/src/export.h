/* export.h - what `kdlens export` writes a KD byte stream as.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_EXPORT_H
#define KDLENS_EXPORT_H

#include <stdbool.h>

#include "kd_streams.h"
#include "problem.h"

struct export_settings {
    const char *name; /* a file, "-" for standard output; raw: what files begin with */
    bool relative;    /* jsonl: times count from the first chunk */
};

struct export_format {
    /* Makes the file. NULL, with a problem. */
    void *(*open)(const struct export_settings *settings, struct problem *problem);
    /* False, with a problem, when writing fails. */
    bool (*chunk)(void *writer, const struct kd_chunk *chunk, struct problem *problem);
    /* Finishes and frees it. False, with a problem, when not all could be written. */
    bool (*close)(void *writer, struct problem *problem);
};

extern const struct export_format export_jsonl;
extern const struct export_format export_raw;
extern const struct export_format export_udp;

#endif
