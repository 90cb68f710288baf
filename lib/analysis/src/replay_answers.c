/* replay_answers.c - requests: which part answers, breakpoints, what the recording answered.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "replay_parts.h"

#define PROTOCOL        6u /* the 64-bit messages */
#define BREAKPOINT_SIZE sizeof(struct kd_breakpoint_entry)
#define HANDLE_SIZE     sizeof(struct kd_restore_breakpoint)

enum outcome answer(struct ask *ask, uint32_t status)
{
    ask->header->return_status = kd_put32(status);
    return OUTCOME_REPLY;
}

/* --- breakpoints: handles 1 to 32, the lowest free one (boot manager). None is ever hit. */

static uint32_t plant(struct kda_replay *replay, uint64_t address)
{
    for (uint32_t i = 0; i < KD_MAX_BREAKPOINTS; i++)
        if (!(replay->planted >> i & 1)) {
            replay->planted |= UINT32_C(1) << i;
            replay->breakpoints[i] = address;
            return i + 1;
        }
    return 0;
}

static bool remove_breakpoint(struct kda_replay *replay, uint32_t handle)
{
    uint32_t bit = handle >= 1 && handle <= KD_MAX_BREAKPOINTS ? UINT32_C(1) << (handle - 1) : 0;
    bool known = replay->planted & bit;

    replay->planted &= ~bit;
    return known;
}

static enum outcome write_breakpoint(struct kda_replay *replay, struct ask *ask)
{
    struct kd_write_breakpoint *body = ask->body;
    uint32_t handle = plant(replay, kd_get64(body->break_point_address));

    body->break_point_handle = kd_put32(handle);
    return answer(ask, handle ? SUCCESS : UNSUCCESSFUL);
}

static enum outcome restore_breakpoint(struct kda_replay *replay, struct ask *ask)
{
    const struct kd_restore_breakpoint *body = ask->body;

    return answer(ask, remove_breakpoint(replay, kd_get32(body->break_point_handle))
                           ? SUCCESS
                           : UNSUCCESSFUL);
}

/* Both arrays come back in the reply (public structures). */
static enum outcome breakpoints_ex(struct kda_replay *replay, struct ask *ask, bool write)
{
    const struct kd_breakpoint_ex *body = ask->body;
    size_t count = kd_get32(body->break_point_count);
    size_t element = write ? BREAKPOINT_SIZE : HANDLE_SIZE;
    bool good = true;

    if (count > KD_MAX_BREAKPOINTS || count * element > ask->size)
        return answer(ask, UNSUCCESSFUL);
    ask->out_size = count * element;
    memcpy(ask->out, ask->data, ask->out_size);
    for (size_t i = 0; i < count; i++) {
        struct kd_breakpoint_entry *entry = (struct kd_breakpoint_entry *)ask->out + i;
        struct kd_restore_breakpoint *handle = (struct kd_restore_breakpoint *)ask->out + i;

        if (write) {
            entry->break_point_handle =
                kd_put32(plant(replay, kd_get64(entry->break_point_address)));
            good = good && kd_get32(entry->break_point_handle);
        } else {
            good = remove_breakpoint(replay, kd_get32(handle->break_point_handle)) && good;
        }
    }
    return answer(ask, good ? SUCCESS : UNSUCCESSFUL);
}

/* --- the recording's own answers */

/* The same request was answered then; NULL: it was not. */
static const struct script_pair *find_pair(const struct kda_replay *replay, const struct ask *ask)
{
    const struct script_line *stop = replay_stop(replay);
    uint8_t request[KD_PACKET_MAX_SIZE];

    memcpy(request, replay->message, KD_MANIPULATE_DATA);
    memcpy(request + KD_MANIPULATE_DATA, ask->data, ask->size);
    return script_find(replay->script, request, KD_MANIPULATE_DATA + ask->size, stop->frame,
                       stop->until, ask->api == KD_API_GET_VERSION || replay->config.later);
}

/* The request's own bytes echoed, with a refusal: that of the recorded target if it had one. */
static enum outcome refuse(struct kda_replay *replay, struct ask *ask)
{
    const struct script_api *known = script_api(replay->script, ask->api);

    return answer(ask, known && known->refusal ? known->refusal : UNSUCCESSFUL);
}

static enum outcome as_recorded(struct kda_replay *replay, struct ask *ask)
{
    const struct script_pair *pair = find_pair(replay, ask);
    uint8_t reply[KD_PACKET_MAX_SIZE];

    if (!pair || !kda_store_read(replay->store, pair->reply.at, reply, pair->reply.size))
        return refuse(replay, ask);
    memcpy(replay->message, reply, KD_MANIPULATE_DATA);
    ask->out_size = smaller(pair->reply.size - KD_MANIPULATE_DATA, ask->room);
    memcpy(ask->out, reply + KD_MANIPULATE_DATA, ask->out_size);
    return OUTCOME_REPLY;
}

/* A debugger can do nothing without GetVersion. A recording that began later lacks it: what the
 * stops tell is said then, and nothing of modules. */
static enum outcome get_version(struct kda_replay *replay, struct ask *ask)
{
    const struct kd_arch_info *arch = kd_arch_info(kda_model_arch(replay->model));
    struct kd_get_version64 *body = ask->body;

