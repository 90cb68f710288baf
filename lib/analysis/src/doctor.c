/* doctor.c - the doctor hears what passed on a link. See analysis/doctor.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "analysis/findings.h"

#define BUSY          UINT64_C(5000000000) /* a break-in that takes longer is remarked upon */
#define FAILED        UINT32_C(0x80000000) /* NTSTATUS from here on */
#define TEXT_SHOWN    60u
#define KD_SPOKE_TEXT (4u * TEXT_SHOWN + 8u)

const struct kda_verdict_info kda_verdicts[KDA_VERDICTS] = {
#define KDA_VERDICT(id, name, gravity, line, next) {name, KDA_GRAVITY_##gravity, line, next},
#include "analysis/verdicts.def"
#undef KDA_VERDICT
};

const char *kda_gravity_name(enum kda_gravity gravity)
{
    static const char *const names[] = {"state", "note", "warning", "fault"};

    return names[gravity];
}

const char *doctor_who(enum kd_flow flow)
{
    return flow == KD_FLOW_TO_TARGET     ? "the debugger"
           : flow == KD_FLOW_TO_DEBUGGER ? "the target"
                                         : "an end";
}

const char *doctor_api_name(uint32_t api)
{
    const struct kd_api_info *info = kd_api_find(api);

    return info ? info->name : "an unknown request";
}

struct kda_doctor *kda_doctor_new(void)
{
    return calloc(1, sizeof(struct kda_doctor));
}

void kda_doctor_free(struct kda_doctor *doctor)
{
    free(doctor);
}

void doctor_note(struct kda_doctor *doctor, enum kda_verdict verdict, uint32_t frame,
                 const char *format, ...)
{
    struct doctor_case *found = &doctor->cases[verdict];
    struct kda_evidence *evidence;
    va_list arguments;

    found->count++;
    found->last = frame;
    if (!found->first)
        found->first = frame;
    if (found->evidence_count < KDA_EVIDENCE)
        found->evidence_count++;
    evidence = &found->evidence[found->evidence_count - 1];
    evidence->frame = frame;
    va_start(arguments, format);
    vsnprintf(evidence->text, sizeof evidence->text, format, arguments);
    va_end(arguments);
}

static enum kd_flow other_flow(enum kd_flow flow)
{
    return flow == KD_FLOW_TO_TARGET     ? KD_FLOW_TO_DEBUGGER
           : flow == KD_FLOW_TO_DEBUGGER ? KD_FLOW_TO_TARGET
                                         : KD_FLOW_UNKNOWN;
}

static void finding_text(const struct kda_event *event, enum kd_finding finding,
                         char out[KDA_FINDING_TEXT_SIZE])
{
    const struct kd_passing passing = {.ref = {NULL, event->frame},
                                       .time = event->time,
                                       .flow = event->flow,
                                       .frame = event->framed,
                                       .bytes = event->bytes};
    const char *text = kda_finding_text(finding, &passing, event->seen, out);

    if (text != out)
        snprintf(out, KDA_FINDING_TEXT_SIZE, "%s", text);
}

/* A finding as evidence, in its own words. */
static void note_finding(struct kda_doctor *doctor, const struct kda_event *event,
                         enum kd_finding finding, enum kda_verdict verdict)
{
    char text[KDA_FINDING_TEXT_SIZE];

    finding_text(event, finding, text);
    doctor_note(doctor, verdict, event->frame, "%s: %.200s", doctor_who(event->flow), text);
}

/* --- who owes an answer: as kd/observe.h has it, with the frame */

static void owes(struct kda_doctor *doctor, const struct kda_event *event, enum kd_flow who)
{
    struct doctor_end *end = &doctor->ends[who];

    if (end->owes)
        return;
    end->owes = true;
    end->owes_since = event->time;
    end->owes_frame = event->frame;
}

/* --- storms */

static void storm_begins(struct kda_doctor *doctor, const struct kda_event *event)
{
    static const struct {
        enum kda_verdict verdict;
        enum kd_finding finding;
    } storms[] = {[KD_STORM_RESET] = {KDA_VERDICT_RESET_STORM, KD_FINDING_RESET_STORM},
                  [KD_STORM_RESEND] = {KDA_VERDICT_RESEND_STORM, KD_FINDING_RESEND_STORM},
                  [KD_STORM_CONSOLE] = {KDA_VERDICT_CONSOLE_STORM, KD_FINDING_CONSOLE_STORM}};
    enum kd_storm kind = event->seen->storm;
    char text[KDA_FINDING_TEXT_SIZE];

    doctor->storm = (struct doctor_storm){.kind = kind,
                                          .first = event->seen->storm_since.frame,
                                          .begin = event->time,
                                          .last_time = event->time};
    finding_text(event, storms[kind].finding, text);
    doctor_note(doctor, storms[kind].verdict, event->frame, "%.230s", text);
    /* It began before it was recognized. */
    if (doctor->cases[storms[kind].verdict].count == 1)
        doctor->cases[storms[kind].verdict].first = doctor->storm.first;
}

