/* merge.h - two directions recorded without times, in an order in which they can have happened.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. KD is stop and wait, and says who asks and who answers: an acknowledgement follows its
 * packet, an end sends no second packet before the first is acknowledged, a reply follows its
 * request, requests are made while the target is stopped. A break-in or a RESET of the debugger
 * comes before what the target sends next, for it would have been acknowledged first; console text
 * comes where it is first possible. A damaged stream gets some order, too.
 */
#ifndef KDLENS_MERGE_H
#define KDLENS_MERGE_H

#include <stdbool.h>
#include <stdint.h>

#include "end.h"
#include "kd/frame.h"

/* Zero at the start. */
struct merge {
    bool unacknowledged[2]; /* by enum side: its last packet */
    uint32_t ids[2];        /* its id; 0: none yet */
    bool repeats[2];        /* it was asked to send it again */
    bool stopped;           /* the target waits for requests */
    bool resetting;         /* the debugger's RESET has not been answered */
    uint16_t asked;         /* packet type of a request without its answer, 0: none */
    enum side asker;
};

/* The next frame of a direction; frame NULL: there is none. */
struct merge_head {
    const struct kd_frame *frame;
    const uint8_t *bytes;
};

/* Whose frame comes next; at least one has one. */
enum side merge_choose(struct merge *merge, const struct merge_head heads[2]);

#endif
