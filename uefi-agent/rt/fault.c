/* fault.c - from a processor's fault to an exception, guarded calls, longjmp.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * rt_fault runs where the fault arrived; it only moves control to rt_fault_entry, on the stack that
 * the fault interrupted. The search runs there, as a call of the faulting instruction would. When
 * it finds nothing, the registers are put back, the instruction faults again, and this time the
 * answer is that it is the debugger's.
 */
#include "rt_internal.h"

enum {
    VECTOR_DIVIDE = 0,
    VECTOR_OVERFLOW = 4,
    VECTOR_BOUNDS = 5,
    VECTOR_ILLEGAL = 6,
    VECTOR_SEGMENT = 11,
    VECTOR_STACK = 12,
    VECTOR_GENERAL = 13,
    VECTOR_PAGE = 14,
    VECTOR_FLOAT = 16,
    VECTOR_ALIGNMENT = 17,
    VECTOR_SIMD = 19,

    PAGE_WRITE = 2,
    PAGE_FETCH = 16,
    ACCESS_FETCH = 8, /* the parameter's value; 0 is reading, 1 writing */

    GAP = 256,       /* left alone below the interrupted stack pointer */
    OWN_ROOM = 4096, /* and below this function's frame, which calls others */
    NEAR = 1 << 16,
    FLAGS_TRAP = 0x100,
};

/* What rt_fault_entry finds at rsp: its own frame as its unwind codes say. */
struct entry {
    uint64_t home[4];
    struct rt_record record;
    uint64_t unused;
    struct rt_context context;
    uint64_t machine[5]; /* rip, cs, flags, rsp, ss */
    uint64_t odd;
};

_Static_assert(sizeof(struct entry) == 32 + 160 + 1232 + 48, "rt_fault_entry's frame");
_Static_assert(sizeof(struct entry) % 16 == 0, "the stack's alignment");

static uint32_t code_of(uint32_t vector)
{
    switch (vector) {
    case VECTOR_DIVIDE:
        return RT_CODE_DIVIDE;
    case VECTOR_OVERFLOW:
        return RT_CODE_OVERFLOW;
    case VECTOR_BOUNDS:
        return RT_CODE_BOUNDS;
    case VECTOR_ILLEGAL:
        return RT_CODE_ILLEGAL;
    case VECTOR_SEGMENT:
    case VECTOR_STACK:
    case VECTOR_GENERAL:
    case VECTOR_PAGE:
        return RT_CODE_ACCESS;
    case VECTOR_FLOAT:
        return RT_CODE_FLOAT_INVALID;
    case VECTOR_ALIGNMENT:
        return RT_CODE_MISALIGNED;
    case VECTOR_SIMD:
        return RT_CODE_SIMD;
    default: /* breakpoints, single steps, interrupts, what cannot be gone on from */
        return 0;
    }
}

static void make_record(const struct rt_fault *fault, struct rt_record *record)
{
    *record = (struct rt_record){.code = code_of(fault->vector), .address = fault->context->rip};
    if (record->code != RT_CODE_ACCESS)
        return;
    record->parameter_count = 2;
    record->parameters[1] = UINT64_MAX; /* the processor does not tell */
    if (fault->vector == VECTOR_PAGE) {
        record->parameters[0] = fault->error_code & PAGE_FETCH   ? ACCESS_FETCH
                                : fault->error_code & PAGE_WRITE ? 1
                                                                 : 0;
        record->parameters[1] = fault->address;
    }
}

static bool write(uint64_t address, const void *from, size_t size)
{
    const uint8_t *source = from;
    volatile uint8_t *target = (volatile uint8_t *)(uintptr_t)address;

    if (rt_state.port.write)
        return rt_state.port.write(rt_state.port.context, address, from, size);
    for (size_t i = 0; i < size; i++)
        target[i] = source[i];
    return true;
}

static bool read_memory(void *context, uint64_t address, void *buffer, size_t size)
{
    (void)context;
    return rt_read(address, buffer, size);
}

bool rt_has_handler(const struct rt_context *context)
{
    static const struct img_memory memory = {read_memory, NULL};
    struct img_registers registers;

    rt_registers_of(context, &registers);
    for (unsigned i = 0; i < RT_MAX_FRAMES; i++) {
        const struct img_image *image = rt_find_image(NULL, registers.rip);
        uint64_t rsp = registers.gpr[IMG_RSP];
        struct img_frame frame;

        if (!image || img_unwind(image, &memory, &registers, &frame) != IMG_UNWIND_OK)
            return false;
        if (frame.flags & IMG_UNWIND_EHANDLER)
            return true;
        if (frame.kind != IMG_FRAME_MACHINE && registers.gpr[IMG_RSP] <= rsp)
            return false;
    }
    return false;
}

