/* live_windows.c - the named pipe of a live reader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * "pipe:NAME" is served here, for Wireshark to connect to. A whole path (\\.\pipe\...) that exists
 * is one that Wireshark has made for an extcap program, and is connected to. Both are overlapped:
 * a chunk is copied and being written, or nothing is. Standard output need not be, so a thread
 * writes its chunks.
 *
 * States: NOBODY, READER. A reader that is dropped keeps its instance of the pipe, in which it can
 * read what was written; the next reader gets another one.
 */
#include "live.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "pipe_windows.h"
#include "thread.h"

#define CHUNK    65536u
#define FAREWELL 500u /* milliseconds for the last chunk of a reader that reads */

struct live_port {
    wchar_t path[PIPE_PATH_SIZE];
    bool server;
    bool reader;
    bool waiting; /* connecting, by connect */
    bool writing; /* a chunk, by write */
    HANDLE pipe;  /* NULL: none */
    OVERLAPPED connect, write;
    /* Standard output: its thread. Both events reset themselves. */
    struct thread thread;
    bool has_thread;
    HANDLE wanted, done;
    atomic_bool stop, failed;
    DWORD size;
    uint8_t chunk[CHUNK];
};

/* --- standard output */

static void write_chunks(void *context)
{
    struct live_port *port = context;
    HANDLE output = GetStdHandle(STD_OUTPUT_HANDLE);

    for (;;) {
        DWORD written;

        WaitForSingleObject(port->wanted, INFINITE);
        if (port->stop)
            return;
        if (!WriteFile(output, port->chunk, port->size, &written, NULL))
            port->failed = true;
        SetEvent(port->done);
    }
}

static bool start_thread(struct live_port *port)
{
    port->wanted = CreateEventW(NULL, FALSE, FALSE, NULL);
    port->done = CreateEventW(NULL, FALSE, FALSE, NULL);
    port->has_thread =
        port->wanted && port->done && thread_start(&port->thread, write_chunks, port);
    return port->has_thread;
}

/* --- pipes */

static bool over(const OVERLAPPED *operation)
{
    return WaitForSingleObject(operation->hEvent, 0) == WAIT_OBJECT_0;
}

/* Waits for a reader of a pipe served here. */
static void wait_for_reader(struct live_port *port)
{
    if (ConnectNamedPipe(port->pipe, &port->connect))
        return;
    if (GetLastError() == ERROR_IO_PENDING)
        port->waiting = true;
    else if (GetLastError() == ERROR_PIPE_CONNECTED)
        port->reader = true;
}

static void close_pipe(struct live_port *port)
{
    DWORD size;

    if (!port->pipe)
        return;
    CancelIoEx(port->pipe, NULL);
    if (port->waiting)
        GetOverlappedResult(port->pipe, &port->connect, &size, TRUE);
    if (port->writing)
        GetOverlappedResult(port->pipe, &port->write, &size, TRUE);
    CloseHandle(port->pipe);
    port->pipe = NULL;
    port->waiting = port->writing = port->reader = false;
}

/* The next instance, before this one is closed: the name stays ours. */
static void renew(struct live_port *port)
{
    struct problem problem;
    HANDLE next = port->server ? pipe_make(port->path, PIPE_ACCESS_OUTBOUND, false, &problem)
                               : INVALID_HANDLE_VALUE;

    close_pipe(port);
    if (next == INVALID_HANDLE_VALUE)
        return;
    port->pipe = next;
    wait_for_reader(port);
}

static bool connect_client(struct live_port *port)
{
    HANDLE pipe =
        CreateFileW(port->path, GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                    FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);

    if (pipe == INVALID_HANDLE_VALUE)
        return false;
    port->pipe = pipe;
    port->reader = true;
    return true;
}

