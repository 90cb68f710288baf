/* start.h - what the test applications with managed code have in common.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TEST_AOT_START_H
#define KDLENS_TEST_AOT_START_H

#include <stdbool.h>

#include "console.h"
#include "rt/aot.h"

/* Opens the console, starts the runtime on this image, and says what failed. */
bool start_managed(const struct host_table *table, bool cached);

/* The test's lines are between these; "end" is the last one. */
void end_test(void);

/* The call stack of the caller, innermost first: "frame name+offset" each. */
void say_stack(void);

#endif
