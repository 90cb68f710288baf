/* agentclient.c - how fast the agent answers: a debugger's end that does nothing else.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   agentclient SOCKET BYTES COUNT
 *
 * Waits for the agent at this unix socket, lets the machine run until kdexample says that it spins,
 * breaks in, and then reads BYTES of memory, asks COUNT times for the version, and does COUNT
 * single steps. Prints, one a line: read BYTES-A-SECOND, version TIMES-A-SECOND, step
 * TIMES-A-SECOND.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "kd_client.h"

#define PATIENCE_US  UINT64_C(120000000)
#define REQUEST_US   30000000u
#define DBG_CONTINUE 0x00010002u
#define DR7_RESET    0x400u

struct bench {
    struct kd_client client;
    int fd;
    unsigned stops;
    bool spins;
    bool ended; /* the request, with or without a reply */
    bool good;
    size_t bytes; /* of data in the reply */
};

static void fail(const char *what)
{
    fprintf(stderr, "agentclient: %s\n", what);
    exit(1);
}

static uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000u + (uint64_t)time.tv_nsec / 1000u;
}

static void on_write(void *context, const uint8_t *bytes, size_t size)
{
    const struct bench *bench = context;

    while (size > 0) {
        ssize_t written = write(bench->fd, bytes, size);

        if (written <= 0)
            fail("the line does not take bytes");
        bytes += written;
        size -= (size_t)written;
    }
}

static void on_event(void *context, const struct kd_client_event *event)
{
    static const char spins[] = "kdexample: spins";
    struct bench *bench = context;

    switch (event->kind) {
    case KD_CLIENT_STATE_CHANGE:
        bench->stops++;
        break;
    case KD_CLIENT_PRINT:
        if (event->size >= sizeof spins && memcmp(event->bytes, spins, sizeof spins - 1) == 0)
            bench->spins = true;
        break;
    case KD_CLIENT_REPLY:
        bench->ended = bench->good = true;
        bench->bytes = event->size - KD_MANIPULATE_DATA;
        break;
    case KD_CLIENT_SENT:
        bench->ended = bench->good = true;
        break;
    case KD_CLIENT_FAILED:
        bench->ended = true;
        fprintf(stderr, "agentclient: %s\n", event->reason);
        break;
    default:
        break;
    }
}

/* Waits for something to come, or for the client's own time. */
static void turn(struct bench *bench)
{
    struct pollfd poller = {.fd = bench->fd, .events = POLLIN};
    uint64_t deadline = kd_client_deadline(&bench->client), time = now();
    uint64_t wait = deadline > time ? (deadline - time) / 1000u + 1u : 0;
    uint8_t bytes[65536];

    if (poll(&poller, 1, wait > 1000 ? 1000 : (int)wait) > 0) {
        ssize_t got = read(bench->fd, bytes, sizeof bytes);

        if (got <= 0)
            fail("the machine has gone");
        kd_client_receive(&bench->client, now(), bytes, (size_t)got);
    }
    if (kd_client_deadline(&bench->client) <= now())
        kd_client_tick(&bench->client, now());
}

static void ask(struct bench *bench, const struct kd_client_request *request)
{
    uint64_t limit = now() + PATIENCE_US;

    bench->ended = bench->good = false;
    if (!kd_client_request(&bench->client, now(), request))
        fail("the target has not stopped");
    while (!bench->ended && now() < limit)
        turn(bench);
    if (!bench->good)
        fail("a request failed");
}

static void go(struct bench *bench, bool trace)
{
    struct kd_continue_api status = {.continue_status = kd_put32(DBG_CONTINUE)};
    struct kd_control_set_amd64 set = {.trace_flag = kd_put32(trace), .dr7 = kd_put64(DR7_RESET)};
    struct kd_client_request request = {.api = KD_API_CONTINUE2, .silent = true, .resumes = true};

    memcpy(request.fixed, &status, sizeof status);
    memcpy(request.fixed + sizeof status, &set, sizeof set);
    ask(bench, &request);
}

static void wait_stop(struct bench *bench, unsigned stops)
{
    uint64_t limit = now() + PATIENCE_US;

    while (bench->stops == stops && now() < limit)
        turn(bench);
    if (bench->stops == stops)
        fail("the target does not stop");
}

/* Through all load events, to the program's loop, and into it. */
static void come_to_loop(struct bench *bench)
{
    uint64_t limit = now() + PATIENCE_US;

    while (!bench->spins && now() < limit) {
        if (bench->client.state == KD_CLIENT_STOPPED)
            go(bench, false);
        else
            turn(bench);
    }
    if (!bench->spins)
        fail("kdexample does not say that it spins");
    kd_client_break_in(&bench->client);
    wait_stop(bench, bench->stops);
}

static double per_second(uint64_t count, uint64_t since)
{
    return (double)count * 1e6 / (double)(now() - since);
}

/* The start of memory, again and again. */
static double read_rate(struct bench *bench, uint64_t bytes)
{
    uint64_t start = now(), done = 0;

    while (done < bytes) {
        struct kd_memory memory = {.target_base_address = kd_put64(0x1000000 + done),
                                   .transfer_count = kd_put32((uint32_t)KD_CLIENT_DATA_MAX)};
        struct kd_client_request request = {.api = KD_API_READ_VIRTUAL_MEMORY};

        memcpy(request.fixed, &memory, sizeof memory);
        ask(bench, &request);
        if (bench->bytes == 0)
            fail("memory cannot be read");
        done += bench->bytes;
    }
    return per_second(done, start);
}

static double version_rate(struct bench *bench, unsigned count)
{
    const struct kd_client_request request = {.api = KD_API_GET_VERSION};
    uint64_t start = now();

    for (unsigned i = 0; i < count; i++)
        ask(bench, &request);
    return per_second(count, start);
}

static double step_rate(struct bench *bench, unsigned count)
{
    uint64_t start = now();

    for (unsigned i = 0; i < count; i++) {
        unsigned stops = bench->stops;

        go(bench, true);
        wait_stop(bench, stops);
    }
    return per_second(count, start);
}

static int connect_to(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    if (fd < 0 || strlen(path) >= sizeof address.sun_path)
        fail("no socket");
    memcpy(address.sun_path, path, strlen(path));
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0)
        fail("nobody listens there");
    return fd;
}

int main(int argc, char **argv)
{
    static struct bench bench;
    const struct kd_client_config config = {.request_us = REQUEST_US,
                                            .break_us = REQUEST_US,
                                            .hold = true,
                                            .write = on_write,
                                            .event = on_event,
                                            .context = &bench};
    unsigned count;

    if (argc != 4) {
        fprintf(stderr, "usage: agentclient SOCKET BYTES COUNT\n");
        return 2;
    }
    count = (unsigned)strtoul(argv[3], NULL, 10);
    bench.fd = connect_to(argv[1]);
    kd_client_init(&bench.client, &config);
    kd_client_attach(&bench.client, now());
    come_to_loop(&bench);
    printf("read %.0f\n", read_rate(&bench, strtoull(argv[2], NULL, 10)));
    printf("version %.1f\n", version_rate(&bench, count));
    printf("step %.1f\n", step_rate(&bench, count));
    return 0;
}
