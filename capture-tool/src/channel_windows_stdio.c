/* channel_windows_stdio.c - this program's standard input and output, and those of a command.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Standard handles need not be overlapped ones, so each direction has a thread that reads or writes
 * for the stream and reports to the port. A command gets two pipes, of which our ends are
 * overlapped.
 */
#include "channel_windows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "clock.h"
#include "pipe_windows.h"

/* --- stdio: */

/* Does what the stream asks, one operation at a time. */
struct worker {
    struct thread thread;
    struct channel_loop *loop;
    struct io *io;
    HANDLE file;
    HANDLE wanted; /* an event: there is something to do */
    uint8_t *bytes;
    DWORD size;
    bool writes;
    bool started;
    atomic_bool stop;
};

struct stdio {
    struct worker reader, writer;
};

static void worker_run(void *context)
{
    struct worker *worker = context;

    for (;;) {
        DWORD done = 0;
        bool ok;

        WaitForSingleObject(worker->wanted, INFINITE);
        if (atomic_load(&worker->stop)) {
            if (worker->bytes)
                io_post(worker->loop, worker->io, ERROR_OPERATION_ABORTED, 0);
            return;
        }
        if (worker->writes)
            ok = WriteFile(worker->file, worker->bytes, worker->size, &done, NULL);
        else
            ok = ReadFile(worker->file, worker->bytes, worker->size, &done, NULL);
        worker->bytes = NULL;
        io_post(worker->loop, worker->io, ok ? ERROR_SUCCESS : GetLastError(), done);
    }
}

static bool worker_start(struct worker *worker, struct channel_loop *loop, struct io *io,
                         DWORD standard)
{
    worker->loop = loop;
    worker->io = io;
    worker->writes = standard == STD_OUTPUT_HANDLE;
    worker->file = GetStdHandle(standard);
    if (!worker->file || worker->file == INVALID_HANDLE_VALUE)
        return false;
    worker->wanted = CreateEventW(NULL, FALSE, FALSE, NULL);
    worker->started = worker->wanted && thread_start(&worker->thread, worker_run, worker);
    return worker->started;
}

static bool worker_ask(struct worker *worker, uint8_t *bytes, DWORD size)
{
    worker->bytes = bytes;
    worker->size = size;
    SetEvent(worker->wanted);
    SetLastError(ERROR_IO_PENDING);
    return false;
}

static void worker_stop(struct worker *worker)
{
    if (!worker->started)
        return;
    atomic_store(&worker->stop, true);
    SetEvent(worker->wanted);
    CancelSynchronousIo(worker->thread.handle);
}

static void worker_clear(struct worker *worker)
{
    if (worker->started)
        thread_join(&worker->thread);
    if (worker->wanted)
        CloseHandle(worker->wanted);
}

static bool stdio_read(struct stream *stream, uint8_t *bytes, DWORD size)
{
    struct stdio *stdio = stream->own;

    return worker_ask(&stdio->reader, bytes, size);
}

static bool stdio_write(struct stream *stream, const uint8_t *bytes, DWORD size)
{
    struct stdio *stdio = stream->own;

    /* WriteFile only reads it. */
    return worker_ask(&stdio->writer, (uint8_t *)(uintptr_t)bytes, size);
}

static void stdio_end(struct stream *stream)
{
    struct stdio *stdio = stream->own;

    CloseHandle(stdio->writer.file);
    SetStdHandle(STD_OUTPUT_HANDLE, NULL);
}

static void stdio_close(struct stream *stream)
{
    struct stdio *stdio = stream->own;

    worker_stop(&stdio->reader);
    worker_stop(&stdio->writer);
}

static void stdio_clear(struct stream *stream)
{
    struct stdio *stdio = stream->own;

    worker_clear(&stdio->reader);
    worker_clear(&stdio->writer);
    free(stdio);
}

static const struct stream_calls stdio_calls = {.read = stdio_read,
                                                .write = stdio_write,
                                                .end = stdio_end,
                                                .close = stdio_close,
                                                .clear = stdio_clear,
                                                .zero_ends = true};

static void stdio_open(struct channel *channel)
{
    struct stream *stream = stream_new(channel->loop, &stdio_calls);
    struct stdio *stdio = calloc(1, sizeof *stdio);

    if (!stream || !stdio) {
        free(stream);
        free(stdio);
        channel_failed(channel, true, "out of memory");
        return;
    }
    stream->own = stdio;
    if (!worker_start(&stdio->reader, channel->loop, &stream->read, STD_INPUT_HANDLE) ||
        !worker_start(&stdio->writer, channel->loop, &stream->write, STD_OUTPUT_HANDLE)) {
        stream_close(stream);
        channel_failed(channel, true, "standard input or output is closed");
        return;
    }
    channel_opened(channel, stream, "");
}

