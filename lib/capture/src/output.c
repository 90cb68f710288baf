/* output.c - the file or files being written: names, rotation, what happened. See output.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * States, per file:
 *   WRITING   the file is open, all is well
 *   FAILING   creating or writing failed; blocks wait in the buffer, the header of a file that
 * could not be created too; tried again every RETRY nanoseconds
 */
#include "capture/output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drain.h"

#define RETRY     UINT64_C(100000000)
#define RING_MAX  100000 /* the number in a file's name has five digits */
#define NAME_MORE (1 + 5 + 1 + CAP_FILE_STAMP_SIZE)

struct cap_output {
    struct cap_output_options options;
    char *path;
    size_t stem; /* of the path: what comes before the number */
    bool several;
    char *name; /* of the file now written */
    size_t name_size;
    char *ring; /* names of files to be removed, name_size bytes each; the oldest is at ring_at */
    uint32_t ring_at, ring_count;
    struct cap_drain drain;
    uint64_t file_began, tried;
    uint64_t failing_dropped_blocks, failing_dropped_bytes; /* dropped before it began to fail */
    struct cap_output_status status;
    char news[640];
    bool has_news;
};

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void
tell(struct cap_output *output, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    vsnprintf(output->news, sizeof output->news, format, values);
    va_end(values);
    output->has_news = true;
}

/* --- Names */

static bool ends_in_gz(const char *path)
{
    size_t size = strlen(path);

    return size >= 3 && path[size - 3] == '.' && (path[size - 2] | 0x20) == 'g' &&
           (path[size - 1] | 0x20) == 'z';
}

static size_t stem_size(const char *path)
{
    size_t size = strlen(path) - (ends_in_gz(path) ? 3 : 0), base = size;

    while (base && path[base - 1] != '/' && path[base - 1] != '\\')
        base--;
    for (size_t dot = size; dot > base + 1; dot--) {
        if (path[dot - 1] == '.')
            return dot - 1;
    }
    return size;
}

static void name_file(struct cap_output *output)
{
    char stamp[CAP_FILE_STAMP_SIZE];

    if (!output->several) {
        snprintf(output->name, output->name_size, "%s", output->path);
        return;
    }
    cap_file_stamp(stamp);
    snprintf(output->name, output->name_size, "%.*s_%05u_%s%s", (int)output->stem, output->path,
             (unsigned)(output->status.file % RING_MAX), stamp, output->path + output->stem);
}

static void remove_oldest(struct cap_output *output)
{
    const char *oldest = output->ring + (size_t)output->ring_at * output->name_size;
    char error[160];

    if (output->ring_count < output->options.ring_files)
        return;
    if (!cap_file_remove(oldest, error, sizeof error))
        tell(output, "cannot remove %s, which is due to go: %s", oldest, error);
    output->ring_at = (output->ring_at + 1) % output->options.ring_files;
    output->ring_count--;
}

static void add_to_ring(struct cap_output *output)
{
    uint32_t at;

    if (!output->ring)
        return;
    at = (output->ring_at + output->ring_count) % output->options.ring_files;
    memcpy(output->ring + (size_t)at * output->name_size, output->name, output->name_size);
    output->ring_count++;
}

/* --- Writing */

static void begin_failing(struct cap_output *output, const char *reason)
{
    output->status.failing = true;
    output->failing_dropped_blocks = output->status.dropped_blocks;
    output->failing_dropped_bytes = output->status.dropped_bytes;
    tell(output, "cannot write %s: %s; what comes is kept as far as there is room, then dropped",
         output->name, reason);
}

static void end_failing(struct cap_output *output)
{
    uint64_t blocks = output->status.dropped_blocks - output->failing_dropped_blocks;
    uint64_t bytes = output->status.dropped_bytes - output->failing_dropped_bytes;

    output->status.failing = false;
    tell(output, "writing %s goes on; dropped meanwhile: %" PRIu64 " block%s, %" PRIu64 " bytes",
         output->name, blocks, blocks == 1 ? "" : "s", bytes);
}

static bool open_file(struct cap_output *output)
{
    struct cap_drain *drain = &output->drain;

    if (drain->file.open)
        return true;
    if (strcmp(output->name, "-") == 0) {
        cap_file_from_fd(&drain->file, 1);
        drain->file.regular = false; /* others may write to it too: what is written stays */
        return true;
    }
    return cap_file_create(&drain->file, output->name, drain->error, sizeof drain->error);
}

static bool attempt(struct cap_output *output, uint64_t now, enum cap_drain_how how)
{
    bool ok = open_file(output) && cap_drain_run(&output->drain, how);

    output->tried = now;
    if (!ok && !output->status.failing)
        begin_failing(output, output->drain.error);
    else if (ok && output->status.failing)
        end_failing(output);
    return ok;
}

static bool attempt_if_due(struct cap_output *output, uint64_t now, enum cap_drain_how how)
{
    if (output->status.failing && now - output->tried < RETRY)
        return false;
    return attempt(output, now, how);
}

/* What the program wants at the start or the end of a file. */
static size_t add_blocks(struct cap_output *output, cap_blocks_function function)
{
    struct cap_drain *drain = &output->drain;
    size_t size = function ? function(output->options.context, NULL, 0) : 0;

    if (!size || !cap_drain_has_room(drain, size) ||
        function(output->options.context, drain->buffer + drain->used, size) != size)
        return 0;
    drain->used += size;
    return size;
}

