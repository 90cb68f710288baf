/* test_model.c - sessions, memory and the model on traffic made here, with answers worked out by
 * hand.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/model.h"
#include "check.h"
#include "memory_place.h"

/* --- the store */

/* More than stays in memory comes back as it was, also across chunks. */
static void store_spills(void)
{
    enum { PIECE = 100003, PIECES = 80 };
    struct kda_store *store = kda_store_new(1);
    uint8_t *piece = malloc(PIECE), *back = malloc(PIECE);

    for (unsigned i = 0; i < PIECES; i++) {
        for (unsigned j = 0; j < PIECE; j++)
            piece[j] = (uint8_t)(i * 31 + j * 7);
        CHECK(kda_store_add(store, piece, PIECE) == (uint64_t)i * PIECE);
    }
    CHECK(kda_store_size(store) == (uint64_t)PIECE * PIECES);
    for (unsigned i = 0; i < PIECES; i++) {
        CHECK(kda_store_read(store, (uint64_t)i * PIECE, back, PIECE));
        for (unsigned j = 0; j < PIECE; j++)
            if (back[j] != (uint8_t)(i * 31 + j * 7)) {
                CHECK(back[j] == (uint8_t)(i * 31 + j * 7));
                break;
            }
    }
    CHECK(!kda_store_read(store, (uint64_t)PIECE * PIECES - 1, back, 2));
    CHECK(!kda_store_read(store, UINT64_MAX, back, 1));
    free(piece);
    free(back);
    kda_store_free(store);
}

/* --- memory */

static void see(struct place *place, enum kda_origin origin, uint32_t frame, uint32_t stop,
                uint64_t address, const char *text)
{
    CHECK(kda_memory_see(place->memory, origin, frame, stop, address, (const uint8_t *)text,
                         strlen(text)));
}

/* What is known of a range, '.' where nothing is. */
static const char *known(const struct place *place, uint32_t at, uint32_t without, uint64_t address,
                         size_t size)
{
    static char text[64];
    const struct kda_view view = {at, without};
    uint32_t frames[64];

    kda_memory_read(place->memory, &view, address, (uint8_t *)text, frames, size);
    for (size_t i = 0; i < size; i++)
        if (!frames[i])
            text[i] = '.';
    text[size] = '\0';
    return text;
}

static size_t pieces(const struct place *place, uint32_t at)
{
    const struct kda_view view = {at, 0};
    struct kda_piece piece;
    size_t count = 0;

    for (uint64_t address = 0; kda_memory_next(place->memory, &view, &address, &piece);)
        count++;
    return count;
}

static void memory_as_of_a_frame(void)
{
    struct place place = new_place();

    see(&place, KDA_READ, 10, 1, 0x1000, "abcdefgh");
    see(&place, KDA_READ, 20, 15, 0x1004, "efXhij");
    see(&place, KDA_WRITE, 30, 15, 0x1001, "BC");
    see(&place, KDA_READ, 40, 15, 0x1000, "aBCd");
    CHECK_EQ_STR(known(&place, 9, 0, 0x0ffe, 14), "..............");
    CHECK_EQ_STR(known(&place, 10, 0, 0x0ffe, 14), "..abcdefgh....");
    CHECK_EQ_STR(known(&place, 19, 0, 0x0ffe, 14), "..abcdefgh....");
    CHECK_EQ_STR(known(&place, 20, 0, 0x0ffe, 14), "..abcdefXhij..");
    CHECK_EQ_STR(known(&place, 30, 0, 0x0ffe, 14), "..aBCdefXhij..");
    CHECK_EQ_STR(known(&place, KDA_END, 0, 0x0ffe, 14), "..aBCdefXhij..");
    CHECK_EQ_STR(known(&place, KDA_END, KDA_DEBUGGERS, 0x0ffe, 14), "..abcdefXhij..");
    CHECK(kda_memory_tally(place.memory)->known == 10);
    CHECK(kda_memory_tally(place.memory)->changes == 2);
    CHECK(kda_memory_tally(place.memory)->changes_stopped == 0);
    free_place(&place);
}

