/* clock.c - calendar times from monotonic ones.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "clock.h"

#include <stdio.h>

/* The two clocks drift apart by less than this between two looks; more means the clock was set. */
#define SET_LIMIT INT64_C(20000000)

static int64_t offset_now(void)
{
    return (int64_t)(clock_wall() - clock_monotonic());
}

void clock_anchor_init(struct clock_anchor *anchor)
{
    anchor->offset = offset_now();
}

uint64_t clock_at(const struct clock_anchor *anchor, uint64_t monotonic)
{
    return monotonic + (uint64_t)anchor->offset;
}

bool clock_anchor_check(struct clock_anchor *anchor, int64_t *set_by)
{
    int64_t offset = offset_now();

    *set_by = offset - anchor->offset;
    if (*set_by<SET_LIMIT && * set_by> - SET_LIMIT)
        return false;
    anchor->offset = offset;
    return true;
}

void clock_text(uint64_t wall, char *out, size_t room)
{
    uint64_t seconds = wall / CLOCK_SECOND;
    unsigned day_seconds = (unsigned)(seconds % 86400);
    /* Days since 0000-03-01: years then begin in March, and a leap day is a year's last. */
    uint64_t days = seconds / 86400 + 719468;
    uint64_t era = days / 146097;
    unsigned of_era = (unsigned)(days % 146097);
    unsigned year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    unsigned of_year = of_era - (365 * year + year / 4 - year / 100);
    unsigned month = (5 * of_year + 2) / 153;

    snprintf(out, room, "%04u-%02u-%02uT%02u:%02u:%02u.%06uZ",
             (unsigned)(year + era * 400 + (month >= 10)), month < 10 ? month + 3 : month - 9,
             of_year - (153 * month + 2) / 5 + 1, day_seconds / 3600, day_seconds / 60 % 60,
             day_seconds % 60, (unsigned)(wall % CLOCK_SECOND / CLOCK_MICROSECOND));
}
