/* capture_file.c - blocks for frames, and what a file of them begins and ends with.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "capture_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture/output.h"
#include "capture/pcapng.h"
#include "clock.h"
#include "key_comment.h"
#include "rotation.h"

/* Room for a frame of the largest snaplen that is asked for, with its comments. */
#define BLOCK_SIZE   ((256u << 10) + 4096u)
#define COMMENT_SIZE 400u

struct capture_file {
    const struct capture_file_config *config;
    struct cap_output *output;
    uint64_t started, last; /* wall */
    uint64_t received, dropped;
    uint32_t keys_told_in;       /* the number of the file */
    bool told[KEYRING_KEYS_MAX]; /* a comment in that file has this key */
    char log[KEYRING_KEYS_MAX * KEYRING_LINE_SIZE];
    uint8_t block[BLOCK_SIZE];
};

/* The keys as lines of a key-log. */
static void write_log(struct capture_file *file)
{
    char line[KEYRING_LINE_SIZE];
    size_t used = 0;

    file->log[0] = '\0';
    for (size_t i = 0; file->config->keyring && i < keyring_count(file->config->keyring); i++) {
        keyring_line(file->config->keyring, i, line);
        used += (size_t)snprintf(file->log + used, sizeof file->log - used, "%s\n", line);
    }
    keyring_wipe(line, sizeof line);
}

static size_t write_head(void *context, uint8_t *out, size_t room)
{
    const struct capture_file *file = context;
    const struct capture_file_config *config = file->config;
    struct cap_section section = {.application = cap_text("kdlens " KDLENS_VERSION),
                                  .os = cap_text(KDLENS_SYSTEM)};
    struct cap_interface interface = {.linktype = config->linktype,
                                      .snaplen = config->snaplen,
                                      .name = cap_text(config->interface),
                                      .description = cap_text(config->description),
                                      .filter = cap_text(config->filter),
                                      .os = cap_text(KDLENS_SYSTEM)};
    struct cap_secrets secrets = {.type = CAP_SECRET_KDNK,
                                  .data = {(const uint8_t *)file->log, strlen(file->log)}};
    size_t sizes[3] = {cap_encode_section(NULL, 0, &section),
                       cap_encode_interface(NULL, 0, &interface),
                       secrets.data.size ? cap_encode_secrets(NULL, 0, &secrets) : 0};
    size_t size = sizes[0] + sizes[1] + sizes[2];

    if (size > room)
        return size;
    cap_encode_section(out, sizes[0], &section);
    cap_encode_interface(out + sizes[0], sizes[1], &interface);
    if (sizes[2] > 0)
        cap_encode_secrets(out + sizes[0] + sizes[1], sizes[2], &secrets);
    return size;
}

static size_t write_foot(void *context, uint8_t *out, size_t room)
{
    const struct capture_file *file = context;
    struct cap_statistics statistics = {.time = file->last,
                                        .start = file->started,
                                        .end = file->last,
                                        .received = file->received,
                                        .dropped = file->dropped};

    return cap_encode_statistics(out, room, &statistics);
}

struct capture_file *capture_file_open(const struct capture_file_config *config,
                                       struct problem *problem)
{
    struct capture_file *file = calloc(1, sizeof *file);
    struct cap_output_options options = {
        .path = config->path, .header = write_head, .footer = write_foot, .context = file};

    if (!file) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    file->config = config;
    file->started = file->last = clock_wall();
    write_log(file);
    if (rotation_parse(config->rotation->items, config->rotation->count, &options, problem))
        file->output =
            cap_output_open(&options, clock_monotonic(), problem->text, sizeof problem->text);
    if (!file->output) {
        keyring_wipe(file->log, sizeof file->log);
        free(file);
        return NULL;
    }
    return file;
}

/* Whether this frame is to carry the key: the first one in this file that it opens. */
static bool tells_key(struct capture_file *file, size_t key)
{
    uint32_t number = cap_output_status(file->output)->file;

    if (!file->config->keyring || key >= KEYRING_KEYS_MAX)
        return false;
    if (file->keys_told_in != number) {
        file->keys_told_in = number;
        memset(file->told, 0, sizeof file->told);
    }
    return !file->told[key];
}

static bool write_frame(struct capture_file *file, const struct capture_frame *frame, bool with_key)
{
    char key[KEYRING_LINE_SIZE], comment[KEYRING_LINE_SIZE + 16];
    struct cap_text comments[2];
    struct cap_packet packet = {.time = frame->wall,
                                .data = {frame->bytes, frame->size},
                                .original_size = (uint32_t)frame->original_size,
                                .comments = {comments, 0}};
    size_t size;
    bool taken;

    if (with_key) {
        keyring_key(file->config->keyring, frame->key, key);
        snprintf(comment, sizeof comment, KEY_COMMENT_MARK " %s", key);
        comments[packet.comments.count++] = cap_text(comment);
    }
    if (frame->marker)
        comments[packet.comments.count++] = cap_text(frame->marker);
    size = cap_encode_packet(file->block, sizeof file->block, &packet);
    taken = size > 0 && size <= sizeof file->block &&
            cap_output_write(file->output, file->block, size, clock_monotonic());
    if (with_key) {
        keyring_wipe(key, sizeof key);
        keyring_wipe(comment, sizeof comment);
    }
    return taken;
}

bool capture_file_frame(struct capture_file *file, const struct capture_frame *frame)
{
    bool with_key = tells_key(file, frame->key);

    file->last = frame->wall;
    if (!write_frame(file, frame, with_key))
        return false;
    if (with_key)
        file->told[frame->key] = true;
    return true;
}

void capture_file_counts(struct capture_file *file, uint64_t received, uint64_t dropped)
{
    file->received = received;
    file->dropped = dropped;
    file->last = clock_wall();
}

bool capture_file_flush(struct capture_file *file)
{
    return cap_output_flush(file->output, clock_monotonic()) &&
           !cap_output_status(file->output)->failing;
}

const char *capture_file_news(struct capture_file *file)
{
    return cap_output_news(file->output);
}

const char *capture_file_path(const struct capture_file *file)
{
    return cap_output_status(file->output)->path;
}

bool capture_file_close(struct capture_file *file, uint64_t *lost, struct problem *problem)
{
    struct cap_output_status last;
    bool fine = cap_output_close(file->output, clock_monotonic(), &last, problem->text,
                                 sizeof problem->text);

    *lost = last.dropped_blocks;
    keyring_wipe(file->log, sizeof file->log);
    free(file);
    return fine;
}
