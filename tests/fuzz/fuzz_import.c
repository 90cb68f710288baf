/* fuzz_import.c - libFuzzer target: any bytes as an input of `kdlens import`.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte chooses the format. Two reads deliver the same; what text formats deliver is
 * smaller than the text; dumps come out byte for byte, each direction in its order.
 */
#include <stdlib.h>
#include <string.h>

#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { DUMPS = 5 }; /* behind the formats */

static const struct import_format *const formats[DUMPS] = {
    &import_jsonl, &import_socat, &import_html, &import_capture, &import_raw};

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* What was delivered: all of it as a sum, and the bytes of dumps. */
struct delivered {
    uint64_t sum, chunks, bytes;
    const uint8_t *expected[3]; /* by direction; NULL: anything */
    size_t left[3];
};

static bool take_chunk(void *context, const struct import_chunk *chunk)
{
    struct delivered *delivered = context;
    unsigned direction = chunk->direction;

    require(chunk->line < STREAM_LINES_MAX && direction <= CAP_DIRECTION_UNKNOWN);
    delivered->chunks++;
    delivered->bytes += chunk->size;
    delivered->sum = delivered->sum * 31 + chunk->time + direction;
    for (size_t i = 0; i < chunk->size; i++)
        delivered->sum = delivered->sum * 31 + chunk->bytes[i];
    if (delivered->expected[direction]) {
        require(chunk->size <= delivered->left[direction] &&
                memcmp(chunk->bytes, delivered->expected[direction], chunk->size) == 0);
        delivered->expected[direction] += chunk->size;
        delivered->left[direction] -= chunk->size;
    }
    return delivered->chunks < 100000;
}

static bool take_line(void *context, unsigned line, const struct stream_line *what)
{
    (void)context;
    require(line < STREAM_LINES_MAX && what);
    return true;
}

static void read_format(const struct import_format *format, const uint8_t *data, size_t size,
                        struct delivered *delivered)
{
    const struct import_sink sink = {take_chunk, take_line, delivered};
    struct input *input = input_open_memory(data, size);
    struct import_faults faults = {0};
    struct problem problem = {{0}};
    bool fine;

    require(input != NULL);
    fine = format->read(input, &sink, &faults, &problem);
    require(fine == (problem.text[0] == '\0'));
    require((faults.count > 0) == (faults.first.text[0] != '\0'));
    input_close(input);
}

static void read_dumps(const uint8_t *data, size_t size, struct delivered *delivered)
{
    const struct import_sink sink = {take_chunk, take_line, delivered};
    size_t half = size / 2;
    struct input *debugger = input_open_memory(data, half);
    struct input *target = input_open_memory(data + half, size - half);
    struct problem problem;

    require(debugger && target);
    delivered->expected[CAP_SENT] = data;
    delivered->left[CAP_SENT] = half;
    delivered->expected[CAP_RECEIVED] = data + half;
    delivered->left[CAP_RECEIVED] = size - half;
    require(import_dumps(debugger, target, &sink, &problem));
    require(delivered->bytes == size);
    input_close(debugger);
    input_close(target);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned which = size ? data[0] % (DUMPS + 1) : 0;
    struct delivered delivered[2] = {{0}, {0}};

    if (size == 0)
        return 0;
    data++;
    size--;
    for (int i = 0; i < 2; i++) {
        if (which == DUMPS) {
            read_dumps(data, size, &delivered[i]);
            continue;
        }
        if (formats[which] == &import_raw) {
            delivered[i].expected[CAP_DIRECTION_UNKNOWN] = data;
            delivered[i].left[CAP_DIRECTION_UNKNOWN] = size;
        }
        if (formats[which]->recognise)
            formats[which]->recognise(data, size);
        read_format(formats[which], data, size, &delivered[i]);
        require(formats[which] != &import_raw || delivered[i].bytes == size);
        require(formats[which] != &import_jsonl || delivered[i].bytes <= size);
    }
    require(delivered[0].sum == delivered[1].sum && delivered[0].chunks == delivered[1].chunks);
    return 0;
}
