/* open_linux.c - opening each kind of end: sockets, pseudo terminals, serial lines, commands.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Sockets and links that are made here are removed here, and only what is proved to be left over
 * (a socket nobody listens on, a link that points nowhere) is ever replaced.
 */
#include "channel_linux.h"
#include "clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define CONNECT_LIMIT (5 * CLOCK_SECOND)
#define PTY_PERIOD    (50 * CLOCK_MILLISECOND)
#define BACKLOG       8

#define RESOLVE_PERIOD (5 * CLOCK_MILLISECOND)

/* A peer that is gone without a word is noticed after 10 s + 3 times 5 s. */
enum { KEEP_IDLE = 10, KEEP_INTERVAL = 5, KEEP_COUNT = 3 };

static void set_number(int fd, int level, int option, int value)
{
    setsockopt(fd, level, option, &value, sizeof value);
}

static void set_tcp(int fd)
{
    set_number(fd, IPPROTO_TCP, TCP_NODELAY, 1);
    set_number(fd, SOL_SOCKET, SO_KEEPALIVE, 1);
    set_number(fd, IPPROTO_TCP, TCP_KEEPIDLE, KEEP_IDLE);
    set_number(fd, IPPROTO_TCP, TCP_KEEPINTVL, KEEP_INTERVAL);
    set_number(fd, IPPROTO_TCP, TCP_KEEPCNT, KEEP_COUNT);
}

/* "127.0.0.1:5000", "[::1]:5000"; "pid 123" for a unix socket, if it is known. */
static void name_address(int fd, const struct sockaddr *address, socklen_t size, char *out,
                         size_t room)
{
    char host[INET6_ADDRSTRLEN + 20], port[8];
    struct ucred peer;
    socklen_t length = sizeof peer;

    out[0] = '\0';
    if (address->sa_family == AF_UNIX) {
        if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0 && peer.pid > 0)
            snprintf(out, room, "pid %ld", (long)peer.pid);
    } else if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                           NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(out, room, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
    }
}

static void opened_socket(struct channel *channel, int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char peer[80] = "";

    if (getpeername(fd, (struct sockaddr *)&address, &size) == 0)
        name_address(fd, (struct sockaddr *)&address, size, peer, sizeof peer);
    channel_opened(channel, fd, peer);
}

/* --- connecting */

static bool unix_address(struct channel *channel, struct sockaddr_un *address)
{
    const char *path = channel->end->place;

    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address->sun_path) {
        channel_failed(channel, true, "the path is longer than %zu bytes",
                       sizeof address->sun_path - 1);
        return false;
    }
    memcpy(address->sun_path, path, strlen(path));
    return true;
}

static void start_unix(struct channel *channel)
{
    struct sockaddr_un address;
    struct stat status;
    int fd;

    if (!unix_address(channel, &address))
        return;
    if (stat(channel->end->place, &status) == 0 && !S_ISSOCK(status.st_mode)) {
        channel_failed(channel, true, "it is not a socket");
        return;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) {
        int error = errno;

        if (fd >= 0)
            close(fd);
        channel_failed(channel, error == EACCES, "%s",
                       error == ENOENT ? "there is no such socket" : strerror(error));
        return;
    }
    opened_socket(channel, fd);
}

static void forget_addresses(struct channel *channel)
{
    resolver_free(channel->resolver);
    channel->resolver = NULL;
    if (channel->addresses)
        freeaddrinfo(channel->addresses);
    channel->addresses = NULL;
    channel->address = NULL;
}

static void no_address(struct channel *channel, int error)
{
    channel_failed(channel, error == EAI_SERVICE, "%s",
                   error == EAI_SYSTEM ? strerror(errno) : gai_strerror(error));
}

static void try_address(struct channel *channel);

static void next_address(struct channel *channel, int error)
{
    watch_close(channel->loop, &channel->stream);
    channel->address = channel->address->ai_next;
    if (channel->address) {
        try_address(channel);
        return;
    }
    forget_addresses(channel);
    channel_failed(channel, false, "%s", strerror(error));
}

/* The connection is made, has failed, or takes too long. */
static void connect_step(struct channel *channel)
{
    struct pollfd state = {.fd = channel->stream.fd, .events = POLLOUT};
    int error = 0, fd;
    socklen_t size = sizeof error;

    if (poll(&state, 1, 0) == 0) {
        if (clock_monotonic() >= channel->deadline)
            next_address(channel, ETIMEDOUT);
        return;
    }
    getsockopt(channel->stream.fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error) {
        next_address(channel, error);
        return;
    }
    forget_addresses(channel);
    watch_set(channel->loop, &channel->stream, 0);
    fd = channel->stream.fd;
    set_tcp(fd);
    opened_socket(channel, fd);
}