static void see_storm(struct kda_doctor *doctor, const struct kda_event *event)
{
    const struct kd_seen *seen = event->seen;
    struct doctor_storm *storm = &doctor->storm;

    if (seen->storm != KD_STORM_NONE)
        storm_begins(doctor, event);
    if (seen->storming == KD_STORM_NONE || event->kind != KDA_PACKET)
        return;
    storm->last = event->frame;
    storm->last_time = event->time;
    storm->resets[event->flow] += seen->packet_type == KD_PACKET_RESET;
    storm->resends[event->flow] += seen->packet_type == KD_PACKET_RESEND;
    storm->repeats[event->flow] += seen->retransmission;
    if (seen->retransmission && event->flow == KD_FLOW_TO_DEBUGGER)
        storm->stop = seen->original.frame;
    if (seen->packet_type == KD_PACKET_STATE_MANIPULATE && event->flow == KD_FLOW_TO_TARGET)
        storm->api = seen->message.api;
}

/* --- stops and requests */

static void describe_stop(struct kda_doctor *doctor, const struct kda_event *event)
{
    uint32_t state = event->seen->message.api & 0xFFFF;
    const char *name = kd_value_name(KD_SET_ID_new_state, event->seen->message.api);
    uint32_t code;

    if (state == KD_STATE_EXCEPTION && event->seen->packet_type == KD_PACKET_STATE_CHANGE64 &&
        event->payload_size >= KD_STATE_CHANGE_UNION + sizeof(struct kd_exception64)) {
        code = kd_get32(*(const kd_u32 *)(event->payload + KD_STATE_CHANGE_UNION));
        name = kd_value_name(KD_SET_ID_ntstatus, code);
        snprintf(doctor->stop_text, sizeof doctor->stop_text, "%s (0x%08" PRIx32 ") at 0x%" PRIx64,
                 name ? name : "exception", code, event->seen->message.address);
        return;
    }
    snprintf(doctor->stop_text, sizeof doctor->stop_text, "%s at 0x%" PRIx64,
             name ? name : "state change", event->seen->message.address);
}

static void answer_breakin(struct kda_doctor *doctor, const struct kda_event *event)
{
    uint64_t took = event->time - doctor->breakin_time;

    if (doctor->breakin && event->time > doctor->breakin_time && took > BUSY)
        doctor_note(doctor, KDA_VERDICT_TARGET_BUSY, event->frame,
                    "the break-in of frame %" PRIu32 " is answered after %" PRIu64 " s",
                    doctor->breakin, took / UINT64_C(1000000000));
    doctor->breakin = 0;
}

/* A break-in is answered by an exception: a load event the debugger passes, and goes on waiting.
 * What it sent before the target's first event, to a machine that was off or in its firmware, had
 * nobody to hear it. */
static void see_state_change(struct kda_doctor *doctor, const struct kda_event *event)
{
    doctor->passing = (event->seen->message.api & 0xFFFF) != KD_STATE_EXCEPTION;
    if (!doctor->passing || !doctor->told)
        answer_breakin(doctor, event);
    if (doctor->stopped && event->seen->retransmission)
        return;
    if (!doctor->stopped)
        doctor->stop_time = event->time;
    doctor->told = doctor->stopped = true;
    doctor->stop = event->frame;
    doctor->open_request = 0;
    describe_stop(doctor, event);
    doctor_note(doctor, KDA_VERDICT_STOPS, event->frame, "%s", doctor->stop_text);
    if (KD_HAS(event->seen->findings, EXCEPTION))
        note_finding(doctor, event, KD_FINDING_EXCEPTION, KDA_VERDICT_EXCEPTIONS);
}

/* While it stood, the target could not stop for a break-in. */
static void forgive_stop(struct kda_doctor *doctor, uint64_t now)
{
    uint64_t since =
        doctor->stop_time > doctor->breakin_time ? doctor->stop_time : doctor->breakin_time;

    if (doctor->stopped && now > since)
        doctor->breakin_time += now - since;
}

