/* debug_commands_memory.c - the commands that read, write, fill and search memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_commands.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "debug_target.h"

#define DUMP_LIMIT     ((uint64_t)1 << 20)
#define DUMP_DEFAULT   128u
#define STRING_DEFAULT 512u
#define LINE_BYTES     16u
#define PATTERN_LIMIT  256u
#define SEARCH_PIECE   ((size_t)16384)
#define SEARCH_FOUND   256u
#define PAGE           4096u
#define COPY_PIECE     ((size_t)65536)
#define FILL_LIMIT     ((uint64_t)1 << 30)

/* --- arguments */

static void take_space(const char **at, enum target_space *space)
{
    bool physical = strncmp(*at, "/p", 2) == 0 && (!(*at)[2] || (*at)[2] == ' ');

    *space = physical ? SPACE_PHYSICAL : SPACE_VIRTUAL;
    if (physical)
        for (*at += 2; **at == ' ';)
            (*at)++;
}

/* L COUNT, L COUNT without a blank, or nothing. */
static bool take_length(struct debug_console *console, const char **at, uint64_t *count,
                        uint64_t limit, struct problem *problem)
{
    if (**at != 'L' && **at != 'l')
        return true;
    (*at)++;
    if (!take_value(console, at, count, problem))
        return false;
    if (*count == 0 || *count > limit) {
        problem_set(problem, "the count must be 1 to %" PRIx64, limit);
        return false;
    }
    return true;
}

static void put_number(uint8_t *out, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get_number(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size; i > 0; i--)
        value = value << 8 | bytes[i - 1];
    return value;
}

/* Text in quotes, or without. */
static bool take_text(const char **at, uint8_t *bytes, size_t *size, unsigned width,
                      struct problem *problem)
{
    bool quoted = **at == '"';
    const char *text = *at + quoted, *end = quoted ? strchr(text, '"') : text + strlen(text);

    if (!end || text == end || (size_t)(end - text) * width > PATTERN_LIMIT) {
        problem_set(problem, "a text in quotes, of at most %u characters, is missing",
                    PATTERN_LIMIT / width);
        return false;
    }
    for (*size = 0; text < end; text++, *size += width)
        put_number(bytes + *size, (unsigned char)*text, width);
    *at = quoted ? end + 1 : end;
    return true;
}

/* Values of this size, as many as there are. */
static bool take_values(struct debug_console *console, const char **at, uint8_t *bytes,
                        size_t *size, unsigned width, struct problem *problem)
{
    uint64_t value;

    *size = 0;
    do {
        if (!take_value(console, at, &value, problem))
            return false;
        if ((width < 8 && value >> 8 * width) || *size + width > PATTERN_LIMIT) {
            problem_set(problem, "%" PRIx64 " is too large, or there are too many values", value);
            return false;
        }
        put_number(bytes + *size, value, width);
        *size += width;
    } while (**at);
    return true;
}

/* --- dumping */

static void dump_line(struct debug_console *console, uint64_t address, const uint8_t *bytes,
                      size_t size, unsigned width)
{
    char line[200];
    int length = snprintf(line, sizeof line, "%016" PRIx64 " ", address);

    for (size_t i = 0; i < LINE_BYTES; i += width)
        if (i + width <= size)
            length += snprintf(line + length, sizeof line - (size_t)length, "%s%0*" PRIx64,
                               width == 1 && i == 8 ? "-" : " ", (int)width * 2,
                               get_number(bytes + i, width));
        else if (width == 1)
            length += snprintf(line + length, sizeof line - (size_t)length, "   ");
    if (width == 1) {
        length += snprintf(line + length, sizeof line - (size_t)length, "  ");
        for (size_t i = 0; i < size; i++)
            line[length++] = bytes[i] >= 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : '.';
        line[length] = '\0';
    }
    output_say(console->out, "%s\n", line);
}

static bool run_command_dump(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    unsigned width = command->number;
    enum target_space space;
    uint64_t address = console->next, count = DUMP_DEFAULT / width;
    size_t got;
    uint8_t *bytes;
    bool good;

    take_space(&arguments, &space);
    if ((*arguments && !take_value(console, &arguments, &address, problem)) ||
        !take_length(console, &arguments, &count, DUMP_LIMIT / width, problem) ||
        !take_end(arguments, problem))
        return false;
    bytes = malloc((size_t)count * width);
    if (!bytes) {
        problem_set(problem, "out of memory");
        return false;
    }
    good =
        target_read(console->session, space, address, bytes, (size_t)count * width, &got, problem);
    for (size_t at = 0; at < got / width * width; at += LINE_BYTES)
        dump_line(console, address + at, bytes + at, got - at < LINE_BYTES ? got - at : LINE_BYTES,
                  width);
    free(bytes);
    console->next = address + got;
    return good;
}

