/* place.c - which function a place of an image is in, and which export names it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "image/unwind.h"

bool img_whole_function(const struct img_image *image, uint32_t rva, struct img_function *function)
{
    return img_function_at(image, rva, function) && img_primary_function(image, function) &&
           function->begin <= rva;
}

enum img_result img_export_of(const struct img_image *image, uint32_t rva,
                              struct img_export *export)
{
    struct img_function function;
    enum img_result result = img_export_before(image, rva, export);

    if (result != IMG_OK)
        return result;
    if (img_section_of(image, rva) != img_section_of(image, export->rva))
        return IMG_NONE;
    if (export->rva == rva || img_function_count(image) == 0)
        return IMG_OK;
    return img_whole_function(image, rva, &function) && function.begin == export->rva ? IMG_OK
                                                                                      : IMG_NONE;
}
