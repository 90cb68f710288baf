/* hold.c - the machine behind --hold and --heal. See hold.h for the states.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Both directions go through a framer. Bytes that pass whatever they turn out to be are passed on
 * before their frame is complete; hold_stream.passed counts them, so that the frame, once it is
 * complete, is judged for its meaning only.
 */
#include "hold.h"

#include <string.h>

#include "lane.h"

/* Frames of one fate that lie side by side, so that they go out in one piece. */
struct run {
    struct hold *hold;
    enum side from;
    enum hold_fate fate;
    uint64_t when;
    const uint8_t *bytes;
    size_t size;
};

static void run_flush(struct run *run)
{
    struct hold_span span = {.from = run->from,
                             .fate = run->fate,
                             .when = run->when,
                             .bytes = run->bytes,
                             .size = run->size};

    run->size = 0;
    if (span.size > 0)
        run->hold->events->span(run->hold->context, &span);
}

static void run_add(struct run *run, enum hold_fate fate, const uint8_t *bytes, size_t size)
{
    if (size == 0)
        return;
    if (run->size > 0 && (fate != run->fate || bytes != run->bytes + run->size))
        run_flush(run);
    if (run->size == 0) {
        run->fate = fate;
        run->bytes = bytes;
        run->when = run->hold->streams[run->from].since;
    }
    run->size += size;
}

static void news(struct hold *hold, enum hold_news what, uint64_t number)
{
    hold->events->news(hold->context, what, number);
}

static void stream_init(struct hold *hold, enum side side)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, lane_flow(side)};
    struct hold_stream *stream = &hold->streams[side];

    kd_framer_init(&stream->framer, &framing, stream->buffer, sizeof stream->buffer);
    stream->passed = 0;
}

static size_t unfinished(const struct hold_stream *stream)
{
    return stream->framer.end - stream->framer.start;
}

static const struct kd_packet_header *header_of(const uint8_t *bytes)
{
    return (const struct kd_packet_header *)bytes;
}

static bool is_valid(const struct kd_frame *frame)
{
    return frame->kind == KD_FRAME_PACKET && frame->flags == 0;
}

static bool is_data(const struct kd_frame *frame, const uint8_t *bytes)
{
    return frame->kind == KD_FRAME_PACKET &&
           !kd_is_control(kd_get16(header_of(bytes)->packet_type));
}

static bool is_control(const struct kd_frame *frame, const uint8_t *bytes, enum kd_packet_type type)
{
    return is_valid(frame) && kd_get16(header_of(bytes)->packet_type) == (uint16_t)type;
}

static uint32_t packet_id(const uint8_t *bytes)
{
    return kd_get32(header_of(bytes)->packet_id) & ~KD_SYNC_PACKET_ID;
}

/* --- --heal: the packet kept */

static void give_kept(struct hold *hold, enum hold_fate fate)
{
    struct hold_span span = {.from = SIDE_DEBUGGER,
                             .fate = fate,
                             .when = hold->kept_since,
                             .bytes = hold->packet,
                             .size = hold->kept};

    hold->kept = 0;
    if (span.size > 0)
        hold->events->span(hold->context, &span);
}

static void keep(struct hold *hold, const uint8_t *bytes, size_t size)
{
    bool first = hold->kept == 0;

    give_kept(hold, HOLD_DROP_REPEATED);
    memcpy(hold->packet, bytes, size);
    hold->kept = size;
    hold->kept_since = hold->streams[SIDE_DEBUGGER].since;
    if (first)
        news(hold, HEAL_KEEPS, size);
}

static void arm(struct hold *hold, uint64_t now)
{
    size_t kept = hold->kept;

    give_kept(hold, HOLD_DROP_REPEATED);
    if (kept > 0)
        news(hold, HEAL_DROPS, kept);
    hold->state = HEAL_ARMED;
    hold->limit = now + HOLD_HEAL_LIMIT;
}

static void disarm(struct hold *hold, enum hold_news why, uint64_t now)
{
    size_t kept = hold->kept;
    uint64_t since = hold->kept_since;

    hold->state = HEAL_PASSING;
    if (kept == 0)
        return;
    news(hold, why, now > since ? now - since : 0);
    give_kept(hold, HOLD_PASS_LATE);
}

/* --- frames */

