/* next.c - what runs after an agent that was started in a boot loader's place.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Started by \EFI\BOOT\BOOTX64.EFI (boot/kdboot.c), or as that file, the agent stands where a
 * loader would. So it starts the first of: what "chain" names; the loader of Windows on any volume;
 * another volume's BOOTX64.EFI. With none of them it returns, and the firmware goes on with its
 * next boot option.
 */
#include "agent_state.h"
#include "config_file.h"
#include "start_image.h"

static const EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;
static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;

static const CHAR16 fallback_path[] = u"\\EFI\\BOOT\\BOOTX64.EFI";
static const CHAR16 windows_path[] = u"\\EFI\\Microsoft\\Boot\\bootmgfw.efi";

static CHAR16 upper(CHAR16 character)
{
    return character >= 'a' && character <= 'z' ? (CHAR16)(character - 'a' + 'A') : character;
}

static bool is_fallback(const EFI_LOADED_IMAGE_PROTOCOL *image)
{
    const EFI_DEVICE_PATH_PROTOCOL *node = image->FilePath;
    const uint8_t *name = (const uint8_t *)node + sizeof *node;

    if (!node || node->Type != MEDIA_DEVICE_PATH || node->SubType != MEDIA_FILEPATH_DP ||
        (size_t)(node->Length[0] | node->Length[1] << 8) < sizeof *node + sizeof fallback_path)
        return false;
    for (size_t i = 0; i < sizeof fallback_path / sizeof fallback_path[0]; i++) {
        if (upper((CHAR16)(name[2 * i] | name[2 * i + 1] << 8)) != fallback_path[i])
            return false;
    }
    return true;
}

static bool is_boot_loader(void)
{
    void *parent = NULL;

    if (is_fallback(agent.loaded))
        return true;
    return agent.loaded->ParentHandle &&
           !EFI_ERROR(agent.services->HandleProtocol(agent.loaded->ParentHandle, &loaded_image_guid,
                                                     &parent)) &&
           is_fallback(parent);
}

/* The first volume that has the file; own: whether the agent's volume counts. Not found is the only
 * status that lets the search go on: a loader that ran and ended is an answer. */
static EFI_STATUS start_first(const CHAR16 *file, bool own)
{
    EFI_HANDLE *volumes = NULL;
    UINTN count = 0;
    EFI_STATUS status = EFI_NOT_FOUND;

    if (EFI_ERROR(agent.services->LocateHandleBuffer(ByProtocol, &file_system_guid, NULL, &count,
                                                     &volumes)))
        return EFI_NOT_FOUND;
    for (UINTN i = 0; i < count && status == EFI_NOT_FOUND; i++) {
        if (own || volumes[i] != agent.loaded->DeviceHandle)
            status = kda_start_image(agent.services, agent.image, volumes[i], file, NULL, 0);
    }
    agent.services->FreePool(volumes);
    return status;
}

void agent_start_next(void)
{
    if (agent.options.chain[0]) {
        if (EFI_ERROR(kda_chain_start(agent.services, agent.image, &agent.options)))
            agent_say("kdagent: what \"chain\" names could not be started, or ended with an error");
    } else if (is_boot_loader() && start_first(windows_path, true) == EFI_NOT_FOUND) {
        (void)start_first(fallback_path, false);
    }
}
