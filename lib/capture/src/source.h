/* source.h - the bytes of a capture file, unpacked when they are gzip.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef CAPTURE_SOURCE_H
#define CAPTURE_SOURCE_H

#include <zlib.h>

#include "capture/reader.h"

struct cap_source {
    cap_read_function read;
    void *context;
    bool gzip;
    bool started; /* whether it is gzip is known */
    bool member_ended;
    bool ended;                    /* nothing more to come: end or failure */
    enum cap_failure_kind failure; /* SYSTEM, TRUNCATED (gzip) or CORRUPT (gzip) */
    char text[160];
    size_t at, filled; /* of `input` not yet used: input[at..filled) */
    z_stream unpacker;
    uint8_t input[65536];
};

void cap_source_open(struct cap_source *source, cap_read_function read, void *context);

/* Fills `out`, waiting for as much; less only at the end or after a failure, which `failure` tells.
 * Never waits for more than it returns. */
size_t cap_source_read(struct cap_source *source, void *out, size_t size);

void cap_source_close(struct cap_source *source);

#endif
