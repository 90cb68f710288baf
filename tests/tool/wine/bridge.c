/* bridge.c - a named pipe on standard input and output, for tests that run on Linux.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   bridge serve NAME     makes \\.\pipe\NAME and waits for one client
 *   bridge connect NAME   connects, waiting for the pipe to be there and free
 *   bridge read NAME      connects to a pipe that can only be read
 *   bridge messages NAME  connects; each message read goes out as its size (4 bytes, little-endian)
 *                         and its bytes
 *
 * Says "ready" on standard error when the pipe is made, "connected" when it is connected. The end
 * of standard input closes the pipe; the other program closing it ends this one, with status 0.
 */
#define WIN32_LEAN_AND_MEAN
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <windows.h>

#define CHUNK   65536u
#define TRIES   600 /* of 50 ms */
#define MESSAGE 4u

static BYTE chunk_in[CHUNK], chunk_out[MESSAGE + CHUNK];

static void say(const char *text)
{
    fprintf(stderr, "%s\n", text);
    fflush(stderr);
}

static int fail(const char *what)
{
    fprintf(stderr, "%s: error %lu\n", what, GetLastError());
    return 1;
}

/* One operation on a pipe that is overlapped, to its end. */
static bool finish(HANDLE pipe, OVERLAPPED *overlapped, bool ok, DWORD *size)
{
    if (!ok && GetLastError() != ERROR_IO_PENDING)
        return false;
    return GetOverlappedResult(pipe, overlapped, size, TRUE);
}

/* Standard input to the pipe. */
static DWORD WINAPI write_pipe(void *context)
{
    HANDLE pipe = context, input = GetStdHandle(STD_INPUT_HANDLE);
    OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    DWORD size, written;

    while (ReadFile(input, chunk_in, CHUNK, &size, NULL) && size > 0)
        for (DWORD at = 0; at < size; at += written)
            if (!finish(pipe, &overlapped,
                        WriteFile(pipe, chunk_in + at, size - at, NULL, &overlapped), &written))
                return 0;
    CloseHandle(pipe);
    ExitProcess(0);
}

/* The pipe to standard output. */
static int read_pipe(HANDLE pipe, bool messages)
{
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);
    OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    DWORD size, written, head = messages ? MESSAGE : 0;

    while (finish(pipe, &overlapped, ReadFile(pipe, chunk_out + MESSAGE, CHUNK, NULL, &overlapped),
                  &size)) {
        memcpy(chunk_out, &size, MESSAGE);
        for (DWORD at = 0; at < head + size; at += written)
            if (!WriteFile(output, chunk_out + MESSAGE - head + at, head + size - at, &written,
                           NULL))
                return fail("standard output");
    }
    if (GetLastError() != ERROR_BROKEN_PIPE && GetLastError() != ERROR_INVALID_HANDLE)
        return fail("reading the pipe");
    say("closed");
    return 0;
}

static HANDLE serve(const char *path)
{
    OVERLAPPED overlapped = {.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL)};
    DWORD size;
    HANDLE pipe = CreateNamedPipeA(path, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                                   PIPE_TYPE_BYTE | PIPE_WAIT, 1, CHUNK, CHUNK, 0, NULL);

    if (pipe == INVALID_HANDLE_VALUE)
        return pipe;
    say("ready");
    if (!finish(pipe, &overlapped, ConnectNamedPipe(pipe, &overlapped), &size) &&
        GetLastError() != ERROR_PIPE_CONNECTED)
        return INVALID_HANDLE_VALUE;
    return pipe;
}

static HANDLE connect_to(const char *path, DWORD access)
{
    HANDLE pipe = INVALID_HANDLE_VALUE;

    for (int i = 0; i < TRIES && pipe == INVALID_HANDLE_VALUE; i++) {
        pipe = CreateFileA(path, access, 0, NULL, OPEN_EXISTING, FILE_FLAG_OVERLAPPED, NULL);
        if (pipe == INVALID_HANDLE_VALUE && GetLastError() != ERROR_FILE_NOT_FOUND &&
            GetLastError() != ERROR_PIPE_BUSY)
            break;
        if (pipe == INVALID_HANDLE_VALUE)
            Sleep(50);
    }
    return pipe;
}

int main(int argc, char **argv)
{
    bool messages = argc == 3 && strcmp(argv[1], "messages") == 0;
    bool read_only = argc == 3 && strcmp(argv[1], "read") == 0;
    DWORD mode = PIPE_READMODE_MESSAGE;
    char path[256];
    HANDLE pipe;

    if (argc != 3)
        return 2;
    snprintf(path, sizeof path, "\\\\.\\pipe\\%s", argv[2]);
    if (strcmp(argv[1], "serve") == 0)
        pipe = serve(path);
    else
        pipe = connect_to(path, read_only ? GENERIC_READ : GENERIC_READ | GENERIC_WRITE);
    if (pipe == INVALID_HANDLE_VALUE)
        return fail(path);
    if (messages && !SetNamedPipeHandleState(pipe, &mode, NULL, NULL))
        return fail("message mode");
    say("connected");
    if (!read_only)
        CreateThread(NULL, 0, write_pipe, pipe, 0, NULL);
    return read_pipe(pipe, messages);
}
