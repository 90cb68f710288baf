/* import_html.c - packet logs of VirtualKD and VirtualKD-Redux ("Log packets" of its VMMON).
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The format is that of PacketLog.cpp in the public source of VirtualKD-Redux. A packet is a row of
 * a table, "send" from the target to the debugger, "recv" the other way; its payload is two buffers
 * as hexadecimal bytes and text, sixteen to a line:
 *
 *     <tr class="send"><td>1</td><td>+0:00:01.0123</td><td>7 KD_STATE_CHANGE64</td><td>
 *     Buf1: Size = 240 (0xF0); Api# = DbgKdLoadSymbolsStateChange<br/>
 *     31&nbsp;30&nbsp;...&nbsp;&nbsp;&nbsp;&nbsp;10..............<br/>
 *     ...<br/><br/>Buf2: Size = 4 (0x4)<br/>6E&nbsp;...</td></tr>
 *
 * Text is not escaped, so it is stepped over by its length. The time is since the log's start, the
 * last four digits being milliseconds. Packet headers, acknowledgements, resets and packets that
 * were refused are not logged: headers are made up here.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "import.h"
#include "import_text.h"
#include "kd/frame.h"

#define ROW_BYTES  16u
#define BUFFER_MAX 65535u

#define TITLE     "KDVMWare Packet Log"
#define ROW_START "<tr class=\""

enum stage {
    STAGE_BETWEEN, /* packets */
    STAGE_BUFFER,  /* a buffer's head or the end of the packet comes next */
    STAGE_BYTES
};

struct reading {
    const struct import_sink *sink;
    struct import_faults *faults;
    enum stage stage;
    bool wanted;
    enum cap_direction direction;
    uint64_t time;
    uint64_t type;
    size_t left; /* bytes of the buffer still to come */
    struct text_bytes payload;
    uint32_t ids[2]; /* of the next packet, by direction */
    uint8_t packet[KD_HEADER_SIZE + BUFFER_MAX + 1];
};

static bool take_time(struct text *text, uint64_t *time)
{
    uint64_t hours, minutes, seconds, milliseconds;

    if (!text_take(text, "+") || !text_take_number(text, &hours) || !text_take(text, ":") ||
        !text_take_number(text, &minutes) || !text_take(text, ":") ||
        !text_take_number(text, &seconds) || !text_take(text, ".") ||
        !text_take_number(text, &milliseconds))
        return false;
    if (hours > 100000 || minutes > 59 || seconds > 59 || milliseconds > 999)
        return false;
    *time =
        ((hours * 60 + minutes) * 60 + seconds) * CLOCK_SECOND + milliseconds * CLOCK_MILLISECOND;
    return true;
}

static bool take_head(struct reading *reading, struct text *text)
{
    uint64_t number;

    if (text_take(text, "send"))
        reading->direction = CAP_RECEIVED;
    else if (text_take(text, "recv"))
        reading->direction = CAP_SENT;
    else
        return false;
    if (!text_take(text, "\"><td>") || !text_take_number(text, &number) ||
        !text_take(text, "</td><td>") || !take_time(text, &reading->time) ||
        !text_take(text, "</td><td>") || !text_take_number(text, &reading->type))
        return false;
    text->at = text_find(*text, "</td><td>");
    return text->at && text_take(text, "</td><td>") && reading->type <= UINT16_MAX;
}

/* "Buf1: Size = 56 (0x38); Api# = ...<br/>" */
static bool take_buffer_head(struct reading *reading, struct text *text)
{
    uint64_t size;

    text_take(text, "<br/><br/>");
    if ((!text_take(text, "Buf1: Size = ") && !text_take(text, "Buf2: Size = ")) ||
        !text_take_number(text, &size) || size > BUFFER_MAX)
        return false;
    text->at = text_find(*text, "<br/>");
    reading->left = (size_t)size;
    return text->at && text_take(text, "<br/>");
}

