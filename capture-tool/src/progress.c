/* progress.c - the progress line. See progress.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "progress.h"

#include <stdio.h>

#include "clock.h"
#include "files.h"

#define FIRST (CLOCK_SECOND / 2)
#define AGAIN (CLOCK_SECOND / 5)
#define WIDTH 60

void progress_start(struct progress *progress, const char *what)
{
    *progress = (struct progress){.what = what, .next = UINT64_MAX};
    if (file_is_terminal(stderr))
        progress->next = clock_monotonic() + FIRST;
}

void progress_step(struct progress *progress, uint64_t bytes)
{
    uint64_t now;

    if (progress->next == UINT64_MAX || (now = clock_monotonic()) < progress->next)
        return;
    progress->next = now + AGAIN;
    progress->drawn = true;
    fprintf(stderr, "\r%.*s: %.1f MiB", WIDTH, progress->what, (double)bytes / (1024 * 1024));
    fflush(stderr);
}

void progress_end(struct progress *progress)
{
    if (progress->drawn)
        fprintf(stderr, "\r%*s\r", WIDTH + 18, "");
    progress->drawn = false;
    progress->next = UINT64_MAX;
}
