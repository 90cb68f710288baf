/* images.c - which images may have functions on the stack.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "rt_internal.h"

enum { HEADERS = 0x1000 }; /* a loaded image has at least a page */

struct rt_state rt_state;

bool rt_init(const void *image, const struct rt_port *port)
{
    rt_state.port = port ? *port : (struct rt_port){0};
    rt_state.policy = RT_HANDLER_FIRST;
    rt_state.faults_uncaught = false;
    rt_state.has_unhandled = false;
    rt_state.catches = NULL;
    rt_state.raised = NULL;
    rt_state.image_count = 0;
    return rt_add_image(image);
}

bool rt_add_image(const void *image)
{
    struct img_source source = img_memory_source(image, HEADERS, IMG_MAPPED);
    struct img_image *row = &rt_state.images[rt_state.image_count];

    if (rt_state.image_count == RT_MAX_IMAGES)
        return false;
    if (img_open(row, &source, (uint64_t)(uintptr_t)image) != IMG_OK)
        return false;
    row->source.size = row->size;
    rt_state.image_count++;
    return true;
}

bool rt_remove_image(const void *image)
{
    for (unsigned i = 0; i < rt_state.image_count; i++) {
        if (rt_state.images[i].base == (uint64_t)(uintptr_t)image) {
            rt_state.images[i] = rt_state.images[--rt_state.image_count];
            return true;
        }
    }
    return false;
}

bool rt_add_functions(const void *base, uint32_t size, const void *table, uint32_t count)
{
    struct img_source source = img_memory_source(base, size, IMG_MAPPED);
    struct img_image *row = &rt_state.images[rt_state.image_count];
    uint64_t start = (uint64_t)(uintptr_t)base, rows = (uint64_t)(uintptr_t)table;

    if (rt_state.image_count == RT_MAX_IMAGES || rows < start || rows - start >= size)
        return false;
    img_open_dynamic(row, &source, start, size, (uint32_t)(rows - start), count);
    if (img_function_count(row) != count)
        return false;
    rt_state.image_count++;
    return true;
}

const struct img_image *rt_find_image(void *unused, uint64_t address)
{
    uint32_t rva;

    (void)unused;
    for (unsigned i = 0; i < rt_state.image_count; i++) {
        if (img_rva(&rt_state.images[i], address, &rva))
            return &rt_state.images[i];
    }
    return NULL;
}

void rt_exception_policy(enum rt_policy policy)
{
    rt_state.policy = policy;
}

void rt_catch_faults(bool yes)
{
    rt_state.faults_uncaught = !yes;
}

const char *rt_reason_text(enum rt_reason reason)
{
    static const char *const texts[] = {
        [RT_REASON_UNHANDLED] = "an exception that nothing handles",
        [RT_REASON_UNWINDING] = "an exception left a destructor",
        [RT_REASON_NOEXCEPT] = "an exception left a function that is noexcept",
        [RT_REASON_NO_EXCEPTION] = "there is no exception to throw again",
        [RT_REASON_TABLES] = "exception tables contradict themselves",
        [RT_REASON_TARGET] = "the frame to unwind to is not on the stack",
        [RT_REASON_NESTED] = "too many exceptions inside each other",
        [RT_REASON_COOKIE] = "a stack buffer was overrun",
        [RT_REASON_TERMINATE] = "the program called terminate",
    };

    return (size_t)reason < sizeof texts / sizeof texts[0] ? texts[reason] : "unknown reason";
}
