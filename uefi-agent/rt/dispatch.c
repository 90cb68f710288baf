/* dispatch.c - the two passes of an exception: search for a handler, then unwind to it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Both go up the frames by the unwind tables and call each frame's language handler. One that takes
 * the exception starts the second pass and does not return. When a handler raises an exception of
 * its own during the second pass, that one's passes arrive at the frame of rt_call_unwinder and
 * continue where the first had come to (RT_COLLIDED), so no frame is unwound twice.
 */
#include "rt_internal.h"

static void copy(void *to, const void *from, size_t size)
{
    const uint8_t *source = from;
    uint8_t *target = to;

    for (size_t i = 0; i < size; i++)
        target[i] = source[i];
}

bool rt_read(uint64_t address, void *buffer, size_t size)
{
    if (rt_state.port.read)
        return rt_state.port.read(rt_state.port.context, address, buffer, size);
    copy(buffer, (const void *)(uintptr_t)address, size);
    return true;
}

bool rt_read64(uint64_t address, uint64_t *value)
{
    return rt_read(address, value, sizeof *value);
}

static bool read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    (void)context;
    return rt_read(address, buffer, size);
}

static const struct img_memory memory = {read_memory, NULL};

void rt_registers_of(const struct rt_context *context, struct img_registers *registers)
{
    registers->rip = context->rip;
    copy(registers->gpr, context->gpr, sizeof registers->gpr);
    copy(registers->xmm, context->xmm, sizeof registers->xmm);
}

void rt_context_of(const struct img_registers *registers, struct rt_context *context)
{
    context->rip = registers->rip;
    copy(context->gpr, registers->gpr, sizeof context->gpr);
    copy(context->xmm, registers->xmm, sizeof context->xmm);
}

_Noreturn void rt_terminate(enum rt_reason reason, const struct rt_record *record,
                            const struct rt_context *registers)
{
    if (rt_state.port.terminate)
        rt_state.port.terminate(rt_state.port.context, reason, record, registers);
    rt_stop(record, registers);
}

static void walk_start(struct rt_walk *walk, const struct rt_context *context)
{
    walk->dispatcher = (struct rt_dispatcher){0};
    copy(&walk->context, context, sizeof walk->context);
    rt_registers_of(context, &walk->here);
    walk->unwound = context->flags & RT_CONTEXT_UNWOUND;
}

/* Finds out about the frame whose registers are in walk->here. False: the stack ends. */
static bool walk_look(struct rt_walk *walk)
{
    struct rt_dispatcher *dispatcher = &walk->dispatcher;

    walk->image = rt_find_image(NULL, walk->here.rip);
    if (!walk->image)
        return false;
    walk->up = walk->here;
    if (img_unwind(walk->image, &memory, &walk->up, &walk->frame) != IMG_UNWIND_OK ||
        walk->frame.establisher % 8 != 0)
        return false;
    rt_context_of(&walk->here, &walk->context);
    dispatcher->control = walk->here.rip;
    dispatcher->unwound = walk->unwound;
    dispatcher->image_base = walk->image->base;
    dispatcher->function = &walk->frame.primary;
    dispatcher->frame = walk->frame.establisher;
    dispatcher->context = &walk->context;
    dispatcher->handler = (rt_handler *)(uintptr_t)(walk->image->base + walk->frame.handler);
    dispatcher->data = (const void *)(uintptr_t)(walk->image->base + walk->frame.handler_data);
    return true;
}

/* Every frame lies above the one it called; what was interrupted may be on another stack. */
static bool goes_up(const struct rt_walk *walk)
{
    return walk->up.gpr[IMG_RSP] > walk->here.gpr[IMG_RSP] || walk->frame.kind == IMG_FRAME_MACHINE;
}

static void walk_up(struct rt_walk *walk)
{
    walk->here = walk->up;
    walk->unwound = walk->frame.kind != IMG_FRAME_MACHINE;
    walk->dispatcher.scope = 0;
}

/* Another unwinding was on its way: goes on where it is, in the scope it is in. */
static void walk_collided(struct rt_walk *walk)
{
    /* rt_collided left the other's dispatcher, which is the first member of its walk. */
    const struct rt_walk *other = walk->dispatcher.history;

    walk->here = other->here;
    walk->unwound = other->unwound;
    walk->dispatcher.scope = other->dispatcher.scope;
}

RT_ABI enum rt_disposition rt_collided(struct rt_record *record, uint64_t frame,
                                       struct rt_context *context, struct rt_dispatcher *dispatcher)
{
    uint64_t other;

