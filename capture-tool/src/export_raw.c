/* export_raw.c - a stream as bytes: PREFIX.from-debugger and PREFIX.from-target.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Bytes of unknown direction go to PREFIX.unknown, which is made only when there are any.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "export.h"
#include "files.h"

#define DIRECTIONS 3u

struct writer {
    char *paths[DIRECTIONS];
    FILE *files[DIRECTIONS];
};

static char *join(const char *prefix, const char *suffix)
{
    size_t size = strlen(prefix) + strlen(suffix) + 1;
    char *path = malloc(size);

    if (path)
        snprintf(path, size, "%s%s", prefix, suffix);
    return path;
}

static bool failed(const struct writer *writer, unsigned direction, struct problem *problem)
{
    problem_set(problem, "%s: not all could be written", writer->paths[direction]);
    return false;
}

static bool close_raw(void *opened, struct problem *problem)
{
    struct writer *writer = opened;
    bool fine = true;

    for (unsigned i = 0; i < DIRECTIONS; i++) {
        if (writer->files[i] && !file_close(writer->files[i]))
            fine = failed(writer, i, problem);
        free(writer->paths[i]);
    }
    free(writer);
    return fine;
}

static void *open_raw(const struct export_settings *settings, struct problem *problem)
{
    static const char *const suffixes[DIRECTIONS] = {[CAP_SENT] = ".from-debugger",
                                                     [CAP_RECEIVED] = ".from-target",
                                                     [CAP_DIRECTION_UNKNOWN] = ".unknown"};
    struct writer *writer = calloc(1, sizeof *writer);
    struct problem closing;

    if (!writer) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    for (unsigned i = 0; i < DIRECTIONS; i++) {
        writer->paths[i] = join(settings->name, suffixes[i]);
        if (!writer->paths[i])
            problem_set(problem, "out of memory");
        else if (i != CAP_DIRECTION_UNKNOWN)
            writer->files[i] = file_open(writer->paths[i], "wb", problem);
        if (!writer->paths[i] || (i != CAP_DIRECTION_UNKNOWN && !writer->files[i])) {
            close_raw(writer, &closing);
            return NULL;
        }
    }
    return writer;
}

static bool write_chunk(void *opened, const struct kd_chunk *chunk, struct problem *problem)
{
    struct writer *writer = opened;
    FILE **file = &writer->files[chunk->direction];

    if (!*file && !(*file = file_open(writer->paths[chunk->direction], "wb", problem)))
        return false;
    return fwrite(chunk->bytes, 1, chunk->size, *file) == chunk->size ||
           failed(writer, chunk->direction, problem);
}

const struct export_format export_raw = {open_raw, write_chunk, close_raw};
