/* aot_hydrate.c - MethodTables, cells and statics written out from their stored, dry form.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Section 207: an i32 to the destination, then commands to its end; behind it a table of targets,
 * each an i32 relative to itself. A command is a byte, operation in the low three bits, a number n
 * in the others; above 28, n - 28 bytes follow that hold n - 28.
 */
#include "aot_read.h"

#define SHORT_MAX 28u /* numbers up to this are in the command byte */

enum operation {
    COPY,       /* n bytes follow */
    SKIP,       /* n bytes stay zero */
    RELATIVE,   /* 4 bytes to target n */
    POINTER,    /* 8 bytes to target n */
    RELATIVES,  /* n times: an i32 that leads to the target follows; 4 bytes each */
    POINTERS,   /* the same, 8 bytes each */
    OPERATIONS, /* the others do not exist */
};

struct hydration {
    struct aot_cursor in;
    uint32_t targets; /* where their table is */
    uint8_t *out;     /* NULL: only counted */
    uint64_t room;
    uint32_t at;   /* RVA of out */
    uint64_t used; /* bytes of out */
};

static bool put(struct hydration *h, uint64_t value, unsigned size)
{
    if (size > h->room - h->used)
        return false;
    for (unsigned i = 0; h->out && i < size; i++)
        h->out[h->used + i] = (uint8_t)(value >> 8 * i);
    h->used += size;
    return true;
}

static bool put_target(struct hydration *h, uint32_t target, bool pointer)
{
    if (pointer)
        return put(h, h->in.aot->image->base + target, 8);
    return put(h, target - (h->at + (uint32_t)h->used), 4);
}

static bool copy(struct hydration *h, uint32_t count)
{
    if (count > h->room - h->used)
        return false;
    for (uint32_t i = 0; i < count && !h->in.bad; i++)
        put(h, aot_take8(&h->in), 1);
    return !h->in.bad;
}

static bool skip(struct hydration *h, uint32_t count)
{
    if (count > h->room - h->used)
        return false;
    for (uint32_t i = 0; h->out && i < count; i++)
        h->out[h->used + i] = 0;
    h->used += count;
    return true;
}

static bool from_table(struct hydration *h, uint32_t index, bool pointer)
{
    uint64_t entry = (uint64_t)h->targets + (uint64_t)index * 4;
    uint32_t distance;

    if (!aot_inside(h->in.aot, entry) || !aot_get32(h->in.aot, (uint32_t)entry, &distance) ||
        !aot_inside(h->in.aot, (uint32_t)entry + distance)) {
        h->in.bad = true;
        return false;
    }
    return put_target(h, (uint32_t)entry + distance, pointer);
}

static bool follow(struct hydration *h, uint32_t count, bool pointer)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t target = aot_take_relative(&h->in);

        if (h->in.bad || !put_target(h, target, pointer))
            return false;
    }
    return true;
}

static bool command(struct hydration *h)
{
    uint8_t byte = aot_take8(&h->in);
    uint32_t n = byte >> 3;

    if (n > SHORT_MAX) {
        uint32_t value = 0;

        for (unsigned i = 0; i < n - SHORT_MAX; i++)
            value |= (uint32_t)aot_take8(&h->in) << 8 * i;
        n = SHORT_MAX + value;
    }
    switch ((enum operation)(byte & 7)) {
    case COPY:
        return copy(h, n);
    case SKIP:
        return skip(h, n);
    case RELATIVE:
        return from_table(h, n, false);
    case POINTER:
        return from_table(h, n, true);
    case RELATIVES:
        return follow(h, n, false);
    case POINTERS:
        return follow(h, n, true);
    case OPERATIONS:
        break;
    }
    h->in.bad = true;
    return false;
}

enum img_aot_status img_aot_hydrate(const struct img_aot *aot, uint8_t *out, size_t room,
                                    uint32_t *at, uint32_t *size)
{
    struct img_aot_section section;
    enum img_aot_status status = img_aot_find_section(aot, IMG_AOT_DEHYDRATED, &section);
    struct hydration h = {.out = out};
    uint64_t inside;

    *at = *size = 0;
    if (status != IMG_AOT_OK)
        return status;
    h.targets = section.start + section.size;
    h.in = aot_cursor(aot, section.start, h.targets);
    h.at = aot_take_relative(&h.in);
    if (h.in.bad)
        return IMG_AOT_DAMAGED;
    inside = aot->image->size - h.at;
    h.room = out && room < inside ? room : inside;
    while (h.in.at < h.in.end) {
        if (!command(&h))
            return h.in.bad || h.room == inside ? IMG_AOT_DAMAGED : IMG_AOT_ROOM;
    }
    *at = h.at;
    *size = (uint32_t)h.used;
    return h.in.bad ? IMG_AOT_DAMAGED : IMG_AOT_OK;
}
