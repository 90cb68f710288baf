/* debug_output.c - printing as text or JSON, and the transcript. See debug_output.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug_input.h"
#include "json.h"

struct debug_output {
    bool json;
    struct debug_input *input;
    bool mid_line; /* the target's text has not ended its line */
    const char *command;
    char *answer; /* of the command, with JSON */
    size_t answer_size, answer_room;
    uint64_t count;
    size_t used;
    char transcript[TRANSCRIPT_SIZE + 1];
};

struct debug_output *output_new(bool json)
{
    struct debug_output *out = calloc(1, sizeof *out);

    if (out)
        out->json = json;
    return out;
}

void output_free(struct debug_output *out)
{
    if (!out)
        return;
    free(out->answer);
    free(out);
}

void output_set_input(struct debug_output *out, struct debug_input *input)
{
    out->input = input;
}

/* --- the transcript */

/* The newest bytes count: the older half makes room. */
static void keep(struct debug_output *out, const char *text, size_t size)
{
    out->count += size;
    if (size > TRANSCRIPT_SIZE / 2) {
        text += size - TRANSCRIPT_SIZE / 2;
        size = TRANSCRIPT_SIZE / 2;
    }
    if (size > TRANSCRIPT_SIZE - out->used) {
        size_t half = out->used / 2;

        memmove(out->transcript, out->transcript + half, out->used - half);
        out->used -= half;
    }
    memcpy(out->transcript + out->used, text, size);
    out->used += size;
    out->transcript[out->used] = '\0';
}

const char *output_transcript(const struct debug_output *out, size_t *size)
{
    if (size)
        *size = out->used;
    return out->transcript;
}

void output_consume(struct debug_output *out, size_t size)
{
    if (size > out->used)
        size = out->used;
    memmove(out->transcript, out->transcript + size, out->used - size + 1);
    out->used -= size;
}

uint64_t output_count(const struct debug_output *out)
{
    return out->count;
}

/* --- printing */

static void begin_printing(struct debug_output *out)
{
    if (out->input)
        input_hide(out->input);
}

static void print(struct debug_output *out, const char *text, size_t size)
{
    fwrite(text, 1, size, stdout);
    if (out->input)
        input_printed(out->input, text, size);
}

static void end_printing(struct debug_output *out)
{
    fflush(stdout);
    if (out->input)
        input_show(out->input);
}

/* What is said begins a line of its own, whatever the target has printed before. */
static void begin_line(struct debug_output *out)
{
    if (!out->mid_line)
        return;
    out->mid_line = false;
    keep(out, "\n", 1);
    if (!out->json)
        print(out, "\n", 1);
}

static void collect(struct debug_output *out, const char *text, size_t size)
{
    if (out->answer_room - out->answer_size <= size) {
        size_t room = (out->answer_room + size) * 2 + 1024;
        char *answer = realloc(out->answer, room);

        if (!answer)
            return;
        out->answer = answer;
        out->answer_room = room;
    }
    memcpy(out->answer + out->answer_size, text, size);
    out->answer_size += size;
    out->answer[out->answer_size] = '\0';
}

void output_begin(struct debug_output *out, const char *command)
{
    out->command = command;
    out->answer_size = 0;
    if (out->mid_line && out->input && input_is_typed(out->input)) {
        out->mid_line = false;
        keep(out, "\n", 1);
    }
}

void output_end(struct debug_output *out, bool ok)
{
    if (out->json && out->command) {
        printf("{\"event\":\"answer\",\"command\":");
        json_text(stdout, out->command);
        printf(",\"ok\":%s,\"text\":", ok ? "true" : "false");
        json_text(stdout, out->answer_size ? out->answer : "");
        printf("}\n");
        fflush(stdout);
    }
    out->command = NULL;
}

void output_say(struct debug_output *out, const char *format, ...)
{
    char text[2048];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0)
        return;
    if ((size_t)length >= sizeof text)
        length = sizeof text - 1;
    begin_printing(out);
    begin_line(out);
    keep(out, text, (size_t)length);
    if (out->json)
        collect(out, text, (size_t)length);
    else
        print(out, text, (size_t)length);
    end_printing(out);
}

/* Bytes of the printable UTF-8 character that begins here, 0 when there is none. */
static size_t character(const uint8_t *at, size_t size)
{
    size_t length = at[0] >= 0xf0 && at[0] < 0xf5   ? 4
                    : at[0] >= 0xe0 && at[0] < 0xf0 ? 3
                    : at[0] >= 0xc2 && at[0] < 0xe0 ? 2
                                                    : 0;

    if (length > size || (at[0] == 0xc2 && size > 1 && at[1] < 0xa0))
        return 0; /* the second range of control codes is one, too */
    for (size_t i = 1; i < length; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

/* Puts what begins at bytes into out, at most 4 bytes; returns how many bytes that took. */
static size_t show(const uint8_t *bytes, size_t size, char *out, size_t *length)
{
    uint8_t byte = bytes[0];
    size_t taken = byte >= 0x80 ? character(bytes, size) : 1;

    if (taken == 0) {
        *length = (size_t)snprintf(out, 5, "\\x%02x", byte);
        return 1;
    }
    *length = taken;
    if (byte >= 0x80) {
        memcpy(out, bytes, taken);
    } else if (byte == '\n' || byte == '\t' || (byte >= 0x20 && byte != 0x7f)) {
        out[0] = (char)byte;
    } else if (byte == '\r' || byte == '\0') {
        *length = 0;
    } else {
        out[0] = '^';
        out[1] = (char)(byte ^ 0x40);
        *length = 2;
    }
    return taken;
}

void output_target(struct debug_output *out, const char *event, const uint8_t *bytes, size_t size)
{
    char text[4 * 4096 + 8];
    size_t length = 0, piece;

    for (size_t at = 0; at < size && length + 5 < sizeof text; length += piece)
        at += show(bytes + at, size - at, text + length, &piece);
    text[length] = '\0';
    if (length == 0)
        return;
    begin_printing(out);
    keep(out, text, length);
    out->mid_line = text[length - 1] != '\n';
    if (out->json) {
        printf("{\"event\":\"%s\",\"text\":", event);
        json_text(stdout, text);
        printf("}\n");
    } else {
        print(out, text, length);
    }
    end_printing(out);
}

static void print_json_event(const struct output_event *event)
{
    printf("{\"event\":\"%s\",\"text\":", event->name);
    json_text(stdout, event->text);
    if (event->has_address)
        printf(",\"address\":\"0x%" PRIx64 "\"", event->address);
    if (event->has_code)
        printf(",\"code\":\"0x%08" PRIx32 "\"", event->code);
    if (event->module) {
        printf(",\"module\":");
        json_text(stdout, event->module);
    }
    printf("}\n");
}

void output_event(struct debug_output *out, const struct output_event *event)
{
    begin_printing(out);
    begin_line(out);
    keep(out, event->text, strlen(event->text));
    keep(out, "\n", 1);
    if (out->json) {
        print_json_event(event);
    } else {
        print(out, event->text, strlen(event->text));
        print(out, "\n", 1);
    }
    end_printing(out);
}

void output_object(struct debug_output *out, void (*print_object)(FILE *file, const void *context),
                   const void *context)
{
    if (!out->json)
        return;
    begin_printing(out);
    print_object(stdout, context);
    end_printing(out);
}
