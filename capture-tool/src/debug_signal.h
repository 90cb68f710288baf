/* debug_signal.h - Ctrl-C and the end of the program, for a loop that waits.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DEBUG_SIGNAL_H
#define KDLENS_DEBUG_SIGNAL_H

#include <stdbool.h>

struct channel_loop;

/* From here on SIGINT (Windows: Ctrl-C, Ctrl-Break), SIGTERM and SIGHUP only wake this loop. NULL:
 * there is no loop any more. */
void signal_catch(struct channel_loop *loop);

/* Whether Ctrl-C was pressed since the last call. */
bool signal_take_interrupt(void);

/* Whether the program is to end. */
bool signal_ends(void);

#endif
