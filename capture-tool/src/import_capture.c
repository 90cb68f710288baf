/* import_capture.c - captures: the older tool's UDP files, and recordings to be cut anew.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "import.h"
#include "kd_streams.h"

static ptrdiff_t read_input(void *context, void *buffer, size_t size, char *error,
                            size_t error_size)
{
    struct input *input = context;
    size_t got = input_read(input, buffer, size);

    if (got == 0 && input_failure(input)) {
        snprintf(error, error_size, "%s", input_failure(input));
        return -1;
    }
    return (ptrdiff_t)got;
}

static bool say_line(const struct import_sink *sink, const struct kd_stream *stream, unsigned i)
{
    const struct stream_line line = {.name = stream->name[0] ? stream->name : NULL,
                                     .description =
                                         stream->description[0] ? stream->description : NULL,
                                     .speed = stream->speed};

    return sink->line(sink->context, i, &line);
}

static void deliver(struct kd_streams *streams, const struct import_sink *sink)
{
    struct kd_chunk chunk;
    unsigned known = 0;
    bool wanted = true;

    while (wanted && kd_streams_next(streams, &chunk)) {
        while (wanted && known < kd_streams_count(streams)) {
            wanted = say_line(sink, kd_streams_get(streams, known), known);
            known++;
        }
        wanted =
            wanted && sink->chunk(sink->context,
                                  &(struct import_chunk){chunk.stream, chunk.time, chunk.direction,
                                                         chunk.bytes, chunk.size});
    }
}

/* What was left out, and why. */
static void tell_faults(const struct kd_streams *streams, struct import_faults *faults)
{
    const struct kd_streams_tally *tally = kd_streams_tally(streams);

    if (tally->cut)
        import_fault(faults, "%" PRIu64 " packets are not whole in the capture (snap length)",
                     tally->cut);
    if (tally->missed)
        import_fault(faults, "more than %u connections: %" PRIu64 " packets left out",
                     KD_STREAMS_MAX, tally->missed);
    if (tally->sealed && kd_streams_count(streams) == 0)
        import_fault(faults, "the capture holds KDNET, which needs no import: open it in Wireshark "
                             "(kdlens keys add puts its key into it), or see kdlens export");
    else if (kd_streams_count(streams) == 0)
        import_fault(faults, "none of its %" PRIu64 " packets carries KD", tally->packets);
}

static bool is_gzip(const uint8_t *head, size_t size)
{
    return size >= 2 && head[0] == 0x1f && head[1] == 0x8b;
}

static bool recognise(const uint8_t *head, size_t size)
{
    static const uint8_t magics[][4] = {
        {0x0a, 0x0d, 0x0d, 0x0a}, {0xd4, 0xc3, 0xb2, 0xa1}, {0xa1, 0xb2, 0xc3, 0xd4},
        {0x4d, 0x3c, 0xb2, 0xa1}, {0xa1, 0xb2, 0x3c, 0x4d},
    };

    if (is_gzip(head, size))
        return true;
    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++)
        if (size >= 4 && memcmp(head, magics[i], 4) == 0)
            return true;
    return false;
}

static bool read_capture(struct input *input, const struct import_sink *sink,
                         struct import_faults *faults, struct problem *problem)
{
    size_t size;
    const uint8_t *head = input_head(input, &size);
    bool gzip = is_gzip(head, size), fine;
    struct cap_failure failure;
    const struct cap_failure *ended;
    struct cap_reader *reader = cap_reader_open_function(read_input, input, &failure);
    struct kd_streams *streams;

    if (!reader) {
        problem_set(problem, "%s", failure.text);
        return false;
    }
    streams = kd_streams_new(reader, NULL, problem);
    if (!streams)
        return false;
    deliver(streams, sink);
    ended = kd_streams_failure(streams);
    fine = ended->kind == CAP_FAILURE_NONE;
    if (ended->kind == CAP_FAILURE_FORMAT && gzip)
        problem_set(problem, "gzip, with no capture in it; unpack it first: gzip -dc FILE | kdlens "
                             "import - ...");
    else if (!fine)
        problem_set(problem, "offset %" PRIu64 ": %s", ended->offset, ended->text);
    else
        tell_faults(streams, faults);
    kd_streams_free(streams);
    return fine;
}

const struct import_format import_capture = {
    .name = "capture",
    .recognise = recognise,
    .read = read_capture,
};
