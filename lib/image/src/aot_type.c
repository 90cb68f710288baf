/* aot_type.c - MethodTables and their dispatch maps.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A MethodTable: u16 component size, u16 flags, u32 base size, u64 related type, u16 virtual slots,
 * u16 interfaces, u32 hash, u64 slots[], u64 interfaces[]; behind it 32-bit fields, relative to
 * themselves: type manager, writable data, then those that a flag announces. Which flag that is,
 * and what is in a field, depends on the version: struct layout.
 */
#include "aot_type.h"
#include "aot_read.h"

#define TYPE_FIXED    24u
#define OPTIONAL_MAX  8u      /* optional fields, of which there are five kinds */
#define SEALED_RARE   0x0200u /* 8.0: rare flag, the type has sealed slots */
#define OPTIONAL_LAST 0x80u
#define FIELD_RARE    0
#define FIELD_MAP     1
#define MAP_COUNTS    8u

/* Numbers of a static entry's generic context. */
enum { CONTEXT_TYPE = 1, CONTEXT_INTERFACE = 2 };
#define KIND_MASK       3u
#define KIND_ARRAY      2u
#define KIND_DEFINITION 3u

enum { ELEMENT_CLASS = 0x14, ELEMENT_VECTOR = 0x18 };

static const struct aot_layout layout8 = {
    .finalizer = 0x0010,
    .optional = 0x0100,
    .generic = 0x0400,
    .element_shift = 11,
    .composition = true,
};
static const struct aot_layout layout9 = {
    .map = 0x0004,
    .finalizer = 0x0010,
    .optional = 0x0100,
    .sealed = 0x0040,
    .generic = 0x0200,
    .element_shift = 10,
};
static const struct aot_layout layout10 = {
    .map = 0x0004,
    .finalizer = 0x0010,
    .sealed = 0x0040,
    .generic = 0x0200,
    .element_shift = 10,
    .parameters_in_base_size = true,
};

const struct aot_layout *aot_layout(const struct img_aot *aot)
{
    return aot->major < 9 ? &layout8 : aot->major < 10 ? &layout9 : &layout10;
}

bool aot_is_array(const struct img_aot_type *type)
{
    return (type->flags & KIND_MASK) == KIND_ARRAY;
}

bool aot_is_reference(const struct img_aot *aot, const struct img_aot_type *type)
{
    unsigned element = type->flags >> aot_layout(aot)->element_shift & 31;

    return element >= ELEMENT_CLASS && element <= ELEMENT_VECTOR;
}

bool aot_is_root(const struct img_aot *aot, const struct img_aot_type *type)
{
    return (type->flags >> aot_layout(aot)->element_shift & 31) == ELEMENT_CLASS &&
           (type->flags & KIND_MASK) == 0 && type->related == 0;
}

/* The 32-bit fields, one after the other. */
struct tail {
    const struct img_aot *aot;
    uint32_t at;
    bool bad;
};

static uint32_t next_field(struct tail *tail)
{
    uint32_t target = 0;

    if (tail->bad || tail->at > UINT32_MAX - 4 || !aot_relative(tail->aot, tail->at, &target))
        tail->bad = true;
    tail->at += 4;
    return target;
}

/* 8.0: the number of the dispatch map is an optional field, the map's address is in section 203. */
static bool map_of_number(const struct img_aot *aot, uint32_t number, uint32_t *map)
{
    struct img_aot_section section;

    return img_aot_find_section(aot, IMG_AOT_DISPATCH_MAPS, &section) == IMG_AOT_OK &&
           number < (aot->image->size - section.start) / 8 &&
           aot_pointer(aot, section.start + number * 8, map);
}

/* 8.0: {u8 kind and end mark, unsigned value}. */
static bool read_optional(const struct img_aot *aot, uint32_t at, struct img_aot_type *type,
                          bool *sealed)
{
    struct aot_cursor cursor = aot_cursor(aot, at, aot->image->size);

    for (unsigned i = 0; i < OPTIONAL_MAX; i++) {
        uint8_t kind = aot_take8(&cursor);
        uint32_t value = aot_take_unsigned(&cursor);

        if (cursor.bad)
            return false;
        if ((kind & ~OPTIONAL_LAST) == FIELD_RARE)
            *sealed = (value & SEALED_RARE) != 0;
        if ((kind & ~OPTIONAL_LAST) == FIELD_MAP && !map_of_number(aot, value, &type->map))
            return false;
        if (kind & OPTIONAL_LAST)
            return true;
    }
    return false;
}

