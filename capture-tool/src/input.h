/* input.h - bytes of a file, a pipe or memory: looked at, read, or taken line by line.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_INPUT_H
#define KDLENS_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "problem.h"

#define INPUT_HEAD_SIZE 4096u
#define INPUT_LINE_MAX  (16u << 20) /* bytes */

struct input;

/* `path` is UTF-8; "-" is standard input. NULL, with a problem, when it cannot be opened. */
struct input *input_open(const char *path, struct problem *problem);

/* The bytes stay the caller's. NULL: no memory. */
struct input *input_open_memory(const uint8_t *bytes, size_t size);

void input_close(struct input *input);

/* The first bytes, at most INPUT_HEAD_SIZE, without taking them; only before anything is taken. */
const uint8_t *input_head(struct input *input, size_t *size);

/* Takes at most `size` bytes; 0 at the end and after a failure. */
size_t input_read(struct input *input, void *out, size_t size);

struct input_line {
    const char *text; /* without the line end, not ended by NUL; valid until the next call */
    size_t size;
    uint64_t number; /* from 1 */
    uint64_t offset; /* of its first byte in the input */
};

/* False at the end and after a failure. The last line needs no line end. */
bool input_line(struct input *input, struct input_line *line);

/* Bytes taken. */
uint64_t input_offset(const struct input *input);

/* Whether the user wants it to end early. What comes through a pipe ends with the program that
 * sends it, which the same Ctrl-C ends; so there it takes two. */
bool input_interrupted(const struct input *input);

/* Why reading ended early, in the form "offset N: reason"; NULL when it did not. */
const char *input_failure(const struct input *input);

#endif