static bool run_command_string(struct debug_console *console, const struct debug_command *command,
                               const char *arguments, struct problem *problem)
{
    unsigned width = command->number;
    uint64_t address = console->next, count = STRING_DEFAULT;
    uint8_t bytes[2 * PAGE];
    char text[PAGE + 1];
    size_t got, length = 0;
    enum target_space space;
    bool good;

    take_space(&arguments, &space);
    if ((*arguments && !take_value(console, &arguments, &address, problem)) ||
        !take_length(console, &arguments, &count, PAGE, problem) || !take_end(arguments, problem))
        return false;
    good =
        target_read(console->session, space, address, bytes, (size_t)count * width, &got, problem);
    for (size_t at = 0; at + width <= got && length < sizeof text - 1; at += width) {
        uint64_t letter = get_number(bytes + at, width);

        if (letter == 0) {
            good = true;
            break;
        }
        text[length++] = letter >= 0x20 && letter < 0x7f ? (char)letter : '.';
    }
    text[length] = '\0';
    for (size_t at = 0; at < length; at += 64)
        output_say(console->out, "%016" PRIx64 "  \"%.64s\"\n", address + at * width, text + at);
    return good;
}

/* --- to a file */

/* Until the end, what cannot be read, or a file that takes no more; *done: bytes in the file. */
static bool copy_to_file(struct debug_console *console, FILE *file, enum target_space space,
                         uint64_t address, uint64_t count, uint64_t *done, struct problem *problem)
{
    static uint8_t bytes[COPY_PIECE];

    for (*done = 0; *done < count;) {
        size_t wanted = count - *done < sizeof bytes ? (size_t)(count - *done) : sizeof bytes, got;
        bool good =
            target_read(console->session, space, address + *done, bytes, wanted, &got, problem);

        if (fwrite(bytes, 1, got, file) != got) {
            problem_system(problem, (unsigned long)errno, "cannot write to the file");
            return false;
        }
        *done += got;
        if (!good)
            return false;
    }
    return true;
}

static bool run_command_writemem(struct debug_console *console, const struct debug_command *command,
                                 const char *arguments, struct problem *problem)
{
    char name[COMMAND_WORD];
    enum target_space space;
    uint64_t address, count = 0, done;
    bool good;
    FILE *file;

    (void)command;
    if (!take_word(&arguments, name, sizeof name)) {
        problem_set(problem, "the file's name is missing");
        return false;
    }
    take_space(&arguments, &space);
    if (!take_value(console, &arguments, &address, problem) ||
        !take_length(console, &arguments, &count, FILL_LIMIT, problem) ||
        !take_end(arguments, problem))
        return false;
    if (count == 0 || count > UINT64_MAX - address) {
        problem_set(problem, "L COUNT is missing, or leads over the end of memory");
        return false;
    }
    file = fopen(name, "wb");
    if (!file) {
        problem_system(problem, (unsigned long)errno, "%s", name);
        return false;
    }
    good = copy_to_file(console, file, space, address, count, &done, problem);
    if (fclose(file) != 0 && good) {
        problem_system(problem, (unsigned long)errno, "%s", name);
        good = false;
    }
    output_say(console->out, "%" PRIx64 " of %" PRIx64 " bytes written to %s\n", done, count, name);
    return good;
}

/* --- writing */

static bool run_command_enter(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint8_t bytes[PATTERN_LIMIT];
    enum target_space space;
    uint64_t address;
    size_t size;

    take_space(&arguments, &space);
    if (!take_value(console, &arguments, &address, problem))
        return false;
    if (command->number == 0
            ? !take_text(&arguments, bytes, &size, 1, problem)
            : !take_values(console, &arguments, bytes, &size, command->number, problem))
        return false;
    return take_end(arguments, problem) &&
           target_write(console->session, space, address, bytes, size, problem);
}

/* By writes, for a target that cannot fill. */
static bool fill_by_writes(struct debug_console *console, enum target_space space, uint64_t address,
                           uint64_t length, const uint8_t *pattern, size_t size,
                           struct problem *problem)
{
    uint8_t bytes[KD_CLIENT_DATA_MAX];
    size_t piece = sizeof bytes / size * size;

