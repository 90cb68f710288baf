/* windowssockets.h - socket options that KDNET wants and Wine does not have.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The engine gives a socket up when it cannot have the options IP_RECEIVE_BROADCAST and its like of
 * IPv6 (both are 22 in ws2ipdef.h), which Wine refuses; it needs neither on a loopback. It loads
 * ws2_32.dll late, so its slot for setsockopt can be given another function before. Structures: PE
 * format, "Delay-Load Import Tables".
 */
#ifndef KDLENS_WINDOWSSOCKETS_H
#define KDLENS_WINDOWSSOCKETS_H

#include <windows.h>

#include <string.h>

#define LEVEL_IPV4         0
#define LEVEL_IPV6         41
#define RECEIVE_BROADCAST  22
#define ORDINAL_SETSOCKOPT 21 /* of ws2_32.dll */

typedef int(WINAPI *setsockopt_function)(UINT_PTR, int, int, const char *, int);

static setsockopt_function wine_setsockopt;

static int WINAPI forgiving_setsockopt(UINT_PTR handle, int level, int name, const char *value,
                                       int size)
{
    if (name == RECEIVE_BROADCAST && (level == LEVEL_IPV4 || level == LEVEL_IPV6))
        return 0;
    return wine_setsockopt(handle, level, name, value, size);
}

static int names_setsockopt(const char *image, const IMAGE_THUNK_DATA *name)
{
    const IMAGE_IMPORT_BY_NAME *by_name;

    if (IMAGE_SNAP_BY_ORDINAL(name->u1.Ordinal))
        return IMAGE_ORDINAL(name->u1.Ordinal) == ORDINAL_SETSOCKOPT;
    by_name = (const IMAGE_IMPORT_BY_NAME *)(image + name->u1.AddressOfData);
    return strcmp(by_name->Name, "setsockopt") == 0;
}

static void forgive_imports(char *image, const IMAGE_DELAYLOAD_DESCRIPTOR *table)
{
    IMAGE_THUNK_DATA *name = (IMAGE_THUNK_DATA *)(image + table->ImportNameTableRVA);
    IMAGE_THUNK_DATA *slot = (IMAGE_THUNK_DATA *)(image + table->ImportAddressTableRVA);
    DWORD before;

    for (; name->u1.AddressOfData != 0; name++, slot++) {
        if (!names_setsockopt(image, name) ||
            !VirtualProtect(slot, sizeof *slot, PAGE_READWRITE, &before))
            continue;
        slot->u1.Function = (ULONG_PTR)forgiving_setsockopt;
        VirtualProtect(slot, sizeof *slot, before, &before);
    }
}

/* For the engine, before it opens a socket. */
static void forgive_socket_options(HMODULE engine)
{
    char *image = (char *)engine;
    const IMAGE_NT_HEADERS *headers =
        (IMAGE_NT_HEADERS *)(image + ((IMAGE_DOS_HEADER *)image)->e_lfanew);
    const IMAGE_DATA_DIRECTORY *place =
        &headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT];
    const IMAGE_DELAYLOAD_DESCRIPTOR *table =
        (const IMAGE_DELAYLOAD_DESCRIPTOR *)(image + place->VirtualAddress);
    HMODULE sockets = LoadLibraryA("ws2_32.dll");

    if (place->VirtualAddress == 0 || !sockets)
        return;
    wine_setsockopt = (setsockopt_function)(void *)GetProcAddress(sockets, "setsockopt");
    for (; wine_setsockopt && table->DllNameRVA != 0; table++)
        if (_stricmp(image + table->DllNameRVA, "ws2_32.dll") == 0)
            forgive_imports(image, table);
}

#endif
