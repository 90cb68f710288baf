/* import_jsonl.c - recordings as JSON lines: {"t": seconds, "dir": "h2t" | "t2h", "hex": "..."}.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * h is the debugger (host), t the target; "unknown" is allowed, too. A line is one chunk as it was
 * read. Members may come in any order; others are skipped. A line that is none is left out.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "import.h"
#include "import_text.h"

/* A line, as far as it was read. */
struct entry {
    bool has_time, has_direction, has_bytes;
    uint64_t time;
    enum cap_direction direction;
    struct text_bytes bytes;
};

/* The inside of a string, as it is written. False when it does not end. */
static bool take_string(struct text *text, struct text *inside)
{
    if (!text_take(text, "\""))
        return false;
    inside->at = text->at;
    while (text->at < text->end && *text->at != '"')
        text->at += *text->at == '\\' && text->end - text->at > 1 ? 2 : 1;
    if (text->at >= text->end)
        return false;
    inside->end = text->at++;
    return true;
}

/* Any value, to the comma or bracket behind it. */
static bool skip_value(struct text *text)
{
    struct text inside;
    unsigned depth = 0;

    while (text->at < text->end) {
        char c = *text->at;

        if (c == '"') {
            if (!take_string(text, &inside))
                return false;
            continue;
        }
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return true;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        text->at++;
    }
    return false;
}

static bool take_direction(struct text *text, enum cap_direction *direction)
{
    if (text_take(text, "\"h2t\""))
        *direction = CAP_SENT;
    else if (text_take(text, "\"t2h\""))
        *direction = CAP_RECEIVED;
    else if (text_take(text, "\"unknown\""))
        *direction = CAP_DIRECTION_UNKNOWN;
    else
        return false;
    return true;
}

static bool take_bytes(struct text *text, struct text_bytes *bytes)
{
    uint8_t byte;

    bytes->size = 0;
    if (!text_take(text, "\""))
        return false;
    while (text_take_byte(text, &byte))
        if (!text_bytes_add(bytes, byte))
            return false;
    return text_take(text, "\"");
}

static const char *take_member(struct text *text, struct entry *entry)
{
    struct text name;

    if (!take_string(text, &name))
        return "no name of a member";
    text_skip_blanks(text);
    if (!text_take(text, ":"))
        return "no colon behind a name";
    text_skip_blanks(text);
    if (name.end - name.at == 1 && *name.at == 't') {
        entry->has_time = text_take_seconds(text, &entry->time);
        return entry->has_time ? NULL : "\"t\" is no number of seconds";
    }
    if (name.end - name.at == 3 && memcmp(name.at, "dir", 3) == 0) {
        entry->has_direction = take_direction(text, &entry->direction);
        return entry->has_direction ? NULL : "\"dir\" is neither \"h2t\" nor \"t2h\"";
    }
    if (name.end - name.at == 3 && memcmp(name.at, "hex", 3) == 0) {
        entry->has_bytes = take_bytes(text, &entry->bytes);
        return entry->has_bytes ? NULL : "\"hex\" is no string of hexadecimal bytes";
    }
    return skip_value(text) ? NULL : "a value does not end";
}

/* NULL, or what is wrong with the line. */
static const char *parse_line(struct text text, struct entry *entry)
{
    const char *wrong;

    entry->has_time = entry->has_direction = entry->has_bytes = false;
    if (!text_take(&text, "{"))
        return "no JSON object";
    do {
        text_skip_blanks(&text);
        wrong = take_member(&text, entry);
        if (wrong)
            return wrong;
        text_skip_blanks(&text);
    } while (text_take(&text, ","));
    if (!text_take(&text, "}"))
        return "the object does not end";
    text_skip_blanks(&text);
    if (text.at < text.end)
        return "something behind the object";
    if (!entry->has_time || !entry->has_direction || !entry->has_bytes)
        return "not a recording's line: \"t\", \"dir\" and \"hex\" are needed";
    return NULL;
}

static bool recognise(const uint8_t *head, size_t size)
{
    struct text text = {(const char *)head, (const char *)head + size};

    text_skip_blanks(&text);
    return text_take(&text, "{");
}

static bool read_lines(struct input *input, const struct import_sink *sink,
                       struct import_faults *faults, struct problem *problem)
{
    struct entry entry = {0};
    struct input_line line;
    bool wanted = true;

    while (wanted && input_line(input, &line)) {
        struct text text = {line.text, line.text + line.size};
        const char *wrong;

        text_skip_blanks(&text);
        if (text.at == text.end)
            continue;
        wrong = parse_line(text, &entry);
        if (wrong) {
            import_fault(faults, "line %" PRIu64 ", offset %" PRIu64 ": %s", line.number,
                         line.offset, wrong);
            continue;
        }
        wanted =
            sink->chunk(sink->context, &(struct import_chunk){0, entry.time, entry.direction,
                                                              entry.bytes.bytes, entry.bytes.size});
    }
    free(entry.bytes.bytes);
    if (wanted && input_failure(input))
        problem_set(problem, "%s", input_failure(input));
    return !wanted || !input_failure(input);
}

const struct import_format import_jsonl = {
    .name = "jsonl",
    .recognise = recognise,
    .read = read_lines,
    .relative = true,
};
