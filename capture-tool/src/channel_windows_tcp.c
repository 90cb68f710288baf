/* channel_windows_tcp.c - TCP: connecting, and listening.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "channel_windows.h"

#include <mstcpip.h>
#include <mswsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ws2tcpip.h>

#include "clock.h"

#define CONNECT_LIMIT 5000u /* milliseconds, for each address of the host */
#define BACKLOG       8
#define RETRY_AFTER   (100 * CLOCK_MILLISECOND)
/* Who has just gone may not be known to have: who comes next is not turned away at once. */
#define GRACE (100 * CLOCK_MILLISECOND)

/* A peer that is gone without a word is noticed some time after KEEP_IDLE, in milliseconds. */
#define KEEP_IDLE     10000u
#define KEEP_INTERVAL 5000u

/* What AcceptEx wants for each of two addresses. */
#define ADDRESS_ROOM (sizeof(struct sockaddr_storage) + 16)

static void set_tcp(SOCKET socket)
{
    struct tcp_keepalive keep = {
        .onoff = 1, .keepalivetime = KEEP_IDLE, .keepaliveinterval = KEEP_INTERVAL};
    BOOL on = TRUE;
    DWORD size;

    setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, (const char *)&on, sizeof on);
    WSAIoctl(socket, SIO_KEEPALIVE_VALS, &keep, sizeof keep, NULL, 0, &size, NULL, NULL);
}

static SOCKET make_socket(int family)
{
    return WSASocketW(family, SOCK_STREAM, IPPROTO_TCP, NULL, 0,
                      WSA_FLAG_OVERLAPPED | WSA_FLAG_NO_HANDLE_INHERIT);
}

