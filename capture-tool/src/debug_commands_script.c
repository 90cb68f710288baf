/* debug_commands_script.c - the commands that wait, look at what was said, and set variables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "debug_expression.h"
#include "debug_modules.h"
#include "pattern.h"

#define TAIL 400u /* bytes of what was seen, in a failure */

/* --- expectations */

/* "REGEX" [SECONDS], or everything to the end of the line. */
static bool take_regex(const char *arguments, char *regex, size_t room, uint64_t *patience,
                       struct problem *problem)
{
    size_t size = 0;

    if (*arguments != '"') {
        snprintf(regex, room, "%s", arguments);
        return true;
    }
    for (arguments++; *arguments && *arguments != '"'; arguments++) {
        if (arguments[0] == '\\' && arguments[1] == '"')
            arguments++;
        if (size + 1 < room)
            regex[size++] = *arguments;
    }
    regex[size] = '\0';
    if (*arguments != '"') {
        problem_set(problem, "a \" is missing");
        return false;
    }
    arguments++;
    return take_seconds(&arguments, patience, problem) && take_end(arguments, problem);
}

/* The end of what was said, in one line. */
static void tail(const struct debug_output *out, char *text, size_t room)
{
    size_t size, length = 0;
    const char *said = output_transcript(out, &size);

    if (size > TAIL) {
        said += size - TAIL;
        size = TAIL;
    }
    for (size_t i = 0; i < size && length + 3 < room; i++) {
        if (said[i] == '\n') {
            text[length++] = '\\';
            text[length++] = 'n';
        } else {
            text[length++] = said[i];
        }
    }
    text[length] = '\0';
}

/* Looks at once, and again whenever more was said. */
static bool await_pattern(struct debug_console *console, struct pattern *pattern, uint64_t patience,
                          bool *found, struct problem *problem)
{
    uint64_t until = clock_monotonic() + patience, looked = 0;
    size_t size, start, end;

    *found = false;
    for (;;) {
        if (looked == 0 || output_count(console->out) != looked) {
            const char *text = output_transcript(console->out, &size);

            looked = output_count(console->out);
            *found = pattern_find(pattern, text, size, &start, &end);
            if (*found)
                output_consume(console->out, end);
        }
        if (*found || clock_monotonic() >= until)
            return true;
        if (!session_turn(console->session, until, problem))
            return false;
    }
}

static bool expect(struct debug_console *console, const char *arguments, struct problem *problem)
{
    uint64_t patience = console->session->patience;
    char regex[COMMAND_WORD], seen[2 * TAIL];
    struct pattern *pattern;
    bool found = false, waited;

    if (!take_regex(arguments, regex, sizeof regex, &patience, problem))
        return false;
    pattern = pattern_new(regex, problem);
    if (!pattern)
        return false;
    waited = await_pattern(console, pattern, patience, &found, problem);
    pattern_free(pattern);
    if (waited && found)
        return true;
    console->expectation = true;
    if (!waited)
        return false;
    tail(console->out, seen, sizeof seen);
    problem_set(problem, "not seen within %.1f s: %.100s; what was said ends with: %.330s",
                (double)patience / (double)CLOCK_SECOND, regex, *seen ? seen : "(nothing)");
    return false;
}

static bool run_command_expect(struct debug_console *console, const struct debug_command *command,
                               const char *arguments, struct problem *problem)
{
    (void)command;
    return expect(console, arguments, problem);
}

/* Looks at what was said so far; with seconds also at what is said in that time. */
static bool run_command_expect_not(struct debug_console *console,
                                   const struct debug_command *command, const char *arguments,
                                   struct problem *problem)
{
    uint64_t patience = 0;
    char regex[COMMAND_WORD];
    struct pattern *pattern;
    bool found, waited;

    (void)command;
    if (!take_regex(arguments, regex, sizeof regex, &patience, problem))
        return false;
    pattern = pattern_new(regex, problem);
    if (!pattern)
        return false;
    waited = await_pattern(console, pattern, patience, &found, problem);
    pattern_free(pattern);
    if (waited && !found)
        return true;
    console->expectation = true;
    if (waited)
        problem_set(problem, "seen: %s", regex);
    return false;
}

/* --- waiting */

static bool wait_load(struct debug_console *console, const char *name, uint64_t patience,
                      struct problem *problem)
{
    uint64_t until = clock_monotonic() + patience;

    while (!modules_named(console->session, name)) {
        if (clock_monotonic() >= until) {
            problem_set(problem, "module %s was not loaded within %.1f s", name,
                        (double)patience / (double)CLOCK_SECOND);
            return false;
        }
        if (!session_turn(console->session, until, problem))
            return false;
    }
    return true;
}

