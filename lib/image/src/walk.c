/* walk.c - whole call stacks: tables where there are any, guesses where there are none.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A guess is a word of the stack that is the address behind a call instruction in known code. It
 * may be left over from an earlier call, and then so is all that unwinding finds from there on:
 * once a walk has guessed, every frame is marked.
 */
#include "bytes.h"
#include "image/unwind.h"

enum { LONGEST_CALL = 7 };

const char *img_walk_result_text(enum img_walk_result result)
{
    switch (result) {
    case IMG_WALK_FRAME:
        return "one more frame";
    case IMG_WALK_END:
        return "end of the stack";
    case IMG_WALK_FRAMES:
        return "more frames than asked for";
    case IMG_WALK_LIMIT:
        return "the next frame is not on the stack";
    case IMG_WALK_MALFORMED:
        return "the unwind table contradicts itself";
    case IMG_WALK_STACK:
        return "the stack cannot be read";
    }
    return "unknown result";
}

void img_walk_start(struct img_walk *walk, const struct img_registers *registers)
{
    walk->registers = *registers;
    walk->next = IMG_WALK_FRAME;
    walk->frames = 0;
    walk->interrupted = true;
    walk->guessed = false;
}

/* The length of call with that many bytes: opcode FF /2, perhaps behind a REX prefix. */
static bool is_indirect_call(const uint8_t *code, unsigned size)
{
    uint8_t modrm, rm;
    unsigned length;

    if ((code[0] & 0xF0) == 0x40) {
        code++;
        size--;
    }
    if (size < 2 || code[0] != 0xFF || (code[1] >> 3 & 7) != 2)
        return false;
    modrm = code[1] >> 6;
    rm = code[1] & 7;
    length = 2;
    if (modrm != 3 && rm == 4)
        length++;
    if (modrm == 1)
        length++;
    if (modrm == 2 || (modrm == 0 && rm == 5))
        length += 4;
    return length == size;
}

static bool follows_call(const struct img_image *image, uint32_t rva)
{
    uint8_t code[LONGEST_CALL];

    if (rva < LONGEST_CALL || !img_read(image, rva - LONGEST_CALL, code, sizeof code))
        return false;
    if (code[LONGEST_CALL - 5] == 0xE8)
        return true;
    for (unsigned size = 2; size <= LONGEST_CALL; size++) {
        if (is_indirect_call(code + LONGEST_CALL - size, size))
            return true;
    }
    return false;
}

static bool is_return_address(struct img_walk *walk, uint64_t address)
{
    const struct img_image *image = walk->find(walk->find_context, address);
    struct img_function function;
    uint32_t rva;

    if (!image || !img_rva(image, address, &rva) || rva == 0 || !img_is_code(image, rva - 1))
        return false;
    if (img_function_count(image) > 0 && !img_function_at(image, rva - 1, &function))
        return false;
    return follows_call(image, rva);
}

static bool on_stack(const struct img_walk *walk, uint64_t rsp)
{
    return rsp >= walk->stack_low && rsp < walk->stack_high && walk->stack_high - rsp >= 8 &&
           rsp % 8 == 0;
}

/* Goes up to the next word that looks like a return address. */
static enum img_walk_result scan(struct img_walk *walk)
{
    struct img_registers *registers = &walk->registers;
    uint64_t at = registers->gpr[IMG_RSP];
    uint8_t bytes[8];

    for (unsigned i = 0; i < walk->max_scan; i++, at += 8) {
        if (!on_stack(walk, at))
            return IMG_WALK_END;
        if (!walk->memory.read(walk->memory.context, at, bytes, sizeof bytes))
            return IMG_WALK_STACK;
        if (is_return_address(walk, img_get64(bytes))) {
            registers->rip = img_get64(bytes);
            registers->gpr[IMG_RSP] = at + 8;
            walk->guessed = true;
            return IMG_WALK_FRAME;
        }
    }
    return IMG_WALK_END;
}

static enum img_walk_result result_of(enum img_unwind_result result)
{
    switch (result) {
    case IMG_UNWIND_OK:
        return IMG_WALK_FRAME;
    case IMG_UNWIND_STACK:
        return IMG_WALK_STACK;
    default:
        return IMG_WALK_MALFORMED;
    }
}

/* Whether there is a table to go by. Only what was interrupted can be a leaf: a leaf calls nobody.
 */
static bool has_table(const struct img_walk *walk, const struct img_image *image)
{
    struct img_function function;
    uint32_t rva;

    if (img_function_count(image) == 0 || !img_rva(image, walk->registers.rip, &rva))
        return false;
    return walk->interrupted || img_function_at(image, rva, &function);
}

/* From the frame in walk->registers to its caller's. */
static enum img_walk_result step(struct img_walk *walk, struct img_walk_frame *frame)
{
    struct img_registers *registers = &walk->registers;
    uint64_t rsp = registers->gpr[IMG_RSP];
    enum img_walk_result result = IMG_WALK_END;

    if (frame->image && has_table(walk, frame->image)) {
        result = result_of(img_unwind(frame->image, &walk->memory, registers, &frame->frame));
    } else if (frame->image || walk->interrupted) {
        frame->frame.kind = IMG_FRAME_SCAN;
        result = scan(walk);
    }
    walk->interrupted = frame->frame.kind == IMG_FRAME_MACHINE;
    if (result != IMG_WALK_FRAME)
        return result;
    if (registers->rip == 0)
        return IMG_WALK_END;
    /* A frame lies above the one it called; only what was interrupted may be on another stack. */
    if (!walk->interrupted &&
        (registers->gpr[IMG_RSP] <= rsp || !on_stack(walk, registers->gpr[IMG_RSP] - 8)))
        return IMG_WALK_LIMIT;
    return IMG_WALK_FRAME;
}

enum img_walk_result img_walk_next(struct img_walk *walk, struct img_walk_frame *frame)
{
    if (walk->next != IMG_WALK_FRAME)
        return walk->next;
    if (walk->frames >= walk->max_frames)
        return IMG_WALK_FRAMES;
    *frame = (struct img_walk_frame){
        .rip = walk->registers.rip,
        .rsp = walk->registers.gpr[IMG_RSP],
        .image = walk->find(walk->find_context, walk->registers.rip),
        .guessed = walk->guessed,
        .interrupted = walk->interrupted,
    };
    walk->frames++;
    walk->next = step(walk, frame);
    frame->image = walk->find(walk->find_context, frame->rip); /* a guess asks for others */
    return IMG_WALK_FRAME;
}
