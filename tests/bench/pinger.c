/* pinger.c - measures what lies between two unix sockets: round trips, and a stream.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   pinger rtt COUNT SIZE CONNECT LISTEN     messages of SIZE bytes, one after the other
 *   pinger stream MIB SIZE CONNECT LISTEN    writes of SIZE bytes, one way; every byte is checked;
 *                                            three times with a pause, of which the last counts
 *
 * The program listens on LISTEN and connects to CONNECT, trying for some seconds; something else
 * connects the two, or they are the same. What it sends are KD packets as large as there is room
 * for. It prints one line: for rtt the microseconds of the fastest, the median and the 99th
 * percentile; for stream MiB a second.
 */
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 10000
#define WARM_UP     1000 /* round trips that do not count */
#define STREAMS     3
#define PAUSE_US    2000000 /* between streams: what writes them down catches up */
#define HEADER      16u
#define PAYLOAD     4000u

static void fail(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static struct sockaddr_un address_of(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (strlen(path) >= sizeof address.sun_path) {
        fprintf(stderr, "pinger: %s: too long\n", path);
        exit(2);
    }
    memcpy(address.sun_path, path, strlen(path));
    return address;
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = address_of(path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    unlink(path);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) < 0 || listen(fd, 1) < 0)
        fail(path);
    return fd;
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = address_of(path);

    for (int i = 0; i < PATIENCE_MS; i++) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
            return fd;
        close(fd);
        usleep(1000);
    }
    fail(path);
    return -1;
}

static void write_all(int fd, const uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);

        if (written < 0)
            fail("write");
        bytes += written;
        size -= (size_t)written;
    }
}

static void read_all(int fd, uint8_t *bytes, size_t size)
{
    while (size > 0) {
        ssize_t got = read(fd, bytes, size);

        if (got <= 0)
            fail("read");
        bytes += got;
        size -= (size_t)got;
    }
}

/* KD data packets: header, payload, trailer. */
static void fill(uint8_t *bytes, size_t size)
{
    uint32_t state = 1;

    memset(bytes, 'b', size);
    for (size_t at = 0; size - at > HEADER + 1;) {
        size_t room = size - at - HEADER - 1, payload = room < PAYLOAD ? room : PAYLOAD;
        uint32_t sum = 0;
        uint8_t *header = bytes + at;

        for (size_t i = 0; i < payload; i++) {
            state = state * 1103515245 + 12345;
            header[HEADER + i] = (uint8_t)(state >> 16);
            sum += header[HEADER + i];
        }
        memcpy(header, "0000\2\0", 6);
        header[6] = (uint8_t)payload;
        header[7] = (uint8_t)(payload >> 8);
        memcpy(header + 8, "\0\0\x80\x80", 4);
        for (int i = 0; i < 4; i++)
            header[12 + i] = (uint8_t)(sum >> 8 * i);
        header[HEADER + payload] = 0xAA;
        at += HEADER + payload + 1;
    }
}

/* The other end: sends back what comes. */
static void echo(int fd, uint64_t count, size_t size, uint8_t *buffer)
{
    for (uint64_t i = 0; i < count; i++) {
        read_all(fd, buffer, size);
        write_all(fd, buffer, size);
    }
}

/* The other end: compares what comes with what must come, and says at last that it has all. */
static void drain_once(int fd, uint64_t total, size_t size, const uint8_t *expected,
                       uint8_t *buffer)
{
    uint64_t done = 0;

    while (done < total) {
        ssize_t got = read(fd, buffer, size);
        size_t at = (size_t)(done % size), first;

        if (got <= 0)
            fail("read");
        first = (size_t)got < size - at ? (size_t)got : size - at;
        if (memcmp(buffer, expected + at, first) != 0 ||
            memcmp(buffer + first, expected, (size_t)got - first) != 0) {
            fprintf(stderr, "pinger: wrong bytes after %llu\n", (unsigned long long)done);
            exit(1);
        }
        done += (uint64_t)got;
    }
    write_all(fd, expected, 1);
}

static void drain(int fd, uint64_t total, size_t size, const uint8_t *expected, uint8_t *buffer)
{
    for (int i = 0; i < STREAMS; i++)
        drain_once(fd, total, size, expected, buffer);
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static void ping(int fd, uint64_t count, size_t size, const uint8_t *bytes, uint8_t *buffer)
{
    uint64_t *times = calloc(count, sizeof *times);

    if (!times)
        fail("calloc");
    for (uint64_t i = 0; i < count; i++) {
        uint64_t start = now();

        write_all(fd, bytes, size);
        read_all(fd, buffer, size);
        times[i] = now() - start;
        if (memcmp(bytes, buffer, size) != 0) {
            fprintf(stderr, "pinger: wrong bytes\n");
            exit(1);
        }
    }
    qsort(times + WARM_UP, count - WARM_UP, sizeof *times, compare);
    count -= WARM_UP;
    printf("%.2f %.2f %.2f\n", (double)times[WARM_UP] / 1000,
           (double)times[WARM_UP + count / 2] / 1000,
           (double)times[WARM_UP + count * 99 / 100] / 1000);
    free(times);
}

/* Nanoseconds until the other end has all. */
static uint64_t stream_once(int fd, uint64_t total, size_t size, const uint8_t *bytes)
{
    uint64_t start = now();
    uint8_t answer;

    for (uint64_t done = 0; done < total; done += size)
        write_all(fd, bytes, size);
    read_all(fd, &answer, 1);
    return now() - start;
}

static void stream(int fd, uint64_t total, size_t size, const uint8_t *bytes)
{
    for (int i = 1; i < STREAMS; i++) {
        stream_once(fd, total, size, bytes);
        usleep(PAUSE_US);
    }
    printf("%.1f\n",
           (double)total / (1 << 20) / ((double)stream_once(fd, total, size, bytes) / 1e9));
}

int main(int argc, char **argv)
{
    uint64_t count = argc == 6 ? strtoull(argv[2], NULL, 10) : 0;
    size_t size = argc == 6 ? (size_t)strtoull(argv[3], NULL, 10) : 0;
    int is_rtt = argc == 6 && strcmp(argv[1], "rtt") == 0;
    uint64_t total = count << 20;
    uint8_t *bytes, *buffer, ready = 0;
    int listener, fd, pipes[2], status;
    pid_t child;

    if (argc != 6 || size == 0 || (is_rtt && count <= WARM_UP)) {
        fprintf(stderr, "usage: pinger rtt|stream COUNT|MIB SIZE CONNECT LISTEN\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    bytes = malloc(size);
    buffer = malloc(size);
    if (!bytes || !buffer || pipe(pipes) < 0)
        fail("pinger");
    fill(bytes, size);
    total -= total % size;
    listener = listen_on(argv[5]);
    child = fork();
    if (child == 0) {
        fd = accept(listener, NULL, NULL);
        write_all(pipes[1], &ready, 1);
        if (is_rtt)
            echo(fd, count, size, buffer);
        else
            drain(fd, total, size, bytes, buffer);
        return 0;
    }
    fd = connect_to(argv[4]);
    read_all(pipes[0], &ready, 1);
    if (is_rtt)
        ping(fd, count, size, bytes, buffer);
    else
        stream(fd, total, size, bytes);
    waitpid(child, &status, 0);
    return status == 0 ? 0 : 1;
}
