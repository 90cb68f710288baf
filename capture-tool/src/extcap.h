/* extcap.h - whether this program was started as an extcap program.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_EXTCAP_H
#define KDLENS_EXTCAP_H

#include <stdbool.h>

/* By the name it was called by: kdlens-extcap, with any path and suffix. */
bool extcap_is_name(const char *program);

/* What it then does: the verb extcap, and the options that such programs have beside it. The exit
 * status. */
int extcap_main(int argc, char **argv);

#endif
