/* eh_cxx4.c - compressed C++ exception tables ("FH4").
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Counts, offsets and states are integers of one to five bytes; the low bits of the first tell how
 * many. RVAs are plain 32-bit ones. Rows of the unwind map refer back to each other by distances in
 * bytes, so a state's number follows only from counting rows.
 */
#include "bytes.h"
#include "eh_internal.h"

enum {
    INFO_CATCH = 0x01,
    INFO_SEPARATED = 0x02,
    INFO_FRAGMENTS = 0x04, /* an integer that readers skip */
    INFO_UNWIND = 0x08,
    INFO_TRY = 0x10,
    INFO_SYNCHRONOUS = 0x20,
    INFO_NOEXCEPT = 0x40,

    HANDLER_ADJECTIVES = 0x01,
    HANDLER_TYPE = 0x02,
    HANDLER_OBJECT = 0x04,
    HANDLER_RVAS = 0x08,

    MAX_SEGMENTS = 4096,
};

/* Reads on; after a failed read it stays failed and gives zeros. */
struct cursor {
    const struct img_image *image;
    uint32_t rva;
    bool bad;
};

static struct cursor cursor_at(const struct img_eh *eh, uint32_t rva)
{
    struct cursor cursor = {eh->image, rva, rva == 0};

    return cursor;
}

static void take(struct cursor *cursor, uint8_t *bytes, size_t size)
{
    img_zero(bytes, size);
    if (cursor->bad || !img_read(cursor->image, cursor->rva, bytes, size)) {
        cursor->bad = true;
        return;
    }
    cursor->rva += (uint32_t)size; /* within the image: no overflow */
}

static uint8_t take8(struct cursor *cursor)
{
    uint8_t byte;

    take(cursor, &byte, 1);
    return byte;
}

static uint32_t take32(struct cursor *cursor)
{
    uint8_t bytes[4];

    take(cursor, bytes, sizeof bytes);
    return img_get32(bytes);
}

/* xxx0: one byte; xx01: two; x011: three; 0111: four; 1111: four more. */
static uint32_t take_integer(struct cursor *cursor)
{
    uint8_t bytes[4] = {take8(cursor)};
    unsigned more = 0;

    if ((bytes[0] & 15) == 15)
        return take32(cursor);
    while (more < 3 && bytes[0] >> more & 1)
        more++;
    take(cursor, bytes + 1, more);
    return img_get32(bytes) >> (more + 1);
}

/* The IP map of the piece that the function's row describes: the one that starts there, or else the
 * last one that starts before control. */
static bool open_segments(struct img_eh *eh, uint32_t table, uint32_t rva)
{
    struct cursor cursor = cursor_at(eh, table);
    uint32_t count = take_integer(&cursor), best = 0;

    if (count > MAX_SEGMENTS)
        return false;
    for (uint32_t i = 0; i < count && !cursor.bad; i++) {
        uint32_t start = take32(&cursor), map = take32(&cursor);

        if (start <= rva && start >= best) {
            best = start;
            eh->segment = start;
            eh->ip_map = map;
        }
    }
    return !cursor.bad && best != 0;
}

static uint32_t count_at(const struct img_eh *eh, uint32_t table, uint32_t *rows)
{
    struct cursor cursor = cursor_at(eh, table);
    uint32_t count = take_integer(&cursor);

    *rows = cursor.rva;
    return cursor.bad ? UINT32_MAX : count;
}

static uint32_t flags_of(uint8_t header)
{
    return (header & INFO_CATCH ? IMG_EH_CATCH : 0u) |
           (header & INFO_SEPARATED ? IMG_EH_SEPARATED : 0u) |
           (header & INFO_SYNCHRONOUS ? IMG_EH_SYNCHRONOUS : 0u) |
           (header & INFO_NOEXCEPT ? IMG_EH_NOEXCEPT : 0u);
}

bool img_cxx4_open(struct img_eh *eh, uint32_t rva)
{
    struct cursor cursor = cursor_at(eh, eh->info);
    uint8_t header = take8(&cursor);
    uint32_t map;

    eh->flags = flags_of(header);
    if (header & 0x80)
        return false; /* no such flag */
    if (header & INFO_FRAGMENTS)
        take_integer(&cursor);
    if (header & INFO_UNWIND)
        eh->state_count = count_at(eh, take32(&cursor), &eh->unwind_map);
    if (header & INFO_TRY)
        eh->try_count = count_at(eh, take32(&cursor), &eh->try_map);
    map = take32(&cursor);
    if (header & INFO_CATCH)
        eh->catch_frame = take_integer(&cursor);
    if (cursor.bad)
        return false;
    eh->size = cursor.rva - eh->info;
    eh->segment = eh->function;
    eh->ip_map = map;
    if (header & INFO_SEPARATED && !open_segments(eh, map, rva))
        return false;
    if (eh->ip_map)
        eh->ip_count = count_at(eh, eh->ip_map, &eh->ip_map);
    return eh->ip_count <= eh->image->size;
}

