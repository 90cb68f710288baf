/* export_jsonl.c - a stream as JSON lines, the form that import_jsonl.c reads.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "export.h"
#include "files.h"

struct writer {
    struct export_settings settings;
    FILE *file;
    bool begun;
    uint64_t start; /* what times count from */
};

static void *open_jsonl(const struct export_settings *settings, struct problem *problem)
{
    struct writer *writer = calloc(1, sizeof *writer);

    if (!writer) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    writer->settings = *settings;
    writer->file = file_open(settings->name, "wb", problem);
    if (!writer->file) {
        free(writer);
        return NULL;
    }
    return writer;
}

static bool failed(const struct writer *writer, struct problem *problem)
{
    problem_set(problem, "%s: not all could be written", writer->settings.name);
    return false;
}

static bool write_chunk(void *opened, const struct kd_chunk *chunk, struct problem *problem)
{
    static const char *const directions[] = {
        [CAP_SENT] = "h2t", [CAP_RECEIVED] = "t2h", [CAP_DIRECTION_UNKNOWN] = "unknown"};
    struct writer *writer = opened;
    uint64_t time;

    if (!writer->begun && writer->settings.relative)
        writer->start = chunk->time;
    writer->begun = true;
    time = chunk->time > writer->start ? chunk->time - writer->start : 0;
    fprintf(writer->file, "{\"t\": %" PRIu64 ".%09" PRIu64 ", \"dir\": \"%s\", \"hex\": \"",
            time / CLOCK_SECOND, time % CLOCK_SECOND, directions[chunk->direction]);
    for (size_t i = 0; i < chunk->size; i++) {
        static const char digits[] = "0123456789abcdef";

        putc(digits[chunk->bytes[i] >> 4], writer->file);
        putc(digits[chunk->bytes[i] & 15], writer->file);
    }
    fputs("\"}\n", writer->file);
    return !ferror(writer->file) || failed(writer, problem);
}

static bool close_jsonl(void *opened, struct problem *problem)
{
    struct writer *writer = opened;
    bool fine = file_close(writer->file) || failed(writer, problem);

    free(writer);
    return fine;
}

const struct export_format export_jsonl = {open_jsonl, write_chunk, close_jsonl};
