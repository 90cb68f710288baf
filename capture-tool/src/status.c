/* status.c - the queue of lines to print, and the thread that prints them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "status.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "end.h"
#include "terminal.h"
#include "thread.h"

#define QUEUE_SIZE  (256u * 1024)
#define LINE_PERIOD 500u /* ms between two status lines */
#define IDLE_PERIOD 60000u
#define STOP_LIMIT  1000u /* ms */
#define LINE_SIZE   600u

enum stream { STREAM_MESSAGE, STREAM_EVENT, STREAM_CONSOLE };

/* A line in the queue; its bytes follow. */
struct line {
    uint32_t size;
    uint32_t stream;
};

struct status {
    struct status_config config;
    bool shows_line; /* the status line is drawn */
    atomic_uint_fast64_t numbers[STATUS_NUMBERS];
    struct thread thread;
    struct lock lock;
    struct condition wake;
    /* Under the lock: */
    char texts[STATUS_TEXTS][120];
    bool stopping;
    bool done;
    unsigned lost; /* lines that found no room */
    size_t used;
    char queue[QUEUE_SIZE];
    /* The thread's own: */
    char batch[QUEUE_SIZE];
    bool drawn;
    bool mid_line; /* the console's text has not ended its line */
    uint64_t drawn_at;
    uint64_t seen[2]; /* bytes of each side when the line was drawn */
};

/* --- the queue */

static void put_locked(struct status *status, enum stream stream, const char *bytes, size_t size)
{
    struct line line = {.size = (uint32_t)size, .stream = stream};

    if (sizeof line + size > QUEUE_SIZE - status->used) {
        status->lost++;
        return;
    }
    memcpy(status->queue + status->used, &line, sizeof line);
    memcpy(status->queue + status->used + sizeof line, bytes, size);
    status->used += sizeof line + size;
    condition_signal(&status->wake);
}

static void put(struct status *status, enum stream stream, const char *bytes, size_t size)
{
    lock_take(&status->lock);
    put_locked(status, stream, bytes, size);
    lock_release(&status->lock);
}

static void put_message(struct status *status, const char *format, va_list arguments)
{
    char line[1024] = "kdlens: ";
    size_t size = strlen(line);
    int length = vsnprintf(line + size, sizeof line - size - 1, format, arguments);

    if (length < 0)
        return;
    size += (size_t)length;
    if (size > sizeof line - 2)
        size = sizeof line - 2;
    line[size++] = '\n';
    put(status, STREAM_MESSAGE, line, size);
}

void status_say(struct status *status, const char *format, ...)
{
    va_list arguments;

    if (status->config.quiet)
        return;
    va_start(arguments, format);
    put_message(status, format, arguments);
    va_end(arguments);
}

void status_fail(struct status *status, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    put_message(status, format, arguments);
    va_end(arguments);
}

void status_console(struct status *status, const uint8_t *bytes, size_t size)
{
    put(status, STREAM_CONSOLE, (const char *)bytes, size);
}

void status_add(struct status *status, enum status_number number, uint64_t amount)
{
    atomic_fetch_add_explicit(&status->numbers[number], amount, memory_order_relaxed);
}

void status_show(struct status *status, enum status_text which, const char *text)
{
    lock_take(&status->lock);
    snprintf(status->texts[which], sizeof status->texts[which], "%s", text);
    lock_release(&status->lock);
}

/* --- events */

static void event_append(struct event *event, const char *format, ...) LIKE_PRINTF(2, 3);

/* Whole or not at all; two bytes are kept for the end of the line. */
static void event_append(struct event *event, const char *format, ...)
{
    size_t room = sizeof event->text - 3 - event->length;
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(event->text + event->length, room, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < room)
        event->length += (size_t)length;
}

void event_begin(struct event *event, uint64_t time, const char *name)
{
    char text[CLOCK_TEXT_SIZE];

    event->length = 0;
    clock_text(time, text, sizeof text);
    event_append(event, "{\"time\":\"%s\",\"event\":\"%s\"", text, name);
}

