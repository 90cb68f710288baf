/* viewer_linux.c - Wireshark on a FIFO in a folder of its own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "viewer.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct viewer {
    char folder[256];
    char path[300];
};

struct viewer *viewer_new(struct problem *problem)
{
    const char *base = getenv("XDG_RUNTIME_DIR");
    struct viewer *viewer = calloc(1, sizeof *viewer);

    if (!viewer) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    if (!base || !*base)
        base = getenv("TMPDIR");
    if (!base || !*base)
        base = "/tmp";
    snprintf(viewer->folder, sizeof viewer->folder, "%s/kdlens.XXXXXX", base);
    if (!mkdtemp(viewer->folder)) {
        problem_system(problem, (unsigned long)errno, "%s", viewer->folder);
        free(viewer);
        return NULL;
    }
    snprintf(viewer->path, sizeof viewer->path, "%s/live", viewer->folder);
    return viewer;
}

const char *viewer_path(const struct viewer *viewer)
{
    return viewer->path;
}

/* In the child: only what may be called after a fork of a program with threads. */
static void become(const char *program, const char *path, int report)
{
    sigset_t none;
    int error;
    ssize_t written;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    execlp(program, program, "-k", "-i", path, (char *)NULL);
    error = errno;
    written = write(report, &error, sizeof error);
    _exit(written == (ssize_t)sizeof error ? 127 : 126);
}

bool viewer_start(struct viewer *viewer, struct problem *problem)
{
    const char *program = getenv("KDLENS_WIRESHARK");
    int report[2], error = 0;
    pid_t child;

    if (!program || !*program)
        program = "wireshark";
    if (pipe2(report, O_CLOEXEC) < 0) {
        problem_system(problem, (unsigned long)errno, "pipe");
        return false;
    }
    /* Twice, so that nobody has to wait for it. */
    child = fork();
    if (child == 0) {
        if (fork() == 0)
            become(program, viewer->path, report[1]);
        _exit(0);
    }
    close(report[1]);
    if (child > 0) {
        ssize_t size = read(report[0], &error, sizeof error);

        if (size != (ssize_t)sizeof error)
            error = 0;
        waitpid(child, NULL, 0);
    } else {
        error = errno;
    }
    close(report[0]);
    if (error)
        problem_system(problem, (unsigned long)error, "%s cannot be started", program);
    return error == 0;
}

void viewer_free(struct viewer *viewer)
{
    if (!viewer)
        return;
    unlink(viewer->path);
    rmdir(viewer->folder);
    free(viewer);
}
