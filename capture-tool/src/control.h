/* control.h - requests to a running tap, from signals, keys, and Wireshark's toolbar.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A mailbox: any thread posts, the tap's thread takes. Posting never waits.
 */
#ifndef KDLENS_CONTROL_H
#define KDLENS_CONTROL_H

#include <stdbool.h>
#include <stddef.h>

struct control;
struct channel_loop;

#define CONTROL_TEXT_SIZE 256u

enum control_kind {
    CONTROL_STOP,     /* end the tap; the text says why: "interrupted" */
    CONTROL_BREAK_IN, /* send the byte 0x62 to the target */
    CONTROL_MARKER,   /* write the text as a comment; empty: "marker N" */
    CONTROL_HEAL      /* switch --heal on or off */
};

struct control_request {
    enum control_kind kind;
    char text[CONTROL_TEXT_SIZE];
};

/* NULL: no memory. The loop must outlive it. */
struct control *control_new(struct channel_loop *loop);
void control_free(struct control *control);

/* text may be NULL. False when too many requests wait. From any thread, not from a signal
 * handler. */
bool control_post(struct control *control, enum control_kind kind, const char *text);

/* The tap's side: the oldest request, if there is one. */
bool control_take(struct control *control, struct control_request *request);

#endif
