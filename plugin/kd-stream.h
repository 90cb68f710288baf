/* kd-stream.h - KD over byte streams: COM ports and pipes (kd_stream), TCP, UDP of older tools.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_STREAM_H
#define KDLENS_PLUGIN_KD_STREAM_H

#include "compat.h"

void kd_stream_register(int proto);
void kd_stream_handoff(void);

#endif