static void see_request(struct kda_doctor *doctor, const struct kda_event *event)
{
    const struct kd_api_info *api = kd_api_find(event->seen->message.api);

    if (event->seen->retransmission || event->seen->repeated)
        return;
    if (doctor->reset && event->seen->message.api == KD_API_GET_VERSION) {
        doctor_note(doctor, KDA_VERDICT_DEBUGGER_RESTARTED, doctor->reset,
                    "the debugger RESETs the link and asks for the version anew in frame %" PRIu32,
                    event->frame);
    }
    doctor->reset = 0;
    if (event->seen->message.api == KD_API_CONTINUE ||
        event->seen->message.api == KD_API_CONTINUE2 || event->seen->message.api == KD_API_REBOOT) {
        forgive_stop(doctor, event->time);
        doctor->told = true;
        doctor->stopped = false;
        doctor->left = event->frame;
        doctor->open_request = 0;
    } else if (!api || api->answer == KD_ANSWER_REPLY) {
        doctor->open_request = event->frame;
        doctor->open_api = event->seen->message.api;
    }
}

static void count_refused(struct kda_doctor *doctor, const struct kda_event *event)
{
    const struct kd_message *message = &event->seen->message;
    struct doctor_refused *row = NULL;

    for (size_t i = 0; i < doctor->refused_count && !row; i++)
        if (doctor->refused[i].api == message->api && doctor->refused[i].status == message->status)
            row = &doctor->refused[i];
    if (!row && doctor->refused_count < DOCTOR_REFUSED) {
        row = &doctor->refused[doctor->refused_count++];
        *row = (struct doctor_refused){
            .api = message->api, .status = message->status, .frame = event->frame};
    }
    if (row)
        row->count++;
    doctor->replies_refused++;
}

static void see_reply(struct kda_doctor *doctor, const struct kda_event *event)
{
    if (event->seen->retransmission)
        return;
    doctor->replies++;
    doctor->established = true;
    if (event->seen->peer.frame == doctor->open_request || event->seen->peer.frame == 0)
        doctor->open_request = 0;
    if (event->seen->message.status >= FAILED)
        count_refused(doctor, event);
}

static void see_io(struct kda_doctor *doctor, const struct kda_event *event)
{
    if (event->seen->packet_type != KD_PACKET_DEBUG_IO ||
        event->seen->message.api != KD_API_GET_STRING)
        return;
    doctor->prompt = event->flow == KD_FLOW_TO_DEBUGGER ? event->frame : 0;
}

static void see_message(struct kda_doctor *doctor, const struct kda_event *event)
{
    uint32_t type = event->seen->packet_type;

    if (type == KD_PACKET_STATE_CHANGE64 || type == KD_PACKET_STATE_CHANGE32)
        see_state_change(doctor, event);
    else if (type != KD_PACKET_STATE_MANIPULATE)
        see_io(doctor, event);
    else if (event->flow == KD_FLOW_TO_TARGET)
        see_request(doctor, event);
    else
        see_reply(doctor, event);
}

/* --- packets */

static void note_repetition(struct kda_doctor *doctor, const struct kda_event *event)
{
    bool by_debugger = event->flow == KD_FLOW_TO_TARGET;
    enum kda_verdict verdict;

    if (event->seen->needless)
        verdict = by_debugger ? KDA_VERDICT_ACKS_LOST_TO_DEBUGGER : KDA_VERDICT_ACKS_LOST_TO_TARGET;
    else
        verdict = by_debugger ? KDA_VERDICT_LOST_TO_TARGET : KDA_VERDICT_LOST_TO_DEBUGGER;
    doctor->ends[event->flow].repeats++;
    doctor->ends[event->flow].needless += event->seen->needless;
    if (doctor->established)
        note_finding(doctor, event, KD_FINDING_DUPLICATE, KDA_VERDICT_REPAIRED);
    if (event->seen->repeated || event->seen->invited)
        return;
    doctor_note(doctor, verdict, event->frame, "%s repeats the packet of frame %" PRIu32 "%s",
                doctor_who(event->flow), event->seen->original.frame,
                event->seen->needless ? ", which was acknowledged" : "");
}

static void see_findings(struct kda_doctor *doctor, const struct kda_event *event)
{
    uint64_t findings = event->seen->findings;

    if (KD_HAS(findings, CHECKSUM))
        note_finding(doctor, event, KD_FINDING_CHECKSUM, KDA_VERDICT_CHECKSUM);
    else if (KD_HAS(findings, TRAILER))
        note_finding(doctor, event, KD_FINDING_TRAILER, KDA_VERDICT_CHECKSUM);
    if (KD_HAS(findings, LOST_BYTES))
        note_finding(doctor, event, KD_FINDING_LOST_BYTES, KDA_VERDICT_CHECKSUM);
    doctor->repaired += event->seen->repairs;
    if (KD_HAS(findings, DUPLICATE))
        note_repetition(doctor, event);
    if (KD_HAS(findings, DESYNC))
        note_finding(doctor, event, KD_FINDING_DESYNC, KDA_VERDICT_DESYNC);
    if (KD_HAS(findings, RESTART)) {
        note_finding(doctor, event, KD_FINDING_RESTART, KDA_VERDICT_TARGET_RESTARTED);
        doctor->breakin = 0;
    }
    if (doctor->established && (KD_HAS(findings, RESEND) || KD_HAS(findings, RESET)))
        doctor_note(doctor, KDA_VERDICT_REPAIRED, event->frame, "%s sends %s",
                    doctor_who(event->flow), KD_HAS(findings, RESET) ? "RESET" : "RESEND");
}

