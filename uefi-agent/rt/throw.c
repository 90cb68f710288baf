/* throw.c - C++ exceptions as objects: throwing, types, copies for catch blocks, end of life.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A thrown object stays where the throw expression made it, on the stack below the catch block that
 * takes it, until the last catch block that has it ends.
 */
#include "rt_internal.h"

enum {
    MAX_TYPES = 1024, /* bases of a thrown type */
    MAX_NAME = 4096,
    TYPE_NAME = 16, /* in a type descriptor */

    THROW_CONST = 1,
    THROW_VOLATILE = 2,
    THROW_UNALIGNED = 4,

    TYPE_SIMPLE = 1,
    TYPE_REFERENCE_ONLY = 2,
    TYPE_VIRTUAL_BASE = 4,
};

/* ThrowInfo */
struct throw_info {
    uint32_t attributes;
    uint32_t destructor;
    uint32_t forward;
    uint32_t types;
};

/* CatchableType */
struct catchable {
    uint32_t properties;
    uint32_t descriptor;
    int32_t member; /* from the object to its base class ... */
    int32_t table; /* ... and when not negative, where the pointer to a virtual base table is ... */
    int32_t entry; /* ... and which entry of it to add */
    uint32_t size;
    uint32_t copy;
};

RT_ABI void _CxxThrowException(void *object, const void *info);
_Noreturn RT_ABI void __std_terminate(void);

bool rt_is_cxx(const struct rt_record *record)
{
    return record->code == RT_CODE_CXX && record->parameter_count >= 4 &&
           record->parameters[0] >= RT_CXX_MAGIC && record->parameters[0] <= RT_CXX_MAGIC_LAST;
}

RT_ABI void _CxxThrowException(void *object, const void *info)
{
    const struct rt_record *current = rt_state.catches ? rt_state.catches->record : NULL;
    uint64_t address = (uint64_t)(uintptr_t)info;
    const struct img_image *image = rt_find_image(NULL, address);
    struct rt_record record = {
        .code = RT_CODE_CXX,
        .flags = RT_NONCONTINUABLE,
        .parameter_count = 4,
        .parameters = {RT_CXX_MAGIC, (uint64_t)(uintptr_t)object, address, image ? image->base : 0},
    };

    if (!info) { /* throw; */
        if (!current)
            rt_terminate(RT_REASON_NO_EXCEPTION, &record, NULL);
        record = *current;
        record.flags = RT_NONCONTINUABLE;
        record.nested = NULL;
    }
    rt_raise(&record);
}

_Noreturn RT_ABI void __std_terminate(void)
{
    rt_terminate(RT_REASON_TERMINATE, rt_state.catches ? rt_state.catches->record : NULL, NULL);
}

RT_ABI void rt_raise_code(uint32_t code, uint32_t flags, uint32_t count, const uint64_t *parameters)
{
    struct rt_record record = {.code = code, .flags = flags & RT_NONCONTINUABLE};

    if (count > RT_RECORD_PARAMETERS)
        count = RT_RECORD_PARAMETERS;
    record.parameter_count = count;
    for (uint32_t i = 0; i < count; i++)
        record.parameters[i] = parameters[i];
    rt_raise(&record);
}

/* The image and the ThrowInfo of a C++ exception. */
static const struct img_image *read_throw(const struct rt_record *record, struct throw_info *info)
{
    const struct img_image *image = rt_find_image(NULL, record->parameters[2]);
    uint32_t rva;

    if (!image || !img_rva(image, record->parameters[2], &rva) ||
        !img_read(image, rva, info, sizeof *info))
        return NULL;
    return image;
}

static bool same_text(const struct img_image *a, uint32_t at, const struct img_image *b,
                      uint32_t bt)
{
    for (uint32_t i = 0; i < MAX_NAME; i++) {
        uint8_t x, y;

        if (at > UINT32_MAX - i || bt > UINT32_MAX - i || !img_read8(a, at + i, &x) ||
            !img_read8(b, bt + i, &y) || x != y)
            return false;
        if (x == 0)
            return true;
    }
    return false;
}

/* Types are the same when their decorated names are: another image has a descriptor of its own. */
static bool same_type(const struct img_image *a, uint32_t at, const struct img_image *b,
                      uint32_t bt)
{
    if (at >= UINT32_MAX - TYPE_NAME || bt >= UINT32_MAX - TYPE_NAME)
        return false;
    return (a == b && at == bt) || same_text(a, at + TYPE_NAME, b, bt + TYPE_NAME);
}

/* A qualifier may be added by a catch block, not taken away. */
static bool qualifiers_fit(const struct throw_info *info, const struct catchable *type,
                           uint32_t adjectives)
{
    if (type->properties & TYPE_REFERENCE_ONLY && !(adjectives & IMG_EH_REFERENCE))
        return false;
    if (info->attributes & THROW_CONST && !(adjectives & IMG_EH_CONST))
        return false;
    if (info->attributes & THROW_VOLATILE && !(adjectives & IMG_EH_VOLATILE))
        return false;
    return !(info->attributes & THROW_UNALIGNED) || adjectives & IMG_EH_UNALIGNED;
}

