/* rotation.h - the values of -b: filesize:KB, duration:SECONDS, files:NUMBER, as dumpcap's.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_ROTATION_H
#define KDLENS_ROTATION_H

#include <stdbool.h>
#include <stddef.h>

#include "capture/output.h"
#include "problem.h"

/* Into the members for rotation; options->path must be set. */
bool rotation_parse(const char *const *texts, size_t count, struct cap_output_options *options,
                    struct problem *problem);

#endif
