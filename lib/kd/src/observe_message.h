/* observe_message.h - findings about one data packet by itself.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KD_SRC_OBSERVE_MESSAGE_H
#define KD_SRC_OBSERVE_MESSAGE_H

#include "kd/observe.h"

/* seen: with message and asked filled in. */
uint64_t observe_message(const struct kd_passing *passing, const struct kd_seen *seen);

#endif