void event_text(struct event *event, const char *name, const char *value)
{
    char escaped[700];
    size_t size = 0;

    for (; *value && size < sizeof escaped - 7; value++) {
        unsigned char letter = (unsigned char)*value;

        if (letter == '"' || letter == '\\')
            escaped[size++] = '\\';
        if (letter < 0x20)
            size += (size_t)snprintf(escaped + size, 7, "\\u%04x", letter);
        else
            escaped[size++] = (char)letter;
    }
    escaped[size] = '\0';
    event_append(event, ",\"%s\":\"%s\"", name, escaped);
}

void event_number(struct event *event, const char *name, uint64_t value)
{
    event_append(event, ",\"%s\":%" PRIu64, name, value);
}

void event_hex(struct event *event, const char *name, uint64_t value)
{
    event_append(event, ",\"%s\":\"0x%" PRIx64 "\"", name, value);
}

void status_event(struct status *status, struct event *event)
{
    if (!status->config.json)
        return;
    memcpy(event->text + event->length, "}\n", 2);
    put(status, STREAM_EVENT, event->text, event->length + 2);
}

/* --- the thread */

/* "1.2 kB/s" */
static void format_rate(double rate, char *out, size_t room)
{
    static const char *const units[] = {"B/s", "kB/s", "MB/s", "GB/s"};
    size_t unit = 0;

    while (rate >= 1000 && unit + 1 < sizeof units / sizeof units[0]) {
        rate /= 1000;
        unit++;
    }
    snprintf(out, room, unit ? "%.1f %s" : "%.0f %s", rate, units[unit]);
}

static void clear_line(struct status *status)
{
    if (status->drawn)
        fputs("\r\033[K", stderr);
    status->drawn = false;
}

static void end_console_line(struct status *status)
{
    if (status->mid_line)
        fputc('\n', stderr);
    status->mid_line = false;
}

/* "debugger 1.2 kB/s", which is what it sends, while it is connected; else "debugger awaited". */
static void format_end(struct status *status, int side, double seconds, char *out, size_t room)
{
    uint64_t bytes = atomic_load(&status->numbers[STATUS_BYTES_DEBUGGER + side]);
    const char *name = side_name((enum side)side),
               *text = status->texts[STATUS_END_DEBUGGER + side];
    char rate[24];

    format_rate(seconds > 0 ? (double)(bytes - status->seen[side]) / seconds : 0, rate,
                sizeof rate);
    status->seen[side] = bytes;
    if (strcmp(text, STATUS_CONNECTED) == 0)
        snprintf(out, room, "%s %s", name, rate);
    else
        snprintf(out, room, "%s %s", name, *text ? text : "not there");
}

static void draw_line(struct status *status, uint64_t now)
{
    char line[LINE_SIZE], ends[2][160], dropped[48] = "";
    double seconds = (double)(now - status->drawn_at) / (double)CLOCK_SECOND;
    uint64_t lost = atomic_load(&status->numbers[STATUS_DROPPED]);
    uint64_t packets = atomic_load(&status->numbers[STATUS_PACKETS]);
    unsigned columns = terminal_columns();
    const char *link = status->texts[STATUS_LINK];

    if (lost)
        snprintf(dropped, sizeof dropped, ", %" PRIu64 " bytes not recorded", lost);
    lock_take(&status->lock);
    for (int i = 0; i < 2; i++)
        format_end(status, i, seconds, ends[i], sizeof ends[i]);
    snprintf(line, sizeof line, "%s, %s | %" PRIu64 " packet%s%s%s%s", ends[0], ends[1], packets,
             packets == 1 ? "" : "s", dropped, *link ? " | " : "", link);
    lock_release(&status->lock);
    if (columns > 1 && columns - 1 < strlen(line))
        line[columns - 1] = '\0';
    fprintf(stderr, "\r\033[K%s", line);
    status->drawn = true;
    status->drawn_at = now;
}

