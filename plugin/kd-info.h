/* kd-info.h - a packet in one line, as a debugger's user would tell it: the Info column.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_INFO_H
#define KDLENS_PLUGIN_KD_INFO_H

#include "view.h"

/* The line of this packet. Lives as long as pinfo. */
const char *kd_info_text(const struct kd_view *view, const uint8_t *payload, size_t size);

/* Text of a peer as one printable line: control characters as \n or \x1b, at most max characters.
 */
const char *kd_info_quote(wmem_allocator_t *pool, const uint8_t *text, size_t size, size_t max);

#endif
