/* doctor_net.c - the doctor hears of KDNET's datagrams. See doctor.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "doctor.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "analysis/findings.h"
#include "kd/protocol.h"

#define END_TEXT 64u

/* "192.0.2.1:50000" or "[2001:db8:0:0:0:0:0:1]:50000" */
static void end_text(const struct kda_end *end, char out[END_TEXT])
{
    const uint8_t *at = end->address;
    size_t used = 0;

    if (end->address_size == 4) {
        snprintf(out, END_TEXT, "%u.%u.%u.%u:%u", at[0], at[1], at[2], at[3], end->port);
        return;
    }
    if (end->address_size != 16) {
        snprintf(out, END_TEXT, "an unknown address");
        return;
    }
    used = (size_t)snprintf(out, END_TEXT, "[");
    for (size_t i = 0; i < 8; i++)
        used += (size_t)snprintf(out + used, END_TEXT - used, "%x%s",
                                 (unsigned)(at[2 * i] << 8 | at[2 * i + 1]), i < 7 ? ":" : "");
    snprintf(out + used, END_TEXT - used, "]:%u", end->port);
}

static bool is_mapped(const uint8_t address[16])
{
    static const uint8_t prefix[12] = {[10] = 0xFF, [11] = 0xFF};

    return !memcmp(address, prefix, sizeof prefix);
}

/* An address of a poke: IPv4 is written as ::ffff:a.b.c.d. */
static struct kda_end end_of(const kd_u8 *address, const kd_be16 port)
{
    struct kda_end end = {.address_size = 16, .port = kd_get_be16(port)};
    uint8_t bytes[16];

    memcpy(bytes, address, sizeof bytes);
    if (is_mapped(bytes)) {
        end.address_size = 4;
        memcpy(end.address, bytes + 12, 4);
    } else {
        memcpy(end.address, bytes, sizeof bytes);
    }
    return end;
}

/* Zero, 255.255.255.255 and 169.254.255.255 stand for "whoever it is". */
static bool is_wildcard(const struct kda_end *end)
{
    static const uint8_t all[4] = {255, 255, 255, 255}, local[4] = {169, 254, 255, 255};
    unsigned sum = 0;

    for (size_t i = 0; i < end->address_size; i++)
        sum += end->address[i];
    return sum == 0 || (end->address_size == 4 && (!memcmp(end->address, all, sizeof all) ||
                                                   !memcmp(end->address, local, sizeof local)));
}

static bool same_address(const struct kda_end *a, const struct kda_end *b)
{
    return a->address_size == b->address_size && !memcmp(a->address, b->address, a->address_size);
}

static void compare_address(struct kda_doctor *doctor, const struct kda_event *event,
                            const char *what, const struct kda_end *said,
                            const struct kda_end *seen)
{
    char said_text[END_TEXT], seen_text[END_TEXT];

    if (is_wildcard(said) || same_address(said, seen))
        return;
    end_text(said, said_text);
    end_text(seen, seen_text);
    doctor_note(doctor, KDA_VERDICT_NET_ADDRESS, event->frame,
                "the offer names the %s %s, the datagram says %s", what, said_text, seen_text);
}

static void see_poke(struct kda_doctor *doctor, const struct kda_event *event)
{
    const struct kda_datagram *datagram = event->datagram;
    const struct kd_kdnet_poke *poke = (const struct kd_kdnet_poke *)datagram->body;
    struct doctor_net *net = &doctor->net;
    struct kda_end said;
    char text[END_TEXT];

    if (!net->pokes++)
        net->first_poke = event->frame;
    net->offered = true;
    end_text(&datagram->source, text);
    if (KD_HAS(datagram->findings, NET_RESTART)) {
        net->boot_changed = true;
        doctor_note(doctor, KDA_VERDICT_TARGET_RESTARTED, event->frame,
                    "the offer of %s is of a new boot", text);
    }
    doctor_note(doctor, KDA_VERDICT_NET_NO_RESPONSE, event->frame, "%s offers a session", text);
    if (!poke || datagram->body_size < sizeof *poke)
        return;
    said = end_of(poke->debugger_address, poke->debugger_port);
    compare_address(doctor, event, "debugger", &said, &datagram->destination);
    said = end_of(poke->target_address, poke->target_port);
    compare_address(doctor, event, "target", &said, &datagram->source);
}

static void see_response(struct kda_doctor *doctor, const struct kda_event *event)
{
    struct doctor_net *net = &doctor->net;
    char text[END_TEXT];

    net->responses++;
    net->responses_unheard++;
    end_text(&event->datagram->source, text);
    doctor_note(doctor, KDA_VERDICT_NET_RESPONSE_LOST, event->frame, "%s answers", text);
    /* Each of several offers in a row has an answer, and nobody took anything over. */
    if (event->datagram->new_key && net->last_response && net->target_data && net->offered &&
        !net->boot_changed)
        doctor_note(doctor, KDA_VERDICT_NET_TAKEN_OVER, event->frame,
                    "%s opens a new session; the one before began in frame %" PRIu32, text,
                    net->last_response);
    net->offered = false;
    if (event->datagram->new_key) {
        net->last_response = event->frame;
        net->boot_changed = false;
        /* The link begins anew, with RESET and all. */
        doctor->established = doctor->stopped = doctor->told = false;
        doctor->reset = doctor->open_request = doctor->prompt = 0;
    }
}

