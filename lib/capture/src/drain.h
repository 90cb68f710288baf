/* drain.h - whole blocks on their way into one file: buffer, gzip, and what a full disk needs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef CAPTURE_DRAIN_H
#define CAPTURE_DRAIN_H

#include <zlib.h>

#include "file.h"

enum cap_drain_how {
    CAP_DRAIN_SOME,   /* make room */
    CAP_DRAIN_FLUSH,  /* everything can be read from the file */
    CAP_DRAIN_FINISH, /* nothing more will come */
};

struct cap_drain {
    bool gzip;
    struct cap_file file;
    uint64_t written; /* plain: size of the file */
    uint8_t *buffer;  /* whole blocks; in a pipe the first may have been written in part */
    size_t used, room;
    size_t own; /* of `used`, from the start: the file's header, which is not counted as lost */
    z_stream packer;
    bool unflushed; /* gzip keeps something back */
    uint8_t *packed;
    size_t packed_at, packed_end, packed_room; /* packed[packed_at..packed_end) is not written */
    uint64_t packed_blocks, packed_bytes;      /* may not be in the file yet */
    char error[160];                           /* of the last failure */
};

bool cap_drain_init(struct cap_drain *drain, bool gzip);
void cap_drain_free(struct cap_drain *drain);

/* A new file: nothing is waiting. */
void cap_drain_reset(struct cap_drain *drain);

/* Room for `size` more bytes without writing; the buffer grows only for a block that never fits. */
bool cap_drain_has_room(struct cap_drain *drain, size_t size);

/* Needs room. */
void cap_drain_add(struct cap_drain *drain, const uint8_t *blocks, size_t size);

/* True when all was written as asked. Otherwise the rest waits and `error` says why. A regular
 * plain file ends after a whole block in any case. */
bool cap_drain_run(struct cap_drain *drain, enum cap_drain_how how);

/* What waits, the file's header not counted. */
void cap_drain_waiting(const struct cap_drain *drain, uint64_t *blocks, uint64_t *bytes);

#endif
