/* stream_file.c - KD byte streams into a capture. See stream_file.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "stream_file.h"

#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "capture/pcapng.h"
#include "clock.h"
#include "kd/sender.h"
#include "lane.h"
#include "recorder.h"

#define DISSECTOR "kd_stream"

#define DIRECTIONS 3u /* of enum cap_direction */

/* One direction of a line. */
struct way {
    struct stream_file *file;
    uint32_t line;
    enum cap_direction direction;
    struct lane *lane; /* made with the first byte */
    struct stream_counts counts;
};

struct line {
    bool used;
    uint64_t first, last; /* times of records */
    struct way ways[DIRECTIONS];
};

struct stream_file {
    struct stream_file_options options;
    struct cap_output *output; /* NULL until the first line */
    uint32_t line_count;
    uint64_t flushed; /* monotonic */
    bool failed;      /* a block was not taken, or there was no room for one */
    uint8_t *block;
    size_t room;
    struct line lines[STREAM_LINES_MAX];
};

struct stream_file *stream_file_new(const struct stream_file_options *options,
                                    struct problem *problem)
{
    struct stream_file *file = calloc(1, sizeof *file);

    if (!file) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    file->options = *options;
    return file;
}

static size_t write_header(void *context, uint8_t *out, size_t room)
{
    const struct stream_file *file = context;
    const struct cap_section section = {.application = cap_text(file->options.application),
                                        .os = cap_text(KDLENS_SYSTEM)};

    return cap_encode_section(out, room, &section);
}

static size_t write_footer(void *context, uint8_t *out, size_t room)
{
    const struct stream_file *file = context;
    size_t used = 0;

    for (uint32_t i = 0; i < file->line_count; i++) {
        const struct line *line = &file->lines[i];
        struct cap_statistics statistics = {.interface = i,
                                            .time = line->last,
                                            .start = line->used ? line->first : CAP_NOT_SAID,
                                            .end = line->used ? line->last : CAP_NOT_SAID,
                                            .dropped = CAP_NOT_SAID};

        for (size_t way = 0; way < DIRECTIONS; way++)
            statistics.received += line->ways[way].counts.records;
        used += cap_encode_statistics(used < room ? out + used : NULL,
                                      used < room ? room - used : 0, &statistics);
    }
    return used;
}

/* Room for a block of this size. */
static bool have_room(struct stream_file *file, size_t size)
{
    uint8_t *grown;

    if (size <= file->room)
        return true;
    grown = realloc(file->block, size);
    if (!grown)
        return false;
    file->block = grown;
    file->room = size;
    return true;
}

static bool open_output(struct stream_file *file, struct problem *problem)
{
    const struct cap_output_options options = {.path = file->options.path,
                                               .header = write_header,
                                               .footer = write_footer,
                                               .context = file};
    char error[256];

    if (file->output)
        return true;
    file->output = cap_output_open(&options, clock_monotonic(), error, sizeof error);
    if (!file->output)
        problem_set(problem, "%s", error);
    return file->output != NULL;
}

int stream_file_add(struct stream_file *file, const struct stream_line *line,
                    struct problem *problem)
{
    const struct cap_interface interface = {
        .linktype = CAP_LINKTYPE_UPPER_PDU,
        .name = cap_text(line->name),
        .description = cap_text(line->description),
        .speed = line->speed,
        .comments = {(const struct cap_text[]){cap_text(line->comment)}, line->comment ? 1 : 0},
    };
    size_t size = cap_encode_interface(NULL, 0, &interface);
    uint32_t number = file->line_count;

    if (number == STREAM_LINES_MAX) {
        problem_set(problem, "more than %u lines in one capture", STREAM_LINES_MAX);
        return -1;
    }
    if (!open_output(file, problem))
        return -1;
    if (!have_room(file, size)) {
        problem_set(problem, "out of memory");
        return -1;
    }
    cap_encode_interface(file->block, file->room, &interface);
    if (!cap_output_write(file->output, file->block, size, clock_monotonic())) {
        problem_set(problem, "%s cannot be written", file->options.path);
        return -1;
    }
    for (unsigned i = 0; i < DIRECTIONS; i++)
        file->lines[number].ways[i] =
            (struct way){.file = file, .line = number, .direction = (enum cap_direction)i};
    file->line_count++;
    return (int)number;
}

static void write_record(struct way *way, uint64_t time, const uint8_t *bytes, size_t size)
{
    static const uint32_t flags[DIRECTIONS] = {CAP_FLAG_OUTBOUND, CAP_FLAG_INBOUND, 0};
    struct stream_file *file = way->file;
    struct line *line = &file->lines[way->line];
    uint8_t head[CAP_UPPER_PDU_HEAD_MAX];
    struct cap_packet packet = {.interface = way->line,
                                .time = time,
                                .head = {head, 0},
                                .data = {bytes, size},
                                .flags = flags[way->direction]};
    size_t needed;

    packet.head.size = cap_upper_pdu_encode(head, sizeof head, DISSECTOR, way->direction);
    needed = cap_encode_packet(NULL, 0, &packet);
    if (needed == 0 || !have_room(file, needed)) {
        file->failed = true;
        return;
    }
    cap_encode_packet(file->block, file->room, &packet);
    if (!cap_output_write(file->output, file->block, needed, clock_monotonic()))
        file->failed = true;
    if (!line->used || time < line->first)
        line->first = time;
    if (!line->used || time > line->last)
        line->last = time;
    line->used = true;
    way->counts.records++;
    way->counts.bytes += size;
}

