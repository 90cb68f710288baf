/* findings.c - the sentences of findings. See analysis/findings.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "analysis/findings.h"

#include <inttypes.h>
#include <stdio.h>

#include "kd/describe.h"

#define NOISE_TEXT_MOST 60u

size_t kda_quote(const uint8_t *bytes, size_t size, size_t most, char *out, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    size_t used = 0, shown;

    while (size > 0 && (bytes[size - 1] == '\n' || bytes[size - 1] == '\r' || !bytes[size - 1]))
        size--;
    shown = size < most ? size : most;
    for (size_t i = 0; i < shown && used + 8 < room; i++) {
        if (bytes[i] == '\r')
            continue;
        if (bytes[i] >= 0x20 && bytes[i] <= 0x7E) {
            out[used++] = (char)bytes[i];
            continue;
        }
        out[used++] = '\\';
        out[used++] = bytes[i] == '\n' ? 'n' : 'x';
        if (bytes[i] != '\n') {
            out[used++] = digits[bytes[i] >> 4];
            out[used++] = digits[bytes[i] & 15];
        }
    }
    for (int i = 0; i < 3 && size > shown && used + 1 < room; i++)
        out[used++] = '.';
    out[used] = '\0';
    return used;
}

static const char *status_text(const char *who, uint32_t status, char *out)
{
    const char *name = kd_value_name(KD_SET_ID_ntstatus, status);

    snprintf(out, KDA_FINDING_TEXT_SIZE, "The %s answers 0x%08" PRIx32 "%s%s", who, status,
             name ? " " : "", name ? name : "");
    return out;
}

static const char *noise_text(const struct kd_passing *passing, char *out)
{
    size_t size = passing->frame->size;
    char text[4 * NOISE_TEXT_MOST + 16] = "";
    bool quoted = kd_is_text(passing->bytes, size);

    if (quoted)
        kda_quote(passing->bytes, size, NOISE_TEXT_MOST, text, sizeof text);
    snprintf(out, KDA_FINDING_TEXT_SIZE, "%zu byte%s no KD packet%s%s%s", size,
             size == 1 ? " that is" : "s that are", quoted ? ": \"" : "", text, quoted ? "\"" : "");
    return out;
}

static const char *exception_text(const struct kd_passing *passing, const struct kd_seen *seen,
                                  char *out)
{
    size_t at =
        KD_HEADER_SIZE + (seen->packet_type == KD_PACKET_STATE_CHANGE64 ? KD_STATE_CHANGE_UNION
                                                                        : KD_STATE_CHANGE32_UNION);
    uint32_t code = kd_get32(*(const kd_u32 *)(passing->bytes + at));
    const char *name = kd_value_name(KD_SET_ID_ntstatus, code);

    snprintf(out, KDA_FINDING_TEXT_SIZE, "Exception 0x%08" PRIx32 "%s%s", code, name ? " " : "",
             name ? name : "");
    return out;
}

static const char *storm_text(enum kd_finding finding, const struct kd_passing *passing,
                              const struct kd_seen *seen, char *out)
{
    const char *who = passing->flow == KD_FLOW_TO_TARGET ? "debugger" : "target";

    if (finding == KD_FINDING_RESET_STORM)
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "RESET storm: both ends RESET each other, %u times within a second, since frame "
                 "%" PRIu32,
                 KD_STORM_COUNT, seen->storm_since.frame);
    else if (finding == KD_FINDING_RESEND_STORM)
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "RESEND storm: the %s asks again and again, %u times within a second, since frame "
                 "%" PRIu32,
                 who, KD_STORM_COUNT, seen->storm_since.frame);
    else
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "Text of the target makes the debugger RESET, %u times within a second, since "
                 "frame %" PRIu32,
                 KD_STORM_COUNT, seen->storm_since.frame);
    return out;
}

static const char *repetition_text(const struct kd_seen *seen, char *out)
{
    if (seen->retransmission)
        snprintf(out, KDA_FINDING_TEXT_SIZE, "Retransmission of the packet in frame %" PRIu32,
                 seen->original.frame);
    else
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "The unanswered request of frame %" PRIu32 " again, as a new packet",
                 seen->original.frame);
    return out;
}

const char *kda_finding_text(enum kd_finding finding, const struct kd_passing *passing,
                             const struct kd_seen *seen, char out[KDA_FINDING_TEXT_SIZE])
{
    const struct kd_message *message = &seen->message;

    switch (finding) {
    case KD_FINDING_CHECKSUM:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "Wrong checksum: the payload's sum is 0x%08" PRIx32,
                 passing->frame->checksum);
        return out;
    case KD_FINDING_NOISE:
        return noise_text(passing, out);
    case KD_FINDING_DUPLICATE:
        return repetition_text(seen, out);
    case KD_FINDING_DESYNC:
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "PacketId is 0x%08" PRIx32 ", 0x%08" PRIx32 " would follow", seen->id,
                 seen->expected_id);
        return out;
    case KD_FINDING_UNACKNOWLEDGED:
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "The packet in frame %" PRIu32 " was not acknowledged before this one",
                 seen->unacknowledged.frame);
        return out;
    case KD_FINDING_UNANSWERED:
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "The request in frame %" PRIu32 " was not answered before this one",
                 seen->unanswered.frame);
        return out;
    case KD_FINDING_RESET_STORM:
    case KD_FINDING_RESEND_STORM:
    case KD_FINDING_CONSOLE_STORM:
        return storm_text(finding, passing, seen, out);
    case KD_FINDING_STATUS:
        return status_text(passing->flow == KD_FLOW_TO_TARGET ? "debugger" : "target",
                           message->status, out);
    case KD_FINDING_SHORT_READ:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "%" PRIu32 " of %" PRIu32 " bytes were moved",
                 message->count, seen->asked);
        return out;
    case KD_FINDING_UNKNOWN_API:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "No %srequest 0x%04" PRIx32 " is known",
                 seen->packet_type == KD_PACKET_FILE_IO ? "file " : "", message->api);
        return out;
    case KD_FINDING_EXCEPTION:
        return exception_text(passing, seen, out);
    default:
        return kd_findings[finding].text;
    }
}

const char *kda_net_finding_text(enum kd_finding finding, const struct kda_net_facts *facts,
                                 char out[KDA_FINDING_TEXT_SIZE])
{
    switch (finding) {
    case KD_FINDING_NET_VERSION:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "Version %u: WinDbg refuses it (it speaks 1 to 5)",
                 facts->version);
        return out;
    case KD_FINDING_NET_BAD_DATAGRAM:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "%zu bytes%s", facts->size,
                 facts->magic ? ": no KDNET datagram has this length"
                              : " that are neither KDNET nor KD");
        return out;
    case KD_FINDING_NET_REPLAY:
        snprintf(out, KDA_FINDING_TEXT_SIZE,
                 "Sequence %" PRIu64 " is not above the highest seen: the receiver drops it",
                 facts->sequence);
        return out;
    case KD_FINDING_NET_GAP:
        snprintf(out, KDA_FINDING_TEXT_SIZE, "%" PRIu64 " datagram%s missing before this one",
                 facts->missing, facts->missing == 1 ? " is" : "s are");
        return out;
    default:
        return kd_findings[finding].text;
    }
}
