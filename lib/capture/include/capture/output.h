/* output.h - a pcapng file being written, plain or gzip, or a set of files that take turns.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Whole blocks go in. They are kept in a buffer of fixed size until it is full or cap_output_flush
 * is called; a process that is killed loses what came after the last flush. A gzip file is flushed
 * with Z_SYNC_FLUSH: after a kill it unpacks up to there, and tshark reads it with a warning.
 *
 * When writing fails (the disk is full, the folder is gone), a plain file is cut back to its last
 * whole block, so it is a valid file at any time. What is in the buffer waits; blocks that find no
 * room in it are dropped and counted. Flushing tries again, at most ten times a second, as does a
 * block that finds no room, so writing goes on by itself. Blocks that were taken are lost only when
 * the file is closed while writing still fails; they are then counted as dropped, in a gzip file
 * all since the last flush.
 *
 * Not for several threads at once. The program must ignore SIGPIPE when it writes to a pipe.
 */
#ifndef CAPTURE_OUTPUT_H
#define CAPTURE_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes the blocks that a file begins or ends with. As an encoder: returns their size, writes
 * nothing when it is more than `room`. */
typedef size_t (*cap_blocks_function)(void *context, uint8_t *out, size_t room);

struct cap_output_options {
    const char *path;           /* UTF-8; gzip when it ends in ".gz"; "-": standard output */
    cap_blocks_function header; /* called for each file: section, interfaces, secrets */
    cap_blocks_function footer; /* called before a file is closed: statistics; may be NULL */
    void *context;
    /* As dumpcap's -b. Any but 0 makes several files, NAME_00001_YYYYMMDDhhmmss.SUFFIX and so on;
     * the first block of a file is taken whatever its size. */
    uint64_t rotate_size;     /* bytes (filesize: counts 1000); measured before compression */
    uint64_t rotate_duration; /* nanoseconds */
    uint32_t ring_files;      /* the newest so many are kept; 0: all */
};

struct cap_output_status {
    const char *path;       /* of the file being written */
    uint32_t file;          /* its number, from 1 */
    uint64_t file_size;     /* of its blocks, those in the buffer too; before compression */
    uint64_t blocks, bytes; /* taken, in all files, headers and footers not counted */
    uint64_t dropped_blocks, dropped_bytes;
    bool failing;
};

struct cap_output;

/* Creates the first file and writes its header. NULL when that fails, with a sentence in `error`.
 * `now` here and below: nanoseconds of a steady clock; names of files get the time of day. */
struct cap_output *cap_output_open(const struct cap_output_options *options, uint64_t now,
                                   char *error, size_t error_size);

/* Takes one whole block, of either byte order. False when it was dropped. */
bool cap_output_write(struct cap_output *output, const uint8_t *block, size_t size, uint64_t now);

/* Hands to the system all that was taken. Also rotates when the time has come, so call it while
 * nothing is written, too. False when something is still waiting. */
bool cap_output_flush(struct cap_output *output, uint64_t now);

/* A sentence to show to the user, or NULL: writing began to fail, or goes on. Each is given once
 * and stays valid until the next call of any of these functions. */
const char *cap_output_news(struct cap_output *output);

const struct cap_output_status *cap_output_status(const struct cap_output *output);

/* Begins the next file now; false when rotation was not asked for. */
bool cap_output_rotate(struct cap_output *output, uint64_t now);

/* Writes the footer, closes, frees. False with a sentence in `error` when something taken could not
 * be written; `last`, which may be NULL, gets the final numbers (without path). */
bool cap_output_close(struct cap_output *output, uint64_t now, struct cap_output_status *last,
                      char *error, size_t error_size);

#endif
