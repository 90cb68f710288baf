/* files.h - files by their UTF-8 names, on Linux and Windows alike.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_FILES_H
#define KDLENS_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "problem.h"

#define FILE_LOAD_MAX ((size_t)256 << 20)

/* As fopen; "-" is standard input or output, in binary. What is made can be read by its owner only:
 * recordings hold memory of the target. NULL, with a problem that names the file. */
FILE *file_open(const char *path, const char *mode, struct problem *problem);

/* What there is to read, waiting only for the first byte; 0 at the end, negative with errno. Not to
 * be mixed with the functions of stdio. */
ptrdiff_t file_read(FILE *file, void *out, size_t size);

/* All of a file that is not larger than FILE_LOAD_MAX, to be freed; NULL, with a problem. */
uint8_t *file_load(const char *path, size_t *size, struct problem *problem);

/* Closes it unless it is standard input or output. False when not all could be written. */
bool file_close(FILE *file);

/* Whether both names lead to one existing file, which must not be read and written at once. */
bool file_same(const char *a, const char *b);

/* Whether both can be read and hold the same bytes. */
bool file_equal(const char *a, const char *b);

/* Whether the stream is a terminal. */
bool file_is_terminal(FILE *file);

#endif
