/* mem_find.c - kdlens mem find: where bytes or a text are in known memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Memory is searched extent by extent, so that a pattern is found across pieces that touch.
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "mem.h"

#define PATTERN_MAX 1024u
#define WINDOW      65536u

struct pattern {
    uint8_t bytes[PATTERN_MAX];
    size_t size;
};

static bool add_byte(struct pattern *pattern, unsigned byte)
{
    if (pattern->size == PATTERN_MAX)
        return false;
    pattern->bytes[pattern->size++] = (uint8_t)byte;
    return true;
}

static unsigned digit(char c)
{
    return (unsigned)(isdigit((unsigned char)c) ? c - '0' : tolower((unsigned char)c) - 'a' + 10);
}

/* Pairs of digits. */
static bool add_hex(struct pattern *pattern, const char *text)
{
    while (*text == ' ')
        text++;
    for (; *text; text += 2) {
        if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
            !add_byte(pattern, digit(text[0]) << 4 | digit(text[1])))
            return false;
        while (text[2] == ' ')
            text++;
    }
    return true;
}

static bool add_text(struct pattern *pattern, const char *text, bool utf16)
{
    bool fine = true;

    for (; fine && *text; text++)
        fine = add_byte(pattern, (unsigned char)*text) && (!utf16 || add_byte(pattern, 0));
    return fine;
}

static bool get_pattern(const struct mem_options *options, struct pattern *pattern,
                        struct problem *problem)
{
    bool fine = true;

    pattern->size = 0;
    for (size_t i = 0; fine && i < options->arguments.count; i++) {
        const char *text = options->arguments.items[i];

        if (options->text || options->utf16)
            fine = (i == 0 || add_text(pattern, " ", options->utf16)) &&
                   add_text(pattern, text, options->utf16);
        else
            fine = add_hex(pattern, text);
    }
    if (!fine || pattern->size == 0)
        problem_set(problem,
                    "what to find must be 1 to %u bytes: pairs of hexadecimal digits, or a text "
                    "with --text or --utf16",
                    PATTERN_MAX);
    return fine && pattern->size > 0;
}

static void tell(const struct mem_options *options, const struct models_seat *seat,
                 uint64_t address, size_t size)
{
    const struct kda_view view = mem_view(options);
    uint64_t at = address;
    struct kda_piece piece = {.frame = 0};
    char start[ADDRESS_TEXT_SIZE], place[PLACE_TEXT_SIZE] = "";

    kda_memory_next(mem_space(options, seat->model), &view, &at, &piece);
    if (options->json) {
        fact_begin(stdout, seat->number);
        fact_address(stdout, "address", seat->model, address, view.at);
        fact_number(stdout, "size", size);
        fact_number(stdout, "frame", piece.frame);
        fact_string(stdout, "origin", origin_name(piece.origin));
        fact_end(stdout);
        return;
    }
    address_text(address, start);
    if (!options->physical)
        place_text(seat->model, address, view.at, place);
    printf("%s  frame %u, %s%s%s\n", start, (unsigned)piece.frame, origin_name(piece.origin),
           place[0] ? "  " : "", place);
}

static uint64_t search(const struct mem_options *options, const struct models_seat *seat,
                       const struct kda_extent *extent, const struct pattern *pattern,
                       uint8_t *window)
{
    const struct kda_memory *memory = mem_space(options, seat->model);
    const struct kda_view view = mem_view(options);
    uint64_t found = 0;

    for (uint64_t done = 0; extent->size - done >= pattern->size;) {
        uint64_t left = extent->size - done;
        size_t size = left < WINDOW ? (size_t)left : WINDOW, last = size - pattern->size;

        kda_memory_read(memory, &view, extent->address + done, window, NULL, size);
        for (size_t i = 0; i <= last; i++) {
            if (window[i] != pattern->bytes[0] ||
                memcmp(window + i, pattern->bytes, pattern->size) != 0)
                continue;
            tell(options, seat, extent->address + done + i, pattern->size);
            found++;
        }
        done += last + 1;
    }
    return found;
}

bool mem_find(const struct mem_options *options, const struct models_seat *seat,
              struct problem *problem)
{
    const struct kda_memory *memory = mem_space(options, seat->model);
    const struct kda_view view = mem_view(options);
    struct kda_extent extent;
    struct pattern pattern;
    uint8_t *window;
    uint64_t found = 0;

    if (!get_pattern(options, &pattern, problem))
        return false;
    window = malloc(WINDOW);
    if (!window) {
        problem_set(problem, "out of memory");
        return false;
    }
    for (uint64_t at = 0; kda_memory_next_extent(memory, &view, &at, &extent);)
        found += search(options, seat, &extent, &pattern, window);
    free(window);
    if (!found)
        fprintf(stderr, "kdlens mem: not found in the %s memory that is known\n",
                options->physical ? "physical" : "virtual");
    return found > 0;
}
