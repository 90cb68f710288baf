/* aot_start.c - what must be done before the first managed method runs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The image is the program's own, so its tables are trusted as its code is; they are read through
 * the checked functions all the same, and a contradiction ends the start with the step's name.
 */
#include "aot_state.h"

#define POINTER_MASK  3u
#define STATIC_UNSET  1u /* an object must be made */
#define STATIC_FILLED 2u /* and has initial contents */

struct rt_aot_state rt_aot_state;

static const char *const texts[] = {
    [RT_AOT_OUT_OF_MEMORY] = "the heap of managed objects is used up: give rt_aot_start more",
    [RT_AOT_ARRAY_TOO_LARGE] = "a managed array of that many elements cannot be made",
    [RT_AOT_NO_METHOD] = "an interface call has no target",
    [RT_AOT_FAIL_FAST] = "managed code overwrote its own stack frame",
};

const char *rt_aot_text(enum rt_aot_failure failure)
{
    unsigned index = (unsigned)failure;

    return index < sizeof texts / sizeof *texts ? texts[index] : "unknown";
}

_Noreturn void rt_aot_fail(enum rt_aot_failure failure, enum img_aot_status status, uint64_t a,
                           uint64_t b)
{
    struct rt_aot_problem problem = {failure, status, a, b};

    if (rt_aot_state.fail)
        rt_aot_state.fail(&problem);
    for (;;)
        __asm__ volatile("int3" : : "c"(&problem) : "memory");
}

/* A method with a buffer on the stack compares a value behind it with __security_cookie. */
void RT_AOT_ABI RhpFallbackFailFast(void)
{
    rt_aot_fail(RT_AOT_FAIL_FAST, IMG_AOT_OK, 0, 0);
}

static void *at(uint32_t rva)
{
    return (void *)(uintptr_t)(rt_aot_state.image.base + rva);
}

/* --- Lists of pointers: 8 bytes each in 8.0, later 4, relative to themselves */

struct list {
    uint32_t at, left;
};

static bool is_absolute(void)
{
    return rt_aot_state.aot.major < 9;
}

static enum img_aot_status open_list(int32_t id, struct list *list)
{
    struct img_aot_section section;
    enum img_aot_status status = img_aot_find_section(&rt_aot_state.aot, id, &section);

    *list = (struct list){0};
    if (status == IMG_AOT_NO_SECTION)
        return IMG_AOT_OK;
    if (status == IMG_AOT_OK)
        *list = (struct list){section.start, section.size / (is_absolute() ? 8 : 4)};
    return status;
}

static bool read_absolute(uint32_t rva, uint32_t mask, uint32_t *target)
{
    uint64_t value;

    return img_read64(&rt_aot_state.image, rva, &value) &&
           img_rva(&rt_aot_state.image, value & ~(uint64_t)mask, target);
}

static bool read_relative(uint32_t rva, uint32_t mask, uint32_t *target)
{
    uint32_t value;

    return img_read32(&rt_aot_state.image, rva, &value) &&
           img_relative(&rt_aot_state.image, rva, (int32_t)(value & ~mask), target);
}

static bool read_pointer(uint32_t rva, uint32_t mask, uint32_t *target)
{
    return is_absolute() ? read_absolute(rva, mask, target) : read_relative(rva, mask, target);
}

static bool next(struct list *list, uint32_t *target)
{
    uint32_t place = list->at;

    list->at += is_absolute() ? 8 : 4;
    list->left--;
    return read_pointer(place, 0, target);
}

/* --- Steps */

static enum img_aot_status find_header(const struct rt_aot_config *config)
{
    struct rt_aot_state *state = &rt_aot_state;
    uint32_t rva;

    if (!config->header)
        return img_aot_open(&state->aot, &state->image);
    if (!img_rva(&state->image, (uint64_t)(uintptr_t)config->header, &rva))
        return IMG_AOT_NO_HEADER;
    return img_aot_open_at(&state->aot, &state->image, rva);
}

static enum img_aot_status hydrate(const struct rt_aot_config *config)
{
    struct img_aot *aot = &rt_aot_state.aot;
    uint32_t place, size;
    enum img_aot_status status = img_aot_hydrate(aot, NULL, 0, &place, &size);

    (void)config;
    if (status == IMG_AOT_NO_SECTION)
        return IMG_AOT_OK;
    if (status != IMG_AOT_OK)
        return status;
    return img_aot_hydrate(aot, at(place), size, &place, &size);
}

static enum img_aot_status set_manager(const struct rt_aot_config *config)
{
    struct rt_aot_state *state = &rt_aot_state;
    struct img_aot_section section;
    enum img_aot_status status = img_aot_find_section(&state->aot, IMG_AOT_TYPE_MANAGER, &section);

    if (status != IMG_AOT_OK)
        return status;
    if (section.start > state->image.size - sizeof(uint64_t))
        return IMG_AOT_DAMAGED;
    state->manager = (struct rt_aot_manager){config->image, at(state->aot.header)};
    *(const struct rt_aot_manager **)at(section.start) = &state->manager;
    return IMG_AOT_OK;
}

/* The fields that the compiler computed in advance follow the MethodTable's address. */
static bool fill(uint8_t *object, uint32_t contents, uint32_t base_size)
{
    return base_size >= 16 &&
           img_read(&rt_aot_state.image, contents, object + sizeof(uint64_t), base_size - 16);
}

