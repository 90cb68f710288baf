/* doctor_judge.c - diagnoses from what the doctor heard. See doctor.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Rules go from the bottom up: is there anything at all, can it be read, do both ends speak, does
 * the link carry packets, what became of the session. Each rule that holds adds a diagnosis.
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SECOND UINT64_C(1000000000)

#define BINARY_LEAST  32u /* bytes of noise that speak for a wrong baud rate */
#define NEEDLESS_MOST 2u  /* repetitions of acknowledged packets that happen on any link */
#define LOST_SHARE    20u /* one packet in so many repeated: worth a warning */
#define LOST_LEAST    3u
#define REFUSED_LEAST 20u
#define REFUSED_SHARE 90u /* per cent */
#define MIRRORED      40u /* per cent of datagrams that are copies */

struct judging {
    const struct kda_doctor *doctor;
    uint64_t now;
    bool young; /* live, and so short that an end may still speak up */
    struct kda_report *report;
};

#if defined(__GNUC__) && !defined(__clang__)
#define DETAIL_PRINTF __attribute__((format(gnu_printf, 4, 5)))
#elif defined(__GNUC__)
#define DETAIL_PRINTF __attribute__((format(printf, 4, 5)))
#else
#define DETAIL_PRINTF
#endif

/* Adds a diagnosis with what was collected for it. */
static void add(struct judging *j, enum kda_verdict verdict, enum kda_gravity gravity,
                const char *format, ...) DETAIL_PRINTF;

static void add(struct judging *j, enum kda_verdict verdict, enum kda_gravity gravity,
                const char *format, ...)
{
    const struct doctor_case *found = &j->doctor->cases[verdict];
    struct kda_diagnosis *diagnosis;
    va_list arguments;

    if (j->report->count == KDA_VERDICTS)
        return;
    diagnosis = &j->report->list[j->report->count++];
    diagnosis->verdict = verdict;
    diagnosis->gravity = gravity;
    diagnosis->count = found->count;
    diagnosis->first = found->first;
    diagnosis->last = found->last;
    diagnosis->evidence_count = found->evidence_count;
    memcpy(diagnosis->evidence, found->evidence, sizeof diagnosis->evidence);
    va_start(arguments, format);
    vsnprintf(diagnosis->detail, sizeof diagnosis->detail, format, arguments);
    va_end(arguments);
}

/* Goes on with the newest diagnosis' detail, over its full stop. */
static void add_last_frame(struct judging *j, uint32_t frame)
{
    char *detail = j->report->list[j->report->count - 1].detail;
    size_t used = strlen(detail);

    if (used)
        used--;
    snprintf(detail + used, KDA_DETAIL_SIZE - used, " to %" PRIu32 ".", frame);
}

static enum kda_gravity usual(enum kda_verdict verdict)
{
    return kda_verdicts[verdict].gravity;
}

static const struct doctor_case *case_of(const struct judging *j, enum kda_verdict verdict)
{
    return &j->doctor->cases[verdict];
}

/* The common form: so many, in these frames. what: "packet| of it", with an s at the bar unless it
 * is one. */
static void add_counted(struct judging *j, enum kda_verdict verdict, const char *what)
{
    const struct doctor_case *found = case_of(j, verdict);
    int bar = (int)strcspn(what, "|");

    if (found->count == 0)
        return;
    add(j, verdict, usual(verdict), "%" PRIu64 " %.*s%s%s, in frame%s %" PRIu32 ".", found->count,
        bar, what, found->count == 1 ? "" : "s", what[bar] ? what + bar + 1 : "",
        found->first == found->last ? "" : "s", found->first);
    if (found->first != found->last)
        add_last_frame(j, found->last);
}

static const struct doctor_end *debugger(const struct judging *j)
{
    return &j->doctor->ends[KD_FLOW_TO_TARGET];
}

static const struct doctor_end *target(const struct judging *j)
{
    return &j->doctor->ends[KD_FLOW_TO_DEBUGGER];
}

/* --- is there anything */

