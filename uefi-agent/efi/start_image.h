/* start_image.h - loads and starts an image by its path on a volume.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_START_IMAGE_H
#define KDA_START_IMAGE_H

#include <stddef.h>

#include "efi.h"

/* path: "\...", ended by 0. options: the image's load options, size bytes; 0: none. Returns the
 * image's own status when it has ended, or has stayed resident. EFI_NOT_FOUND: the volume has no
 * such file. */
EFI_STATUS kda_start_image(EFI_BOOT_SERVICES *services, EFI_HANDLE parent, EFI_HANDLE volume,
                           const CHAR16 *path, const void *options, size_t size);

#endif
