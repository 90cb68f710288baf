/* debug_output.h - what kdlens debug prints: text or JSON lines; and what `expect` looks at.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Everything said since the last successful expect is kept in a transcript, of which the newest
 * TRANSCRIPT_SIZE bytes are there. With --json every event and every answer of a command is one
 * object a line; the transcript is the same text as without.
 */
#ifndef KDLENS_DEBUG_OUTPUT_H
#define KDLENS_DEBUG_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "problem.h"

#define TRANSCRIPT_SIZE ((size_t)256 << 10)

struct debug_output;
struct debug_input;

struct debug_output *output_new(bool json);
void output_free(struct debug_output *out);

/* A person's terminal, whose line being typed is kept below what is printed; NULL: none. */
void output_set_input(struct debug_output *out, struct debug_input *input);

/* A command's answer is what is said between these two. */
void output_begin(struct debug_output *out, const char *command);
void output_end(struct debug_output *out, bool ok);

/* A part of the answer of a command, or a line of the session's own. */
void output_say(struct debug_output *out, const char *format, ...) LIKE_PRINTF(2, 3);

/* Text of the target, from wire: control codes but line ends and tabs are shown, not obeyed. */
void output_target(struct debug_output *out, const char *event, const uint8_t *bytes, size_t size);

/* An event: a line of text, and in JSON an object with these members. */
struct output_event {
    const char *name;
    const char *text; /* the line, without its end */
    const char *module;
    uint64_t address;
    uint32_t code;
    bool has_address, has_code;
};
void output_event(struct debug_output *out, const struct output_event *event);

/* With JSON, an object of its own: print writes its line. */
void output_object(struct debug_output *out, void (*print)(FILE *file, const void *context),
                   const void *context);

/* The transcript since the last output_consume, ended by NUL. */
const char *output_transcript(const struct debug_output *out, size_t *size);
void output_consume(struct debug_output *out, size_t size);

/* Counts what was said, so that a waiting expect looks only when there is more. */
uint64_t output_count(const struct debug_output *out);

#endif