static bool is_binary(const struct doctor_end *end)
{
    return end->binary >= BINARY_LEAST && end->binary > end->packet_bytes &&
           end->binary > 4 * end->text;
}

static bool judge_baud(struct judging *j)
{
    for (int i = 0; i < 3; i++) {
        const struct doctor_end *end = &j->doctor->ends[i];

        if (!is_binary(end))
            continue;
        add(j, KDA_VERDICT_BAUD, KDA_GRAVITY_FAULT,
            "%" PRIu64 " bytes of %s are neither packets nor text; %" PRIu64
            " packets could be read.",
            end->binary, doctor_who((enum kd_flow)i), end->packets);
        return true;
    }
    return false;
}

/* Returns false when there is no session to speak of. */
static bool judge_ends(struct judging *j)
{
    const struct doctor_end *from_debugger = debugger(j), *from_target = target(j);
    uint64_t asked = from_debugger->packets + j->doctor->breakins;
    uint64_t heard = from_target->packets + from_target->noise;

    if (judge_baud(j))
        return false;
    if (j->young)
        return true;
    if (asked == 0 && heard == 0 && j->doctor->ends[KD_FLOW_UNKNOWN].packets == 0 &&
        from_debugger->noise == 0) {
        if (j->doctor->net.datagrams == 0)
            add(j, KDA_VERDICT_EMPTY, KDA_GRAVITY_FAULT, "%s.",
                j->doctor->events ? "Not one packet" : "Not one byte");
        return false;
    }
    if (from_target->packets == 0 && from_target->text > 0) {
        add(j, KDA_VERDICT_CONSOLE, KDA_GRAVITY_FAULT,
            "%" PRIu64 " bytes of text came from it, and no packet.", from_target->text);
        j->report->list[j->report->count - 1].evidence_count =
            case_of(j, KDA_VERDICT_BOOT_TEXT)->evidence_count;
        memcpy(j->report->list[j->report->count - 1].evidence,
               case_of(j, KDA_VERDICT_BOOT_TEXT)->evidence, sizeof j->report->list[0].evidence);
        return false;
    }
    if (heard == 0 && asked > 0) {
        add(j, KDA_VERDICT_TARGET_SILENT, KDA_GRAVITY_FAULT,
            "The debugger sent %" PRIu64 " packets (%" PRIu64 " RESET) and %" PRIu64
            " break-ins, and heard not one byte.",
            from_debugger->packets, from_debugger->resets, j->doctor->breakins);
        return false;
    }
    if (asked == 0 && from_debugger->noise == 0 && from_target->packets > 0) {
        add(j, KDA_VERDICT_DEBUGGER_SILENT, KDA_GRAVITY_FAULT,
            "The target sent %" PRIu64 " packets (%" PRIu64
            " of them repeated), from frame %" PRIu32 " on, and heard not one byte.",
            from_target->packets, from_target->repeats, from_target->first);
        return false;
    }
    return true;
}

/* --- KDNET */

/* Datagrams that no key opened before one of the others was opened. */
static void add_as(struct judging *j, enum kda_verdict verdict, const struct doctor_case *found)
{
    struct kda_diagnosis *diagnosis;

    add(j, verdict, usual(verdict),
        "%" PRIu64 " control datagrams, in frames %" PRIu32 " to %" PRIu32
        ", fit none of the keys that were given; others do.",
        found->count, found->first, found->last);
    diagnosis = &j->report->list[j->report->count - 1];
    diagnosis->count = found->count;
    diagnosis->first = found->first;
    diagnosis->last = found->last;
    diagnosis->evidence_count = found->evidence_count;
    memcpy(diagnosis->evidence, found->evidence, sizeof diagnosis->evidence);
}

