/* viewer.h - a Wireshark that is started to look at the live recording.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The environment variable KDLENS_WIRESHARK names another program than wireshark.
 */
#ifndef KDLENS_VIEWER_H
#define KDLENS_VIEWER_H

#include <stdbool.h>

#include "problem.h"

struct viewer;

/* A place for the pipe, which the live output makes. */
struct viewer *viewer_new(struct problem *problem);
const char *viewer_path(const struct viewer *viewer);

/* Starts the program on it. */
bool viewer_start(struct viewer *viewer, struct problem *problem);

/* Leaves the program running. NULL is allowed. */
void viewer_free(struct viewer *viewer);

#endif
