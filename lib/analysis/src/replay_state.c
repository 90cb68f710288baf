/* replay_state.c - registers, control space, MSRs and ports: as recorded, and as this debugger set
 * them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Contexts and control space are of one stop: at the next, they are as recorded there.
 */
#include <string.h>

#include "replay_parts.h"

#define KEPT_MAX 65536u

/* --- what this debugger set */

static const struct kept *find_kept(const struct kda_replay *replay, enum kept_kind kind,
                                    uint16_t processor, uint64_t address)
{
    for (size_t i = replay->kept.count; i-- > 0;) {
        const struct kept *kept = list_at(&replay->kept, i, sizeof *kept);

        if (kept->kind == kind && kept->address == address && kept->processor == processor &&
            (kind == KEPT_MSR || kept->stop == replay->stop))
            return kept;
    }
    return NULL;
}

static bool set_kept(struct kda_replay *replay, enum kept_kind kind, const struct ask *ask,
                     uint64_t address, const uint8_t *bytes, size_t size)
{
    struct kept kept = {.kind = kind,
                        .processor = ask->processor,
                        .stop = replay->stop,
                        .address = address,
                        .bytes = {.size = (uint32_t)size}};

    if (replay->kept.count >= KEPT_MAX)
        return false;
    kept.bytes.at = kda_store_add(replay->store, bytes, size);
    return kept.bytes.at != UINT64_MAX && list_add(&replay->kept, &kept, sizeof kept);
}

static size_t take_kept(const struct kda_replay *replay, const struct kept *kept, uint8_t *out,
                        size_t room)
{
    size_t size = smaller(kept->bytes.size, room);

    return kda_store_read(replay->store, kept->bytes.at, out, size) ? size : 0;
}

/* --- contexts */

static const struct kda_context *recorded_context(const struct kda_replay *replay,
                                                  uint16_t processor)
{
    const struct script_line *stop = replay_stop(replay);

    for (size_t i = 0; i < kda_model_context_count(replay->model); i++) {
        const struct kda_context *context = kda_model_context(replay->model, i);

        if (context->frame > stop->until)
            break;
        if (context->frame >= stop->frame && context->processor == processor && !context->set)
            return context;
    }
    return NULL;
}

/* What is known of the CONTEXT; *total: bytes of the whole. */
static size_t current_context(const struct kda_replay *replay, uint16_t processor,
                              uint8_t out[KD_CONTEXT_MAX_SIZE], size_t *total)
{
    const struct kda_context *context = recorded_context(replay, processor);
    const struct kept *kept = find_kept(replay, KEPT_CONTEXT, processor, 0);

    *total = context ? context->total : 0;
    if (kept) {
        *total = *total > kept->bytes.size ? *total : kept->bytes.size;
        return take_kept(replay, kept, out, KD_CONTEXT_MAX_SIZE);
    }
    if (!context || context->bytes.size > KD_CONTEXT_MAX_SIZE ||
        !kda_model_bytes(replay->model, context->bytes, out))
        return 0;
    return context->bytes.size;
}

/* A target with one processor ignores the number in the request (measured at the boot manager). */
static size_t context_asked_for(const struct kda_replay *replay, const struct ask *ask,
                                uint8_t out[KD_CONTEXT_MAX_SIZE], size_t *total)
{
    size_t size = current_context(replay, ask->processor, out, total);

    if (!size && kda_model_version(replay->model)->processors <= 1)
        size = current_context(replay, replay_stop(replay)->processor, out, total);
    return size;
}

enum outcome get_context(struct kda_replay *replay, struct ask *ask)
{
    uint8_t context[KD_CONTEXT_MAX_SIZE];
    size_t total, size = context_asked_for(replay, ask, context, &total);

    if (size == 0 || size < total || size > REPLY_ROOM)
        return answer(ask, UNSUCCESSFUL);
    memcpy(ask->out, context, size);
    ask->out_size = size;
    return answer(ask, SUCCESS);
}

