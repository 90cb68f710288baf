/* aot_dispatch.c - an interface call's target: looked up in the dispatch maps, kept in the cell.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A cell goes from its state on disk to one with a cache, and from a cache to a larger one. Beyond
 * PAIRS_MAX types a cell's further types are looked up each time.
 */
#include "aot_state.h"

#define PAIRS_FIRST 4u
#define PAIRS_MAX   64u

static bool has_cache(uint64_t word)
{
    return word != 0 && (word & 3) == 0;
}

static struct rt_aot_cache *cache_of(uint64_t word)
{
    return (struct rt_aot_cache *)(uintptr_t)word;
}

static uint64_t find_pair(const struct rt_aot_cache *cache, uint64_t type)
{
    for (const struct rt_aot_pair *pair = cache->pairs; pair->type; pair++)
        if (pair->type == type)
            return pair->target;
    return 0;
}

static struct rt_aot_cache *new_cache(const struct rt_aot_cache *model, uint32_t capacity)
{
    struct rt_aot_cache *cache = rt_aot_allocate(sizeof *cache);
    struct rt_aot_pair *pairs = rt_aot_allocate((capacity + 1) * sizeof *pairs);

    if (!cache || !pairs)
        return NULL;
    *cache = *model;
    cache->pairs = pairs;
    cache->capacity = capacity;
    for (uint32_t i = 0; i < model->count; i++)
        pairs[i] = model->pairs[i];
    return cache;
}

static void add_pair(struct rt_aot_cache *cache, uint64_t type, uint64_t target)
{
    struct rt_aot_pair *pair = &cache->pairs[cache->count++];

    __atomic_store_n(&pair->target, target, __ATOMIC_RELEASE);
    __atomic_store_n(&pair->type, type, __ATOMIC_RELEASE);
    rt_aot_state.counters.cached++;
}

/* cache first: the stub that is set after it needs one. */
static void set_cache(struct rt_aot_cell *cell, struct rt_aot_cache *cache)
{
    void (*stub)(void) = rt_aot_state.cell_in_r11 ? rt_aot_cached_r11 : rt_aot_cached_r10;

    __atomic_store_n(&cell->cache, (uint64_t)(uintptr_t)cache, __ATOMIC_RELEASE);
    __atomic_store_n(&cell->stub, (uint64_t)(uintptr_t)stub, __ATOMIC_RELEASE);
}

/* model: the cell's cache, or what the first one is to say. Without memory the next call looks the
 * same thing up again. */
static void keep(struct rt_aot_cell *cell, const struct rt_aot_cache *model, uint64_t type,
                 uint64_t target)
{
    struct rt_aot_cache *cache;
    uint32_t capacity = model->capacity ? model->capacity * 2 : PAIRS_FIRST;

    if (model->count < model->capacity) {
        add_pair(cache_of(cell->cache), type, target);
        return;
    }
    if (capacity > PAIRS_MAX)
        return;
    cache = new_cache(model, capacity);
    if (!cache)
        return;
    add_pair(cache, type, target);
    set_cache(cell, cache);
}

/* The model that keep() needs. */
static enum img_aot_status describe(const struct rt_aot_cell *cell, struct rt_aot_cache *model)
{
    uint64_t at = (uint64_t)(uintptr_t)cell;
    uint32_t rva;

    *model = (struct rt_aot_cache){.original = cell->cache};
    if (!img_rva(&rt_aot_state.image, at, &rva))
        return IMG_AOT_DAMAGED;
    return img_aot_cell(&rt_aot_state.aot, rva, cell->cache, &model->interface, &model->slot);
}

static enum img_aot_status look_up(uint64_t type, const struct rt_aot_cache *model,
                                   uint64_t *target)
{
    const struct img_image *image = &rt_aot_state.image;
    enum img_aot_status status;
    uint32_t rva, code = 0;

    if (!img_rva(image, type, &rva))
        return IMG_AOT_DAMAGED;
    status = img_aot_resolve(&rt_aot_state.aot, rva, model->interface, model->slot, &code);
    if (status == IMG_AOT_OK && !img_is_code(image, code))
        status = IMG_AOT_DAMAGED;
    *target = image->base + code;
    return status;
}

uint64_t RT_AOT_ABI RhpResolveInterfaceMethod(const void *object, struct rt_aot_cell *cell)
{
    struct rt_aot_state *state = &rt_aot_state;
    uint64_t type = *(const uint64_t *)object, target = 0;
    struct rt_aot_cache model;
    enum img_aot_status status = IMG_AOT_OK;
    bool alone = !__atomic_exchange_n(&state->caching, true, __ATOMIC_ACQUIRE);

    if (has_cache(cell->cache)) {
        model = *cache_of(cell->cache);
        target = find_pair(&model, type);
    } else {
        status = describe(cell, &model);
    }
    if (target == 0 && status == IMG_AOT_OK) {
        status = look_up(type, &model, &target);
        state->counters.resolved++;
        if (status == IMG_AOT_OK && alone && !state->no_cache)
            keep(cell, &model, type, target);
    }
    if (alone)
        __atomic_store_n(&state->caching, false, __ATOMIC_RELEASE);
    if (status != IMG_AOT_OK)
        rt_aot_fail(RT_AOT_NO_METHOD, status, (uint64_t)(uintptr_t)object,
                    (uint64_t)(uintptr_t)cell);
    return target;
}
