/* wireshark_pipe_windows.c - Wireshark's named pipes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * There is no watch: Wireshark ends the program with TerminateProcess when the capture stops, and
 * its own end takes what it has started along.
 */
#include "wireshark_pipe.h"

#define WIN32_LEAN_AND_MEAN
#include <stdlib.h>
#include <windows.h>

#define PATH_UNITS 1024
#define LOOK       20u /* milliseconds between two looks for bytes */

struct wireshark_pipe {
    HANDLE handle; /* NULL: a watch */
};

struct wireshark_pipe *wireshark_pipe_open(const char *path, enum wireshark_pipe_use use,
                                           struct problem *problem)
{
    struct wireshark_pipe *pipe = calloc(1, sizeof *pipe);
    wchar_t wide[PATH_UNITS];

    if (!pipe || use == WIRESHARK_WATCH) {
        if (!pipe)
            problem_set(problem, "out of memory");
        return pipe;
    }
    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, path, -1, wide, PATH_UNITS) == 0)
        wide[0] = L'\0';
    pipe->handle = CreateFileW(wide, use == WIRESHARK_READ ? GENERIC_READ : GENERIC_WRITE, 0, NULL,
                               OPEN_EXISTING, 0, NULL);
    if (pipe->handle == INVALID_HANDLE_VALUE) {
        problem_system(problem, GetLastError(), "cannot open %s", path);
        free(pipe);
        return NULL;
    }
    return pipe;
}

void wireshark_pipe_close(struct wireshark_pipe *pipe)
{
    if (!pipe)
        return;
    if (pipe->handle)
        CloseHandle(pipe->handle);
    free(pipe);
}

ptrdiff_t wireshark_pipe_read(struct wireshark_pipe *pipe, uint8_t *bytes, size_t size,
                              uint32_t milliseconds)
{
    DWORD there = 0, got = 0;

    for (uint32_t waited = 0; there == 0; waited += LOOK) {
        if (!PeekNamedPipe(pipe->handle, NULL, 0, NULL, &there, NULL))
            return -1;
        if (there == 0 && waited >= milliseconds)
            return 0;
        if (there == 0)
            Sleep(LOOK);
    }
    if (there > size)
        there = (DWORD)size;
    return ReadFile(pipe->handle, bytes, there, &got, NULL) ? (ptrdiff_t)got : -1;
}

bool wireshark_pipe_write(struct wireshark_pipe *pipe, const uint8_t *bytes, size_t size)
{
    DWORD put = 0;

    return WriteFile(pipe->handle, bytes, (DWORD)size, &put, NULL) && put == size;
}

bool wireshark_pipe_has_reader(struct wireshark_pipe *pipe, uint64_t now)
{
    (void)pipe;
    (void)now;
    return true;
}

bool wireshark_pipe_await(struct wireshark_pipe *pipe, uint32_t milliseconds)
{
    (void)pipe;
    (void)milliseconds;
    return true;
}
