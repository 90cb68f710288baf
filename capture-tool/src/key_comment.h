/* key_comment.h - the packet comment by which the Wireshark plugin learns a KDNET key.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * "kdnet.key: a.b.c.d", alone or within other text; it holds from its packet on.
 */
#ifndef KDLENS_KEY_COMMENT_H
#define KDLENS_KEY_COMMENT_H

#include <stdbool.h>

#include "capture/pcapng.h"

#define KEY_COMMENT_MARK "kdnet.key:"

struct key_comment {
    struct cap_text before, key, after; /* the parts of the comment, without the mark */
};

/* False when the comment holds no key. */
bool key_comment_find(struct cap_text comment, struct key_comment *found);

#endif
