/* debug_input.c - lines of commands. See debug_input.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * One line waits at most: the thread reads the next one when this one was taken.
 */
#include "debug_input.h"

#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "line_editor.h"
#include "thread.h"

#define LINE_SIZE   4096u
#define IDLE_PERIOD 60000u

struct debug_input {
    struct channel_loop *loop;
    FILE *file;
    bool person;
    struct line_editor *editor; /* NULL: lines come as they are */
    struct thread thread;
    struct lock lock;
    struct condition taken;
    /* Under the lock: */
    char line[LINE_SIZE];
    bool full;
    bool ended;
    bool stopping;
    /* The caller's: */
    char given[LINE_SIZE];
    unsigned long number;
    const char *prompt; /* of the line that was asked for */
};

/* False when no more may be read. */
static bool put_line(struct debug_input *input, const char *line)
{
    bool goes_on;

    lock_take(&input->lock);
    while (input->full && !input->stopping)
        condition_wait(&input->taken, &input->lock, IDLE_PERIOD);
    if (!input->stopping) {
        snprintf(input->line, sizeof input->line, "%s", line);
        input->full = true;
    }
    goes_on = !input->stopping;
    lock_release(&input->lock);
    channel_loop_wake(input->loop);
    return goes_on;
}

static const char *read_line(struct debug_input *input, char *room, size_t size)
{
    if (input->editor)
        return line_editor_read(input->editor);
    if (!fgets(room, (int)size, input->file))
        return NULL;
    room[strcspn(room, "\r\n")] = '\0';
    return room;
}

static void run(void *context)
{
    struct debug_input *input = context;
    char room[LINE_SIZE];
    const char *line;

    while ((line = read_line(input, room, sizeof room)) != NULL)
        if (!put_line(input, line))
            break;
    lock_take(&input->lock);
    input->ended = true;
    lock_release(&input->lock);
    channel_loop_wake(input->loop);
}

struct debug_input *input_start(struct channel_loop *loop, FILE *file, bool person,
                                const struct line_completer *completer)
{
    struct debug_input *input = calloc(1, sizeof *input);

    if (!input)
        return NULL;
    input->loop = loop;
    input->file = file;
    input->person = person;
    lock_init(&input->lock);
    condition_init(&input->taken);
    input->editor = person ? line_editor_new(completer) : NULL;
    if (!thread_start(&input->thread, run, input)) {
        line_editor_free(input->editor);
        free(input);
        return NULL;
    }
    return input;
}

const char *input_take(struct debug_input *input, unsigned long *number)
{
    bool there;

    lock_take(&input->lock);
    there = input->full;
    if (there)
        memcpy(input->given, input->line, sizeof input->given);
    input->full = false;
    condition_signal(&input->taken);
    lock_release(&input->lock);
    if (!there)
        return NULL;
    input->prompt = NULL;
    *number = ++input->number;
    return input->given;
}

bool input_ended(struct debug_input *input)
{
    bool ended;

    lock_take(&input->lock);
    ended = input->ended && !input->full;
    lock_release(&input->lock);
    return ended;
}

void input_prompt(struct debug_input *input, const char *prompt)
{
    const char *before = input->prompt;

    if (!input->person || before == prompt)
        return;
    input->prompt = prompt;
    if (input->editor && before) {
        line_editor_set_prompt(input->editor, prompt);
    } else if (input->editor) {
        line_editor_ask(input->editor, prompt);
    } else {
        printf("%s%s", before ? "\n" : "", prompt);
        fflush(stdout);
    }
}

bool input_is_typed(const struct debug_input *input)
{
    return input->person;
}

void input_hide(struct debug_input *input)
{
    if (input->editor) {
        line_editor_hide(input->editor);
    } else if (input->prompt) {
        input->prompt = NULL;
        fputs("\n", stdout);
    }
}

void input_printed(struct debug_input *input, const char *text, size_t size)
{
    if (input->editor)
        line_editor_printed(input->editor, text, size);
}

void input_show(struct debug_input *input)
{
    if (input->editor)
        line_editor_show(input->editor);
}

bool input_stop(struct debug_input *input)
{
    bool ended;

    if (!input)
        return true;
    lock_take(&input->lock);
    input->stopping = true;
    condition_signal(&input->taken);
    ended = input->ended;
    lock_release(&input->lock);
    if (input->editor)
        line_editor_stop(input->editor);
    else if (!ended)
        return false;
    thread_join(&input->thread);
    condition_clear(&input->taken);
    lock_clear(&input->lock);
    line_editor_free(input->editor);
    free(input);
    return true;
}
