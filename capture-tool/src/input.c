/* input.c - buffered reading of files, pipes and memory. See input.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "input.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "interrupt.h"

#define BLOCK_SIZE 65536u

struct input {
    FILE *file;            /* NULL: memory, which is all in the buffer */
    const uint8_t *memory; /* what the buffer is then */
    uint8_t *buffer;       /* buffer[at..filled) was read and not yet taken */
    size_t at, filled, capacity;
    uint64_t taken;
    uint64_t lines;
    bool ended;
    bool failed;
    struct problem problem;
};

struct input *input_open(const char *path, struct problem *problem)
{
    struct input *input = calloc(1, sizeof *input);

    if (!input || !(input->buffer = malloc(BLOCK_SIZE))) {
        problem_set(problem, "out of memory");
        free(input);
        return NULL;
    }
    input->capacity = BLOCK_SIZE;
    input->file = file_open(path, "rb", problem);
    if (!input->file) {
        input_close(input);
        return NULL;
    }
    return input;
}

struct input *input_open_memory(const uint8_t *bytes, size_t size)
{
    struct input *input = calloc(1, sizeof *input);

    if (!input)
        return NULL;
    input->memory = bytes;
    input->filled = size;
    input->ended = true;
    return input;
}

void input_close(struct input *input)
{
    if (!input)
        return;
    if (input->file)
        file_close(input->file);
    free(input->buffer);
    free(input);
}

static const uint8_t *waiting(const struct input *input)
{
    return (input->file ? input->buffer : input->memory) + input->at;
}

static void fail(struct input *input, const char *reason)
{
    input->failed = input->ended = true;
    problem_set(&input->problem, "offset %" PRIu64 ": %s",
                input->taken + (input->filled - input->at), reason);
}

bool input_interrupted(const struct input *input)
{
    return interrupt_count() > (input->file == stdin ? 1 : 0);
}

/* Reads on until `size` bytes wait, or to the end; grows the buffer as needed. */
static void fill(struct input *input, size_t size)
{
    if (input->at > 0 && !input->ended) {
        memmove(input->buffer, input->buffer + input->at, input->filled - input->at);
        input->filled -= input->at;
        input->at = 0;
    }
    while (!input->ended && input->filled - input->at < size) {
        ptrdiff_t got;

        if (input->filled == input->capacity) {
            uint8_t *grown = realloc(input->buffer, 2 * input->capacity);

            if (!grown) {
                fail(input, "out of memory");
                return;
            }
            input->buffer = grown;
            input->capacity *= 2;
        }
        got =
            file_read(input->file, input->buffer + input->filled, input->capacity - input->filled);
        if (got > 0)
            input->filled += (size_t)got;
        else if (got == 0)
            input->ended = true;
        else if (errno != EINTR)
            fail(input, strerror(errno));
        else if (input_interrupted(input))
            fail(input, "interrupted");
    }
}

const uint8_t *input_head(struct input *input, size_t *size)
{
    fill(input, INPUT_HEAD_SIZE);
    *size = input->filled - input->at;
    if (*size > INPUT_HEAD_SIZE)
        *size = INPUT_HEAD_SIZE;
    return waiting(input);
}

static void take(struct input *input, size_t size)
{
    input->at += size;
    input->taken += size;
}

size_t input_read(struct input *input, void *out, size_t size)
{
    size_t there;

    if (input->at == input->filled)
        fill(input, 1);
    there = input->filled - input->at;
    if (there > size)
        there = size;
    if (there > 0)
        memcpy(out, waiting(input), there);
    take(input, there);
    return there;
}

bool input_line(struct input *input, struct input_line *line)
{
    size_t searched = 0, there, size;
    const uint8_t *found = NULL;

    for (;;) {
        there = input->filled - input->at;
        if (there > searched)
            found = memchr(waiting(input) + searched, '\n', there - searched);
        if (found || input->ended || there > INPUT_LINE_MAX)
            break;
        searched = there;
        fill(input, there + 1);
    }
    if (!found && there > INPUT_LINE_MAX)
        fail(input, "a line of more than 16 MiB");
    if (there == 0 || (!found && input->failed))
        return false;
    size = found ? (size_t)(found - waiting(input)) : there;
    *line = (struct input_line){(const char *)waiting(input), size, ++input->lines, input->taken};
    take(input, found ? size + 1 : size);
    if (size > 0 && line->text[size - 1] == '\r')
        line->size--;
    return true;
}

uint64_t input_offset(const struct input *input)
{
    return input->taken;
}

const char *input_failure(const struct input *input)
{
    return input->failed ? input->problem.text : NULL;
}
