/* lane.c - frames and runs of noise, with the times of their first bytes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "lane.h"

#include <string.h>

#define MARKS (LANE_CAPACITY + 1)

void lane_init(struct lane *lane, enum side side, const struct lane_events *events, void *context)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, lane_flow(side)};

    lane->side = side;
    lane->events = events;
    lane->context = context;
    lane->pushed = lane->taken = 0;
    lane->last = 0;
    lane->first_mark = lane->marks = 0;
    lane->noise_size = 0;
    kd_framer_init(&lane->framer, &framing, lane->buffer, sizeof lane->buffer);
}

static void add_mark(struct lane *lane, uint64_t when)
{
    lane->mark[(lane->first_mark + lane->marks++) % MARKS] =
        (struct lane_mark){.position = lane->pushed, .when = when};
}

/* When the byte at this position was read; marks before it are dropped. */
static uint64_t time_of(struct lane *lane, uint64_t position)
{
    while (lane->marks > 1 && lane->mark[(lane->first_mark + 1) % MARKS].position <= position) {
        lane->first_mark = (lane->first_mark + 1) % MARKS;
        lane->marks--;
    }
    return lane->mark[lane->first_mark].when;
}

void lane_end_noise(struct lane *lane)
{
    size_t size = lane->noise_size;

    lane->noise_size = 0;
    if (size > 0)
        lane->events->record(lane->context, lane->side, lane->noise_when, lane->noise, size);
}

static void add_noise(struct lane *lane, uint64_t when, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        size_t room = LANE_NOISE - lane->noise_size, taken = size < room ? size : room;

        if (lane->noise_size == 0)
            lane->noise_when = when;
        memcpy(lane->noise + lane->noise_size, bytes, taken);
        lane->noise_size += taken;
        bytes += taken;
        size -= taken;
        if (lane->noise_size == LANE_NOISE)
            lane_end_noise(lane);
    }
}

/* One frame, whose first byte was read at this time. */
static void take_frame(struct lane *lane, uint64_t when, const struct kd_frame *frame,
                       const uint8_t *bytes)
{
    lane->taken += frame->size;
    lane->events->frame(lane->context, lane->side, lane->last, frame, bytes);
    if (frame->kind == KD_FRAME_NOISE) {
        add_noise(lane, when, bytes, frame->size);
        return;
    }
    lane_end_noise(lane);
    lane->events->record(lane->context, lane->side, when, bytes, frame->size);
}

/* What the framer has; end as for kd_framer_next. */
static void take_frames(struct lane *lane, bool end)
{
    struct kd_frame frame;
    const uint8_t *bytes;

    while (kd_framer_next(&lane->framer, end, &frame, &bytes) != KD_FRAME_NEED_MORE) {
        take_frame(lane, time_of(lane, lane->taken), &frame, bytes);
        time_of(lane, lane->taken);
    }
    if (lane->taken == lane->pushed)
        lane->marks = 0;
}

/* Frames that lie in the bytes as a whole need not go through the framer. Returns how many bytes
 * they have. */
static size_t take_whole_frames(struct lane *lane, uint64_t when, const uint8_t *bytes, size_t size)
{
    struct kd_framer *framer = &lane->framer;
    size_t at = 0;

    while (at < size) {
        struct kd_frame frame;

        kd_frame_scan(&framer->framing, bytes + at, size - at, framer->after_noise, false, &frame);
        if (frame.kind == KD_FRAME_NEED_MORE)
            break;
        framer->after_noise = frame.kind == KD_FRAME_NOISE;
        lane->pushed += frame.size;
        take_frame(lane, when, &frame, bytes + at);
        at += frame.size;
    }
    return at;
}

/* How many of size bytes the framer needs to go on with what it has. */
static size_t needed(const struct lane *lane, size_t size)
{
    size_t open = (size_t)(lane->pushed - lane->taken);
    size_t more = lane->framer.need > open ? lane->framer.need - open : 1;

    return more < size ? more : size;
}

void lane_push(struct lane *lane, uint64_t when, const uint8_t *bytes, size_t size)
{
    bool begins = true;

    lane->last = when;
    while (size > 0) {
        size_t taken;

        if (!lane_is_open(lane)) {
            taken = take_whole_frames(lane, when, bytes, size);
            bytes += taken;
            size -= taken;
        }
        if (size == 0)
            break;
        if (begins || lane->marks == 0)
            add_mark(lane, when);
        begins = false;
        taken =
            kd_framer_push(&lane->framer, bytes, lane_is_open(lane) ? needed(lane, size) : size);
        lane->pushed += taken;
        bytes += taken;
        size -= taken;
        take_frames(lane, false);
    }
}

void lane_end(struct lane *lane)
{
    take_frames(lane, true);
    lane_end_noise(lane);
}

bool lane_is_open(const struct lane *lane)
{
    return lane->pushed != lane->taken;
}

bool lane_has_noise(const struct lane *lane)
{
    return lane->noise_size > 0;
}
