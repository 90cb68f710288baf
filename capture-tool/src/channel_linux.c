/* channel_linux.c - the loop over epoll, and reading and writing of channels.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * All descriptors do not block. One read is made for each time a descriptor is ready, so that what
 * it brings is written to the other side before anything else is done.
 *
 * Sockets are edge-triggered, because epoll asks a level-triggered one once more after each read. A
 * read that did not fill the buffer has taken all there was, as of every stream socket, and what
 * comes later is an event of its own; after any other, and when the end of the stream may be behind
 * the bytes, the socket is looked at again. Writing stops only at EAGAIN. All else is
 * level-triggered.
 */
#include "channel_linux.h"
#include "channel.h"
#include "clock.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_AT_ONCE 16
#define GRAVES         32u
#define GRAVE_PERIOD   (100 * CLOCK_MILLISECOND)
#define QUEUE_FIRST    65536u

#define COMMAND_PERIOD   (5 * CLOCK_MILLISECOND)
#define COMMAND_PATIENCE 20

struct channel_loop {
    int epoll;
    struct watch wake;
    struct channel *channels;
    pid_t graves[GRAVES]; /* children not yet waited for; 0: none */
    uint64_t bury_at;     /* when to look for them; UINT64_MAX: there are none */
    uint8_t buffer[CHANNEL_READ_SIZE];
};

/* --- watches */

bool watch_set(struct channel_loop *loop, struct watch *watch, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = watch};

    if (watch->fd < 0 || (watch->known && watch->events == events))
        return true;
    watch->events = events;
    if (events == 0) {
        if (watch->known)
            epoll_ctl(loop->epoll, EPOLL_CTL_DEL, watch->fd, NULL);
        watch->known = false;
        return true;
    }
    if (epoll_ctl(loop->epoll, watch->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, watch->fd, &event) < 0)
        return false;
    watch->known = true;
    return true;
}

void watch_again(struct channel_loop *loop, const struct watch *watch)
{
    struct epoll_event event = {.events = watch->events, .data.ptr = (void *)watch};

    if (watch->fd >= 0 && watch->known)
        epoll_ctl(loop->epoll, EPOLL_CTL_MOD, watch->fd, &event);
}

void watch_close(struct channel_loop *loop, struct watch *watch)
{
    if (watch->fd < 0)
        return;
    watch_set(loop, watch, 0);
    close(watch->fd);
    watch->fd = -1;
}

/* --- the queue of bytes to write */

static size_t queue_size(const struct channel_queue *queue)
{
    return queue->end - queue->start;
}

static bool queue_add(struct channel_queue *queue, const uint8_t *bytes, size_t size)
{
    if (queue->start > 0 && size > queue->capacity - queue->end) {
        memmove(queue->bytes, queue->bytes + queue->start, queue_size(queue));
        queue->end -= queue->start;
        queue->start = 0;
    }
    if (size > queue->capacity - queue->end) {
        size_t capacity = queue->capacity ? queue->capacity : QUEUE_FIRST;
        uint8_t *grown;

        while (capacity - queue->end < size)
            capacity *= 2;
        grown = realloc(queue->bytes, capacity);
        if (!grown)
            return false;
        queue->bytes = grown;
        queue->capacity = capacity;
    }
    memcpy(queue->bytes + queue->end, bytes, size);
    queue->end += size;
    return true;
}

/* What is in the queue does not go out. */
static void queue_lose(struct channel *channel)
{
    channel->lost += queue_size(&channel->queue);
    free(channel->queue.bytes);
    channel->queue = (struct channel_queue){0};
}

/* --- state */

static bool is_connected(const struct channel *channel)
{
    return channel->state == CHANNEL_OPEN || channel->state == CHANNEL_ENDED;
}

static void stream_step(struct channel *channel);

