/* seh.c - __C_specific_handler for __try, and the handlers that check stack cookies.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "rt_internal.h"

enum {
    SCOPE_ROW = 16,
    FILTER_ALWAYS = 1,
};

typedef RT_ABI int32_t filter_function(struct rt_pointers *pointers, uint64_t frame);
typedef RT_ABI void finally_function(uint8_t abnormal, uint64_t frame);

rt_handler __C_specific_handler, __GSHandlerCheck, __GSHandlerCheck_SEH, __GSHandlerCheck_EH,
    __GSHandlerCheck_EH4, __CxxFrameHandler3, __CxxFrameHandler4;

/* The compilers' own variable; a program may set it to something less easy to guess. */
extern uint64_t __security_cookie;
uint64_t __security_cookie = 0x2B992DDFA232;

_Noreturn RT_ABI void __report_gsfailure(uint64_t cookie);

/* One call of the handler. */
struct call {
    struct rt_record *record;
    uint64_t frame;
    struct rt_context *context;
    struct rt_dispatcher *dispatcher;
    const struct img_image *image;
    uint32_t data;
    uint32_t control;
};

static bool read_scope(const struct call *call, uint32_t index, struct img_eh_scope *scope)
{
    if (!img_eh_scope(call->image, call->data, index, scope))
        rt_terminate(RT_REASON_TABLES, call->record, call->context);
    return call->control >= scope->begin && call->control < scope->end;
}

/* What a scope's filter says: negative, go on where it happened; 0, not this one; positive, this
 * one. */
static int32_t ask(const struct call *call, const struct img_eh_scope *scope)
{
    struct rt_pointers pointers = {call->record, call->context};

    if (scope->handler == FILTER_ALWAYS)
        return 1;
    return ((filter_function *)(uintptr_t)(call->image->base + scope->handler))(&pointers,
                                                                                call->frame);
}

/* The first pass. */
static enum rt_disposition search(struct call *call, uint32_t count)
{
    for (uint32_t i = call->dispatcher->scope; i < count; i++) {
        struct img_eh_scope scope;
        struct rt_target target = {.frame = call->frame, .value = call->record->code};
        int32_t answer;

        if (!read_scope(call, i, &scope) || scope.target == 0)
            continue;
        answer = ask(call, &scope);
        if (answer < 0)
            return RT_CONTINUE_EXECUTION;
        if (answer == 0)
            continue;
        target.ip = call->image->base + scope.target;
        rt_unwind(call->context, call->record, &target);
    }
    return RT_CONTINUE_SEARCH;
}

/* The second pass: __finally blocks of the scopes that are left. */
static enum rt_disposition unwind(struct call *call, uint32_t count)
{
    bool is_target = call->record->flags & RT_TARGET_UNWIND;
    uint32_t target = 0;

    if (is_target && !img_rva(call->image, call->dispatcher->target, &target))
        is_target = false;
    while (call->dispatcher->scope < count) {
        struct img_eh_scope scope;

        if (!read_scope(call, call->dispatcher->scope++, &scope))
            continue;
        /* What both the exception and its target are in is not left. */
        if (is_target && target >= scope.begin && target < scope.end && scope.target == 0)
            break;
        if (is_target && scope.target == target)
            break;
        if (scope.target == 0)
            ((finally_function *)(uintptr_t)(call->image->base + scope.handler))(1, call->frame);
    }
    return RT_CONTINUE_SEARCH;
}

RT_ABI enum rt_disposition __C_specific_handler(struct rt_record *record, uint64_t frame,
                                                struct rt_context *context,
                                                struct rt_dispatcher *dispatcher)
{
    struct call call = {record, frame, context, dispatcher, NULL, 0, 0};
    uint32_t count;

    call.image = rt_find_image(NULL, dispatcher->control);
    if (!call.image || !img_rva(call.image, dispatcher->control, &call.control) ||
        !img_rva(call.image, (uint64_t)(uintptr_t)dispatcher->data, &call.data) ||
        !img_eh_scope_count(call.image, call.data, &count))
        rt_terminate(RT_REASON_TABLES, record, context);
    /* A return address may be the start of the next scope; the call is in front of it. */
    if (dispatcher->unwound == 1 && call.control > 0)
        call.control--;
    return record->flags & RT_UNWINDING ? unwind(&call, count) : search(&call, count);
}

