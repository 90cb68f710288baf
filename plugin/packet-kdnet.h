/* packet-kdnet.h - the protocol `kdnet`.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_PACKET_KDNET_H
#define KDLENS_PLUGIN_PACKET_KDNET_H

void proto_register_kdnet(void);
void proto_reg_handoff_kdnet(void);

#endif
