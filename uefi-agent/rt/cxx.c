/* cxx.c - __CxxFrameHandler3 and 4: which catch block takes an exception, and destructors.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A function is in a state at every instruction; the tables say which destructor runs when a state
 * is left, and which states are those of a try block. Catch blocks are functions of their own that
 * work in the frame of the function they belong to, the parent. They share its table, so their
 * unwinding ends with the states of the block, not with those of the parent. While one runs, the
 * parent's state is not that of its instruction pointer, but what struct rt_catch says.
 */
#include "rt_internal.h"

/* One call of a handler. */
struct call {
    struct rt_record *record;
    uint64_t frame;
    struct rt_context *context;
    struct rt_dispatcher *dispatcher;
    struct img_eh eh;
    uint64_t parent; /* the frame that the table's offsets count from */
    int32_t state;
    int32_t floor; /* states up to this one are not this frame's; IMG_EH_EMPTY in a parent */
    int32_t ceiling;
};

RT_ABI enum rt_disposition __CxxFrameHandler3(struct rt_record *record, uint64_t frame,
                                              struct rt_context *context,
                                              struct rt_dispatcher *dispatcher);
RT_ABI enum rt_disposition __CxxFrameHandler4(struct rt_record *record, uint64_t frame,
                                              struct rt_context *context,
                                              struct rt_dispatcher *dispatcher);

_Noreturn static void bad_tables(const struct call *call)
{
    rt_terminate(RT_REASON_TABLES, call->record, call->context);
}

/* When the frame is that of a catch block: which one, and where the parent's frame is. */
static void find_parent(struct call *call)
{
    struct img_eh_try block;
    struct img_eh_handler handler;
    uint32_t offset = call->eh.catch_frame;
    bool is_catch = call->eh.flags & IMG_EH_CATCH;

    call->parent = call->frame;
    call->floor = IMG_EH_EMPTY;
    call->ceiling = (int32_t)call->eh.state_count;
    for (uint32_t i = 0; i < call->eh.try_count; i++) {
        if (!img_eh_try(&call->eh, i, &block))
            bad_tables(call);
        for (uint32_t j = 0; j < block.handler_count; j++) {
            if (!img_eh_handler(&call->eh, &block, j, &handler))
                bad_tables(call);
            if (handler.handler != call->eh.function)
                continue;
            is_catch = true;
            offset = handler.frame;
            call->floor = block.high;
            call->ceiling = block.catch_high;
        }
    }
    if (is_catch && !rt_read64(call->frame + offset, &call->parent))
        bad_tables(call);
}

/* The state that the frame is in, or has while its catch block runs. */
static void find_state(struct call *call, uint32_t rva)
{
    for (const struct rt_catch *one = rt_state.catches; one; one = one->outer) {
        if (one->frame == call->frame) {
            call->state = one->state;
            return;
        }
    }
    if (!img_eh_state(&call->eh, rva, &call->state))
        bad_tables(call);
}

/* Leaves states, last first, down to one that is not above target. */
static void unwind_to(struct call *call, int32_t target)
{
    struct img_eh_unwind unwind;
    uint64_t object, base = call->eh.image->base;

    if (target < call->floor)
        target = call->floor;
    while (call->state > target) {
        if (!img_eh_unwind(&call->eh, call->state, &unwind))
            bad_tables(call);
        call->state = unwind.next; /* left, even if the destructor raises an exception */
        object = call->parent + unwind.object;
        if (unwind.kind == IMG_EH_DESTROY_AT && !rt_read64(object, &object))
            bad_tables(call);
        if (unwind.kind == IMG_EH_FUNCLET)
            rt_call_cleanup(base + unwind.action, 0, call->parent, 0);
        else if (unwind.kind != IMG_EH_NOTHING)
            rt_call_cleanup(base + unwind.action, object, call->parent, 0);
    }
}