/* Waits for what the channel's state makes worth waiting for. */
static void update(struct channel *channel)
{
    struct channel_loop *loop = channel->loop;
    bool reads = channel->state == CHANNEL_OPEN && !channel->paused && !channel->gathers;
    bool writes = queue_size(&channel->queue) > 0;
    uint32_t in = reads ? (uint32_t)EPOLLIN : 0, out = writes ? (uint32_t)EPOLLOUT : 0;
    uint32_t edge = channel->is_socket ? (uint32_t)EPOLLET | (uint32_t)EPOLLRDHUP : 0;

    if (channel->always_ready)
        channel_step_at(channel, reads ? 0 : UINT64_MAX, stream_step);
    if (channel->output.fd >= 0) {
        if (!channel->always_ready)
            watch_set(loop, &channel->stream, in ? in | edge : 0);
        /* EPOLLET alone: that its reader is gone is told once. */
        watch_set(loop, &channel->output, out ? out : (uint32_t)EPOLLET);
    } else if (is_connected(channel)) {
        /* Only a hang-up can come, or is of interest: EPOLLET alone tells it once. */
        if ((channel->state == CHANNEL_ENDED || channel->gathers) && !writes)
            watch_set(loop, &channel->stream, EPOLLET);
        else
            watch_set(loop, &channel->stream, in | out ? in | out | edge : 0);
    }
}

void channel_step_at(struct channel *channel, uint64_t when, void (*step)(struct channel *channel))
{
    channel->deadline = when;
    channel->step = step;
}

static void disconnect(struct channel *channel)
{
    struct channel_loop *loop = channel->loop;

    watch_close(loop, &channel->stream);
    watch_close(loop, &channel->output);
    queue_lose(channel);
    channel->state = CHANNEL_CLOSED;
    channel->deadline = UINT64_MAX;
    channel->gathers = false;
    channel->broken = false;
    channel->ending = false;
    channel->always_ready = false;
    channel->is_socket = false;
    open_listen(channel, false);
    open_connection_gone(channel);
}

void channel_failed(struct channel *channel, bool lasting, const char *format, ...)
{
    char reason[400];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(reason, sizeof reason, format, arguments);
    va_end(arguments);
    disconnect(channel);
    channel->events->closed(channel->context, reason, lasting);
}

