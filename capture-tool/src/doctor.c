/* doctor.c - kdlens doctor: what is wrong with a link, from its capture.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Reads a capture, or follows one that a tap is writing, and lets a kda_doctor hear each of its
 * sessions. At the end, and while following whenever the verdict changes, it says what that makes
 * of them.
 */
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/doctor.h"
#include "analysis/findings.h"
#include "clock.h"
#include "doctor_report.h"
#include "follow.h"
#include "json.h"
#include "sessions.h"
#include "verbs.h"

struct doctor_options {
    struct sessions_options sessions;
    bool json;
    bool findings;
    bool follow;
};

/* One session and its doctor. */
struct patient {
    struct kda_doctor *doctor;
    enum kda_verdict said; /* while following */
    enum kda_gravity gravity;
    bool told;
};

struct ward {
    const struct doctor_options *options;
    struct sessions *sessions;
    struct patient patients[KD_STREAMS_MAX + 1]; /* by session number */
    struct kda_report *report;
    unsigned newest; /* highest number so far */
    bool failed;     /* out of memory */
};

static const char *name_of(const struct ward *ward, unsigned session)
{
    return session ? sessions_stream(ward->sessions, session)->name : "";
}

/* --- while it runs */

/* Says the verdict of a session when it is another than before. */
static void tell_change(struct ward *ward, unsigned session, uint64_t now)
{
    struct patient *patient = &ward->patients[session];
    const struct kda_diagnosis *top = &ward->report->list[0];

    kda_doctor_judge(patient->doctor, now, ward->report);
    if (patient->told && patient->said == top->verdict && patient->gravity == top->gravity)
        return;
    patient->told = true;
    patient->said = top->verdict;
    patient->gravity = top->gravity;
    if (ward->options->json)
        doctor_report_json(stdout, session, name_of(ward, session), top, true);
    else
        doctor_report_change(stdout, session, top);
    fflush(stdout);
}

/* The recording has come to its end for now: silence can be told. */
static void idle(void *context)
{
    struct ward *ward = context;

    for (unsigned i = 1; i <= ward->newest; i++)
        if (ward->patients[i].doctor)
            tell_change(ward, i, clock_wall());
}

static void tell_findings(struct ward *ward, unsigned session, const struct kda_event *event)
{
    uint64_t findings = event->seen ? event->seen->findings : 0;

    if (event->kind == KDA_DATAGRAM)
        findings = event->datagram->findings;
    else if (event->kind == KDA_NEVER)
        findings = UINT64_C(1) << event->finding;
    for (unsigned i = 0; findings >> i; i++)
        if (findings >> i & 1)
            doctor_report_finding(stdout, session, event, (enum kd_finding)i, ward->options->json);
}

static bool on_event(void *context, unsigned session, const struct kda_event *event)
{
    struct ward *ward = context;
    struct patient *patient = &ward->patients[session];

    if (!patient->doctor)
        patient->doctor = kda_doctor_new();
    ward->failed = !patient->doctor;
    if (ward->failed)
        return false;
    if (session > ward->newest)
        ward->newest = session;
    kda_doctor_event(patient->doctor, event);
    if (ward->options->findings)
        tell_findings(ward, session, event);
    return true;
}

/* --- at the end */

static bool tell_session(struct ward *ward, unsigned session, const struct kda_doctor *doctor)
{
    const struct kda_report *report = ward->report;

    kda_doctor_judge(doctor, 0, ward->report);
    if (ward->options->json) {
        for (size_t i = 0; i < report->count; i++)
            doctor_report_json(stdout, session, name_of(ward, session), &report->list[i], false);
        doctor_report_summary_json(stdout, session, report);
    } else {
        doctor_report_text(stdout, session, name_of(ward, session), report);
    }
    return kda_report_is_healthy(report);
}

/* Whether all is well. */
static bool tell_all(struct ward *ward)
{
    struct kda_doctor *nobody;
    bool healthy = true;

    for (unsigned i = 1; i <= ward->newest; i++)
        if (ward->patients[i].doctor)
            healthy = tell_session(ward, i, ward->patients[i].doctor) && healthy;
    if (ward->newest)
        return healthy;
    nobody = kda_doctor_new();
    if (!nobody)
        return false;
    healthy = tell_session(ward, 0, nobody);
    kda_doctor_free(nobody);
    return healthy;
}

