/* aot.h - start-up and helpers for a C# program that NativeAOT's compiler made, with no other
 * runtime.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The program is one image: the compiler's object, these files, lib/image, and start-up code that
 * calls rt_aot_start before anything managed runs. The compiler's own version decides formats and
 * the register of an interface call; 8.0, 9.1, 10.1 and 16.0 are known (image/aot.h).
 *
 * Memory for objects and for the caches of interface calls is the caller's and is never given back:
 * there is no collector, and finalizers do not run. One processor is assumed; code that interrupts
 * managed code may run managed code.
 *
 * Limitations: no exceptions (RhpThrowEx), casts or checked stores into arrays of references from
 * the core library's side; no thread statics; no dispatch on arrays through System.Array's map.
 */
#ifndef KDLENS_RT_AOT_H
#define KDLENS_RT_AOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "image/aot.h"

/* What compiled code calls has Windows' convention wherever it is built. */
#define RT_AOT_ABI __attribute__((ms_abi))

enum rt_aot_failure {
    RT_AOT_OUT_OF_MEMORY,   /* a: bytes that were asked for, b: bytes that are left */
    RT_AOT_ARRAY_TOO_LARGE, /* a: number of elements, b: MethodTable */
    RT_AOT_NO_METHOD,       /* a: object, b: dispatch cell; status says why */
    RT_AOT_FAIL_FAST,       /* compiled code found that its stack was overwritten */
};

struct rt_aot_problem {
    enum rt_aot_failure failure;
    enum img_aot_status status;
    uint64_t a, b;
};

/* "the heap of managed objects is used up", ... */
const char *rt_aot_text(enum rt_aot_failure failure);

struct rt_aot_config {
    const void *image; /* where the program is loaded */
    void *heap;
    size_t heap_size;
    /* Called when a helper cannot do what compiled code needs; must not return. NULL: the processor
     * is stopped at a breakpoint instruction. */
    void (*fail)(const struct rt_aot_problem *problem);
    const void *header; /* the ReadyToRun header when it is known (rt_aot_header); NULL: searched */
    bool no_cache;      /* every interface call is looked up anew */
};

/* What went wrong, and for IMG_AOT_VERSION which version it is. */
struct rt_aot_result {
    enum img_aot_status status;
    enum img_result image;
    uint16_t major, minor;
    const char *step; /* "reading the image's headers", ... */
};

/* Start-up in the order that the format asks for: header, dehydrated data, type manager, static
 * bases, eager constructors, module initialisers. True when the program may run. */
bool rt_aot_start(const struct rt_aot_config *config, struct rt_aot_result *result);

/* The header that the linker collected in .modules, NULL when there is none or more than one. Only
 * in an image that rt/aot_modules.c is linked into. */
const void *rt_aot_header(void);

/* The image's metadata, for names. NULL before rt_aot_start. */
const struct img_aot *rt_aot_metadata(void);

struct rt_aot_counters {
    uint64_t resolved; /* interface calls that were looked up in dispatch maps */
    uint64_t cached;   /* of those, how many are in a cell's cache now */
    uint64_t allocated;
};

struct rt_aot_counters rt_aot_counters(void);

/* From now on, or no longer, results of look-ups are kept. What is kept stays in use. */
void rt_aot_use_cache(bool use);

#endif