static bool prepare(struct live_port *port, const char *path, bool make, struct problem *problem)
{
    bool named = strncmp(path, "pipe:", 5) == 0;

    if (strcmp(path, "-") == 0) {
        if (!start_thread(port))
            problem_set(problem, "the system has no more threads");
        return port->has_thread;
    }
    if (!named && strncmp(path, "\\\\", 2) != 0 && strncmp(path, "//", 2) != 0) {
        problem_set(problem, "%s: it is not a pipe; choose pipe:NAME, or -w to write a file", path);
        return false;
    }
    if (!pipe_path(named ? path + 5 : path, port->path, problem))
        return false;
    port->connect.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    port->write.hEvent = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!port->connect.hEvent || !port->write.hEvent) {
        problem_system(problem, GetLastError(), "no event");
        return false;
    }
    if (!named && (connect_client(port) || !make)) {
        if (!port->pipe)
            problem_system(problem, GetLastError(), "%s", path);
        return port->pipe != NULL;
    }
    port->server = true;
    port->pipe = pipe_make(port->path, PIPE_ACCESS_OUTBOUND, true, problem);
    if (port->pipe == INVALID_HANDLE_VALUE) {
        port->pipe = NULL;
        return false;
    }
    wait_for_reader(port);
    return true;
}

struct live_port *live_port_new(const char *path, bool make, struct problem *problem)
{
    struct live_port *port = calloc(1, sizeof *port);

    if (!port) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    if (!prepare(port, path, make, problem)) {
        live_port_free(port);
        return NULL;
    }
    return port;
}

static void stop_thread(struct live_port *port)
{
    if (port->writing && WaitForSingleObject(port->done, FAREWELL) == WAIT_OBJECT_0)
        port->writing = false;
    port->stop = true;
    SetEvent(port->wanted);
    if (port->writing)
        CancelSynchronousIo(port->thread.handle);
    thread_join(&port->thread);
}

void live_port_free(struct live_port *port)
{
    HANDLE events[4] = {port->connect.hEvent, port->write.hEvent, port->wanted, port->done};

    if (port->has_thread)
        stop_thread(port);
    if (port->writing && port->pipe)
        WaitForSingleObject(port->write.hEvent, FAREWELL);
    close_pipe(port);
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++)
        if (events[i])
            CloseHandle(events[i]);
    free(port);
}

/* --- what live.c asks */

bool live_port_connect(struct live_port *port)
{
    DWORD size;

    if (port->has_thread) {
        bool first = !port->reader && !port->failed;

        port->reader = first || port->reader;
        return first;
    }
    if (!port->pipe && port->server)
        renew(port);
    else if (!port->pipe)
        return connect_client(port);
    if (port->waiting && over(&port->connect)) {
        port->waiting = false;
        if (GetOverlappedResult(port->pipe, &port->connect, &size, FALSE))
            port->reader = true;
        else
            renew(port);
    }
    return port->reader;
}

/* Whether a chunk may be written; false in *fine when the reader has gone. */
static bool is_free(struct live_port *port, bool *fine)
{
    DWORD size;

    *fine = true;
    if (!port->writing)
        return true;
    if (port->has_thread ? WaitForSingleObject(port->done, 0) != WAIT_OBJECT_0
                         : !over(&port->write))
        return false;
    port->writing = false;
    *fine = port->has_thread ? !port->failed
                             : GetOverlappedResult(port->pipe, &port->write, &size, FALSE) != 0;
    return *fine;
}

static bool start_write(struct live_port *port, const uint8_t *bytes, DWORD size)
{
    memcpy(port->chunk, bytes, size);
    port->size = size;
    if (port->has_thread) {
        SetEvent(port->wanted);
        port->writing = true;
        return true;
    }
    if (WriteFile(port->pipe, port->chunk, size, NULL, &port->write))
        return true;
    port->writing = GetLastError() == ERROR_IO_PENDING;
    return port->writing;
}

ptrdiff_t live_port_write(struct live_port *port, const uint8_t *bytes, size_t size)
{
    DWORD part = size < CHUNK ? (DWORD)size : CHUNK;
    bool fine;

    if (!is_free(port, &fine) && fine)
        return 0;
    if (fine && start_write(port, bytes, part))
        return (ptrdiff_t)part;
    if (!port->has_thread)
        renew(port);
    return -1;
}

void live_port_drop(struct live_port *port)
{
    if (port->has_thread)
        port->failed = true;
    else
        renew(port);
}