static void see_reset(struct kda_doctor *doctor, const struct kda_event *event)
{
    doctor->ends[event->flow].resets++;
    owes(doctor, event, other_flow(event->flow));
    if (event->flow == KD_FLOW_TO_TARGET && doctor->established && !doctor->reset)
        doctor->reset = event->frame;
}

static void see_packet(struct kda_doctor *doctor, const struct kda_event *event)
{
    struct doctor_end *end = &doctor->ends[event->flow];
    uint32_t type = event->seen->packet_type;

    doctor->damaged += (event->packet->flags & KDA_DAMAGED) != 0;
    see_findings(doctor, event);
    if (event->packet->flags & KDA_DAMAGED)
        return;
    end->packets++;
    end->packet_bytes += event->size;
    end->last = event->frame;
    end->last_time = event->time;
    end->first = end->first ? end->first : event->frame;
    end->owes = false;
    if (type == KD_PACKET_RESET)
        see_reset(doctor, event);
    end->resends += type == KD_PACKET_RESEND;
    if (kd_is_control(type))
        return;
    end->data++;
    owes(doctor, event, other_flow(event->flow));
    see_message(doctor, event);
}

static void see_breakin(struct kda_doctor *doctor, const struct kda_event *event)
{
    doctor->breakins++;
    owes(doctor, event, KD_FLOW_TO_DEBUGGER);
    doctor_note(doctor, KDA_VERDICT_BREAKIN_UNANSWERED, event->frame, "break-in%s",
                doctor->stopped ? ", while the target is stopped" : "");
    if (doctor->breakin || (doctor->stopped && !doctor->passing))
        return;
    doctor->breakin = event->frame;
    doctor->breakin_time = event->time;
}

/* --- noise */

static void see_noise(struct kda_doctor *doctor, const struct kda_event *event)
{
    struct doctor_end *end = &doctor->ends[event->flow];
    bool text = kd_is_text(event->bytes, event->size);
    char shown[KD_SPOKE_TEXT];

    if (KD_HAS(event->seen->findings, LOST_BYTES)) {
        note_finding(doctor, event, KD_FINDING_LOST_BYTES, KDA_VERDICT_CHECKSUM);
        doctor->damaged++;
        return;
    }
    end->noise += event->size;
    if (!text) {
        end->binary += event->size;
        doctor_note(doctor, KDA_VERDICT_BAUD, event->frame, "%s: %zu bytes that are no KD packet",
                    doctor_who(event->flow), event->size);
        return;
    }
    end->text += event->size;
    kda_quote(event->bytes, event->size, TEXT_SHOWN, shown, sizeof shown);
    doctor_note(doctor, end->packets ? KDA_VERDICT_TEXT_INSIDE : KDA_VERDICT_BOOT_TEXT,
                event->frame, "%s: \"%s\"", doctor_who(event->flow), shown);
}

/* --- the interface */

static void see_gap(struct kda_doctor *doctor, const struct kda_event *event)
{
    doctor_note(doctor, KDA_VERDICT_GAPS, event->frame, "%" PRIu64 " %s missing", event->missing,
                event->gap == KDA_GAP_BYTES ? "bytes are" : "records are");
}

static void see_never(struct kda_doctor *doctor, const struct kda_event *event)
{
    /* The last request of a capture may still be answered behind its end. */
    if (event->finding == KD_FINDING_UNANSWERED && event->about_frame != doctor->open_request)
        doctor_note(doctor, KDA_VERDICT_REPLY_MISSING, event->about_frame, "never answered");
}

void kda_doctor_event(struct kda_doctor *doctor, const struct kda_event *event)
{
    doctor->events++;
    if (!doctor->first_time)
        doctor->first_time = event->time;
    if (event->time > doctor->last_time)
        doctor->last_time = event->time;
    doctor->last_frame = event->frame;
    switch (event->kind) {
    case KDA_PACKET:
        see_packet(doctor, event);
        see_storm(doctor, event);
        break;
    case KDA_BREAKIN:
        see_breakin(doctor, event);
        break;
    case KDA_NOISE:
        see_noise(doctor, event);
        see_storm(doctor, event);
        break;
    case KDA_DATAGRAM:
        doctor_datagram(doctor, event);
        break;
    case KDA_GAP:
        see_gap(doctor, event);
        break;
    case KDA_NEVER:
        see_never(doctor, event);
        break;
    }
}
