/* problem.c - filling in a struct problem. What the system says is system_linux.c's.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "problem.h"

#include <stdio.h>

void problem_set(struct problem *problem, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
}
