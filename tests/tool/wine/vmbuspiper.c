/* vmbuspiper.c - a test double of Hyper-V's vmbuspiper.dll: a channel offered is a named pipe.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * An offer to machine GUID becomes \\.\pipe\vmbus.GUID, on which messages keep their bounds for the
 * side that plays the agent. The offer must be what the agent's driver looks for. Machines that
 * begin with these numbers behave in a special way: dead0005  the offer is refused with
 * ERROR_ACCESS_DENIED dead0002  there is no such machine
 */
#define WIN32_LEAN_AND_MEAN
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define OFFER_SIZE 172
#define BUFFER     65536

/* Offsets in an offer. */
enum { AT_MACHINE = 0, AT_LATENCY = 0x10, AT_TYPE = 0x14, AT_INSTANCE = 0x24, AT_REVISION = 0x34 };

static const BYTE type[16] = {0xae, 0xfb, 0x7d, 0xa6, 0x97, 0x78, 0xad, 0x42,
                              0x9d, 0x10, 0xd9, 0x61, 0x56, 0xb3, 0x69, 0x58};
static const BYTE instance[16] = {0x50, 0xe4, 0x7f, 0x9c, 0xfc, 0x67, 0xaa, 0x41,
                                  0x97, 0x32, 0x8d, 0x4c, 0x3e, 0xd9, 0x3d, 0xb4};

static HANDLE refuse(DWORD error)
{
    SetLastError(error);
    return INVALID_HANDLE_VALUE;
}

static int is_zero(const BYTE *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        if (bytes[i])
            return 0;
    return 1;
}

__declspec(dllexport) HANDLE WINAPI
    VmbusPipeServerOfferChannel(const BYTE *offer, DWORD open_mode, DWORD pipe_mode)
{
    char path[128];
    GUID id;

    memcpy(&id, offer + AT_MACHINE, sizeof id);
    if (open_mode != FILE_FLAG_OVERLAPPED || pipe_mode != 0 ||
        memcmp(offer + AT_TYPE, type, sizeof type) != 0 ||
        memcmp(offer + AT_INSTANCE, instance, sizeof instance) != 0 ||
        !is_zero(offer + AT_LATENCY, 4) || !is_zero(offer + AT_REVISION, OFFER_SIZE - AT_REVISION))
        return refuse(ERROR_BAD_ARGUMENTS);
    if (id.Data1 == 0xdead0005)
        return refuse(ERROR_ACCESS_DENIED);
    if (id.Data1 == 0xdead0002)
        return refuse(ERROR_FILE_NOT_FOUND);
    snprintf(path, sizeof path,
             "\\\\.\\pipe\\vmbus.%08lx-%04x-%04x-%02x%02x-%02x%02x%02x%02x%02x%02x", id.Data1,
             id.Data2, id.Data3, id.Data4[0], id.Data4[1], id.Data4[2], id.Data4[3], id.Data4[4],
             id.Data4[5], id.Data4[6], id.Data4[7]);
    return CreateNamedPipeA(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                            PIPE_TYPE_MESSAGE | PIPE_READMODE_BYTE | PIPE_WAIT, 4, BUFFER, BUFFER,
                            0, NULL);
}

__declspec(dllexport) BOOL WINAPI VmbusPipeServerConnectPipe(HANDLE pipe, OVERLAPPED *overlapped)
{
    return ConnectNamedPipe(pipe, overlapped);
}
