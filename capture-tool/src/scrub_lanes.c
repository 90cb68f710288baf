/* scrub_lanes.c - bytes of KD streams, scrubbed frame by frame. See scrub.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/store.h"
#include "scrub.h"

#define CAPACITY   KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)
#define DIRECTIONS 3u

/* One direction of a stream. */
struct lane {
    struct kd_framer framer;
    struct kda_store *store; /* what was scrubbed */
    uint64_t given;          /* bytes of it */
    uint8_t buffer[CAPACITY];
};

struct scrub_lanes {
    struct kda_scrub *scrub;
    struct lane *lanes[KD_STREAMS_MAX][DIRECTIONS];
};

struct scrub_lanes *scrub_lanes_new(struct kda_scrub *scrub, struct problem *problem)
{
    struct scrub_lanes *lanes = calloc(1, sizeof *lanes);

    if (lanes)
        lanes->scrub = scrub;
    else
        problem_set(problem, "out of memory");
    return lanes;
}

void scrub_lanes_free(struct scrub_lanes *lanes)
{
    if (!lanes)
        return;
    for (unsigned i = 0; i < KD_STREAMS_MAX; i++) {
        for (unsigned j = 0; j < DIRECTIONS; j++) {
            if (lanes->lanes[i][j])
                kda_store_free(lanes->lanes[i][j]->store);
            free(lanes->lanes[i][j]);
        }
    }
    free(lanes);
}

static struct lane *lane_of(struct scrub_lanes *lanes, const struct kd_chunk *chunk)
{
    static const enum kd_flow flows[DIRECTIONS] = {[CAP_SENT] = KD_FLOW_TO_TARGET,
                                                   [CAP_RECEIVED] = KD_FLOW_TO_DEBUGGER,
                                                   [CAP_DIRECTION_UNKNOWN] = KD_FLOW_UNKNOWN};
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, flows[chunk->direction]};
    struct lane **lane = &lanes->lanes[chunk->stream][chunk->direction];

    if (*lane)
        return *lane;
    *lane = calloc(1, sizeof **lane);
    if (!*lane)
        return NULL;
    (*lane)->store = kda_store_new(1);
    kd_framer_init(&(*lane)->framer, &framing, (*lane)->buffer, CAPACITY);
    return (*lane)->store ? *lane : NULL;
}

/* All frames that are complete; with end all that is there. */
static bool empty(struct scrub_lanes *lanes, struct lane *lane, bool end)
{
    uint8_t bytes[CAPACITY];
    const uint8_t *at;
    struct kd_frame frame;

    while (kd_framer_next(&lane->framer, end, &frame, &at) != KD_FRAME_NEED_MORE) {
        memcpy(bytes, at, frame.size);
        kda_scrub_frame(lanes->scrub, &frame, bytes);
        if (kda_store_add(lane->store, bytes, frame.size) == UINT64_MAX)
            return false;
    }
    return true;
}

bool scrub_lanes_take(struct scrub_lanes *lanes, const struct kd_chunk *chunk)
{
    struct lane *lane = lane_of(lanes, chunk);

    if (!lane)
        return false;
    if (chunk->kind == KD_CHUNK_GAP)
        return empty(lanes, lane, true);
    for (size_t done = 0; chunk->kind == KD_CHUNK_BYTES && done < chunk->size;) {
        done += kd_framer_push(&lane->framer, chunk->bytes + done, chunk->size - done);
        if (!empty(lanes, lane, false))
            return false;
    }
    return true;
}

bool scrub_lanes_end(struct scrub_lanes *lanes)
{
    for (unsigned i = 0; i < KD_STREAMS_MAX; i++)
        for (unsigned j = 0; j < DIRECTIONS; j++)
            if (lanes->lanes[i][j] && !empty(lanes, lanes->lanes[i][j], true))
                return false;
    return true;
}

bool scrub_lanes_give(struct scrub_lanes *lanes, const struct kd_chunk *chunk, uint8_t *out)
{
    struct lane *lane = lanes->lanes[chunk->stream][chunk->direction];

    if (!lane || !kda_store_read(lane->store, lane->given, out, chunk->size))
        return false;
    lane->given += chunk->size;
    return true;
}
