/* start.h - what the test applications with managed code have in common.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TEST_AOT_START_H
#define KDLENS_TEST_AOT_START_H

#include <stdbool.h>

#include "console.h"
#include "rt/aot.h"

/* image, system_table: what the entry got. Opens the console, starts the runtime on this image, and
 * says what failed. */
bool start_managed(void *image, const void *system_table, bool cached);

/* The test's lines are between these; "end" is the last one. */
void end_test(void);

/* The call stack of the caller, innermost first: "frame name+offset" each. */
void say_stack(void);

#endif
