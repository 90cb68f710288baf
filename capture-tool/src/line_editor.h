/* line_editor.h - a line that a person types at a terminal, edited here: cursor keys, history,
 * completion.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Two threads use it. One reads and gets lines; the other asks for them, and prints while a line is
 * typed:
 *
 *   idle    no line is asked for; the terminal is as the program found it
 *   asked   line_editor_ask was called; the reading thread draws prompt and line
 *   typing  the line is on the terminal, and keys change it
 *   hidden  between line_editor_hide and line_editor_show: the line is off the terminal, and keys
 *           wait
 *
 * line_editor_libedit.c implements it; line_editor_none.c is for builds without, where the
 * terminal edits the line as far as it can.
 */
#ifndef KDLENS_LINE_EDITOR_H
#define KDLENS_LINE_EDITOR_H

#include <stdbool.h>
#include <stddef.h>

struct line_editor;

/* Where the word at the end of a line begins, and whether a blank follows it when it is complete.
 */
struct line_spot {
    size_t start;
    bool blank_after;
};

struct line_completer {
    /* A word that may stand where the end of the line is, by index; NULL: no more. It is called by
     * the reading thread. */
    const char *(*word)(void *context, const char *line, size_t index, struct line_spot *spot);
    void *context;
};

/* NULL: no editing here, because stdin or stdout is no terminal or one that cannot move its cursor,
 * or the program was built without. */
struct line_editor *line_editor_new(const struct line_completer *completer);

/* After the reading thread has ended. NULL is allowed. */
void line_editor_free(struct line_editor *editor);

/* For the reading thread: waits until a line is asked for and typed. The line is without its end
 * and stays until the next call. NULL: Ctrl-D, or no more. */
const char *line_editor_read(struct line_editor *editor);

/* A line is wanted; it is typed behind the prompt, which stays the caller's. */
void line_editor_ask(struct line_editor *editor, const char *prompt);

/* Another prompt for the line that was asked for. */
void line_editor_set_prompt(struct line_editor *editor, const char *prompt);

/* What is printed between these appears above the line. The first waits for the second: print and
 * return. */
void line_editor_hide(struct line_editor *editor);
void line_editor_show(struct line_editor *editor);

/* Between the two: what was printed. It may end amid a line, which then goes on next time. */
void line_editor_printed(struct line_editor *editor, const char *text, size_t size);

/* From here on line_editor_read returns NULL, and the terminal is as it was. */
void line_editor_stop(struct line_editor *editor);

#endif
