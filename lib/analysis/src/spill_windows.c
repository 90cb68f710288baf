/* spill_windows.c - see spill.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "spill.h"

#include <stdlib.h>

#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#define PIECE (1u << 20)

struct spill {
    HANDLE file;
};

struct spill *spill_open(void)
{
    struct spill *spill = malloc(sizeof *spill);
    wchar_t folder[MAX_PATH + 1], path[MAX_PATH + 1];

    if (!spill || !GetTempPathW(MAX_PATH + 1, folder) ||
        !GetTempFileNameW(folder, L"kdl", 0, path)) {
        free(spill);
        return NULL;
    }
    spill->file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                              FILE_ATTRIBUTE_TEMPORARY | FILE_FLAG_DELETE_ON_CLOSE, NULL);
    if (spill->file == INVALID_HANDLE_VALUE) {
        DeleteFileW(path);
        free(spill);
        return NULL;
    }
    return spill;
}

void spill_close(struct spill *spill)
{
    if (spill)
        CloseHandle(spill->file);
    free(spill);
}

static OVERLAPPED place(uint64_t at)
{
    OVERLAPPED overlapped = {0};

    overlapped.Offset = (DWORD)at;
    overlapped.OffsetHigh = (DWORD)(at >> 32);
    return overlapped;
}

bool spill_write(struct spill *spill, uint64_t at, const uint8_t *bytes, size_t size)
{
    while (size) {
        OVERLAPPED overlapped = place(at);
        DWORD done, piece = size < PIECE ? (DWORD)size : PIECE;

        if (!WriteFile(spill->file, bytes, piece, &done, &overlapped) || done == 0)
            return false;
        bytes += done;
        at += done;
        size -= done;
    }
    return true;
}

bool spill_read(struct spill *spill, uint64_t at, uint8_t *out, size_t size)
{
    while (size) {
        OVERLAPPED overlapped = place(at);
        DWORD done, piece = size < PIECE ? (DWORD)size : PIECE;

        if (!ReadFile(spill->file, out, piece, &done, &overlapped) || done == 0)
            return false;
        out += done;
        at += done;
        size -= done;
    }
    return true;
}