static void judge_sealed(struct judging *j)
{
    const struct kda_doctor *doctor = j->doctor;
    const struct doctor_case *wrong = case_of(j, KDA_VERDICT_NET_WRONG_KEY);

    if (case_of(j, KDA_VERDICT_NET_NO_KEY)->count && !doctor->net.opened)
        add(j, KDA_VERDICT_NET_NO_KEY, KDA_GRAVITY_FAULT, "%" PRIu64 " datagrams are sealed%s.",
            doctor->net.datagrams,
            doctor->net.two_sources ? "" : "; all come from one end, the other does not answer");
    if (wrong->count && !doctor->net.opened)
        add(j, KDA_VERDICT_NET_WRONG_KEY, KDA_GRAVITY_FAULT,
            "The tag of none of the %" PRIu64 " control datagrams fits the key%s.", wrong->count,
            doctor->net.two_sources ? "" : "; nobody answers them");
    if (wrong->count && doctor->net.opened)
        add_as(j, KDA_VERDICT_NET_OTHER_KEY, wrong);
    else
        add_counted(j, KDA_VERDICT_NET_OTHER_KEY, "control datagram");
    if (case_of(j, KDA_VERDICT_NET_NO_EXCHANGE)->count && !(wrong->count && !doctor->net.opened))
        add(j, KDA_VERDICT_NET_NO_EXCHANGE,
            doctor->net.responses ? KDA_GRAVITY_WARNING : KDA_GRAVITY_FAULT,
            "%" PRIu64 " data datagrams from frame %" PRIu32
            " on cannot be opened: the response that says their key came before the capture.",
            case_of(j, KDA_VERDICT_NET_NO_EXCHANGE)->count,
            case_of(j, KDA_VERDICT_NET_NO_EXCHANGE)->first);
}

static void judge_exchange(struct judging *j)
{
    const struct doctor_net *net = &j->doctor->net;

    if (net->pokes && !net->responses && !net->debugger_data)
        add(j, KDA_VERDICT_NET_NO_RESPONSE, KDA_GRAVITY_FAULT,
            "%" PRIu64 " offers from frame %" PRIu32 " on, no answer.", net->pokes,
            net->first_poke);
    if (net->responses && !net->target_data)
        add(j, KDA_VERDICT_NET_RESPONSE_LOST, KDA_GRAVITY_FAULT,
            "%" PRIu64 " answers, but no data of the target; it offered %" PRIu64 " times.",
            net->responses, net->pokes);
    if (net->empty && !net->pokes)
        add(j, KDA_VERDICT_TARGET_SILENT, KDA_GRAVITY_FAULT,
            "The debugger asked the target's address %" PRIu64 " times for an offer.", net->empty);
}

static void judge_net(struct judging *j)
{
    const struct doctor_net *net = &j->doctor->net;
    uint64_t data = net->target_data + net->debugger_data;
    uint64_t share = data ? 100 * net->copies / data : 0;

    if (net->datagrams == 0)
        return;
    judge_sealed(j);
    judge_exchange(j);
    add_counted(j, KDA_VERDICT_NET_VERSION, "datagram");
    add_counted(j, KDA_VERDICT_NET_ADDRESS, "offer");
    add_counted(j, KDA_VERDICT_NET_TAKEN_OVER, "new session");
    add_counted(j, KDA_VERDICT_NET_TAG, "datagram");
    if (share >= MIRRORED)
        add(j, KDA_VERDICT_NET_MIRRORED, KDA_GRAVITY_NOTE,
            "%" PRIu64 " of %" PRIu64 " datagrams of data are copies of the one before.",
            net->copies, data);
    else
        add_counted(j, KDA_VERDICT_NET_LATE, "datagram| that the receiver drops");
    add_counted(j, KDA_VERDICT_NET_LOST, "gap| in the sequence numbers");
    add_counted(j, KDA_VERDICT_NET_REFLECTED, "datagram");
    add_counted(j, KDA_VERDICT_NET_JUNK, "datagram");
}

/* --- storms */

