/* import_raw.c - dumps of bytes without times: one of both directions, or one of each.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Each frame is a chunk, a microsecond after the one before, so that the order can be seen. Dumps
 * of each direction are put in order by merge.h.
 */
#include <stdlib.h>

#include "clock.h"
#include "import.h"
#include "kd/frame.h"
#include "merge.h"

#define CAPACITY KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)

/* A dump as frames. */
struct dump {
    struct input *input; /* NULL: an empty one */
    struct kd_framer framer;
    uint8_t block[16384]; /* block[at..filled) is not yet in the framer */
    size_t at, filled;
    bool ended;
    uint8_t buffer[CAPACITY];
};

static struct dump *dump_new(struct input *input, enum kd_flow flow)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, flow};
    struct dump *dump = calloc(1, sizeof *dump);

    if (!dump)
        return NULL;
    dump->input = input;
    dump->ended = !input;
    kd_framer_init(&dump->framer, &framing, dump->buffer, CAPACITY);
    return dump;
}

/* False at the end. The frame's bytes are valid until the next call. */
static bool dump_next(struct dump *dump, struct kd_frame *frame, const uint8_t **bytes)
{
    for (;;) {
        if (kd_framer_next(&dump->framer, dump->ended, frame, bytes) != KD_FRAME_NEED_MORE)
            return true;
        if (dump->ended)
            return false;
        if (dump->at == dump->filled) {
            dump->at = 0;
            dump->filled = input_read(dump->input, dump->block, sizeof dump->block);
            dump->ended = dump->filled == 0;
        }
        dump->at += kd_framer_push(&dump->framer, dump->block + dump->at, dump->filled - dump->at);
    }
}

static bool dump_result(const struct dump *dump, struct problem *problem)
{
    if (!dump->input || !input_failure(dump->input))
        return true;
    problem_set(problem, "%s", input_failure(dump->input));
    return false;
}

static bool say_untimed(const struct import_sink *sink)
{
    static const struct stream_line what = {
        .comment = "From a dump without times: they are made up, a microsecond a packet"};

    return sink->line(sink->context, 0, &what);
}

static bool read_dump(struct input *input, const struct import_sink *sink,
                      struct import_faults *faults, struct problem *problem)
{
    struct dump *dump = dump_new(input, KD_FLOW_UNKNOWN);
    struct kd_frame frame;
    const uint8_t *bytes;
    uint64_t time = 0;
    bool fine, wanted;

    (void)faults;
    if (!dump) {
        problem_set(problem, "out of memory");
        return false;
    }
    wanted = say_untimed(sink);
    for (; wanted && dump_next(dump, &frame, &bytes); time += CLOCK_MICROSECOND)
        wanted = sink->chunk(sink->context, &(struct import_chunk){0, time, CAP_DIRECTION_UNKNOWN,
                                                                   bytes, frame.size});
    fine = dump_result(dump, problem);
    free(dump);
    return fine;
}

/* --- two dumps */

struct pair {
    struct dump *dumps[2]; /* by enum side */
    bool there[2];         /* whether a frame waits */
    struct kd_frame frames[2];
    const uint8_t *bytes[2];
};

static void advance(struct pair *pair, enum side side)
{
    pair->there[side] = dump_next(pair->dumps[side], &pair->frames[side], &pair->bytes[side]);
}

static void deliver_in_order(struct pair *pair, const struct import_sink *sink)
{
    static const enum cap_direction directions[] = {
        [SIDE_DEBUGGER] = CAP_SENT, [SIDE_TARGET] = CAP_RECEIVED};
    struct merge merge = {0};
    uint64_t time = 0;
    bool wanted = say_untimed(sink);

    advance(pair, SIDE_DEBUGGER);
    advance(pair, SIDE_TARGET);
    for (; wanted && (pair->there[0] || pair->there[1]); time += CLOCK_MICROSECOND) {
        struct merge_head heads[2];
        enum side side;

        for (int i = 0; i < 2; i++)
            heads[i] =
                (struct merge_head){pair->there[i] ? &pair->frames[i] : NULL, pair->bytes[i]};
        side = merge_choose(&merge, heads);
        wanted = sink->chunk(sink->context,
                             &(struct import_chunk){0, time, directions[side], pair->bytes[side],
                                                    pair->frames[side].size});
        advance(pair, side);
    }
}

bool import_dumps(struct input *from_debugger, struct input *from_target,
                  const struct import_sink *sink, struct problem *problem)
{
    struct pair pair = {.dumps = {[SIDE_DEBUGGER] = dump_new(from_debugger, KD_FLOW_TO_TARGET),
                                  [SIDE_TARGET] = dump_new(from_target, KD_FLOW_TO_DEBUGGER)}};
    bool fine = pair.dumps[0] && pair.dumps[1];

    if (fine) {
        deliver_in_order(&pair, sink);
        fine = dump_result(pair.dumps[0], problem) && dump_result(pair.dumps[1], problem);
    } else {
        problem_set(problem, "out of memory");
    }
    free(pair.dumps[0]);
    free(pair.dumps[1]);
    return fine;
}

const struct import_format import_raw = {
    .name = "raw",
    .read = read_dump,
    .relative = true,
};