    (void)record;
    (void)context;
    /* rt_call_unwinder keeps its dispatcher where its caller has the home of the fourth argument.
     */
    if (!rt_read64(frame + 0x20, &other))
        return RT_CONTINUE_SEARCH;
    dispatcher->history = (void *)(uintptr_t)other;
    return RT_COLLIDED;
}

/* Lets the frame's handler look at the exception. */
static enum rt_disposition search_frame(struct rt_walk *walk, struct rt_record *record,
                                        struct rt_context *context)
{
    if (!(walk->frame.flags & IMG_UNWIND_EHANDLER))
        return RT_CONTINUE_SEARCH;
    return rt_call_handler(record, walk->frame.establisher, context, &walk->dispatcher);
}

bool rt_search(struct rt_record *record, struct rt_context *context)
{
    struct rt_walk walk;

    walk_start(&walk, context);
    for (unsigned i = 0; i < RT_MAX_FRAMES && walk_look(&walk); i++) {
        switch (search_frame(&walk, record, context)) {
        case RT_CONTINUE_EXECUTION:
            if (record->flags & RT_NONCONTINUABLE)
                rt_terminate(RT_REASON_UNHANDLED, record, context);
            return true;
        case RT_COLLIDED:
            walk_collided(&walk);
            break;
        default:
            if (!goes_up(&walk))
                return false;
            walk_up(&walk);
        }
    }
    return false;
}

/* The registers of the target's frame, as they are there, are in walk->here. */
_Noreturn static void arrive(struct rt_walk *walk, const struct rt_target *target)
{
    rt_context_of(&walk->here, &walk->context); /* the handler may have looked at a copy only */
    rt_leave(walk->frame.establisher, target->run ? target->run->record : target->taken);
    if (target->run)
        rt_consolidate(&walk->context, target->run);
    if (target->taken)
        rt_release(target->taken);
    walk->context.rip = target->ip;
    walk->context.gpr[IMG_RAX] = target->value;
    rt_resume(&walk->context);
}

static bool is_target(const struct rt_walk *walk, const struct rt_target *target)
{
    /* setjmp of some compilers notes another address in the frame than its establisher. */
    return target->frame >= walk->frame.establisher && target->frame < walk->up.gpr[IMG_RSP] &&
           walk->frame.kind != IMG_FRAME_MACHINE;
}

_Noreturn void rt_unwind(const struct rt_context *start, struct rt_record *record,
                         const struct rt_target *target)
{
    enum rt_disposition disposition = RT_CONTINUE_SEARCH;
    struct rt_walk walk;

    walk_start(&walk, start);
    walk.dispatcher.target = target->ip;
    for (unsigned i = 0; i < RT_MAX_FRAMES && walk_look(&walk); i++) {
        record->flags |= RT_UNWINDING | (is_target(&walk, target) ? RT_TARGET_UNWIND : 0);
        if (walk.frame.flags & IMG_UNWIND_UHANDLER)
            disposition =
                rt_call_unwinder(record, walk.frame.establisher, &walk.context, &walk.dispatcher);
        if (disposition == RT_COLLIDED) {
            walk_collided(&walk);
            record->flags |= RT_COLLIDED_UNWIND;
            disposition = RT_CONTINUE_SEARCH;
            continue;
        }
        if (is_target(&walk, target))
            arrive(&walk, target);
        if (!goes_up(&walk))
            break;
        walk_up(&walk);
    }
    rt_terminate(RT_REASON_TARGET, record, start);
}

RT_ABI enum rt_disposition rt_cleanup_raised(struct rt_record *record, uint64_t frame,
                                             struct rt_context *context,
                                             struct rt_dispatcher *dispatcher)
{
    (void)frame;
    (void)dispatcher;
    if (!(record->flags & RT_UNWINDING))
        rt_terminate(RT_REASON_UNWINDING, record, context);
    return RT_CONTINUE_SEARCH;
}

/* rt_raise's second half. */
_Noreturn RT_ABI void rt_raised_at(struct rt_record *record, struct rt_context *context)
{
    struct rt_raised raised = {rt_state.raised};
    unsigned depth = 0;

    record->address = context->rip;
    for (struct rt_raised *one = rt_state.raised; one; one = one->outer)
        depth++;
    if (depth >= RT_MAX_NESTED)
        rt_terminate(RT_REASON_NESTED, record, context);
    rt_state.raised = &raised;
    if (!rt_search(record, context))
        rt_terminate(RT_REASON_UNHANDLED, record, context);
    rt_state.raised = raised.outer;
    rt_resume(context);
}