static void try_address(struct channel *channel)
{
    const struct addrinfo *address = channel->address;
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    channel->stream.fd = fd;
    if (fd < 0 ||
        (connect(fd, address->ai_addr, address->ai_addrlen) < 0 && errno != EINPROGRESS)) {
        next_address(channel, errno);
        return;
    }
    channel_step_at(channel, clock_monotonic() + CONNECT_LIMIT, connect_step);
    watch_set(channel->loop, &channel->stream, EPOLLOUT);
}

static void resolve_step(struct channel *channel)
{
    int error;

    if (!resolver_done(channel->resolver, &error, &channel->addresses)) {
        channel_step_at(channel, clock_monotonic() + RESOLVE_PERIOD, resolve_step);
        return;
    }
    resolver_free(channel->resolver);
    channel->resolver = NULL;
    channel->address = channel->addresses;
    if (error)
        no_address(channel, error);
    else
        try_address(channel);
}

static void start_tcp(struct channel *channel)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST};

    forget_addresses(channel);
    if (getaddrinfo(channel->end->place, channel->end->port, &hints, &channel->addresses) == 0) {
        channel->address = channel->addresses;
        try_address(channel);
        return;
    }
    channel->addresses = NULL;
    channel->resolver = resolver_start(channel->end->place, channel->end->port);
    if (channel->resolver)
        resolve_step(channel);
    else
        channel_failed(channel, false, "out of memory");
}

/* --- listening */

/* Removes a socket nobody listens on. False, with the event, when the name is taken. */
static bool clear_stale_socket(struct channel *channel, const struct sockaddr_un *address)
{
    struct stat status;
    int fd, error;

    if (lstat(channel->end->place, &status) < 0)
        return true;
    if (!S_ISSOCK(status.st_mode)) {
        channel_failed(channel, true,
                       "the name belongs to something that is not a socket; choose "
                       "another name or remove it");
        return false;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    error = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(fd);
    if (error == ECONNREFUSED && unlink(channel->end->place) == 0)
        return true;
    channel_failed(channel, true,
                   error == ECONNREFUSED ? "an old socket cannot be removed: %s"
                                         : "another program listens on it%.0s",
                   strerror(errno));
    return false;
}

static void listen_failed(struct channel *channel, int fd, int error)
{
    if (fd >= 0)
        close(fd);
    channel_failed(channel, true, "cannot listen: %s", strerror(error));
}

/* False when it has failed, with the event. */
static bool listen_unix(struct channel *channel)
{
    struct sockaddr_un address;
    struct stat status;
    int fd;

    if (!unix_address(channel, &address) || !clear_stale_socket(channel, &address))
        return false;
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    /* Before bind: the file must not be open to others for a moment. */
    if (fd < 0 || fchmod(fd, S_IRUSR | S_IWUSR) < 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, BACKLOG) < 0) {
        listen_failed(channel, fd, errno);
        return false;
    }
    if (stat(channel->end->place, &status) == 0) {
        channel->device = status.st_dev;
        channel->inode = status.st_ino;
        channel->made = true;
    }
    channel->listener.fd = fd;
    channel->events->listening(channel->context, channel->end->place);
    return true;
}

static bool listen_tcp(struct channel *channel)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct addrinfo *wanted;
    char name[80];
    int fd, error = getaddrinfo(channel->end->place, channel->end->port, &hints, &wanted);

    if (error) {
        no_address(channel, error);
        return false;
    }
    fd = socket(wanted->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        set_number(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    if (fd < 0 || bind(fd, wanted->ai_addr, wanted->ai_addrlen) < 0 || listen(fd, BACKLOG) < 0) {
        error = errno;
        freeaddrinfo(wanted);
        listen_failed(channel, fd, error);
        return false;
    }
    freeaddrinfo(wanted);
    channel->listener.fd = fd;
    getsockname(fd, (struct sockaddr *)&address, &size);
    name_address(fd, (struct sockaddr *)&address, size, name, sizeof name);
    channel->events->listening(channel->context, name);
    return true;
}

static void start_listening(struct channel *channel)
{
    if (channel->listener.fd < 0 &&
        !(channel->end->kind == END_UNIX_LISTEN ? listen_unix(channel) : listen_tcp(channel)))
        return;
    open_listen(channel, true);
}

/* The peer of an open connection is known to be gone, only what it sent is not yet read. */
static bool is_dying(const struct channel *channel)
{
    struct pollfd state = {.fd = channel->stream.fd, .events = POLLRDHUP};

    return poll(&state, 1, 0) > 0;
}

void open_listener_ready(void *context, uint32_t events)
{
    struct channel *channel = context;
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    char name[80], notice[200];
    int fd;

    (void)events;
    if (channel->state == CHANNEL_ENDED) {
        channel_failed(channel, false, "another program takes its place");
        return;
    }
    if (channel->state == CHANNEL_OPEN && is_dying(channel)) {
        open_listen(channel, false); /* it waits until this one is closed */
        return;
    }
    fd = accept4(channel->listener.fd, (struct sockaddr *)&address, &size,
                 SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS)
            channel_failed(channel, false, "cannot accept a connection: %s", strerror(errno));
        return;
    }
    if (channel->state == CHANNEL_OPENING) {
        if (channel->end->kind == END_TCP_LISTEN)
            set_tcp(fd);
        opened_socket(channel, fd);
        return;
    }
    name_address(fd, (struct sockaddr *)&address, size, name, sizeof name);
    shutdown(fd, SHUT_RDWR);
    close(fd);
    snprintf(notice, sizeof notice, "turned away a second connection%s%s", name[0] ? " from " : "",
             name);
    channel->events->notice(channel->context, notice);
}

