/* publish.h - the agent's protocols in the firmware's database.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_PUBLISH_H
#define KDA_PUBLISH_H

#include "efi.h"

#include "protocol.h"

/* On a handle of their own. On an error none is installed. */
EFI_STATUS kda_publish(EFI_BOOT_SERVICES *services, struct kda_protocol *protocol,
                       EFI_HANDLE *handle);
void kda_withdraw(EFI_BOOT_SERVICES *services, struct kda_protocol *protocol, EFI_HANDLE handle);

#endif
