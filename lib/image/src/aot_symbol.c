/* aot_symbol.c - the name of the method that an address is in.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "image/aot.h"
#include "image/unwind.h"

enum img_aot_status img_aot_name_of(const struct img_aot *aot, uint32_t rva, bool parameters,
                                    struct img_aot_name *name, uint32_t *offset)
{
    struct img_function function;
    struct img_aot_method method;
    enum img_aot_status status;

    if (!img_function_at(aot->image, rva, &function))
        return IMG_AOT_NOT_FOUND;
    if (!img_primary_function(aot->image, &function))
        return IMG_AOT_DAMAGED;
    /* A part of a function that was moved in front of its start has no place behind it. */
    if (rva < function.begin)
        return IMG_AOT_NOT_FOUND;
    status = img_aot_method_at(aot, function.begin, &method);
    if (status != IMG_AOT_OK)
        return status;
    *offset = rva - function.begin;
    return img_aot_method_name(aot, &method, parameters, name);
}
