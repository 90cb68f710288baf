/* debug_complete.h - what Tab offers while a command is typed: names of commands and registers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DEBUG_COMPLETE_H
#define KDLENS_DEBUG_COMPLETE_H

#include <stdatomic.h>

#include "line_editor.h"

/* Made by one thread, used by the one that reads lines. */
struct debug_complete {
    struct line_completer completer;
    atomic_int arch; /* enum kd_arch: whose registers */
};

void complete_init(struct debug_complete *complete);

#endif