/* The second pass. */
static void unwind(struct call *call)
{
    const struct rt_record *record = call->record;
    int32_t target = IMG_EH_EMPTY;
    uint32_t rva;

    if (record->flags & RT_TARGET_UNWIND) {
        if (record->code == RT_CODE_CONSOLIDATE &&
            record->parameters[0] == (uint64_t)(uintptr_t)&rt_state)
            target = (int32_t)(uint32_t)record->parameters[1];
        else if (img_rva(call->eh.image, call->dispatcher->target, &rva) &&
                 !img_eh_state(&call->eh, rva, &target))
            bad_tables(call);
    }
    unwind_to(call, target);
}

/* The first pass is over: makes the catch block's object, and unwinds to it. */
_Noreturn static void catch (struct call *call, const struct img_eh_try *block,
                             const struct img_eh_handler *handler, const struct rt_match *match)
{
    uint64_t base = call->eh.image->base;
    struct img_eh_unwind outer;
    struct rt_record record = {.code = RT_CODE_CONSOLIDATE, .address = call->record->address};
    struct rt_catch run = {.frame = call->frame, .record = call->record, .parent = call->parent};
    struct rt_target target = {.frame = call->frame, .run = &run};

    if (!img_eh_unwind(&call->eh, block->low, &outer))
        bad_tables(call);
    run.state = outer.next;
    run.handler = base + handler->handler;
    run.continuation_count = handler->continuation_count;
    for (unsigned i = 0; i < handler->continuation_count; i++)
        run.continuations[i] = base + handler->continuations[i];
    record.parameters[0] = (uint64_t)(uintptr_t)&rt_state;
    record.parameters[1] = (uint32_t)block->low;
    record.parameter_count = 2;
    rt_copy_object(match, handler, call->parent);
    rt_unwind(call->context, &record, &target);
}

static void try_handlers(struct call *call, const struct img_eh_try *block)
{
    struct img_eh_handler handler;
    struct rt_match match;

    for (uint32_t i = 0; i < block->handler_count; i++) {
        if (!img_eh_handler(&call->eh, block, i, &handler))
            bad_tables(call);
        if (rt_matches(call->record, &call->eh, &handler, &match))
            catch (call, block, &handler, &match);
    }
}

/* The first pass: does not return when a catch block takes the exception. Blocks are in the order
 * from inner to outer. */
static void search(struct call *call)
{
    bool foreign = !rt_is_cxx(call->record);
    struct img_eh_try block;

    if (foreign && rt_state.faults_uncaught && call->eh.flags & IMG_EH_SYNCHRONOUS)
        return;
    for (uint32_t i = 0; i < call->eh.try_count; i++) {
        if (!img_eh_try(&call->eh, i, &block))
            bad_tables(call);
        if (call->state >= block.low && call->state <= block.high && block.low > call->floor &&
            block.high <= call->ceiling)
            try_handlers(call, &block);
    }
    if (call->eh.flags & IMG_EH_NOEXCEPT)
        rt_terminate(RT_REASON_NOEXCEPT, call->record, call->context);
}

static enum rt_disposition handle(enum img_eh_kind kind, struct call *call)
{
    const struct img_image *image = rt_find_image(NULL, call->dispatcher->control);
    const struct img_function *function = call->dispatcher->function;
    uint32_t rva, data;

    if (!image || !img_rva(image, call->dispatcher->control, &rva) ||
        !img_rva(image, (uint64_t)(uintptr_t)call->dispatcher->data, &data) ||
        !img_eh_open(image, kind, data, function->begin, rva, &call->eh))
        bad_tables(call);
    find_parent(call);
    find_state(call, rva);
    if (call->record->flags & RT_UNWINDING)
        unwind(call);
    else
        search(call);
    return RT_CONTINUE_SEARCH;
}

RT_ABI enum rt_disposition __CxxFrameHandler3(struct rt_record *record, uint64_t frame,
                                              struct rt_context *context,
                                              struct rt_dispatcher *dispatcher)
{
    struct call call = {record, frame, context, dispatcher, {0}, 0, 0, 0, 0};

    return handle(IMG_EH_CXX3, &call);
}

RT_ABI enum rt_disposition __CxxFrameHandler4(struct rt_record *record, uint64_t frame,
                                              struct rt_context *context,
                                              struct rt_dispatcher *dispatcher)
{
    struct call call = {record, frame, context, dispatcher, {0}, 0, 0, 0, 0};

    return handle(IMG_EH_CXX4, &call);
}