static int examine(struct ward *ward, struct problem *problem)
{
    const struct sessions_handler handler = {ward, on_event};
    const struct cap_failure *failure;

    if (!sessions_run(ward->sessions, &handler, problem)) {
        if (ward->failed)
            problem_set(problem, "out of memory");
        return EXIT_USAGE;
    }
    failure = sessions_failure(ward->sessions);
    /* Nothing could be read: that says nothing about the link. */
    if (failure->kind != CAP_FAILURE_NONE && sessions_tally(ward->sessions)->packets == 0) {
        problem_set(problem,
                    "%s: offset %" PRIu64 ": %s; kdlens import makes captures of other recordings",
                    ward->options->sessions.capture, failure->offset, failure->text);
        return EXIT_USAGE;
    }
    if (failure->kind != CAP_FAILURE_NONE)
        fprintf(stderr, "kdlens doctor: %s: offset %" PRIu64 ": %s; what is before counts\n",
                ward->options->sessions.capture, failure->offset, failure->text);
    return tell_all(ward) ? EXIT_OK : EXIT_FAILED;
}

static int run(struct ward *ward, struct problem *problem)
{
    struct sessions_options options = ward->options->sessions;
    struct follow follow = {idle, ward, NULL};
    int status = EXIT_USAGE;

    problem->text[0] = '\0';
    if (ward->options->follow) {
        options.reader = follow_open(&follow, options.capture, problem);
        if (!options.reader)
            return EXIT_USAGE;
    }
    ward->sessions = sessions_open("doctor", &options, problem);
    if (ward->sessions)
        status = examine(ward, problem);
    sessions_close(ward->sessions);
    follow_end(&follow);
    return status;
}

static int run_verb(void *values)
{
    const struct doctor_options *options = values;
    struct ward *ward = calloc(1, sizeof *ward);
    struct problem problem = {""};
    int status = EXIT_USAGE;

    if (ward)
        ward->report = calloc(1, sizeof *ward->report);
    if (!ward || !ward->report) {
        problem_set(&problem, "out of memory");
    } else {
        ward->options = options;
        status = run(ward, &problem);
        for (unsigned i = 0; i <= KD_STREAMS_MAX; i++)
            kda_doctor_free(ward->patients[i].doctor);
    }
    if (problem.text[0])
        fprintf(stderr, "kdlens doctor: %s\n", problem.text);
    if (ward)
        free(ward->report);
    free(ward);
    return status;
}

#define MEMBER(name) offsetof(struct doctor_options, name)

static const struct option options[] = {
    SESSIONS_OPTIONS(struct doctor_options, sessions),
    {0, "follow", OPTION_FLAG, MEMBER(follow),
     .help = "go on reading as the file grows, and say the verdict each time it changes, until "
             "Ctrl-C: for the recording of a running tap"},
    {0, "findings", OPTION_FLAG, MEMBER(findings),
     .help = "list every remarkable frame, too: what Wireshark shows as expert infos"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "print JSON, one object a line"},
    {0},
};

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct doctor_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"Verdicts",
     "The gravest comes first: a fault (the link does not work), a warning (something is wrong, "
     "but "
     "the session may go on), or, when there is neither, that the link is healthy. Notes are about "
     "what was repaired or is as it should be; the last line says how things stand at the end. "
     "Frame numbers are those of Wireshark. docs/doctor.md lists all verdicts."},
    {"Exit status",
     "0 when every session is healthy, 1 when something was found, 2 when the capture cannot be "
     "read or an option is wrong."},
    {0},
};

static const struct example examples[] = {
    {"kdlens doctor session.pcapng", "why does the debugger not connect?"},
    {"kdlens doctor --follow session.pcapng",
     "the same while kdlens tap -w session.pcapng is running"},
    {"kdlens doctor --key-file keys.txt --json capture.pcapng.gz", "KDNET, for a program"},
    {0},
};

const struct verb verb_doctor = {
    .name = "doctor",
    .summary = "say what is wrong with a debug connection, from its capture",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct doctor_options),
    .run = run_verb,
};
