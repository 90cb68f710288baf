/* image_names.c - names of places. See image_names.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "image_names.h"

bool image_function_of(const struct img_image *image, uint32_t rva, struct img_function *function)
{
    return img_function_at(image, rva, function) && img_primary_function(image, function) &&
           function->begin <= rva;
}

bool image_export_of(const struct img_image *image, uint32_t rva, struct img_export *export)
{
    struct img_function function;

    if (img_export_before(image, rva, export) != IMG_OK ||
        img_section_of(image, rva) != img_section_of(image, export->rva))
        return false;
    if (export->rva == rva || img_function_count(image) == 0)
        return true;
    return image_function_of(image, rva, &function) && function.begin == export->rva;
}
