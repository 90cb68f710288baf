/* exitboot.h - what an operating system's loader does last: it takes the machine over.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDEXAMPLE_EXITBOOT_H
#define KDEXAMPLE_EXITBOOT_H

#include "efi.h"

/* Ends the boot services, calls work, writes its result to the UART at port, and resets the
 * machine. Returns only when the firmware does not let go: its status. */
EFI_STATUS KdExampleExitBoot(EFI_HANDLE image, EFI_SYSTEM_TABLE *table, uint16_t port,
                             uint32_t (*work)(uint32_t number));

#endif
