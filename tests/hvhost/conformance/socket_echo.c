/* socket_echo.c - runs in Linux under hvhost: sends bytes over a Hyper-V socket and checks that the
 * same come back.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   socket_echo connect|listen PORT BYTES
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <linux/vm_sockets.h>

#define PIECE 4000

static int fail(const char *what)
{
    perror(what);
    return 1;
}

static uint8_t byte_at(uint64_t at)
{
    return (uint8_t)((at * UINT64_C(6364136223846793005)) >> 56);
}

static int open_socket(const char *mode, unsigned port)
{
    struct sockaddr_vm address = {.svm_family = AF_VSOCK, .svm_port = port};
    int listener = socket(AF_VSOCK, SOCK_STREAM, 0), connection;

    if (listener < 0)
        return -1;
    if (!strcmp(mode, "connect")) {
        address.svm_cid = VMADDR_CID_HOST;
        return connect(listener, (struct sockaddr *)&address, sizeof address) ? -1 : listener;
    }
    address.svm_cid = VMADDR_CID_ANY;
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1))
        return -1;
    puts("socket_echo: listening");
    fflush(stdout);
    connection = accept(listener, NULL, NULL);
    close(listener);
    return connection;
}

static int receive(int connection, uint64_t *received, uint64_t sent)
{
    uint8_t bytes[PIECE];
    size_t wanted = sent - *received < sizeof bytes ? (size_t)(sent - *received) : sizeof bytes;
    ssize_t size = read(connection, bytes, wanted);

    if (size < 0 && errno == EAGAIN)
        return 0;
    if (size <= 0)
        return fail("socket_echo: read");
    for (ssize_t i = 0; i < size; i++) {
        if (bytes[i] != byte_at((*received)++)) {
            printf("socket_echo: byte %llu is another\n", (unsigned long long)*received - 1);
            return 1;
        }
    }
    return 0;
}

static int send_piece(int connection, uint64_t *sent, uint64_t total)
{
    uint8_t bytes[PIECE];
    size_t wanted = total - *sent < sizeof bytes ? (size_t)(total - *sent) : sizeof bytes;
    ssize_t size;

    for (size_t i = 0; i < wanted; i++)
        bytes[i] = byte_at(*sent + i);
    size = write(connection, bytes, wanted);
    if (size < 0)
        return errno == EAGAIN ? 0 : fail("socket_echo: write");
    *sent += (uint64_t)size;
    return 0;
}

/* Both at once, so that both rings run full. */
static int exchange(int connection, uint64_t total)
{
    uint64_t sent = 0, received = 0;

    if (fcntl(connection, F_SETFL, O_NONBLOCK))
        return fail("socket_echo: fcntl");
    while (received < total) {
        struct pollfd wait = {.fd = connection, .events = POLLIN};

        if (sent < total)
            wait.events |= POLLOUT;
        if (poll(&wait, 1, -1) < 0)
            return fail("socket_echo: poll");
        if (wait.revents & POLLOUT && send_piece(connection, &sent, total))
            return 1;
        if (wait.revents & ~POLLOUT && receive(connection, &received, sent))
            return 1;
    }
    return fcntl(connection, F_SETFL, 0) ? fail("socket_echo: fcntl") : 0;
}

int main(int count, char **arguments)
{
    uint64_t total;
    char rest;
    int connection;

    if (count != 4)
        return 2;
    connection = open_socket(arguments[1], (unsigned)strtoul(arguments[2], NULL, 0));
    if (connection < 0)
        return fail("socket_echo: connect");
    total = strtoull(arguments[3], NULL, 0);
    if (exchange(connection, total))
        return 1;
    shutdown(connection, SHUT_WR);
    if (read(connection, &rest, 1) != 0)
        return fail("socket_echo: the end");
    printf("socket_echo: %s, %llu bytes came back the same\n", arguments[1],
           (unsigned long long)total);
    close(connection);
    return 0;
}
