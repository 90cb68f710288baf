/* replay_strict.c - the transcript: the target's frames as the debugger's come. See
 * analysis/replay.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "replay_parts.h"

/* With faults: silence after which the last piece is sent again, as a target does. */
#define AGAIN_US 1000000u

struct kda_strict {
    const struct kda_script *script;
    bool faults;
    struct kda_replay_events events;
    void *context;
    enum kda_strict_state state;
    size_t next;  /* frame of the transcript */
    size_t piece; /* where what the target sent last begins */
    uint64_t came, all;
    uint64_t again_at;
    struct kd_framer framer;
    struct kda_difference difference;
    uint8_t expected[KD_HEADER_SIZE + UINT16_MAX];
    uint8_t got[KD_HEADER_SIZE + KD_PACKET_MAX_SIZE];
    uint8_t out[KD_HEADER_SIZE + UINT16_MAX + 1];
    uint8_t stream[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
};

static const struct script_frame *frame_at(const struct kda_strict *strict, size_t i)
{
    return list_at(&strict->script->frames, i, sizeof(struct script_frame));
}

struct kda_strict *kda_strict_new(const struct kda_script *script, bool faults,
                                  const struct kda_replay_events *events, void *context)
{
    struct kda_strict *strict = calloc(1, sizeof *strict);
    const struct script_frame *frame;

    if (!strict)
        return NULL;
    strict->script = script;
    strict->faults = faults;
    strict->events = *events;
    strict->context = context;
    strict->again_at = UINT64_MAX;
    for (size_t i = 0; (frame = frame_at(strict, i)); i++)
        strict->all += !frame->target;
    return strict;
}

void kda_strict_free(struct kda_strict *strict)
{
    free(strict);
}

enum kda_strict_state kda_strict_state(const struct kda_strict *strict)
{
    return strict->state;
}

void kda_strict_progress(const struct kda_strict *strict, uint64_t *came, uint64_t *all)
{
    *came = strict->came;
    *all = strict->all;
}

/* Bytes of a frame; 0 when the store cannot be read. */
static size_t load(const struct kda_strict *strict, const struct script_frame *frame, uint8_t *out,
                   size_t room)
{
    size_t size = smaller(frame->bytes.size, room);

    return kda_store_read(strict->script->store, frame->bytes.at, out, size) ? size : 0;
}

/* --- the target's side */

static void send_frame(struct kda_strict *strict, const struct script_frame *frame)
{
    size_t size = load(strict, frame, strict->out, sizeof strict->out - 1);

    if (frame->trailer)
        strict->out[size++] = KD_TRAILER;
    if (size)
        strict->events.send(strict->context, strict->out, size);
}

/* Everything up to what the debugger says next. */
static void send_piece(struct kda_strict *strict, uint64_t now)
{
    const struct script_frame *frame;

    strict->piece = strict->next;
    while ((frame = frame_at(strict, strict->next)) && frame->target) {
        send_frame(strict, frame);
        strict->next++;
    }
    if (!frame)
        strict->state = KDA_STRICT_DONE;
    strict->again_at = strict->faults && frame ? now + AGAIN_US : UINT64_MAX;
}

/* Noise is no answer that a debugger waits for. */
static void send_again(struct kda_strict *strict, uint64_t now)
{
    for (size_t i = strict->piece; i < strict->next; i++) {
        const struct script_frame *frame = frame_at(strict, i);

        if (frame->target && !frame->noise)
            send_frame(strict, frame);
    }
    strict->again_at = now + AGAIN_US;
}

/* --- the debugger's */

static const struct kd_packet_header *header_of(const uint8_t *bytes)
{
    return (const struct kd_packet_header *)bytes;
}

static bool same_frame(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    if (a_size == b_size && memcmp(a, b, a_size) == 0)
        return true;
    if (a_size < KD_HEADER_SIZE || b_size < KD_HEADER_SIZE ||
        kd_get16(header_of(a)->packet_type) != kd_get16(header_of(b)->packet_type) ||
        kd_get32(header_of(a)->packet_id) != kd_get32(header_of(b)->packet_id))
        return false;
    return kd_get16(header_of(a)->packet_type) == KD_PACKET_STATE_MANIPULATE &&
           same_request(a + KD_HEADER_SIZE, a_size - KD_HEADER_SIZE, b + KD_HEADER_SIZE,
                        b_size - KD_HEADER_SIZE);
}

/* What a line with faults makes a debugger send: RESEND, and what it has sent before. */
static bool is_repetition(struct kda_strict *strict, const uint8_t *bytes, size_t size)
{
    if (!strict->faults)
        return false;
    if (size >= KD_HEADER_SIZE && kd_get16(header_of(bytes)->packet_type) == KD_PACKET_RESEND)
        return true;
    for (size_t i = strict->piece; i-- > 0;) {
        const struct script_frame *frame = frame_at(strict, i);
        size_t before = frame->target ? 0 : load(strict, frame, strict->out, sizeof strict->out);

        if (before && same_frame(strict->out, before, bytes, size))
            return true;
        /* The request and the acknowledgement before it. */
        if (strict->piece - i > 16)
            break;
    }
    return false;
}

static void differ(struct kda_strict *strict, const struct script_frame *frame, size_t expected,
                   const uint8_t *bytes, size_t size)
{
    strict->state = KDA_STRICT_DIFFERS;
    strict->difference.frame = frame->frame;
    strict->difference.expected = strict->expected;
    strict->difference.expected_size = expected;
    strict->difference.got = strict->got;
    strict->difference.got_size = smaller(size, sizeof strict->got);
    memcpy(strict->got, bytes, strict->difference.got_size);
    strict->again_at = UINT64_MAX;
}

static void take_frame(struct kda_strict *strict, uint64_t now, const uint8_t *bytes, size_t size,
                       bool damaged)
{
    const struct script_frame *frame = frame_at(strict, strict->next);
    size_t expected = frame ? load(strict, frame, strict->expected, sizeof strict->expected) : 0;

    if (!frame || strict->state != KDA_STRICT_GOES_ON)
        return;
    if (same_frame(strict->expected, expected, bytes, size)) {
        strict->came++;
        strict->next++;
        send_piece(strict, now);
    } else if (is_repetition(strict, bytes, size)) {
        send_again(strict, now);
    } else if (!damaged || !strict->faults) {
        differ(strict, frame, expected, bytes, size);
    }
}

void kda_strict_begin(struct kda_strict *strict, uint64_t now)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET};

    kd_framer_init(&strict->framer, &framing, strict->stream, sizeof strict->stream);
    strict->state = KDA_STRICT_GOES_ON;
    strict->next = strict->came = 0;
    send_piece(strict, now);
}

