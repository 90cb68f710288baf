/* aot_heap.c - objects and arrays from the memory that the program gave.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * An object begins with its MethodTable's address; in front of it is a word that a collector would
 * use, which the base size counts. Memory is handed out once, in order.
 */
#include "aot_state.h"

#define ALIGNMENT  8u
#define OBJECT_MIN 24u /* the word in front, the MethodTable's address, one field */
#define COUNT_MAX  INT32_MAX

/* The first fields of a MethodTable. */
struct method_table {
    uint16_t component_size;
    uint16_t flags;
    uint32_t base_size;
};

struct object {
    const void *type;
    uint32_t count; /* arrays and strings */
};

/* Moves the mark on; an interrupting allocation only makes this try again. */
static size_t take(size_t size)
{
    struct rt_aot_state *state = &rt_aot_state;
    size_t used = __atomic_load_n(&state->heap_used, __ATOMIC_RELAXED);

    while (size <= state->heap_size - used) {
        if (__atomic_compare_exchange_n(&state->heap_used, &used, used + size, false,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return used;
    }
    return SIZE_MAX;
}

void *rt_aot_allocate(size_t size)
{
    struct rt_aot_state *state = &rt_aot_state;
    uint64_t *words;
    size_t at;

    if (size > state->heap_size)
        return NULL;
    size = (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    at = take(size);
    if (at == SIZE_MAX)
        return NULL;
    words = (uint64_t *)(void *)(state->heap + at);
    for (size_t i = 0; i < size / sizeof *words; i++)
        words[i] = 0;
    return words;
}

static void *new_object(const struct method_table *type, uint64_t size)
{
    uint8_t *memory;
    struct object *object;

    if (size < OBJECT_MIN)
        size = OBJECT_MIN;
    memory = rt_aot_allocate(size);
    if (!memory)
        rt_aot_fail(RT_AOT_OUT_OF_MEMORY, IMG_AOT_OK, size,
                    rt_aot_state.heap_size - rt_aot_state.heap_used);
    object = (struct object *)(void *)(memory + sizeof(uint64_t));
    object->type = type;
    rt_aot_state.counters.allocated++;
    return object;
}

void *RT_AOT_ABI RhpNewFast(const void *type)
{
    const struct method_table *table = type;

    return new_object(table, table->base_size);
}

/* Nothing ever finds out that an object is no longer used, so its finalizer is never called. */
void *RT_AOT_ABI RhpNewFinalizable(const void *type)
{
    return RhpNewFast(type);
}

void *RT_AOT_ABI RhpNewArray(const void *type, int64_t count)
{
    const struct method_table *table = type;
    struct object *array;

    if (count < 0 || count > COUNT_MAX)
        rt_aot_fail(RT_AOT_ARRAY_TOO_LARGE, IMG_AOT_OK, (uint64_t)count, (uint64_t)(uintptr_t)type);
    array = new_object(table, table->base_size + (uint64_t)count * table->component_size);
    array->count = (uint32_t)count;
    return array;
}

void *RT_AOT_ABI RhpNewArrayFast(const void *type, int64_t count)
{
    return RhpNewArray(type, count);
}

void *RT_AOT_ABI RhpNewPtrArrayFast(const void *type, int64_t count)
{
    return RhpNewArray(type, count);
}