/* What is read again costs nothing; frames say when it was seen first and last. */
static void memory_confirms(void)
{
    struct place place = new_place();
    const struct kda_view view = {KDA_END, 0};
    struct kda_piece piece;
    uint64_t size, address = 0;

    see(&place, KDA_READ, 1, 1, 0x2000, "0123456789abcdef");
    size = kda_store_size(place.store);
    for (uint32_t i = 2; i < 1000; i++)
        see(&place, KDA_READ, i, i, 0x2000, "0123456789abcdef");
    CHECK(kda_store_size(place.store) == size);
    CHECK(pieces(&place, KDA_END) == 1);
    CHECK(kda_memory_next(place.memory, &view, &address, &piece));
    CHECK(piece.address == 0x2000 && piece.size == 16 && piece.frame == 1 && piece.last == 999);
    free_place(&place);
}

static void memory_tells_of_changes(void)
{
    struct place place = new_place();
    struct kda_change change;
    uint64_t cursor = 0;

    see(&place, KDA_READ, 5, 3, 0x3000, "AAAA");
    see(&place, KDA_READ, 6, 3, 0x3000, "ABAA"); /* in the same stop */
    see(&place, KDA_WRITE, 7, 3, 0x3003, "C");   /* the debugger itself */
    see(&place, KDA_READ, 9, 8, 0x3001, "D");    /* in another stop */
    CHECK(kda_memory_next_change(place.memory, &cursor, &change));
    CHECK(change.address == 0x3001 && change.frame == 5 && change.until == 6 && change.stopped);
    CHECK(kda_memory_next_change(place.memory, &cursor, &change));
    CHECK(change.address == 0x3003 && change.by == KDA_WRITE && !change.stopped);
    CHECK(kda_memory_next_change(place.memory, &cursor, &change));
    CHECK(change.address == 0x3001 && change.frame == 6 && change.until == 9 && !change.stopped);
    CHECK(!kda_memory_next_change(place.memory, &cursor, &change));
    CHECK(kda_memory_tally(place.memory)->changes_stopped == 1);
    free_place(&place);
}

/* Across pages, at the end of the address space, and what would go beyond it. */
static void memory_at_its_ends(void)
{
    struct place place = new_place();
    const struct kda_view view = {KDA_END, 0};
    struct kda_extent extent;
    uint64_t address = 0;

    see(&place, KDA_READ, 1, 0, 0x4ffe, "wxyz");
    see(&place, KDA_READ, 2, 0, UINT64_MAX - 1, "PQRS");
    CHECK_EQ_STR(known(&place, KDA_END, 0, 0x4ffd, 6), ".wxyz.");
    CHECK_EQ_STR(known(&place, KDA_END, 0, UINT64_MAX - 2, 3), ".PQ");
    CHECK_EQ_STR(known(&place, KDA_END, 0, UINT64_MAX, 1), "Q");
    CHECK_EQ_STR(known(&place, KDA_END, 0, 0, 2), "..");
    CHECK(kda_memory_next_extent(place.memory, &view, &address, &extent));
    CHECK(extent.address == 0x4ffe && extent.size == 4);
    CHECK(kda_memory_next_extent(place.memory, &view, &address, &extent));
    CHECK(extent.address == UINT64_MAX - 1 && extent.size == 2 && extent.first == 2);
    CHECK(!kda_memory_next_extent(place.memory, &view, &address, &extent));
    free_place(&place);
}

