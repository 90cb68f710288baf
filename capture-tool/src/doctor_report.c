/* doctor_report.c - how kdlens doctor says it. See doctor_report.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "doctor_report.h"

#include <inttypes.h>
#include <string.h>

#include "analysis/findings.h"
#include "clock.h"
#include "json.h"

/* --- for people */

static void print_evidence(FILE *out, const struct kda_diagnosis *diagnosis)
{
    for (size_t i = 0; i < diagnosis->evidence_count; i++) {
        const struct kda_evidence *evidence = &diagnosis->evidence[i];

        /* The last place holds the newest. */
        if (i == KDA_EVIDENCE - 1 && diagnosis->count > KDA_EVIDENCE)
            fprintf(out, "      ...\n");
        fprintf(out, "      frame %-6" PRIu32 " %s\n", evidence->frame, evidence->text);
    }
}

static void print_diagnosis(FILE *out, const struct kda_diagnosis *diagnosis)
{
    const struct kda_verdict_info *info = &kda_verdicts[diagnosis->verdict];

    fprintf(out, "  %-8s %s. %s\n", kda_gravity_name(diagnosis->gravity), info->line,
            diagnosis->detail);
    print_evidence(out, diagnosis);
    if (diagnosis->gravity >= KDA_GRAVITY_WARNING)
        fprintf(out, "      Next step: %s\n", info->next);
}

void doctor_report_text(FILE *out, unsigned session, const char *name,
                        const struct kda_report *report)
{
    const struct kda_diagnosis *top = &report->list[0];

    if (session)
        fprintf(out, "Session %u%s%s: ", session, name[0] ? ", " : "", name);
    fprintf(out, "%s.\n", kda_verdicts[top->verdict].line);
    for (size_t i = 0; i < report->count; i++)
        print_diagnosis(out, &report->list[i]);
}

void doctor_report_change(FILE *out, unsigned session, const struct kda_diagnosis *diagnosis)
{
    const struct kda_verdict_info *info = &kda_verdicts[diagnosis->verdict];
    char time[CLOCK_TEXT_SIZE];

    clock_text(clock_wall(), time, sizeof time);
    fprintf(out, "%s session %u: %s. %s\n", time, session, info->line, diagnosis->detail);
}

/* --- for programs */

static void json_member(FILE *out, const char *name, const char *text)
{
    fprintf(out, ",\"%s\":", name);
    json_text(out, text);
}

static void json_evidence(FILE *out, const struct kda_diagnosis *diagnosis)
{
    fputs(",\"evidence\":[", out);
    for (size_t i = 0; i < diagnosis->evidence_count; i++) {
        fprintf(out, "%s{\"frame\":%" PRIu32, i ? "," : "", diagnosis->evidence[i].frame);
        json_member(out, "text", diagnosis->evidence[i].text);
        fputc('}', out);
    }
    fputc(']', out);
}

void doctor_report_json(FILE *out, unsigned session, const char *name,
                        const struct kda_diagnosis *diagnosis, bool live)
{
    const struct kda_verdict_info *info = &kda_verdicts[diagnosis->verdict];

    fprintf(out, "{\"event\":\"%s\",\"session\":%u", live ? "verdict" : "diagnosis", session);
    json_member(out, "name", name);
    json_member(out, "verdict", info->name);
    json_member(out, "gravity", kda_gravity_name(diagnosis->gravity));
    json_member(out, "text", info->line);
    json_member(out, "detail", diagnosis->detail);
    json_member(out, "next", info->next);
    fprintf(out, ",\"count\":%" PRIu64 ",\"first\":%" PRIu32 ",\"last\":%" PRIu32, diagnosis->count,
            diagnosis->first, diagnosis->last);
    json_evidence(out, diagnosis);
    fputs("}\n", out);
}

void doctor_report_summary_json(FILE *out, unsigned session, const struct kda_report *report)
{
    const struct kda_diagnosis *top = &report->list[0];

    fprintf(out, "{\"event\":\"summary\",\"session\":%u,\"healthy\":%s", session,
            kda_report_is_healthy(report) ? "true" : "false");
    json_member(out, "verdict", kda_verdicts[top->verdict].name);
    json_member(out, "gravity", kda_gravity_name(top->gravity));
    json_member(out, "text", kda_verdicts[top->verdict].line);
    fputs("}\n", out);
}

void doctor_report_finding(FILE *out, unsigned session, const struct kda_event *event,
                           enum kd_finding finding, bool json)
{
    const struct kd_passing passing = {.ref = {NULL, event->frame},
                                       .time = event->time,
                                       .flow = event->flow,
                                       .frame = event->framed,
                                       .bytes = event->bytes};
    static const char *const severities[] = {"chat", "note", "warning", "error"};
    const struct kd_finding_info *info = &kd_findings[finding];
    uint32_t frame = event->kind == KDA_NEVER ? event->about_frame : event->frame;
    char buffer[KDA_FINDING_TEXT_SIZE];
    const char *text = event->seen ? kda_finding_text(finding, &passing, event->seen, buffer)
                       : event->kind == KDA_DATAGRAM
                           ? kda_datagram_text(finding, event->datagram, buffer)
                           : info->text;

    if (!json) {
        fprintf(out, "frame %-6" PRIu32 " %-7s %s: %s\n", frame, severities[info->severity],
                info->name, text);
        return;
    }
    fprintf(out, "{\"event\":\"finding\",\"session\":%u,\"frame\":%" PRIu32 ",\"hindsight\":%s",
            session, frame, event->kind == KDA_NEVER ? "true" : "false");
    json_member(out, "id", info->name);
    json_member(out, "severity", severities[info->severity]);
    json_member(out, "text", text);
    fputs("}\n", out);
}
