/* vmbus_frame.c - frames of a debug agent's VMBus pipe: cutting, checking, acknowledging.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vmbus_frame.h"

#include <string.h>

#define DATA_MAGIC             0x56867960u
#define DATA_END               0x87283679u
#define DATA_FLAG              1u
#define ACKNOWLEDGE_MAGIC      0x15957899u
#define ACKNOWLEDGE_END        0x36133574u
#define ACKNOWLEDGE_FROM_HOST  2u
#define ACKNOWLEDGE_FROM_GUEST 3u

/* Offsets of a header's words. */
enum { AT_MAGIC = 0, AT_FLAG = 4, AT_SIZE = 8, AT_SEQUENCE = 12, AT_CHECKSUM = 16, AT_END = 20 };

/* More frames than this are not missing: the numbers are not of one row. */
#define MISSING_LIMIT 1000u

static uint32_t get_word(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

static void put_word(uint8_t *bytes, uint32_t word)
{
    bytes[0] = (uint8_t)word;
    bytes[1] = (uint8_t)(word >> 8);
    bytes[2] = (uint8_t)(word >> 16);
    bytes[3] = (uint8_t)(word >> 24);
}

/* Of a whole frame; what stands in its checksum is left out. */
static uint32_t checksum_of(const uint8_t *frame, size_t size)
{
    uint32_t sum = get_word(frame + AT_CHECKSUM);

    for (size_t i = 0; i < size; i++)
        sum ^= (uint32_t)frame[i] << (i % 4 * 8);
    return sum;
}

static void seal(uint8_t *frame, uint32_t magic, uint32_t flag, uint32_t sequence, size_t payload)
{
    put_word(frame + AT_MAGIC, magic);
    put_word(frame + AT_FLAG, flag);
    put_word(frame + AT_SIZE, (uint32_t)payload);
    put_word(frame + AT_SEQUENCE, sequence);
    put_word(frame + AT_CHECKSUM, 0);
    put_word(frame + AT_END, magic == DATA_MAGIC ? DATA_END : ACKNOWLEDGE_END);
    put_word(frame + AT_CHECKSUM, checksum_of(frame, VMBUS_FRAME_HEADER + payload));
}

size_t vmbus_frame_length(const uint8_t *bytes, size_t size)
{
    size_t length = VMBUS_FRAME_HEADER;

    if (size >= VMBUS_FRAME_HEADER)
        length += get_word(bytes + AT_SIZE);
    return length < size ? length : size;
}

void vmbus_link_init(struct vmbus_link *link, const struct vmbus_link_events *events, void *context)
{
    memset(link, 0, sizeof *link);
    link->events = events;
    link->context = context;
    link->sequence = VMBUS_FIRST_SEQUENCE;
}

static void tell(struct vmbus_link *link, enum vmbus_news news, uint64_t number)
{
    link->events->news(link->context, news, number);
}

/* --- sending */

static void switch_on(struct vmbus_link *link)
{
    if (link->acknowledging)
        return;
    link->acknowledging = true;
    tell(link, VMBUS_ACKNOWLEDGES, 0);
}

size_t vmbus_link_take(struct vmbus_link *link, uint64_t now, const uint8_t *bytes, size_t size)
{
    if (size == 0 || (link->acknowledging && link->sent > 0))
        return 0;
    if (size > VMBUS_SEND_MAX)
        size = VMBUS_SEND_MAX;
    memcpy(link->frame + VMBUS_FRAME_HEADER, bytes, size);
    seal(link->frame, DATA_MAGIC, DATA_FLAG, link->sequence++, size);
    link->sent = VMBUS_FRAME_HEADER + size;
    link->resends = 0;
    link->resend_at = now + VMBUS_RESEND_AFTER;
    link->events->send(link->context, link->frame, link->sent);
    return size;
}

static void acknowledge(struct vmbus_link *link, uint32_t sequence)
{
    uint8_t frame[VMBUS_FRAME_HEADER];

    seal(frame, ACKNOWLEDGE_MAGIC, ACKNOWLEDGE_FROM_HOST, sequence, 0);
    link->events->send(link->context, frame, sizeof frame);
}

static void acknowledged(struct vmbus_link *link, uint32_t sequence)
{
    link->answered = true;
    switch_on(link);
    if (link->sent > 0 && get_word(link->frame + AT_SEQUENCE) == sequence)
        link->sent = 0;
}

static void resend(struct vmbus_link *link, uint64_t now)
{
    if (link->resends == VMBUS_RESENDS) {
        size_t payload = link->sent - VMBUS_FRAME_HEADER;

        link->sent = 0;
        /* An agent that never acknowledged anything has only repeated itself. */
        link->acknowledging = link->answered;
        tell(link, VMBUS_GIVEN_UP, payload);
        return;
    }
    link->resends++;
    link->resend_at = now + (VMBUS_RESEND_AFTER << link->resends);
    link->events->send(link->context, link->frame, link->sent);
    tell(link, VMBUS_RESENT, link->resends);
}

/* --- receiving */

static bool seen_before(const struct vmbus_link *link, uint32_t sequence, uint32_t checksum)
{
    for (size_t i = 0; i < link->history_count; i++)
        if (link->history[i].sequence == sequence && link->history[i].checksum == checksum)
            return true;
    return false;
}

static void remember(struct vmbus_link *link, uint32_t sequence, uint32_t checksum)
{
    uint32_t ahead = sequence - link->last_sequence - 1;

    if (link->heard && ahead > MISSING_LIMIT) {
        tell(link, VMBUS_RESTARTED, 0);
        link->history_count = link->history_next = 0;
    } else if (link->heard && ahead > 0) {
        tell(link, VMBUS_MISSING, ahead);
    }
    link->heard = true;
    link->last_sequence = sequence;
    link->history[link->history_next].sequence = sequence;
    link->history[link->history_next].checksum = checksum;
    link->history_next = (link->history_next + 1) % VMBUS_HISTORY;
    if (link->history_count < VMBUS_HISTORY)
        link->history_count++;
}

static void accept_data(struct vmbus_link *link, const uint8_t *frame, size_t payload)
{
    uint32_t sequence = get_word(frame + AT_SEQUENCE), checksum = get_word(frame + AT_CHECKSUM);

    if (seen_before(link, sequence, checksum)) {
        switch_on(link);
        acknowledge(link, sequence);
        return;
    }
    remember(link, sequence, checksum);
    if (link->acknowledging)
        acknowledge(link, sequence);
    if (payload > 0)
        link->events->received(link->context, frame + VMBUS_FRAME_HEADER, payload);
}

/* Whether a frame can begin with these bytes, as far as they go. */
static bool may_begin(const uint8_t *bytes, size_t size)
{
    uint8_t data[4], other[4];
    uint32_t magic, payload;

    put_word(data, DATA_MAGIC);
    put_word(other, ACKNOWLEDGE_MAGIC);
    if (size < sizeof data)
        return memcmp(bytes, data, size) == 0 || memcmp(bytes, other, size) == 0;
    magic = get_word(bytes + AT_MAGIC);
    if (magic != DATA_MAGIC && magic != ACKNOWLEDGE_MAGIC)
        return false;
    if (size < VMBUS_FRAME_HEADER)
        return true;
    payload = get_word(bytes + AT_SIZE);
    if (magic == DATA_MAGIC)
        return get_word(bytes + AT_FLAG) == DATA_FLAG && payload <= VMBUS_RECEIVE_MAX &&
               get_word(bytes + AT_END) == DATA_END;
    return get_word(bytes + AT_FLAG) == ACKNOWLEDGE_FROM_GUEST && payload == 0 &&
           get_word(bytes + AT_END) == ACKNOWLEDGE_END;
}

static void accept_frame(struct vmbus_link *link, const uint8_t *frame, size_t payload)
{
    if (link->damaged > 0) {
        tell(link, VMBUS_DAMAGED, link->damaged);
        link->damaged = 0;
    }
    if (get_word(frame + AT_MAGIC) == DATA_MAGIC)
        accept_data(link, frame, payload);
    else
        acknowledged(link, get_word(frame + AT_SEQUENCE));
}

/* Takes whole frames from the buffer's start; what may become one stays. */
static void cut_frames(struct vmbus_link *link)
{
    size_t at = 0;

    while (at < link->filled) {
        const uint8_t *frame = link->buffer + at;
        size_t left = link->filled - at, length;

        if (!may_begin(frame, left)) {
            link->damaged++;
            at++;
            continue;
        }
        if (left < VMBUS_FRAME_HEADER)
            break;
        length = VMBUS_FRAME_HEADER + get_word(frame + AT_SIZE);
        if (left < length)
            break;
        if (checksum_of(frame, length) != get_word(frame + AT_CHECKSUM)) {
            link->damaged++;
            at++;
            continue;
        }
        accept_frame(link, frame, length - VMBUS_FRAME_HEADER);
        at += length;
    }
    memmove(link->buffer, link->buffer + at, link->filled - at);
    link->filled -= at;
}

void vmbus_link_push(struct vmbus_link *link, uint64_t now, const uint8_t *bytes, size_t size)
{
    link->last_byte = now;
    while (size > 0) {
        size_t room = sizeof link->buffer - link->filled, part = size < room ? size : room;

        memcpy(link->buffer + link->filled, bytes, part);
        link->filled += part;
        bytes += part;
        size -= part;
        cut_frames(link);
    }
}

/* --- time */

uint64_t vmbus_link_deadline(const struct vmbus_link *link)
{
    uint64_t deadline = UINT64_MAX;

    if (link->filled > 0 || link->damaged > 0)
        deadline = link->last_byte + VMBUS_SILENCE;
    if (link->acknowledging && link->sent > 0 && link->resend_at < deadline)
        deadline = link->resend_at;
    return deadline;
}

void vmbus_link_tick(struct vmbus_link *link, uint64_t now)
{
    /* Its size may be what is damaged: behind its first byte there may be whole frames. */
    while (link->filled > 0 && now - link->last_byte >= VMBUS_SILENCE) {
        link->damaged++;
        memmove(link->buffer, link->buffer + 1, --link->filled);
        cut_frames(link);
    }
    if (link->damaged > 0 && now - link->last_byte >= VMBUS_SILENCE) {
        tell(link, VMBUS_DAMAGED, link->damaged);
        link->damaged = 0;
    }
    if (link->acknowledging && link->sent > 0 && now >= link->resend_at)
        resend(link, now);
}