static void who_repeats(const struct doctor_storm *storm, char *out, size_t room)
{
    int used = snprintf(out, room,
                        "the debugger sent %" PRIu64 " RESET and %" PRIu64
                        " RESEND, the target %" PRIu64 " RESET and %" PRIu64 " RESEND",
                        storm->resets[KD_FLOW_TO_TARGET], storm->resends[KD_FLOW_TO_TARGET],
                        storm->resets[KD_FLOW_TO_DEBUGGER], storm->resends[KD_FLOW_TO_DEBUGGER]);

    if (used > 0 && (size_t)used < room && storm->repeats[KD_FLOW_TO_DEBUGGER])
        used += snprintf(out + used, room - (size_t)used,
                         "; the target repeated the packet of frame %" PRIu32 " %" PRIu64 " times",
                         storm->stop, storm->repeats[KD_FLOW_TO_DEBUGGER]);
    if (used > 0 && (size_t)used < room && storm->api)
        snprintf(out + used, room - (size_t)used, "; the debugger's %s gets no further",
                 doctor_api_name(storm->api));
}

static void judge_storms(struct judging *j)
{
    static const enum kda_verdict verdicts[] = {[KD_STORM_RESET] = KDA_VERDICT_RESET_STORM,
                                                [KD_STORM_RESEND] = KDA_VERDICT_RESEND_STORM,
                                                [KD_STORM_CONSOLE] = KDA_VERDICT_CONSOLE_STORM};
    const struct doctor_storm *storm = &j->doctor->storm;
    bool on = storm->kind != KD_STORM_NONE && j->now - storm->last_time <= KD_STORM_CALM;
    char repeats[240];

    for (int kind = KD_STORM_RESET; kind <= KD_STORM_CONSOLE; kind++) {
        const struct doctor_case *found = case_of(j, verdicts[kind]);

        if (found->count == 0)
            continue;
        if (storm->kind != (enum kd_storm)kind) {
            add(j, verdicts[kind], KDA_GRAVITY_WARNING, "It began in frame %" PRIu32 " and ended.",
                found->first);
            continue;
        }
        who_repeats(storm, repeats, sizeof repeats);
        add(j, verdicts[kind], on ? KDA_GRAVITY_FAULT : KDA_GRAVITY_WARNING,
            "It begins in frame %" PRIu32 " and %s frame %" PRIu32 ": %s.", storm->first,
            on ? "is still on in" : "ends in", storm->last, repeats);
        j->report->list[j->report->count - 1].last = storm->last;
    }
}

static bool storm_is_on(const struct judging *j)
{
    for (size_t i = 0; i < j->report->count; i++)
        if (j->report->list[i].gravity == KDA_GRAVITY_FAULT &&
            (j->report->list[i].verdict == KDA_VERDICT_RESET_STORM ||
             j->report->list[i].verdict == KDA_VERDICT_RESEND_STORM ||
             j->report->list[i].verdict == KDA_VERDICT_CONSOLE_STORM))
            return true;
    return false;
}

/* --- the link */

static bool is_silent(const struct judging *j, const struct doctor_end *end)
{
    return end->owes && j->now > end->owes_since && j->now - end->owes_since >= KD_SILENT;
}

static void judge_silence(struct judging *j)
{
    const struct kda_doctor *doctor = j->doctor;
    const struct doctor_end *owing = target(j);

    if (doctor->breakin && !doctor->stopped && j->now > doctor->breakin_time &&
        j->now - doctor->breakin_time >= KD_SILENT)
        add(j, KDA_VERDICT_BREAKIN_UNANSWERED, KDA_GRAVITY_FAULT,
            "The break-in of frame %" PRIu32 " had no stop after %" PRIu64 " s.", doctor->breakin,
            (j->now - doctor->breakin_time) / SECOND);
    else if (is_silent(j, owing))
        add(j, KDA_VERDICT_TARGET_GONE, KDA_GRAVITY_FAULT,
            "Nothing from it since frame %" PRIu32 ", though frame %" PRIu32
            " wants an answer; %" PRIu64 " s passed.",
            owing->last, owing->owes_frame, (j->now - owing->owes_since) / SECOND);
    owing = debugger(j);
    if (is_silent(j, owing))
        add(j, KDA_VERDICT_DEBUGGER_GONE, KDA_GRAVITY_FAULT,
            "Nothing from it since frame %" PRIu32 ", though frame %" PRIu32
            " wants an answer; %" PRIu64 " s passed.",
            owing->last, owing->owes_frame, (j->now - owing->owes_since) / SECOND);
}