static enum img_aot_status make_static(uint32_t cell)
{
    struct img_image *image = &rt_aot_state.image;
    uint32_t flags, type, base_size, contents;
    uint8_t *object;

    if (!img_read32(image, cell, &flags) || cell > image->size - sizeof(uint64_t))
        return IMG_AOT_DAMAGED;
    if ((flags & STATIC_UNSET) == 0)
        return IMG_AOT_OK;
    if (!read_pointer(cell, POINTER_MASK, &type) || !img_read32(image, type + 4, &base_size))
        return IMG_AOT_DAMAGED;
    if (base_size > rt_aot_state.heap_size - rt_aot_state.heap_used)
        return IMG_AOT_ROOM;
    object = RhpNewFast(at(type));
    if (flags & STATIC_FILLED) {
        if (!read_pointer(cell + (is_absolute() ? 8 : 4), 0, &contents) ||
            !fill(object, contents, base_size))
            return IMG_AOT_DAMAGED;
    }
    *(uint8_t **)at(cell) = object;
    return IMG_AOT_OK;
}

static enum img_aot_status make_statics(const struct rt_aot_config *config)
{
    struct list list;
    enum img_aot_status status = open_list(IMG_AOT_STATICS, &list);
    uint32_t cell;

    (void)config;
    while (status == IMG_AOT_OK && list.left > 0)
        status = next(&list, &cell) ? make_static(cell) : IMG_AOT_DAMAGED;
    return status;
}

typedef void RT_AOT_ABI (*managed_function)(void);

/* Calls every function of a list. */
static enum img_aot_status call_list(int32_t id)
{
    struct list list;
    enum img_aot_status status = open_list(id, &list);
    uint32_t code;

    while (status == IMG_AOT_OK && list.left > 0) {
        if (!next(&list, &code) || !img_is_code(&rt_aot_state.image, code))
            return IMG_AOT_DAMAGED;
        ((managed_function)(uintptr_t)(rt_aot_state.image.base + code))();
    }
    return status;
}

static enum img_aot_status call_constructors(const struct rt_aot_config *config)
{
    (void)config;
    rt_aot_state.started = true; /* from here on managed code runs */
    return call_list(IMG_AOT_EAGER_CONSTRUCTORS);
}

static enum img_aot_status call_initialisers(const struct rt_aot_config *config)
{
    (void)config;
    return call_list(IMG_AOT_MODULE_INITIALISERS);
}

static const struct {
    const char *name;
    enum img_aot_status (*run)(const struct rt_aot_config *config);
} steps[] = {
    {"writing out dehydrated data (section 207)", hydrate},
    {"setting the type manager (section 204)", set_manager},
    {"making static bases (section 201)", make_statics},
    {"running eager static constructors (section 205)", call_constructors},
    {"running module initialisers (section 213)", call_initialisers},
};

static void open_heap(const struct rt_aot_config *config)
{
    size_t skip = -(uintptr_t)config->heap & 7;

    if (!config->heap || config->heap_size < skip)
        return;
    rt_aot_state.heap = (uint8_t *)config->heap + skip;
    rt_aot_state.heap_size = config->heap_size - skip;
}

static bool open_image(const struct rt_aot_config *config, struct rt_aot_result *result)
{
    struct rt_aot_state *state = &rt_aot_state;
    /* How large the image is, its headers say: the source is cut to that at once. */
    struct img_source source = img_memory_source(config->image, UINT32_MAX, IMG_MAPPED);

    result->step = "reading the image's headers";
    result->image = img_open(&state->image, &source, (uint64_t)(uintptr_t)config->image);
    if (result->image != IMG_OK)
        return false;
    state->image.source.size = state->image.size;
    return true;
}

bool rt_aot_start(const struct rt_aot_config *config, struct rt_aot_result *result)
{
    struct rt_aot_state *state = &rt_aot_state;

    *state = (struct rt_aot_state){.no_cache = config->no_cache, .fail = config->fail};
    *result = (struct rt_aot_result){.status = IMG_AOT_NO_HEADER};
    open_heap(config);
    if (!open_image(config, result))
        return false;
    result->step = "finding the ReadyToRun header";
    result->status = find_header(config);
    result->major = state->aot.major;
    result->minor = state->aot.minor;
    if (result->status != IMG_AOT_OK)
        return false;
    state->cell_in_r11 = img_aot_cell_in_r11(&state->aot);
    for (unsigned i = 0; i < sizeof steps / sizeof *steps; i++) {
        result->step = steps[i].name;
        result->status = steps[i].run(config);
        if (result->status != IMG_AOT_OK)
            return false;
    }
    return true;
}

const struct img_aot *rt_aot_metadata(void)
{
    return rt_aot_state.started ? &rt_aot_state.aot : NULL;
}

struct rt_aot_counters rt_aot_counters(void)
{
    return rt_aot_state.counters;
}

void rt_aot_use_cache(bool use)
{
    rt_aot_state.no_cache = !use;
}

/* handle: the address of a type manager's address. length: what the row tells, a pointer's size for
 * one without an end; 0 when there is no such section. */
const void *RT_AOT_ABI RhGetModuleSection(const void *const *handle, int32_t id, int32_t *length)
{
    struct img_aot_section section;

    *length = 0;
    if (!handle || *handle != &rt_aot_state.manager ||
        img_aot_find_section(&rt_aot_state.aot, id, &section) != IMG_AOT_OK)
        return NULL;
    *length = section.has_end ? (int32_t)section.size : (int32_t)sizeof(uint64_t);
    return at(section.start);
}
