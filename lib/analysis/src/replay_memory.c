/* replay_memory.c - memory as of the stop: as captured, and what this debugger has written.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "replay_parts.h"

/* What one debugger may write and fill; the store has the rest of the machine's disk otherwise. */
#define WRITTEN_MAX (UINT64_C(256) << 20)

static const struct kda_memory *recorded(const struct kda_replay *replay, bool physical)
{
    return physical ? kda_model_physical(replay->model) : kda_model_virtual(replay->model);
}

/* Where the view has a byte and nothing stands so far. */
static void add_view(struct kda_replay *replay, const struct kda_memory *memory,
                     const struct kda_view *view, uint64_t address, size_t size)
{
    struct replay_scratch *scratch = &replay->scratch;

    if (!kda_memory_read(memory, view, address, scratch->other, scratch->other_known, size))
        return;
    for (size_t i = 0; i < size; i++)
        if (!scratch->known[i] && scratch->other_known[i]) {
            scratch->bytes[i] = scratch->other[i];
            scratch->known[i] = scratch->other_known[i];
        }
}

/* What the target itself stated in this stop, the recorded debugger's writes undone; else what was
 * known when the stop began. */
static void add_recorded(struct kda_replay *replay, bool physical, uint64_t address, size_t size)
{
    const struct script_line *stop = replay_stop(replay);
    const struct kda_memory *memory = recorded(replay, physical);
    const struct kda_view begin = {.at = stop->frame};
    const struct kda_view undone = {.at = stop->until, .without = KDA_DEBUGGERS};
    struct replay_scratch *scratch = &replay->scratch;

    kda_memory_read(memory, &undone, address, scratch->bytes, scratch->known, size);
    for (size_t i = 0; i < size; i++)
        if (scratch->known[i] < stop->frame)
            scratch->known[i] = 0;
    add_view(replay, memory, &begin, address, size);
}

/* A byte that this debugger wrote at an earlier stop stays, unless the target said otherwise in
 * this one. */
static void add_written(struct kda_replay *replay, bool physical, uint64_t address, size_t size)
{
    const struct kda_view all = {.at = KDA_END};
    const struct script_line *stop = replay_stop(replay);
    struct replay_scratch *scratch = &replay->scratch;

    if (!kda_memory_read(replay->written[physical], &all, address, scratch->other,
                         scratch->other_known, size))
        return;
    for (size_t i = 0; i < size; i++) {
        bool here = scratch->other_known[i] == replay->stop + 1;

        if (scratch->other_known[i] && (here || scratch->known[i] < stop->frame)) {
            scratch->bytes[i] = scratch->other[i];
            scratch->known[i] = 1;
        }
    }
}

/* Up to the end of the address space: an access never goes on at 0. */
static size_t within(uint64_t address, uint64_t size)
{
    if (address != 0 && size > 0 - address)
        size = 0 - address;
    return smaller((size_t)(size > SIZE_MAX ? SIZE_MAX : size), KD_PACKET_MAX_SIZE);
}

/* Puts together at most a packet's bytes in scratch.bytes; returns how many are known before the
 * first that is not. */
static size_t gather(struct kda_replay *replay, bool physical, uint64_t address, uint64_t wanted)
{
    const struct kda_view later = {.at = KDA_END, .without = KDA_DEBUGGERS};
    size_t size = within(address, wanted), there = 0;

    memset(replay->scratch.known, 0, size * sizeof replay->scratch.known[0]);
    add_recorded(replay, physical, address, size);
    add_written(replay, physical, address, size);
    if (replay->config.later)
        add_view(replay, recorded(replay, physical), &later, address, size);
    while (there < size && replay->scratch.known[there])
        there++;
    return there;
}

/* A read of memory that was captured in part gets the part before the hole, with success: debuggers
 * go on behind it. */
enum outcome read_memory(struct kda_replay *replay, struct ask *ask, bool physical)
{
    struct kd_memory *body = ask->body;
    size_t wanted = smaller(kd_get32(body->transfer_count), ask->room);
    size_t got = gather(replay, physical, kd_get64(body->target_base_address), wanted);

    memcpy(ask->out, replay->scratch.bytes, got);
    ask->out_size = got;
    body->actual_bytes = kd_put32((uint32_t)got);
    replay->tally.unknown_bytes += wanted - got;
    return answer(ask, got == 0 && wanted != 0 ? UNSUCCESSFUL : SUCCESS);
}

