/* stream_file.h - a capture of KD byte streams that did not come from a tap, being written.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The records are those of a tap's recording: one for each KD packet, break-in or run of noise, for
 * the dissector kd_stream, with the direction in the record and in its flags. Each line (a serial
 * port, a connection) is an interface of the capture. The file is made when the first line is
 * added, so an input that yields nothing leaves nothing behind.
 */
#ifndef KDLENS_STREAM_FILE_H
#define KDLENS_STREAM_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/upper_pdu.h"
#include "problem.h"

#define STREAM_LINES_MAX 64u

struct stream_file;

struct stream_file_options {
    const char *path; /* as cap_output's */
    const char *application;
    bool raw; /* the bytes of each call are a record, as they are */
};

/* Texts are UTF-8 and may be NULL. */
struct stream_line {
    const char *name;
    const char *description;
    const char *comment;
    uint64_t speed; /* bits a second; 0: not known */
};

/* What went one way on a line. */
struct stream_counts {
    uint64_t records, bytes;
    uint64_t packets, damaged; /* damaged: of the packets, those with a wrong checksum or trailer */
    uint64_t breakins;
    uint64_t noise;   /* bytes */
    uint64_t against; /* packets that only the other end sends */
};

struct stream_file *stream_file_new(const struct stream_file_options *options,
                                    struct problem *problem);

/* Its number, from 0, or -1 with a problem. */
int stream_file_add(struct stream_file *file, const struct stream_line *line,
                    struct problem *problem);

/* Bytes that came at once. */
struct stream_bytes {
    int line;
    uint64_t time; /* nanoseconds since 1970 */
    enum cap_direction direction;
    const uint8_t *bytes;
    size_t size;
};

/* False, with a problem, when writing fails. */
bool stream_file_bytes(struct stream_file *file, const struct stream_bytes *bytes,
                       struct problem *problem);

/* No more comes on this line. */
bool stream_file_end(struct stream_file *file, int line, struct problem *problem);

const struct stream_counts *stream_file_counts(const struct stream_file *file, int line,
                                               enum cap_direction direction);

/* Finishes and frees it; NULL is allowed. False, with a problem, when not all could be written. */
bool stream_file_close(struct stream_file *file, struct problem *problem);

#endif