static void take_ip(struct cursor *cursor, uint32_t *rva, int32_t *state)
{
    *rva += take_integer(cursor);
    *state = (int32_t)(take_integer(cursor) - 1u);
}

bool img_cxx4_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state)
{
    struct cursor cursor = cursor_at(eh, eh->ip_map);

    *rva = eh->segment;
    for (uint32_t i = 0; i <= index && !cursor.bad; i++)
        take_ip(&cursor, rva, state);
    return !cursor.bad;
}

bool img_cxx4_state(const struct img_eh *eh, uint32_t rva, int32_t *state)
{
    struct cursor cursor = cursor_at(eh, eh->ip_map);
    uint32_t start = eh->segment;

    *state = IMG_EH_EMPTY;
    for (uint32_t i = 0; i < eh->ip_count; i++) {
        int32_t next;

        take_ip(&cursor, &start, &next);
        if (cursor.bad)
            return false;
        if (start > rva)
            break;
        *state = next;
    }
    return true;
}

/* Takes one row of the unwind map; back is how far before its start the next state's row begins. */
static void take_unwind(struct cursor *cursor, struct img_eh_unwind *unwind, uint32_t *back)
{
    static const enum img_eh_action kinds[] = {IMG_EH_NOTHING, IMG_EH_DESTROY, IMG_EH_DESTROY_AT,
                                               IMG_EH_FUNCLET};
    uint32_t first = take_integer(cursor);

    unwind->kind = kinds[first & 3];
    *back = first >> 2;
    unwind->action = unwind->kind == IMG_EH_NOTHING ? 0 : take32(cursor);
    unwind->object = unwind->kind == IMG_EH_DESTROY || unwind->kind == IMG_EH_DESTROY_AT
                         ? take_integer(cursor)
                         : 0;
}

/* The state whose row starts at rva. False: none does. */
static bool state_at(const struct img_eh *eh, uint32_t rva, int32_t *state)
{
    struct cursor cursor = cursor_at(eh, eh->unwind_map);
    struct img_eh_unwind unwind;
    uint32_t back;

    for (*state = 0; cursor.rva < rva && !cursor.bad; ++*state)
        take_unwind(&cursor, &unwind, &back);
    return !cursor.bad && cursor.rva == rva;
}

bool img_cxx4_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind)
{
    struct cursor cursor = cursor_at(eh, eh->unwind_map);
    uint32_t back = 0, start = 0;

    for (int32_t i = 0; i <= state && !cursor.bad; i++) {
        start = cursor.rva;
        take_unwind(&cursor, unwind, &back);
    }
    if (cursor.bad || back == 0)
        return false;
    unwind->next = IMG_EH_EMPTY;
    if (back > start - eh->unwind_map) /* before the first row: nothing is left to undo */
        return true;
    return state_at(eh, start - back, &unwind->next);
}

static void take_try(struct cursor *cursor, struct img_eh_try *block)
{
    block->low = (int32_t)take_integer(cursor);
    block->high = (int32_t)take_integer(cursor);
    block->catch_high = (int32_t)take_integer(cursor);
    block->handlers = take32(cursor);
}

bool img_cxx4_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block)
{
    struct cursor cursor = cursor_at(eh, eh->try_map);

    for (uint32_t i = 0; i <= index && !cursor.bad; i++)
        take_try(&cursor, block);
    if (cursor.bad)
        return false;
    block->handler_count = count_at(eh, block->handlers, &block->handlers);
    return block->handler_count != UINT32_MAX;
}

static void take_handler(struct cursor *cursor, uint32_t function, struct img_eh_handler *handler)
{
    uint8_t header = take8(cursor);

    *handler = (struct img_eh_handler){0};
    if (header & HANDLER_ADJECTIVES)
        handler->adjectives = take_integer(cursor);
    if (header & HANDLER_TYPE)
        handler->type = take32(cursor);
    if (header & HANDLER_OBJECT)
        handler->object = (int32_t)take_integer(cursor);
    handler->handler = take32(cursor);
    handler->continuation_count = (header >> 4) & 3u;
    if (header & 0xC0 || handler->continuation_count > 2)
        cursor->bad = true; /* no such flag, no such number */
    for (unsigned i = 0; i < handler->continuation_count && !cursor->bad; i++)
        handler->continuations[i] =
            header & HANDLER_RVAS ? take32(cursor) : function + take_integer(cursor);
}

bool img_cxx4_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                      struct img_eh_handler *handler)
{
    struct cursor cursor = cursor_at(eh, block->handlers);

    for (uint32_t i = 0; i <= index && !cursor.bad; i++)
        take_handler(&cursor, eh->function, handler);
    handler->frame = eh->catch_frame;
    return !cursor.bad;
}
