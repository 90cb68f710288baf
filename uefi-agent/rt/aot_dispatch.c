/* aot_dispatch.c - an interface call's target: looked up in the dispatch maps, kept in the cell.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A cell goes from its state on disk to one with a cache, and from a cache to a larger one. A first
 * few types are compared one after the other; more are found by a hash of the MethodTable's
 * address, in a table that is at most half full. Beyond PAIRS_MAX types a cell's further ones are
 * looked up each time.
 */
#include "aot_state.h"

#define PAIRS_FIRST 4u
#define PAIRS_MAX   256u

static bool has_cache(uint64_t word)
{
    return word != 0 && (word & 3) == 0;
}

static struct rt_aot_cache *cache_of(uint64_t word)
{
    return (struct rt_aot_cache *)(uintptr_t)word;
}

/* The type's pair, or the free one where it belongs; the last one is always free. */
static struct rt_aot_pair *find_pair(const struct rt_aot_cache *cache, uint64_t type)
{
    struct rt_aot_pair *pair = cache->pairs + (RT_AOT_HASH(type) & cache->mask) / sizeof *pair;

    while (pair->type != 0 && pair->type != type)
        pair++;
    return pair;
}

static void add_pair(struct rt_aot_cache *cache, uint64_t type, uint64_t target)
{
    struct rt_aot_pair *pair = find_pair(cache, type);

    cache->count++;
    __atomic_store_n(&pair->target, target, __ATOMIC_RELEASE);
    __atomic_store_n(&pair->type, type, __ATOMIC_RELEASE);
}

/* Places that a hash can give; behind them is room for as many pairs as there may be and an end, so
 * a search needs no way back to the first. */
static uint32_t places_of(uint32_t capacity)
{
    return capacity > PAIRS_FIRST ? capacity * 2 : 1;
}

static struct rt_aot_cache *new_cache(const struct rt_aot_cache *model, uint32_t capacity)
{
    struct rt_aot_cache *cache = rt_aot_allocate(sizeof *cache);
    uint32_t places = places_of(capacity);
    struct rt_aot_pair *pairs = rt_aot_allocate((places + capacity + 1) * sizeof *pairs);
    uint32_t old = model->capacity ? places_of(model->capacity) + model->capacity : 0;

    if (!cache || !pairs)
        return NULL;
    *cache = *model;
    cache->pairs = pairs;
    cache->capacity = capacity;
    cache->mask = (places - 1) * (uint32_t)sizeof *pairs;
    cache->count = 0;
    for (uint32_t i = 0; i < old; i++)
        if (model->pairs[i].type)
            add_pair(cache, model->pairs[i].type, model->pairs[i].target);
    return cache;
}

/* cache first: the stub that is set after it needs one. */
static void set_cache(struct rt_aot_cell *cell, struct rt_aot_cache *cache)
{
    bool r11 = rt_aot_state.cell_in_r11;
    void (*few)(void) = r11 ? rt_aot_few_r11 : rt_aot_few_r10;
    void (*hashed)(void) = r11 ? rt_aot_hashed_r11 : rt_aot_hashed_r10;
    void (*stub)(void) = cache->mask ? hashed : few;

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
        rt_aot_state.counters.cached++;
        return;
    }
    if (capacity > PAIRS_MAX)
        return;
    cache = new_cache(model, capacity);
    if (!cache)
        return;
    add_pair(cache, type, target);
    set_cache(cell, cache);
    rt_aot_state.counters.cached++;
}

/* The model that keep() needs. */
static enum img_aot_status describe(const struct rt_aot_cell *cell, struct rt_aot_cache *model)
{
    uint64_t at = (uint64_t)(uintptr_t)cell;
    uint32_t rva;

    *model = (struct rt_aot_cache){.pairs = NULL};
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
        target = find_pair(&model, type)->target;
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