static bool read_tail(const struct img_aot *aot, struct img_aot_type *type, uint32_t at)
{
    const struct aot_layout *layout = aot_layout(aot);
    struct tail tail = {.aot = aot, .at = at + 8};
    uint32_t optional = 0;
    bool sealed = (type->flags & layout->sealed) != 0;

    if (type->flags & layout->map)
        type->map = next_field(&tail);
    if (type->flags & layout->finalizer)
        next_field(&tail);
    if (type->flags & layout->optional)
        optional = next_field(&tail);
    if (optional && layout == &layout8 && !read_optional(aot, optional, type, &sealed))
        return false;
    if (sealed)
        type->sealed = next_field(&tail);
    if (type->flags & layout->generic) {
        type->definition = next_field(&tail);
        type->arguments = next_field(&tail);
    }
    return !tail.bad;
}

/* A definition has neither slots nor, in 8.0, fields; from 9.1 on the only one that it has beside
 * the two of every type leads to its parameters' variance. */
static bool read_definition(const struct img_aot *aot, struct img_aot_type *type)
{
    const struct aot_layout *layout = aot_layout(aot);
    struct tail tail = {.aot = aot, .at = type->interface_list + 8u * type->interfaces};

    if (layout->composition)
        return true;
    tail.at += 8;
    for (unsigned i = 0; i < 3; i++) {
        static const uint16_t kinds[3] = {0x0004, 0x0010, 0x0040};

        if (type->flags & kinds[i])
            next_field(&tail);
        if (i == 1 && type->flags & layout->optional)
            next_field(&tail);
    }
    type->arguments = next_field(&tail);
    return !tail.bad;
}

enum img_aot_status img_aot_type(const struct img_aot *aot, uint32_t rva, struct img_aot_type *type)
{
    uint64_t lists;
    bool fine;

    *type = (struct img_aot_type){.rva = rva};
    if (rva == 0 || rva > UINT32_MAX - TYPE_FIXED || !aot_get16(aot, rva, &type->component) ||
        !aot_get16(aot, rva + 2, &type->flags) || !aot_get32(aot, rva + 4, &type->base_size) ||
        !aot_pointer(aot, rva + 8, &type->related) || !aot_get16(aot, rva + 16, &type->virtuals) ||
        !aot_get16(aot, rva + 18, &type->interfaces))
        return IMG_AOT_DAMAGED;
    lists = (uint64_t)rva + TYPE_FIXED + 8u * ((uint64_t)type->virtuals + type->interfaces);
    if (!aot_inside(aot, lists))
        return IMG_AOT_DAMAGED;
    type->slots = rva + TYPE_FIXED;
    type->interface_list = type->slots + 8u * type->virtuals;
    if ((type->flags & KIND_MASK) == KIND_DEFINITION)
        fine = read_definition(aot, type);
    else
        fine = read_tail(aot, type, (uint32_t)lists);
    return fine ? IMG_AOT_OK : IMG_AOT_DAMAGED;
}

enum img_aot_status img_aot_interface(const struct img_aot *aot, const struct img_aot_type *type,
                                      unsigned index, uint32_t *interface)
{
    if (index >= type->interfaces)
        return IMG_AOT_END;
    return aot_pointer(aot, type->interface_list + 8 * index, interface) && *interface ? IMG_AOT_OK
                                                                                       : IMG_AOT_DAMAGED;
}

unsigned aot_parameters(const struct img_aot *aot, const struct img_aot_type *definition)
{
    if ((definition->flags & KIND_MASK) != KIND_DEFINITION)
        return 0;
    return aot_layout(aot)->parameters_in_base_size ? definition->base_size : definition->component;
}

/* 8.0: {u16 count, u8 has variance, pad, u64 arguments[], u8 variances[]}. Later: one argument is
 * what the field leads to, more are a table of relative addresses; variances are the definition's.
 */
bool aot_argument(const struct img_aot *aot, const struct img_aot_type *type,
                  const struct img_aot_type *definition, unsigned index,
                  struct aot_argument *argument)
{
    unsigned count = aot_parameters(aot, definition);
    uint64_t end = (uint64_t)type->arguments + 8 + 9 * (uint64_t)count;
    uint32_t variances = definition->arguments;
    bool fine;

    if (!type->arguments || index >= count || !aot_inside(aot, end))
        return false;
    if (aot_layout(aot)->composition) {
        fine = aot_pointer(aot, type->arguments + 8 + 8 * index, &argument->type);
        variances = type->arguments + 8 + 8 * count;
    } else if (count == 1) {
        argument->type = type->arguments;
        fine = true;
    } else {
        fine = aot_relative(aot, type->arguments + 4 * index, &argument->type);
    }
    return fine && aot_inside(aot, (uint64_t)variances + index) &&
           aot_read(aot, variances + index, &argument->variance, 1);
}

