/* tap.h - a tap as a function: two ends, a recording, and what may be asked of it while it runs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TAP_H
#define KDLENS_TAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "options.h"

struct control;

/* What happens when an end is gone; see relay.h. */
enum tap_policy { TAP_RECONNECT, TAP_WAIT, TAP_EXIT };

/* As the options are written; zero is a tap that records nothing. */
struct tap_options {
    const char *debugger; /* an end */
    const char *target;
    const char *file;
    struct option_texts rotation;
    const char *live;
    const char *fault;      /* text of fault_parse; NULL: none */
    const char *console;    /* file for the target's console text; NULL: stderr */
    unsigned on_disconnect; /* enum tap_policy */
    uint64_t queue_mib;
    bool wireshark;
    bool raw;
    bool doctor;
    bool hold;
    bool heal;
    bool json;
    bool quiet;
    bool no_keys; /* the terminal's keys are not read; Wireshark's toolbar sets it */
};

/* ready is called once before anything is opened, with the mailbox of control.h, which is valid
 * until after is called; it may start threads that post there. Each may be NULL. */
struct tap_hooks {
    void (*ready)(void *context, struct control *control);
    void (*after)(void *context);
    void *context;
};

/* Runs until it is told to stop or, with TAP_EXIT, until an end is gone. hooks may be NULL. Returns
 * the exit status. */
int tap_run(const struct tap_options *options, const struct tap_hooks *hooks);

#endif
