/* gather.c - pauses by what a sender does. See gather.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "gather.h"

/* What QEMU takes for one, at best: more would let the end of a packet wait. */
#define BYTE_TIME 2000u

/* Packets that come whole, or after their header at once, make the pauses shorter until there are
 * none; bytes that trickle in make them longer again. Of those a packet has many reads, so that the
 * one that completes it does not count. */
static void learn(struct gather *gather, size_t size)
{
    if (size < gather->missing)
        gather->byte_time += (BYTE_TIME - gather->byte_time + 3) / 4;
    else if (gather->missing > 0)
        gather->byte_time -= (gather->byte_time + 3) / 4;
}

uint64_t gather_read(struct gather *gather, size_t size, size_t missing)
{
    uint64_t pause;

    learn(gather, size);
    gather->missing = missing;
    if (gather->byte_time == 0)
        return 0;
    pause = missing < GATHER_MAX / gather->byte_time ? missing * gather->byte_time : GATHER_MAX;
    return pause < GATHER_MIN ? 0 : pause;
}
