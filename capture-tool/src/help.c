/* help.c - the verb help: the man page and the completions, for the build and for packagers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "verbs.h"

struct help_options {
    const char *verb;
    bool man;
    bool bash;
    bool zsh;
    bool fish;
};

#define MEMBER(name) offsetof(struct help_options, name)

static const struct option options[] = {
    {0, "man", OPTION_FLAG, MEMBER(man), .help = "print the man page"},
    {0, "bash", OPTION_FLAG, MEMBER(bash), .help = "print completions for bash"},
    {0, "zsh", OPTION_FLAG, MEMBER(zsh), .help = "print completions for zsh"},
    {0, "fish", OPTION_FLAG, MEMBER(fish), .help = "print completions for fish"},
    {0},
};

static const struct operand operands[] = {
    {"VERB", "show the help of this verb", MEMBER(verb), .optional = true},
    {0},
};

static int run(void *values)
{
    const struct help_options *asked = values;

    if (asked->man)
        options_man(stdout, verbs);
    if (asked->bash)
        options_bash(stdout, verbs);
    if (asked->zsh)
        options_zsh(stdout, verbs);
    if (asked->fish)
        options_fish(stdout, verbs);
    if (asked->man || asked->bash || asked->zsh || asked->fish)
        return EXIT_OK;
    if (!asked->verb) {
        options_help_all(stdout, verbs);
        return EXIT_OK;
    }
    for (size_t i = 0; verbs[i]; i++) {
        if (strcmp(verbs[i]->name, asked->verb) == 0) {
            options_help(stdout, verbs[i]);
            return EXIT_OK;
        }
    }
    fprintf(stderr, "kdlens help: no verb %s\n", asked->verb);
    return EXIT_USAGE;
}

const struct verb verb_help = {
    .name = "help",
    .summary = "show help, the man page, or completions",
    .operands = operands,
    .options = options,
    .size = sizeof(struct help_options),
    .run = run,
    .hidden = true,
};
