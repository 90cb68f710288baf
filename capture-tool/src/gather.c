/* gather.c - what a byte takes, learned from the reads of a packet. See gather.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "gather.h"

/* A shorter wait saves nothing: going to sleep and waking up takes as long. */
#define SHORTEST 30000u

/* What was read since the last time is a sample of what a byte takes. Where it was all that was
 * awaited, it may have been there long since: the sample is only the most that it can have been. */
static void learn(struct gather *gather, uint64_t when, size_t size)
{
    uint64_t sample = (when - gather->since) / size;

    if (gather->byte_time == 0 || sample < gather->byte_time)
        gather->byte_time = sample;
    else if (size < gather->missing)
        gather->byte_time += (sample - gather->byte_time) / 4;
    if (size >= gather->missing)
        gather->byte_time -= gather->byte_time / 32;
}

uint64_t gather_read(struct gather *gather, uint64_t when, size_t size, size_t missing,
                     uint64_t max)
{
    uint64_t pause;

    if (gather->missing > 0 && size > 0 && when > gather->since)
        learn(gather, when, size);
    gather->since = when;
    gather->missing = missing;
    if (missing == 0 || gather->byte_time == 0)
        return 0;
    /* Not all of them, so that what has come by then tells the time of a byte anew. */
    missing -= missing / 4;
    pause = missing > max / gather->byte_time ? max : missing * gather->byte_time;
    return pause < SHORTEST ? 0 : pause;
}
