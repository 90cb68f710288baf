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

/* The same for KD in UDP datagrams that are not encrypted, a frame of kd_frame_datagram with its
 * bytes: moreover, ids of the debugger have bit 31 set and those of the target do not; an ACK
 * carries the other end's id, a RESET the sender's next one, a RESEND none. */
enum kd_flow kd_datagram_flow(const struct kd_frame *frame, const uint8_t *bytes);

#endif
