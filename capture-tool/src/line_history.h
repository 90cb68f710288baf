/* line_history.h - the file of lines typed in earlier sessions.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * $XDG_STATE_HOME/kdlens/debug_history, else below ~/.local/state: one line each, oldest first, for
 * its owner only. Each line is added when it is typed, so several sessions can share the file; when
 * it has grown above LINE_HISTORY_LIMIT, loading it cuts it to the newer half. What cannot be read
 * or written is left out: a session has its own lines in memory anyway.
 */
#ifndef KDLENS_LINE_HISTORY_H
#define KDLENS_LINE_HISTORY_H

#include <stddef.h>

#define LINE_HISTORY_LIMIT ((size_t)256 << 10)

/* Each line, oldest first. Lines with control codes are none of ours. */
void line_history_load(void (*take)(void *context, const char *line), void *context);

void line_history_add(const char *line);

#endif
