/* live_linux.c - the FIFO of a live reader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A FIFO can be opened for writing, without waiting, only while somebody has it open for reading.
 * States: NOBODY, READER (descriptor open), DROPPED (descriptor still open: the reader is to find
 * the end of the file only after it has read what is in the pipe), LEAVING (closed, and it has to
 * be seen once that nobody has the FIFO open, or the same reader would get a second head in the
 * middle of a block).
 */
#include "live.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

struct live_port {
    const char *path;
    bool made;
    bool standard_output;
    enum live_state { NOBODY, READER, DROPPED, LEAVING } state;
    int fd;
    int closes; /* DROPPED, LEAVING: tells when a reader closes the FIFO; -1: not needed */
};

static bool prepare(struct live_port *port, bool make, struct problem *problem)
{
    struct stat status;

    if (strcmp(port->path, "-") == 0) {
        port->standard_output = true;
        return true;
    }
    if (stat(port->path, &status) == 0) {
        if (S_ISFIFO(status.st_mode))
            return true;
        problem_set(problem, "%s: it is not a FIFO; choose another name, or -w to write a file",
                    port->path);
        return false;
    }
    if (!make) {
        problem_system(problem, (unsigned long)errno, "%s", port->path);
        return false;
    }
    if (mkfifo(port->path, S_IRUSR | S_IWUSR) < 0) {
        problem_system(problem, (unsigned long)errno, "%s: cannot make the FIFO", port->path);
        return false;
    }
    port->made = true;
    return true;
}

struct live_port *live_port_new(const char *path, bool make, struct problem *problem)
{
    struct live_port *port = calloc(1, sizeof *port);

    if (!port) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    port->path = path;
    port->fd = -1;
    port->closes = -1;
    if (!prepare(port, make, problem)) {
        free(port);
        return NULL;
    }
    return port;
}

static void close_port(struct live_port *port, enum live_state state)
{
    if (port->fd >= 0)
        close(port->fd);
    port->fd = -1;
    if (port->closes >= 0 && state == NOBODY) {
        close(port->closes);
        port->closes = -1;
    }
    port->state = state;
}

void live_port_free(struct live_port *port)
{
    close_port(port, NOBODY);
    if (port->made)
        unlink(port->path);
    free(port);
}

/* Whether the reader that was dropped has gone, or has read all there is for it. */
static bool has_finished(int fd)
{
    struct pollfd state = {.fd = fd, .events = POLLOUT};
    int waiting = 0;

    poll(&state, 1, 0);
    return (state.revents & POLLERR) != 0 || (ioctl(fd, FIONREAD, &waiting) == 0 && waiting == 0);
}

/* Whether the reader that was dropped has closed the FIFO. */
static bool has_left(const struct live_port *port)
{
    char events[256];

    return port->closes >= 0 && read(port->closes, events, sizeof events) > 0;
}

static int open_port(const struct live_port *port)
{
    if (port->standard_output) {
        int fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

        if (fd >= 0)
            fcntl(fd, F_SETFL, O_NONBLOCK);
        return fd;
    }
    return open(port->path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
}

bool live_port_connect(struct live_port *port)
{
    int fd;

    if (port->state == DROPPED && has_finished(port->fd))
        close_port(port, LEAVING);
    if (port->state == DROPPED || (port->state == LEAVING && port->standard_output))
        return false;
    if (port->state == LEAVING && has_left(port))
        close_port(port, NOBODY);
    fd = open_port(port);
    if (fd < 0) {
        close_port(port, NOBODY);
        return false;
    }
    port->fd = fd;
    if (port->state == LEAVING) {
        close_port(port, LEAVING);
        return false;
    }
    port->state = READER;
    return true;
}

ptrdiff_t live_port_write(struct live_port *port, const uint8_t *bytes, size_t size)
{
    ssize_t written = write(port->fd, bytes, size);

    if (written > 0)
        return written;
    if (written == 0 || errno == EAGAIN || errno == EINTR)
        return 0;
    close_port(port, port->standard_output ? LEAVING : NOBODY);
    return -1;
}

void live_port_drop(struct live_port *port)
{
    port->state = DROPPED;
    if (port->standard_output)
        return;
    port->closes = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (port->closes >= 0)
        inotify_add_watch(port->closes, port->path, IN_CLOSE_NOWRITE);
}
