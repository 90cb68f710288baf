/* keys_list.h - which KDNET keys a capture holds, and what they open.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_KEYS_LIST_H
#define KDLENS_KEYS_LIST_H

#include <stdbool.h>

struct keys_list_options {
    const char *capture;
    bool show; /* the keys, too */
    bool json;
};

/* Prints it. The exit status. */
int keys_list(const struct keys_list_options *options);

#endif
