/* aot_dispatch.c - which code a call through an interface reaches.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * From the object's type through its parents, the standard entries of each dispatch map; only when
 * the whole chain has none, the same again with the default entries. In one type the interface
 * itself goes before those that are compatible by variance.
 */
#include "aot_read.h"
#include "aot_type.h"

#define CHAIN_MAX     256u /* parents */
#define STEPS_MAX     65536u
#define FRAMES_MAX    24u /* of generic arguments in generic arguments: twice the depth */
#define CELLS_MAX     4096u
#define VARIANCE_FLAG 0x0080u

/* --- Can a reference to one type be used as one to another?
 *
 * Each question is a frame. ASSIGN: is `from` or something that it derives from or implements
 * `to`? It asks MATCH of each candidate: do both have the same generic definition, and does every
 * argument fit as its variance says? That asks ASSIGN again. */

enum question { ASSIGN, MATCH };

struct frame {
    enum question question;
    uint32_t from, to;
    uint32_t current; /* ASSIGN: the type of from's chain whose candidates are tried */
    unsigned next;    /* candidate or argument to look at next */
};

enum verdict { OPEN, YES, NO };

struct inquiry {
    const struct img_aot *aot;
    struct frame frames[FRAMES_MAX];
    unsigned depth;
    enum verdict verdict; /* of the frame that was on top last */
    enum img_aot_status status;
};

static void ask(struct inquiry *inquiry, enum question question, uint32_t from, uint32_t to)
{
    if (inquiry->depth == FRAMES_MAX) {
        inquiry->status = IMG_AOT_LIMIT;
        return;
    }
    inquiry->frames[inquiry->depth++] = (struct frame){question, from, to, from, 0};
    inquiry->verdict = OPEN;
}

static void answer(struct inquiry *inquiry, bool yes)
{
    inquiry->depth--;
    inquiry->verdict = yes ? YES : NO;
}

static bool get_type(struct inquiry *inquiry, uint32_t rva, struct img_aot_type *type)
{
    inquiry->status = img_aot_type(inquiry->aot, rva, type);
    return inquiry->status == IMG_AOT_OK;
}

/* The root of all references: interfaces and arrays have it, too, without saying so. */
static bool is_object(struct inquiry *inquiry, uint32_t rva)
{
    struct img_aot_type type;

    return get_type(inquiry, rva, &type) && aot_is_root(inquiry->aot, &type);
}

/* Candidate 0 is the type itself, then come its interfaces, then the parent's turn. */
static void step_assign(struct inquiry *inquiry, struct frame *frame)
{
    struct img_aot_type type;
    uint32_t candidate = frame->current;

    if (inquiry->verdict == YES || frame->current == frame->to) {
        answer(inquiry, true);
        return;
    }
    if (!get_type(inquiry, frame->current, &type))
        return;
    if (frame->next > type.interfaces) {
        frame->current = aot_is_array(&type) ? 0 : type.related;
        frame->next = 0;
        inquiry->verdict = OPEN;
        if (frame->current == 0)
            answer(inquiry, is_object(inquiry, frame->to));
        return;
    }
    if (frame->next > 0)
        inquiry->status = img_aot_interface(inquiry->aot, &type, frame->next - 1, &candidate);
    frame->next++;
    if (candidate == frame->to)
        answer(inquiry, true);
    else if (inquiry->status == IMG_AOT_OK)
        ask(inquiry, MATCH, candidate, frame->to);
}

/* The next argument's types must be equal, or both references and compatible. */
static void step_argument(struct inquiry *inquiry, const struct aot_argument *from,
                          const struct aot_argument *to)
{
    struct img_aot_type left, right;

    inquiry->verdict = OPEN;
    if (from->type == to->type)
        return;
    if ((from->variance != AOT_COVARIANT && from->variance != AOT_CONTRAVARIANT) ||
        !get_type(inquiry, from->type, &left) || !get_type(inquiry, to->type, &right) ||
        !aot_is_reference(inquiry->aot, &left) || !aot_is_reference(inquiry->aot, &right))
        answer(inquiry, false);
    else if (from->variance == AOT_COVARIANT)
        ask(inquiry, ASSIGN, from->type, to->type);
    else
        ask(inquiry, ASSIGN, to->type, from->type);
}

static void step_match(struct inquiry *inquiry, struct frame *frame)
{
    struct img_aot_type from, to, definition;
    struct aot_argument left, right;
    unsigned index = frame->next++;

    if (inquiry->verdict == NO || !get_type(inquiry, frame->from, &from) ||
        !get_type(inquiry, frame->to, &to)) {
        answer(inquiry, false);
        return;
    }
    if (!from.definition || from.definition != to.definition || !(from.flags & VARIANCE_FLAG)) {
        answer(inquiry, false);
        return;
    }
    if (!get_type(inquiry, from.definition, &definition))
        return;
    if (index == aot_parameters(inquiry->aot, &definition)) {
        answer(inquiry, true);
        return;
    }
    if (!aot_argument(inquiry->aot, &from, &definition, index, &left) ||
        !aot_argument(inquiry->aot, &to, &definition, index, &right)) {
        inquiry->status = IMG_AOT_DAMAGED;
        return;
    }
    step_argument(inquiry, &left, &right);
}

