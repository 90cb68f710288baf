/* kd-tap.h - what statistics, follow stream and export objects are told of each unit.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Three taps: "kd" has every unit, "kd_follow" the messages of text, "kd_eo" all packets. All are
 * handed a struct kd_tapped.
 */
#ifndef KDLENS_PLUGIN_KD_TAP_H
#define KDLENS_PLUGIN_KD_TAP_H

#include <epan/tap.h>

#include "packet-kd.h"
#include "view.h"

#define KD_TAP        "kd"
#define KD_TAP_FOLLOW "kd_follow"

struct kd_tapped {
    const struct kd_session *session;
    const struct kd_unit *unit;
    const uint8_t *bytes;   /* of a packet that can be read, from its header on; else null */
    size_t length;          /* of these */
    const uint8_t *payload; /* behind the header; null as bytes */
    size_t size;            /* of the payload */
    bool revisited;         /* what later packets tell is known */
};

/* Each visit: tells whoever listens. tvb holds the unit's bytes and nothing else. */
void kd_tap_unit(tvbuff_t *tvb, packet_info *pinfo, const struct kd_session *session,
                 const struct kd_unit *unit);

/* Whether a unit is a packet that counts: read by its receiver, and for the first time. */
bool kd_tapped_is_new(const struct kd_tapped *tapped);

/* The view of a packet, for its texts. */
struct kd_view kd_tapped_view(const struct kd_tapped *tapped, packet_info *pinfo);

/* export_tap: what register_export_object returned. */
void kd_tap_register(int export_tap);

/* Each has its file. */
void kd_srt_register(int proto);
void kd_tree_register(void);
void kd_stops_register(void);
void kd_prints_register(void);
void kd_ends_register(int proto);
void kd_follow_register(int proto);
int kd_export_register(int proto); /* returns the tap */

/* First visit: which connection the frame of a unit is of. */
void kd_follow_see(packet_info *pinfo, const struct kd_unit *unit);

/* A request's or reply's number, as a hidden field for the filters of response times. */
void kd_srt_show(tvbuff_t *tvb, proto_tree *tree, const struct kd_packet *packet);

/* The ends of a line without addresses, as hidden fields for the filters of conversations. */
void kd_ends_show(tvbuff_t *tvb, const packet_info *pinfo, proto_tree *tree);

#endif