const struct channel_kind channel_stdio = {
    .open = stdio_open, .write_failed = "nobody reads the standard output any more"};

/* --- exec: */

/* It closes its output a moment before its exit status is there. */
#define COMMAND_PERIOD   (20 * CLOCK_MILLISECOND)
#define COMMAND_PATIENCE 25u

struct command {
    HANDLE process;
    HANDLE group;      /* what it starts in its turn ends with it */
    unsigned patience; /* how often to look for its exit status */
};

static void exec_end(struct stream *stream)
{
    if (stream->out.handle)
        CloseHandle(stream->out.handle);
    stream->out.handle = NULL;
}

static void exec_close(struct stream *stream)
{
    CancelIoEx(stream->in.handle, NULL);
    CloseHandle(stream->in.handle);
    if (stream->out.handle) {
        CancelIoEx(stream->out.handle, NULL);
        CloseHandle(stream->out.handle);
    }
}

static const struct stream_calls exec_calls = {
    .read = stream_handle_read, .write = stream_handle_write, .end = exec_end, .close = exec_close};

/* Our overlapped end of a pipe, and the command's end. access: ours. unique: for its name. */
static bool make_pipe(const void *unique, DWORD access, HANDLE *ours, HANDLE *theirs)
{
    SECURITY_ATTRIBUTES inherit = {.nLength = sizeof inherit, .bInheritHandle = TRUE};
    struct problem problem;
    wchar_t path[PIPE_PATH_SIZE];

    swprintf(path, PIPE_PATH_SIZE, L"\\\\.\\pipe\\kdlens-command-%lu-%p-%lu", GetCurrentProcessId(),
             unique, access);
    *ours = pipe_make(path, access, true, &problem);
    if (*ours == INVALID_HANDLE_VALUE) {
        *ours = NULL;
        return false;
    }
    *theirs = CreateFileW(path, access == PIPE_ACCESS_INBOUND ? GENERIC_WRITE : GENERIC_READ, 0,
                          &inherit, OPEN_EXISTING, 0, NULL);
    if (*theirs == INVALID_HANDLE_VALUE)
        *theirs = NULL;
    return *theirs != NULL;
}

static wchar_t *command_line(const char *command)
{
    static const wchar_t shell[] = L"cmd.exe /d /s /c \"";
    size_t head = sizeof shell / sizeof shell[0] - 1;
    int size = MultiByteToWideChar(CP_UTF8, 0, command, -1, NULL, 0);
    wchar_t *line = size > 0 ? malloc((head + (size_t)size + 1) * sizeof *line) : NULL;

    if (!line)
        return NULL;
    memcpy(line, shell, sizeof shell);
    MultiByteToWideChar(CP_UTF8, 0, command, -1, line + head, size);
    wcscat(line, L"\"");
    return line;
}

/* Its standard input and output, and our standard error; no other handle. */
static bool create(wchar_t *line, HANDLE handles[3], PROCESS_INFORMATION *process)
{
    STARTUPINFOEXW startup = {.StartupInfo = {.cb = sizeof startup,
                                              .dwFlags = STARTF_USESTDHANDLES,
                                              .hStdInput = handles[0],
                                              .hStdOutput = handles[1],
                                              .hStdError = handles[2]}};
    wchar_t shell[MAX_PATH];
    UINT length = GetSystemDirectoryW(shell, MAX_PATH);
    SIZE_T size = 0;
    bool fine;

    if (length == 0 || length + 9 > MAX_PATH)
        return false;
    wcscat(shell, L"\\cmd.exe");
    InitializeProcThreadAttributeList(NULL, 1, 0, &size);
    startup.lpAttributeList = malloc(size);
    if (!startup.lpAttributeList ||
        !InitializeProcThreadAttributeList(startup.lpAttributeList, 1, 0, &size)) {
        free(startup.lpAttributeList);
        return false;
    }
    /* A group of its own: Ctrl-C is for the tap, which ends the command then. */
    fine =
        UpdateProcThreadAttribute(startup.lpAttributeList, 0, PROC_THREAD_ATTRIBUTE_HANDLE_LIST,
                                  handles, (handles[2] ? 3 : 2) * sizeof *handles, NULL, NULL) &&
        CreateProcessW(shell, line, NULL, NULL, TRUE,
                       EXTENDED_STARTUPINFO_PRESENT | CREATE_NEW_PROCESS_GROUP | CREATE_SUSPENDED,
                       NULL, NULL, &startup.StartupInfo, process);
    DeleteProcThreadAttributeList(startup.lpAttributeList);
    free(startup.lpAttributeList);
    return fine;
}