    for (size_t i = 0; i < piece; i++)
        bytes[i] = pattern[i % size];
    while (length > 0) {
        size_t now = length < piece ? (size_t)length : piece;

        if (!target_write(console->session, space, address, bytes, now, problem))
            return false;
        address += now;
        length -= now;
    }
    return true;
}

static bool run_command_fill(struct debug_console *console, const struct debug_command *command,
                             const char *arguments, struct problem *problem)
{
    uint8_t pattern[PATTERN_LIMIT];
    enum target_space space;
    uint64_t address, count = 0;
    size_t size;
    bool supported;

    (void)command;
    take_space(&arguments, &space);
    if (!take_value(console, &arguments, &address, problem) ||
        !take_length(console, &arguments, &count, FILL_LIMIT, problem))
        return false;
    if (count == 0) {
        problem_set(problem, "L COUNT is missing");
        return false;
    }
    if (*arguments == '"' ? !take_text(&arguments, pattern, &size, 1, problem)
                          : !take_values(console, &arguments, pattern, &size, 1, problem))
        return false;
    if (!take_end(arguments, problem) ||
        !target_fill(console->session, space, address, (uint32_t)count, pattern, size, &supported,
                     problem))
        return false;
    if (!supported && !fill_by_writes(console, space, address, count, pattern, size, problem))
        return false;
    output_say(console->out, "Filled %" PRIx64 " bytes\n", count);
    return true;
}

/* --- searching */

static void say_found(struct debug_console *console, uint64_t at)
{
    uint8_t bytes[LINE_BYTES];
    struct problem ignored;
    size_t got;

    target_read(console->session, SPACE_VIRTUAL, at, bytes, sizeof bytes, &got, &ignored);
    dump_line(console, at, bytes, got, 1);
}

/* By the target's own search; *supported false: it has none. */
static bool search_there(struct debug_console *console, uint64_t address, uint64_t length,
                         const uint8_t *pattern, size_t size, bool *supported,
                         struct problem *problem)
{
    bool found = true;
    uint64_t at, end = address + length;

    for (unsigned i = 0; found && i < SEARCH_FOUND && end - address >= size; i++) {
        if (!target_search(console->session, address, end - address, pattern, size, supported,
                           &found, &at, problem))
            return false;
        if (!found)
            break;
        say_found(console, at);
        address = at + 1;
    }
    return true;
}

/* Matches in bytes[0..size); how many more may be shown. */
static unsigned search_bytes(struct debug_console *console, uint64_t address, const uint8_t *bytes,
                             size_t got, const uint8_t *pattern, size_t size, unsigned left)
{
    for (size_t i = 0; left > 0 && i + size <= got; i++)
        if (bytes[i] == pattern[0] && memcmp(bytes + i, pattern, size) == 0) {
            dump_line(console, address + i, bytes + i, got - i < LINE_BYTES ? got - i : LINE_BYTES,
                      1);
            left--;
        }
    return left;
}

/* By reads, in pieces that overlap; pages that are not there are passed over. */
static bool search_here(struct debug_console *console, uint64_t address, uint64_t length,
                        const uint8_t *pattern, size_t size, struct problem *problem)
{
    static uint8_t bytes[SEARCH_PIECE + PATTERN_LIMIT];
    unsigned left = SEARCH_FOUND;

    while (left > 0 && length >= size) {
        size_t wanted = length < SEARCH_PIECE + size - 1 ? (size_t)length : SEARCH_PIECE + size - 1;
        size_t got, step;

        if (!target_read(console->session, SPACE_VIRTUAL, address, bytes, wanted, &got, problem) &&
            console->session->request_failed)
            return false;
        left = search_bytes(console, address, bytes, got, pattern, size, left);
        step = got == wanted ? wanted - size + 1 : got + (PAGE - (size_t)((address + got) % PAGE));
        if (step >= length)
            break;
        address += step;
        length -= step;
    }
    return true;
}

