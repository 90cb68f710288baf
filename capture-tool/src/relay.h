/* relay.h - the tap's heart: bytes from one end to the other, and what happens when an end goes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * What is read is written to the other end before anything else is done with it, recording
 * included. When an end does not take it, the rest is queued and nothing more is read from where it
 * came from, so a queue holds RELAY_QUEUE bytes and one read at most.
 *
 * Each end by itself is
 *   DOWN      not connected; opened again at retry_at
 *   OPENING   connects, or waits for the other program
 *   UP        connected
 *   HALF      the program there sends no more, but may still read: it is given what comes for it,
 *             until nothing has come for RELAY_LINGER, then DOWN
 *
 * When an end is gone:
 *   TAP_RECONNECT  it is opened again after a pause, which grows up to RELAY_RETRY_MAX, or to
 *                  RELAY_START_MAX where it opens but goes at once. The other end stays open; what
 *                  that sends meanwhile is read, recorded and dropped, as on a line with nobody at
 *                  the other end, because a machine whose output nobody takes stands still.
 *   TAP_WAIT       the same, but the other end is not read meanwhile.
 *   TAP_EXIT       the relay ends, once the other end has been given what is queued for it.
 * An end that cannot be opened again (stdio) ends the relay in any case, and is not read before the
 * other end is there.
 */
#ifndef KDLENS_RELAY_H
#define KDLENS_RELAY_H

#include <stdbool.h>

#include "channel.h"
#include "clock.h"
#include "control.h"
#include "end.h"
#include "fault.h"
#include "problem.h"
#include "recorder.h"
#include "status.h"
#include "tap.h"

#define RELAY_QUEUE  (256u * 1024)
#define RELAY_LINGER CLOCK_SECOND
/* A machine that is switched on says its first words soon after its socket is there. What ends as
 * soon as it is connected is not to be opened that often. */
#define RELAY_RETRY_MIN (50 * CLOCK_MILLISECOND)
#define RELAY_RETRY_MAX (200 * CLOCK_MILLISECOND)
#define RELAY_START_MAX (2 * CLOCK_SECOND)
#define RELAY_DRAIN     (5 * CLOCK_SECOND) /* for what is queued when the relay ends */
/* A break-in byte is put in only while the debugger is quiet and not within a packet; it does not
 * wait longer than the second. */
#define RELAY_QUIET    (20 * CLOCK_MILLISECOND)
#define RELAY_PATIENCE CLOCK_SECOND

struct relay;

struct relay_config {
    const struct end *ends[2]; /* by enum side */
    enum tap_policy policy;
    bool hold;
    bool heal;
    bool gather; /* let the target's packets come in larger pieces: gather.h */
    const struct fault_options *fault; /* NULL: the line is left as it is */
    struct channel_loop *loop;
    struct control *control;
    struct recorder *recorder;
    struct status *status;
};

struct relay *relay_new(const struct relay_config *config, struct problem *problem);

/* Until it is told to stop, or as the policy says. The exit status. */
int relay_run(struct relay *relay);

/* NULL is allowed. */
void relay_free(struct relay *relay);

#endif