void open_listen(struct channel *channel, bool on)
{
    if (channel->listener.fd >= 0 && channel->end->kind != END_PTY)
        watch_set(channel->loop, &channel->listener, on ? EPOLLIN : 0);
}

/* --- pseudo terminals */

/* Whether a link of this name may be replaced: it is one of ours, or points nowhere. */
static bool link_is_free(const char *path, const char *terminal)
{
    char target[256];
    ssize_t size = readlink(path, target, sizeof target - 1);
    struct stat status;

    if (size < 0)
        return errno == ENOENT;
    target[size] = '\0';
    return strcmp(target, terminal) == 0 || (stat(path, &status) < 0 && errno == ENOENT);
}

/* False, with the event, when it cannot be made. */
static bool make_link(struct channel *channel, const char *terminal)
{
    const char *path = channel->end->place;
    char made[4096];

    if (!link_is_free(path, terminal)) {
        channel_failed(channel, true,
                       "the name belongs to something else; choose another name or "
                       "remove it");
        return false;
    }
    /* A link is made beside and renamed, so that the name is never missing. */
    if (snprintf(made, sizeof made, "%s.%ld", path, (long)getpid()) >= (int)sizeof made ||
        symlink(terminal, made) < 0) {
        channel_failed(channel, true, "cannot make the link: %s", strerror(errno));
        return false;
    }
    if (rename(made, path) < 0) {
        int error = errno;

        unlink(made);
        channel_failed(channel, true, "cannot make the link: %s", strerror(error));
        return false;
    }
    channel->made = true;
    return true;
}

/* Raw, and without a program on the other side, which the master then tells by POLLHUP. */
static bool prepare_terminal(int master, char *terminal, size_t room)
{
    struct termios settings;
    int slave;

    if (grantpt(master) < 0 || unlockpt(master) < 0 || ptsname_r(master, terminal, room) != 0)
        return false;
    slave = open(terminal, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0)
        return false;
    if (tcgetattr(slave, &settings) == 0) {
        cfmakeraw(&settings);
        tcsetattr(slave, TCSANOW, &settings);
    }
    close(slave);
    return true;
}

static bool make_pty(struct channel *channel)
{
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    char terminal[64];

    if (master < 0 || !prepare_terminal(master, terminal, sizeof terminal) ||
        fcntl(master, F_SETFL, O_NONBLOCK) < 0) {
        int error = errno;

        if (master >= 0)
            close(master);
        channel_failed(channel, true, "no pseudo terminal: %s", strerror(error));
        return false;
    }
    if (channel->end->place && !make_link(channel, terminal)) {
        close(master);
        return false;
    }
    channel->listener.fd = master;
    channel->events->listening(channel->context,
                               channel->end->place ? channel->end->place : terminal);
    return true;
}

/* Nothing tells that a program opens the terminal, so it is asked. */
static void pty_step(struct channel *channel)
{
    struct pollfd state = {.fd = channel->listener.fd, .events = POLLIN};

    poll(&state, 1, 0);
    if (state.revents & POLLHUP)
        channel_step_at(channel, clock_monotonic() + PTY_PERIOD, pty_step);
    else
        channel_opened(channel, fcntl(channel->listener.fd, F_DUPFD_CLOEXEC, 0), "");
}

static void start_pty(struct channel *channel)
{
    if (channel->listener.fd >= 0 || make_pty(channel))
        pty_step(channel);
}

