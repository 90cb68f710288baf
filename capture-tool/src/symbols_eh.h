/* symbols_eh.h - a function's exception tables in readable form.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_SYMBOLS_EH_H
#define KDLENS_SYMBOLS_EH_H

#include <stdbool.h>

#include "image/image.h"
#include "problem.h"

/* Prints those of the function that rva is in; false with a problem when there is none or they are
 * damaged. */
bool symbols_eh_print(const struct img_image *image, uint32_t rva, bool json,
                      struct problem *problem);

#endif
