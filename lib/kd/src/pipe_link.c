/* pipe_link.c - frames of a debug agent's VMBus pipe: cutting, checking, acknowledging.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd/pipe_link.h"

#include "kd/vmbus.h"

/* What KD's packets begin with, and the break-in. */
#define KD_DATA_BYTE    0x30u
#define KD_CONTROL_BYTE 0x69u

/* More frames than this are not missing: the numbers are not of one row. */
#define MISSING_LIMIT 1000u

static const struct kd_vmbus_frame *head_of(const uint8_t *frame)
{
    return (const struct kd_vmbus_frame *)frame;
}

static uint32_t magic_of(const uint8_t *frame)
{
    return kd_get32(head_of(frame)->magic);
}

static uint32_t size_of(const uint8_t *frame)
{
    return kd_get32(head_of(frame)->size);
}

static uint32_t sequence_of(const uint8_t *frame)
{
    return kd_get32(head_of(frame)->sequence);
}

/* Towards lower addresses they may overlap. */
static void copy(uint8_t *out, const uint8_t *in, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = in[i];
}

static void seal(uint8_t *out, enum kd_vmbus_frame_magic magic, enum kd_vmbus_frame_flag flag,
                 uint32_t sequence, size_t payload)
{
    struct kd_vmbus_frame head =
        kd_vmbus_frame_seal(magic, flag, sequence, out + KD_PIPE_HEADER, payload);

    copy(out, (const uint8_t *)&head, sizeof head);
}

size_t kd_pipe_frame_length(const uint8_t *bytes, size_t size)
{
    uint32_t magic = size >= KD_PIPE_HEADER ? magic_of(bytes) : 0;
    size_t length = size;

    if (magic == KD_VMBUS_FRAME_DATA || magic == KD_VMBUS_FRAME_ACKNOWLEDGE)
        length = KD_PIPE_HEADER + size_of(bytes);
    return length < size ? length : size;
}

void kd_pipe_link_init(struct kd_pipe_link *link, const struct kd_pipe_link_config *config,
                       const struct kd_pipe_link_events *events, void *context)
{
    link->events = events;
    link->context = context;
    link->config = *config;
    link->acknowledging = link->answered = link->heard = false;
    link->sequence =
        config->end == KD_PIPE_HOST ? KD_VMBUS_FRAME_HOST_FIRST : KD_VMBUS_FRAME_GUEST_FIRST;
    link->sent = link->resends = 0;
    link->resend_at = link->last_byte = link->damaged = 0;
    link->last_sequence = 0;
    link->history_count = link->history_next = link->filled = 0;
}

static void tell(struct kd_pipe_link *link, enum kd_pipe_news news, uint64_t number)
{
    link->events->news(link->context, news, number);
}

/* --- sending */

static void switch_on(struct kd_pipe_link *link)
{
    if (link->acknowledging)
        return;
    link->acknowledging = true;
    tell(link, KD_PIPE_ACKNOWLEDGES, 0);
}

size_t kd_pipe_link_take(struct kd_pipe_link *link, uint64_t now, const uint8_t *bytes, size_t size)
{
    if (size == 0 || (link->acknowledging && link->sent > 0))
        return 0;
    if (size > link->config.send_max)
        size = link->config.send_max;
    if (link->config.framing == KD_PIPE_PLAIN) {
        link->events->send(link->context, bytes, size);
        return size;
    }
    copy(link->frame + KD_PIPE_HEADER, bytes, size);
    seal(link->frame, KD_VMBUS_FRAME_DATA, KD_VMBUS_FRAME_IS_DATA, link->sequence++, size);
    link->sent = KD_PIPE_HEADER + size;
    link->resends = 0;
    link->resend_at = now + KD_PIPE_RESEND_AFTER;
    link->events->send(link->context, link->frame, link->sent);
    return size;
}

