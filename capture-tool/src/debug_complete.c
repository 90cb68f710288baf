/* debug_complete.c - finding out what is being typed, and the words for it. See debug_complete.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_complete.h"

#include <string.h>

#include "debug_commands.h"
#include "debug_registers.h"

static const char *command_name(size_t index)
{
    for (const struct command_group *group = command_groups; group->title; group++)
        for (const struct debug_command *command = group->commands; command->name; command++)
            if (index-- == 0)
                return command->name;
    return NULL;
}

static bool is_word(const char *at, size_t size, const char *word)
{
    return strlen(word) == size && memcmp(at, word, size) == 0;
}

/* The command is the first word, or the one after try; help has the name of another behind it. */
static const char *word(void *context, const char *line, size_t index, struct line_spot *spot)
{
    const struct debug_complete *complete = context;
    const char *command = "";
    size_t at = strspn(line, " \t"), size = strcspn(line + at, " \t"), command_size = 0;
    bool is_command = true;

    while (line[at + size]) { /* a word with a blank behind it */
        if (!is_command)
            return NULL; /* the third word is a number or the like */
        is_command = is_word(line + at, size, "try");
        command = line + at;
        command_size = size;
        at += size + strspn(line + at + size, " \t");
        size = strcspn(line + at, " \t");
    }
    spot->start = at;
    spot->blank_after = is_command;
    if (is_command || is_word(command, command_size, "help"))
        return command_name(index);
    if (!is_word(command, command_size, "r"))
        return NULL;
    spot->start += line[at] == '@';
    return registers_name((enum kd_arch)atomic_load(&complete->arch), index);
}

void complete_init(struct debug_complete *complete)
{
    complete->completer = (struct line_completer){.word = word, .context = complete};
    atomic_init(&complete->arch, KD_ARCH_UNKNOWN);
}