/* One line of bytes and their text. */
static bool take_row(struct reading *reading, struct text *text)
{
    size_t count = reading->left < ROW_BYTES ? reading->left : ROW_BYTES;
    uint8_t byte;

    for (size_t i = 0; i < ROW_BYTES; i++) {
        if (i >= count) {
            if (!text_take(text, "&nbsp;&nbsp;&nbsp;"))
                return false;
            continue;
        }
        if (!text_take_byte(text, &byte) || !text_take(text, "&nbsp;") ||
            !text_bytes_add(&reading->payload, byte))
            return false;
    }
    if (!text_take(text, "&nbsp;&nbsp;&nbsp;&nbsp;") || (size_t)(text->end - text->at) < count)
        return false;
    text->at += count;
    reading->left -= count;
    return reading->left == 0 || text_take(text, "<br/>");
}

static void fault(struct reading *reading, const struct input_line *line, const char *what)
{
    import_fault(reading->faults, "line %" PRIu64 ", offset %" PRIu64 ": %s", line->number,
                 line->offset, what);
    reading->stage = STAGE_BETWEEN;
}

static void finish_packet(struct reading *reading, const struct input_line *line)
{
    uint32_t *id = &reading->ids[reading->direction];
    size_t size =
        kd_frame_encode(reading->packet, sizeof reading->packet, (enum kd_packet_type)reading->type,
                        *id, reading->payload.bytes, reading->payload.size, true);

    reading->stage = STAGE_BETWEEN;
    if (size == 0) {
        fault(reading, line, "no KD packet is like this");
        return;
    }
    *id ^= 1;
    reading->wanted = reading->sink->chunk(
        reading->sink->context,
        &(struct import_chunk){0, reading->time, reading->direction, reading->packet, size});
}

/* Takes what comes next on the line; false when the rest of it means nothing. */
static bool step(struct reading *reading, struct text *text, const struct input_line *line)
{
    const char *start;

    switch (reading->stage) {
    case STAGE_BETWEEN:
        start = text_find(*text, ROW_START);
        if (!start)
            return false;
        text->at = start + strlen(ROW_START);
        reading->payload.size = 0;
        reading->stage = STAGE_BUFFER;
        if (take_head(reading, text))
            return true;
        break;
    case STAGE_BUFFER:
        if (text_take(text, "</td></tr>")) {
            finish_packet(reading, line);
            return true;
        }
        reading->stage = STAGE_BYTES;
        if (take_buffer_head(reading, text))
            return true;
        break;
    case STAGE_BYTES:
        if (take_row(reading, text)) {
            reading->stage = reading->left ? STAGE_BYTES : STAGE_BUFFER;
            return true;
        }
        break;
    }
    fault(reading, line, "the packet breaks off");
    return false;
}

static bool recognise(const uint8_t *head, size_t size)
{
    const struct text text = {(const char *)head, (const char *)head + size};

    return text_find(text, TITLE) != NULL;
}

static bool read_table(struct reading *reading, struct input *input, struct problem *problem)
{
    static const struct stream_line what = {
        .comment = "From a packet log of VirtualKD, which has payloads only: packet headers are "
                   "made up, and there are no acknowledgements"};
    struct input_line line = {0};

    reading->wanted = reading->sink->line(reading->sink->context, 0, &what);
    while (reading->wanted && input_line(input, &line)) {
        struct text text = {line.text, line.text + line.size};

        while (reading->wanted && text.at < text.end && step(reading, &text, &line))
            ;
    }
    if (reading->wanted && input_failure(input)) {
        problem_set(problem, "%s", input_failure(input));
        return false;
    }
    if (reading->wanted && reading->stage != STAGE_BETWEEN)
        fault(reading, &line, "the packet breaks off");
    return true;
}

static bool read_log(struct input *input, const struct import_sink *sink,
                     struct import_faults *faults, struct problem *problem)
{
    struct reading *reading = calloc(1, sizeof *reading);
    bool fine;

    if (!reading) {
        problem_set(problem, "out of memory");
        return false;
    }
    reading->sink = sink;
    reading->faults = faults;
    reading->ids[0] = reading->ids[1] = KD_INITIAL_PACKET_ID;
    fine = read_table(reading, input, problem);
    free(reading->payload.bytes);
    free(reading);
    return fine;
}

const struct import_format import_html = {
    .name = "virtualkd",
    .recognise = recognise,
    .read = read_log,
    .relative = true,
};
