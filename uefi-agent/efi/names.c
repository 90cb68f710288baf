/* names.c - what an image is called.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * In this order: the path it was loaded from; the name its file has in the firmware volume (that
 * needs boot services); the name of its PDB; the file's GUID; its address. A path whose last part
 * has no extension (an image that was handed over, not loaded from a disk) yields to the PDB.
 */
#include "agent_state.h"
#include "pe.h"
#include "text.h"

static const EFI_GUID volume_guid = EFI_FIRMWARE_VOLUME2_PROTOCOL_GUID;

#define NODES_MAX  64u
#define PATH_UNITS 260u
#define VOLUMES    16u

static size_t length(const char *text)
{
    size_t size = 0;

    while (text[size])
        size++;
    return size;
}

/* The end of a long path says more than its start. */
static void set_path(struct agent_module *out, const char *text, const char *extension)
{
    size_t size = length(text), more = length(extension);
    size_t room = sizeof out->path - 1 - more;
    size_t skip = size > room ? size - room : 0;

    /* Not in the middle of a character. */
    while (skip > 0 && ((unsigned char)text[skip] & 0xC0) == 0x80)
        skip++;
    __builtin_memcpy(out->path, text + skip, size - skip);
    __builtin_memcpy(out->path + size - skip, extension, more + 1);
}

static bool has_extension(const char *path)
{
    bool dot = false;

    for (size_t i = 0; path[i]; i++) {
        if (path[i] == '\\' || path[i] == '/')
            dot = false;
        else if (path[i] == '.')
            dot = true;
    }
    return dot;
}

static size_t node_size(const EFI_DEVICE_PATH_PROTOCOL *node)
{
    return (size_t)node->Length[0] | (size_t)node->Length[1] << 8;
}

/* Walks the path: file names go to units, a firmware file's GUID is returned. */
static const EFI_GUID *walk_path(const EFI_DEVICE_PATH_PROTOCOL *node, uint16_t *units,
                                 size_t *count)
{
    const EFI_GUID *file = NULL;

    *count = 0;
    for (unsigned i = 0; node && i < NODES_MAX && node->Type != END_DEVICE_PATH_TYPE; i++) {
        size_t size = node_size(node);
        const uint8_t *data = (const uint8_t *)node + sizeof *node;

        if (size < sizeof *node)
            break;
        if (node->Type == MEDIA_DEVICE_PATH && node->SubType == MEDIA_FILEPATH_DP) {
            for (size_t at = 0; at + 2 <= size - sizeof *node && *count < PATH_UNITS; at += 2) {
                uint16_t unit = (uint16_t)(data[at] | data[at + 1] << 8);

                if (unit == 0)
                    break;
                units[(*count)++] = unit;
            }
        } else if (node->Type == MEDIA_DEVICE_PATH && node->SubType == MEDIA_PIWG_FW_FILE_DP &&
                   size >= sizeof *node + sizeof(EFI_GUID)) {
            file = (const EFI_GUID *)(const void *)data;
        }
        node = (const EFI_DEVICE_PATH_PROTOCOL *)((const uint8_t *)node + size);
    }
    return file;
}

static bool volume_name(EFI_HANDLE handle, const EFI_GUID *file, struct agent_module *out)
{
    EFI_FIRMWARE_VOLUME2_PROTOCOL *volume = NULL;
    void *buffer = NULL;
    UINTN size = 0;
    uint32_t authentication;
    char name[sizeof out->path];
    size_t units;

    if (!handle ||
        EFI_ERROR(agent.services->HandleProtocol(handle, &volume_guid, (void **)&volume)) ||
        EFI_ERROR(volume->ReadSection(volume, file, EFI_SECTION_USER_INTERFACE, 0, &buffer, &size,
                                      &authentication)))
        return false;
    units = kda_text_length16(buffer, size / 2);
    kda_text_to_utf8(buffer, units, name, sizeof name);
    agent.services->FreePool(buffer);
    set_path(out, name, ".efi");
    return units > 0;
}

/* The DXE core has no device handle: any volume may have it. */
static bool any_volume_name(const EFI_GUID *file, struct agent_module *out)
{
    EFI_HANDLE handles[VOLUMES];
    UINTN size = sizeof handles;

    if (EFI_ERROR(agent.services->LocateHandle(ByProtocol, &volume_guid, NULL, &size, handles)))
        return false;
    for (UINTN i = 0; i < size / sizeof handles[0]; i++) {
        if (volume_name(handles[i], file, out))
            return true;
    }
    return false;
}

static char *put_hex(char *out, uint64_t value, unsigned digits)
{
    while (digits-- > 0)
        *out++ = "0123456789ABCDEF"[value >> 4 * digits & 0xF];
    return out;
}

static void guid_name(const EFI_GUID *guid, struct agent_module *out)
{
    char text[40];
    char *end = put_hex(text, guid->Data1, 8);

    *end++ = '-';
    end = put_hex(end, guid->Data2, 4);
    *end++ = '-';
    end = put_hex(end, guid->Data3, 4);
    for (unsigned i = 0; i < 8; i++) {
        if (i == 0 || i == 2)
            *end++ = '-';
        end = put_hex(end, guid->Data4[i], 2);
    }
    *end = '\0';
    set_path(out, text, ".efi");
}

static void address_name(struct agent_module *out)
{
    char text[24] = "image_";

    *put_hex(text + 6, out->base, 16) = '\0';
    set_path(out, text, ".efi");
}

void agent_name_image(const EFI_LOADED_IMAGE_PROTOCOL *image, bool services,
                      struct agent_module *out)
{
    uint16_t units[PATH_UNITS];
    char path[3 * PATH_UNITS + 1];
    size_t count;
    const EFI_GUID *file = walk_path(image->FilePath, units, &count);
    struct kda_pe headers;

    out->base = (uint64_t)(uintptr_t)image->ImageBase;
    kda_text_to_utf8(units, count, path, sizeof path);
    if (image == agent.loaded)
        set_path(out, "\\kdagent.efi", "");
    else if (count > 0 && has_extension(path))
        set_path(out, path, "");
    else if (services && file &&
             (volume_name(image->DeviceHandle, file, out) || any_volume_name(file, out)))
        return;
    else if (kda_pe_read(&agent.machine, out->base, &headers) && headers.pdb[0])
        set_path(out, headers.pdb, ".efi");
    else if (count > 0)
        set_path(out, path, "");
    else if (file)
        guid_name(file, out);
    else
        address_name(out);
}