void kda_strict_receive(struct kda_strict *strict, uint64_t now, const uint8_t *bytes, size_t size)
{
    struct kd_frame frame;
    const uint8_t *at;

    for (size_t done = 0; done < size;) {
        done += kd_framer_push(&strict->framer, bytes + done, size - done);
        while (kd_framer_next(&strict->framer, false, &frame, &at) != KD_FRAME_NEED_MORE) {
            size_t whole =
                frame.kind == KD_FRAME_PACKET ? KD_HEADER_SIZE + frame.payload : frame.size;

            if (frame.kind != KD_FRAME_NOISE || !strict->faults)
                take_frame(strict, now, at, whole,
                           frame.kind == KD_FRAME_PACKET && frame.flags != 0);
        }
    }
}

uint64_t kda_strict_deadline(const struct kda_strict *strict)
{
    return strict->again_at;
}

void kda_strict_tick(struct kda_strict *strict, uint64_t now)
{
    if (now >= strict->again_at)
        send_again(strict, now);
}

const struct kda_difference *kda_strict_difference(struct kda_strict *strict)
{
    const struct script_frame *frame = frame_at(strict, strict->next);

    if (strict->state == KDA_STRICT_GOES_ON && frame) {
        strict->difference =
            (struct kda_difference){.frame = frame->frame, .expected = strict->expected};
        strict->difference.expected_size =
            load(strict, frame, strict->expected, sizeof strict->expected);
    }
    return &strict->difference;
}
