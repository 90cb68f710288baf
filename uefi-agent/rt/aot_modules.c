/* aot_modules.c - the list of ReadyToRun headers that the linker puts together.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A compiler's object has a pointer to its header in .modules$I. Sections of that name are sorted
 * by what follows the dollar sign, so the two pointers here enclose the list; null ones are
 * padding.
 */
#include "aot_state.h"

__attribute__((section(".modules$A"), used)) static const void *const modules_begin = NULL;
__attribute__((section(".modules$Z"), used)) static const void *const modules_end = NULL;

const void *rt_aot_header(void)
{
    /* The compiler must not conclude that two objects of one pointer each enclose nothing. */
    const void *const *volatile begin = &modules_begin;
    const void *const *volatile end = &modules_end;
    const void *header = NULL;

    for (const void *const *module = begin; module < end; module++) {
        if (!*module)
            continue;
        if (header)
            return NULL;
        header = *module;
    }
    return header;
}
