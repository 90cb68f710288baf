/* line_editor_none.c - line_editor.h in a build without it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "line_editor.h"

struct line_editor *line_editor_new(const struct line_completer *completer)
{
    (void)completer;
    return NULL;
}

void line_editor_free(struct line_editor *editor)
{
    (void)editor;
}

const char *line_editor_read(struct line_editor *editor)
{
    (void)editor;
    return NULL;
}

void line_editor_ask(struct line_editor *editor, const char *prompt)
{
    (void)editor;
    (void)prompt;
}

void line_editor_set_prompt(struct line_editor *editor, const char *prompt)
{
    (void)editor;
    (void)prompt;
}

void line_editor_hide(struct line_editor *editor)
{
    (void)editor;
}

void line_editor_show(struct line_editor *editor)
{
    (void)editor;
}

void line_editor_printed(struct line_editor *editor, const char *text, size_t size)
{
    (void)editor;
    (void)text;
    (void)size;
}

void line_editor_stop(struct line_editor *editor)
{
    (void)editor;
}
