/* kd-image.h - memory whose content is certain: image headers and the debugger data block.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_IMAGE_H
#define KDLENS_PLUGIN_KD_IMAGE_H

#include "view.h"

void kd_image_register(int proto);

/* Decodes memory read from (or written to) this address when it can be nothing else: the headers of
 * an image at its base, KDDEBUGGER_DATA64 where DebuggerDataList points. Does nothing otherwise. */
void kd_image_show(const struct kd_view *view, proto_tree *tree, tvbuff_t *data, uint64_t address);

#endif
