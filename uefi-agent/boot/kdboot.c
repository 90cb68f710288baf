/* kdboot.c - \EFI\BOOT\BOOTX64.EFI of the agent's media: starts \kdagent.efi.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Firmware boots applications only, and frees an application that ends; the agent is a driver,
 * which stays. So this program stands in the boot loader's place and hands its load options on. The
 * agent itself starts what comes next and returns here when that has ended. This program then ends
 * with an error: firmware goes on with its next boot option after one, and takes success for the
 * end of a boot.
 */
#include "efi.h"

#include "start_image.h"

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system);

EFI_STATUS EFIAPI EfiMain(EFI_HANDLE image, EFI_SYSTEM_TABLE *system)
{
    static const EFI_GUID guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    void *found = NULL;
    EFI_STATUS status;

    status = system->BootServices->HandleProtocol(image, &guid, &found);
    if (EFI_ERROR(status))
        return status;
    loaded = found;
    status = kda_start_image(system->BootServices, image, loaded->DeviceHandle, u"\\kdagent.efi",
                             loaded->LoadOptions, loaded->LoadOptionsSize);
    if (status == EFI_NOT_FOUND)
        system->ConOut->OutputString(
            system->ConOut, u"kdboot: there is no \\kdagent.efi on the volume of this program\r\n");
    return EFI_ERROR(status) ? status : EFI_NOT_FOUND;
}