static void acknowledge(struct kd_pipe_link *link, uint32_t sequence)
{
    uint8_t frame[KD_PIPE_HEADER];

    seal(frame, KD_VMBUS_FRAME_ACKNOWLEDGE,
         link->config.end == KD_PIPE_HOST ? KD_VMBUS_FRAME_BY_HOST : KD_VMBUS_FRAME_BY_GUEST,
         sequence, 0);
    link->events->send(link->context, frame, sizeof frame);
}

static void acknowledged(struct kd_pipe_link *link, uint32_t sequence)
{
    link->answered = true;
    switch_on(link);
    if (link->sent > 0 && sequence_of(link->frame) == sequence)
        link->sent = 0;
}

static void resend(struct kd_pipe_link *link, uint64_t now)
{
    if (link->resends == KD_PIPE_RESENDS) {
        size_t payload = link->sent - KD_PIPE_HEADER;

        link->sent = 0;
        /* An agent that never acknowledged anything has only repeated itself. */
        link->acknowledging = link->answered;
        tell(link, KD_PIPE_GIVEN_UP, payload);
        return;
    }
    link->resends++;
    link->resend_at = now + (KD_PIPE_RESEND_AFTER << link->resends);
    link->events->send(link->context, link->frame, link->sent);
    tell(link, KD_PIPE_RESENT, link->resends);
}

/* --- receiving */

static bool seen_before(const struct kd_pipe_link *link, uint32_t sequence, uint32_t checksum)
{
    for (size_t i = 0; i < link->history_count; i++)
        if (link->history[i].sequence == sequence && link->history[i].checksum == checksum)
            return true;
    return false;
}

static void remember(struct kd_pipe_link *link, uint32_t sequence, uint32_t checksum)
{
    uint32_t ahead = sequence - link->last_sequence - 1;

    if (link->heard && ahead > MISSING_LIMIT) {
        tell(link, KD_PIPE_RESTARTED, 0);
        link->history_count = link->history_next = 0;
    } else if (link->heard && ahead > 0) {
        tell(link, KD_PIPE_MISSING, ahead);
    }
    link->heard = true;
    link->last_sequence = sequence;
    link->history[link->history_next].sequence = sequence;
    link->history[link->history_next].checksum = checksum;
    link->history_next = (link->history_next + 1) % KD_PIPE_HISTORY;
    if (link->history_count < KD_PIPE_HISTORY)
        link->history_count++;
}

static void accept_data(struct kd_pipe_link *link, const uint8_t *frame, size_t payload)
{
    uint32_t sequence = sequence_of(frame), checksum = kd_get32(head_of(frame)->checksum);

    if (seen_before(link, sequence, checksum)) {
        switch_on(link);
        acknowledge(link, sequence);
        return;
    }
    remember(link, sequence, checksum);
    if (link->acknowledging)
        acknowledge(link, sequence);
    if (payload > 0)
        link->events->received(link->context, frame + KD_PIPE_HEADER, payload);
}

static bool same(const uint8_t *a, const uint8_t *b, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (a[i] != b[i])
            return false;
    return true;
}

/* Whether a frame can begin with these bytes, as far as they go. */
static bool may_begin(enum kd_pipe_end end, const uint8_t *bytes, size_t size)
{
    uint32_t other_end = end == KD_PIPE_HOST ? KD_VMBUS_FRAME_BY_GUEST : KD_VMBUS_FRAME_BY_HOST;
    const kd_u32 data = kd_put32(KD_VMBUS_FRAME_DATA);
    const kd_u32 other = kd_put32(KD_VMBUS_FRAME_ACKNOWLEDGE);
    uint32_t magic, payload;

    if (size < sizeof data)
        return same(bytes, data.b, size) || same(bytes, other.b, size);
    magic = magic_of(bytes);
    if (magic != KD_VMBUS_FRAME_DATA && magic != KD_VMBUS_FRAME_ACKNOWLEDGE)
        return false;
    if (size < KD_PIPE_HEADER)
        return true;
    payload = size_of(bytes);
    if (magic == KD_VMBUS_FRAME_DATA)
        return kd_get32(head_of(bytes)->flag) == KD_VMBUS_FRAME_IS_DATA &&
               payload <= KD_PIPE_RECEIVE_MAX &&
               kd_get32(head_of(bytes)->end) == KD_VMBUS_FRAME_DATA_END;
    return kd_get32(head_of(bytes)->flag) == other_end && payload == 0 &&
           kd_get32(head_of(bytes)->end) == KD_VMBUS_FRAME_ACKNOWLEDGE_END;
}

