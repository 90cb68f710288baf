/* debug_input.h - lines of commands: from a file, a pipe, or a person at a terminal.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A thread of its own reads, because reading waits; it wakes the loop for each line. At a terminal
 * where the program edits the line itself (line_editor.h), what is printed meanwhile appears above
 * the line. Elsewhere the terminal or the console edits it, and what is printed ends the line.
 */
#ifndef KDLENS_DEBUG_INPUT_H
#define KDLENS_DEBUG_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "problem.h"

struct channel_loop;
struct debug_input;
struct line_completer;

/* file stays the caller's. person: it is a terminal, and somebody types, with Tab for the words of
 * the completer, which is there until input_stop. NULL: no memory or no thread. */
struct debug_input *input_start(struct channel_loop *loop, FILE *file, bool person,
                                const struct line_completer *completer);

/* The next line, without its end, if there is one; *number counts lines from 1. The line is the
 * caller's until the next call. */
const char *input_take(struct debug_input *input, unsigned long *number);

/* Whether there are no more lines, and never will be. */
bool input_ended(struct debug_input *input);

/* At a terminal: a line is asked for, unless it is already, and this stands before it. It stays the
 * caller's. */
void input_prompt(struct debug_input *input, const char *prompt);

/* Whether lines come from a person, whose Enter also ends what the target has printed. */
bool input_is_typed(const struct debug_input *input);

/* Printing is between these two: they take the line being typed off the terminal and put it back.
 * input_printed: what is printed. */
void input_hide(struct debug_input *input);
void input_printed(struct debug_input *input, const char *text, size_t size);
void input_show(struct debug_input *input);

/* False when its thread still waits for a line: the program is then to end by _Exit. */
bool input_stop(struct debug_input *input);

#endif
