/* start_image.c - device paths of files, and images from them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "start_image.h"

/* A policy decision: longer device paths are none that firmware makes for a volume. */
#define VOLUME_PATH_MAX 2048u

static const EFI_GUID loaded_image_guid = EFI_LOADED_IMAGE_PROTOCOL_GUID;
static const EFI_GUID device_path_guid = EFI_DEVICE_PATH_PROTOCOL_GUID;

static void put_node(uint8_t *at, uint8_t type, uint8_t subtype, size_t size)
{
    at[0] = type;
    at[1] = subtype;
    at[2] = (uint8_t)size;
    at[3] = (uint8_t)(size >> 8);
}

/* Size of the path without its end node; 0: it is not well-formed. */
static size_t path_size(const uint8_t *path)
{
    size_t size = 0;

    while (path[size] != END_DEVICE_PATH_TYPE) {
        size_t step = (size_t)(path[size + 2] | path[size + 3] << 8);

        if (step < sizeof(EFI_DEVICE_PATH_PROTOCOL) || step > VOLUME_PATH_MAX - size)
            return 0;
        size += step;
    }
    return size;
}

/* The volume's path with the file behind it, in pool memory; NULL: no memory. */
static void *file_path(EFI_BOOT_SERVICES *services, const uint8_t *volume, const CHAR16 *name)
{
    size_t front = path_size(volume), bytes = sizeof(CHAR16), node;
    const uint8_t *from = (const uint8_t *)name;
    void *memory;
    uint8_t *out;

    for (size_t i = 0; name[i]; i++)
        bytes += sizeof(CHAR16);
    node = sizeof(EFI_DEVICE_PATH_PROTOCOL) + bytes;
    if (!front || EFI_ERROR(services->AllocatePool(EfiBootServicesData, front + node + 4, &memory)))
        return NULL;
    out = memory;
    for (size_t i = 0; i < front; i++)
        out[i] = volume[i];
    put_node(out + front, MEDIA_DEVICE_PATH, MEDIA_FILEPATH_DP, node);
    for (size_t i = 0; i < bytes; i++)
        out[front + sizeof(EFI_DEVICE_PATH_PROTOCOL) + i] = from[i];
    put_node(out + front + node, END_DEVICE_PATH_TYPE, END_ENTIRE_DEVICE_PATH_SUBTYPE, 4);
    return out;
}

static EFI_STATUS start(EFI_BOOT_SERVICES *services, EFI_HANDLE image, const void *options,
                        size_t size)
{
    union {
        void *pointer;
        const void *constant;
    } given = {.constant = options};
    EFI_LOADED_IMAGE_PROTOCOL *loaded;
    void *found = NULL;

    if (size && !EFI_ERROR(services->HandleProtocol(image, &loaded_image_guid, &found))) {
        loaded = found;
        loaded->LoadOptions = given.pointer;
        loaded->LoadOptionsSize = (uint32_t)size;
    }
    return services->StartImage(image, NULL, NULL);
}

EFI_STATUS kda_start_image(EFI_BOOT_SERVICES *services, EFI_HANDLE parent, EFI_HANDLE volume,
                           const CHAR16 *path, const void *options, size_t size)
{
    EFI_HANDLE image = NULL;
    void *device = NULL, *full;
    EFI_STATUS status;

    if (!volume || EFI_ERROR(services->HandleProtocol(volume, &device_path_guid, &device)))
        return EFI_UNSUPPORTED;
    full = file_path(services, device, path);
    if (!full)
        return EFI_OUT_OF_RESOURCES;
    status = services->LoadImage(0, parent, full, NULL, 0, &image);
    services->FreePool(full);
    return EFI_ERROR(status) ? status : start(services, image, options, size);
}
