/* capture_file.h - captured frames into a pcapng file, with the keys that open them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_CAPTURE_FILE_H
#define KDLENS_CAPTURE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "keyring.h"
#include "options.h"
#include "problem.h"

struct capture_file;

/* Strings and keyring stay the caller's until capture_file_close. */
struct capture_file_config {
    const char *path;
    const struct option_texts *rotation;
    const char *interface;
    const char *description; /* NULL: none */
    const char *filter;
    uint16_t linktype;
    uint32_t snaplen;
    const struct keyring *keyring; /* written into every file; NULL: none */
};

struct capture_file *capture_file_open(const struct capture_file_config *config,
                                       struct problem *problem);

/* key: the one of the keyring that opens this frame; SIZE_MAX: none. In the first such frame of a
 * file a comment names it to the plugin. marker: a comment of its own; NULL: none. */
struct capture_frame {
    uint64_t wall; /* nanoseconds */
    const uint8_t *bytes;
    size_t size;
    size_t original_size;
    size_t key;
    const char *marker;
};

/* False when it was dropped, because the file cannot be written. */
bool capture_file_frame(struct capture_file *file, const struct capture_frame *frame);

/* What the file's statistics say when it ends: frames the system delivered, and lost. */
void capture_file_counts(struct capture_file *file, uint64_t received, uint64_t dropped);

/* Hands on what is buffered; several times a second. False while the file cannot be written. */
bool capture_file_flush(struct capture_file *file);

/* A sentence about writing that fails or works again, once; else NULL. */
const char *capture_file_news(struct capture_file *file);

/* The path of the file that is written now. */
const char *capture_file_path(const struct capture_file *file);

/* Frames that are lost because they could not be written go to *lost. False with a problem when
 * some are. */
bool capture_file_close(struct capture_file *file, uint64_t *lost, struct problem *problem);

#endif