/* "127.0.0.1:5000", "[::1]:5000" */
static void name_address(const struct sockaddr *address, int size, char *out, size_t room)
{
    char host[INET6_ADDRSTRLEN + 20], port[8];

    out[0] = '\0';
    if (getnameinfo(address, size, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, room, address->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", host, port);
}

static void name_peer(SOCKET socket, char *out, size_t room)
{
    struct sockaddr_storage address;
    int size = sizeof address;

    out[0] = '\0';
    if (getpeername(socket, (struct sockaddr *)&address, &size) == 0)
        name_address((struct sockaddr *)&address, size, out, room);
}

/* --- the stream */

static bool socket_read(struct stream *stream, uint8_t *bytes, DWORD size)
{
    WSABUF buffer = {.len = size, .buf = (char *)bytes};
    DWORD flags = 0;

    return WSARecv(stream->in.socket, &buffer, 1, NULL, &flags, &stream->read.overlapped, NULL) ==
           0;
}

static bool socket_write(struct stream *stream, const uint8_t *bytes, DWORD size)
{
    /* WSASend only reads it. */
    WSABUF buffer = {.len = size, .buf = (char *)(uintptr_t)bytes};

    return WSASend(stream->out.socket, &buffer, 1, NULL, 0, &stream->write.overlapped, NULL) == 0;
}

static void socket_end(struct stream *stream)
{
    shutdown(stream->out.socket, SD_SEND);
}

static void socket_close(struct stream *stream)
{
    closesocket(stream->in.socket);
}

/* Success at once comes through the port, too: a layered provider may not skip it. */
static const struct stream_calls socket_calls = {.read = socket_read,
                                                 .write = socket_write,
                                                 .end = socket_end,
                                                 .close = socket_close,
                                                 .zero_ends = true};

static void opened_socket(struct channel *channel, SOCKET socket, const char *peer)
{
    struct stream *stream = stream_new(channel->loop, &socket_calls);

    if (!stream || !loop_adopt(channel->loop, (HANDLE)socket)) {
        DWORD error = stream ? GetLastError() : ERROR_OUTOFMEMORY;

        closesocket(socket);
        free(stream);
        channel_failed_system(channel, false, error, "cannot be waited for");
        return;
    }
    stream->in.socket = stream->out.socket = socket;
    set_tcp(socket);
    channel_opened(channel, stream, peer);
}

/* --- tcp: */

/* ERROR_SUCCESS, or why not. */
static int connect_to(struct job *job, SOCKET socket, const struct addrinfo *address)
{
    WSAEVENT event = WSACreateEvent();
    HANDLE waited[2] = {event, job->cancel};
    WSANETWORKEVENTS events = {0};
    int error = ERROR_SUCCESS;

    WSAEventSelect(socket, event, FD_CONNECT);
    if (connect(socket, address->ai_addr, (int)address->ai_addrlen) != 0)
        error = WSAGetLastError();
    if (error == WSAEWOULDBLOCK) {
        if (WaitForMultipleObjects(2, waited, FALSE, CONNECT_LIMIT) == WAIT_OBJECT_0 &&
            WSAEnumNetworkEvents(socket, event, &events) == 0)
            error = events.iErrorCode[FD_CONNECT_BIT];
        else
            error = WSAETIMEDOUT;
    }
    WSAEventSelect(socket, NULL, 0);
    WSACloseEvent(event);
    return error;
}

static void connect_run(struct job *job)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *addresses;
    int error = getaddrinfo(job->place, job->port, &hints, &addresses);

    if (error) {
        job_failed_system(job, error == WSATYPE_NOT_FOUND, (DWORD)error, "%s", job->place);
        return;
    }
    error = WSAEADDRNOTAVAIL;
    for (const struct addrinfo *at = addresses; at && !job_cancelled(job); at = at->ai_next) {
        job->socket = make_socket(at->ai_family);
        error =
            job->socket == INVALID_SOCKET ? WSAGetLastError() : connect_to(job, job->socket, at);
        if (error == ERROR_SUCCESS)
            break;
        if (job->socket != INVALID_SOCKET)
            closesocket(job->socket);
        job->socket = INVALID_SOCKET;
    }
    freeaddrinfo(addresses);
    if (error)
        job_failed_system(job, false, (DWORD)error, "cannot connect");
    else
        name_peer(job->socket, job->peer, sizeof job->peer);
}

static void connect_finish(struct channel *channel, struct job *job)
{
    opened_socket(channel, job->socket, job->peer);
}

static void connect_discard(struct job *job)
{
    if (job->socket != INVALID_SOCKET)
        closesocket(job->socket);
}

static void connect_open(struct channel *channel)
{
    static const struct job_work work = {
        .run = connect_run, .finish = connect_finish, .discard = connect_discard};

    job_start(channel, &work);
}

const struct channel_kind channel_tcp = {.open = connect_open};

/* --- tcp-listen: */

struct listener {
    struct io io;
    struct channel_loop *loop;
    struct channel *channel; /* NULL: stopped */
    SOCKET socket;
    LPFN_ACCEPTEX accept;
    SOCKET accepted; /* being accepted, or waiting for channel_open */
    int family;
    bool waiting;   /* the port will give io back */
    bool connected; /* accepted is connected */
    uint8_t addresses[2 * ADDRESS_ROOM];
};

static void drop_accepted(struct listener *listener)
{
    if (listener->accepted != INVALID_SOCKET)
        closesocket(listener->accepted);
    listener->accepted = INVALID_SOCKET;
    listener->connected = false;
}

static void listener_drop(struct listener *listener)
{
    listener->channel = NULL;
    closesocket(listener->socket);
    if (listener->waiting)
        return;
    drop_accepted(listener);
    free(listener);
}

static void listen_open(struct channel *channel);

/* Accepting does not work now; who waits to connect waits on. */
static void accept_later(struct listener *listener)
{
    drop_accepted(listener);
    if (listener->channel->state == CHANNEL_OPENING)
        channel_step_at(listener->channel, clock_monotonic() + RETRY_AFTER, listen_open);
}

static void accept_next(struct listener *listener)
{
    DWORD size;
    bool ok;

    if (listener->waiting || listener->connected)
        return;
    listener->accepted = make_socket(listener->family);
    if (listener->accepted == INVALID_SOCKET) {
        accept_later(listener);
        return;
    }
    io_begin(listener->loop, &listener->io);
    ok = listener->accept(listener->socket, listener->accepted, listener->addresses, 0,
                          ADDRESS_ROOM, ADDRESS_ROOM, &size, &listener->io.overlapped);
    if (io_started(listener->loop, &listener->io, ok, false) == IO_PENDING)
        listener->waiting = true;
    else
        accept_later(listener);
}

/* The program that has come becomes the connection; the next one may come. */
static void listener_take(struct channel *channel)
{
    struct listener *listener = channel->own;
    SOCKET socket = listener->accepted;
    char peer[80];

    listener->accepted = INVALID_SOCKET;
    listener->connected = false;
    accept_next(listener);
    name_peer(socket, peer, sizeof peer);
    opened_socket(channel, socket, peer);
}

/* The peer of the open connection is known to be gone, only what it sent is not yet read. */
static bool is_dying(const struct channel *channel)
{
    WSAPOLLFD state = {.fd = channel->stream->in.socket, .events = POLLRDNORM};

    if (channel->stream->filled && channel->stream->size == 0)
        return true;
    return WSAPoll(&state, 1, 0) > 0 && state.revents & (POLLHUP | POLLERR);
}

/* A program has come while another one is connected. */
static void turn_away(struct channel *channel)
{
    struct listener *listener = channel->own;
    char peer[80], notice[200];

    if (channel->state != CHANNEL_OPEN || !listener->connected || is_dying(channel))
        return;
    name_peer(listener->accepted, peer, sizeof peer);
    drop_accepted(listener);
    accept_next(listener);
    snprintf(notice, sizeof notice, "turned away a second connection%s%s", peer[0] ? " from " : "",
             peer);
    channel->events->notice(channel->context, notice);
}

static void take_place(struct channel *channel)
{
    channel_failed(channel, false, "another program takes its place");
}

/* Who has come meanwhile need not wait any longer. */
static void listen_ended(struct channel *channel)
{
    struct listener *listener = channel->own;

    if (listener->connected)
        channel_step_at(channel, 0, take_place);
}

static void accept_done(void *context, DWORD error, DWORD size)
{
    struct listener *listener = context;
    struct channel *channel = listener->channel;

    (void)size;
    listener->waiting = false;
    if (!channel) {
        drop_accepted(listener);
        free(listener);
        return;
    }
    if (error != ERROR_SUCCESS) {
        /* Who wanted to connect has given up, most likely. */
        accept_later(listener);
        return;
    }
    setsockopt(listener->accepted, SOL_SOCKET, SO_UPDATE_ACCEPT_CONTEXT,
               (const char *)&listener->socket, sizeof listener->socket);
    listener->connected = true;
    if (channel->state == CHANNEL_OPENING)
        listener_take(channel);
    else if (channel->state == CHANNEL_ENDED)
        take_place(channel);
    else if (channel->state == CHANNEL_OPEN)
        channel_step_at(channel, clock_monotonic() + GRACE, turn_away);
}

/* INVALID_SOCKET, and WSAGetLastError says why. */
static SOCKET bind_to(const struct addrinfo *address)
{
    SOCKET socket = make_socket(address->ai_family);
    BOOL on = TRUE;
    int error;

    if (socket == INVALID_SOCKET)
        return INVALID_SOCKET;
    /* Nobody else may listen on the same port and take connections away. */
    setsockopt(socket, SOL_SOCKET, SO_EXCLUSIVEADDRUSE, (const char *)&on, sizeof on);
    if (bind(socket, address->ai_addr, (int)address->ai_addrlen) == 0 &&
        listen(socket, BACKLOG) == 0)
        return socket;
    error = WSAGetLastError();
    closesocket(socket);
    WSASetLastError(error);
    return INVALID_SOCKET;
}

/* Asked for, because the program is not to load mswsock.dll by name. */
static bool find_accept(struct listener *listener)
{
    GUID name = WSAID_ACCEPTEX;
    DWORD size;

    return WSAIoctl(listener->socket, SIO_GET_EXTENSION_FUNCTION_POINTER, &name, sizeof name,
                    &listener->accept, sizeof listener->accept, &size, NULL, NULL) == 0;
}

static struct listener *make_listener(struct channel *channel)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE};
    struct listener *listener = calloc(1, sizeof *listener);
    struct addrinfo *address = NULL;
    int error = getaddrinfo(channel->end->place, channel->end->port, &hints, &address);

    if (listener && error == 0) {
        listener->io = (struct io){.done = accept_done, .context = listener};
        listener->loop = channel->loop;
        listener->channel = channel;
        listener->accepted = INVALID_SOCKET;
        listener->family = address->ai_family;
        listener->socket = bind_to(address);
        if (listener->socket != INVALID_SOCKET && find_accept(listener) &&
            loop_adopt(channel->loop, (HANDLE)listener->socket)) {
            freeaddrinfo(address);
            return listener;
        }
        error = (int)GetLastError();
        if (listener->socket != INVALID_SOCKET)
            closesocket(listener->socket);
    }
    if (address)
        freeaddrinfo(address);
    free(listener);
    channel_failed_system(channel, true, (DWORD)error, "cannot listen");
    return NULL;
}

static void tell_address(struct channel *channel, const struct listener *listener)
{
    struct sockaddr_storage address;
    int size = sizeof address;
    char text[80] = "";

    if (getsockname(listener->socket, (struct sockaddr *)&address, &size) == 0)
        name_address((struct sockaddr *)&address, size, text, sizeof text);
    channel->events->listening(channel->context, text);
}

static void listen_open(struct channel *channel)
{
    struct listener *listener = channel->own;

    if (!listener) {
        listener = make_listener(channel);
        if (!listener)
            return;
        channel->own = listener;
        tell_address(channel, listener);
    }
    if (channel->state != CHANNEL_OPENING)
        return;
    if (listener->connected)
        listener_take(channel);
    else
        accept_next(listener);
}

static void listen_stop(struct channel *channel)
{
    if (channel->own)
        listener_drop(channel->own);
    channel->own = NULL;
}

const struct channel_kind channel_tcp_listen = {
    .open = listen_open, .stop = listen_stop, .ended = listen_ended};
