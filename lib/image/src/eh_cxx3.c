/* eh_cxx3.c - C++ exception tables of fixed-size records (FuncInfo, "FH3").
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "eh_internal.h"

enum {
    FUNC_INFO = 40,
    UNWIND_ROW = 8,
    TRY_ROW = 20,
    HANDLER_ROW = 20,
    IP_ROW = 8,
    FLAG_SYNCHRONOUS = 1,
    FLAG_NOEXCEPT = 4,
};

static const uint32_t magic = 0x19930520, magic_flags = 0x19930522, magic_mask = 0x1FFFFFFF;

/* Row index of a table; rows are bytes long. */
static bool read_row(const struct img_eh *eh, uint32_t table, uint32_t index, void *row,
                     size_t bytes)
{
    uint64_t rva = (uint64_t)table + (uint64_t)index * bytes;

    return rva < eh->image->size && img_read(eh->image, (uint32_t)rva, row, bytes);
}

bool img_cxx3_open(struct img_eh *eh)
{
    uint8_t fixed[FUNC_INFO];
    uint32_t version, flags;

    if (!img_read(eh->image, eh->info, fixed, sizeof fixed - 4))
        return false;
    version = img_get32(fixed) & magic_mask;
    if (version < magic || version > magic_flags)
        return false;
    eh->state_count = img_get32(fixed + 4);
    eh->unwind_map = img_get32(fixed + 8);
    eh->try_count = img_get32(fixed + 12);
    eh->try_map = img_get32(fixed + 16);
    eh->ip_count = img_get32(fixed + 20);
    eh->ip_map = img_get32(fixed + 24);
    eh->unwind_help = (int32_t)img_get32(fixed + 28);
    eh->size = version < magic_flags ? FUNC_INFO - 4 : FUNC_INFO;
    if (version == magic_flags) {
        if (!img_read32(eh->image, eh->info + FUNC_INFO - 4, &flags))
            return false;
        eh->flags |= flags & FLAG_SYNCHRONOUS ? IMG_EH_SYNCHRONOUS : 0;
        eh->flags |= flags & FLAG_NOEXCEPT ? IMG_EH_NOEXCEPT : 0;
    }
    return eh->ip_count <= eh->image->size / IP_ROW;
}

bool img_cxx3_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state)
{
    uint8_t row[IP_ROW];

    if (!read_row(eh, eh->ip_map, index, row, sizeof row))
        return false;
    *rva = img_get32(row);
    *state = (int32_t)img_get32(row + 4);
    return true;
}

bool img_cxx3_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind)
{
    uint8_t row[UNWIND_ROW];

    if (!read_row(eh, eh->unwind_map, (uint32_t)state, row, sizeof row))
        return false;
    unwind->next = (int32_t)img_get32(row);
    unwind->action = img_get32(row + 4);
    unwind->kind = unwind->action ? IMG_EH_FUNCLET : IMG_EH_NOTHING;
    unwind->object = 0;
    return true;
}

bool img_cxx3_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block)
{
    uint8_t row[TRY_ROW];

    if (!read_row(eh, eh->try_map, index, row, sizeof row))
        return false;
    *block = (struct img_eh_try){
        .low = (int32_t)img_get32(row),
        .high = (int32_t)img_get32(row + 4),
        .catch_high = (int32_t)img_get32(row + 8),
        .handler_count = img_get32(row + 12),
        .handlers = img_get32(row + 16),
    };
    return true;
}

bool img_cxx3_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                      struct img_eh_handler *handler)
{
    uint8_t row[HANDLER_ROW];

    if (!read_row(eh, block->handlers, index, row, sizeof row))
        return false;
    *handler = (struct img_eh_handler){
        .adjectives = img_get32(row),
        .type = img_get32(row + 4),
        .object = (int32_t)img_get32(row + 8),
        .handler = img_get32(row + 12),
        .frame = img_get32(row + 16),
    };
    return true;
}