static void judge_acks(struct judging *j)
{
    static const struct {
        enum kd_flow flow;
        enum kda_verdict acks, packets;
    } rows[] = {
        {KD_FLOW_TO_DEBUGGER, KDA_VERDICT_ACKS_LOST_TO_TARGET, KDA_VERDICT_LOST_TO_DEBUGGER},
        {KD_FLOW_TO_TARGET, KDA_VERDICT_ACKS_LOST_TO_DEBUGGER, KDA_VERDICT_LOST_TO_TARGET},
    };

    for (size_t i = 0; i < 2; i++) {
        const struct doctor_end *end = &j->doctor->ends[rows[i].flow];
        const struct doctor_case *lost = case_of(j, rows[i].packets);

        if (end->needless > NEEDLESS_MOST)
            add(j, rows[i].acks, KDA_GRAVITY_WARNING,
                "%" PRIu64 " packets of %s were sent again although their ACK had passed.",
                end->needless, doctor_who(rows[i].flow));
        if (lost->count >= LOST_LEAST && lost->count * LOST_SHARE >= end->data)
            add(j, rows[i].packets, KDA_GRAVITY_WARNING,
                "%" PRIu64 " of the %" PRIu64 " packets of %s are repetitions without an ACK.",
                lost->count, end->data, doctor_who(rows[i].flow));
    }
}

static void judge_link(struct judging *j)
{
    bool stormy = storm_is_on(j);

    if (!stormy)
        judge_silence(j);
    if (!stormy)
        judge_acks(j);
    if (case_of(j, KDA_VERDICT_CHECKSUM)->count)
        add(j, KDA_VERDICT_CHECKSUM, KDA_GRAVITY_WARNING,
            "%" PRIu64 " packets arrived damaged, from frame %" PRIu32 " on; %" PRIu64
            " of them were sent again whole.",
            case_of(j, KDA_VERDICT_CHECKSUM)->count, case_of(j, KDA_VERDICT_CHECKSUM)->first,
            j->doctor->repaired);
    if (!stormy)
        add_counted(j, KDA_VERDICT_DESYNC, "packet");
    add_counted(j, KDA_VERDICT_TEXT_INSIDE, "piece| of text");
    add_counted(j, KDA_VERDICT_TARGET_RESTARTED, "time");
    if (!stormy)
        add_counted(j, KDA_VERDICT_DEBUGGER_RESTARTED, "time");
    if (!stormy)
        add_counted(j, KDA_VERDICT_REPLY_MISSING, "request");
    add_counted(j, KDA_VERDICT_GAPS, "hole");
    add_counted(j, KDA_VERDICT_TARGET_BUSY, "break-in");
    if (!stormy)
        add_counted(j, KDA_VERDICT_REPAIRED, "packet| of that kind");
    if (target(j)->packets)
        add_counted(j, KDA_VERDICT_BOOT_TEXT, "piece| of text");
}

/* --- the session */

static void judge_refused(struct judging *j)
{
    const struct kda_doctor *doctor = j->doctor;
    struct kda_diagnosis *diagnosis;
    bool all = doctor->replies >= REFUSED_LEAST &&
               doctor->replies_refused * 100 >= doctor->replies * REFUSED_SHARE;
    enum kda_verdict verdict = all ? KDA_VERDICT_REFUSES_ALL : KDA_VERDICT_REFUSED;

    if (doctor->replies_refused == 0)
        return;
    add(j, verdict, usual(verdict), "%" PRIu64 " of %" PRIu64 " replies say so.",
        doctor->replies_refused, doctor->replies);
    diagnosis = &j->report->list[j->report->count - 1];
    diagnosis->count = doctor->replies_refused;
    for (size_t i = 0; i < doctor->refused_count && i < KDA_EVIDENCE; i++) {
        const struct doctor_refused *row = &doctor->refused[i];
        const char *name = kd_value_name(KD_SET_ID_ntstatus, row->status);

        diagnosis->evidence[i].frame = row->frame;
        snprintf(diagnosis->evidence[i].text, sizeof diagnosis->evidence[i].text,
                 "%s: 0x%08" PRIx32 "%s%s, %" PRIu64 " time%s", doctor_api_name(row->api),
                 row->status, name ? " " : "", name ? name : "", row->count,
                 row->count == 1 ? "" : "s");
        diagnosis->evidence_count = i + 1;
    }
    diagnosis->first = doctor->refused[0].frame;
}