/* What may pass of a frame that is not complete. */
static void pass_begun(struct hold *hold, struct run *run)
{
    struct hold_stream *stream = &hold->streams[run->from];
    size_t size = unfinished(stream);
    bool passes = stream->passed > 0;

    if (run->from == SIDE_DEBUGGER)
        passes = passes || (!hold->waiting && hold->state == HEAL_PASSING);
    else
        passes = passes || (!hold->waiting && (!hold->hold || size >= KD_HEADER_SIZE));
    if (!passes)
        return;
    run_add(run, HOLD_PASS, stream->framer.buffer + stream->framer.start + stream->passed,
            size - stream->passed);
    stream->passed = size;
}

/* The target has spoken KD. */
static void open_gate(struct hold *hold)
{
    struct run run = {.hold = hold, .from = SIDE_DEBUGGER};

    hold->waiting = false;
    hold->text = 0;
    pass_begun(hold, &run);
    run_flush(&run);
    news(hold, HOLD_ENDS, hold->dropped);
    hold->dropped = 0;
}

static enum hold_fate debugger_fate(struct hold *hold, const struct kd_frame *frame)
{
    if (!hold->waiting)
        return HOLD_PASS;
    hold->dropped += frame->size;
    return HOLD_DROP_EARLY;
}

/* What a frame of the debugger means, after it has gone through. */
static void debugger_meaning(struct hold *hold, struct run *run, const struct kd_frame *frame,
                             const uint8_t *bytes, uint64_t now)
{
    if (is_control(frame, bytes, KD_PACKET_RESET)) {
        run_flush(run);
        arm(hold, now);
    } else if (hold->state == HEAL_ACKING && is_control(frame, bytes, KD_PACKET_ACKNOWLEDGE) &&
               packet_id(bytes) == hold->id) {
        hold->state = HEAL_SETTLING;
        hold->settled_at = now + HOLD_HEAL_QUIET;
    }
}

static void take_debugger(struct hold *hold, struct run *run, const struct kd_frame *frame,
                          const uint8_t *bytes, size_t passed, uint64_t now)
{
    if (passed == 0 && !hold->waiting && hold->state != HEAL_PASSING && is_data(frame, bytes)) {
        run_flush(run);
        keep(hold, bytes, frame->size);
        return;
    }
    run_add(run, passed > 0 ? HOLD_PASS : debugger_fate(hold, frame), bytes + passed,
            frame->size - passed);
    if (hold->heal && !hold->waiting)
        debugger_meaning(hold, run, frame, bytes, now);
}

/* What is left of this end's bytes is reported, and forgotten. */
static void give_rest(struct hold *hold, enum side side, enum hold_fate fate)
{
    struct hold_stream *stream = &hold->streams[side];
    struct run run = {.hold = hold, .from = side};

    run_add(&run, fate, stream->framer.buffer + stream->framer.start + stream->passed,
            unfinished(stream) - stream->passed);
    run_flush(&run);
    stream_init(hold, side);
}

/* Text of the console, which the debugger is to be spared. */
static void count_text(struct hold *hold, size_t size)
{
    hold->text += size;
    if (hold->waiting || hold->text < HOLD_TEXT_LIMIT)
        return;
    hold->waiting = true;
    hold->dropped = 0;
    hold->state = HEAL_PASSING;
    give_kept(hold, HOLD_DROP_REPEATED);
    give_rest(hold, SIDE_DEBUGGER, HOLD_DROP_EARLY);
    news(hold, HOLD_AGAIN, hold->text);
}

static void take_target(struct hold *hold, struct run *run, const struct kd_frame *frame,
                        const uint8_t *bytes, size_t passed)
{
    bool text = frame->kind == KD_FRAME_NOISE && frame->flags == 0;

    if (hold->waiting && is_valid(frame))
        open_gate(hold);
    if (passed == 0 && hold->hold && (hold->waiting || text)) {
        run_add(run, HOLD_DROP_TEXT, bytes, frame->size);
        count_text(hold, frame->size);
        return;
    }
    run_add(run, HOLD_PASS, bytes + passed, frame->size - passed);
    if (!is_valid(frame))
        return;
    hold->text = 0;
    if (hold->state != HEAL_PASSING && is_data(frame, bytes)) {
        hold->state = HEAL_ACKING;
        hold->id = packet_id(bytes);
    }
}

