/* requests.c - from a message in the inbox to its handler, and the reply on its way.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "state.h"

/* Acknowledged and never answered, measured at the boot manager for all four; WinDbg sends
 * ClearAllInternalBreakpoints on every connect and expects nothing. No target uses special calls
 * or internal breakpoints any more: they count calls of user-mode code. */
static enum kda_flow be_silent(struct kda_engine *engine, struct kda_request *request)
{
    (void)engine;
    (void)request;
    return KDA_SILENT;
}

static enum kda_flow reboot(struct kda_engine *engine, struct kda_request *request)
{
    (void)request;
    engine->target.ops->reboot(engine->target.self);
    return KDA_SILENT;
}

/* There is one processor. It reports again when asked to; the boot manager refuses even that. */
static enum kda_flow switch_processor(struct kda_engine *engine, struct kda_request *request)
{
    (void)engine;
    if (kd_get16(request->header->processor) != 0)
        return kda_status(request, KDA_UNSUCCESSFUL);
    return KDA_REPORT;
}

/* clang-format off */
enum row {
#define KD_API(constant, number, name, layout, request, reply, answer) ROW_##constant,
#include "kd/protocol.def"
    ROW_COUNT
};

static const uint32_t numbers[ROW_COUNT] = {
#define KD_API(constant, number, name, layout, request, reply, answer) number,
#include "kd/protocol.def"
};
/* clang-format on */

/* A row without a handler is refused with C0000001, as every number that is no row:
 *   CauseBugCheck                          firmware has no such stop
 *   QuerySpecialCalls, GetInternalBreakPoint   as the boot manager: there are none
 *   PageIn, CheckLowMemory, SwitchPartition    no paging, no low memory, one partition; the same
 *   WriteCustomBreakpoint and its Ex, 3154, 3155, ReadPhysicalMemoryBulk (KDNET only)   the same */
static kda_handler *const handlers[ROW_COUNT] = {
    [ROW_KD_API_READ_VIRTUAL_MEMORY] = kda_read_virtual,
    [ROW_KD_API_WRITE_VIRTUAL_MEMORY] = kda_write_virtual,
    [ROW_KD_API_GET_CONTEXT] = kda_get_context,
    [ROW_KD_API_SET_CONTEXT] = kda_set_context,
    [ROW_KD_API_WRITE_BREAKPOINT] = kda_write_breakpoint,
    [ROW_KD_API_RESTORE_BREAKPOINT] = kda_restore_breakpoint,
    [ROW_KD_API_CONTINUE] = kda_continue,
    [ROW_KD_API_READ_CONTROL_SPACE] = kda_read_control_space,
    [ROW_KD_API_WRITE_CONTROL_SPACE] = kda_write_control_space,
    [ROW_KD_API_READ_IO_SPACE] = kda_read_io,
    [ROW_KD_API_WRITE_IO_SPACE] = kda_write_io,
    [ROW_KD_API_REBOOT] = reboot,
    [ROW_KD_API_CONTINUE2] = kda_continue2,
    [ROW_KD_API_READ_PHYSICAL_MEMORY] = kda_read_physical,
    [ROW_KD_API_WRITE_PHYSICAL_MEMORY] = kda_write_physical,
    [ROW_KD_API_SET_SPECIAL_CALL] = be_silent,
    [ROW_KD_API_CLEAR_SPECIAL_CALLS] = be_silent,
    [ROW_KD_API_SET_INTERNAL_BREAKPOINT] = be_silent,
    [ROW_KD_API_READ_IO_SPACE_EXTENDED] = kda_read_io_extended,
    [ROW_KD_API_WRITE_IO_SPACE_EXTENDED] = kda_write_io_extended,
    [ROW_KD_API_GET_VERSION] = kda_get_version,
    [ROW_KD_API_WRITE_BREAKPOINT_EX] = kda_write_breakpoint_ex,
    [ROW_KD_API_RESTORE_BREAKPOINT_EX] = kda_restore_breakpoint_ex,
    [ROW_KD_API_SWITCH_PROCESSOR] = switch_processor,
    [ROW_KD_API_READ_MSR] = kda_read_msr,
    [ROW_KD_API_WRITE_MSR] = kda_write_msr,
    [ROW_KD_API_SEARCH_MEMORY] = kda_search_memory,
    [ROW_KD_API_GET_BUS_DATA] = kda_get_bus_data,
    [ROW_KD_API_SET_BUS_DATA] = kda_set_bus_data,
    [ROW_KD_API_CLEAR_ALL_INTERNAL_BREAKPOINTS] = be_silent,
    [ROW_KD_API_FILL_MEMORY] = kda_fill_memory,
    [ROW_KD_API_QUERY_MEMORY] = kda_query_memory,
    [ROW_KD_API_GET_CONTEXT_EX] = kda_get_context_ex,
    [ROW_KD_API_SET_CONTEXT_EX] = kda_set_context_ex,
};

static enum kda_flow dispatch(struct kda_engine *engine, struct kda_request *request)
{
    uint32_t number = kd_get32(request->header->api_number);

    for (size_t i = 0; i < ROW_COUNT; i++)
        if (numbers[i] == number && handlers[i])
            return handlers[i](engine, request);
    return kda_status(request, KDA_UNSUCCESSFUL);
}

/* What may follow the union in a reply, for this debugger. */
static size_t reply_room(const struct kda_engine *engine)
{
    size_t most = KD_PACKET_MAX_SIZE - KD_MANIPULATE_DATA;

    return engine->config.max_read ? kda_min(engine->config.max_read, most) : most;
}

bool kda_forget_continue(struct kda_engine *engine)
{
    const struct kda_inbox *inbox = &engine->wire.inbox;
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)inbox->payload;
    uint32_t number = kd_get32(header->api_number);

    if (!inbox->full || (number != KD_API_CONTINUE && number != KD_API_CONTINUE2))
        return false;
    engine->wire.inbox.full = false;
    return true;
}

bool kda_serve(struct kda_engine *engine)
{
    struct kda_inbox *inbox = &engine->wire.inbox;
    struct kda_request request = {
        .header = (struct kd_manipulate_header *)engine->message,
        .body = engine->message + KD_MANIPULATE_UNION,
        .data = inbox->payload + KD_MANIPULATE_DATA,
        .out = engine->message + KD_MANIPULATE_DATA,
        .room = reply_room(engine),
    };
    enum kda_flow flow;

    inbox->full = false;
    if (inbox->type != KD_PACKET_STATE_MANIPULATE || inbox->size < KD_MANIPULATE_DATA)
        return false;
    request.size = inbox->size - KD_MANIPULATE_DATA;
    memcpy(engine->message, inbox->payload, KD_MANIPULATE_DATA);
    flow = dispatch(engine, &request);
    if (flow == KDA_REPORT)
        engine->wire.renewed = true;
    if (flow == KDA_REPLY || flow == KDA_REPLY_RESUME)
        (void)kda_wire_send(&engine->wire, KD_PACKET_STATE_MANIPULATE, engine->message,
                            KD_MANIPULATE_DATA + request.out_size, 0);
    return flow == KDA_RESUME || flow == KDA_REPLY_RESUME;
}
