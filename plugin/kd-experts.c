/* kd-experts.c - expert infos from kd/findings.def. See kd-experts.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-experts.h"

#include "analysis/findings.h"

/* The groups of Wireshark by the names of findings.def. */
static const int groups[KD_FINDINGS] = {
#define KD_FINDING(id, name, group, severity, text) PI_##group,
#include "kd/findings.def"
#undef KD_FINDING
};

static const int severities[KD_FINDINGS] = {
#define KD_FINDING(id, name, group, severity, text) PI_##severity,
#include "kd/findings.def"
#undef KD_FINDING
};

static expert_field fields[KD_FINDINGS] = {
#define KD_FINDING(id, name, group, severity, text) EI_INIT,
#include "kd/findings.def"
#undef KD_FINDING
};

expert_field *kd_expert(enum kd_finding finding)
{
    return &fields[finding];
}

void kd_expert_add(packet_info *pinfo, proto_item *item, enum kd_finding finding)
{
    expert_add_info(pinfo, item, &fields[finding]);
}

struct kd_remark *kd_remarks_new(const struct kd_passing *passing, const struct kd_seen *seen)
{
    struct kd_remark *first = NULL, **end = &first;
    char text[KDA_FINDING_TEXT_SIZE];

    for (unsigned i = 0; seen->findings >> i; i++) {
        if (!(seen->findings >> i & 1))
            continue;
        *end = wmem_new0(wmem_file_scope(), struct kd_remark);
        (*end)->finding = (enum kd_finding)i;
        (*end)->text = wmem_strdup(wmem_file_scope(),
                                   kda_finding_text((enum kd_finding)i, passing, seen, text));
        end = &(*end)->next;
    }
    return first;
}

/* Names of KD come first in the table, those of KDNET after them. */
void kd_experts_register(int proto_kd, int proto_kdnet)
{
    static ei_register_info ei[KD_FINDINGS];
    int first_of_kdnet = KD_FINDING_NET_BAD_DATAGRAM;

    for (int i = 0; i < KD_FINDINGS; i++) {
        const ei_register_info info = {
            &fields[i],
            {kd_findings[i].name, groups[i], severities[i], kd_findings[i].text, EXPFILL}};

        ei[i] = info;
    }
    expert_register_field_array(expert_register_protocol(proto_kd), ei, first_of_kdnet);
    expert_register_field_array(expert_register_protocol(proto_kdnet), ei + first_of_kdnet,
                                KD_FINDINGS - first_of_kdnet);
}
