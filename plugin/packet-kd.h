/* packet-kd.h - showing what the framer found: packets, break-ins, noise.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_PACKET_KD_H
#define KDLENS_PLUGIN_PACKET_KD_H

#include "kd-objects.h"
#include "kd-session.h"
#include "kd-timeline.h"

/* A frame of kd/frame.h, as the first visit found it. In file scope. */
struct kd_unit {
    struct kd_frame frame;
    enum kd_flow flow;
    struct kd_packet *packet; /* null for break-ins and noise */
    struct kd_moment moment;
    struct kd_part part;
    struct kd_remark *remarks;
};

void proto_register_kd(void);
void proto_reg_handoff_kd(void);

/* The protocol `kd`. */
int kd_proto(void);

/* First visit: makes the unit of a frame and tells the session. flags as in kd_session_packet. */
struct kd_unit *kd_unit_new(struct kd_session *session, const packet_info *pinfo,
                            const struct kd_frame *frame, enum kd_flow flow, const uint8_t *bytes,
                            unsigned flags);

/* Any visit: adds the unit to columns and tree. tvb holds the unit's bytes and nothing else. */
void kd_unit_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                  const struct kd_session *session, const struct kd_unit *unit);

/* Shows bytes that become part of a unit in another frame (0: never). */
void kd_fragment_show(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, enum kd_flow flow,
                      uint32_t shown_in);

/* Puts "debugger" and "target" into the address columns of a link that has no addresses. */
void kd_set_ends(packet_info *pinfo, enum kd_flow flow);

#endif