static HANDLE make_group(HANDLE process)
{
    JOBOBJECT_EXTENDED_LIMIT_INFORMATION limits = {.BasicLimitInformation.LimitFlags =
                                                       JOB_OBJECT_LIMIT_KILL_ON_JOB_CLOSE};
    HANDLE group = CreateJobObjectW(NULL, NULL);

    if (group) {
        SetInformationJobObject(group, JobObjectExtendedLimitInformation, &limits, sizeof limits);
        AssignProcessToJobObject(group, process);
    }
    return group;
}

static bool start_command(const char *text, HANDLE handles[2], struct command *command,
                          DWORD *process_id)
{
    PROCESS_INFORMATION process;
    HANDLE given[3] = {handles[0], handles[1], NULL};
    HANDLE self = GetCurrentProcess(), standard_error = GetStdHandle(STD_ERROR_HANDLE);
    wchar_t *line = command_line(text);
    DWORD error = ERROR_OUTOFMEMORY;
    bool fine = false;

    if (standard_error && standard_error != INVALID_HANDLE_VALUE)
        DuplicateHandle(self, standard_error, self, &given[2], 0, TRUE, DUPLICATE_SAME_ACCESS);
    if (line) {
        fine = create(line, given, &process);
        error = GetLastError();
    }
    free(line);
    if (given[2])
        CloseHandle(given[2]);
    if (fine) {
        command->process = process.hProcess;
        command->group = make_group(process.hProcess);
        *process_id = process.dwProcessId;
        ResumeThread(process.hThread);
        CloseHandle(process.hThread);
    }
    SetLastError(error);
    return fine;
}

static void close_all(HANDLE *handles, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (handles[i])
            CloseHandle(handles[i]);
}

static void exec_open(struct channel *channel)
{
    struct stream *stream = stream_new(channel->loop, &exec_calls);
    struct command *command = calloc(1, sizeof *command);
    HANDLE ours[2] = {NULL, NULL}, theirs[2] = {NULL, NULL};
    DWORD id = 0, error;
    char peer[32];
    bool fine = stream && command &&
                make_pipe(command, PIPE_ACCESS_OUTBOUND, &ours[0], &theirs[0]) &&
                make_pipe(command, PIPE_ACCESS_INBOUND, &ours[1], &theirs[1]) &&
                loop_adopt(channel->loop, ours[0]) && loop_adopt(channel->loop, ours[1]) &&
                start_command(channel->end->place, theirs, command, &id);

    error = GetLastError();
    close_all(theirs, 2);
    if (!fine) {
        close_all(ours, 2);
        free(stream);
        free(command);
        channel_failed_system(channel, false, error, "cannot be started");
        return;
    }
    stream->out.handle = ours[0];
    stream->in.handle = ours[1];
    channel->own = command;
    snprintf(peer, sizeof peer, "process %lu", id);
    channel_opened(channel, stream, peer);
}

static void exec_gone(struct channel *channel)
{
    struct command *command = channel->own;

    channel->own = NULL;
    if (!command)
        return;
    if (command->group)
        CloseHandle(command->group);
    CloseHandle(command->process);
    free(command);
}

static void exec_step(struct channel *channel)
{
    struct command *command = channel->own;
    DWORD status;

    if (WaitForSingleObject(command->process, 0) == WAIT_OBJECT_0 &&
        GetExitCodeProcess(command->process, &status))
        channel_failed(channel, false, "the command ended, exit status %lu", status);
    else if (command->patience-- > 0)
        channel_step_at(channel, clock_monotonic() + COMMAND_PERIOD, exec_step);
    else
        channel_failed(channel, false, "the command closed its standard output");
}

static void exec_failed(struct channel *channel, DWORD error)
{
    struct command *command = channel->own;

    if (error != ERROR_BROKEN_PIPE) {
        channel_failed_system(channel, false, error, "reading from the command failed");
        return;
    }
    channel->state = CHANNEL_ENDED;
    command->patience = COMMAND_PATIENCE;
    exec_step(channel);
}

const struct channel_kind channel_exec = {
    .open = exec_open, .gone = exec_gone, .failed = exec_failed};
