/* epilogue.c - recognises epilogues: by their instructions, or by version 2 codes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The convention allows: add rsp, constant or lea rsp, [frame register + displacement]; then pops;
 * then ret, or a jump out of the function (a tail call). The first may be missing.
 */
#include "epilogue.h"

#include "bytes.h"

enum {
    WINDOW = 64, /* longest: 8 + 16 pops of 2 + 6 */
    REX_W = 0x48,
    REX_WB = 0x49,
    EPILOG_AT_END = 1,
};

/* The code from rip on, as far as the function goes. */
struct code {
    uint8_t bytes[WINDOW];
    uint32_t size;
    uint32_t at;
};

static bool left(const struct code *code, uint32_t size)
{
    return code->size - code->at >= size;
}

static void parse_add(struct code *code, struct img_epilogue *epilogue)
{
    const uint8_t *p = code->bytes + code->at;

    if (left(code, 4) && p[0] == REX_W && p[1] == 0x83 && p[2] == 0xC4) {
        epilogue->adjust = (int8_t)p[3];
        code->at += 4;
    } else if (left(code, 7) && p[0] == REX_W && p[1] == 0x81 && p[2] == 0xC4) {
        epilogue->adjust = (int32_t)img_get32(p + 3);
        code->at += 7;
    }
}

/* lea rsp, [frame register + disp8 or disp32] */
static void parse_lea(struct code *code, const struct img_unwind_info *info,
                      struct img_epilogue *epilogue)
{
    const uint8_t *p = code->bytes + code->at;
    uint8_t mode, base;
    uint32_t size = 3;

    if (!left(code, 8) || (p[0] != REX_W && p[0] != REX_WB) || p[1] != 0x8D ||
        (p[2] >> 3 & 7) != IMG_RSP)
        return;
    mode = p[2] >> 6;
    base = (uint8_t)((p[2] & 7) | (p[0] == REX_WB ? 8 : 0));
    if ((p[2] & 7) == IMG_RSP && p[size++] != 0x24) /* a SIB byte: base only */
        return;
    if (base != info->frame_register || (mode != 1 && mode != 2))
        return;
    epilogue->from_register = true;
    epilogue->frame_register = base;
    epilogue->adjust = mode == 1 ? (int8_t)p[size] : (int32_t)img_get32(p + size);
    code->at += size + (mode == 1 ? 1 : 4);
}

static void parse_pops(struct code *code, struct img_epilogue *epilogue)
{
    while (epilogue->pop_count < IMG_MAX_POPS) {
        const uint8_t *p = code->bytes + code->at;
        uint8_t *pop = &epilogue->pops[epilogue->pop_count];

        if (left(code, 1) && (p[0] & 0xF8) == 0x58) {
            *pop = p[0] & 7;
            code->at += 1;
        } else if (left(code, 2) && p[0] == 0x41 && (p[1] & 0xF8) == 0x58) {
            *pop = (uint8_t)((p[1] & 7) | 8);
            code->at += 2;
        } else {
            return;
        }
        epilogue->pop_count++;
    }
}

/* A jump leaves the function when its target is in no part of it, or is its very start: a call of
 * itself. */
static bool leaves(const struct img_image *image, const struct img_function *function,
                   uint32_t target)
{
    struct img_function own = *function, other;

    if (target >= function->begin && target < function->end)
        return target == function->begin && img_primary_function(image, &own) &&
               own.begin == function->begin;
    if (!img_function_at(image, target, &other) || !img_primary_function(image, &own) ||
        !img_primary_function(image, &other))
        return true;
    return own.begin != other.begin || target == own.begin;
}

