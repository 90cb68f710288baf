/* replay_difference.h - what a debugger sent, and what it should have, in words.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_REPLAY_DIFFERENCE_H
#define KDLENS_REPLAY_DIFFERENCE_H

#include <stdio.h>

#include "analysis/replay.h"

/* Two lines: recorded, came. */
void replay_show_difference(FILE *out, const struct kda_difference *difference);

#endif
