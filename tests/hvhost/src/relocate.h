/* relocate.h - a copy of this program in memory that stays its own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_RELOCATE_H
#define HVHOST_RELOCATE_H

#include <stdint.h>

/* Copies the loaded image of size bytes to `to` and fixes the addresses in it. Returns how far it
 * moved; 0: the image is not as this program's is. */
uint64_t relocate_copy(uint8_t *to, const uint8_t *image, uint64_t size);

#endif
