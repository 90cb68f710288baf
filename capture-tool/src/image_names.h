/* image_names.h - which name of an image is that of a place in it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_NAMES_H
#define KDLENS_IMAGE_NAMES_H

#include "image/unwind.h"

/* The row of the exception directory for the whole function that rva is in; false when there is
 * none, or rva is in a piece that lies before the function's start. */
bool image_function_of(const struct img_image *image, uint32_t rva, struct img_function *function);

/* The export that rva is in. Of an image without a table nobody knows where functions end: there an
 * export goes on to the next one in its section. With a table it holds inside its own row, and in
 * leaf functions, which have none, only where it starts. */
bool image_export_of(const struct img_image *image, uint32_t rva, struct img_export *export);

#endif