/* -b (the default), -w, -d, -q: values; -a, -u: text. */
static bool take_pattern(struct debug_console *console, char kind, const char **at,
                         uint8_t *pattern, size_t *size, struct problem *problem)
{
    static const char kinds[] = "bwdq";
    const char *found = strchr(kinds, kind);

    if (kind == 'a' || kind == 'u')
        return take_text(at, pattern, size, kind == 'u' ? 2 : 1, problem);
    if (!found) {
        problem_set(problem, "the kinds are -b -w -d -q -a -u");
        return false;
    }
    return take_values(console, at, pattern, size, 1u << (found - kinds), problem);
}

static bool run_command_search(struct debug_console *console, const struct debug_command *command,
                               const char *arguments, struct problem *problem)
{
    uint8_t pattern[PATTERN_LIMIT];
    char word[COMMAND_WORD] = "-b";
    uint64_t address, count = 0;
    size_t size;
    bool supported = false;

    (void)command;
    if (*arguments == '-')
        take_word(&arguments, word, sizeof word);
    if (!take_value(console, &arguments, &address, problem) ||
        !take_length(console, &arguments, &count, FILL_LIMIT, problem))
        return false;
    if (count == 0 || count > UINT64_MAX - address) {
        problem_set(problem, "L COUNT is missing, or leads over the end of memory");
        return false;
    }
    if (!take_pattern(console, word[1], &arguments, pattern, &size, problem) ||
        !take_end(arguments, problem) ||
        !search_there(console, address, count, pattern, size, &supported, problem))
        return false;
    return supported || search_here(console, address, count, pattern, size, problem);
}

static bool run_command_query(struct debug_console *console, const struct debug_command *command,
                              const char *arguments, struct problem *problem)
{
    uint64_t address;
    uint32_t space, flags;

    (void)command;
    if (!take_value(console, &arguments, &address, problem) || !take_end(arguments, problem) ||
        !target_query(console->session, address, &space, &flags, problem))
        return false;
    output_say(console->out, "%016" PRIx64 ": %s%s%s%s, address space %" PRIu32 "\n", address,
               flags & KD_QUERY_READ ? "r" : "-", flags & KD_QUERY_WRITE ? "w" : "-",
               flags & KD_QUERY_EXECUTE ? "x" : "-", flags & KD_QUERY_FIXED ? ", fixed" : "",
               space);
    return true;
}

const struct debug_command commands_memory[] = {
    {"db", "[/p] [ADDRESS] [L COUNT]", "show bytes; /p: the address is physical", NEEDS_STOP, 1,
     run_command_dump},
    {"dw", "[/p] [ADDRESS] [L COUNT]", "show words of 2 bytes", NEEDS_STOP, 2, run_command_dump},
    {"dd", "[/p] [ADDRESS] [L COUNT]", "show words of 4 bytes", NEEDS_STOP, 4, run_command_dump},
    {"dq", "[/p] [ADDRESS] [L COUNT]", "show words of 8 bytes", NEEDS_STOP, 8, run_command_dump},
    {"da", "[/p] [ADDRESS] [L COUNT]", "show a string of bytes", NEEDS_STOP, 1, run_command_string},
    {"du", "[/p] [ADDRESS] [L COUNT]", "show a string of UTF-16", NEEDS_STOP, 2,
     run_command_string},
    {".writemem", "FILE [/p] ADDRESS L COUNT", "write memory into a file", NEEDS_STOP, 0,
     run_command_writemem},
    {"eb", "[/p] ADDRESS VALUE...", "write bytes", NEEDS_STOP, 1, run_command_enter},
    {"ew", "[/p] ADDRESS VALUE...", "write words of 2 bytes", NEEDS_STOP, 2, run_command_enter},
    {"ed", "[/p] ADDRESS VALUE...", "write words of 4 bytes", NEEDS_STOP, 4, run_command_enter},
    {"eq", "[/p] ADDRESS VALUE...", "write words of 8 bytes", NEEDS_STOP, 8, run_command_enter},
    {"ea", "[/p] ADDRESS \"TEXT\"", "write a string, without a zero at its end", NEEDS_STOP, 0,
     run_command_enter},
    {"f", "[/p] ADDRESS L COUNT BYTE...", "fill memory with a pattern", NEEDS_STOP, 0,
     run_command_fill},
    {"s", "[-b|-w|-d|-q|-a|-u] ADDRESS L COUNT VALUE...",
     "search for values, or with -a and -u for a text", NEEDS_STOP, 0, run_command_search},
    {"query", "ADDRESS", "how the target may use the memory there", NEEDS_STOP, 0,
     run_command_query},
    {NULL, NULL, NULL, NEEDS_NOTHING, 0, NULL},
};
