/* extcap_toolbar.h - Wireshark's toolbar for a capture of ours, and its presence: a thread.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_EXTCAP_TOOLBAR_H
#define KDLENS_EXTCAP_TOOLBAR_H

#include <stdbool.h>
#include <stdio.h>

#include "problem.h"

struct control;
struct extcap_toolbar;

/* Strings stay the caller's. */
struct extcap_toolbar_config {
    const char *in;   /* from Wireshark; NULL: there is no toolbar */
    const char *out;  /* to Wireshark; NULL the same */
    const char *fifo; /* of the recording: its reader's end is the capture's end */
    bool only_marker; /* nothing can be sent to the target */
    bool heal;        /* is on at the start */
};

/* The controls as they are declared to Wireshark. */
void extcap_toolbar_declare(FILE *out);

/* Opens the pipes, so that Wireshark can go on. */
struct extcap_toolbar *extcap_toolbar_open(const struct extcap_toolbar_config *config,
                                           struct problem *problem);

/* Waits until the recording has a reader. False when none comes. */
bool extcap_toolbar_await(struct extcap_toolbar *toolbar);

/* Posts what the user asks for, and CONTROL_STOP when the recording has no reader any more, until
 * extcap_toolbar_stop. False: no thread. */
bool extcap_toolbar_start(struct extcap_toolbar *toolbar, struct control *control);
void extcap_toolbar_stop(struct extcap_toolbar *toolbar);

/* NULL is allowed. */
void extcap_toolbar_close(struct extcap_toolbar *toolbar);

#endif