static bool begin_file(struct cap_output *output, uint64_t now)
{
    struct cap_drain *drain = &output->drain;

    cap_drain_reset(drain);
    output->status.file++;
    name_file(output);
    add_to_ring(output);
    output->file_began = now;
    drain->own = add_blocks(output, output->options.header);
    output->status.file_size = drain->own;
    return attempt(output, now, CAP_DRAIN_FLUSH);
}

/* False when something that was taken is lost; it is counted then. */
static bool end_file(struct cap_output *output, uint64_t now)
{
    struct cap_drain *drain = &output->drain;
    uint64_t blocks = 0, bytes = 0;
    bool ok = attempt(output, now, CAP_DRAIN_FLUSH);

    if (ok) {
        add_blocks(output, output->options.footer);
        ok = attempt(output, now, CAP_DRAIN_FINISH);
    } else {
        cap_drain_waiting(drain, &blocks, &bytes);
        output->status.dropped_blocks += blocks;
        output->status.dropped_bytes += bytes;
    }
    if (!cap_file_close(&drain->file, drain->error, sizeof drain->error)) {
        tell(output, "%s may be incomplete: %s", output->name, drain->error);
        ok = false;
    }
    return ok;
}

static void next_file(struct cap_output *output, uint64_t now)
{
    /* Before closing, where possible: it may make room for what waits. */
    if (output->options.ring_files > 1)
        remove_oldest(output);
    end_file(output, now);
    if (output->options.ring_files == 1)
        remove_oldest(output);
    begin_file(output, now);
}

/* As long as writing fails, another file helps only if an older one makes room for it. */
static void rotate_if_due(struct cap_output *output, uint64_t now)
{
    const struct cap_output_options *options = &output->options;

    if (output->status.failing && !output->ring)
        return;
    if ((options->rotate_size && output->status.file_size >= options->rotate_size) ||
        (options->rotate_duration && now - output->file_began >= options->rotate_duration))
        next_file(output, now);
}

bool cap_output_write(struct cap_output *output, const uint8_t *block, size_t size, uint64_t now)
{
    struct cap_output_status *status = &output->status;

    if (!cap_drain_has_room(&output->drain, size))
        attempt_if_due(output, now, CAP_DRAIN_SOME);
    if (!cap_drain_has_room(&output->drain, size)) {
        if (!status->failing)
            begin_failing(output, "there is not enough memory");
        status->dropped_blocks++;
        status->dropped_bytes += size;
        return false;
    }
    cap_drain_add(&output->drain, block, size);
    status->blocks++;
    status->bytes += size;
    status->file_size += size;
    rotate_if_due(output, now);
    return true;
}

bool cap_output_flush(struct cap_output *output, uint64_t now)
{
    rotate_if_due(output, now);
    return attempt_if_due(output, now, CAP_DRAIN_FLUSH);
}

bool cap_output_rotate(struct cap_output *output, uint64_t now)
{
    if (output->several)
        next_file(output, now);
    return output->several;
}

const char *cap_output_news(struct cap_output *output)
{
    if (!output->has_news)
        return NULL;
    output->has_news = false;
    return output->news;
}

const struct cap_output_status *cap_output_status(const struct cap_output *output)
{
    return &output->status;
}

/* --- Opening and closing */

static void free_output(struct cap_output *output)
{
    cap_drain_free(&output->drain);
    free(output->ring);
    free(output->name);
    free(output->path);
    free(output);
}

/* What needs memory, all of it. */
static bool prepare(struct cap_output *output, const struct cap_output_options *options)
{
    size_t size = strlen(options->path) + 1;

    output->options = *options;
    output->several = options->rotate_size || options->rotate_duration || options->ring_files;
    output->path = malloc(size);
    output->name_size = size + NAME_MORE;
    output->name = calloc(1, output->name_size);
    if (!output->path || !output->name)
        return false;
    memcpy(output->path, options->path, size);
    output->options.path = output->path;
    output->stem = stem_size(output->path);
    output->status.path = output->name;
    if (options->ring_files) {
        output->ring = malloc((size_t)options->ring_files * output->name_size);
        if (!output->ring)
            return false;
    }
    return cap_drain_init(&output->drain, ends_in_gz(output->path));
}

struct cap_output *cap_output_open(const struct cap_output_options *options, uint64_t now,
                                   char *error, size_t error_size)
{
    bool several = options->rotate_size || options->rotate_duration || options->ring_files;
    struct cap_output *output;

    if (several && strcmp(options->path, "-") == 0) {
        snprintf(error, error_size, "standard output cannot be several files: name a file");
        return NULL;
    }
    if (options->ring_files >= RING_MAX) {
        snprintf(error, error_size, "files: must be less than %u", RING_MAX);
        return NULL;
    }
    output = calloc(1, sizeof *output);
    if (!output || !prepare(output, options)) {
        snprintf(error, error_size, "there is not enough memory");
    } else if (begin_file(output, now)) {
        return output;
    } else {
        char ignored[1];

        snprintf(error, error_size, "cannot write %s: %s", output->name, output->drain.error);
        cap_file_close(&output->drain.file, ignored, sizeof ignored);
    }
    if (output)
        free_output(output);
    return NULL;
}

bool cap_output_close(struct cap_output *output, uint64_t now, struct cap_output_status *last,
                      char *error, size_t error_size)
{
    uint64_t before = output->status.dropped_blocks;
    bool ok = end_file(output, now);
    uint64_t lost = output->status.dropped_blocks - before;

    if (!ok)
        snprintf(error, error_size, "cannot write the end of %s, %" PRIu64 " block%s: %s",
                 output->name, lost, lost == 1 ? "" : "s", output->drain.error);
    if (last) {
        *last = output->status;
        last->path = NULL;
    }
    free_output(output);
    return ok;
}
