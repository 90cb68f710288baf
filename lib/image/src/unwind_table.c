/* unwind_table.c - the exception directory and unwind information, decoded.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "image/unwind.h"

enum {
    ROW = 12,
    MAX_CHAIN = 32, /* rows chained to each other: compilers make one or two */
    INFO_FIXED = 4,
    INDIRECT = 1, /* in a row's last field: the address of another row */
};

void img_open_dynamic(struct img_image *image, const struct img_source *source, uint64_t base,
                      uint32_t size, uint32_t table, uint32_t count)
{
    *image = (struct img_image){.source = *source, .base = base, .size = size};
    if (base > UINT64_MAX - size)
        image->size = 0;
    if (table < size && count <= (size - table) / ROW)
        image->directories[IMG_DIRECTORY_EXCEPTION] = (struct img_directory){table, count * ROW};
}

uint32_t img_function_count(const struct img_image *image)
{
    return image->directories[IMG_DIRECTORY_EXCEPTION].size / ROW;
}

static bool read_row(const struct img_image *image, uint32_t rva, struct img_function *function)
{
    uint8_t row[ROW];

    if (!img_read(image, rva, row, sizeof row))
        return false;
    *function = (struct img_function){img_get32(row), img_get32(row + 4), img_get32(row + 8)};
    return true;
}

bool img_function(const struct img_image *image, uint32_t index, struct img_function *function)
{
    return index < img_function_count(image) &&
           read_row(image, image->directories[IMG_DIRECTORY_EXCEPTION].rva + index * ROW, function);
}

/* A row may only say where the real one is. */
static bool resolve(const struct img_image *image, struct img_function *function)
{
    for (unsigned depth = 0; depth < MAX_CHAIN; depth++) {
        if (!(function->unwind & INDIRECT))
            return function->begin < function->end && function->end <= image->size;
        if (!read_row(image, function->unwind & ~(uint32_t)INDIRECT, function))
            return false;
    }
    return false;
}

bool img_function_at(const struct img_image *image, uint32_t rva, struct img_function *function)
{
    uint32_t low = 0, high = img_function_count(image);

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (!img_function(image, middle, function))
            return false;
        if (rva < function->begin) {
            high = middle;
        } else if (rva >= function->end) {
            low = middle + 1;
        } else {
            return function->end <= image->size;
        }
    }
    return false;
}

/* What follows the codes: a handler, a row, or nothing. */
static bool read_tail(const struct img_image *image, uint32_t rva, struct img_unwind_info *info)
{
    if (info->flags & IMG_UNWIND_CHAINED)
        return !(info->flags & (IMG_UNWIND_EHANDLER | IMG_UNWIND_UHANDLER)) &&
               read_row(image, rva, &info->chained) && resolve(image, &info->chained);
    if (!(info->flags & (IMG_UNWIND_EHANDLER | IMG_UNWIND_UHANDLER)))
        return true;
    info->handler_data = rva + 4;
    return img_read32(image, rva, &info->handler) && info->handler < image->size;
}

bool img_unwind_info(const struct img_image *image, uint32_t rva, struct img_unwind_info *info)
{
    uint8_t fixed[INFO_FIXED];
    uint32_t tail;

    if (!img_read(image, rva, fixed, sizeof fixed))
        return false;
    *info = (struct img_unwind_info){
        .version = fixed[0] & 7,
        .flags = fixed[0] >> 3,
        .prologue = fixed[1],
        .code_count = fixed[2],
        .frame_register = fixed[3] & 15,
        .frame_offset = fixed[3] & 0xF0,
        .codes = rva + INFO_FIXED,
    };
    /* An even number of slots is stored. rva + 4 lies within the image: no overflow. */
    tail = info->codes + ((info->code_count + 1u) & ~1u) * 2;
    if ((info->version != 1 && info->version != 2) || tail > image->size)
        return false;
    return read_tail(image, tail, info);
}

bool img_primary_function(const struct img_image *image, struct img_function *function)
{
    struct img_unwind_info info;

    for (unsigned depth = 0; depth < MAX_CHAIN; depth++) {
        if (!resolve(image, function) || !img_unwind_info(image, function->unwind, &info))
            return false;
        if (!(info.flags & IMG_UNWIND_CHAINED))
            return true;
        *function = info.chained;
    }
    return false;
}

/* The value in the slots that follow a code's first; scale is for those of one slot. */
static bool read_value(const struct img_image *image, uint32_t rva, uint32_t scale,
                       struct img_unwind_code *code)
{
    uint16_t small;

    if (code->slots == 3)
        return img_read32(image, rva, &code->value);
    if (!img_read16(image, rva, &small))
        return false;
    code->value = small * scale;
    return true;
}

/* How many slots a code takes; 0 for one that this version does not have. */
static uint8_t slots_of(const struct img_unwind_info *info, const struct img_unwind_code *code)
{
    switch (code->op) {
    case IMG_OP_PUSH_NONVOL:
    case IMG_OP_ALLOC_SMALL:
    case IMG_OP_SET_FPREG:
        return 1;
    case IMG_OP_PUSH_MACHFRAME:
        return code->info < 2 ? 1 : 0;
    case IMG_OP_ALLOC_LARGE:
        return code->info < 2 ? code->info + 2 : 0;
    case IMG_OP_SAVE_NONVOL:
    case IMG_OP_SAVE_XMM128:
        return 2;
    case IMG_OP_SAVE_NONVOL_FAR:
    case IMG_OP_SAVE_XMM128_FAR:
        return 3;
    case IMG_OP_EPILOG:
        return info->version == 2 ? 1 : 0;
    default:
        return 0;
    }
}

bool img_unwind_code(const struct img_image *image, const struct img_unwind_info *info,
                     unsigned index, struct img_unwind_code *code)
{
    uint32_t rva = info->codes + index * 2;
    uint8_t slot[2];

    if (index >= info->code_count || !img_read(image, rva, slot, sizeof slot))
        return false;
    *code = (struct img_unwind_code){.offset = slot[0], .op = slot[1] & 15, .info = slot[1] >> 4};
    code->slots = slots_of(info, code);
    if (code->slots == 0 || code->slots > info->code_count - index)
        return false;
    switch (code->op) {
    case IMG_OP_ALLOC_SMALL:
        code->value = code->info * 8u + 8;
        return true;
    case IMG_OP_SET_FPREG:
        code->value = info->frame_offset;
        return info->frame_register != 0;
    default:
        return code->slots == 1 ||
               read_value(image, rva + 2, code->op == IMG_OP_SAVE_XMM128 ? 16 : 8, code);
    }
}
