/* debug_run.h - stopping and running: what a state change means, breakpoints, steps.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Software breakpoints are planted just before the target runs and removed at the next stop, so
 * that memory reads the same whether there are breakpoints or not, and a debugger that ends leaves
 * none behind. Hardware breakpoints are written into the special registers, and their Dr7 goes with
 * each Continue2.
 */
#ifndef KDLENS_DEBUG_RUN_H
#define KDLENS_DEBUG_RUN_H

#include "debug_session.h"

/* Deals with the state change in session->reply: tells it, and lets the target run on after an
 * event that stops nobody. */
bool run_take_change(struct debug_session *session, struct problem *problem);

/* Continues: over a breakpoint at the program counter, and with all breakpoints in place.
 * handled: whether an exception is; else the target's own handlers get it. */
bool run_go(struct debug_session *session, bool handled, struct problem *problem);

/* One instruction; the stop is told. over: a call is one instruction. */
bool run_step(struct debug_session *session, bool over, struct problem *problem);

/* Until the function returns: steps over instructions until a RET leaves it. */
bool run_up(struct debug_session *session, struct problem *problem);

/* A breakpoint, or NULL with a problem when there is no room. */
struct debug_breakpoint *run_add_breakpoint(struct debug_session *session,
                                            enum breakpoint_kind kind, unsigned size,
                                            uint64_t address, struct problem *problem);

/* Removes breakpoints from a target that is left, as far as it answers. */
void run_clear(struct debug_session *session);

/* "bootmgfw+0x1234", or the address alone. */
void run_name_address(const struct debug_session *session, uint64_t address, char *out,
                      size_t room);

#endif
