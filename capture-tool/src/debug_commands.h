/* debug_commands.h - the commands of kdlens debug as a table: their forms, help, and functions.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Names are WinDbg's where it has the command. One file per group: debug_commands_run.c, _stack.c,
 * _memory.c, _system.c, _script.c; debug_commands.c has the table of groups, finds commands and
 * prints help.
 */
#ifndef KDLENS_DEBUG_COMMANDS_H
#define KDLENS_DEBUG_COMMANDS_H

#include "debug_session.h"

struct debug_console {
    struct debug_session *session;
    struct debug_output *out;
    uint64_t next;    /* where the next db without an address goes on */
    bool quits;       /* q */
    bool stays;       /* qq: the target is left as it is */
    bool expectation; /* the failure is that of an expectation */
};

enum command_needs {
    NEEDS_NOTHING,
    NEEDS_STOP, /* the target stands and serves requests */
};

struct debug_command {
    const char *name; /* "db"; several names of one function are several rows */
    const char *form; /* "[/p] ADDRESS [L COUNT]" */
    const char *help; /* small letter, no full stop; NULL: as the row before */
    enum command_needs needs;
    unsigned number; /* the function's own: bytes of a unit, ... */
    /* NULL for try, which commands_run_line takes off the line. */
    bool (*run)(struct debug_console *console, const struct debug_command *command,
                const char *arguments, struct problem *problem);
};

/* A group is ended by name NULL. */
struct command_group {
    const char *title;
    const struct debug_command *commands;
};

extern const struct debug_command commands_stack[];
extern const struct debug_command commands_memory[];
extern const struct debug_command commands_run[];
extern const struct debug_command commands_system[];
extern const struct debug_command commands_script[];

/* Ended by title NULL. */
extern const struct command_group command_groups[];

/* Runs one line; an empty line and a comment do nothing. False with a problem. */
bool commands_run_line(struct debug_console *console, const char *line, struct problem *problem);

/* Whether the line names a command there is; else the problem says which may be meant. */
bool commands_check_line(const char *line, struct problem *problem);

/* All forms, or one command's. */
bool commands_help(struct debug_console *console, const char *name, struct problem *problem);

/* --- for the groups */

#define COMMAND_WORD 512u

/* Takes the next word; false when there is none. *at goes behind it and the blanks. */
bool take_word(const char **at, char *word, size_t room);

/* Takes a word that is an expression. */
bool take_value(struct debug_console *console, const char **at, uint64_t *value,
                struct problem *problem);

/* The same, when there is one; else *value stays. */
bool take_optional(struct debug_console *console, const char **at, uint64_t *value,
                   struct problem *problem);

/* A decimal number of seconds, as nanoseconds, when there is one. */
bool take_seconds(const char **at, uint64_t *nanoseconds, struct problem *problem);

/* Nothing may be left. */
bool take_end(const char *at, struct problem *problem);

#endif