/* The boot manager leaves ReturnStatus as the request had it. */
enum outcome get_context_ex(struct kda_replay *replay, struct ask *ask)
{
    const struct script_api *known = script_api(replay->script, ask->api);
    struct kd_context_ex *body = ask->body;
    uint8_t context[KD_CONTEXT_MAX_SIZE];
    size_t total, size = context_asked_for(replay, ask, context, &total);
    size_t offset = smaller(kd_get32(body->offset), size);
    size_t piece = smaller(smaller(kd_get32(body->byte_count), size - offset), ask->room);

    if (size == 0)
        return answer(ask, UNSUCCESSFUL);
    memcpy(ask->out, context + offset, piece);
    ask->out_size = piece;
    body->offset = kd_put32((uint32_t)offset);
    body->byte_count = kd_put32((uint32_t)total);
    body->bytes_copied = kd_put32((uint32_t)piece);
    return answer(ask, known && known->succeeded ? known->success : SUCCESS);
}

static enum outcome put_context(struct kda_replay *replay, struct ask *ask, size_t offset,
                                size_t count)
{
    uint8_t context[KD_CONTEXT_MAX_SIZE];
    size_t total, size = context_asked_for(replay, ask, context, &total);

    if (size == 0)
        return answer(ask, UNSUCCESSFUL);
    /* An XSTATE area beyond the CONTEXT is taken and not used. */
    if (offset < size)
        memcpy(context + offset, ask->data, smaller(count, size - offset));
    return answer(ask,
                  set_kept(replay, KEPT_CONTEXT, ask, 0, context, size) ? SUCCESS : UNSUCCESSFUL);
}

enum outcome set_context(struct kda_replay *replay, struct ask *ask)
{
    return put_context(replay, ask, 0, ask->size);
}

enum outcome set_context_ex(struct kda_replay *replay, struct ask *ask)
{
    struct kd_set_context_ex *body = ask->body;
    uint32_t offset = kd_get32(body->offset), count = kd_get32(body->byte_count);
    uint32_t total = kd_get32(body->bytes_copied);

    if (total > KD_CONTEXT_MAX_SIZE || offset > total || count > total - offset ||
        count > ask->size)
        return answer(ask, KD_NT(STATUS_INVALID_PARAMETER));
    body->bytes_copied = kd_put32(count);
    return put_context(replay, ask, offset, count);
}

/* --- what has a number */

/* As the target stated it first in this stop; else what was known before, set or read. */
static const struct kda_value *recorded_value(const struct kda_replay *replay,
                                              enum kda_value_kind kind, uint16_t processor,
                                              uint64_t address, uint32_t size)
{
    const struct script_line *stop = replay_stop(replay);
    const struct kda_value *found = NULL;

    for (size_t i = 0; i < kda_model_value_count(replay->model); i++) {
        const struct kda_value *value = kda_model_value(replay->model, i);
        bool here = value->frame >= stop->frame;

        if (value->frame > stop->until)
            break;
        if (value->kind != kind || value->address != address || (here && value->set) ||
            (kind == KDA_VALUE_PORT ? value->size != size : value->processor != processor))
            continue;
        found = value;
        if (here)
            break;
    }
    return found;
}

/* Bytes of the control space; 0: not known. */
static size_t control_space(const struct kda_replay *replay, const struct ask *ask,
                            uint64_t selector, uint8_t out[KD_PACKET_MAX_SIZE])
{
    const struct kept *kept = find_kept(replay, KEPT_CONTROL_SPACE, ask->processor, selector);
    const struct kda_value *value =
        recorded_value(replay, KDA_VALUE_CONTROL_SPACE, ask->processor, selector, 0);

    if (kept)
        return take_kept(replay, kept, out, KD_PACKET_MAX_SIZE);
    if (!value || value->bytes.size > KD_PACKET_MAX_SIZE ||
        !kda_model_bytes(replay->model, value->bytes, out))
        return 0;
    return value->bytes.size;
}

