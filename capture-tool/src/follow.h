/* follow.h - a capture file that another program is still writing: its end is waited for.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_FOLLOW_H
#define KDLENS_FOLLOW_H

#include <stdio.h>

#include "capture/reader.h"
#include "problem.h"

/* Where a file ends, idle is called several times a second, until more comes or Ctrl-C ends it
 * (interrupt.h). */
struct follow {
    void (*idle)(void *context);
    void *context;
    FILE *file; /* the follower's */
};

/* The follow stays the caller's, until follow_end. NULL, with a problem. */
struct cap_reader *follow_open(struct follow *follow, const char *path, struct problem *problem);
void follow_end(struct follow *follow);

#endif
