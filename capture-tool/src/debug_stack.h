/* debug_stack.h - the target's call stack: walked, named, printed.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DEBUG_STACK_H
#define KDLENS_DEBUG_STACK_H

#include "debug_session.h"

#define STACK_FRAMES_MAX 1024u

/* At most limit frames, 1 to STACK_FRAMES_MAX, from the program counter of the stop. False, with a
 * problem, when the target does not answer; a stack that makes no sense ends with a reason. */
bool stack_print(struct debug_session *session, unsigned limit, struct problem *problem);

#endif
