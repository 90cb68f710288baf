/* debug_commands_run.c - the commands that stop the target and let it run.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "debug_run.h"
#include "debug_target.h"

static bool run_command_go(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    struct debug_breakpoint *breakpoint;
    uint64_t address;

    if (*arguments) {
        if (!take_value(console, &arguments, &address, problem) || !take_end(arguments, problem))
            return false;
        breakpoint = run_add_breakpoint(console->session, BREAKPOINT_CODE, 1, address, problem);
        if (!breakpoint)
            return false;
        breakpoint->temporary = true;
    }
    return run_go(console->session, command->number != 0, problem);
}

static bool run_command_step(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    uint64_t count = 1;

    if (!take_optional(console, &arguments, &count, problem) || !take_end(arguments, problem))
        return false;
    for (uint64_t i = 0; i < count; i++)
        if (!run_step(console->session, command->number != 0, problem))
            return false;
    return true;
}

static bool run_command_up(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    (void)command;
    return take_end(arguments, problem) && run_up(console->session, problem);
}

static bool run_command_break(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    (void)command;
    return take_end(arguments, problem) && session_break(console->session, problem);
}

/* --- breakpoints */

static bool run_command_bp(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    uint64_t address;

    (void)command;
    return take_value(console, &arguments, &address, problem) && take_end(arguments, problem) &&
           run_add_breakpoint(console->session, BREAKPOINT_CODE, 1, address, problem);
}

/* "w4" */
static bool hardware_kind(const char *word, enum breakpoint_kind *kind, unsigned *size)
{
    static const char letters[] = "ewri";
    const char *letter = *word ? strchr(letters, *word) : NULL;

    if (!letter || !word[1] || word[2])
        return false;
    *kind = (enum breakpoint_kind)(BREAKPOINT_EXECUTE + (letter - letters));
    *size = (unsigned)(word[1] - '0');
    return *size == 1 || (*kind != BREAKPOINT_EXECUTE &&
                          (*size == 2 || *size == 4 || (*size == 8 && *kind != BREAKPOINT_PORT)));
}

static bool run_command_ba(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    enum breakpoint_kind kind = BREAKPOINT_CODE;
    unsigned size = 0;
    char word[COMMAND_WORD];
    uint64_t address;

    (void)command;
    if (!take_word(&arguments, word, sizeof word) || !hardware_kind(word, &kind, &size)) {
        problem_set(problem, "it is e1, w1 w2 w4 w8, r1 r2 r4 r8 or i1 i2 i4, and an address");
        return false;
    }
    if (!take_value(console, &arguments, &address, problem) || !take_end(arguments, problem))
        return false;
    if (!console->session->version_known && !target_version(console->session, problem))
        return false;
    if (console->session->arch != KD_ARCH_AMD64) {
        problem_set(problem, "hardware breakpoints are for AMD64 targets");
        return false;
    }
    if (address % size) {
        problem_set(problem, "the address must be a multiple of the size");
        return false;
    }
    return run_add_breakpoint(console->session, kind, size, address, problem);
}

static bool run_command_bl(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    static const char *const kinds[] = {"bp", "e", "w", "r", "i"};
    struct debug_session *session = console->session;
    char where[160];

    (void)command;
    if (!take_end(arguments, problem))
        return false;
    for (unsigned i = 0; i < SESSION_BREAKPOINTS; i++) {
        const struct debug_breakpoint *breakpoint = &session->breakpoints[i];

        if (!breakpoint->used)
            continue;
        run_name_address(session, breakpoint->address, where, sizeof where);
        output_say(console->out, "%2u %s", i, kinds[breakpoint->kind]);
        if (breakpoint->kind != BREAKPOINT_CODE)
            output_say(console->out, "%u", breakpoint->size);
        output_say(console->out, " %016" PRIx64 " %s, hit %" PRIu64 " times\n", breakpoint->address,
                   where, breakpoint->hits);
    }
    return true;
}

