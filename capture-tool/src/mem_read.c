/* mem_read.c - kdlens mem read: a dump of known bytes, and where they come from.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "facts.h"
#include "mem.h"

#define LENGTH_DEFAULT 0x80u
#define LENGTH_MAX     ((uint64_t)256 << 20)
#define LINE           16u

static bool get_length(const struct mem_options *options, uint64_t *length, struct problem *problem)
{
    const char *text = options->arguments.items[1];
    char *end;

    *length = LENGTH_DEFAULT;
    if (options->arguments.count < 2)
        return true;
    *length = strtoull(text, &end, 16);
    if (*text == '-' || *end || *length == 0 || *length > LENGTH_MAX) {
        problem_set(problem, "%s: not a length from 1 to %" PRIx64 ", in hexadecimal", text,
                    LENGTH_MAX);
        return false;
    }
    return true;
}

/* The frames of a line: one, or from the first to the last. */
static void frames_text(const uint32_t *known, size_t size)
{
    uint32_t first = 0, last = 0;

    for (size_t i = 0; i < size; i++) {
        if (!known[i])
            continue;
        if (!first || known[i] < first)
            first = known[i];
        if (known[i] > last)
            last = known[i];
    }
    if (first)
        printf(first == last ? "  %" PRIu32 : "  %" PRIu32 "-%" PRIu32, first, last);
}

static void line_text(uint64_t address, const uint8_t *bytes, const uint32_t *known, size_t size)
{
    char start[ADDRESS_TEXT_SIZE];

    address_text(address, start);
    printf("%s  ", start);
    for (size_t i = 0; i < LINE; i++) {
        if (i >= size)
            printf("   ");
        else if (known[i])
            printf("%02x%c", bytes[i], i == 7 && size > 8 ? '-' : ' ');
        else
            printf("??%c", i == 7 && size > 8 ? '-' : ' ');
    }
    putchar(' ');
    for (size_t i = 0; i < LINE; i++)
        putchar(i >= size                            ? ' '
                : !known[i]                          ? '?'
                : bytes[i] >= ' ' && bytes[i] < 0x7f ? bytes[i]
                                                     : '.');
    frames_text(known, size);
    putchar('\n');
}

static uint64_t dump(const struct kda_memory *memory, const struct kda_view *view, uint64_t address,
                     uint64_t length)
{
    uint64_t found = 0;

    for (uint64_t done = 0; done < length;) {
        uint64_t left = length - done;
        size_t size = left < LINE ? (size_t)left : LINE;
        uint32_t known[LINE];
        uint8_t bytes[LINE];

        found += kda_memory_read(memory, view, address + done, bytes, known, size);
        line_text(address + done, bytes, known, size);
        done += size;
    }
    return found;
}

static void piece_json(const struct models_seat *seat, const struct kda_memory *memory,
                       const struct kda_piece *piece)
{
    uint8_t bytes[4096];

    if (!kda_store_read(kda_memory_store(memory), piece->data, bytes, piece->size))
        return;
    fact_begin(stdout, seat->number);
    fact_hex(stdout, "address", piece->address);
    fact_number(stdout, "size", piece->size);
    fact_number(stdout, "frame", piece->frame);
    fact_number(stdout, "last_frame", piece->last);
    fact_string(stdout, "origin", origin_name(piece->origin));
    fact_bytes(stdout, "bytes", bytes, piece->size);
    fact_end(stdout);
}

/* The part of the piece that was asked for. */
static void cut_piece(struct kda_piece *piece, uint64_t address, uint64_t last)
{
    uint64_t end = piece->address + (piece->size - 1u);

    if (piece->address < address) {
        uint64_t skip = address - piece->address;

        piece->address += skip;
        piece->data += skip;
        piece->size -= (uint32_t)skip;
    }
    if (end > last)
        piece->size -= (uint32_t)(end - last);
}

static uint64_t list_json(const struct models_seat *seat, const struct kda_memory *memory,
                          const struct kda_view *view, uint64_t address, uint64_t length)
{
    uint64_t last = length - 1 > UINT64_MAX - address ? UINT64_MAX : address + (length - 1);
    uint64_t at = address, found = 0;
    struct kda_piece piece;

    while (kda_memory_next(memory, view, &at, &piece) && piece.address <= last) {
        cut_piece(&piece, address, last);
        piece_json(seat, memory, &piece);
        found += piece.size;
    }
    return found;
}

bool mem_read(const struct mem_options *options, const struct models_seat *seat,
              struct problem *problem)
{
    const struct kda_memory *memory = mem_space(options, seat->model);
    const struct kda_view view = mem_view(options);
    uint64_t address, length;

    if (!mem_address(options, seat->model, options->arguments.items[0], &address, problem) ||
        !get_length(options, &length, problem))
        return false;
    return (options->json ? list_json(seat, memory, &view, address, length)
                          : dump(memory, &view, address, length)) == length;
}
