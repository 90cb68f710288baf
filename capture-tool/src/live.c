/* live.c - the buffer between the recorder and a reader that may come and go.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "live.h"

#include <stdlib.h>
#include <string.h>

#include "clock.h"

#define CONNECT_PERIOD (100 * CLOCK_MILLISECOND)

struct live {
    struct live_port *port;
    live_head_function head;
    void *context;
    struct status *status;
    const char *path;
    bool attached;
    bool reported; /* that a reader stalls */
    uint64_t look_at;
    size_t start, end; /* of what waits in the buffer */
    uint8_t buffer[LIVE_BUFFER];
};

struct live *live_new(const char *path, bool make, live_head_function head, void *context,
                      struct status *status, struct problem *problem)
{
    struct live *live = calloc(1, sizeof *live);

    if (!live) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    live->head = head;
    live->context = context;
    live->status = status;
    live->path = path;
    live->port = live_port_new(path, make, problem);
    if (!live->port) {
        free(live);
        return NULL;
    }
    return live;
}

static void tell(const struct live *live, const char *event_name)
{
    struct event event;

    event_begin(&event, clock_wall(), event_name);
    event_text(&event, "live", live->path);
    status_event(live->status, &event);
}

static void detach(struct live *live)
{
    live->attached = false;
    live->start = live->end = 0;
    tell(live, "live-detached");
}

static void write_buffer(struct live *live)
{
    while (live->attached && live->start < live->end) {
        ptrdiff_t written =
            live_port_write(live->port, live->buffer + live->start, live->end - live->start);

        if (written == 0)
            return;
        if (written < 0)
            detach(live);
        else
            live->start += (size_t)written;
    }
    if (live->start == live->end)
        live->start = live->end = 0;
}

void live_free(struct live *live)
{
    if (!live)
        return;
    write_buffer(live);
    live_port_free(live->port);
    free(live);
}

/* A reader that stands still. */
static void drop(struct live *live)
{
    live_port_drop(live->port);
    if (!live->reported)
        status_fail(live->status,
                    "%s: the reader does not read; it gets no more until it comes "
                    "again (the recording goes on)",
                    live->path);
    live->reported = true;
    detach(live);
}

void live_block(struct live *live, const uint8_t *block, size_t size)
{
    if (!live->attached)
        return;
    if (size > LIVE_BUFFER - live->end && live->start > 0) {
        memmove(live->buffer, live->buffer + live->start, live->end - live->start);
        live->end -= live->start;
        live->start = 0;
    }
    if (size > LIVE_BUFFER - live->end)
        write_buffer(live);
    if (!live->attached)
        return;
    if (size > LIVE_BUFFER - live->end) {
        drop(live);
        return;
    }
    memcpy(live->buffer + live->end, block, size);
    live->end += size;
}

void live_pump(struct live *live, uint64_t now)
{
    if (!live->attached && now >= live->look_at) {
        live->look_at = now + CONNECT_PERIOD;
        if (live_port_connect(live->port)) {
            live->attached = true;
            live->start = 0;
            live->end = live->head(live->context, live->buffer, LIVE_BUFFER);
            tell(live, "live-attached");
        }
    }
    write_buffer(live);
}
