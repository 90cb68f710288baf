/* kd-experts.h - the findings of lib/kd as Wireshark's expert infos.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_EXPERTS_H
#define KDLENS_PLUGIN_KD_EXPERTS_H

#include "compat.h"
#include "kd/observe.h"

#include <epan/expert.h>

/* The expert info of a finding. */
expert_field *kd_expert(enum kd_finding finding);

/* Adds it with the finding's own text. */
void kd_expert_add(packet_info *pinfo, proto_item *item, enum kd_finding finding);

/* One remark about a unit, in file scope. */
struct kd_remark {
    enum kd_finding finding;
    const char *text;
    struct kd_remark *next;
};

/* First visit: the sentences of all findings about a frame, in the order of kd/findings.def. */
struct kd_remark *kd_remarks_new(const struct kd_passing *passing, const struct kd_seen *seen);

void kd_experts_register(int proto_kd, int proto_kdnet);

#endif
