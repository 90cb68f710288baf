/* process_linux.c - process.h by POSIX.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "process.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHUNK 4096u

/* One of the program's two output streams, as it comes in. */
struct stream {
    int fd; /* -1 once it has ended */
    char *text;
    size_t size;
    size_t room;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static bool make_room(struct stream *stream)
{
    char *text;

    if (stream->room - stream->size > CHUNK)
        return true;
    text = realloc(stream->text, stream->room + 16 * CHUNK);
    if (!text)
        return false;
    stream->text = text;
    stream->room += 16 * CHUNK;
    return true;
}

static void read_some(struct stream *stream)
{
    char dropped[CHUNK];
    bool full = stream->size >= PROCESS_OUTPUT_MAX || !make_room(stream);
    ssize_t got = read(stream->fd, full ? dropped : stream->text + stream->size, CHUNK);

    if (got > 0 && !full)
        stream->size += (size_t)got;
    else if (got == 0 || (got < 0 && errno != EINTR && errno != EAGAIN))
        close_fd(&stream->fd);
}

/* Reads both streams to their ends. False when that takes too long. */
static bool read_all(struct stream streams[2], uint64_t until)
{
    while (streams[0].fd >= 0 || streams[1].fd >= 0) {
        struct pollfd fds[2] = {{.fd = streams[0].fd, .events = POLLIN},
                                {.fd = streams[1].fd, .events = POLLIN}};
        uint64_t now = clock_monotonic();
        int left = now < until ? (int)((until - now) / CLOCK_MILLISECOND) + 1 : 0;

        if (left == 0)
            return false;
        if (poll(fds, 2, left) < 0 && errno != EINTR)
            return false;
        for (size_t i = 0; i < 2; i++)
            if (streams[i].fd >= 0 && fds[i].revents)
                read_some(&streams[i]);
    }
    return true;
}

/* False when it still runs at that time. */
static bool wait_for(pid_t pid, uint64_t until, int *status)
{
    while (waitpid(pid, status, WNOHANG) == 0) {
        if (clock_monotonic() >= until)
            return false;
        usleep(1000);
    }
    return true;
}

static int spawn(const char *const *arguments, const int outputs[2], pid_t *pid)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    sigset_t defaults;
    int error;

    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    posix_spawnattr_setsigdefault(&attributes, &defaults);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, outputs[0], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, outputs[1], STDERR_FILENO);
    error =
        posix_spawn(pid, arguments[0], &actions, &attributes, (char *const *)arguments, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return error;
}

/* What it wrote, and how it ended. */
static bool collect(pid_t pid, struct stream streams[2], uint64_t until, int *status)
{
    bool ended = read_all(streams, until) && wait_for(pid, until, status);

    if (!ended) {
        kill(pid, SIGKILL);
        waitpid(pid, status, 0);
    }
    return ended;
}

static bool take_texts(struct process_result *result, struct stream streams[2])
{
    for (size_t i = 0; i < 2; i++) {
        if (!make_room(&streams[i]))
            return false;
        streams[i].text[streams[i].size] = '\0';
    }
    result->output = streams[0].text;
    result->errors = streams[1].text;
    return true;
}

bool process_run(const char *const *arguments, uint32_t milliseconds, struct process_result *result,
                 struct problem *problem)
{
    uint64_t until = clock_monotonic() + milliseconds * CLOCK_MILLISECOND;
    int ends[2][2] = {{-1, -1}, {-1, -1}};
    struct stream streams[2] = {{.fd = -1}, {.fd = -1}};
    bool fine = false;
    int error = 0, status = 0;
    pid_t pid;

    if (pipe2(ends[0], O_CLOEXEC) < 0 || pipe2(ends[1], O_CLOEXEC) < 0)
        error = errno;
    if (!error)
        error = spawn(arguments, (const int[]){ends[0][1], ends[1][1]}, &pid);
    for (size_t i = 0; i < 2; i++) {
        close_fd(&ends[i][1]);
        streams[i].fd = ends[i][0];
    }
    if (error)
        problem_system(problem, (unsigned long)error, "cannot run %s", arguments[0]);
    else if (!collect(pid, streams, until, &status))
        problem_set(problem, "%s did not end within %u seconds and was stopped", arguments[0],
                    milliseconds / 1000);
    else if (!take_texts(result, streams))
        problem_set(problem, "out of memory");
    else
        fine = true;
    for (size_t i = 0; i < 2; i++) {
        close_fd(&streams[i].fd);
        if (!fine)
            free(streams[i].text);
    }
    if (fine)
        result->status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
    return fine;
}

void process_result_clear(struct process_result *result)
{
    free(result->output);
    free(result->errors);
    *result = (struct process_result){0};
}

static bool is_program(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode) && access(path, X_OK) == 0;
}

bool process_find(const char *name, char *path, size_t room)
{
    const char *at = getenv("PATH");

    if (strchr(name, '/')) {
        int length = snprintf(path, room, "%s", name);

        return length >= 0 && (size_t)length < room && is_program(path);
    }
    while (at && *at) {
        size_t size = strcspn(at, ":");
        int length = snprintf(path, room, "%.*s/%s", (int)size, at, name);

        if (at[0] == '/' && length >= 0 && (size_t)length < room && is_program(path))
            return true;
        at += size + (at[size] == ':');
    }
    return false;
}

bool process_own_path(char *path, size_t room, struct problem *problem)
{
    ssize_t size = readlink("/proc/self/exe", path, room);

    if (size < 0 || (size_t)size >= room) {
        problem_system(problem, size < 0 ? (unsigned long)errno : ENAMETOOLONG,
                       "cannot tell where this program is (/proc/self/exe)");
        return false;
    }
    path[size] = '\0';
    return true;
}
