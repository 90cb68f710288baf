/* config_file.c - reads the settings by the firmware's file system.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "config_file.h"

#include "start_image.h"
#include "text.h"

#define FILE_ROOM 16385u /* one byte more than kda_options_file takes, to notice a larger file */

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID file_system_guid = EFI_SIMPLE_FILE_SYSTEM_PROTOCOL_GUID;

static EFI_LOADED_IMAGE_PROTOCOL *loaded_image(EFI_BOOT_SERVICES *services, EFI_HANDLE image)
{
    void *found = NULL;

    return EFI_ERROR(services->HandleProtocol(image, &loaded_image_guid, &found)) ? NULL : found;
}

static const CHAR16 config_name[] = u"\\kdagent.cfg";

static EFI_FILE_PROTOCOL *open_file(EFI_BOOT_SERVICES *services, EFI_HANDLE device,
                                    const CHAR16 *name, uint64_t mode)
{
    EFI_SIMPLE_FILE_SYSTEM_PROTOCOL *system;
    EFI_FILE_PROTOCOL *root, *file = NULL;
    void *found = NULL;

    if (!device || EFI_ERROR(services->HandleProtocol(device, &file_system_guid, &found)))
        return NULL;
    system = found;
    if (EFI_ERROR(system->OpenVolume(system, &root)))
        return NULL;
    if (EFI_ERROR(root->Open(root, &file, name, mode, 0)))
        file = NULL;
    root->Close(root);
    return file;
}

/* One that is there may be longer: it goes first. */
bool kda_file_write(EFI_BOOT_SERVICES *services, EFI_HANDLE device, const CHAR16 *name, void *bytes,
                    UINTN size)
{
    const uint64_t mode = EFI_FILE_MODE_READ | EFI_FILE_MODE_WRITE;
    EFI_FILE_PROTOCOL *file = open_file(services, device, name, mode);
    UINTN written = size;
    bool ok;

    if (file)
        file->Delete(file);
    file = open_file(services, device, name, mode | EFI_FILE_MODE_CREATE);
    if (!file)
        return false;
    ok = !EFI_ERROR(file->Write(file, &written, bytes)) && written == size;
    return !EFI_ERROR(file->Close(file)) && ok;
}

static bool read_file(EFI_BOOT_SERVICES *services, EFI_FILE_PROTOCOL *file,
                      struct kda_options *options)
{
    UINTN size = FILE_ROOM;
    bool ok = true;
    void *bytes;

    if (EFI_ERROR(services->AllocatePool(EfiBootServicesData, FILE_ROOM, &bytes)))
        return true;
    if (!EFI_ERROR(file->Read(file, &size, bytes)))
        ok = kda_options_file(options, "\\kdagent.cfg", bytes, (size_t)size);
    services->FreePool(bytes);
    return ok;
}

bool kda_config_read(EFI_BOOT_SERVICES *services, EFI_HANDLE image, struct kda_options *options)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded = loaded_image(services, image);
    EFI_FILE_PROTOCOL *file;
    bool ok = true;

    kda_options_default(options);
    if (!loaded)
        return true;
    file = open_file(services, loaded->DeviceHandle, config_name, EFI_FILE_MODE_READ);
    if (file) {
        ok = read_file(services, file, options);
        file->Close(file);
    }
    if (loaded->LoadOptions)
        ok = kda_options_load(options, loaded->LoadOptions,
                              loaded->LoadOptionsSize / sizeof(CHAR16)) &&
             ok;
    return ok;
}

static void to_utf16(const char *text, CHAR16 *out)
{
    size_t size = 0;

    while (text[size])
        size++;
    kda_text_to_utf16(text, size, out, KDA_OPTION_TEXT_MAX);
}

EFI_STATUS kda_chain_start(EFI_BOOT_SERVICES *services, EFI_HANDLE image,
                           const struct kda_options *options)
{
    EFI_LOADED_IMAGE_PROTOCOL *loaded = loaded_image(services, image);
    CHAR16 path[KDA_OPTION_TEXT_MAX], arguments[KDA_OPTION_TEXT_MAX];

    if (!loaded)
        return EFI_UNSUPPORTED;
    to_utf16(options->chain, path);
    to_utf16(options->arguments, arguments);
    return kda_start_image(services, image, loaded->DeviceHandle, path, arguments,
                           2 * kda_text_length16(arguments, KDA_OPTION_TEXT_MAX));
}
