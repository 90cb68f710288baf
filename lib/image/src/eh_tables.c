/* eh_tables.c - exception tables: C scopes, stack cookies, and both kinds of C++ tables as one.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "image/eh_tables.h"

#include "bytes.h"
#include "eh_internal.h"

enum {
    SCOPE_ROW = 16,
    MAX_SCOPES = 65536,
    FILTER_ALWAYS = 1,
    GS_FLAGS = 7,
    GS_ALIGNED = 4,
    GS_FARTHEST = 1 << 24, /* a guess: larger frames there are not */
};

bool img_eh_open(const struct img_image *image, enum img_eh_kind kind, uint32_t data,
                 uint32_t function, uint32_t rva, struct img_eh *eh)
{
    *eh = (struct img_eh){.image = image, .kind = kind, .function = function, .segment = function};
    if (!img_read32(image, data, &eh->info) || eh->info == 0)
        return false;
    if (kind == IMG_EH_CXX3 ? !img_cxx3_open(eh) : kind != IMG_EH_CXX4 || !img_cxx4_open(eh, rva))
        return false;
    return eh->state_count <= IMG_EH_MAX_STATES && eh->try_count <= IMG_EH_MAX_TRIES;
}

bool img_eh_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state)
{
    if (index >= eh->ip_count)
        return false;
    return eh->kind == IMG_EH_CXX3 ? img_cxx3_ip(eh, index, rva, state)
                                   : img_cxx4_ip(eh, index, rva, state);
}

static bool is_state(const struct img_eh *eh, int32_t state)
{
    return state >= IMG_EH_EMPTY && state < (int32_t)eh->state_count;
}

static bool state3(const struct img_eh *eh, uint32_t rva, int32_t *state)
{
    *state = IMG_EH_EMPTY;
    for (uint32_t i = 0; i < eh->ip_count; i++) {
        uint32_t start;
        int32_t next;

        if (!img_cxx3_ip(eh, i, &start, &next))
            return false;
        if (start > rva)
            break;
        *state = next;
    }
    return true;
}

bool img_eh_state(const struct img_eh *eh, uint32_t rva, int32_t *state)
{
    bool read = eh->kind == IMG_EH_CXX3 ? state3(eh, rva, state) : img_cxx4_state(eh, rva, state);

    return read && is_state(eh, *state);
}

bool img_eh_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind)
{
    bool read;

    if (state < 0 || !is_state(eh, state))
        return false;
    read = eh->kind == IMG_EH_CXX3 ? img_cxx3_unwind(eh, state, unwind)
                                   : img_cxx4_unwind(eh, state, unwind);
    /* States only go down, so that undoing them ends. */
    return read && unwind->next >= IMG_EH_EMPTY && unwind->next < state &&
           (unwind->kind == IMG_EH_NOTHING || img_is_code(eh->image, unwind->action));
}

bool img_eh_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block)
{
    bool read;

    if (index >= eh->try_count)
        return false;
    read =
        eh->kind == IMG_EH_CXX3 ? img_cxx3_try(eh, index, block) : img_cxx4_try(eh, index, block);
    return read && block->low >= 0 && block->low <= block->high &&
           block->high <= block->catch_high && is_state(eh, block->catch_high) &&
           block->handler_count <= IMG_EH_MAX_HANDLERS;
}

bool img_eh_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                    struct img_eh_handler *handler)
{
    bool read;

    if (index >= block->handler_count)
        return false;
    read = eh->kind == IMG_EH_CXX3 ? img_cxx3_handler(eh, block, index, handler)
                                   : img_cxx4_handler(eh, block, index, handler);
    if (!read || !img_is_code(eh->image, handler->handler) || handler->type >= eh->image->size)
        return false;
    for (unsigned i = 0; i < handler->continuation_count; i++) {
        if (!img_is_code(eh->image, handler->continuations[i]))
            return false;
    }
    return true;
}