static void judge_state(struct judging *j)
{
    const struct kda_doctor *doctor = j->doctor;

    if (!doctor->told)
        return;
    if (!doctor->stopped)
        add(j, KDA_VERDICT_RUNNING, KDA_GRAVITY_STATE, "Since frame %" PRIu32 ".", doctor->left);
    else if (doctor->prompt > doctor->stop)
        add(j, KDA_VERDICT_PROMPT, KDA_GRAVITY_STATE, "It asks in frame %" PRIu32 ".",
            doctor->prompt);
    else if (doctor->open_request)
        add(j, KDA_VERDICT_WAITS_FOR_TARGET, KDA_GRAVITY_STATE,
            "Stopped in frame %" PRIu32 " by %s; %s of frame %" PRIu32 " has no reply.",
            doctor->stop, doctor->stop_text, doctor_api_name(doctor->open_api),
            doctor->open_request);
    else
        add(j, KDA_VERDICT_WAITS_FOR_DEBUGGER, KDA_GRAVITY_STATE,
            "Stopped in frame %" PRIu32 " by %s; nothing is left unanswered.", doctor->stop,
            doctor->stop_text);
}

/* The gravest first; within a gravity as in the table. */
static void sort(struct kda_report *report)
{
    for (size_t i = 1; i < report->count; i++) {
        for (size_t k = i; k > 0; k--) {
            struct kda_diagnosis *a = &report->list[k - 1], *b = &report->list[k], swap;

            if (a->gravity > b->gravity || (a->gravity == b->gravity && a->verdict <= b->verdict))
                break;
            swap = *a;
            *a = *b;
            *b = swap;
        }
    }
}

bool kda_report_is_healthy(const struct kda_report *report)
{
    for (size_t i = 0; i < report->count; i++)
        if (report->list[i].gravity >= KDA_GRAVITY_WARNING)
            return false;
    return true;
}

/* The verdict of a link that has nothing wrong stands first. */
static void add_healthy(struct judging *j)
{
    struct kda_report *report = j->report;
    struct kda_diagnosis healthy;

    if (!kda_report_is_healthy(report))
        return;
    add(j, KDA_VERDICT_HEALTHY, KDA_GRAVITY_STATE,
        "%" PRIu64 " packets of the debugger and %" PRIu64 " of the target, %" PRIu64
        " requests answered.",
        debugger(j)->packets, target(j)->packets, j->doctor->replies);
    healthy = report->list[report->count - 1];
    memmove(report->list + 1, report->list, (report->count - 1) * sizeof healthy);
    report->list[0] = healthy;
}

void kda_doctor_judge(const struct kda_doctor *doctor, uint64_t now, struct kda_report *report)
{
    struct judging j = {.doctor = doctor,
                        .now = now ? now : doctor->last_time,
                        .young = now && now - doctor->first_time < KD_SILENT,
                        .report = report};

    memset(report, 0, sizeof *report);
    judge_net(&j);
    if (judge_ends(&j)) {
        judge_storms(&j);
        judge_link(&j);
        judge_refused(&j);
        add_counted(&j, KDA_VERDICT_EXCEPTIONS, "time");
        add_counted(&j, KDA_VERDICT_STOPS, "time");
        judge_state(&j);
    }
    sort(report);
    add_healthy(&j);
}
