/* terminal.h - the person in front of the tap: signals and keys as requests, and their terminal.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   stop       Ctrl-C, SIGINT, SIGTERM, SIGHUP, a console that is closed; the key q
 *   break in   SIGUSR1; the key b
 *   marker     SIGUSR2; the key m
 *   heal       the key h
 */
#ifndef KDLENS_TERMINAL_H
#define KDLENS_TERMINAL_H

#include <stdbool.h>

#include "problem.h"

struct channel_loop;
struct control;
struct terminal;

/* Before any thread is started: from here on signals do not end the program but wait. */
void terminal_catch_signals(void);

/* Posts requests until terminal_stop. keys: also those of the terminal, when there is one. */
struct terminal *terminal_start(struct channel_loop *loop, struct control *control, bool keys,
                                struct problem *problem);

/* Whether keys of the terminal become requests. */
bool terminal_has_keys(const struct terminal *terminal);

/* Leaves the terminal as it was. NULL is allowed. */
void terminal_stop(struct terminal *terminal);

/* Whether stderr is a terminal on which a line can be drawn again and again. */
bool terminal_has_line(void);

/* Of the terminal of stderr; 0: not known. */
unsigned terminal_columns(void);

#endif
