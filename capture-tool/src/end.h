/* end.h - the ends of a debug connection as they are named: unix:PATH, tcp:HOST:PORT, ...
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Names are checked as far as that goes without touching the system. Opening them is channel.h's.
 */
#ifndef KDLENS_END_H
#define KDLENS_END_H

#include <stdbool.h>
#include <stdint.h>

#include "problem.h"

/* The two ends, and so who sent something. */
enum side { SIDE_DEBUGGER, SIDE_TARGET };

static inline enum side side_other(enum side side)
{
    return side == SIDE_DEBUGGER ? SIDE_TARGET : SIDE_DEBUGGER;
}

/* "debugger", "target" */
const char *side_name(enum side side);

enum end_kind {
    END_UNIX,
    END_UNIX_LISTEN,
    END_TCP,
    END_TCP_LISTEN,
    END_PTY,
    END_SERIAL,
    END_STDIO,
    END_EXEC,
    END_PIPE,
    END_PIPE_LISTEN,
    END_COM,
    END_VMBUS,
};

/* Strings are the struct's own; a member that its kind does not have is NULL or 0. */
struct end {
    enum end_kind kind;
    char *text;  /* as it was given, for people; without what only tests give */
    char *place; /* path, host or address, device, command, pipe or port name, virtual machine; the
                    link of a pty, NULL for none */
    char *port;  /* tcp, tcp-listen: a number or a service name; 0: tcp-listen takes a free one */
    uint32_t baud; /* serial, com */
    char *library; /* vmbus: vmbuspiper.dll to load instead of the system's, for tests */
};

/* False, with a problem that lists what there is, for a name that is wrong or that this system does
 * not have; *end then needs no end_clear. */
bool end_parse(struct end *end, const char *text, struct problem *problem);

void end_clear(struct end *end);

/* Whether it waits for the other program to come; else it goes and connects. */
bool end_listens(const struct end *end);

/* Whether it can be opened again once it is gone: all but stdio. */
bool end_returns(const struct end *end);

/* One kind of end, for help texts; the table is ended by name NULL. */
struct end_form {
    const char *name; /* "tcp-listen" */
    const char *form; /* "tcp-listen:[ADDRESS:]PORT" */
    const char *help;
    enum end_kind kind;
    bool available; /* on this system */
};

extern const struct end_form end_forms[];

#endif
