/* vmbus-experts.c - expert infos from vmbus-findings.def. See vmbus-experts.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vmbus-experts.h"

#include <epan/expert.h>
#include <stdarg.h>

static expert_field fields[VMBUS_FINDINGS] = {
#define VMBUS_FINDING(id, name, group, severity, text) EI_INIT,
#include "vmbus-findings.def"
#undef VMBUS_FINDING
};

static struct vmbus_remark *append(struct vmbus_remark **remarks, enum vmbus_finding finding)
{
    while (*remarks)
        remarks = &(*remarks)->next;
    *remarks = wmem_new0(wmem_file_scope(), struct vmbus_remark);
    (*remarks)->finding = finding;
    return *remarks;
}

void vmbus_remark(struct vmbus_remark **remarks, enum vmbus_finding finding)
{
    append(remarks, finding);
}

void vmbus_remark_text(struct vmbus_remark **remarks, enum vmbus_finding finding,
                       const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append(remarks, finding)->text = wmem_strdup_vprintf(wmem_file_scope(), format, arguments);
    va_end(arguments);
}

void vmbus_experts_show(packet_info *pinfo, proto_item *item, const struct vmbus_remark *remarks)
{
    for (; remarks; remarks = remarks->next) {
        if (remarks->text)
            expert_add_info_format(pinfo, item, &fields[remarks->finding], "%s", remarks->text);
        else
            expert_add_info(pinfo, item, &fields[remarks->finding]);
    }
}

void vmbus_expert_add(packet_info *pinfo, proto_item *item, enum vmbus_finding finding)
{
    expert_add_info(pinfo, item, &fields[finding]);
}

void vmbus_experts_register(int proto)
{
    static ei_register_info ei[] = {
#define VMBUS_FINDING(id, name, group, severity, text) \
    {&fields[VMBUS_##id], {name, PI_##group, PI_##severity, text, EXPFILL}},
#include "vmbus-findings.def"
#undef VMBUS_FINDING
    };

    expert_register_field_array(expert_register_protocol(proto), ei, array_length(ei));
}
