/* gather.h - how long to let bytes come together before they are read.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * QEMU hands over what a guest writes to a serial port byte by byte, each as a write of its own.
 * Over TCP such a write costs it 2 us while the reader sleeps, since the bytes then stay with the
 * sender until some are acknowledged, and 4 to 8 us with a reader that takes each as it comes. So
 * when the rest of a packet is on its way, it is read in pieces of up to GATHER_MAX. Whoever uses
 * the packet itself could not begin sooner; one who passes it on loses less than the sender gains.
 * (For Unix domain sockets it is the other way round: some 280 such writes fill one, and then the
 * sender waits.)
 *
 * Pure: no clock. Times are nanoseconds.
 */
#ifndef KDLENS_GATHER_H
#define KDLENS_GATHER_H

#include <stddef.h>
#include <stdint.h>

#define GATHER_MAX 2000000u
#define GATHER_MIN 50000u /* to go to sleep and wake up for less takes longer than it saves */

/* What is known of a sender. All zero: nothing; it is read whenever something comes. */
struct gather {
    uint64_t byte_time; /* that a byte is given, 0 for one who sends packets whole */
    size_t missing;     /* of a packet, after the last read */
};

/* So many bytes were read; missing: how many more the packet that they begin or go on with needs, 0
 * when none has begun. Returns for how long to read nothing, GATHER_MIN to GATHER_MAX; 0: read
 * whenever something comes. */
uint64_t gather_read(struct gather *gather, size_t size, size_t missing);

#endif