static bool wait_exit(struct debug_console *console, uint64_t patience, struct problem *problem)
{
    const struct debug_session *session = console->session;
    uint64_t until = clock_monotonic() + patience;

    while (!session->ended && session->connected) {
        if (clock_monotonic() >= until) {
            problem_set(problem, "the target did not end within %.1f s",
                        (double)patience / (double)CLOCK_SECOND);
            return false;
        }
        if (!session_turn(console->session, until, problem))
            return false;
    }
    return true;
}

static bool run_command_wait(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;
    uint64_t patience = session->patience;
    char what[COMMAND_WORD] = "stop", name[COMMAND_WORD];
    const char *rest = arguments;
    bool named = *arguments && strchr("0123456789.", *arguments) == NULL;

    (void)command;
    if (named)
        take_word(&rest, what, sizeof what);
    if (strcmp(what, "print") == 0)
        return expect(console, rest, problem);
    if (strcmp(what, "load") == 0) {
        if (!take_word(&rest, name, sizeof name)) {
            problem_set(problem, "the name of a module is missing");
            return false;
        }
        return take_seconds(&rest, &patience, problem) && take_end(rest, problem) &&
               wait_load(console, name, patience, problem);
    }
    if (!take_seconds(&rest, &patience, problem) || !take_end(rest, problem))
        return false;
    if (strcmp(what, "exit") == 0)
        return wait_exit(console, patience, problem);
    if (strcmp(what, "stop") == 0)
        return session->stopped || session_wait_stop(session, session->stops, patience, problem);
    problem_set(problem, "it is stop, print REGEX, load MODULE, or exit");
    return false;
}

static bool run_command_sleep(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint64_t span = CLOCK_SECOND, until;

    (void)command;
    if (!take_seconds(&arguments, &span, problem) || !take_end(arguments, problem))
        return false;
    for (until = clock_monotonic() + span; clock_monotonic() < until;)
        if (!session_turn(console->session, until, problem))
            return false;
    return true;
}

/* --- the rest */

static bool run_command_set(struct debug_console *console, const struct debug_command *command,
                            const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;
    char name[COMMAND_WORD];
    uint64_t value;

    (void)command;
    if (!take_word(&arguments, name, sizeof name) || !*arguments) {
        problem_set(problem, "a name and a value are missing");
        return false;
    }
    if (strcmp(name, "timeout") == 0) {
        if (!take_seconds(&arguments, &session->patience, problem) || !take_end(arguments, problem))
            return false;
        session->client.config.request_us = (uint32_t)(session->patience / CLOCK_MICROSECOND);
        return true;
    }
    if (!expression_value(session, arguments, &value, problem))
        return false;
    if (expression_set(session, name[0] == '$' ? name + 1 : name, value))
        return true;
    problem_set(problem, "%s is no name of letters and digits, or there are too many", name);
    return false;
}

static bool run_command_echo(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    (void)command;
    (void)problem;
    output_say(console->out, "%s\n", arguments);
    return true;
}

static bool run_command_help(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    (void)command;
    return commands_help(console, arguments, problem);
}

const struct debug_command commands_script[] = {
    {"wait", "[stop|exit|load MODULE] [SECONDS]",
     "wait until the target has stopped, ended, or loaded a module", NEEDS_NOTHING, 0,
     run_command_wait},
    {"wait print", "REGEX", "the same as expect", NEEDS_NOTHING, 0, run_command_wait},
    {"expect", "REGEX | \"REGEX\" SECONDS",
     "wait until this was said since the last expect; what follows it is the next one's",
     NEEDS_NOTHING, 0, run_command_expect},
    {"expect-not", "REGEX | \"REGEX\" SECONDS", "fail when this was said, or is said in that time",
     NEEDS_NOTHING, 0, run_command_expect_not},
    {"try", "COMMAND", "run a command that may fail", NEEDS_NOTHING, 0, NULL},
    {"set", "timeout SECONDS | NAME VALUE", "set how long to wait, or a variable, used as $NAME",
     NEEDS_NOTHING, 0, run_command_set},
    {"sleep", "SECONDS", "let time pass", NEEDS_NOTHING, 0, run_command_sleep},
    {"echo", "TEXT", "say it", NEEDS_NOTHING, 0, run_command_echo},
    {"help", "[COMMAND]", "what the commands are", NEEDS_NOTHING, 0, run_command_help},
    {NULL, NULL, NULL, NEEDS_NOTHING, 0, NULL},
};