/* 0, which is none, unless it is a socket of this kind. */
static int socket_option(int fd, int option)
{
    int value;
    socklen_t size = sizeof value;

    return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

void channel_opened(struct channel *channel, int fd, const char *peer)
{
    channel->stream.fd = fd;
    channel->state = CHANNEL_OPEN;
    channel->deadline = UINT64_MAX;
    channel->lost = 0;
    channel->gather = (struct gather){0};
    channel->broken = false;
    channel->ending = false;
    channel->is_socket = socket_option(fd, SO_TYPE) == SOCK_STREAM;
    channel->is_tcp = channel->is_socket && socket_option(fd, SO_PROTOCOL) == IPPROTO_TCP;
    if (!watch_set(channel->loop, &channel->stream, channel->paused ? 0 : (uint32_t)EPOLLIN)) {
        if (errno != EPERM) {
            channel_failed(channel, false, "cannot be waited for: %s", strerror(errno));
            return;
        }
        channel->always_ready = true;
    }
    update(channel);
    channel->events->opened(channel->context, peer);
}

/* --- reading */

/* A command closes its output a moment before its exit status is there. */
static void command_step(struct channel *channel)
{
    char reason[120];

    if (open_command_ended(channel, reason, sizeof reason))
        channel_failed(channel, false, "%s", reason);
    else if (channel->patience-- > 0)
        channel_step_at(channel, clock_monotonic() + COMMAND_PERIOD, command_step);
    else
        channel_failed(channel, false, "the command closed its standard input and output");
}

static void read_ended(struct channel *channel, bool hung_up)
{
    if (hung_up && channel->child) {
        watch_set(channel->loop, &channel->stream, 0);
        channel->state = CHANNEL_ENDED;
        channel->broken = true;
        channel->patience = COMMAND_PATIENCE;
        command_step(channel);
        return;
    }
    if (hung_up && channel->output.fd < 0) {
        channel_failed(channel, false, "the other program closed the connection");
        return;
    }
    channel->state = CHANNEL_ENDED;
    update(channel);
    open_listen(channel, true);
    channel->events->ended(channel->context);
}

static void take(struct channel *channel, uint64_t when, size_t size)
{
    channel->read = size;
    channel->events->received(channel->context, when, channel->loop->buffer, size);
    channel->read = 0;
}

/* Into the loop's buffer, behind what is there already. */
static ssize_t receive(struct channel *channel, size_t had)
{
    uint8_t *at = channel->loop->buffer + had;
    size_t room = sizeof channel->loop->buffer - had;

    return channel->is_socket ? recv(channel->stream.fd, at, room, 0)
                              : read(channel->stream.fd, at, room);
}

/* The first read tells the sender's system that these bytes have come, and it lets go what it has
 * kept back since: that is there at once. */
static ssize_t receive_gathered(struct channel *channel)
{
    ssize_t size = receive(channel, 0);
    ssize_t more = size > 0 ? receive(channel, (size_t)size) : 0;

    return more > 0 ? size + more : size;
}

/* What is there, and its event. events: of epoll; 0 for a file, and when bytes have gathered. */
static void read_some(struct channel *channel, uint32_t events)
{
    struct channel_loop *loop = channel->loop;
    bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;
    uint64_t when = clock_monotonic();
    ssize_t size = channel->gathers ? receive_gathered(channel) : receive(channel, 0);
    bool more = size == (ssize_t)sizeof loop->buffer || hung_up || (events & EPOLLRDHUP) ||
                (size < 0 && errno == EINTR);

    channel->gathers = false;
    if (size > 0)
        take(channel, when, (size_t)size);
    else if (size == 0)
        read_ended(channel, hung_up || channel->broken);
    else if (errno == EIO && channel->end->kind == END_PTY)
        channel_failed(channel, false, "the other program closed the terminal");
    else if (errno != EAGAIN && errno != EINTR)
        channel_failed(channel, false, "%s", strerror(errno));
    if (more && channel->is_socket && channel->state == CHANNEL_OPEN)
        watch_again(loop, &channel->stream);
}

/* A file is read in every turn of the loop. */
static void stream_step(struct channel *channel)
{
    channel->deadline = UINT64_MAX;
    if (channel->state == CHANNEL_OPEN && !channel->paused) {
        read_some(channel, 0);
        if (channel->always_ready)
            update(channel);
    }
}

/* What has gathered is read; what comes now, when it comes. */
static void gather_step(struct channel *channel)
{
    channel->deadline = UINT64_MAX;
    if (channel->state == CHANNEL_OPEN && !channel->paused)
        read_some(channel, 0);
    else
        channel->gathers = false;
    if (is_connected(channel))
        update(channel);
}

void channel_gather(struct channel *channel, size_t missing)
{
    uint64_t pause;

    if (channel->read == 0 || channel->state != CHANNEL_OPEN || !channel->is_tcp)
        return;
    pause = gather_read(&channel->gather, channel->read, missing);
    if (pause == 0)
        return;
    channel->gathers = true;
    channel_step_at(channel, clock_monotonic() + pause, gather_step);
    update(channel);
}

/* --- writing */

static void write_failed(struct channel *channel)
{
    /* What the peer has sent is still to be read; its end is found there. */
    channel->broken = true;
    queue_lose(channel);
}

/* As many bytes as the system takes; 0 and broken when it fails. */
static size_t write_some(struct channel *channel, const uint8_t *bytes, size_t size)
{
    bool is_socket = channel->is_socket && channel->output.fd < 0;
    int fd = channel->output.fd >= 0 ? channel->output.fd : channel->stream.fd;
    size_t done = 0;

    while (done < size) {
        ssize_t written = is_socket ? send(fd, bytes + done, size - done, MSG_NOSIGNAL)
                                    : write(fd, bytes + done, size - done);

        if (written >= 0) {
            done += (size_t)written;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            channel->broken = true;
            break;
        }
    }
    return done;
}

static void finish_writing(struct channel *channel)
{
    channel->ending = false;
    if (channel->output.fd >= 0)
        watch_close(channel->loop, &channel->output);
    else
        shutdown(channel->stream.fd, SHUT_WR);
}

static void write_queue(struct channel *channel)
{
    struct channel_queue *queue = &channel->queue;

    if (queue_size(queue) == 0)
        return;
    queue->start += write_some(channel, queue->bytes + queue->start, queue_size(queue));
    if (channel->broken)
        write_failed(channel);
    if (queue->start == queue->end) {
        queue->start = queue->end = 0;
        if (channel->ending && !channel->broken)
            finish_writing(channel);
        update(channel);
        channel->events->drained(channel->context);
    }
}

size_t channel_write(struct channel *channel, const uint8_t *bytes, size_t size)
{
    struct channel_queue *queue = &channel->queue;
    size_t done = 0;

    if (!is_connected(channel))
        return 0;
    if (queue_size(queue) == 0 && !channel->broken)
        done = write_some(channel, bytes, size);
    if (done == size)
        return queue_size(queue);
    if (channel->broken || !queue_add(queue, bytes + done, size - done)) {
        channel->lost += size - done;
        write_failed(channel);
    }
    update(channel);
    return queue_size(queue);
}

uint64_t channel_lost(const struct channel *channel)
{
    return channel->lost;
}

size_t channel_queued(const struct channel *channel)
{
    return queue_size(&channel->queue);
}

/* --- events of descriptors */

static void stream_ready(void *context, uint32_t events)
{
    struct channel *channel = context;
    bool hung_up = (events & (EPOLLHUP | EPOLLERR)) != 0;

    if (channel->state == CHANNEL_OPENING) {
        if (channel->step)
            channel->step(channel);
        return;
    }
    if (events & EPOLLOUT)
        write_queue(channel);
    if (channel->gathers && hung_up)
        gather_step(channel);
    else if (channel->state == CHANNEL_OPEN && !channel->paused && !channel->gathers &&
             events & (EPOLLIN | EPOLLHUP | EPOLLERR))
        read_some(channel, events);
    else if (channel->state == CHANNEL_ENDED && hung_up)
        channel_failed(channel, false, "the other program closed the connection");
    else if (channel->state == CHANNEL_OPEN && channel->paused && hung_up)
        watch_set(channel->loop, &channel->stream, 0); /* until it is read again */
}

static void output_ready(void *context, uint32_t events)
{
    struct channel *channel = context;

    if (!is_connected(channel))
        return;
    if (events & (EPOLLERR | EPOLLHUP))
        write_failed(channel);
    write_queue(channel);
    if (channel->broken)
        channel_failed(channel, true, "nobody reads the standard output any more");
}

static void wake_ready(void *context, uint32_t events)
{
    struct channel_loop *loop = context;
    uint64_t count;

    (void)events;
    while (read(loop->wake.fd, &count, sizeof count) < 0 && errno == EINTR)
        continue;
}

/* --- the loop */

struct channel_loop *channel_loop_new(struct problem *problem)
{
    struct channel_loop *loop = calloc(1, sizeof *loop);

    if (!loop) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    loop->bury_at = UINT64_MAX;
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = (struct watch){
        .ready = wake_ready, .context = loop, .fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)};
    if (loop->epoll < 0 || loop->wake.fd < 0 || !watch_set(loop, &loop->wake, EPOLLIN)) {
        problem_system(problem, (unsigned long)errno, "epoll");
        channel_loop_free(loop);
        return NULL;
    }
    return loop;
}

