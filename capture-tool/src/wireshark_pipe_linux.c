/* wireshark_pipe_linux.c - Wireshark's FIFOs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A watch, by state, and what moves it:
 *   ABSENT   nobody reads yet. The FIFO can be opened -> HELD
 *   HELD     it is kept open, so that its reader does not find its end before the recorder has
 *            opened it too. The reader goes -> GONE. HOLD_TIME later -> LOOKING
 *   LOOKING  opened and closed at each look, so that the recorder alone decides when it ends.
 *            Nobody reads -> GONE
 * In every state: Wireshark has ended without a word -> GONE. Its dumpcap may go on reading.
 */
#include "wireshark_pipe.h"

#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#define HOLD_TIME (5 * CLOCK_SECOND)
#define LOOK      10000 /* microseconds between two looks for a reader */

struct wireshark_pipe {
    const char *path; /* the caller's */
    int fd;
    enum { ABSENT, HELD, LOOKING, GONE } state;
    uint64_t held_since;
    pid_t wireshark;
};

static int open_writer(const char *path)
{
    return open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

struct wireshark_pipe *wireshark_pipe_open(const char *path, enum wireshark_pipe_use use,
                                           struct problem *problem)
{
    struct wireshark_pipe *pipe = calloc(1, sizeof *pipe);

    if (!pipe) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    pipe->path = path;
    pipe->wireshark = getppid();
    pipe->fd =
        use == WIRESHARK_READ ? open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) : open_writer(path);
    /* Nobody reads it yet: later calls try again. */
    if (pipe->fd < 0 && (use == WIRESHARK_READ || errno != ENXIO)) {
        problem_system(problem, (unsigned long)errno, "cannot open %s", path);
        free(pipe);
        return NULL;
    }
    if (use == WIRESHARK_WATCH && pipe->fd >= 0) {
        pipe->state = HELD;
        pipe->held_since = clock_monotonic();
    }
    return pipe;
}

void wireshark_pipe_close(struct wireshark_pipe *pipe)
{
    if (!pipe)
        return;
    if (pipe->fd >= 0)
        close(pipe->fd);
    free(pipe);
}

ptrdiff_t wireshark_pipe_read(struct wireshark_pipe *pipe, uint8_t *bytes, size_t size,
                              uint32_t milliseconds)
{
    struct pollfd state = {.fd = pipe->fd, .events = POLLIN};
    ssize_t got;

    if (poll(&state, 1, (int)milliseconds) <= 0)
        return 0;
    got = read(pipe->fd, bytes, size);
    if (got > 0)
        return got;
    return got == 0 || (errno != EAGAIN && errno != EINTR) ? -1 : 0;
}

bool wireshark_pipe_write(struct wireshark_pipe *pipe, const uint8_t *bytes, size_t size)
{
    if (pipe->fd < 0)
        pipe->fd = open_writer(pipe->path);
    /* What is shorter than PIPE_BUF goes out whole or not at all. */
    return pipe->fd >= 0 && write(pipe->fd, bytes, size) == (ssize_t)size;
}

static void hold(struct wireshark_pipe *pipe, uint64_t now)
{
    pipe->fd = open_writer(pipe->path);
    if (pipe->fd < 0) {
        if (errno != ENXIO)
            pipe->state = GONE;
        return;
    }
    pipe->state = HELD;
    pipe->held_since = now;
}

static void check_held(struct wireshark_pipe *pipe, uint64_t now)
{
    struct pollfd state = {.fd = pipe->fd};

    if (poll(&state, 1, 0) > 0 && (state.revents & POLLERR)) {
        pipe->state = GONE;
    } else if (now - pipe->held_since >= HOLD_TIME) {
        close(pipe->fd);
        pipe->fd = -1;
        pipe->state = LOOKING;
    }
}

static void look(struct wireshark_pipe *pipe)
{
    int fd = open_writer(pipe->path);

    if (fd < 0)
        pipe->state = GONE;
    else
        close(fd);
}

bool wireshark_pipe_has_reader(struct wireshark_pipe *pipe, uint64_t now)
{
    if (getppid() != pipe->wireshark)
        pipe->state = GONE;
    switch (pipe->state) {
    case ABSENT:
        hold(pipe, now);
        break;
    case HELD:
        check_held(pipe, now);
        break;
    case LOOKING:
        look(pipe);
        break;
    case GONE:
        break;
    }
    return pipe->state != GONE;
}

bool wireshark_pipe_await(struct wireshark_pipe *pipe, uint32_t milliseconds)
{
    uint64_t until = clock_monotonic() + milliseconds * CLOCK_MILLISECOND;

    while (wireshark_pipe_has_reader(pipe, clock_monotonic()) && pipe->state == ABSENT) {
        if (clock_monotonic() >= until)
            return false;
        usleep(LOOK);
    }
    return pipe->state == HELD;
}
