/* aot_state.h - the one state of the managed runtime, as C and the stubs in assembly see it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_RT_AOT_STATE_H
#define KDLENS_RT_AOT_STATE_H

#include "rt/aot.h"

/* An interface dispatch cell. On disk cache tells the interface; its low two bits are not zero. A
 * pointer to a struct rt_aot_cache replaces it. */
struct rt_aot_cell {
    uint64_t stub;
    uint64_t cache;
};

struct rt_aot_pair {
    uint64_t type; /* 0 ends the list */
    uint64_t target;
};

/* Pairs are searched from the place that a type's hash and mask give, on to the next free one; with
 * mask 0 that is the first place. A pair is written once, target first, and a full cache is
 * replaced by a larger copy: code that interrupts another's call sees whole pairs. The stubs know
 * the first two members and the hash. */
struct rt_aot_cache {
    struct rt_aot_pair *pairs;
    uint32_t mask; /* of a byte offset into pairs: a multiple of their size */
    uint32_t capacity;
    uint32_t count;
    uint32_t interface; /* RVA */
    uint16_t slot;
};

#define RT_AOT_HASH(type) ((uint32_t)(type)*UINT32_C(0x9e3779b1) >> 16)

/* What section 204's cell points to. */
struct rt_aot_manager {
    const void *image;
    const void *header;
};

struct rt_aot_state {
    uint64_t cell_in_r11; /* the stubs read this: offset 0 */
    bool started;
    bool no_cache;
    bool caching; /* somebody is changing a cell; who interrupts leaves cells alone */
    struct img_image image;
    struct img_aot aot;
    struct rt_aot_manager manager;
    uint8_t *heap;
    size_t heap_size;
    size_t heap_used;
    void (*fail)(const struct rt_aot_problem *problem);
    struct rt_aot_counters counters;
};

extern struct rt_aot_state rt_aot_state;

/* Zeroed memory, aligned to 8; NULL when there is not so much left. */
void *rt_aot_allocate(size_t size);
_Noreturn void rt_aot_fail(enum rt_aot_failure failure, enum img_aot_status status, uint64_t a,
                           uint64_t b);

/* The helpers that compiled code names. */
void *RT_AOT_ABI RhpNewFast(const void *type);
void *RT_AOT_ABI RhpNewFinalizable(const void *type);
void *RT_AOT_ABI RhpNewArray(const void *type, int64_t count);
void *RT_AOT_ABI RhpNewArrayFast(const void *type, int64_t count);
void *RT_AOT_ABI RhpNewPtrArrayFast(const void *type, int64_t count);
uint64_t RT_AOT_ABI RhpResolveInterfaceMethod(const void *object, struct rt_aot_cell *cell);
const void *RT_AOT_ABI RhGetModuleSection(const void *const *handle, int32_t id, int32_t *length);
void RT_AOT_ABI RhpFallbackFailFast(void);

/* In aot_x64.S. */
void rt_aot_few_r10(void);
void rt_aot_few_r11(void);
void rt_aot_hashed_r10(void);
void rt_aot_hashed_r11(void);
void RhpInitialDynamicInterfaceDispatch(void);

#endif
