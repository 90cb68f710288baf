/* channel_windows_pipe.c - named pipes: connecting to one, and serving one.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A server has one instance of its pipe at a time: who comes while a program is connected is told
 * by the system that the pipe is busy. The next instance is made before the last one is closed, so
 * that the name never becomes free for somebody else, and what was written can still be read.
 */
#include "channel_windows.h"

#include <stdlib.h>

#include "pipe_windows.h"

/* --- pipe: */

static void explain_open(struct job *job, DWORD error)
{
    if (error == ERROR_FILE_NOT_FOUND)
        job_failed(job, false,
                   "there is no such pipe: the program or virtual machine that makes it does not "
                   "run, or gives it another name");
    else if (error == ERROR_PIPE_BUSY)
        job_failed(job, false, "the pipe is busy: another program is connected to it");
    else if (error == ERROR_ACCESS_DENIED)
        job_failed_system(job, false, error,
                          "not allowed; pipes of Hyper-V are for administrators, so run this from "
                          "an elevated prompt");
    else
        job_failed_system(job, false, error, "opening the pipe failed");
}

static void connect_run(struct job *job)
{
    wchar_t path[PIPE_PATH_SIZE];
    HANDLE handle;

    if (!pipe_path(job->place, path, &job->problem)) {
        job->failed = job->lasting = true;
        return;
    }
    /* The server learns who comes, and cannot act in the user's name. */
    handle =
        CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                    FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);
    if (handle == INVALID_HANDLE_VALUE) {
        explain_open(job, GetLastError());
        return;
    }
    job->handle = handle;
    if (GetFileType(handle) != FILE_TYPE_PIPE)
        job_failed(job, true, "this is not a pipe");
    else
        pipe_peer(handle, false, job->peer, sizeof job->peer);
}

static void connect_open(struct channel *channel)
{
    static const struct job_work work = {
        .run = connect_run, .finish = job_finish_handle, .discard = job_discard_handle};

    job_start(channel, &work);
}

const struct channel_kind channel_pipe = {.open = connect_open};

/* --- pipe-listen: */

struct listener {
    struct io io;
    struct channel_loop *loop;
    struct channel *channel; /* NULL: stopped, or its program taken over */
    HANDLE handle;
    bool waiting;   /* the port will give io back */
    bool connected; /* somebody has come and waits for channel_open */
};

static void listener_drop(struct listener *listener)
{
    listener->channel = NULL;
    if (listener->handle) {
        CancelIoEx(listener->handle, NULL);
        CloseHandle(listener->handle);
        listener->handle = NULL;
    }
    if (!listener->waiting)
        free(listener);
}

/* The program that has come becomes the connection. */
static void listener_take(struct channel *channel)
{
    struct listener *listener = channel->own;
    HANDLE handle = listener->handle;
    char peer[128];

    channel->own = NULL;
    listener->handle = NULL;
    listener_drop(listener);
    pipe_peer(handle, true, peer, sizeof peer);
    stream_open_handle(channel, &stream_handles, handle, peer);
}

static void listener_done(void *context, DWORD error, DWORD size)
{
    struct listener *listener = context;
    struct channel *channel = listener->channel;

    (void)size;
    listener->waiting = false;
    if (!channel) {
        free(listener);
        return;
    }
    /* Who has gone again may have left something to read. */
    if (error == ERROR_SUCCESS || error == ERROR_NO_DATA || error == ERROR_PIPE_CONNECTED) {
        listener->connected = true;
        if (channel->state == CHANNEL_OPENING)
            listener_take(channel);
        return;
    }
    channel->own = NULL;
    listener_drop(listener);
    if (channel->state == CHANNEL_OPENING)
        channel_failed_system(channel, false, error, "waiting for a program failed");
}

static void wait_for_client(struct listener *listener)
{
    DWORD error;
    bool ok;

    io_begin(listener->loop, &listener->io);
    ok = ConnectNamedPipe(listener->handle, &listener->io.overlapped);
    if (io_started(listener->loop, &listener->io, ok, false) == IO_PENDING) {
        listener->waiting = true;
        return;
    }
    error = GetLastError();
    if (error == ERROR_PIPE_CONNECTED || error == ERROR_NO_DATA) {
        listener->connected = true;
    } else {
        /* To be told as if it had been waited for. */
        io_begin(listener->loop, &listener->io);
        listener->waiting = true;
        io_post(listener->loop, &listener->io, error, 0);
    }
}

/* Makes an instance and waits for a client. False, with a problem. */
static bool listen_on(struct channel *channel, bool first, wchar_t path[PIPE_PATH_SIZE],
                      struct problem *problem)
{
    struct listener *listener;
    HANDLE handle;

    if (!pipe_path(channel->end->place, path, problem))
        return false;
    handle = pipe_make(path, PIPE_ACCESS_DUPLEX, first, problem);
    if (handle == INVALID_HANDLE_VALUE)
        return false;
    listener = calloc(1, sizeof *listener);
    if (!listener || !loop_adopt(channel->loop, handle)) {
        problem_system(problem, listener ? GetLastError() : ERROR_OUTOFMEMORY, "pipe");
        CloseHandle(handle);
        free(listener);
        return false;
    }
    listener->io = (struct io){.done = listener_done, .context = listener};
    listener->loop = channel->loop;
    listener->channel = channel;
    listener->handle = handle;
    channel->own = listener;
    wait_for_client(listener);
    return true;
}

static void listen_open(struct channel *channel)
{
    struct listener *listener = channel->own;
    wchar_t path[PIPE_PATH_SIZE];
    struct problem problem;
    char text[PIPE_PATH_SIZE * 3];

    if (!listener) {
        if (!listen_on(channel, true, path, &problem)) {
            channel_failed(channel, false, "%s", problem.text);
            return;
        }
        WideCharToMultiByte(CP_UTF8, 0, path, -1, text, sizeof text, NULL, NULL);
        channel->events->listening(channel->context, text);
        listener = channel->own;
    }
    if (channel->state == CHANNEL_OPENING && listener->connected)
        listener_take(channel);
}

static void listen_gone(struct channel *channel)
{
    wchar_t path[PIPE_PATH_SIZE];
    struct problem problem;

    /* If this fails, the next channel_open tries again and says so. */
    if (!channel->own)
        listen_on(channel, false, path, &problem);
}

static void listen_stop(struct channel *channel)
{
    if (channel->own)
        listener_drop(channel->own);
    channel->own = NULL;
}

const struct channel_kind channel_pipe_listen = {
    .open = listen_open, .gone = listen_gone, .stop = listen_stop};
