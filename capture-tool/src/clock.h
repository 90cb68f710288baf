/* clock.h - the time: monotonic for waiting and measuring, the calendar's for what is recorded.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * system_linux.c and system_windows.c read the clocks, clock.c is the rest. All times are
 * nanoseconds. A monotonic time becomes a calendar time by one offset, so that what is recorded
 * never goes backwards on its own; the offset is only replaced when somebody sets the clock.
 */
#ifndef KDLENS_CLOCK_H
#define KDLENS_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLOCK_MICROSECOND UINT64_C(1000)
#define CLOCK_MILLISECOND UINT64_C(1000000)
#define CLOCK_SECOND      UINT64_C(1000000000)

/* The sooner of two times; UINT64_MAX is never. */
static inline uint64_t clock_earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Never goes backwards; starts anywhere. */
uint64_t clock_monotonic(void);

/* Since 1970, UTC. */
uint64_t clock_wall(void);

struct clock_anchor {
    int64_t offset; /* wall - monotonic */
};

void clock_anchor_init(struct clock_anchor *anchor);

/* The calendar time of this monotonic time. */
uint64_t clock_at(const struct clock_anchor *anchor, uint64_t monotonic);

/* Looks at the clock again. When it was set since, takes the new time, returns true and says by how
 * many nanoseconds. */
bool clock_anchor_check(struct clock_anchor *anchor, int64_t *set_by);

/* "2025-11-21T12:50:01.123456Z" */
#define CLOCK_TEXT_SIZE 32u
void clock_text(uint64_t wall, char *out, size_t room);

#endif
