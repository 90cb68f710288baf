/* recording.c - blocks for records, and where they go.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "recording.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "capture/pcapng.h"
#include "capture/upper_pdu.h"
#include "clock.h"
#include "live.h"
#include "rotation.h"

#define DISSECTOR    "kd_stream"
#define COMMENT_SIZE 400u
#define BLOCK_SIZE   (RECORDING_MAX + 4096u)
#define NOTE         2u
#define HEADS        3u

struct recording {
    const struct recorder_config *config;
    struct cap_output *file; /* NULL: none */
    struct live *live;       /* NULL: none */
    uint64_t started, last;  /* wall */
    uint64_t records;
    uint64_t dropped;   /* reads that did not get here */
    uint64_t lost_told; /* of cap_output_status: already in the file */
    uint64_t bytes_told;
    char description[300];
    uint8_t heads[HEADS][CAP_UPPER_PDU_HEAD_MAX]; /* by enum side; NOTE */
    size_t head_sizes[HEADS];
    uint8_t block[BLOCK_SIZE];
};

/* --- what a file begins and ends with */

static size_t write_head(void *context, uint8_t *out, size_t room)
{
    const struct recording *recording = context;
    struct cap_section section = {.application = cap_text("kdlens " KDLENS_VERSION),
                                  .os = cap_text(KDLENS_SYSTEM)};
    struct cap_interface interface = {.linktype = CAP_LINKTYPE_UPPER_PDU,
                                      .name = cap_text("kdlens"),
                                      .description = cap_text(recording->description),
                                      .os = cap_text(KDLENS_SYSTEM),
                                      .speed = recording->config->baud};
    size_t size = cap_encode_section(out, room, &section);

    if (size > room)
        return size + cap_encode_interface(NULL, 0, &interface);
    return size + cap_encode_interface(out + size, room - size, &interface);
}

static size_t write_foot(void *context, uint8_t *out, size_t room)
{
    const struct recording *recording = context;
    uint64_t lost = recording->dropped;
    struct cap_statistics statistics;

    if (recording->file)
        lost += cap_output_status(recording->file)->dropped_blocks;
    statistics = (struct cap_statistics){.time = recording->last,
                                         .start = recording->started,
                                         .end = recording->last,
                                         .received = recording->records,
                                         .dropped = lost};
    return cap_encode_statistics(out, room, &statistics);
}

static bool open_file(struct recording *recording, struct problem *problem)
{
    const struct recorder_config *config = recording->config;
    struct cap_output_options options = {
        .path = config->file, .header = write_head, .footer = write_foot, .context = recording};

    if (!rotation_parse(config->rotation, config->rotation_count, &options, problem))
        return false;
    if (!config->file)
        return true;
    recording->file =
        cap_output_open(&options, clock_monotonic(), problem->text, sizeof problem->text);
    return recording->file != NULL;
}

struct recording *recording_new(const struct recorder_config *config, uint64_t wall,
                                struct problem *problem)
{
    static const enum cap_direction directions[] = {
        [SIDE_DEBUGGER] = CAP_SENT, [SIDE_TARGET] = CAP_RECEIVED, [NOTE] = CAP_DIRECTION_UNKNOWN};
    struct recording *recording = calloc(1, sizeof *recording);

    if (!recording) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    recording->config = config;
    recording->started = recording->last = wall;
    snprintf(recording->description, sizeof recording->description, "debugger %s, target %s",
             config->ends[SIDE_DEBUGGER], config->ends[SIDE_TARGET]);
    for (unsigned i = 0; i < HEADS; i++)
        recording->head_sizes[i] = cap_upper_pdu_encode(
            recording->heads[i], sizeof recording->heads[i], DISSECTOR, directions[i]);
    if (config->live) {
        recording->live = live_new(config->live, config->live_make, write_head, recording,
                                   config->status, problem);
        if (!recording->live) {
            free(recording);
            return NULL;
        }
    }
    if (!open_file(recording, problem)) {
        live_free(recording->live);
        free(recording);
        return NULL;
    }
    return recording;
}