static void accept_frame(struct kd_pipe_link *link, const uint8_t *frame, size_t payload)
{
    if (link->damaged > 0) {
        tell(link, KD_PIPE_DAMAGED, link->damaged);
        link->damaged = 0;
    }
    if (magic_of(frame) == KD_VMBUS_FRAME_DATA)
        accept_data(link, frame, payload);
    else
        acknowledged(link, sequence_of(frame));
}

/* Takes whole frames from the buffer's start; what may become one stays. */
static void cut_frames(struct kd_pipe_link *link)
{
    size_t at = 0;

    while (at < link->filled) {
        const uint8_t *frame = link->buffer + at;
        size_t left = link->filled - at, length;

        if (!may_begin(link->config.end, frame, left)) {
            link->damaged++;
            at++;
            continue;
        }
        if (left < KD_PIPE_HEADER)
            break;
        length = KD_PIPE_HEADER + size_of(frame);
        if (left < length)
            break;
        if (!kd_vmbus_frame_good(frame, length)) {
            link->damaged++;
            at++;
            continue;
        }
        accept_frame(link, frame, length - KD_PIPE_HEADER);
        at += length;
    }
    copy(link->buffer, link->buffer + at, link->filled - at);
    link->filled -= at;
}

/* What the other end speaks, by the first byte that can begin anything. */
static void decide(struct kd_pipe_link *link, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size && link->config.framing == KD_PIPE_AUTO; i++) {
        uint8_t byte = bytes[i];

        if (byte == (uint8_t)KD_VMBUS_FRAME_DATA || byte == (uint8_t)KD_VMBUS_FRAME_ACKNOWLEDGE) {
            link->config.framing = KD_PIPE_FRAMES;
        } else if (byte == KD_DATA_BYTE || byte == KD_CONTROL_BYTE || byte == KD_BREAKIN_BYTE) {
            link->config.framing = KD_PIPE_PLAIN;
            link->sent = 0;
            tell(link, KD_PIPE_SENDS_PLAIN, 0);
        }
    }
}

void kd_pipe_link_push(struct kd_pipe_link *link, uint64_t now, const uint8_t *bytes, size_t size)
{
    decide(link, bytes, size);
    if (link->config.framing == KD_PIPE_PLAIN) {
        if (size > 0)
            link->events->received(link->context, bytes, size);
        return;
    }
    link->last_byte = now;
    while (size > 0) {
        size_t room = sizeof link->buffer - link->filled, part = size < room ? size : room;

        copy(link->buffer + link->filled, bytes, part);
        link->filled += part;
        bytes += part;
        size -= part;
        cut_frames(link);
    }
}

/* --- time */

uint64_t kd_pipe_link_deadline(const struct kd_pipe_link *link)
{
    uint64_t deadline = UINT64_MAX;

    if (link->filled > 0 || link->damaged > 0)
        deadline = link->last_byte + KD_PIPE_SILENCE;
    if (link->acknowledging && link->sent > 0 && link->resend_at < deadline)
        deadline = link->resend_at;
    return deadline;
}

void kd_pipe_link_tick(struct kd_pipe_link *link, uint64_t now)
{
    /* Its size may be what is damaged: behind its first byte there may be whole frames. */
    while (link->filled > 0 && now - link->last_byte >= KD_PIPE_SILENCE) {
        link->damaged++;
        copy(link->buffer, link->buffer + 1, --link->filled);
        cut_frames(link);
    }
    if (link->damaged > 0 && now - link->last_byte >= KD_PIPE_SILENCE) {
        tell(link, KD_PIPE_DAMAGED, link->damaged);
        link->damaged = 0;
    }
    if (link->acknowledging && link->sent > 0 && now >= link->resend_at)
        resend(link, now);
}