    if (as_recorded(replay, ask) == OUTCOME_REPLY &&
        kd_get32(ask->header->return_status) == SUCCESS)
        return OUTCOME_REPLY;
    memset(body, 0, sizeof *body);
    ask->out_size = 0;
    if (!arch)
        return answer(ask, UNSUCCESSFUL);
    body->protocol_version = kd_put8(PROTOCOL);
    if (arch->arch == KD_ARCH_AMD64)
        body->kd_secondary_version = kd_put8(KD_SECONDARY_AMD64_CONTEXT);
    body->machine_type = kd_put16(arch->machine);
    body->flags = kd_put16(arch->pointer_size == 8 ? KD_VERSION_PTR64 : 0);
    return answer(ask, SUCCESS);
}

/* --- which part answers */

static enum outcome switch_processor(struct kda_replay *replay, struct ask *ask)
{
    const struct script_line *next = script_line(replay->script, replay->stop + 1);

    if (ask->processor == replay_stop(replay)->processor)
        return OUTCOME_REPORT;
    if (next && next->kind == LINE_STOP && next->switched && next->processor == ask->processor)
        return OUTCOME_GO;
    return answer(ask, UNSUCCESSFUL);
}

static enum outcome dispatch(struct kda_replay *replay, struct ask *ask)
{
    const struct kd_api_info *info = kd_api_find(ask->api);

    switch (ask->api) {
    case KD_API_READ_VIRTUAL_MEMORY:
    case KD_API_READ_PHYSICAL_MEMORY:
        return read_memory(replay, ask, ask->api == KD_API_READ_PHYSICAL_MEMORY);
    case KD_API_WRITE_VIRTUAL_MEMORY:
    case KD_API_WRITE_PHYSICAL_MEMORY:
        return write_memory(replay, ask, ask->api == KD_API_WRITE_PHYSICAL_MEMORY);
    case KD_API_GET_CONTEXT:
        return get_context(replay, ask);
    case KD_API_GET_CONTEXT_EX:
        return get_context_ex(replay, ask);
    case KD_API_SET_CONTEXT:
        return set_context(replay, ask);
    case KD_API_SET_CONTEXT_EX:
        return set_context_ex(replay, ask);
    case KD_API_READ_CONTROL_SPACE:
        return read_control_space(replay, ask);
    case KD_API_WRITE_CONTROL_SPACE:
        return write_control_space(replay, ask);
    case KD_API_READ_MSR:
        return read_msr(replay, ask);
    case KD_API_WRITE_MSR:
        return write_msr(replay, ask);
    case KD_API_READ_IO_SPACE:
        return read_port(replay, ask);
    case KD_API_WRITE_IO_SPACE:
        return write_port(replay, ask);
    case KD_API_SEARCH_MEMORY:
        return search_memory(replay, ask);
    case KD_API_FILL_MEMORY:
        return fill_memory(replay, ask);
    case KD_API_WRITE_BREAKPOINT:
        return write_breakpoint(replay, ask);
    case KD_API_RESTORE_BREAKPOINT:
        return restore_breakpoint(replay, ask);
    case KD_API_WRITE_BREAKPOINT_EX:
    case KD_API_RESTORE_BREAKPOINT_EX:
        return breakpoints_ex(replay, ask, ask->api == KD_API_WRITE_BREAKPOINT_EX);
    case KD_API_GET_VERSION:
        return get_version(replay, ask);
    case KD_API_CONTINUE:
    case KD_API_CONTINUE2:
        return OUTCOME_GO;
    case KD_API_REBOOT:
        return OUTCOME_REBOOT;
    case KD_API_SWITCH_PROCESSOR:
        return switch_processor(replay, ask);
    default:
        return info && info->answer == KD_ANSWER_SILENT ? OUTCOME_SILENT : as_recorded(replay, ask);
    }
}

static void count(struct kda_replay *replay, const struct ask *ask, enum outcome outcome)
{
    replay->tally.requests++;
    if (outcome == OUTCOME_REPLY && kd_get32(ask->header->return_status) >= UINT32_C(0x80000000))
        replay->tally.refused++;
}

enum outcome replay_answer(struct kda_replay *replay, size_t *size)
{
    const struct replay_inbox *inbox = &replay->inbox;
    uint32_t limit = replay->config.read_limit;
    struct ask ask = {
        .header = (struct kd_manipulate_header *)replay->message,
        .body = replay->message + KD_MANIPULATE_UNION,
        .data = inbox->payload + KD_MANIPULATE_DATA,
        .size = inbox->size - KD_MANIPULATE_DATA,
        .out = replay->message + KD_MANIPULATE_DATA,
        .room = limit ? smaller(limit, REPLY_ROOM) : REPLY_ROOM,
    };
    enum outcome outcome;

    memcpy(replay->message, inbox->payload, KD_MANIPULATE_DATA);
    ask.api = kd_get32(ask.header->api_number);
    ask.processor = kd_get16(ask.header->processor);
    outcome = dispatch(replay, &ask);
    count(replay, &ask, outcome);
    *size = KD_MANIPULATE_DATA + ask.out_size;
    return outcome;
}
