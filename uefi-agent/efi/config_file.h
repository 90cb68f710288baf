/* config_file.h - where the agent's settings come from, and the image it starts next.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_CONFIG_FILE_H
#define KDA_CONFIG_FILE_H

#include <stdbool.h>

#include "efi.h"
#include "options.h"

/* Defaults, then \kdagent.cfg of the file system that the image came from (none is no error), then
 * the load options, which win. False: something was wrong, see options->error. */
bool kda_config_read(EFI_BOOT_SERVICES *services, EFI_HANDLE image, struct kda_options *options);

/* Writes a file of this volume anew. */
bool kda_file_write(EFI_BOOT_SERVICES *services, EFI_HANDLE device, const CHAR16 *name, void *bytes,
                    UINTN size);

/* Loads and starts options->chain from the file system the image came from, with options->arguments
 * for its load options, and returns when it has ended. */
EFI_STATUS kda_chain_start(EFI_BOOT_SERVICES *services, EFI_HANDLE image,
                           const struct kda_options *options);

#endif
