/* import.h - what a file format hands to `kdlens import`: bytes with a direction and a time.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A format reads its input to the end, or as far as it makes sense, and delivers each chunk of
 * bytes as it finds it. Cutting them into packets and writing them is import.c's.
 */
#ifndef KDLENS_IMPORT_H
#define KDLENS_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/upper_pdu.h"
#include "input.h"
#include "problem.h"
#include "stream_file.h"

struct import_chunk {
    unsigned line; /* which of the input's lines; 0 where it has one */
    uint64_t time; /* nanoseconds since 1970, or since the start: import_format.relative */
    enum cap_direction direction;
    const uint8_t *bytes; /* valid during the call */
    size_t size;
};

/* Where chunks go. A function that returns false ends the import: return at once. */
struct import_sink {
    bool (*chunk)(void *context, const struct import_chunk *chunk);
    /* Says what a line is, before its first chunk; needed only where there is something to say. */
    bool (*line)(void *context, unsigned line, const struct stream_line *what);
    void *context;
};

/* What went wrong in an input of which the rest is good. */
struct import_faults {
    uint64_t count;
    struct problem first; /* the place and the reason */
};

struct import_format {
    const char *name;
    /* Whether an input that begins like this is of the format. NULL: it cannot be told. */
    bool (*recognise)(const uint8_t *head, size_t size);
    /* False, with a problem, when the input cannot be read on. Parts of it that are left out are
     * counted in faults, as they are found. */
    bool (*read)(struct input *input, const struct import_sink *sink, struct import_faults *faults,
                 struct problem *problem);
    bool relative; /* times count from the start of the recording */
};

extern const struct import_format import_jsonl;
extern const struct import_format import_socat;
extern const struct import_format import_html;
extern const struct import_format import_capture;
extern const struct import_format import_raw;

/* Two dumps of one line, each of one direction, either may be NULL. They are put in an order in
 * which a debugger and a target can have sent them: a dump has no times. */
bool import_dumps(struct input *from_debugger, struct input *from_target,
                  const struct import_sink *sink, struct problem *problem);

/* One more part that is left out; the first is kept. */
void import_fault(struct import_faults *faults, const char *format, ...) LIKE_PRINTF(2, 3);

#endif
