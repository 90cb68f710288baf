/* doctor_report.h - diagnoses as text for people and as JSON lines for programs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DOCTOR_REPORT_H
#define KDLENS_DOCTOR_REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "analysis/doctor.h"

/* All about one session; session 0: the capture has none. */
void doctor_report_text(FILE *out, unsigned session, const char *name,
                        const struct kda_report *report);

/* One line: the verdict is another now. */
void doctor_report_change(FILE *out, unsigned session, const struct kda_diagnosis *diagnosis);

/* An object: {"event":"diagnosis",...}; live: {"event":"verdict",...}. */
void doctor_report_json(FILE *out, unsigned session, const char *name,
                        const struct kda_diagnosis *diagnosis, bool live);

/* {"event":"summary",...} */
void doctor_report_summary_json(FILE *out, unsigned session, const struct kda_report *report);

/* One remarkable frame. */
void doctor_report_finding(FILE *out, unsigned session, const struct kda_event *event,
                           enum kd_finding finding, bool json);

#endif
