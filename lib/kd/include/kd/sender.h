/* sender.h - which end sent a packet, from the packet alone.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * For streams that do not say which end is which (TCP, plain UDP). Most messages have one possible
 * sender; a request and its reply differ in what follows the fixed part, or in bytes only one of
 * them fills.
 */
#ifndef KD_SENDER_H
#define KD_SENDER_H

#include "kd/frame.h"

/* The direction the packet must have, or KD_FLOW_UNKNOWN where both are possible. */
enum kd_flow kd_packet_flow(uint32_t packet_type, const uint8_t *payload, size_t size);

#endif
