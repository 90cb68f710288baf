/* secret.h - something typed on the terminal that must not be seen.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_SECRET_H
#define KDLENS_SECRET_H

#include <stdbool.h>
#include <stddef.h>

#include "problem.h"

/* One line, without its end; the terminal is left as it was. False, with a problem, when there is
 * no terminal or nothing was typed. */
bool secret_ask(const char *prompt, char *out, size_t room, struct problem *problem);

#endif