/* steps: what is left of STEPS_MAX, shared by all that one request asks. */
static enum img_aot_status inquire(const struct img_aot *aot, enum question question, uint32_t from,
                                   uint32_t to, unsigned *steps)
{
    struct inquiry inquiry = {.aot = aot, .status = IMG_AOT_OK};

    ask(&inquiry, question, from, to);
    while (inquiry.depth > 0 && inquiry.status == IMG_AOT_OK) {
        struct frame *frame = &inquiry.frames[inquiry.depth - 1];

        if (*steps == 0)
            inquiry.status = IMG_AOT_LIMIT;
        else
            --*steps;
        if (inquiry.status != IMG_AOT_OK)
            break;
        if (frame->question == ASSIGN)
            step_assign(&inquiry, frame);
        else
            step_match(&inquiry, frame);
    }
    if (inquiry.status != IMG_AOT_OK)
        return inquiry.status;
    return inquiry.verdict == YES ? IMG_AOT_OK : IMG_AOT_NOT_FOUND;
}

enum img_aot_status img_aot_assignable(const struct img_aot *aot, uint32_t from, uint32_t to)
{
    unsigned steps = STEPS_MAX;

    return inquire(aot, ASSIGN, from, to, &steps);
}

/* --- Look-up */

struct lookup {
    const struct img_aot *aot;
    struct img_aot_type object;
    uint32_t interface;
    uint16_t slot;
    bool varies;      /* the interface has variant parameters */
    unsigned steps;   /* left */
    uint32_t context; /* of the entry that was found */
};

/* Is the entry about the wanted interface? exact: about that very one. */
static enum img_aot_status fits(struct lookup *lookup, const struct img_aot_type *owner,
                                uint32_t entry, bool exact)
{
    uint32_t interface;
    uint16_t index;

    if (!aot_get16(lookup->aot, entry, &index) ||
        img_aot_interface(lookup->aot, owner, index, &interface) != IMG_AOT_OK)
        return IMG_AOT_DAMAGED;
    if (exact)
        return interface == lookup->interface ? IMG_AOT_OK : IMG_AOT_NOT_FOUND;
    return inquire(lookup->aot, MATCH, interface, lookup->interface, &lookup->steps);
}

/* The place of the first entry in one map that fits. */
static enum img_aot_status search_map(struct lookup *lookup, const struct img_aot_type *owner,
                                      const struct img_aot_map *map, enum img_aot_entry_kind kind,
                                      bool exact, uint32_t *entry)
{
    uint32_t size = aot_entry_size(kind);

    *entry = aot_entries(map, kind);
    for (unsigned i = 0; i < map->counts[kind]; i++, *entry += size) {
        enum img_aot_status status = IMG_AOT_NOT_FOUND;
        uint16_t slot;

        if (lookup->steps-- == 0)
            return IMG_AOT_LIMIT;
        if (!aot_get16(lookup->aot, *entry + 2, &slot))
            return IMG_AOT_DAMAGED;
        if (slot == lookup->slot)
            status = fits(lookup, owner, *entry, exact);
        if (status != IMG_AOT_NOT_FOUND)
            return status;
    }
    return IMG_AOT_NOT_FOUND;
}

static enum img_aot_status search_type(struct lookup *lookup, const struct img_aot_type *owner,
                                       enum img_aot_entry_kind kind, uint32_t *target)
{
    struct img_aot_map map;
    uint16_t implementation;
    uint32_t entry = 0;
    enum img_aot_status status = img_aot_map(lookup->aot, owner, &map);

    if (status != IMG_AOT_OK)
        return status == IMG_AOT_NO_SECTION ? IMG_AOT_NOT_FOUND : status;
    status = search_map(lookup, owner, &map, kind, true, &entry);
    if (status == IMG_AOT_NOT_FOUND && lookup->varies)
        status = search_map(lookup, owner, &map, kind, false, &entry);
    if (status != IMG_AOT_OK)
        return status;
    if (!aot_get16(lookup->aot, entry + 4, &implementation))
        return IMG_AOT_DAMAGED;
    status = aot_context(lookup->aot, owner, kind, entry, &lookup->context);
    if (status != IMG_AOT_OK)
        return status;
    return aot_slot(lookup->aot, &lookup->object, owner, implementation, target);
}

