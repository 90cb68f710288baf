/* vmbus-experts.h - remarks about events of VMBus, and Wireshark's expert infos for them.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_VMBUS_EXPERTS_H
#define KDLENS_PLUGIN_VMBUS_EXPERTS_H

#include "compat.h"

enum vmbus_finding {
#define VMBUS_FINDING(id, name, group, severity, text) VMBUS_##id,
#include "vmbus-findings.def"
#undef VMBUS_FINDING
    VMBUS_FINDINGS
};

/* One remark about an event, in file scope. */
struct vmbus_remark {
    enum vmbus_finding finding;
    const char *text; /* null: the finding's own */
    struct vmbus_remark *next;
};

/* First visit: appends a remark, with the finding's text or one of its own. */
void vmbus_remark(struct vmbus_remark **remarks, enum vmbus_finding finding);
void vmbus_remark_text(struct vmbus_remark **remarks, enum vmbus_finding finding,
                       const char *format, ...) G_GNUC_PRINTF(3, 4);

/* Any visit. */
void vmbus_experts_show(packet_info *pinfo, proto_item *item, const struct vmbus_remark *remarks);
void vmbus_expert_add(packet_info *pinfo, proto_item *item, enum vmbus_finding finding);

void vmbus_experts_register(int proto);

#endif
