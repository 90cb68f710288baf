/* channel_windows_job.c - work that may block, each in a thread of its own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A channel has one job at most. A job that its channel leaves is told to end and frees itself when
 * its thread has reported.
 */
#include "channel_windows.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void free_job(struct job *job)
{
    if (job->cancel)
        CloseHandle(job->cancel);
    free(job->place);
    free(job->port);
    free(job->library);
    free(job);
}

static void thread_run(void *context)
{
    struct job *job = context;

    job->run(job);
    io_post(job->loop, &job->io, ERROR_SUCCESS, 0);
}

/* In the loop. */
static void job_done(void *context, DWORD error, DWORD size)
{
    struct job *job = context;
    struct channel *channel = job->channel;

    (void)error;
    (void)size;
    thread_join(&job->thread);
    if (channel) {
        channel->job = NULL;
        if (job->failed) {
            if (job->discard)
                job->discard(job);
            channel_failed(channel, job->lasting, "%s", job->problem.text);
        } else {
            job->finish(channel, job);
        }
    } else if (job->discard) {
        job->discard(job);
    }
    free_job(job);
}

/* The ends are the channel's, which may go first. */
static bool copy_text(char **copy, const char *text)
{
    if (!text)
        return true;
    *copy = malloc(strlen(text) + 1);
    if (*copy)
        strcpy(*copy, text);
    return *copy != NULL;
}

void job_start(struct channel *channel, const struct job_work *work)
{
    struct job *job = calloc(1, sizeof *job);
    const struct end *end = channel->end;

    if (job) {
        job->io = (struct io){.done = job_done, .context = job};
        job->loop = channel->loop;
        job->channel = channel;
        job->run = work->run;
        job->finish = work->finish;
        job->discard = work->discard;
        job->handle = work->handle;
        job->call = work->call;
        job->socket = INVALID_SOCKET;
        job->baud = end->baud;
        job->cancel = CreateEventW(NULL, TRUE, FALSE, NULL);
    }
    if (!job || !job->cancel || !copy_text(&job->place, end->place) ||
        !copy_text(&job->port, end->port) || !copy_text(&job->library, end->library)) {
        if (job)
            free_job(job);
        if (work->handle)
            CloseHandle(work->handle);
        channel_failed(channel, false, "out of memory");
        return;
    }
    io_begin(channel->loop, &job->io);
    channel->job = job;
    if (!thread_start(&job->thread, thread_run, job)) {
        channel->loop->under_way--;
        channel->job = NULL;
        if (job->discard)
            job->discard(job);
        free_job(job);
        channel_failed(channel, false, "the system has no more threads");
    }
}

void job_leave(struct job *job)
{
    job->channel = NULL;
    SetEvent(job->cancel);
}

bool job_cancelled(const struct job *job)
{
    return WaitForSingleObject(job->cancel, 0) == WAIT_OBJECT_0;
}

void job_failed(struct job *job, bool lasting, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(job->problem.text, sizeof job->problem.text, format, arguments);
    va_end(arguments);
    job->failed = true;
    job->lasting = lasting;
}

void job_failed_system(struct job *job, bool lasting, DWORD error, const char *format, ...)
{
    char what[256];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    problem_system(&job->problem, error, "%s", what);
    job->failed = true;
    job->lasting = lasting;
}

void job_finish_handle(struct channel *channel, struct job *job)
{
    if (!loop_adopt(channel->loop, job->handle)) {
        DWORD error = GetLastError();

        CloseHandle(job->handle);
        channel_failed_system(channel, false, error, "cannot be waited for");
        return;
    }
    stream_open_handle(channel, &stream_handles, job->handle, job->peer);
}

void job_discard_handle(struct job *job)
{
    if (job->handle)
        CloseHandle(job->handle);
}