/* A fill of gigabytes is a packet of a few bytes. */
static void memory_bounds_fills(void)
{
    struct place place = new_place();
    const struct kda_memory_tally *tally = kda_memory_tally(place.memory);

    CHECK(kda_memory_fill(place.memory, KDA_FILL, 1, 0, 0x5001, (const uint8_t *)"abc", 3, 7));
    CHECK_EQ_STR(known(&place, KDA_END, 0, 0x5000, 10), ".abcabca..");
    CHECK(kda_memory_fill(place.memory, KDA_FILL, 2, 0, 0x100000000, (const uint8_t *)"z", 1,
                          UINT64_C(1) << 32));
    CHECK(tally->bytes[KDA_FILL] == (UINT64_C(1) << 32) + 7);
    CHECK(tally->known + tally->left_out == (UINT64_C(1) << 32) + 7);
    CHECK(tally->known <= (uint64_t)64 << 20);
    free_place(&place);
}

/* Against a plain array, with values, places and origins at random. */
static void memory_at_random(void)
{
    enum { SIZE = 3 * 4096, ROUNDS = 3000, BASE = 0x10000 };
    struct place place = new_place();
    static uint8_t now[SIZE], half[SIZE], got[SIZE];
    static bool there[SIZE], half_there[SIZE];
    static uint32_t frames[SIZE];
    const struct kda_view end = {KDA_END, 0}, middle = {ROUNDS / 2, 0};
    uint32_t random = 1;
    size_t wrong = 0;

    for (uint32_t frame = 1; frame <= ROUNDS; frame++) {
        uint8_t bytes[600];
        size_t at, size;

        random = random * 1664525 + 1013904223;
        at = (random >> 8) % SIZE;
        size = 1 + (random >> 20) % (sizeof bytes - 1);
        size = size < SIZE - at ? size : SIZE - at;
        for (size_t i = 0; i < size; i++) {
            random = random * 1664525 + 1013904223;
            bytes[i] = random >> 24 < 200 && there[at + i] ? now[at + i] : (uint8_t)(random >> 16);
            now[at + i] = bytes[i];
            there[at + i] = true;
        }
        CHECK(kda_memory_see(place.memory, (enum kda_origin)(random >> 9) % KDA_ORIGINS, frame,
                             frame / 100, BASE + at, bytes, size));
        if (frame == ROUNDS / 2) {
            memcpy(half, now, sizeof half);
            memcpy(half_there, there, sizeof half_there);
        }
    }
    kda_memory_read(place.memory, &end, BASE, got, frames, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        wrong += (frames[i] != 0) != there[i] || (there[i] && got[i] != now[i]);
    CHECK_EQ_U64(wrong, 0);
    kda_memory_read(place.memory, &middle, BASE, got, frames, SIZE);
    for (size_t i = 0; i < SIZE; i++)
        wrong += (frames[i] != 0) != half_there[i] || (half_there[i] && got[i] != half[i]);
    CHECK_EQ_U64(wrong, 0);
    free_place(&place);
}

/* --- sessions */

struct line {
    uint8_t bytes[65536];
    size_t size;
    uint32_t ids[3];
};

static void put(struct line *line, const void *bytes, size_t size)
{
    memcpy(line->bytes + line->size, bytes, size);
    line->size += size;
}

static void put_packet(struct line *line, enum kd_packet_type type, uint32_t id,
                       const void *payload, size_t size)
{
    line->size += kd_frame_encode(line->bytes + line->size, sizeof line->bytes - line->size, type,
                                  id, payload, size, true);
}

struct heard {
    char text[4096];
    size_t size;
};

static void hear(void *context, const struct kda_event *event)
{
    struct heard *heard = context;
    static const char *const kinds[] = {"packet", "breakin", "noise", "datagram", "gap", "never"};

    heard->size += (size_t)snprintf(
        heard->text + heard->size, sizeof heard->text - heard->size, "%s %u-%u %zu%s;",
        kinds[event->kind], (unsigned)event->first_frame, (unsigned)event->frame, event->size,
        event->kind == KDA_PACKET && (event->packet->flags & KDA_DAMAGED) ? " damaged" : "");
}

/* The same stream cut anywhere gives the same packets; frames are those of the first and the last
 * byte. */
static void session_cut_anywhere(void)
{
    static const uint8_t print[20] = {0x30, 0x32, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 'a'};
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};
    static struct line line;
    struct heard whole = {.size = 0};

    line = (struct line){.size = 0};
    put(&line, "boot\n", 5);
    put_packet(&line, KD_PACKET_DEBUG_IO, 0x80800800, print, sizeof print);
    put_packet(&line, KD_PACKET_RESET, 0, NULL, 0);
    put_packet(&line, KD_PACKET_DEBUG_IO, 0x80800000, print, sizeof print);
    for (size_t cut = 1; cut < line.size; cut++) {
        struct heard heard = {.size = 0};
        struct kda_session *session = kda_session_new(&config, hear, &heard);
        size_t packets = 0;

        CHECK(kda_session_bytes(session, 1, 0, KD_FLOW_TO_DEBUGGER, line.bytes, cut));
        CHECK(kda_session_bytes(session, 2, 0, KD_FLOW_TO_DEBUGGER, line.bytes + cut,
                                line.size - cut));
        kda_session_end(session);
        for (const char *at = heard.text; (at = strstr(at, "packet")); at++)
            packets++;
        CHECK(packets == 3);
        if (cut == 20)
            whole = heard;
        kda_session_free(session);
    }
    /* 5 of noise, then header 16 + 20 + trailer: cut after 15 bytes of the first packet. */
    CHECK(strstr(whole.text, "noise 1-1 5;packet 1-2 37;packet 2-2 16;packet 2-2 37;") ==
          whole.text);
}

