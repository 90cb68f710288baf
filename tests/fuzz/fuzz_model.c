/* fuzz_model.c - libFuzzer target: any bytes as a session, or as a capture with sessions in it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte chooses. A script is a list of pieces {what, size, bytes}: bytes of either end, a
 * packet whose header is made to fit, a hole. A capture is read as the tool reads one. Whatever
 * comes, questions about the model have answers that fit each other: what is known at the end was
 * observed, stops are in order, a byte read by itself is the one that a piece says.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/model.h"
#include "kd_streams.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_MAX = 4200, SESSIONS = 4, QUESTIONS = 64 };

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* --- a model and what is asked of it */

struct subject {
    struct kda_store *store;
    struct kda_model *model;
    struct kda_session *session;
    uint64_t events;
};

static void take_event(void *context, const struct kda_event *event)
{
    struct subject *subject = context;

    subject->events++;
    require(event->first_frame <= event->frame);
    require(event->kind != KDA_PACKET || (event->packet && event->seen && event->payload));
    require(kda_model_event(subject->model, event));
}

static void begin(struct subject *subject, bool datagrams)
{
    const struct kda_session_config config = {.ids = datagrams ? KD_IDS_KDNET : KD_IDS_SERIAL,
                                              .datagrams = datagrams};

    *subject = (struct subject){.store = kda_store_new(1)};
    subject->model = kda_model_new(KDA_KEEP_ALL, subject->store, NULL);
    subject->session = kda_session_new(&config, take_event, subject);
    require(subject->model && subject->session);
}

static uint64_t ask_memory(const struct kda_memory *memory, const struct kda_view *view)
{
    uint64_t address = 0, known = 0, last = 0;
    struct kda_piece piece;

    for (unsigned i = 0; kda_memory_next(memory, view, &address, &piece); i++) {
        uint8_t one[4096], all[4096];
        uint32_t frames[4096];

        require(piece.size > 0 && piece.size <= sizeof one && piece.frame <= view->at);
        require(known == 0 || piece.address > last);
        last = piece.address + (piece.size - 1);
        known += piece.size;
        if (i >= QUESTIONS)
            continue;
        require(kda_store_read(kda_memory_store(memory), piece.data, one, piece.size));
        require(kda_memory_read(memory, view, piece.address, all, frames, piece.size) ==
                piece.size);
        require(memcmp(one, all, piece.size) == 0 && frames[0] == piece.frame);
    }
    return known;
}

static void ask_space(const struct kda_memory *memory)
{
    const struct kda_view end = {KDA_END, 0}, middle = {40, 0}, bare = {KDA_END, KDA_DEBUGGERS};
    struct kda_change change;
    uint64_t cursor = 0, count = 0;

    require(ask_memory(memory, &end) == kda_memory_tally(memory)->known);
    require(ask_memory(memory, &middle) <= kda_memory_tally(memory)->known);
    require(ask_memory(memory, &bare) <= kda_memory_tally(memory)->known);
    while (kda_memory_next_change(memory, &cursor, &change)) {
        require(change.frame <= change.until && change.size > 0);
        count++;
    }
    require(count >= kda_memory_tally(memory)->changes);
}

static void ask(const struct subject *subject)
{
    const struct kda_model *model = subject->model;
    uint32_t frame = 0;

    require(kda_model_counts(model)->events == subject->events);
    require(kda_model_stop_count(model) == kda_model_counts(model)->stops);
    for (size_t i = 0; i < kda_model_stop_count(model); i++) {
        const struct kda_stop *stop = kda_model_stop(model, i);

        require(stop->frame >= frame && stop->refused <= stop->requests + stop->reads + 10000);
        frame = stop->frame;
        kda_model_module_at(model, stop->pc, stop->frame);
        kda_model_context_at(model, stop->processor, KDA_END, true);
    }
    for (size_t i = 0; i < kda_model_file_count(model); i++)
        require(kda_model_file(model, i)->number == i + 1);
    for (size_t i = 0; i < kda_model_write_count(model); i++)
        require(kda_model_write(model, i)->actual <= kda_model_write(model, i)->size ||
                kda_model_write(model, i)->kind >= KDA_WRITE_CONTEXT);
    ask_space(kda_model_virtual(model));
    ask_space(kda_model_physical(model));
}

static void end(struct subject *subject)
{
    kda_session_end(subject->session);
    kda_model_end(subject->model);
    ask(subject);
    kda_session_free(subject->session);
    kda_model_free(subject->model);
    kda_store_free(subject->store);
}