void channel_loop_free(struct channel_loop *loop)
{
    if (!loop)
        return;
    watch_close(loop, &loop->wake);
    if (loop->epoll >= 0)
        close(loop->epoll);
    free(loop);
}

void channel_loop_wake(struct channel_loop *loop)
{
    uint64_t one = 1;
    int saved = errno;
    /* Full means that a wake-up is already waiting. */
    ssize_t written = write(loop->wake.fd, &one, sizeof one);

    (void)written;
    errno = saved;
}

void channel_loop_bury(struct channel_loop *loop, pid_t child)
{
    for (size_t i = 0; i < GRAVES; i++) {
        if (loop->graves[i] == 0) {
            loop->graves[i] = child;
            loop->bury_at = 0;
            return;
        }
    }
}

static void bury(struct channel_loop *loop, uint64_t now)
{
    bool left = false;

    for (size_t i = 0; i < GRAVES; i++) {
        if (loop->graves[i] != 0 && waitpid(loop->graves[i], NULL, WNOHANG) != 0)
            loop->graves[i] = 0;
        left = left || loop->graves[i] != 0;
    }
    loop->bury_at = left ? now + GRAVE_PERIOD : UINT64_MAX;
}

static uint64_t next_deadline(const struct channel_loop *loop)
{
    uint64_t next = loop->bury_at;

    for (const struct channel *channel = loop->channels; channel; channel = channel->next)
        if (channel->deadline < next)
            next = channel->deadline;
    return next;
}

