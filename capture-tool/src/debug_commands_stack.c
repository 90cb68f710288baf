/* debug_commands_stack.c - the commands for the call stack.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include "debug_stack.h"

#define FRAMES 64u

static bool run_command_stack(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint64_t limit = FRAMES;

    (void)command;
    if (!take_optional(console, &arguments, &limit, problem) || !take_end(arguments, problem))
        return false;
    if (limit == 0 || limit > STACK_FRAMES_MAX) {
        problem_set(problem, "COUNT is 1 to %x", STACK_FRAMES_MAX);
        return false;
    }
    return stack_print(console->session, (unsigned)limit, problem);
}

const struct debug_command commands_stack[] = {
    {"bt", "[COUNT]", "show the call stack, at most 0n64 frames or COUNT", NEEDS_STOP, 0,
     run_command_stack},
    {"k", "[COUNT]", "the same", NEEDS_STOP, 0, run_command_stack},
    {NULL, NULL, NULL, NEEDS_NOTHING, 0, NULL},
};