/* --- a script */

static void play_packet(struct subject *subject, uint32_t frame, enum kd_flow flow, uint32_t id,
                        const uint8_t *bytes, size_t size)
{
    static const enum kd_packet_type types[] = {
        KD_PACKET_STATE_MANIPULATE, KD_PACKET_STATE_CHANGE64, KD_PACKET_DEBUG_IO,
        KD_PACKET_FILE_IO,          KD_PACKET_STATE_CHANGE32, KD_PACKET_TRACE_IO,
        KD_PACKET_CONTROL_REQUEST,
    };
    uint8_t packet[PIECE_MAX + 32];
    size_t whole;

    if (size == 0)
        return;
    whole =
        kd_frame_encode(packet, sizeof packet, types[bytes[0] % 7], id, bytes + 1, size - 1, true);
    require(kda_session_bytes(subject->session, frame, frame * 1000000u, flow, packet, whole));
}

static void play(struct subject *subject, const uint8_t *data, size_t size)
{
    uint32_t ids[3] = {0x80800000, 0x80800000, 0x80800000};

    for (uint32_t frame = 1; size >= 3; frame++) {
        unsigned what = data[0];
        enum kd_flow flow = (enum kd_flow)(what % 3);
        size_t piece = (size_t)(data[1] | data[2] << 8) % PIECE_MAX;

        data += 3;
        size -= 3;
        piece = piece < size ? piece : size;
        if (what < 32) {
            require(kda_session_bytes(subject->session, frame, frame, flow, data, piece));
        } else if (what < 36) {
            kda_session_gap(subject->session, frame, frame, flow, KDA_GAP_BYTES, piece);
        } else {
            play_packet(subject, frame, flow, ids[flow], data, piece);
            ids[flow] ^= what & 1;
        }
        data += piece;
        size -= piece;
    }
}

/* --- a capture */

struct input {
    const uint8_t *at;
    size_t size;
};

static ptrdiff_t read_input(void *context, void *buffer, size_t size, char *error,
                            size_t error_size)
{
    struct input *input = context;

    (void)error, (void)error_size;
    size = size < input->size ? size : input->size;
    memcpy(buffer, input->at, size);
    input->at += size;
    input->size -= size;
    return (ptrdiff_t)size;
}

static void take_chunk(struct subject *subject, const struct kd_chunk *chunk)
{
    static const enum kd_flow flows[] = {KD_FLOW_TO_TARGET, KD_FLOW_TO_DEBUGGER, KD_FLOW_UNKNOWN};

    if (chunk->kind == KD_CHUNK_BYTES)
        require(kda_session_bytes(subject->session, chunk->frame, chunk->time,
                                  flows[chunk->direction], chunk->bytes, chunk->size));
    else if (chunk->kind == KD_CHUNK_DATAGRAM)
        kda_session_datagram(subject->session, chunk->frame, chunk->time, chunk->datagram);
    else
        kda_session_gap(subject->session, chunk->frame, chunk->time, flows[chunk->direction],
                        chunk->gap, chunk->missing);
}

static void read_capture(const uint8_t *data, size_t size)
{
    struct input input = {data, size};
    struct cap_failure failure;
    struct problem problem;
    struct cap_reader *reader = cap_reader_open_function(read_input, &input, &failure);
    struct kd_streams *streams = reader ? kd_streams_new(reader, NULL, &problem) : NULL;
    struct subject subjects[SESSIONS];
    unsigned count = 0;
    struct kd_chunk chunk;

    if (!streams)
        return;
    kd_streams_want_all(streams);
    while (kd_streams_next(streams, &chunk)) {
        for (; count < SESSIONS && count < kd_streams_count(streams); count++)
            begin(&subjects[count], kd_streams_get(streams, count)->kind == KD_STREAM_KDNET ||
                                        kd_streams_get(streams, count)->kind == KD_STREAM_PLAIN);
        if (chunk.stream < count)
            take_chunk(&subjects[chunk.stream], &chunk);
    }
    for (unsigned i = 0; i < count; i++)
        end(&subjects[i]);
    kd_streams_free(streams);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct subject subject;

    if (size == 0)
        return 0;
    if (data[0] == 0x0a || data[0] == 0xd4) { /* the first byte of pcapng, of pcap */
        read_capture(data, size);
        return 0;
    }
    begin(&subject, data[0] & 1);
    play(&subject, data + 1, size - 1);
    end(&subject);
    return 0;
}