/* What the program that is gone has not read is not for the next one. */
static void flush_pty(struct channel *channel)
{
    char terminal[64];
    int slave;

    if (ptsname_r(channel->listener.fd, terminal, sizeof terminal) != 0)
        return;
    slave = open(terminal, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
    if (slave >= 0) {
        tcflush(slave, TCIFLUSH);
        close(slave);
    }
}

static void remove_link(const struct channel *channel)
{
    char target[256], terminal[64];
    ssize_t size = readlink(channel->end->place, target, sizeof target - 1);

    if (size < 0 || ptsname_r(channel->listener.fd, terminal, sizeof terminal) != 0)
        return;
    target[size] = '\0';
    if (strcmp(target, terminal) == 0)
        unlink(channel->end->place);
}

/* --- serial lines */

static void start_serial(struct channel *channel)
{
    int fd = open(channel->end->place, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

    if (fd < 0) {
        channel_failed(channel, errno == EACCES || errno == EISDIR, "%s%s", strerror(errno),
                       errno == EACCES ? "; on many systems the group dialout may use it" : "");
        return;
    }
    if (!isatty(fd)) {
        close(fd);
        channel_failed(channel, true, "it is not a serial line");
        return;
    }
    if (!serial_set(fd, channel->end->baud)) {
        int error = errno;

        close(fd);
        channel_failed(channel, error == EINVAL, "cannot be set to %u baud: %s",
                       (unsigned)channel->end->baud, strerror(error));
        return;
    }
    ioctl(fd, TIOCEXCL);
    channel_opened(channel, fd, "");
}

/* --- commands */

static void run_command(const char *command, int fd)
{
    sigset_t none;

    /* A session of its own: Ctrl-C is for the tap, which ends the command then. */
    setsid();
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    if (dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0)
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void start_exec(struct channel *channel)
{
    int pair[2];
    char peer[32];
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0) {
        channel_failed(channel, false, "no socket: %s", strerror(errno));
        return;
    }
    fcntl(pair[0], F_SETFL, O_NONBLOCK);
    child = fork();
    if (child == 0)
        run_command(channel->end->place, pair[1]);
    close(pair[1]);
    if (child < 0) {
        close(pair[0]);
        channel_failed(channel, false, "cannot be started: %s", strerror(errno));
        return;
    }
    channel->child = child;
    snprintf(peer, sizeof peer, "pid %ld", (long)child);
    channel_opened(channel, pair[0], peer);
}

bool open_command_ended(struct channel *channel, char *reason, size_t room)
{
    int status;

    if (waitpid(channel->child, &status, WNOHANG) != channel->child)
        return false;
    channel->child = 0;
    if (WIFSIGNALED(status))
        snprintf(reason, room, "the command was ended by signal %d (%s)", WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(reason, room, "the command ended, exit status %d", WEXITSTATUS(status));
    return true;
}

static void end_command(struct channel *channel)
{
    kill(-channel->child, SIGTERM);
    channel_loop_bury(channel->loop, channel->child);
    channel->child = 0;
}

/* --- standard input and output */

/* Descriptors that do not block, unless it is a terminal, which others use, too. */
static void keep_from_blocking(struct channel *channel, int fd)
{
    int flags = fcntl(fd, F_GETFL);

    if (flags >= 0 && !(flags & O_NONBLOCK) && !isatty(fd) &&
        fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        channel->flags[fd] = flags;
}

static void start_stdio(struct channel *channel)
{
    int in = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
    int out = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);

    channel->output.fd = out;
    if (in < 0 || out < 0) {
        if (in >= 0)
            close(in);
        channel_failed(channel, true, "standard input or output is closed");
        return;
    }
    keep_from_blocking(channel, STDIN_FILENO);
    keep_from_blocking(channel, STDOUT_FILENO);
    channel_opened(channel, in, "");
}

/* --- all kinds */

void open_start(struct channel *channel)
{
    channel->deadline = UINT64_MAX;
    channel->step = NULL;
    switch (channel->end->kind) {
    case END_UNIX:
        start_unix(channel);
        break;
    case END_TCP:
        start_tcp(channel);
        break;
    case END_UNIX_LISTEN:
    case END_TCP_LISTEN:
        start_listening(channel);
        break;
    case END_PTY:
        start_pty(channel);
        break;
    case END_SERIAL:
        start_serial(channel);
        break;
    case END_EXEC:
        start_exec(channel);
        break;
    case END_STDIO:
        start_stdio(channel);
        break;
    default:
        channel_failed(channel, true, "not available on this system");
        break;
    }
}

void open_connection_gone(struct channel *channel)
{
    forget_addresses(channel);
    if (channel->child)
        end_command(channel);
    if (channel->end->kind == END_PTY && channel->listener.fd >= 0)
        flush_pty(channel);
    for (int fd = 0; fd < 2; fd++) {
        if (channel->flags[fd] >= 0)
            fcntl(fd, F_SETFL, channel->flags[fd]);
        channel->flags[fd] = -1;
    }
}

void open_clear(struct channel *channel)
{
    struct stat status;

    if (channel->made && channel->end->kind == END_PTY)
        remove_link(channel);
    else if (channel->made && lstat(channel->end->place, &status) == 0 &&
             status.st_dev == channel->device && status.st_ino == channel->inode)
        unlink(channel->end->place);
    channel->made = false;
    watch_close(channel->loop, &channel->listener);
}