/* An address that only the recorded debugger wrote is there, too. */
static size_t writable(struct kda_replay *replay, bool physical, uint64_t address, uint64_t wanted)
{
    const struct kda_view view = {.at = replay_stop(replay)->until};
    size_t there, size = within(address, wanted);

    gather(replay, physical, address, wanted);
    add_view(replay, recorded(replay, physical), &view, address, size);
    for (there = 0; there < size && replay->scratch.known[there];)
        there++;
    return there;
}

static bool keep_written(struct kda_replay *replay, bool physical, uint64_t address,
                         const uint8_t *bytes, size_t size)
{
    const struct kda_memory_tally *tally = kda_memory_tally(replay->written[physical]);
    uint32_t stop = (uint32_t)replay->stop + 1;

    return tally->bytes[KDA_WRITE] + size <= WRITTEN_MAX &&
           kda_memory_see(replay->written[physical], KDA_WRITE, stop, stop, address, bytes, size);
}

enum outcome write_memory(struct kda_replay *replay, struct ask *ask, bool physical)
{
    struct kd_memory *body = ask->body;
    uint64_t address = kd_get64(body->target_base_address);
    size_t wanted = smaller(kd_get32(body->transfer_count), ask->size);
    size_t there = writable(replay, physical, address, wanted);

    if (there && !keep_written(replay, physical, address, ask->data, there))
        there = 0;
    body->actual_bytes = kd_put32((uint32_t)there);
    replay->tally.unknown_bytes += wanted - there;
    return answer(ask, there < wanted ? UNSUCCESSFUL : SUCCESS);
}

/* --- search and fill: only for a debugger whose recorded target had them */

static bool was_refused(const struct kda_replay *replay, uint32_t api)
{
    const struct script_api *known = script_api(replay->script, api);

    return known && known->answered && !known->succeeded;
}

/* Where the pattern begins in the bytes; size when it does not. */
static size_t find(const uint8_t *bytes, size_t size, const uint8_t *pattern, size_t length)
{
    for (size_t i = 0; i + length <= size; i++)
        if (memcmp(bytes + i, pattern, length) == 0)
            return i;
    return size;
}

/* What is not known is not searched: the debugger then reads, and sees where the hole is. */
enum outcome search_memory(struct kda_replay *replay, struct ask *ask)
{
    struct kd_search_memory *body = ask->body;
    uint64_t address = kd_get64(body->search_address), left = kd_get64(body->search_length);
    size_t length = kd_get32(body->pattern_length);

    if (was_refused(replay, ask->api))
        return answer(ask, UNSUCCESSFUL);
    if (length == 0 || length > ask->size)
        return answer(ask, KD_NT(STATUS_INVALID_PARAMETER));
    if (address != 0 && left > 0 - address)
        left = 0 - address;
    while (left >= length) {
        size_t window = within(address, left);
        size_t got = gather(replay, false, address, window);
        size_t at = find(replay->scratch.bytes, got, ask->data, length);
        size_t step = got - length + 1;

        if (at < got) {
            body->search_address = kd_put64(address + at);
            return answer(ask, SUCCESS);
        }
        if (got < window || got < length)
            return answer(ask, UNSUCCESSFUL);
        address += step;
        left -= step;
    }
    return answer(ask, KD_NT(STATUS_NO_MORE_ENTRIES));
}

enum outcome fill_memory(struct kda_replay *replay, struct ask *ask)
{
    struct kd_fill_memory *body = ask->body;
    uint64_t address = kd_get64(body->address);
    uint32_t total = kd_get32(body->length), done = 0;
    uint16_t flags = kd_get16(body->flags);
    size_t pattern = kd_get16(body->pattern_length);

    if (was_refused(replay, ask->api))
        return answer(ask, UNSUCCESSFUL);
    if (pattern == 0 || pattern > ask->size ||
        (flags != KD_FILL_PHYSICAL && flags != KD_FILL_VIRTUAL))
        return answer(ask, KD_NT(STATUS_INVALID_PARAMETER));
    while (done < total) {
        size_t piece = writable(replay, flags == KD_FILL_PHYSICAL, address + done, total - done);
        uint8_t *bytes = replay->scratch.bytes;

        for (size_t i = 0; i < piece; i++)
            bytes[i] = ask->data[(done + i) % pattern];
        if (!piece ||
            !keep_written(replay, flags == KD_FILL_PHYSICAL, address + done, bytes, piece))
            break;
        done += (uint32_t)piece;
    }
    body->length = kd_put32(done);
    return answer(ask, done < total ? UNSUCCESSFUL : SUCCESS);
}
