/* epilogue.h - what is left of a function's epilogue at an instruction.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_EPILOGUE_H
#define KDLENS_IMAGE_EPILOGUE_H

#include "image/unwind.h"

#define IMG_MAX_POPS    16
#define IMG_POP_NOTHING 0xFF /* a word that no register gets */

struct img_epilogue {
    bool from_register; /* rsp = frame_register first */
    uint8_t frame_register;
    int32_t adjust; /* then rsp += adjust */
    uint8_t pop_count;
    uint8_t pops[IMG_MAX_POPS]; /* then these registers, then the return */
};

/* False when rva is not in an epilogue. */
bool img_find_epilogue(const struct img_image *image, const struct img_function *function,
                       const struct img_unwind_info *info, uint32_t rva,
                       struct img_epilogue *epilogue);

#endif
