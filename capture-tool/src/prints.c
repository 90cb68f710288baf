/* prints.c - the verb prints: what the target printed and asked, and what it was answered.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "facts.h"
#include "models.h"
#include "verbs.h"

struct prints_options {
    struct sessions_options sessions;
    bool json;
    bool frames;
    unsigned last; /* session printed last */
    bool open;     /* the line has no end yet */
};

static const char *const kinds[] = {[KDA_TEXT_PRINT] = "print",
                                    [KDA_TEXT_PROMPT] = "prompt",
                                    [KDA_TEXT_ANSWER] = "answer",
                                    [KDA_TEXT_COMMAND] = "command",
                                    [KDA_TEXT_TRACE] = "trace"};

static void text_json(const struct models_seat *seat, const struct kda_text *text,
                      const uint8_t *bytes)
{
    fact_begin(stdout, seat->number);
    fact_string(stdout, "kind", kinds[text->kind]);
    fact_number(stdout, "frame", text->frame);
    fact_seconds(stdout, "time", text->time);
    fact_number(stdout, "processor", text->processor);
    if (text->stop)
        fact_number(stdout, "stop_frame", text->stop);
    fact_text(stdout, "text", bytes, text->text.size);
    fact_end(stdout);
}

/* On a line of its own unless it continues one; a line without end is ended when another kind of
 * text or another frame begins. */
static void text_people(struct prints_options *options, const struct kda_text *text,
                        const uint8_t *bytes)
{
    size_t size = text->text.size;
    bool whole = text->kind == KDA_TEXT_COMMAND || text->kind == KDA_TEXT_TRACE;

    if ((options->frames || whole) && options->open) {
        putchar('\n');
        options->open = false;
    }
    if (options->frames)
        printf("%6" PRIu32 " %-7s ", text->frame, kinds[text->kind]);
    else if (whole)
        printf("[%s] ", kinds[text->kind]);
    while (text->kind == KDA_TEXT_ANSWER && size && bytes[size - 1] == 0)
        size--;
    show_text(stdout, bytes, size, !options->frames && !whole);
    options->open = size == 0 ? options->open : bytes[size - 1] != '\n';
    if (!options->frames && !whole && text->kind != KDA_TEXT_ANSWER)
        return;
    putchar('\n');
    options->open = false;
}

static void see_text(void *context, const struct kda_text *text, const uint8_t *bytes)
{
    const struct models_seat *seat = context;
    struct prints_options *options = seat->context;

    if (options->json) {
        text_json(seat, text, bytes);
        return;
    }
    if (options->open && options->last != seat->number && options->last) {
        putchar('\n');
        options->open = false;
    }
    say_session(seat->number, seat->stream->name, &options->last);
    text_people(options, text, bytes);
}

static int run(void *values)
{
    struct prints_options *options = values;
    const struct kda_listener listener = {.text = see_text};
    int status = models_verb("prints", &options->sessions, 0, &listener, options, NULL);

    if (options->open)
        putchar('\n');
    return status;
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct prints_options, sessions),
    {0},
};

static const struct option options[] = {
    {0, "frames", OPTION_FLAG, offsetof(struct prints_options, frames),
     .help = "one text a line, with its frame and kind"},
    {0, "json", OPTION_FLAG, offsetof(struct prints_options, json),
     .help = "JSON lines: one for each text"},
    SESSIONS_OPTIONS(struct prints_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Texts",
     "Prints, prompts with their answers, commands that the target has the debugger execute, trace "
     "data. A text that was sent again is there once. Control codes are shown as \\x1b, not "
     "obeyed; "
     "bytes above 7f as ?, in JSON as U+FFFD unless they are UTF-8."},
    {0},
};

static const struct example examples[] = {
    {"kdlens prints session.pcapng", "the target's output as the debugger showed it"},
    {0},
};

const struct verb verb_prints = {
    .name = "prints",
    .summary = "show what the target in a capture printed and asked",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct prints_options),
    .run = run,
};
