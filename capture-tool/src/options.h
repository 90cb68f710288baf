/* options.h - verbs and their options as tables; parsing, help, man page and completions from them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A verb is one struct verb in its own file, listed in main.c. Its options and operands are written
 * into a struct of its own, by offset:
 *
 *   struct tap_options { const char *file; bool raw; };
 *   static const struct option tap_table[] = {
 *       {'w', "write", OPTION_TEXT, offsetof(struct tap_options, file), .value = "FILE",
 *        .help = "write the recording to FILE"},
 *       {0, "raw", OPTION_FLAG, offsetof(struct tap_options, raw), .help = "..."},
 *       {0},
 *   };
 *
 * -x VALUE, -xVALUE, --name VALUE, --name=VALUE, flags together (-qv), options after operands, and
 * "--" before operands that begin with "-" are understood. Every verb has --help.
 */
#ifndef KDLENS_OPTIONS_H
#define KDLENS_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "problem.h"

enum { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

enum option_kind {
    OPTION_FLAG,   /* bool */
    OPTION_TEXT,   /* const char *; NULL when not given and no default; the last one counts */
    OPTION_EACH,   /* struct option_texts: may be given several times */
    OPTION_NUMBER, /* uint64_t, decimal or 0x; min to max */
    OPTION_CHOICE, /* unsigned: index into choices */
};

/* What a shell offers for a value. */
enum option_complete { COMPLETE_NOTHING, COMPLETE_FILE, COMPLETE_FOLDER, COMPLETE_END };

#define OPTION_EACH_LIMIT 32u

struct option_texts {
    const char *items[OPTION_EACH_LIMIT];
    size_t count;
};

/* A table of options is ended by name NULL. */
struct option {
    char letter;      /* 0: none */
    const char *name; /* without "--" */
    enum option_kind kind;
    size_t offset;              /* of its member in the verb's struct */
    const char *value;          /* what its value is called: "FILE" */
    const char *help;           /* sentence part, small letter, no full stop */
    uint64_t min, max;          /* OPTION_NUMBER; max 0: no limit */
    const char *const *choices; /* OPTION_CHOICE; ended by NULL */
    enum option_complete complete;
    bool hidden; /* not in help, man page and completions */
};

/* A table of operands is ended by name NULL. */
struct operand {
    const char *name; /* "TARGET-END" */
    const char *help;
    size_t offset; /* of a const char *; with many, of a struct operands */
    bool optional;
    bool many; /* the last operand: takes all that are left, at least one unless optional */
    const char *const *choices; /* when only these are allowed; ended by NULL */
    enum option_complete complete;
};

struct operands {
    char **items;
    size_t count;
};

/* A table of examples is ended by command NULL. */
struct example {
    const char *command;
    const char *help;
};

/* A block of text under a heading of its own; ended by title NULL. A line that begins with a blank
 * stays a line of its own, others are filled. */
struct section {
    const char *title;
    const char *text;
};

struct verb {
    const char *name;
    const char *summary; /* small letter, no full stop */
    const struct operand *operands;
    const struct option *options;
    const struct section *sections;
    const struct example *examples;
    void (*extra_help)(FILE *out); /* lines of help that come from another table; or NULL */
    size_t size;                   /* of its struct */
    const void *defaults;          /* one such struct; NULL: all zero */
    int (*run)(void *values);      /* returns the exit status */
    bool ignores_unknown;          /* options it does not know are skipped: extcap */
    bool hidden;
};

enum options_result {
    OPTIONS_RUN,
    OPTIONS_HELP,  /* --help was given */
    OPTIONS_WRONG, /* problem says what */
};

/* Fills values (verb->size bytes) from the arguments behind the verb's name. argv is reordered, and
 * values point into it. */
enum options_result options_parse(const struct verb *verb, int argc, char **argv, void *values,
                                  struct problem *problem);

/* Parses, runs the verb, or says on stderr what is wrong with the arguments. The exit status. */
int options_run(const struct verb *verb, int argc, char **argv);

/* For extra_help: a name and its help, in the columns of the options. */
void options_help_row(FILE *out, const char *name, const char *help);

/* verbs: ended by NULL. */
void options_help(FILE *out, const struct verb *verb);
void options_help_all(FILE *out, const struct verb *const *verbs);
void options_man(FILE *out, const struct verb *const *verbs);
void options_bash(FILE *out, const struct verb *const *verbs);
void options_zsh(FILE *out, const struct verb *const *verbs);
void options_fish(FILE *out, const struct verb *const *verbs);

/* The name in the list that somebody who typed this may have meant, or NULL. */
const char *options_nearest(const char *typed, const char *const *names, size_t count);

#endif