/* All frames that the framer has; end as for kd_framer_next. */
static void take_frames(struct hold *hold, enum side from, bool end, uint64_t now)
{
    struct hold_stream *stream = &hold->streams[from];
    struct run run = {.hold = hold, .from = from};
    struct kd_frame frame;
    const uint8_t *bytes;

    while (kd_framer_next(&stream->framer, end, &frame, &bytes) != KD_FRAME_NEED_MORE) {
        size_t passed = stream->passed < frame.size ? stream->passed : frame.size;

        stream->passed -= passed;
        if (from == SIDE_DEBUGGER)
            take_debugger(hold, &run, &frame, bytes, passed, now);
        else
            take_target(hold, &run, &frame, bytes, passed);
        stream->since = stream->last;
    }
    pass_begun(hold, &run);
    run_flush(&run);
}

/* --- the interface */

void hold_init(struct hold *hold, bool with_hold, bool with_heal, const struct hold_events *events,
               void *context)
{
    hold->events = events;
    hold->context = context;
    hold->hold = with_hold;
    hold->heal = with_heal;
    hold->waiting = with_hold;
    hold->dropped = 0;
    hold->text = 0;
    hold->state = HEAL_PASSING;
    hold->limit = 0;
    hold->settled_at = 0;
    hold->id = 0;
    hold->kept = 0;
    hold->kept_since = 0;
    stream_init(hold, SIDE_DEBUGGER);
    stream_init(hold, SIDE_TARGET);
}

bool hold_active(const struct hold *hold)
{
    return hold->hold || hold->heal;
}

void hold_set_heal(struct hold *hold, bool on, uint64_t now)
{
    struct run run = {.hold = hold, .from = SIDE_DEBUGGER};

    if (on == hold->heal)
        return;
    hold->heal = on;
    if (on) {
        /* What was not framed so far leaves nothing to go on with. */
        if (!hold->waiting)
            stream_init(hold, SIDE_DEBUGGER);
        if (!hold->hold)
            stream_init(hold, SIDE_TARGET);
        return;
    }
    disarm(hold, HEAL_LIMIT, now);
    pass_begun(hold, &run);
    run_flush(&run);
}

void hold_push(struct hold *hold, enum side from, uint64_t when, const uint8_t *bytes, size_t size)
{
    struct hold_stream *stream = &hold->streams[from];

    while (size > 0) {
        size_t taken;

        if (unfinished(stream) == stream->passed)
            stream->since = when;
        stream->last = when;
        taken = kd_framer_push(&stream->framer, bytes, size);
        bytes += taken;
        size -= taken;
        take_frames(hold, from, false, when);
    }
}

void hold_disconnected(struct hold *hold, enum side side)
{
    enum hold_fate fate = HOLD_PASS;

    if (hold->waiting)
        fate = side == SIDE_DEBUGGER ? HOLD_DROP_EARLY : HOLD_DROP_TEXT;
    give_rest(hold, side, fate);
    give_kept(hold, HOLD_DROP_REPEATED);
    hold->state = HEAL_PASSING;
    if (side == SIDE_TARGET) {
        hold->waiting = hold->hold;
        hold->text = 0;
    }
}

/* When the unfinished frame of a stream has waited long enough. */
static uint64_t idle_at(const struct hold_stream *stream)
{
    return unfinished(stream) > 0 ? stream->last + HOLD_IDLE : UINT64_MAX;
}

/* When --heal passes what it keeps. */
static uint64_t release_at(const struct hold *hold)
{
    if (hold->state == HEAL_PASSING)
        return UINT64_MAX;
    return hold->state == HEAL_SETTLING && hold->settled_at < hold->limit ? hold->settled_at
                                                                          : hold->limit;
}

uint64_t hold_deadline(const struct hold *hold)
{
    uint64_t deadline = release_at(hold);

    for (size_t i = 0; i < 2; i++)
        if (idle_at(&hold->streams[i]) < deadline)
            deadline = idle_at(&hold->streams[i]);
    return deadline;
}

void hold_tick(struct hold *hold, uint64_t now)
{
    if (now >= release_at(hold)) {
        struct run run = {.hold = hold, .from = SIDE_DEBUGGER};

        disarm(hold, hold->state == HEAL_SETTLING ? HEAL_ENDS : HEAL_LIMIT, now);
        pass_begun(hold, &run);
        run_flush(&run);
    }
    for (size_t i = 0; i < 2; i++)
        if (now >= idle_at(&hold->streams[i]))
            take_frames(hold, (enum side)i, true, now);
}