enum img_aot_status img_aot_map(const struct img_aot *aot, const struct img_aot_type *type,
                                struct img_aot_map *map)
{
    *map = (struct img_aot_map){.at = type->map};
    if (!type->map)
        return IMG_AOT_NO_SECTION;
    for (unsigned i = 0; i < IMG_AOT_ENTRY_KINDS; i++)
        if (!aot_get16(aot, type->map + 2 * i, &map->counts[i]))
            return IMG_AOT_DAMAGED;
    return IMG_AOT_OK;
}

/* Static entries have a fourth number behind the three. */
uint32_t aot_entry_size(enum img_aot_entry_kind kind)
{
    return kind < IMG_AOT_STATIC ? 6 : 8;
}

uint32_t aot_entries(const struct img_aot_map *map, enum img_aot_entry_kind kind)
{
    uint32_t at = map->at + MAP_COUNTS;

    for (unsigned i = 0; i < (unsigned)kind; i++)
        at += map->counts[i] * aot_entry_size((enum img_aot_entry_kind)i);
    return at;
}

/* The place of entry number index of all; 0: there are not as many. */
static uint32_t entry_place(const struct img_aot_map *map, unsigned index,
                            enum img_aot_entry_kind *kind)
{
    for (unsigned i = 0; i < IMG_AOT_ENTRY_KINDS; i++) {
        *kind = (enum img_aot_entry_kind)i;
        if (index < map->counts[i])
            return aot_entries(map, *kind) + index * aot_entry_size(*kind);
        index -= map->counts[i];
    }
    return 0;
}

/* 0 none, 1 the type itself, from 2 on an interface of its list (so the class library of .NET 8 to
 * 10, and ilc's output). */
enum img_aot_status aot_context(const struct img_aot *aot, const struct img_aot_type *owner,
                                enum img_aot_entry_kind kind, uint32_t at, uint32_t *context)
{
    uint16_t source;

    *context = 0;
    if (kind < IMG_AOT_STATIC)
        return IMG_AOT_OK;
    if (!aot_get16(aot, at + 6, &source))
        return IMG_AOT_DAMAGED;
    if (source == CONTEXT_TYPE)
        *context = owner->rva;
    if (source < CONTEXT_INTERFACE)
        return IMG_AOT_OK;
    return img_aot_interface(aot, owner, source - CONTEXT_INTERFACE, context) == IMG_AOT_OK
               ? IMG_AOT_OK
               : IMG_AOT_DAMAGED;
}

enum img_aot_status img_aot_map_entry(const struct img_aot *aot, const struct img_aot_type *type,
                                      const struct img_aot_map *map, unsigned index,
                                      struct img_aot_entry *entry)
{
    uint32_t at = entry_place(map, index, &entry->kind);
    uint16_t interface;

    if (at == 0)
        return IMG_AOT_END;
    if (!aot_get16(aot, at, &interface) || !aot_get16(aot, at + 2, &entry->slot) ||
        !aot_get16(aot, at + 4, &entry->implementation) ||
        img_aot_interface(aot, type, interface, &entry->interface) != IMG_AOT_OK ||
        aot_context(aot, type, entry->kind, at, &entry->context) != IMG_AOT_OK)
        return IMG_AOT_DAMAGED;
    entry->sealed = entry->implementation >= type->virtuals;
    entry->target = 0;
    if (entry->implementation >= AOT_AMBIGUOUS)
        return IMG_AOT_OK;
    return aot_slot(aot, type, type, entry->implementation, &entry->target);
}

enum img_aot_status aot_slot(const struct img_aot *aot, const struct img_aot_type *object,
                             const struct img_aot_type *owner, uint16_t slot, uint32_t *target)
{
    uint64_t sealed = (uint64_t)owner->sealed + 4 * ((uint64_t)slot - owner->virtuals);

    if (slot == AOT_AMBIGUOUS)
        return IMG_AOT_AMBIGUOUS;
    if (slot == AOT_ABSTRACT)
        return IMG_AOT_ABSTRACT;
    if (slot < owner->virtuals) {
        if (slot >= object->virtuals)
            return IMG_AOT_DAMAGED;
        return aot_pointer(aot, object->slots + 8u * slot, target) ? IMG_AOT_OK : IMG_AOT_DAMAGED;
    }
    if (!owner->sealed || !aot_inside(aot, sealed) || !aot_relative(aot, (uint32_t)sealed, target))
        return IMG_AOT_DAMAGED;
    return IMG_AOT_OK;
}
