/* publish.c - installs and removes the agent's protocols.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "publish.h"

static const EFI_GUID agent_guid = KDAGENT_PROTOCOL_GUID;
static const EFI_GUID output_guid = KDAGENT_OUTPUT_PROTOCOL_GUID;

EFI_STATUS kda_publish(EFI_BOOT_SERVICES *services, struct kda_protocol *protocol,
                       EFI_HANDLE *handle)
{
    EFI_STATUS status;

    *handle = NULL;
    status = services->InstallProtocolInterface(handle, &agent_guid, EFI_NATIVE_INTERFACE,
                                                &protocol->calls);
    if (EFI_ERROR(status))
        return status;
    status = services->InstallProtocolInterface(handle, &output_guid, EFI_NATIVE_INTERFACE,
                                                &protocol->output);
    if (EFI_ERROR(status))
        services->UninstallProtocolInterface(*handle, &agent_guid, &protocol->calls);
    return status;
}

void kda_withdraw(EFI_BOOT_SERVICES *services, struct kda_protocol *protocol, EFI_HANDLE handle)
{
    services->UninstallProtocolInterface(handle, &output_guid, &protocol->output);
    services->UninstallProtocolInterface(handle, &agent_guid, &protocol->calls);
    kda_protocol_close(protocol);
}
