/* doctor.h - what is wrong with a KD link, from the events of its session.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A doctor hears the events of one session (analysis/session.h), once, in order, and can be asked
 * at any time what it makes of them: a list of diagnoses, the gravest first. Each is a row of
 * verdicts.def with the frames that show it. Memory is fixed, whatever comes. Times are nanoseconds
 * since 1970; frame numbers are those of Wireshark.
 */
#ifndef ANALYSIS_DOCTOR_H
#define ANALYSIS_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/session.h"

enum kda_verdict {
#define KDA_VERDICT(id, name, gravity, line, next) KDA_VERDICT_##id,
#include "analysis/verdicts.def"
#undef KDA_VERDICT
    KDA_VERDICTS
};

enum kda_gravity { KDA_GRAVITY_STATE, KDA_GRAVITY_NOTE, KDA_GRAVITY_WARNING, KDA_GRAVITY_FAULT };

struct kda_verdict_info {
    const char *name;
    enum kda_gravity gravity;
    const char *line;
    const char *next;
};

extern const struct kda_verdict_info kda_verdicts[KDA_VERDICTS];

/* "state", "note", "warning", "fault" */
const char *kda_gravity_name(enum kda_gravity gravity);

#define KDA_EVIDENCE           6u
#define KDA_EVIDENCE_TEXT_SIZE 240u
#define KDA_DETAIL_SIZE        400u

struct kda_evidence {
    uint32_t frame;
    char text[KDA_EVIDENCE_TEXT_SIZE];
};

struct kda_diagnosis {
    enum kda_verdict verdict;
    enum kda_gravity gravity; /* may differ from the row's: a storm that is over is a WARNING */
    uint64_t count;           /* of what shows it; 0: it is not counted */
    uint32_t first, last;     /* frames; 0: none */
    char detail[KDA_DETAIL_SIZE];
    struct kda_evidence evidence[KDA_EVIDENCE]; /* the first ones, and the last */
    size_t evidence_count;
};

struct kda_report {
    size_t count; /* at least 1 */
    struct kda_diagnosis list[KDA_VERDICTS];
};

struct kda_doctor;

/* NULL when memory is short. */
struct kda_doctor *kda_doctor_new(void);
void kda_doctor_free(struct kda_doctor *doctor);

void kda_doctor_event(struct kda_doctor *doctor, const struct kda_event *event);

/* What there is to say now. now: the time; 0: that of the last event, for captures. */
void kda_doctor_judge(const struct kda_doctor *doctor, uint64_t now, struct kda_report *report);

/* The sentence for a finding about a datagram; it is in out (KDA_FINDING_TEXT_SIZE), or a
 * constant. */
const char *kda_datagram_text(enum kd_finding finding, const struct kda_datagram *datagram,
                              char *out);

/* The gravest diagnosis that is no state: nothing is wrong when it is a NOTE or less. */
bool kda_report_is_healthy(const struct kda_report *report);

#endif