static void count_packet(struct way *way, const struct kd_frame *frame, const uint8_t *bytes)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    enum kd_flow against = way->direction == CAP_SENT ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;

    way->counts.packets++;
    if (frame->flags) {
        way->counts.damaged++;
        return;
    }
    if (way->direction != CAP_DIRECTION_UNKNOWN &&
        kd_packet_flow(kd_get16(header->packet_type), bytes + KD_HEADER_SIZE, frame->payload) ==
            against)
        way->counts.against++;
}

/* Noise of the other direction that came before a packet stays before it. */
static void end_noise_of_others(struct way *way)
{
    struct way *ways = way->file->lines[way->line].ways;

    for (unsigned i = 0; i < DIRECTIONS; i++)
        if (&ways[i] != way && ways[i].lane)
            lane_end_noise(ways[i].lane);
}

static void lane_frame(void *context, enum side side, uint64_t when, const struct kd_frame *frame,
                       const uint8_t *bytes)
{
    struct way *way = context;

    (void)side, (void)when;
    if (frame->kind == KD_FRAME_NOISE) {
        way->counts.noise += frame->size;
        return;
    }
    end_noise_of_others(way);
    if (frame->kind == KD_FRAME_PACKET)
        count_packet(way, frame, bytes);
    else
        way->counts.breakins++;
}

static void lane_record(void *context, enum side side, uint64_t when, const uint8_t *bytes,
                        size_t size)
{
    struct way *way = context;

    (void)side;
    if (!way->file->options.raw)
        write_record(way, when, bytes, size);
}

static bool have_lane(struct way *way)
{
    static const struct lane_events events = {lane_frame, lane_record};

    if (way->lane)
        return true;
    way->lane = malloc(sizeof *way->lane);
    if (!way->lane)
        return false;
    lane_init(way->lane, way->direction == CAP_RECEIVED ? SIDE_TARGET : SIDE_DEBUGGER, &events,
              way);
    if (way->direction == CAP_DIRECTION_UNKNOWN)
        way->lane->framer.framing.flow = KD_FLOW_UNKNOWN;
    return true;
}

/* It is this late now. Noise ends after a pause, and a break-in byte after one does not belong to
 * the noise before it. An unfinished packet waits: what completes it may be recorded later. */
static void pass_time(struct lane *lane, uint64_t now)
{
    uint64_t silence = now > lane->last ? now - lane->last : 0;

    if (silence > RECORDER_PACKET_SILENCE && !lane_is_open(lane))
        lane_end(lane);
    else if (silence > RECORDER_NOISE_SILENCE)
        lane_end_noise(lane);
}

/* Recordings may come through a pipe, slowly: what is there can be looked at. */
static void flush_sometimes(struct stream_file *file)
{
    uint64_t now = clock_monotonic();

    if (now - file->flushed < CLOCK_SECOND)
        return;
    file->flushed = now;
    cap_output_flush(file->output, now);
}

static bool result(struct stream_file *file, struct problem *problem)
{
    if (file->failed)
        problem_set(problem, "%s: not all could be written", file->options.path);
    return !file->failed;
}

bool stream_file_bytes(struct stream_file *file, const struct stream_bytes *bytes,
                       struct problem *problem)
{
    struct way *ways = file->lines[bytes->line].ways;
    struct way *way = &ways[bytes->direction];

    if (bytes->size == 0)
        return true;
    if (!have_lane(way)) {
        problem_set(problem, "out of memory");
        return false;
    }
    for (unsigned i = 0; i < DIRECTIONS; i++)
        if (ways[i].lane)
            pass_time(ways[i].lane, bytes->time);
    if (file->options.raw)
        write_record(way, bytes->time, bytes->bytes, bytes->size);
    lane_push(way->lane, bytes->time, bytes->bytes, bytes->size);
    flush_sometimes(file);
    return result(file, problem);
}

bool stream_file_end(struct stream_file *file, int line, struct problem *problem)
{
    for (unsigned i = 0; i < DIRECTIONS; i++) {
        struct way *way = &file->lines[line].ways[i];

        if (!way->lane)
            continue;
        lane_end(way->lane);
        free(way->lane);
        way->lane = NULL;
    }
    return result(file, problem);
}

const struct stream_counts *stream_file_counts(const struct stream_file *file, int line,
                                               enum cap_direction direction)
{
    return &file->lines[line].ways[direction].counts;
}

bool stream_file_close(struct stream_file *file, struct problem *problem)
{
    char error[256];
    bool fine = true;

    if (!file)
        return true;
    for (uint32_t i = 0; i < file->line_count; i++)
        fine = stream_file_end(file, (int)i, problem) && fine;
    if (file->output &&
        !cap_output_close(file->output, clock_monotonic(), NULL, error, sizeof error)) {
        problem_set(problem, "%s", error);
        fine = false;
    }
    free(file->block);
    free(file);
    return fine;
}
