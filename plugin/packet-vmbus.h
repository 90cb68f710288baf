/* packet-vmbus.h - the protocol `vmbus`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_PACKET_VMBUS_H
#define KDLENS_PLUGIN_PACKET_VMBUS_H

#include "compat.h"

/* Before kd_registry_register, which needs the protocol. */
void proto_register_vmbus(void);

#endif
