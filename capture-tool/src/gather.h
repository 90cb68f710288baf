/* gather.h - how long to let bytes come together before they are read.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A virtual serial port hands over a packet byte by byte, each as a write of its own, and each
 * write to somebody who waits costs the sender a wake-up: QEMU, which emulates the guest between
 * two of them, sent 1 MiB to a reader that waited for each in 7 s, and in 3 s to one that did not.
 * Nobody can use half a packet. So when the rest of a packet is on its way, it is read when it
 * should be there, as the last bytes tell. (For whoever uses the packet itself: one that passes it
 * on gains nothing, since its receiver can begin with the first bytes.)
 *
 * Pure: no clock. Times are nanoseconds.
 */
#ifndef KDLENS_GATHER_H
#define KDLENS_GATHER_H

#include <stddef.h>
#include <stdint.h>

struct gather {
    uint64_t byte_time; /* of one byte, as learned; 0: nothing is known, or no time at all */
    uint64_t since;     /* when bytes were read last */
    size_t missing;     /* then, of a packet */
};

/* So many bytes were read at this time; missing: how many more the packet that they begin or go on
 * with needs, 0 when none has begun. Returns for how long there is nothing worth reading, at most
 * max; 0: read whenever something comes. */
uint64_t gather_read(struct gather *gather, uint64_t when, size_t size, size_t missing,
                     uint64_t max);

#endif