static bool check_tries(const struct img_eh *eh)
{
    struct img_eh_try block;
    struct img_eh_handler handler;

    for (uint32_t i = 0; i < eh->try_count; i++) {
        if (!img_eh_try(eh, i, &block))
            return false;
        for (uint32_t j = 0; j < block.handler_count; j++) {
            if (!img_eh_handler(eh, &block, j, &handler))
                return false;
        }
    }
    return true;
}

bool img_eh_check(const struct img_eh *eh)
{
    struct img_eh_unwind unwind;
    uint32_t rva;
    int32_t state;

    for (uint32_t i = 0; i < eh->state_count; i++) {
        if (!img_eh_unwind(eh, (int32_t)i, &unwind))
            return false;
    }
    for (uint32_t i = 0; i < eh->ip_count && i <= IMG_EH_MAX_STATES; i++) {
        if (!img_eh_ip(eh, i, &rva, &state) || !is_state(eh, state) || rva >= eh->image->size)
            return false;
    }
    return check_tries(eh);
}

bool img_eh_scope_count(const struct img_image *image, uint32_t data, uint32_t *count)
{
    return img_read32(image, data, count) && *count <= MAX_SCOPES &&
           *count * SCOPE_ROW + 4 <= image->size - data;
}

bool img_eh_scope(const struct img_image *image, uint32_t data, uint32_t index,
                  struct img_eh_scope *scope)
{
    uint32_t count;
    uint8_t row[SCOPE_ROW];

    if (!img_eh_scope_count(image, data, &count) || index >= count ||
        !img_read(image, data + 4 + index * SCOPE_ROW, row, sizeof row))
        return false;
    *scope = (struct img_eh_scope){img_get32(row), img_get32(row + 4), img_get32(row + 8),
                                   img_get32(row + 12)};
    if (scope->begin > scope->end || scope->end > image->size)
        return false;
    if (scope->target && !img_is_code(image, scope->target))
        return false;
    return (scope->target && scope->handler == FILTER_ALWAYS) || img_is_code(image, scope->handler);
}

bool img_eh_gs(const struct img_image *image, uint32_t data, struct img_eh_gs *gs)
{
    uint32_t first, base, alignment;

    *gs = (struct img_eh_gs){0};
    if (!img_read32(image, data, &first))
        return false;
    gs->flags = first & GS_FLAGS;
    gs->cookie = (int32_t)(first & ~(uint32_t)GS_FLAGS);
    if (!(gs->flags & GS_ALIGNED))
        return true;
    if (!img_read32(image, data + 4, &base) || !img_read32(image, data + 8, &alignment))
        return false;
    gs->aligned_base = (int32_t)base;
    gs->alignment = (int32_t)alignment;
    return gs->alignment > 0 && (gs->alignment & (gs->alignment - 1)) == 0;
}

/* All scopes lie in the function. */
static bool are_scopes(const struct img_image *image, uint32_t data,
                       const struct img_function *function)
{
    struct img_eh_scope scope;
    uint32_t count;

    if (!img_eh_scope_count(image, data, &count) || count == 0)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        if (!img_eh_scope(image, data, i, &scope) || scope.begin < function->begin ||
            scope.end > function->end)
            return false;
    }
    return true;
}

enum img_eh_kind img_eh_guess(const struct img_image *image, uint32_t data,
                              const struct img_function *function)
{
    struct img_eh eh;
    struct img_eh_gs gs;

    if (img_eh_open(image, IMG_EH_CXX3, data, function->begin, function->begin, &eh))
        return IMG_EH_CXX3;
    if (are_scopes(image, data, function))
        return IMG_EH_SCOPES;
    if (img_eh_open(image, IMG_EH_CXX4, data, function->begin, function->begin, &eh) &&
        eh.info >= image->header_size && (eh.state_count || eh.ip_count) && img_eh_check(&eh))
        return IMG_EH_CXX4;
    if (img_eh_gs(image, data, &gs) && gs.cookie >= 0 && gs.cookie < GS_FARTHEST)
        return IMG_EH_GS;
    return IMG_EH_UNKNOWN;
}