static bool run_command_bc(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    struct debug_breakpoint *breakpoints = console->session->breakpoints;
    char word[COMMAND_WORD], *end;
    unsigned long number;

    (void)command;
    if (!take_word(&arguments, word, sizeof word) || !take_end(arguments, problem)) {
        problem_set(problem, "the number of a breakpoint, or *, is missing");
        return false;
    }
    number = strtoul(word, &end, 10);
    for (unsigned i = 0; i < SESSION_BREAKPOINTS; i++)
        if (strcmp(word, "*") == 0 || (!*end && i == number && breakpoints[i].used)) {
            breakpoints[i] = (struct debug_breakpoint){.used = false};
            *word = '*';
            if (!*end)
                return true;
        }
    if (*word == '*')
        return true;
    problem_set(problem, "there is no breakpoint %s", word);
    return false;
}

/* --- load events */

static bool run_command_sx(struct debug_console *console, const struct debug_command *command,
                           const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;
    char word[COMMAND_WORD];

    if (!take_word(&arguments, word, sizeof word) || strncmp(word, "ld", 2) != 0 ||
        (word[2] && word[2] != ':') || !take_end(arguments, problem)) {
        problem_set(problem, "it is ld, or ld:MODULE");
        return false;
    }
    session->at_load = command->number ? LOAD_STOPS : LOAD_CONTINUES;
    snprintf(session->load_name, sizeof session->load_name, "%.63s", word[2] ? word + 3 : "");
    return true;
}

static bool run_command_reply(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    struct debug_session *session = console->session;

    (void)command;
    if (kd_client_answer(&session->client, clock_monotonic() / CLOCK_MICROSECOND, arguments,
                         strlen(arguments)))
        return true;
    problem_set(problem, "the target does not wait for an answer");
    return false;
}

static bool run_command_reboot(struct debug_console *console, const struct debug_command *command,
                               const char *arguments, struct problem *problem)
{
    (void)command;
    return take_end(arguments, problem) && target_reboot(console->session, problem);
}

static bool run_command_quit(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    if (!take_end(arguments, problem))
        return false;
    console->quits = true;
    console->stays = command->number != 0;
    return true;
}

const struct debug_command commands_run[] = {
    {"break", "", "stop the target (Ctrl-C does the same)", NEEDS_NOTHING, 0, run_command_break},
    {"g", "[ADDRESS]", "go; with an address up to there", NEEDS_STOP, 1, run_command_go},
    {"gh", "", "go, the exception is handled", NEEDS_STOP, 1, run_command_go},
    {"gn", "", "go, the target's own handlers get the exception", NEEDS_STOP, 0, run_command_go},
    {"t", "[COUNT]", "trace one instruction", NEEDS_STOP, 0, run_command_step},
    {"p", "[COUNT]", "step over one instruction: a call is one", NEEDS_STOP, 1, run_command_step},
    {"gu", "", "go until the function returns", NEEDS_STOP, 0, run_command_up},
    {"bp", "ADDRESS", "set a breakpoint", NEEDS_STOP, 0, run_command_bp},
    {"ba", "KIND ADDRESS", "set a hardware breakpoint: e1, w1 to w8, r1 to r8, i1 to i4 (port)",
     NEEDS_STOP, 0, run_command_ba},
    {"bl", "", "list breakpoints", NEEDS_NOTHING, 0, run_command_bl},
    {"bc", "NUMBER|*", "remove a breakpoint, or all", NEEDS_STOP, 0, run_command_bc},
    {"sxe", "ld[:MODULE]", "stop when a module is loaded", NEEDS_NOTHING, 1, run_command_sx},
    {"sxd", "ld", "do not stop when a module is loaded", NEEDS_NOTHING, 0, run_command_sx},
    {"reply", "TEXT", "answer the target's prompt", NEEDS_NOTHING, 0, run_command_reply},
    {".reboot", "", "reboot the target", NEEDS_STOP, 0, run_command_reboot},
    {"q", "", "end; the target runs on, without breakpoints", NEEDS_NOTHING, 0, run_command_quit},
    {".detach", "", "the same", NEEDS_NOTHING, 0, run_command_quit},
    {"qq", "", "end; the target stays as it is", NEEDS_NOTHING, 1, run_command_quit},
    {NULL, NULL, NULL, NEEDS_NOTHING, 0, NULL},
};
