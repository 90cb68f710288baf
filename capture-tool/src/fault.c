/* fault.c - the machine behind --fault. See fault.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "fault.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"

#define TEXT_SIZE 96u

/* --- the option's text */

/* "0.01" or "1%", at most 1. *end: behind it. */
static bool parse_chance(const char *text, uint64_t *chance, const char **end)
{
    char *stop;
    double value = strtod(text, &stop);

    if (stop == text)
        return false;
    if (*stop == '%') {
        value /= 100;
        stop++;
    }
    if (!(value >= 0 && value <= 1))
        return false;
    *chance = (uint64_t)(value * (double)FAULT_CERTAIN);
    *end = stop;
    return true;
}

/* ":100ms"; nothing: the time stays. */
static bool parse_delay(const char *text, uint64_t *delay, const char **end)
{
    char *stop;
    unsigned long value;

    *end = text;
    if (*text != ':')
        return true;
    value = strtoul(text + 1, &stop, 10);
    if (stop == text + 1 || value == 0 || value > 60000)
        return false;
    *delay = value * UINT64_C(1000000);
    *end = strncmp(stop, "ms", 2) == 0 ? stop + 2 : stop;
    return true;
}

static bool parse_from(const char *text, struct fault_options *options, const char **end)
{
    for (int i = 0; i < 2; i++) {
        const char *name = side_name((enum side)i);
        size_t length = strlen(name);

        if (strncmp(text, name, length) == 0) {
            options->from[i] = true;
            options->from[1 - i] = false;
            *end = text + length;
            return true;
        }
    }
    return false;
}

static bool parse_part(struct fault_options *options, const char *name, size_t length,
                       const char *value, const char **end)
{
    static const char *const kinds[FAULT_KINDS] = {"drop", "corrupt", "dup", "delay"};

    for (int kind = 0; kind < FAULT_KINDS; kind++) {
        if (strlen(kinds[kind]) != length || strncmp(name, kinds[kind], length) != 0)
            continue;
        if (!parse_chance(value, &options->chance[kind], end))
            return false;
        return kind != FAULT_LATE || parse_delay(*end, &options->delay, end);
    }
    if (length == 4 && strncmp(name, "seed", 4) == 0) {
        char *stop;

        options->seed = strtoull(value, &stop, 0);
        *end = stop;
        return stop != value;
    }
    return length == 4 && strncmp(name, "from", 4) == 0 && parse_from(value, options, end);
}

bool fault_parse(struct fault_options *options, const char *text, struct problem *problem)
{
    *options =
        (struct fault_options){.text = text, .delay = FAULT_DELAY, .seed = 1, .from = {true, true}};
    for (const char *part = text; *part;) {
        size_t length = strcspn(part, "=,");
        const char *end = part;

        if (part[length] != '=' || !parse_part(options, part, length, part + length + 1, &end) ||
            (*end && *end != ',')) {
            problem_set(problem,
                        "--fault: \"%.*s\" is not understood; its parts are drop=CHANCE, "
                        "corrupt=CHANCE, dup=CHANCE, delay=CHANCE:MILLISECONDSms, seed=NUMBER and "
                        "from=debugger or from=target, a CHANCE is 0.01 or 1%%",
                        (int)strcspn(part, ","), part);
            return false;
        }
        part = *end ? end + 1 : end;
    }
    return true;
}

/* --- chance */

