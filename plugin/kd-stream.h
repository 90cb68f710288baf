/* kd-stream.h - KD over byte streams: COM ports and pipes (kd_stream), TCP, UDP of older tools.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_STREAM_H
#define KDLENS_PLUGIN_KD_STREAM_H

#include "compat.h"
#include "kd/frame.h"

/* One link: both directions of a COM port, pipe or connection. */
struct kd_stream;

/* A link that another protocol carries, in file scope. */
struct kd_stream *kd_stream_new(void);

/* Any visit: bytes of such a link, each of them once, as those of a COM port. */
void kd_stream_dissect(struct kd_stream *stream, tvbuff_t *tvb, packet_info *pinfo,
                       proto_tree *tree, enum kd_flow flow);

/* Tells apart what one file holds of several machines: section and interface. */
uint64_t kd_interface_key(const packet_info *pinfo);

void kd_stream_register(int proto);
void kd_stream_handoff(void);

#endif