static void run_steps(struct channel_loop *loop)
{
    uint64_t now;

    if (next_deadline(loop) == UINT64_MAX)
        return;
    now = clock_monotonic();
    for (struct channel *channel = loop->channels; channel; channel = channel->next)
        if (channel->deadline <= now)
            channel->step(channel);
    if (loop->bury_at <= now)
        bury(loop, now);
}

static int milliseconds_until(uint64_t until)
{
    uint64_t now, left;

    if (until == UINT64_MAX)
        return -1;
    now = clock_monotonic();
    if (until <= now)
        return 0;
    left = (until - now + CLOCK_MILLISECOND - 1) / CLOCK_MILLISECOND;
    return left > 60000 ? 60000 : (int)left;
}

/* epoll_wait counts milliseconds, rounded up; for what is due sooner the epoll descriptor itself is
 * waited for. */
static int wait_events(struct channel_loop *loop, struct epoll_event *events, uint64_t until)
{
    uint64_t now = until == UINT64_MAX ? 0 : clock_monotonic();

    if (until > now && until - now < 2 * CLOCK_MILLISECOND) {
        struct pollfd ready = {.fd = loop->epoll, .events = POLLIN};
        struct timespec left = {.tv_nsec = (long)(until - now)};

        if (ppoll(&ready, 1, &left, NULL) < 0)
            return -1;
        return epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, 0);
    }
    return epoll_wait(loop->epoll, events, EVENTS_AT_ONCE, milliseconds_until(until));
}

bool channel_loop_turn(struct channel_loop *loop, uint64_t until, struct problem *problem)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    uint64_t next = next_deadline(loop);
    int count = wait_events(loop, events, next < until ? next : until);

    if (count < 0 && errno != EINTR) {
        problem_system(problem, (unsigned long)errno, "epoll_wait");
        return false;
    }
    for (int i = 0; i < count; i++) {
        struct watch *watch = events[i].data.ptr;

        /* An event before may have closed it. */
        if (watch->fd >= 0)
            watch->ready(watch->context, events[i].events);
    }
    run_steps(loop);
    return true;
}

/* --- channels */

struct channel *channel_new(struct channel_loop *loop, const struct end *end,
                            const struct channel_events *events, void *context)
{
    struct channel *channel = calloc(1, sizeof *channel);

    if (!channel)
        return NULL;
    channel->loop = loop;
    channel->end = end;
    channel->events = events;
    channel->context = context;
    channel->deadline = UINT64_MAX;
    channel->stream = (struct watch){.ready = stream_ready, .context = channel, .fd = -1};
    channel->output = (struct watch){.ready = output_ready, .context = channel, .fd = -1};
    channel->listener = (struct watch){.ready = open_listener_ready, .context = channel, .fd = -1};
    channel->flags[0] = channel->flags[1] = -1;
    channel->next = loop->channels;
    loop->channels = channel;
    return channel;
}

void channel_free(struct channel *channel)
{
    if (!channel)
        return;
    for (struct channel **link = &channel->loop->channels; *link; link = &(*link)->next) {
        if (*link == channel) {
            *link = channel->next;
            break;
        }
    }
    channel_close(channel);
    open_clear(channel);
    free(channel);
}

void channel_open(struct channel *channel)
{
    if (channel->state != CHANNEL_CLOSED)
        return;
    channel->state = CHANNEL_OPENING;
    channel_step_at(channel, 0, open_start);
}

void channel_close(struct channel *channel)
{
    if (channel->state == CHANNEL_CLOSED)
        return;
    disconnect(channel);
}

void channel_pause(struct channel *channel, bool paused)
{
    if (channel->paused == paused)
        return;
    channel->paused = paused;
    if (is_connected(channel))
        update(channel);
}

void channel_end(struct channel *channel)
{
    if (!is_connected(channel) || channel->broken)
        return;
    if (queue_size(&channel->queue) > 0)
        channel->ending = true;
    else
        finish_writing(channel);
}
