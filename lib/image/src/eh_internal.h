/* eh_internal.h - what the readers of the two kinds of C++ tables offer eh_tables.c.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_IMAGE_EH_INTERNAL_H
#define KDLENS_IMAGE_EH_INTERNAL_H

#include "image/eh_tables.h"

/* Fixed-size records. */
bool img_cxx3_open(struct img_eh *eh);
bool img_cxx3_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state);
bool img_cxx3_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind);
bool img_cxx3_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block);
bool img_cxx3_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                      struct img_eh_handler *handler);

/* Compressed ones; rows can only be found one after the other. */
bool img_cxx4_open(struct img_eh *eh, uint32_t rva);
bool img_cxx4_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state);
bool img_cxx4_state(const struct img_eh *eh, uint32_t rva, int32_t *state);
bool img_cxx4_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind);
bool img_cxx4_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block);
bool img_cxx4_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                      struct img_eh_handler *handler);

#endif
