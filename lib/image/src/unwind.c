/* unwind.c - one step up the stack by unwind tables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * rip in the body or the prologue: the codes of what was executed are undone, last first. rip in an
 * epilogue: what is left of it is executed; version 1 tables do not say where epilogues are, but an
 * epilogue may only consist of a few forms of instructions, and nothing else looks like the rest of
 * one.
 */
#include "image/unwind.h"
#include "bytes.h"

#include "epilogue.h"

enum {
    MAX_CHAIN = 32,
    MACHINE_RSP = 24, /* in what the processor pushes: rip, cs, rflags, rsp, ss */
};

/* One step on its way. */
struct step {
    const struct img_image *image;
    const struct img_memory *memory;
    struct img_registers *registers;
    uint64_t base; /* what saves are counted from */
    bool machine;  /* rip and rsp are set already */
};

const char *img_unwind_result_text(enum img_unwind_result result)
{
    switch (result) {
    case IMG_UNWIND_OK:
        return "ok";
    case IMG_UNWIND_OUTSIDE:
        return "the address is not in this image";
    case IMG_UNWIND_MALFORMED:
        return "the unwind table contradicts itself";
    case IMG_UNWIND_STACK:
        return "the stack cannot be read";
    }
    return "unknown result";
}

static bool read_word(const struct step *step, uint64_t address, uint64_t *value)
{
    uint8_t bytes[8];

    if (!step->memory->read(step->memory->context, address, bytes, sizeof bytes))
        return false;
    *value = img_get64(bytes);
    return true;
}

static bool pop(struct step *step, uint64_t *value)
{
    uint64_t *rsp = &step->registers->gpr[IMG_RSP];

    if (!read_word(step, *rsp, value))
        return false;
    *rsp += 8;
    return true;
}

static bool restore_xmm(struct step *step, const struct img_unwind_code *code)
{
    struct img_xmm *xmm = &step->registers->xmm[code->info];
    uint64_t address = step->base + code->value;

    return read_word(step, address, &xmm->low) && read_word(step, address + 8, &xmm->high);
}

static bool undo_machine_frame(struct step *step, bool error_code)
{
    uint64_t *rsp = &step->registers->gpr[IMG_RSP];
    uint64_t at = *rsp + (error_code ? 8 : 0);

    step->machine = true;
    return read_word(step, at, &step->registers->rip) && read_word(step, at + MACHINE_RSP, rsp);
}

/* Undoes one instruction of a prologue. False: the stack cannot be read. */
static bool undo(struct step *step, const struct img_unwind_info *info,
                 const struct img_unwind_code *code)
{
    uint64_t *gpr = step->registers->gpr;
    uint64_t *rsp = &gpr[IMG_RSP];

    switch (code->op) {
    case IMG_OP_PUSH_NONVOL:
        return pop(step, &gpr[code->info]);
    case IMG_OP_ALLOC_LARGE:
    case IMG_OP_ALLOC_SMALL:
        *rsp += code->value;
        return true;
    case IMG_OP_SET_FPREG:
        *rsp = gpr[info->frame_register] - code->value;
        return true;
    case IMG_OP_SAVE_NONVOL:
    case IMG_OP_SAVE_NONVOL_FAR:
        return read_word(step, step->base + code->value, &gpr[code->info]);
    case IMG_OP_SAVE_XMM128:
    case IMG_OP_SAVE_XMM128_FAR:
        return restore_xmm(step, code);
    case IMG_OP_PUSH_MACHFRAME:
        return undo_machine_frame(step, code->info != 0);
    default: /* EPILOG: not an instruction of the prologue */
        return true;
    }
}

/* Undoes what of a prologue was executed when executed bytes of it were. */
static enum img_unwind_result undo_codes(struct step *step, const struct img_unwind_info *info,
                                         uint32_t executed)
{
    struct img_unwind_code code;

    for (unsigned i = 0; i < info->code_count; i += code.slots) {
        if (!img_unwind_code(step->image, info, i, &code))
            return IMG_UNWIND_MALFORMED;
        if (step->machine && code.op != IMG_OP_EPILOG)
            return IMG_UNWIND_MALFORMED; /* nothing is done before a machine frame is there */
        if (code.offset <= executed && !undo(step, info, &code))
            return IMG_UNWIND_STACK;
    }
    return IMG_UNWIND_OK;
}

/* Whether the frame register is set up at that point of the prologue. */
static bool has_frame_register(const struct step *step, const struct img_unwind_info *info,
                               uint32_t executed)
{
    struct img_unwind_code code;

    if (info->frame_register == 0)
        return false;
    if (executed >= info->prologue)
        return true;
    for (unsigned i = 0; i < info->code_count; i += code.slots) {
        if (!img_unwind_code(step->image, info, i, &code))
            return false;
        if (code.op == IMG_OP_SET_FPREG)
            return code.offset <= executed;
    }
    return true;
}