static void show_news(struct recording *recording)
{
    const char *text;

    while (recording->file && (text = cap_output_news(recording->file)) != NULL)
        status_fail(recording->config->status, "%s", text);
}

void recording_free(struct recording *recording, uint64_t wall, struct recording_totals *totals)
{
    struct cap_output_status last = {0};
    char error[400];

    if (wall > recording->last)
        recording->last = wall;
    if (recording->file) {
        if (!cap_output_close(recording->file, clock_monotonic(), &last, error, sizeof error))
            status_fail(recording->config->status, "%s", error);
        recording->file = NULL;
    }
    if (recording->live) {
        size_t size = write_foot(recording, recording->block, sizeof recording->block);

        live_block(recording->live, recording->block, size);
        live_free(recording->live);
    }
    *totals = (struct recording_totals){.records = recording->records, .lost = last.dropped_blocks};
    free(recording);
}

/* --- records */

/* "comment; N records (M bytes) before this one were not written", as far as each applies. The
 * number of such records is returned. */
static uint64_t make_comment(const struct recording *recording, const char *comment, char *out,
                             size_t room)
{
    const struct cap_output_status *status =
        recording->file ? cap_output_status(recording->file) : NULL;
    uint64_t lost = status ? status->dropped_blocks - recording->lost_told : 0;

    if (lost > 0)
        snprintf(out, room,
                 "%s%s%" PRIu64 " records (%" PRIu64 " bytes) before this one could not "
                 "be written",
                 comment ? comment : "", comment ? "; " : "", lost,
                 status->dropped_bytes - recording->bytes_told);
    else
        snprintf(out, room, "%s", comment ? comment : "");
    return lost;
}

/* head: of heads; flags: enum cap_packet_flags. */
static void write_packet(struct recording *recording, unsigned head, uint32_t flags, uint64_t wall,
                         struct cap_bytes data, const char *comment, uint64_t dropped)
{
    char text[COMMENT_SIZE];
    uint64_t lost = make_comment(recording, comment, text, sizeof text);
    struct cap_text comment_text = cap_text(text);
    struct cap_packet packet = {
        .time = wall,
        .head = {recording->heads[head], recording->head_sizes[head]},
        .data = data,
        .flags = flags,
        .dropped = lost + dropped,
        .comments = {&comment_text, text[0] ? 1 : 0},
    };
    size_t block = cap_encode_packet(recording->block, sizeof recording->block, &packet);
    bool written = true;

    if (wall > recording->last)
        recording->last = wall;
    recording->dropped += dropped;
    if (block == 0 || block > sizeof recording->block)
        return;
    if (recording->file)
        written = cap_output_write(recording->file, recording->block, block, clock_monotonic());
    if (written)
        recording->records++;
    if (written && lost > 0) {
        recording->lost_told = cap_output_status(recording->file)->dropped_blocks;
        recording->bytes_told = cap_output_status(recording->file)->dropped_bytes;
    }
    if (recording->live)
        live_block(recording->live, recording->block, block);
}

void recording_record(struct recording *recording, enum side from, uint64_t wall,
                      const uint8_t *bytes, size_t size, const char *comment, uint64_t dropped)
{
    write_packet(recording, from, from == SIDE_TARGET ? CAP_FLAG_INBOUND : CAP_FLAG_OUTBOUND, wall,
                 (struct cap_bytes){bytes, size}, comment, dropped);
}

void recording_note(struct recording *recording, uint64_t wall, const char *comment,
                    uint64_t dropped)
{
    write_packet(recording, NOTE, 0, wall, (struct cap_bytes){NULL, 0}, comment, dropped);
}

void recording_pump(struct recording *recording)
{
    uint64_t now = clock_monotonic();

    if (recording->file)
        cap_output_flush(recording->file, now);
    show_news(recording);
    if (recording->live)
        live_pump(recording->live, now);
}

bool recording_waits(const struct recording *recording)
{
    return recording->live || (recording->file && (cap_output_status(recording->file)->failing ||
                                                   recording->config->rotation_count > 0));
}