static bool is_anything(const struct img_eh *eh, const struct img_eh_handler *handler)
{
    uint8_t first;

    if (handler->type == 0 || handler->adjectives & IMG_EH_ANYTHING)
        return true;
    return handler->type < UINT32_MAX - TYPE_NAME &&
           img_read8(eh->image, handler->type + TYPE_NAME, &first) && first == 0;
}

bool rt_matches(const struct rt_record *record, const struct img_eh *eh,
                const struct img_eh_handler *handler, struct rt_match *match)
{
    struct throw_info info;
    struct catchable type;
    uint32_t count;

    *match = (struct rt_match){.object = record->parameters[1]};
    if (is_anything(eh, handler)) {
        match->whole = true;
        return true;
    }
    if (!rt_is_cxx(record))
        return false;
    match->image = read_throw(record, &info);
    if (!match->image || !img_read32(match->image, info.types, &count))
        return false;
    for (uint32_t i = 0; i < count && i < MAX_TYPES; i++) {
        if (!img_read32(match->image, info.types + 4 + i * 4, &match->type) ||
            !img_read(match->image, match->type, &type, sizeof type))
            return false;
        if (same_type(match->image, type.descriptor, eh->image, handler->type) &&
            qualifiers_fit(&info, &type, handler->adjectives))
            return true;
    }
    return false;
}

/* From a thrown object to its base class. */
static uint64_t to_base(uint64_t object, const struct catchable *type)
{
    uint64_t base = object + (uint64_t)(int64_t)type->member, table;
    int32_t distance;

    if (type->table < 0)
        return base;
    object += (uint64_t)(int64_t)type->table;
    if (!rt_read64(object, &table) ||
        !rt_read(table + (uint64_t)(int64_t)type->entry, &distance, sizeof distance))
        return base;
    return base + (uint64_t)(int64_t)type->table + (uint64_t)(int64_t)distance;
}

static void copy_bytes(uint64_t to, uint64_t from, uint32_t size)
{
    volatile uint8_t *target = (volatile uint8_t *)(uintptr_t)to;
    const volatile uint8_t *source = (const volatile uint8_t *)(uintptr_t)from;

    for (uint32_t i = 0; i < size; i++)
        target[i] = source[i];
}

void rt_copy_object(const struct rt_match *match, const struct img_eh_handler *handler,
                    uint64_t parent)
{
    uint64_t to = parent + (uint64_t)(int64_t)handler->object, base;
    uint64_t *pointer = (uint64_t *)(uintptr_t)to;
    struct catchable type;

    if (match->whole || handler->object == 0 ||
        !img_read(match->image, match->type, &type, sizeof type))
        return;
    base = to_base(match->object, &type);
    if (handler->adjectives & IMG_EH_REFERENCE) {
        *pointer = base;
    } else if (type.properties & TYPE_SIMPLE) {
        copy_bytes(to, match->object, type.size);
        if (type.size == sizeof *pointer && *pointer)
            *pointer = to_base(*pointer, &type);
    } else if (type.copy == 0) {
        copy_bytes(to, base, type.size);
    } else if (img_is_code(match->image, type.copy)) {
        rt_call_cleanup(match->image->base + type.copy, to, base,
                        type.properties & TYPE_VIRTUAL_BASE ? 1 : 0);
    }
}

/* Two records for one object: it was thrown again. */
static bool same_object(const struct rt_record *a, const struct rt_record *b)
{
    return rt_is_cxx(a) && rt_is_cxx(b) && a->parameters[1] == b->parameters[1];
}

void rt_release(const struct rt_record *record)
{
    struct throw_info info;
    const struct img_image *image = rt_is_cxx(record) ? read_throw(record, &info) : NULL;

    for (const struct rt_catch *one = rt_state.catches; one; one = one->outer) {
        if (same_object(one->record, record))
            return;
    }
    if (image && info.destructor && img_is_code(image, info.destructor))
        rt_call_cleanup(image->base + info.destructor, record->parameters[1], 0, 0);
}

void rt_leave(uint64_t frame, const struct rt_record *in_flight)
{
    while (rt_state.raised && (uint64_t)(uintptr_t)rt_state.raised < frame)
        rt_state.raised = rt_state.raised->outer;
    while (rt_state.catches && (uint64_t)(uintptr_t)rt_state.catches < frame) {
        const struct rt_record *record = rt_state.catches->record;

        rt_state.catches = rt_state.catches->outer;
        if (!in_flight || !same_object(record, in_flight))
            rt_release(record);
    }
}

/* Returns where the parent goes on. */
RT_ABI uint64_t rt_catch_block(struct rt_catch *run)
{
    uint64_t result;

    run->outer = rt_state.catches;
    rt_state.catches = run;
    result = rt_call_catch(run->handler, run->parent, run->parent);
    rt_state.catches = run->outer;
    rt_release(run->record);
    /* Where the table has continuations, the block returns the number of one. */
    return result < run->continuation_count ? run->continuations[result] : result;
}