/* splitmix64, as published by its author (S. Vigna, public domain): every seed will do, 0 too. */
static uint64_t next_random(struct fault_stream *stream)
{
    uint64_t z = stream->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* What a frame meets; FAULT_KINDS: nothing. *where: a number for what needs one. Takes as many
 * numbers in every case. */
static enum fault_kind draw(struct fault *fault, struct fault_stream *stream, uint64_t *where)
{
    enum fault_kind drawn = FAULT_KINDS;

    for (int kind = FAULT_KINDS - 1; kind >= 0; kind--)
        if ((next_random(stream) >> 32) < fault->options.chance[kind])
            drawn = (enum fault_kind)kind;
    *where = next_random(stream);
    return drawn;
}

/* --- what goes out */

static void give(struct fault *fault, const struct fault_span *span)
{
    if (span->size > 0)
        fault->events->span(fault->context, span);
}

static void give_damaged(struct fault *fault, struct fault_span *span, uint64_t where)
{
    struct fault_stream *stream = &fault->streams[span->from];
    size_t at = (size_t)((where >> 3) % span->size);
    char text[TEXT_SIZE];

    memcpy(stream->frame, span->bytes, span->size);
    stream->frame[at] ^= (uint8_t)(1u << (where & 7));
    snprintf(text, sizeof text, "damaged on purpose by --fault: bit %u of byte %zu",
             (unsigned)(where & 7), at);
    span->bytes = stream->frame;
    span->fault = text;
    give(fault, span);
}

static void keep(struct fault *fault, const struct fault_span *span)
{
    struct fault_stream *stream = &fault->streams[span->from];

    memcpy(stream->frame, span->bytes, span->size);
    stream->kept = span->size;
    stream->kept_since = span->when;
    stream->due = stream->last + fault->options.delay;
}

static void take_frame(struct fault *fault, struct fault_span *span)
{
    uint64_t where;
    enum fault_kind kind = draw(fault, &fault->streams[span->from], &where);

    fault->frames++;
    if (kind < FAULT_KINDS)
        fault->counts[kind]++;
    switch (kind) {
    case FAULT_DROP:
        span->delivered = false;
        span->fault = "not delivered: dropped on purpose by --fault";
        give(fault, span);
        break;
    case FAULT_CORRUPT:
        give_damaged(fault, span, where);
        break;
    case FAULT_DUP:
        give(fault, span);
        span->fault = "repeated on purpose by --fault";
        give(fault, span);
        break;
    case FAULT_LATE:
        keep(fault, span);
        break;
    case FAULT_KINDS:
        give(fault, span);
        break;
    }
}

/* All frames there are, until one is kept; end as for kd_framer_next. */
static void take_frames(struct fault *fault, enum side from, bool late, bool end)
{
    struct fault_stream *stream = &fault->streams[from];
    struct kd_frame frame;
    const uint8_t *bytes;

    while (stream->kept == 0 &&
           kd_framer_next(&stream->framer, end, &frame, &bytes) != KD_FRAME_NEED_MORE) {
        struct fault_span span = {.from = from,
                                  .delivered = true,
                                  .late = late,
                                  .when = stream->since,
                                  .bytes = bytes,
                                  .size = frame.size};

        if (frame.kind == KD_FRAME_NOISE)
            give(fault, &span);
        else
            take_frame(fault, &span);
        stream->since = stream->last;
    }
}

/* The wait is over. */
static void release(struct fault *fault, enum side from)
{
    struct fault_stream *stream = &fault->streams[from];
    struct fault_span span = {.from = from,
                              .delivered = true,
                              .late = true,
                              .when = stream->kept_since,
                              .fault = "delayed on purpose by --fault",
                              .bytes = stream->frame,
                              .size = stream->kept};

    stream->kept = 0;
    give(fault, &span);
    take_frames(fault, from, true, false);
}

/* --- the interface */

static void stream_init(struct fault *fault, enum side side)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, lane_flow(side)};
    struct fault_stream *stream = &fault->streams[side];

    kd_framer_init(&stream->framer, &framing, stream->buffer, sizeof stream->buffer);
    stream->kept = 0;
}

void fault_init(struct fault *fault, const struct fault_options *options,
                const struct fault_events *events, void *context)
{
    fault->events = events;
    fault->context = context;
    fault->options = *options;
    fault->frames = 0;
    memset(fault->counts, 0, sizeof fault->counts);
    for (int i = 0; i < 2; i++) {
        stream_init(fault, (enum side)i);
        fault->streams[i].random = options->seed * 2 + (uint64_t)i;
    }
}

void fault_push(struct fault *fault, enum side from, uint64_t when, const uint8_t *bytes,
                size_t size)
{
    struct fault_stream *stream = &fault->streams[from];

    if (!fault->options.from[from]) {
        give(fault,
             &(struct fault_span){
                 .from = from, .delivered = true, .when = when, .bytes = bytes, .size = size});
        return;
    }
    while (size > 0) {
        size_t taken;

        if (stream->framer.start == stream->framer.end)
            stream->since = when;
        stream->last = when;
        taken = kd_framer_push(&stream->framer, bytes, size);
        bytes += taken;
        size -= taken;
        if (stream->kept > 0 && size > 0)
            release(fault, from);
        else
            take_frames(fault, from, false, false);
    }
}

/* All that this direction has goes out as it is. */
static void flush(struct fault *fault, enum side from)
{
    struct fault_stream *stream = &fault->streams[from];

    while (stream->kept > 0)
        release(fault, from);
    give(fault, &(struct fault_span){.from = from,
                                     .delivered = true,
                                     .late = true,
                                     .when = stream->since,
                                     .bytes = stream->framer.buffer + stream->framer.start,
                                     .size = stream->framer.end - stream->framer.start});
    stream_init(fault, from);
}

void fault_disconnected(struct fault *fault)
{
    flush(fault, SIDE_DEBUGGER);
    flush(fault, SIDE_TARGET);
}

bool fault_waits(const struct fault *fault, enum side from)
{
    return fault->streams[from].kept > 0;
}

static uint64_t due_at(const struct fault_stream *stream)
{
    if (stream->kept > 0)
        return stream->due;
    return stream->framer.start < stream->framer.end ? stream->last + FAULT_IDLE : UINT64_MAX;
}

uint64_t fault_deadline(const struct fault *fault)
{
    uint64_t debugger = due_at(&fault->streams[SIDE_DEBUGGER]);
    uint64_t target = due_at(&fault->streams[SIDE_TARGET]);

    return debugger < target ? debugger : target;
}

void fault_tick(struct fault *fault, uint64_t now)
{
    for (int i = 0; i < 2; i++) {
        struct fault_stream *stream = &fault->streams[i];

        if (now < due_at(stream))
            continue;
        stream->last = now;
        if (stream->kept > 0)
            release(fault, (enum side)i);
        else
            take_frames(fault, (enum side)i, true, true);
    }
}

void fault_summary(const struct fault *fault, char *out, size_t room)
{
    snprintf(out, room,
             "of %" PRIu64 " frames %" PRIu64 " dropped, %" PRIu64 " damaged, %" PRIu64
             " repeated, %" PRIu64 " late",
             fault->frames, fault->counts[FAULT_DROP], fault->counts[FAULT_CORRUPT],
             fault->counts[FAULT_DUP], fault->counts[FAULT_LATE]);
}