/* Text of a console goes out as text: no control codes but those that end lines. */
static void print_console(struct status *status, const char *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        unsigned char letter = (unsigned char)bytes[i];

        if (letter == '\n' || letter == '\t' || (letter >= 0x20 && letter != 0x7f))
            fputc(letter, stderr);
        else if (letter == 0x1b)
            fputs("^[", stderr);
        else
            continue;
        status->mid_line = letter != '\n';
    }
}

static void print_one(struct status *status, enum stream stream, const char *bytes, size_t size)
{
    switch (stream) {
    case STREAM_EVENT:
        fwrite(bytes, 1, size, stdout);
        break;
    case STREAM_MESSAGE:
        end_console_line(status);
        fwrite(bytes, 1, size, stderr);
        break;
    case STREAM_CONSOLE:
        if (status->config.console)
            fwrite(bytes, 1, size, status->config.console);
        else
            print_console(status, bytes, size);
        break;
    }
}

static void print_batch(struct status *status, size_t size)
{
    struct line line;

    clear_line(status);
    for (size_t at = 0; at < size; at += sizeof line + line.size) {
        memcpy(&line, status->batch + at, sizeof line);
        print_one(status, (enum stream)line.stream, status->batch + at + sizeof line, line.size);
    }
    fflush(stdout);
    if (status->config.console)
        fflush(status->config.console);
}

/* One round: false when all is printed and the end has come. */
static bool turn(struct status *status)
{
    size_t size;
    unsigned lost;
    bool stopping;
    uint64_t now;

    lock_take(&status->lock);
    if (status->used == 0 && !status->stopping)
        condition_wait(&status->wake, &status->lock,
                       status->shows_line ? LINE_PERIOD : IDLE_PERIOD);
    size = status->used;
    memcpy(status->batch, status->queue, size);
    status->used = 0;
    lost = status->lost;
    status->lost = 0;
    stopping = status->stopping;
    lock_release(&status->lock);

    if (size > 0)
        print_batch(status, size);
    if (lost > 0)
        fprintf(stderr, "kdlens: %u lines found no room and were not printed\n", lost);
    now = clock_monotonic();
    if (status->shows_line && !stopping && !status->mid_line &&
        (!status->drawn || now - status->drawn_at >= LINE_PERIOD * CLOCK_MILLISECOND))
        draw_line(status, now);
    fflush(stderr);
    return size > 0 || !stopping;
}

static void run(void *context)
{
    struct status *status = context;

    status->drawn_at = clock_monotonic();
    while (turn(status))
        continue;
    clear_line(status);
    end_console_line(status);
    fflush(stderr);
    lock_take(&status->lock);
    status->done = true;
    condition_signal(&status->wake);
    lock_release(&status->lock);
}

struct status *status_start(const struct status_config *config, struct problem *problem)
{
    struct status *status = calloc(1, sizeof *status);

    if (!status) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    status->config = *config;
    status->shows_line = !config->quiet && !config->json && terminal_has_line();
    lock_init(&status->lock);
    condition_init(&status->wake);
    if (!thread_start(&status->thread, run, status)) {
        problem_set(problem, "no thread can be started");
        free(status);
        return NULL;
    }
    return status;
}

bool status_stop(struct status *status)
{
    uint64_t limit = clock_monotonic() + STOP_LIMIT * CLOCK_MILLISECOND;
    bool done;

    if (!status)
        return true;
    lock_take(&status->lock);
    status->stopping = true;
    condition_signal(&status->wake);
    while (!status->done && clock_monotonic() < limit)
        condition_wait(&status->wake, &status->lock, STOP_LIMIT / 10);
    done = status->done;
    lock_release(&status->lock);
    if (!done)
        return false;
    thread_join(&status->thread);
    condition_clear(&status->wake);
    lock_clear(&status->lock);
    free(status);
    return true;
}