static enum img_aot_status search_chain(struct lookup *lookup, enum img_aot_entry_kind kind,
                                        uint32_t *target)
{
    struct img_aot_type owner = lookup->object;
    enum img_aot_status status;

    for (unsigned i = 0; i < CHAIN_MAX; i++) {
        status = search_type(lookup, &owner, kind, target);
        if (status != IMG_AOT_NOT_FOUND || owner.related == 0 || aot_is_array(&owner))
            return status;
        status = img_aot_type(lookup->aot, owner.related, &owner);
        if (status != IMG_AOT_OK)
            return status;
    }
    return IMG_AOT_LIMIT;
}

/* own: the kind of entries that come first, in the whole chain; then those of kind given. */
static enum img_aot_status look_up(struct lookup *lookup, uint32_t type,
                                   enum img_aot_entry_kind own, enum img_aot_entry_kind given,
                                   uint32_t *target)
{
    struct img_aot_type wanted;
    enum img_aot_status status = img_aot_type(lookup->aot, type, &lookup->object);

    if (status == IMG_AOT_OK)
        status = img_aot_type(lookup->aot, lookup->interface, &wanted);
    if (status != IMG_AOT_OK)
        return status;
    lookup->varies = wanted.definition != 0 && (wanted.flags & VARIANCE_FLAG) != 0;
    lookup->steps = STEPS_MAX;
    status = search_chain(lookup, own, target);
    if (status == IMG_AOT_NOT_FOUND)
        status = search_chain(lookup, given, target);
    if (status == IMG_AOT_OK && *target == 0)
        status = IMG_AOT_NOT_FOUND;
    return status;
}

enum img_aot_status img_aot_resolve(const struct img_aot *aot, uint32_t type, uint32_t interface,
                                    uint16_t slot, uint32_t *target)
{
    struct lookup lookup = {.aot = aot, .interface = interface, .slot = slot};

    return look_up(&lookup, type, IMG_AOT_STANDARD, IMG_AOT_DEFAULT, target);
}

enum img_aot_status img_aot_resolve_static(const struct img_aot *aot, uint32_t type,
                                           uint32_t interface, uint16_t slot, uint32_t *target,
                                           uint32_t *context)
{
    struct lookup lookup = {.aot = aot, .interface = interface, .slot = slot};
    enum img_aot_status status =
        look_up(&lookup, type, IMG_AOT_STATIC, IMG_AOT_DEFAULT_STATIC, target);

    *context = lookup.context;
    return status;
}

/* --- Cells */

enum { CELL_POINTER = 1, CELL_INDIRECT = 2, CELL_RELATIVE = 3, CELL_KIND = 3 };

static enum img_aot_status cell_interface(const struct img_aot *aot, uint32_t at, uint64_t cache,
                                          uint32_t *interface)
{
    uint64_t pointer = (cache & ~(uint64_t)CELL_KIND) - aot->image->base;
    uint32_t relative = at + ((uint32_t)cache & ~(uint32_t)CELL_KIND);

    switch (cache & CELL_KIND) {
    case CELL_POINTER:
        *interface = (uint32_t)pointer;
        return aot_inside(aot, pointer) ? IMG_AOT_OK : IMG_AOT_DAMAGED;
    case CELL_INDIRECT:
        return aot_inside(aot, relative) && aot_pointer(aot, relative, interface) ? IMG_AOT_OK
                                                                                  : IMG_AOT_DAMAGED;
    case CELL_RELATIVE:
        *interface = relative;
        return aot_inside(aot, relative) ? IMG_AOT_OK : IMG_AOT_DAMAGED;
    default:
        return IMG_AOT_DAMAGED;
    }
}

enum img_aot_status img_aot_cell(const struct img_aot *aot, uint32_t cell, uint64_t cache,
                                 uint32_t *interface, uint16_t *slot)
{
    enum img_aot_status status;
    uint64_t stub, number;

    if (cell > UINT32_MAX - 8)
        return IMG_AOT_DAMAGED;
    status = cell_interface(aot, cell + 8, cache, interface);
    for (unsigned i = 0; i < CELLS_MAX && status == IMG_AOT_OK; i++) {
        uint64_t at = cell + (uint64_t)i * IMG_AOT_CELL_SIZE;

        if (!aot_inside(aot, at + 15) || !aot_get64(aot, (uint32_t)at, &stub) ||
            !aot_get64(aot, (uint32_t)at + 8, &number))
            return IMG_AOT_DAMAGED;
        if (stub != 0)
            continue;
        /* type << 16 | slot; type 0: interface and slot, the only one there is */
        *slot = (uint16_t)number;
        return number >> 16 ? IMG_AOT_DAMAGED : IMG_AOT_OK;
    }
    return status == IMG_AOT_OK ? IMG_AOT_LIMIT : status;
}
