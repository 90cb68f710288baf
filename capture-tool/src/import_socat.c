/* import_socat.c - what `socat -x` and `socat -x -v` print while they relay.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A chunk is a head line and rows of bytes; `>` goes from socat's first address to its second:
 *
 *     > 2025/11/21 13:10:43.000180417  length=28 from=0 to=27
 *      30 30 30 30 02 00 6c 69 6e 65 0a                 0000..line.
 *      72 65 73 74                                      rest
 *     --
 *
 * With -v a row has at most 16 bytes, ends behind a line feed and repeats its bytes as text behind
 * two blanks or more; without, a chunk is one row and has no "--". Lines of socat's own log may
 * stand anywhere between. Times are local. socat 1.7.4 writes microseconds with nine digits, as
 * above; others with six.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "clock.h"
#include "import.h"
#include "import_text.h"

#define CHUNK_MAX (16u << 20) /* bytes; socat's own limit is its buffer, 8 KiB by default */

/* A chunk whose rows are still coming. */
struct chunk {
    bool open;
    uint64_t time;
    enum cap_direction direction;
    uint64_t length;
    struct text_bytes bytes;
    uint64_t line; /* of its head */
    uint64_t offset;
};

struct reading {
    const struct import_sink *sink;
    struct import_faults *faults;
    struct chunk chunk;
    bool wanted;
};

static bool take_field(struct text *text, int least, int most, int *value)
{
    uint64_t number;

    if (!text_take_number(text, &number) || number > (uint64_t)most || (int)number < least)
        return false;
    *value = (int)number;
    return true;
}

/* ".000180417" or ".180417" as nanoseconds; nothing is 0. */
static bool take_fraction(struct text *text, uint64_t *nanoseconds)
{
    const char *start;
    uint64_t number;
    int digits;

    *nanoseconds = 0;
    if (!text_take(text, "."))
        return true;
    start = text->at;
    if (!text_take_number(text, &number) || text->at - start > 9)
        return false;
    digits = (int)(text->at - start);
    if (digits == 9 && number < 1000000)
        digits = 6;
    for (; digits < 9; digits++)
        number *= 10;
    *nanoseconds = number;
    return true;
}

/* "2025/11/21 13:10:43.123456", local time. */
static bool take_time(struct text *text, uint64_t *time)
{
    struct tm tm = {.tm_isdst = -1};
    uint64_t nanoseconds;
    time_t seconds;
    bool fine;

    fine = take_field(text, 1970, 2200, &tm.tm_year) && text_take(text, "/") &&
           take_field(text, 1, 12, &tm.tm_mon) && text_take(text, "/") &&
           take_field(text, 1, 31, &tm.tm_mday) && text_take(text, " ") &&
           take_field(text, 0, 23, &tm.tm_hour) && text_take(text, ":") &&
           take_field(text, 0, 59, &tm.tm_min) && text_take(text, ":") &&
           take_field(text, 0, 60, &tm.tm_sec) && take_fraction(text, &nanoseconds);
    if (!fine)
        return false;
    tm.tm_year -= 1900;
    tm.tm_mon--;
    seconds = mktime(&tm);
    if (seconds < 0)
        return false;
    *time = (uint64_t)seconds * CLOCK_SECOND + nanoseconds;
    return true;
}

/* Whether the line begins a chunk. */
static bool take_head(struct text text, struct chunk *chunk)
{
    enum cap_direction direction = text.at < text.end && *text.at == '<' ? CAP_RECEIVED : CAP_SENT;

    if (!text_take(&text, "> ") && !text_take(&text, "< "))
        return false;
    if (!take_time(&text, &chunk->time))
        return false;
    text_skip_blanks(&text);
    if (!text_take(&text, "length=") || !text_take_number(&text, &chunk->length) ||
        chunk->length > CHUNK_MAX)
        return false;
    chunk->direction = direction;
    chunk->bytes.size = 0;
    chunk->open = true;
    return true;
}

/* " 30 30 30 30   0000": the bytes; what does not continue like that is text. */
static bool take_row(struct text text, struct text_bytes *bytes)
{
    bool any = false;
    uint8_t byte;

    for (;;) {
        struct text next = text;

        if (!text_take(&next, " ") || !text_take_byte(&next, &byte))
            return any;
        if (!text_bytes_add(bytes, byte))
            return false;
        any = true;
        text = next;
    }
}

static bool is_log(struct text text)
{
    uint64_t time;

    return take_time(&text, &time) && text_take(&text, " ") && text_find(text, "[") != NULL;
}

static void chunk_fault(struct reading *reading, const char *what)
{
    import_fault(reading->faults, "line %" PRIu64 ", offset %" PRIu64 ": %s", reading->chunk.line,
                 reading->chunk.offset, what);
}

/* The chunk is as complete as it gets. */
static void finish(struct reading *reading)
{
    struct chunk *chunk = &reading->chunk;

    if (!chunk->open)
        return;
    chunk->open = false;
    if (chunk->bytes.size == 0)
        chunk_fault(reading, "no bytes behind the head: was it recorded without -x?");
    else if (chunk->bytes.size != chunk->length)
        chunk_fault(reading, "not as many bytes as the head says");
    if (chunk->bytes.size > 0)
        reading->wanted = reading->sink->chunk(
            reading->sink->context, &(struct import_chunk){0, chunk->time, chunk->direction,
                                                           chunk->bytes.bytes, chunk->bytes.size});
}

static void see_line(struct reading *reading, const struct input_line *line)
{
    struct text text = {line->text, line->text + line->size};
    struct chunk *chunk = &reading->chunk;

    if (chunk->open && take_row(text, &chunk->bytes)) {
        if (chunk->bytes.size >= chunk->length)
            finish(reading);
        return;
    }
    if (line->size > 0 && (*text.at == '>' || *text.at == '<')) {
        finish(reading);
        chunk->line = line->number;
        chunk->offset = line->offset;
        if (take_head(text, chunk))
            return;
    }
    if (line->size == 0 || (line->size == 2 && memcmp(text.at, "--", 2) == 0) || is_log(text))
        return;
    if (!chunk->open) /* else finish() will say what is wrong */
        import_fault(reading->faults, "line %" PRIu64 ", offset %" PRIu64 ": not socat's",
                     line->number, line->offset);
}

/* A head within the first lines. */
static bool recognise(const uint8_t *head, size_t size)
{
    struct text text = {(const char *)head, (const char *)head + size};
    struct chunk chunk;

    while (text.at < text.end) {
        const char *end = memchr(text.at, '\n', (size_t)(text.end - text.at));
        struct text line = {text.at, end ? end : text.end};

        if (take_head(line, &chunk))
            return true;
        text.at = end ? end + 1 : text.end;
    }
    return false;
}

static bool read_log(struct input *input, const struct import_sink *sink,
                     struct import_faults *faults, struct problem *problem)
{
    struct reading reading = {.sink = sink, .faults = faults, .wanted = true};
    struct input_line line;

    while (reading.wanted && input_line(input, &line))
        see_line(&reading, &line);
    if (reading.wanted)
        finish(&reading);
    free(reading.chunk.bytes.bytes);
    if (reading.wanted && input_failure(input))
        problem_set(problem, "%s", input_failure(input));
    return !reading.wanted || !input_failure(input);
}

const struct import_format import_socat = {
    .name = "socat",
    .recognise = recognise,
    .read = read_log,
};