/* A byte a record: a packet of 16 + 20 + 1 bytes spans 37 of them. */
static void session_byte_by_byte(void)
{
    static const uint8_t print[20] = {0x30, 0x32};
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};
    static struct line line;
    struct heard heard = {.size = 0};
    struct kda_session *session = kda_session_new(&config, hear, &heard);

    line = (struct line){.size = 0};
    put_packet(&line, KD_PACKET_DEBUG_IO, 0x80800800, print, sizeof print);
    put_packet(&line, KD_PACKET_DEBUG_IO, 0x80800001, print, sizeof print);
    line.bytes[line.size - 2] ^= 1; /* the sum of the second is wrong */
    for (uint32_t i = 0; i < line.size; i++)
        CHECK(kda_session_bytes(session, i + 1, 0, KD_FLOW_TO_DEBUGGER, line.bytes + i, 1));
    CHECK_EQ_STR(heard.text, "packet 1-37 37;packet 38-74 37 damaged;");
    kda_session_free(session);
}

/* The end of a packet that the capture lacks does not swallow the next one. */
static void session_gap(void)
{
    static const uint8_t print[20] = {0x30, 0x32};
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};
    static struct line line;
    struct heard heard = {.size = 0};
    struct kda_session *session = kda_session_new(&config, hear, &heard);

    line = (struct line){.size = 0};
    put_packet(&line, KD_PACKET_DEBUG_IO, 0x80800800, print, sizeof print);
    CHECK(kda_session_bytes(session, 1, 0, KD_FLOW_TO_DEBUGGER, line.bytes, 30));
    kda_session_gap(session, 1, 0, KD_FLOW_TO_DEBUGGER, KDA_GAP_BYTES, 7);
    CHECK(kda_session_bytes(session, 2, 0, KD_FLOW_TO_DEBUGGER, line.bytes, line.size));
    CHECK_EQ_STR(heard.text, "packet 1-1 30;gap 1-1 0;packet 2-2 37;");
    kda_session_free(session);
}

/* --- the model */

struct scene {
    struct place place; /* its store only */
    struct kda_model *model;
    struct kda_session *session;
    uint32_t frame;
    uint32_t ids[3];
};

static void feed(void *context, const struct kda_event *event)
{
    struct scene *scene = context;

    CHECK(kda_model_event(scene->model, event));
}

static void begin_scene(struct scene *scene)
{
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};

    *scene = (struct scene){.place.store = kda_store_new(0)};
    scene->model = kda_model_new(KDA_KEEP_ALL, scene->place.store, NULL);
    scene->session = kda_session_new(&config, feed, scene);
    scene->ids[KD_FLOW_TO_TARGET] = scene->ids[KD_FLOW_TO_DEBUGGER] = 0x80800000;
}