static uint64_t base_of(const struct step *step, const struct img_unwind_info *info,
                        uint32_t executed)
{
    const uint64_t *gpr = step->registers->gpr;

    return has_frame_register(step, info, executed) ? gpr[info->frame_register] - info->frame_offset
                                                    : gpr[IMG_RSP];
}

/* Does what is left of an epilogue, and returns. */
static enum img_unwind_result finish_epilogue(struct step *step,
                                              const struct img_epilogue *epilogue)
{
    uint64_t *gpr = step->registers->gpr;

    if (epilogue->from_register)
        gpr[IMG_RSP] = gpr[epilogue->frame_register];
    gpr[IMG_RSP] += (uint64_t)(int64_t)epilogue->adjust;
    for (unsigned i = 0; i < epilogue->pop_count; i++) {
        uint64_t value;

        if (!pop(step, &value))
            return IMG_UNWIND_STACK;
        if (epilogue->pops[i] != IMG_POP_NOTHING)
            gpr[epilogue->pops[i]] = value;
    }
    return pop(step, &step->registers->rip) ? IMG_UNWIND_OK : IMG_UNWIND_STACK;
}

/* The rest of a chain: all of each prologue was executed. Leaves the primary row's. */
static enum img_unwind_result undo_chain(struct step *step, struct img_unwind_info *info,
                                         struct img_frame *frame)
{
    for (unsigned depth = 0; info->flags & IMG_UNWIND_CHAINED; depth++) {
        enum img_unwind_result result;

        frame->primary = info->chained;
        if (depth == MAX_CHAIN || !img_unwind_info(step->image, frame->primary.unwind, info))
            return IMG_UNWIND_MALFORMED;
        step->base = base_of(step, info, UINT32_MAX);
        result = undo_codes(step, info, UINT32_MAX);
        if (result != IMG_UNWIND_OK)
            return result;
    }
    return IMG_UNWIND_OK;
}

static enum img_unwind_result undo_frame(struct step *step, struct img_unwind_info *info,
                                         uint32_t executed, struct img_frame *frame)
{
    enum img_unwind_result result;

    step->base = base_of(step, info, executed);
    frame->establisher = step->base;
    result = undo_codes(step, info, executed);
    if (result == IMG_UNWIND_OK)
        result = undo_chain(step, info, frame);
    if (result != IMG_UNWIND_OK)
        return result;
    if (step->machine)
        frame->kind = IMG_FRAME_MACHINE;
    else if (!pop(step, &step->registers->rip))
        return IMG_UNWIND_STACK;
    frame->frame_register = info->frame_register;
    frame->frame_offset = info->frame_offset;
    return IMG_UNWIND_OK;
}

static enum img_unwind_result unwind_function(struct step *step, uint32_t rva,
                                              struct img_frame *frame)
{
    struct img_unwind_info info;
    struct img_epilogue epilogue;
    uint32_t executed;
    enum img_unwind_result result;

    frame->primary = frame->function;
    if (!img_primary_function(step->image, &frame->primary))
        return IMG_UNWIND_MALFORMED;
    if (frame->function.unwind & 1)
        frame->function = frame->primary;
    if (!img_unwind_info(step->image, frame->function.unwind, &info))
        return IMG_UNWIND_MALFORMED;
    executed = rva - frame->function.begin;
    if (executed >= info.prologue &&
        img_find_epilogue(step->image, &frame->function, &info, rva, &epilogue)) {
        frame->establisher = base_of(step, &info, UINT32_MAX);
        return finish_epilogue(step, &epilogue);
    }
    result = undo_frame(step, &info, executed >= info.prologue ? UINT32_MAX : executed, frame);
    /* A handler is for the body of the function; of a chain, for all parts behind the first. */
    if (result == IMG_UNWIND_OK &&
        (executed >= info.prologue || frame->primary.begin != frame->function.begin)) {
        frame->flags = info.flags & (IMG_UNWIND_EHANDLER | IMG_UNWIND_UHANDLER);
        frame->handler = info.handler;
        frame->handler_data = info.handler_data;
    }
    return result;
}

enum img_unwind_result img_unwind(const struct img_image *image, const struct img_memory *memory,
                                  struct img_registers *registers, struct img_frame *frame)
{
    struct step step = {image, memory, registers, 0, false};
    uint32_t rva;

    *frame = (struct img_frame){.kind = IMG_FRAME_TABLE};
    if (!img_rva(image, registers->rip, &rva))
        return IMG_UNWIND_OUTSIDE;
    if (img_function_at(image, rva, &frame->function))
        return unwind_function(&step, rva, frame);
    frame->function = (struct img_function){0};
    frame->kind = IMG_FRAME_LEAF;
    frame->establisher = registers->gpr[IMG_RSP];
    return pop(&step, &registers->rip) ? IMG_UNWIND_OK : IMG_UNWIND_STACK;
}
