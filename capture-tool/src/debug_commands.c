/* debug_commands.c - finding a command, its arguments, and help from the table.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "debug_expression.h"
#include "options.h"

#define NAMES_LIMIT 128u

const struct command_group command_groups[] = {
    {"Stopping and running", commands_run},
    {"Call stack", commands_stack},
    {"Memory", commands_memory},
    {"Registers, modules, ports, system", commands_system},
    {"Scripts", commands_script},
    {NULL, NULL},
};

/* --- arguments */

static const char *skip_blanks(const char *at)
{
    while (*at == ' ' || *at == '\t')
        at++;
    return at;
}

bool take_word(const char **at, char *word, size_t room)
{
    size_t size = 0;

    *at = skip_blanks(*at);
    if (!**at)
        return false;
    while (**at && **at != ' ' && **at != '\t') {
        if (size + 1 < room)
            word[size++] = **at;
        (*at)++;
    }
    word[size] = '\0';
    *at = skip_blanks(*at);
    return true;
}

bool take_value(struct debug_console *console, const char **at, uint64_t *value,
                struct problem *problem)
{
    char word[COMMAND_WORD];

    if (!take_word(at, word, sizeof word)) {
        problem_set(problem, "an address or number is missing");
        return false;
    }
    return expression_value(console->session, word, value, problem);
}

bool take_optional(struct debug_console *console, const char **at, uint64_t *value,
                   struct problem *problem)
{
    *at = skip_blanks(*at);
    return !**at || take_value(console, at, value, problem);
}

bool take_seconds(const char **at, uint64_t *nanoseconds, struct problem *problem)
{
    char word[COMMAND_WORD], *end;
    double seconds;

    if (!take_word(at, word, sizeof word))
        return true;
    seconds = strtod(word, &end);
    if (*end || !(seconds >= 0) || seconds > 1e6) {
        problem_set(problem, "%s is no number of seconds", word);
        return false;
    }
    *nanoseconds = (uint64_t)(seconds * (double)CLOCK_SECOND);
    return true;
}

bool take_end(const char *at, struct problem *problem)
{
    at = skip_blanks(at);
    if (!*at)
        return true;
    problem_set(problem, "\"%.60s\" is too much", at);
    return false;
}

/* --- the table */

static const struct debug_command *find(const char *name)
{
    for (const struct command_group *group = command_groups; group->title; group++)
        for (const struct debug_command *command = group->commands; command->name; command++)
            if (strcmp(command->name, name) == 0)
                return command;
    return NULL;
}

static const struct debug_command *must_find(const char *name, struct problem *problem)
{
    const struct debug_command *command = find(name);
    const char *names[NAMES_LIMIT], *nearest;
    size_t count = 0;

    if (command)
        return command;
    for (const struct command_group *group = command_groups; group->title; group++)
        for (command = group->commands; command->name && count < NAMES_LIMIT; command++)
            names[count++] = command->name;
    nearest = options_nearest(name, names, count);
    if (nearest)
        problem_set(problem, "there is no command %s; did you mean %s?", name, nearest);
    else
        problem_set(problem, "there is no command %s; \"help\" lists them", name);
    return NULL;
}

/* The command's name of a line; false for a line without one. */
static bool name_of(const char **line, char *name, size_t room)
{
    *line = skip_blanks(*line);
    return **line != '#' && take_word(line, name, room);
}

static bool run_command(struct debug_console *console, const struct debug_command *command,
                        const char *arguments, struct problem *problem)
{
    char reason[sizeof problem->text];

    if (!command->run) {
        problem_set(problem, "%s needs a command behind it", command->name);
        return false;
    }
    if (command->needs == NEEDS_STOP && !session_needs_stop(console->session, problem))
        return false;
    if (command->run(console, command, arguments, problem))
        return true;
    snprintf(reason, sizeof reason, "%s", problem->text);
    problem_set(problem, "%s: %.480s", command->name, reason);
    return false;
}

bool commands_run_line(struct debug_console *console, const char *line, struct problem *problem)
{
    const char *arguments = line;
    const struct debug_command *command;
    char name[COMMAND_WORD];
    bool ok, may_fail;

    if (!name_of(&arguments, name, sizeof name))
        return true;
    may_fail = strcmp(name, "try") == 0;
    if (may_fail && !name_of(&arguments, name, sizeof name))
        return true;
    output_begin(console->out, line);
    command = must_find(name, problem);
    ok = command && run_command(console, command, arguments, problem);
    if (!ok && !console->expectation)
        output_say(console->out, "error: %s\n", problem->text);
    output_end(console->out, ok);
    if (may_fail)
        console->expectation = false;
    return ok || may_fail;
}

bool commands_check_line(const char *line, struct problem *problem)
{
    char name[COMMAND_WORD];

    do {
        if (!name_of(&line, name, sizeof name))
            return true;
        if (!must_find(name, problem))
            return false;
    } while (strcmp(name, "try") == 0);
    return true;
}

/* --- help */

static void help_row(struct debug_console *console, const struct debug_command *command)
{
    char left[120];

    snprintf(left, sizeof left, "%s %s", command->name, command->form);
    if (!command->help)
        output_say(console->out, "  %s\n", left);
    else if (strlen(left) < 38)
        output_say(console->out, "  %-38s %s\n", left, command->help);
    else
        output_say(console->out, "  %s\n  %-38s %s\n", left, "", command->help);
}

bool commands_help(struct debug_console *console, const char *name, struct problem *problem)
{
    const struct debug_command *command = *name ? must_find(name, problem) : NULL;

    if (command) {
        help_row(console, command);
        return true;
    }
    if (*name)
        return false;
    for (const struct command_group *group = command_groups; group->title; group++) {
        output_say(console->out, "%s:\n", group->title);
        for (command = group->commands; command->name; command++)
            help_row(console, command);
    }
    output_say(console->out, "Addresses: 10, 0x10, 0n16, rip, winload+100, poi(rsp), $base(m), "
                             "$NAME; + - * & ( )\n");
    return true;
}
