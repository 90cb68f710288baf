/* capture.h - KDNET from a network interface, as a function.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_CAPTURE_H
#define KDLENS_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "options.h"
#include "problem.h"
#include "tap.h"

/* As the options are written. */
struct capture_options {
    const char *interface;
    const char *file;
    struct option_texts rotation;
    struct option_texts ports; /* "50000", "50000-50039"; none: datagrams are told by their magic */
    const char *filter;        /* a libpcap expression, beside the ports */
    const char *key;
    const char *key_file;
    bool ask_key;
    bool embed_key; /* the keys go into the file */
    bool promiscuous;
    bool kdnet; /* said for clearness: nothing else is captured */
    bool list;
    bool json;
    bool quiet;
    bool for_wireshark; /* file is Wireshark's FIFO: its end is ours, and no word about it */
};

/* Runs until it is told to stop. hooks: as tap_run's; NULL is allowed. Returns the exit status. */
int capture_run(const struct capture_options *options, const struct tap_hooks *hooks);

/* A key among the arguments can be seen by all users of the machine: returns a copy of it, and
 * writes stars where it was. NULL for NULL. */
#define CAPTURE_KEY_SIZE 128u
const char *capture_hide_key(const char *argument, char copy[CAPTURE_KEY_SIZE]);

/* Whether this build captures at all. */
bool capture_available(void);

/* Whether the expression can be a filter. */
bool capture_check_filter(const char *expression, struct problem *problem);

/* The network interfaces; description may be "". */
struct capture_interface {
    const char *name;
    const char *description;
    bool up;
    bool loopback;
};
bool capture_interfaces(void (*each)(void *context, const struct capture_interface *interface),
                        void *context, struct problem *problem);

#define CAPTURE_FILTER_SIZE 2048u

/* The expression that the system filters by. */
bool capture_filter(const struct option_texts *ports, const char *expression,
                    char filter[CAPTURE_FILTER_SIZE], struct problem *problem);

#endif