static void end_scene(struct scene *scene)
{
    kda_session_free(scene->session);
    kda_model_free(scene->model);
    kda_store_free(scene->place.store);
}

/* One packet, a frame of its own, a second after the one before. */
static uint32_t send(struct scene *scene, enum kd_flow flow, enum kd_packet_type type,
                     const void *payload, size_t size)
{
    static uint8_t bytes[8192];
    size_t whole =
        kd_frame_encode(bytes, sizeof bytes, type, scene->ids[flow], payload, size, true);

    scene->ids[flow] ^= 1;
    scene->frame++;
    CHECK(kda_session_bytes(scene->session, scene->frame, scene->frame * UINT64_C(1000000000), flow,
                            bytes, whole));
    return scene->frame;
}

static uint32_t stop_at(struct scene *scene, uint64_t pc)
{
    uint8_t payload[240] = {0};
    struct kd_state_change64 *change = (struct kd_state_change64 *)payload;
    struct kd_exception64 *exception = (struct kd_exception64 *)(payload + KD_STATE_CHANGE_UNION);

    change->new_state = kd_put32(KD_STATE_EXCEPTION);
    change->number_processors = kd_put32(2);
    change->program_counter = kd_put64(pc);
    exception->exception_code = kd_put32(KD_NT(STATUS_BREAKPOINT));
    exception->first_chance = kd_put32(1);
    return send(scene, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_CHANGE64, payload, sizeof payload);
}

/* A request and its reply with data in one of them. */
static void ask(struct scene *scene, uint32_t api, uint64_t address, uint32_t count,
                const char *sent, uint32_t status, const char *data)
{
    uint8_t payload[KD_MANIPULATE_DATA + 256] = {0};
    struct kd_manipulate_header *header = (struct kd_manipulate_header *)payload;
    struct kd_memory *memory = (struct kd_memory *)(payload + KD_MANIPULATE_UNION);

    header->api_number = kd_put32(api);
    memory->target_base_address = kd_put64(address);
    memory->transfer_count = kd_put32(count);
    memcpy(payload + KD_MANIPULATE_DATA, sent, strlen(sent));
    send(scene, KD_FLOW_TO_TARGET, KD_PACKET_STATE_MANIPULATE, payload,
         KD_MANIPULATE_DATA + strlen(sent));
    header->return_status = kd_put32(status);
    memory->actual_bytes = kd_put32(*sent ? count : (uint32_t)strlen(data));
    memcpy(payload + KD_MANIPULATE_DATA, data, strlen(data));
    send(scene, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_MANIPULATE, payload,
         KD_MANIPULATE_DATA + strlen(data));
}

static void go_on(struct scene *scene)
{
    uint8_t payload[KD_MANIPULATE_DATA] = {0};
    struct kd_manipulate_header *header = (struct kd_manipulate_header *)payload;

    header->api_number = kd_put32(KD_API_CONTINUE2);
    *(kd_u32 *)(payload + KD_MANIPULATE_UNION) = kd_put32(KD_NT(DBG_CONTINUE));
    send(scene, KD_FLOW_TO_TARGET, KD_PACKET_STATE_MANIPULATE, payload, sizeof payload);
}