/* Whether this is the fault whose search found nothing, once more. */
static bool comes_again(const struct rt_fault *fault)
{
    bool again = rt_state.has_unhandled && rt_state.unhandled_rip == fault->context->rip &&
                 rt_state.unhandled_rsp == fault->context->gpr[IMG_RSP];

    rt_state.has_unhandled = false;
    return again;
}

enum rt_fault_answer rt_fault(struct rt_fault *fault)
{
    if (code_of(fault->vector) == 0 || rt_state.policy == RT_NEVER || comes_again(fault))
        return RT_FAULT_UNHANDLED;
    if (rt_state.policy == RT_DEBUGGER_FIRST)
        return RT_FAULT_FIRST_CHANCE;
    return rt_fault_pass(fault);
}

/* Where the entry's frame goes: below the interrupted stack pointer. Without a stack of its own the
 * fault's handler, which runs now, is there, too. */
static uint64_t place(const struct rt_context *context)
{
    uint64_t at = context->gpr[IMG_RSP] - GAP, own = (uint64_t)(uintptr_t)&at;

    if (own < at && at - own < NEAR)
        at = own - OWN_ROOM;
    return (at & ~(uint64_t)15) - sizeof(struct entry);
}

enum rt_fault_answer rt_fault_pass(struct rt_fault *fault)
{
    struct rt_context *context = fault->context;
    struct entry entry = {.machine = {context->rip, context->cs, context->eflags,
                                      context->gpr[IMG_RSP], context->ss}};
    uint64_t at = place(context);

    if (code_of(fault->vector) == 0 || !rt_has_handler(context))
        return RT_FAULT_UNHANDLED;
    make_record(fault, &entry.record);
    entry.context = *context;
    entry.context.flags |= RT_CONTEXT_FULL;
    if (!write(at, &entry, sizeof entry))
        return RT_FAULT_UNHANDLED;
    context->rip = (uint64_t)(uintptr_t)rt_fault_entry;
    context->gpr[IMG_RSP] = at;
    context->eflags &= ~(uint32_t)FLAGS_TRAP;
    return RT_FAULT_RESUME;
}

/* rt_fault_entry's work. */
_Noreturn RT_ABI void rt_fault_raised(struct rt_record *record, struct rt_context *context)
{
    struct rt_raised raised = {rt_state.raised};
    unsigned depth = 0;

    for (struct rt_raised *one = rt_state.raised; one; one = one->outer)
        depth++;
    if (depth < RT_MAX_NESTED) {
        rt_state.raised = &raised;
        rt_state.has_unhandled = !rt_search(record, context);
        rt_state.raised = raised.outer;
    } else {
        rt_state.has_unhandled = true;
    }
    rt_state.unhandled_rip = context->rip;
    rt_state.unhandled_rsp = context->gpr[IMG_RSP];
    rt_resume(context);
}

/* Of rt_guard's frame: takes whatever comes. */
RT_ABI enum rt_disposition rt_guard_raised(struct rt_record *record, uint64_t frame,
                                           struct rt_context *context,
                                           struct rt_dispatcher *dispatcher)
{
    struct rt_target target = {
        .frame = frame, .ip = (uint64_t)(uintptr_t)rt_guard_resumed, .taken = record};
    struct rt_guarded *guarded;
    uint64_t address;

    (void)dispatcher;
    if (record->flags & RT_UNWINDING || !rt_read64(frame + 0x20, &address))
        return RT_CONTINUE_SEARCH;
    guarded = (struct rt_guarded *)(uintptr_t)address;
    if (guarded) {
        guarded->code = record->code;
        guarded->address = record->address;
        guarded->parameters[0] = record->parameters[0];
        guarded->parameters[1] = record->parameters[1];
    }
    rt_unwind(context, record, &target);
}

_Noreturn RT_ABI void rt_jump_from(struct rt_jump *jump, uint64_t value,
                                   struct rt_context *context);

/* longjmp's second half; context is its caller's. */
_Noreturn RT_ABI void rt_jump_from(struct rt_jump *jump, uint64_t value, struct rt_context *context)
{
    struct rt_record record = {.code = RT_CODE_LONGJUMP,
                               .address = context->rip,
                               .parameter_count = 1,
                               .parameters = {(uint64_t)(uintptr_t)jump}};
    struct rt_target target = {.frame = jump->frame, .ip = jump->rip, .value = value};

    if (jump->frame)
        rt_unwind(context, &record, &target);
    rt_terminate(RT_REASON_TARGET, &record, context);
}