/* rva: of the code's first byte. */
static bool is_jump_out(const struct img_image *image, const struct img_function *function,
                        const struct code *code, uint32_t rva)
{
    const uint8_t *p = code->bytes + code->at;
    int64_t target = (int64_t)rva + code->at;

    if (left(code, 2) && p[0] == 0xEB)
        target += 2 + (int8_t)p[1];
    else if (left(code, 5) && p[0] == 0xE9)
        target += 5 + (int64_t)(int32_t)img_get32(p + 1);
    else if (left(code, 6) && p[0] == 0xFF && p[1] == 0x25)
        return true; /* jmp [rip + displacement] */
    else
        /* rex.w jmp register or memory: the prefix says that it is the end of a function */
        return left(code, 3) && (p[0] & 0xF8) == REX_W && p[1] == 0xFF && (p[2] & 0x38) == 0x20;
    return target >= 0 && target < image->size && leaves(image, function, (uint32_t)target);
}

static bool is_return(const struct code *code)
{
    const uint8_t *p = code->bytes + code->at;

    return (left(code, 1) && p[0] == 0xC3) || (left(code, 3) && p[0] == 0xC2) ||
           (left(code, 2) && p[0] == 0xF3 && p[1] == 0xC3);
}

static bool by_instructions(const struct img_image *image, const struct img_function *function,
                            const struct img_unwind_info *info, uint32_t rva,
                            struct img_epilogue *epilogue)
{
    struct code code = {.size = function->end - rva};

    if (code.size > WINDOW)
        code.size = WINDOW;
    if (!img_read(image, rva, code.bytes, code.size))
        return false;
    parse_add(&code, epilogue);
    if (code.at == 0 && info->frame_register)
        parse_lea(&code, info, epilogue);
    parse_pops(&code, epilogue);
    return is_return(&code) || is_jump_out(image, function, &code, rva);
}

/* Whether rva is in an epilogue that version 2 codes tell of; *into: how far. The first code has
 * the size of all and says whether one is at the function's end; the others, distances from it. */
static bool described(const struct img_image *image, const struct img_function *function,
                      const struct img_unwind_info *info, uint32_t rva, uint32_t *into)
{
    uint32_t length = function->end - function->begin, size = 0;
    struct img_unwind_code code;

    for (unsigned i = 0; i < info->code_count; i += code.slots) {
        uint32_t from_end;

        if (!img_unwind_code(image, info, i, &code) || code.op != IMG_OP_EPILOG)
            return false;
        if (i == 0)
            size = code.offset;
        from_end = i == 0 ? size : code.offset + ((uint32_t)code.info << 8);
        if ((i == 0 && !(code.info & EPILOG_AT_END)) || from_end == 0 || from_end > length)
            continue;
        if (rva >= function->end - from_end && rva - (function->end - from_end) < size) {
            *into = rva - (function->end - from_end);
            return true;
        }
    }
    return false;
}

/* Such an epilogue only pops and returns. Its pops are those of the pushes, one or two bytes each;
 * the first into bytes are done. */
static bool by_codes(const struct img_image *image, const struct img_unwind_info *info,
                     uint32_t into, struct img_epilogue *epilogue)
{
    struct img_unwind_code code;
    uint32_t at = 0;
    bool pushes = false;

    for (unsigned i = 0; i < info->code_count; i += code.slots) {
        bool push, word;

        if (!img_unwind_code(image, info, i, &code))
            return false;
        push = code.op == IMG_OP_PUSH_NONVOL;
        word = pushes && code.op == IMG_OP_ALLOC_SMALL && code.value == 8;
        if (!push && !word)
            continue;
        pushes = true;
        if (at >= into) {
            if (epilogue->pop_count == IMG_MAX_POPS)
                return false;
            epilogue->pops[epilogue->pop_count++] = push ? code.info : IMG_POP_NOTHING;
        }
        at += push && code.info >= 8 ? 2 : 1;
    }
    return true;
}

bool img_find_epilogue(const struct img_image *image, const struct img_function *function,
                       const struct img_unwind_info *info, uint32_t rva,
                       struct img_epilogue *epilogue)
{
    uint32_t into;

    *epilogue = (struct img_epilogue){0};
    if (info->version == 2 && !(info->flags & IMG_UNWIND_CHAINED) &&
        described(image, function, info, rva, &into))
        return by_codes(image, info, into, epilogue);
    return by_instructions(image, function, info, rva, epilogue);
}
