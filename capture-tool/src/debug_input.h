/* debug_input.h - lines of commands: from a file, a pipe, or a person at a terminal.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A thread of its own reads, because reading waits; it wakes the loop for each line. At a terminal
 * of a system where the program edits the line itself (line_editor.h), what is printed meanwhile
 * appears above the line.
 */
#ifndef KDLENS_DEBUG_INPUT_H
#define KDLENS_DEBUG_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "problem.h"

struct channel_loop;
struct debug_input;

/* file stays the caller's. person: it is a terminal, and somebody types. NULL: no memory or no
 * thread. */
struct debug_input *input_start(struct channel_loop *loop, FILE *file, bool person);

/* The next line, without its end, if there is one; *number counts lines from 1. The line is the
 * caller's until the next call. */
const char *input_take(struct debug_input *input, unsigned long *number);

/* Whether there are no more lines, and never will be. */
bool input_ended(struct debug_input *input);

/* At a terminal: what stands before the line that is typed; NULL: no line is asked for now. */
void input_prompt(struct debug_input *input, const char *prompt);

/* Takes the line being typed off the terminal, and puts it back. */
void input_hide(struct debug_input *input);
void input_show(struct debug_input *input);

/* False when its thread still waits for a line: the program is then to end by _Exit. */
bool input_stop(struct debug_input *input);

#endif
