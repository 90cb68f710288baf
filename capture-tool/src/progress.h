/* progress.h - a line on the terminal that says how far long work has come.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Nothing is shown unless stderr is a terminal, nor for work that is soon done.
 */
#ifndef KDLENS_PROGRESS_H
#define KDLENS_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress {
    const char *what;
    uint64_t next; /* monotonic: when to draw; UINT64_MAX: never */
    bool drawn;
};

void progress_start(struct progress *progress, const char *what);
void progress_step(struct progress *progress, uint64_t bytes);

/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