_Noreturn RT_ABI void __report_gsfailure(uint64_t cookie)
{
    const struct rt_record record = {
        .code = 0xC0000409, .parameter_count = 2, .parameters = {2, cookie}};

    rt_terminate(RT_REASON_COOKIE, &record, NULL);
}

/* Checks the cookie of the frame, which is stored with the frame's address mixed in. */
static void check_cookie(uint64_t frame, const struct rt_dispatcher *dispatcher, uint32_t skip)
{
    const struct img_image *image = rt_find_image(NULL, dispatcher->control);
    const struct img_function *function = dispatcher->function;
    struct img_unwind_info info;
    struct img_eh_gs gs;
    uint64_t base = frame, cookie;
    uint32_t data;

    if (!image || !img_rva(image, (uint64_t)(uintptr_t)dispatcher->data, &data) ||
        !img_eh_gs(image, data + skip, &gs) || !img_unwind_info(image, function->unwind, &info))
        rt_terminate(RT_REASON_TABLES, NULL, dispatcher->context);
    if (gs.alignment)
        base = (frame + (uint64_t)(int64_t)gs.aligned_base) & ~(uint64_t)(gs.alignment - 1);
    if (!rt_read64(base + (uint64_t)(int64_t)gs.cookie, &cookie))
        rt_terminate(RT_REASON_TABLES, NULL, dispatcher->context);
    if (info.frame_register)
        frame += info.frame_offset;
    if ((cookie ^ frame) != __security_cookie)
        __report_gsfailure(cookie ^ frame);
}

RT_ABI enum rt_disposition __GSHandlerCheck(struct rt_record *record, uint64_t frame,
                                            struct rt_context *context,
                                            struct rt_dispatcher *dispatcher)
{
    (void)record;
    (void)context;
    check_cookie(frame, dispatcher, 0);
    return RT_CONTINUE_SEARCH;
}

/* Behind the data of the handler that follows, which the cookie's flags say is wanted. */
static bool is_wanted(const struct rt_record *record, const struct rt_dispatcher *dispatcher,
                      uint32_t skip)
{
    const struct img_image *image = rt_find_image(NULL, dispatcher->control);
    struct img_eh_gs gs;
    uint32_t data;
    uint8_t wanted = record->flags & RT_UNWINDING ? IMG_UNWIND_UHANDLER : IMG_UNWIND_EHANDLER;

    return image && img_rva(image, (uint64_t)(uintptr_t)dispatcher->data, &data) &&
           img_eh_gs(image, data + skip, &gs) && gs.flags & wanted;
}

RT_ABI enum rt_disposition __GSHandlerCheck_SEH(struct rt_record *record, uint64_t frame,
                                                struct rt_context *context,
                                                struct rt_dispatcher *dispatcher)
{
    uint32_t count = 0, skip;

    if (!rt_read((uint64_t)(uintptr_t)dispatcher->data, &count, sizeof count) || count > 65536)
        rt_terminate(RT_REASON_TABLES, record, context);
    skip = RT_SCOPES_OFFSET + count * SCOPE_ROW;
    check_cookie(frame, dispatcher, skip);
    return is_wanted(record, dispatcher, skip)
               ? __C_specific_handler(record, frame, context, dispatcher)
               : RT_CONTINUE_SEARCH;
}

RT_ABI enum rt_disposition __GSHandlerCheck_EH(struct rt_record *record, uint64_t frame,
                                               struct rt_context *context,
                                               struct rt_dispatcher *dispatcher)
{
    check_cookie(frame, dispatcher, 4);
    return is_wanted(record, dispatcher, 4) ? __CxxFrameHandler3(record, frame, context, dispatcher)
                                            : RT_CONTINUE_SEARCH;
}

RT_ABI enum rt_disposition __GSHandlerCheck_EH4(struct rt_record *record, uint64_t frame,
                                                struct rt_context *context,
                                                struct rt_dispatcher *dispatcher)
{
    check_cookie(frame, dispatcher, 4);
    return is_wanted(record, dispatcher, 4) ? __CxxFrameHandler4(record, frame, context, dispatcher)
                                            : RT_CONTINUE_SEARCH;
}