static void model_stops_and_memory(void)
{
    struct scene scene;
    const struct kda_stop *stop;
    const struct kda_write *write;
    const struct kda_view end = {KDA_END, 0};
    uint8_t bytes[8];

    begin_scene(&scene);
    CHECK(stop_at(&scene, 0x1234) == 1);
    ask(&scene, KD_API_READ_VIRTUAL_MEMORY, 0x8000, 4, "", 0, "abcd"); /* 2, 3 */
    ask(&scene, KD_API_WRITE_VIRTUAL_MEMORY, 0x8002, 2, "XY", 0, "");  /* 4, 5 */
    ask(&scene, KD_API_READ_VIRTUAL_MEMORY, 0x9000, 4, "", KD_NT(STATUS_UNSUCCESSFUL), ""); /* 6 */
    go_on(&scene);                                                                          /* 8 */
    stop_at(&scene, 0x5678);                                                                /* 9 */
    stop_at(&scene, 0x9abc); /* 10: it ran unseen */
    kda_session_end(scene.session);
    kda_model_end(scene.model);

    CHECK(kda_model_stop_count(scene.model) == 3);
    stop = kda_model_stop(scene.model, 0);
    CHECK(stop->frame == 1 && stop->pc == 0x1234 && stop->code == 0x80000003 && stop->first_chance);
    CHECK(stop->requests == 4 && stop->refused == 1 && stop->reads == 2 && stop->read_bytes == 4);
    CHECK(stop->writes == 1 && stop->written_bytes == 2);
    CHECK(stop->leave == KDA_LEFT_CONTINUE && stop->left_frame == 8);
    CHECK(stop->left_time - stop->time == UINT64_C(7000000000));
    CHECK(kda_model_stop(scene.model, 1)->leave == KDA_LEFT_UNSEEN);
    CHECK(kda_model_stop(scene.model, 2)->leave == KDA_LEFT_NOT);
    CHECK(kda_model_stop_at(scene.model, 9)->pc == 0x5678);
    CHECK(kda_model_stop_at(scene.model, 0) == NULL);
    CHECK(kda_model_version(scene.model)->processors == 2);

    CHECK(kda_memory_read(kda_model_virtual(scene.model), &end, 0x8000, bytes, NULL, 4) == 4);
    CHECK(memcmp(bytes, "abXY", 4) == 0);
    CHECK(kda_memory_tally(kda_model_virtual(scene.model))->observations[KDA_READ] == 2);
    CHECK(kda_model_write_count(scene.model) == 1);
    write = kda_model_write(scene.model, 0);
    CHECK(write->frame == 4 && write->reply == 5 && write->stop == 1 && write->address == 0x8002);
    CHECK(write->before.size == 2 && kda_model_bytes(scene.model, write->before, bytes));
    CHECK(memcmp(bytes, "cd", 2) == 0);
    end_scene(&scene);
}

/* A reply that says more bytes than it has, and one to nothing. */
static void model_believes_no_sizes(void)
{
    struct scene scene;
    uint8_t payload[KD_MANIPULATE_DATA + 4] = {0};
    struct kd_manipulate_header *header = (struct kd_manipulate_header *)payload;
    struct kd_memory *memory = (struct kd_memory *)(payload + KD_MANIPULATE_UNION);

    begin_scene(&scene);
    stop_at(&scene, 0);
    header->api_number = kd_put32(KD_API_READ_VIRTUAL_MEMORY);
    memory->target_base_address = kd_put64(0x7000);
    memory->transfer_count = memory->actual_bytes = kd_put32(UINT32_MAX);
    send(&scene, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_MANIPULATE, payload, sizeof payload);
    CHECK(kda_memory_tally(kda_model_virtual(scene.model))->known == 4);
    for (size_t size = 0; size < sizeof payload; size++)
        send(&scene, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_MANIPULATE, payload, size);
    for (size_t size = 0; size < sizeof payload; size++)
        send(&scene, KD_FLOW_TO_TARGET, KD_PACKET_STATE_MANIPULATE, payload, size);
    end_scene(&scene);
}

KD_TEST_MAIN({"store spills", store_spills}, {"memory as of a frame", memory_as_of_a_frame},
             {"memory confirms", memory_confirms},
             {"memory tells of changes", memory_tells_of_changes},
             {"memory at its ends", memory_at_its_ends},
             {"memory bounds fills", memory_bounds_fills}, {"memory at random", memory_at_random},
             {"session cut anywhere", session_cut_anywhere},
             {"session byte by byte", session_byte_by_byte}, {"session gap", session_gap},
             {"model stops and memory", model_stops_and_memory},
             {"model believes no sizes", model_believes_no_sizes})