enum outcome read_control_space(struct kda_replay *replay, struct ask *ask)
{
    struct kd_control_space *body = ask->body;
    uint8_t bytes[KD_PACKET_MAX_SIZE];
    size_t size = control_space(replay, ask, kd_get64(body->target_base_address), bytes);

    size = smaller(smaller(size, kd_get32(body->transfer_count)), ask->room);
    memcpy(ask->out, bytes, size);
    ask->out_size = size;
    body->actual_bytes = kd_put32((uint32_t)size);
    return answer(ask, size ? SUCCESS : UNSUCCESSFUL);
}

enum outcome write_control_space(struct kda_replay *replay, struct ask *ask)
{
    struct kd_control_space *body = ask->body;
    uint64_t selector = kd_get64(body->target_base_address);
    uint8_t bytes[KD_PACKET_MAX_SIZE];
    size_t there = control_space(replay, ask, selector, bytes);
    size_t size = smaller(smaller(kd_get32(body->transfer_count), ask->size), there);
    const struct script_api *known = script_api(replay->script, ask->api);
    bool refused = known && known->answered && !known->succeeded;

    memcpy(bytes, ask->data, size);
    if (refused || !size || !set_kept(replay, KEPT_CONTROL_SPACE, ask, selector, bytes, there))
        size = 0;
    body->actual_bytes = kd_put32((uint32_t)size);
    return answer(ask, size ? SUCCESS : UNSUCCESSFUL);
}

/* Whether the recorded target lets the debugger write; one that was never asked does. */
static uint32_t status_of_write(const struct kda_replay *replay, uint32_t api)
{
    const struct script_api *known = script_api(replay->script, api);

    return known && known->refusal && !known->succeeded ? known->refusal : SUCCESS;
}

enum outcome read_msr(struct kda_replay *replay, struct ask *ask)
{
    struct kd_read_msr *body = ask->body;
    uint32_t number = kd_get32(body->msr);
    const struct kda_value *value =
        recorded_value(replay, KDA_VALUE_MSR, ask->processor, number, 0);
    const struct kept *kept = find_kept(replay, KEPT_MSR, ask->processor, number);
    kd_u64 bytes;

    if (!kept && !value)
        return answer(ask, UNSUCCESSFUL);
    bytes = kd_put64(value ? value->value : 0);
    if (kept)
        take_kept(replay, kept, (uint8_t *)&bytes, sizeof bytes);
    body->data_value_low = kd_put32((uint32_t)kd_get64(bytes));
    body->data_value_high = kd_put32((uint32_t)(kd_get64(bytes) >> 32));
    return answer(ask, kept ? SUCCESS : value->status);
}

enum outcome write_msr(struct kda_replay *replay, struct ask *ask)
{
    const struct kd_write_msr *body = ask->body;
    uint32_t status = status_of_write(replay, ask->api);
    kd_u64 bytes =
        kd_put64(kd_get32(body->data_value_low) | (uint64_t)kd_get32(body->data_value_high) << 32);

    if (status == SUCCESS && !set_kept(replay, KEPT_MSR, ask, kd_get32(body->msr),
                                       (const uint8_t *)&bytes, sizeof bytes))
        status = UNSUCCESSFUL;
    return answer(ask, status);
}

enum outcome read_port(struct kda_replay *replay, struct ask *ask)
{
    struct kd_io_space *body = ask->body;
    uint64_t port = kd_get64(body->io_address);
    const struct kda_value *value =
        recorded_value(replay, KDA_VALUE_PORT, ask->processor, port, kd_get32(body->data_size));

    if (!value)
        return answer(ask, UNSUCCESSFUL);
    body->data_value = kd_put32((uint32_t)value->value);
    return answer(ask, value->status);
}

/* What a device makes of a value that is written, nobody knows: reading it gives what was read. */
enum outcome write_port(struct kda_replay *replay, struct ask *ask)
{
    return answer(ask, status_of_write(replay, ask->api));
}
