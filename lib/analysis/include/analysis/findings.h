/* findings.h - what is remarkable about a packet, as a sentence.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Wireshark's expert infos and the evidence of `kdlens doctor` say the same words.
 */
#ifndef ANALYSIS_FINDINGS_H
#define ANALYSIS_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/observe.h"

#define KDA_FINDING_TEXT_SIZE 320u

/* The sentence for one finding that the observer had about this frame; it is in out, or a
 * constant. */
const char *kda_finding_text(enum kd_finding finding, const struct kd_passing *passing,
                             const struct kd_seen *seen, char out[KDA_FINDING_TEXT_SIZE]);

/* What the sentences about a datagram of KDNET name. */
struct kda_net_facts {
    unsigned version;
    uint64_t sequence;
    uint64_t missing; /* sequence numbers left out before this one */
    size_t size;      /* bytes */
    bool magic;       /* begins as KDNET does */
};

/* The same for a finding about a datagram, one of the rows NET_x. */
const char *kda_net_finding_text(enum kd_finding finding, const struct kda_net_facts *facts,
                                 char out[KDA_FINDING_TEXT_SIZE]);

/* Bytes as text in one line: what is not printable as \n or \x1b, line ends and NULs at the end
 * left out, "..." where `most` of them were not enough. Returns its length. */
size_t kda_quote(const uint8_t *bytes, size_t size, size_t most, char *out, size_t room);

#endif
