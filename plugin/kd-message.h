/* kd-message.h - the payload of a data packet as a tree.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_MESSAGE_H
#define KDLENS_PLUGIN_KD_MESSAGE_H

#include "view.h"

void kd_message_register(int proto);

/* Shows the payload; item is where expert infos about the whole message go. Without a tree only
 * those are added. */
void kd_message_show(const struct kd_view *view, proto_tree *tree, proto_item *item,
                     tvbuff_t *payload);

#endif