/* Data with the number of that before it is a copy. Of offers that says nothing: Windows' boot
 * debugger gives the same number to one after the other, each with a nonce of its own. */
static void see_sequence(struct kda_doctor *doctor, const struct kda_datagram *datagram)
{
    struct doctor_net *net = &doctor->net;
    uint64_t *newest = &net->sequence[datagram->from_debugger];

    if (datagram->control)
        return;
    net->copies += *newest && datagram->sequence == *newest;
    *newest = datagram->sequence;
}

const char *kda_datagram_text(enum kd_finding finding, const struct kda_datagram *datagram,
                              char *out)
{
    const struct kda_net_facts facts = {
        .version = datagram->version,
        .sequence = datagram->sequence,
        .missing = datagram->highest < datagram->sequence
                       ? (datagram->sequence - datagram->highest - 1) /
                             (datagram->version == 1 && datagram->from_debugger ? 2 : 1)
                       : 0,
        .size = datagram->size,
        .magic = datagram->kind != KDA_DATAGRAM_JUNK};

    return kda_net_finding_text(finding, &facts, out);
}

static void note_datagram(struct kda_doctor *doctor, const struct kda_event *event,
                          enum kda_verdict verdict, const char *what)
{
    char text[END_TEXT];

    end_text(&event->datagram->source, text);
    doctor_note(doctor, verdict, event->frame, "%s: %.160s", text, what);
}

static void see_findings(struct kda_doctor *doctor, const struct kda_event *event)
{
    static const struct {
        enum kd_finding finding;
        enum kda_verdict verdict;
    } rows[] = {
        {KD_FINDING_NET_NO_KEY, KDA_VERDICT_NET_NO_KEY},
        {KD_FINDING_NET_WRONG_KEY, KDA_VERDICT_NET_WRONG_KEY},
        {KD_FINDING_NET_HMAC, KDA_VERDICT_NET_TAG},
        {KD_FINDING_NET_NO_SESSION, KDA_VERDICT_NET_NO_EXCHANGE},
        {KD_FINDING_NET_VERSION, KDA_VERDICT_NET_VERSION},
        {KD_FINDING_NET_BAD_DATAGRAM, KDA_VERDICT_NET_JUNK},
        {KD_FINDING_NET_FLAGS, KDA_VERDICT_NET_JUNK},
        {KD_FINDING_NET_BODY, KDA_VERDICT_NET_JUNK},
        {KD_FINDING_NET_PAD, KDA_VERDICT_NET_TAG},
        {KD_FINDING_NET_DIRECTION, KDA_VERDICT_NET_REFLECTED},
        {KD_FINDING_NET_REPLAY, KDA_VERDICT_NET_LATE},
        {KD_FINDING_NET_GAP, KDA_VERDICT_NET_LOST},
        {KD_FINDING_NET_TRUNCATED, KDA_VERDICT_GAPS},
    };
    char text[KDA_FINDING_TEXT_SIZE];

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (event->datagram->findings >> rows[i].finding & 1)
            note_datagram(doctor, event,
                          rows[i].verdict == KDA_VERDICT_NET_TAG && event->datagram->control
                              ? KDA_VERDICT_NET_OTHER_KEY
                              : rows[i].verdict,
                          kda_datagram_text(rows[i].finding, event->datagram, text));
}

void doctor_datagram(struct kda_doctor *doctor, const struct kda_event *event)
{
    const struct kda_datagram *datagram = event->datagram;
    struct doctor_net *net = &doctor->net;

    net->datagrams++;
    if (net->datagrams == 1)
        net->first_source = datagram->source;
    net->two_sources = net->two_sources || !same_address(&net->first_source, &datagram->source) ||
                       net->first_source.port != datagram->source.port;
    see_findings(doctor, event);
    if (!datagram->opened) {
        net->sealed_control += datagram->control;
        net->sealed_data += !datagram->control;
        return;
    }
    net->opened++;
    see_sequence(doctor, datagram);
    net->duplicates += datagram->kind == KDA_DATAGRAM_DUPLICATE;
    net->empty += datagram->kind == KDA_DATAGRAM_EMPTY;
    if (datagram->kind == KDA_DATAGRAM_POKE)
        see_poke(doctor, event);
    else if (datagram->kind == KDA_DATAGRAM_RESPONSE)
        see_response(doctor, event);
    else if (!datagram->control && datagram->from_debugger)
        net->debugger_data++;
    else if (!datagram->control) {
        net->target_data++;
        net->responses_unheard = 0;
    }
}
