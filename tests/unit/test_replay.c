/* test_replay.c - a recording made here, acted to a debugger made here: answers worked out by hand.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/replay.h"
#include "check.h"

#define UNSUCCESSFUL KD_NT(STATUS_UNSUCCESSFUL)
#define UNKNOWN_API  0x31F0u

/* --- the recording */

struct recording {
    struct kda_store *store;
    struct kda_model *model;
    struct kda_script *script;
    struct kda_session *session;
    uint32_t frame, ids[3];
};

static void take_event(void *context, const struct kda_event *event)
{
    struct recording *recording = context;

    CHECK(kda_model_event(recording->model, event));
    CHECK(kda_script_event(recording->script, event));
}

static void put(struct recording *recording, enum kd_flow flow, enum kd_packet_type type,
                const void *payload, size_t size)
{
    uint8_t packet[512];
    size_t whole =
        kd_frame_encode(packet, sizeof packet, type, KD_INITIAL_PACKET_ID | recording->ids[flow],
                        payload, size, true);

    recording->ids[flow] ^= 1;
    recording->frame++;
    CHECK(kda_session_bytes(recording->session, recording->frame, recording->frame, flow, packet,
                            whole));
}

static void print(struct recording *recording, const char *text)
{
    uint8_t payload[64] = {0x30, 0x32};

    payload[8] = (uint8_t)strlen(text);
    memcpy(payload + KD_DEBUG_IO_TEXT, text, strlen(text));
    put(recording, KD_FLOW_TO_DEBUGGER, KD_PACKET_DEBUG_IO, payload,
        KD_DEBUG_IO_TEXT + strlen(text));
}

static void stop(struct recording *recording, uint64_t pc)
{
    uint8_t payload[KD_STATE_CHANGE_TEXT] = {0};
    struct kd_state_change64 *change = (struct kd_state_change64 *)payload;

    change->new_state = kd_put32(KD_STATE_EXCEPTION);
    change->number_processors = kd_put32(1);
    change->program_counter = kd_put64(pc);
    put(recording, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_CHANGE64, payload, sizeof payload);
}

/* A manipulate message with up to 40 bytes of union; its size. */
static size_t message(uint8_t *payload, uint32_t api, uint32_t status, const void *fields,
                      size_t fields_size, const char *data)
{
    struct kd_manipulate_header *header = (struct kd_manipulate_header *)payload;

    memset(payload, 0, KD_MANIPULATE_DATA);
    header->api_number = kd_put32(api);
    header->return_status = kd_put32(status);
    memcpy(payload + KD_MANIPULATE_UNION, fields, fields_size);
    memcpy(payload + KD_MANIPULATE_DATA, data, strlen(data));
    return KD_MANIPULATE_DATA + strlen(data);
}

static void asked(struct recording *recording, uint32_t api, uint32_t status, const void *fields,
                  size_t fields_size, const char *sent, const char *data)
{
    uint8_t payload[256];
    size_t size = message(payload, api, 0x103, fields, fields_size, sent);

    put(recording, KD_FLOW_TO_TARGET, KD_PACKET_STATE_MANIPULATE, payload, size);
    size = message(payload, api, status, fields, fields_size, data);
    put(recording, KD_FLOW_TO_DEBUGGER, KD_PACKET_STATE_MANIPULATE, payload, size);
}

static struct kd_memory memory_fields(uint64_t address, size_t size)
{
    return (struct kd_memory){.target_base_address = kd_put64(address),
                              .transfer_count = kd_put32((uint32_t)size),
                              .actual_bytes = kd_put32((uint32_t)size)};
}

static void was_read(struct recording *recording, uint64_t address, const char *text)
{
    const struct kd_memory fields = memory_fields(address, strlen(text));

    asked(recording, KD_API_READ_VIRTUAL_MEMORY, 0, &fields, sizeof fields, "", text);
}

static void was_written(struct recording *recording, uint64_t address, const char *text)
{
    const struct kd_memory fields = memory_fields(address, strlen(text));

    asked(recording, KD_API_WRITE_VIRTUAL_MEMORY, 0, &fields, sizeof fields, text, "");
}

static void went_on(struct recording *recording)
{
    uint8_t payload[KD_MANIPULATE_DATA];
    size_t size = message(payload, KD_API_CONTINUE2, 0, "", 0, "");

    put(recording, KD_FLOW_TO_TARGET, KD_PACKET_STATE_MANIPULATE, payload, size);
}

/* What is recorded from now on goes into it, until end(). */
static struct recording *begin(void)
{
    static struct recording recording;
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};

    recording = (struct recording){.store = kda_store_new(0)};
    recording.model = kda_model_new(KDA_KEEP_ALL, recording.store, NULL);
    recording.script = kda_script_new(recording.store, true);
    recording.session = kda_session_new(&config, take_event, &recording);
    return &recording;
}

static struct recording end(struct recording *recording)
{
    kda_session_end(recording->session);
    kda_model_end(recording->model);
    return *recording;
}

static struct recording record(void)
{
    struct recording *recording = begin();

    print(recording, "first");
    stop(recording, 0x1000);
    was_read(recording, 0x1000, "ABCDEFGH");
    was_read(recording, 0x2000, "wxyz");
    was_written(recording, 0x2000, "1234");
    was_read(recording, 0x2000, "1234");
    asked(recording, UNKNOWN_API, 0xC0000002, "k", 1, "", "");
    asked(recording, KD_API_CHECK_LOW_MEMORY, 0, "", 0, "", "");
    went_on(recording);
    print(recording, "second");
    stop(recording, 0x3000);
    was_read(recording, 0x1004, "zz");
    was_read(recording, 0x5000, "late");
    return end(recording);
}

/* At the first stop nobody was there yet. */
static struct recording record_latecomer(void)
{
    struct recording *recording = begin();

    stop(recording, 0x800);
    stop(recording, 0x1000);
    was_read(recording, 0x1000, "ABCD");
    went_on(recording);
    stop(recording, 0x3000);
    was_read(recording, 0x3000, "EFGH");
    return end(recording);
}

static void forget(struct recording *recording)
{
    kda_session_free(recording->session);
    kda_script_free(recording->script);
    kda_model_free(recording->model);
    kda_store_free(recording->store);
}

/* --- the debugger */

struct debugger {
    struct recording recording;
    struct kda_replay *replay;
    uint64_t now;
    uint8_t line[65536]; /* from the target, not yet looked at */
    size_t size;
    uint32_t id;
    enum kd_packet_type type; /* newest data packet */
    uint8_t payload[KD_PACKET_MAX_SIZE];
    size_t payload_size;
    char prints[256];
    unsigned stops, ends;
    uint32_t stop;
};

static void take_bytes(void *context, const uint8_t *bytes, size_t size)
{
    struct debugger *debugger = context;

    CHECK(debugger->size + size <= sizeof debugger->line);
    memcpy(debugger->line + debugger->size, bytes, size);
    debugger->size += size;
}

static void take_news(void *context, enum kda_replay_news news, uint32_t number, uint32_t frame)
{
    struct debugger *debugger = context;

    (void)frame;
    if (news == KDA_REPLAY_STOPS) {
        debugger->stops++;
        debugger->stop = number;
    }
    debugger->ends += news == KDA_REPLAY_ENDS;
}

static const struct kda_replay_events events = {take_bytes, take_news};

static void send(struct debugger *debugger, enum kd_packet_type type, uint32_t id,
                 const uint8_t *payload, size_t size)
{
    uint8_t packet[512];
    size_t whole = kd_frame_encode(packet, sizeof packet, type, id, payload, size, true);

    debugger->now += 1000;
    kda_replay_receive(debugger->replay, debugger->now, packet, whole);
}

static void take_packet(struct debugger *debugger, const uint8_t *bytes,
                        const struct kd_frame *frame)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    enum kd_packet_type type = (enum kd_packet_type)kd_get16(header->packet_type);

    if (kd_is_control(type))
        return;
    debugger->type = type;
    debugger->payload_size = frame->payload;
    memcpy(debugger->payload, bytes + KD_HEADER_SIZE, frame->payload);
    if (type == KD_PACKET_DEBUG_IO) {
        size_t size = frame->payload - KD_DEBUG_IO_TEXT, there = strlen(debugger->prints);

        CHECK(size < sizeof debugger->prints - there);
        memcpy(debugger->prints + there, debugger->payload + KD_DEBUG_IO_TEXT, size);
    }
    send(debugger, KD_PACKET_ACKNOWLEDGE, kd_get32(header->packet_id) & ~KD_SYNC_PACKET_ID, NULL,
         0);
}

/* Acknowledges all that has come. */
static void listen(struct debugger *debugger)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct kd_frame frame;

    for (size_t at = 0; at < debugger->size; at += frame.size) {
        uint8_t bytes[KD_HEADER_SIZE + KD_PACKET_MAX_SIZE + 1];

        kd_frame_scan(&framing, debugger->line + at, debugger->size - at, false, true, &frame);
        CHECK(frame.kind == KD_FRAME_PACKET);
        memcpy(bytes, debugger->line + at, frame.size);
        take_packet(debugger, bytes, &frame);
    }
    debugger->size = 0;
}

static struct debugger *attach_to(struct recording recording,
                                  const struct kda_replay_config *config)
{
    struct debugger *debugger = calloc(1, sizeof *debugger);
    const char *why;

    debugger->recording = recording;
    debugger->replay = kda_replay_new(debugger->recording.model, debugger->recording.script,
                                      debugger->recording.store, config, &events, debugger, &why);
    CHECK(debugger->replay && !why);
    CHECK(kda_replay_begin(debugger->replay, debugger->now));
    listen(debugger);
    return debugger;
}

static struct debugger *attach(const struct kda_replay_config *config)
{
    return attach_to(record(), config);
}

static void leave(struct debugger *debugger)
{
    kda_replay_free(debugger->replay);
    forget(&debugger->recording);
    free(debugger);
}

/* The status of the answer. */
static uint32_t ask(struct debugger *debugger, uint32_t api, const void *fields, size_t fields_size,
                    const char *data)
{
    uint8_t payload[256];
    size_t size = message(payload, api, 0x103, fields, fields_size, data);

    debugger->type = KD_PACKET_RESET;
    send(debugger, KD_PACKET_STATE_MANIPULATE, KD_INITIAL_PACKET_ID | debugger->id, payload, size);
    debugger->id ^= 1;
    listen(debugger);
    if (debugger->type != KD_PACKET_STATE_MANIPULATE)
        return UINT32_MAX;
    return kd_get32(((struct kd_manipulate_header *)debugger->payload)->return_status);
}

/* What comes of a read: the bytes, or "refused". */
static const char *reads(struct debugger *debugger, uint64_t address, size_t size)
{
    static char text[64];
    const struct kd_memory fields = memory_fields(address, size);
    const struct kd_memory *reply = (const void *)(debugger->payload + KD_MANIPULATE_UNION);
    uint32_t status = ask(debugger, KD_API_READ_VIRTUAL_MEMORY, &fields, sizeof fields, "");

    if (status == UNSUCCESSFUL && kd_get32(reply->actual_bytes) == 0)
        return "refused";
    CHECK(status == 0);
    CHECK(debugger->payload_size == KD_MANIPULATE_DATA + kd_get32(reply->actual_bytes));
    memcpy(text, debugger->payload + KD_MANIPULATE_DATA,
           debugger->payload_size - KD_MANIPULATE_DATA);
    text[debugger->payload_size - KD_MANIPULATE_DATA] = '\0';
    return text;
}

static uint32_t writes(struct debugger *debugger, uint64_t address, const char *text)
{
    const struct kd_memory fields = memory_fields(address, strlen(text));

    return ask(debugger, KD_API_WRITE_VIRTUAL_MEMORY, &fields, sizeof fields, text);
}

static uint64_t program_counter(const struct debugger *debugger)
{
    const struct kd_state_change64 *change = (const void *)debugger->payload;

    CHECK(debugger->type == KD_PACKET_STATE_CHANGE64);
    return kd_get64(change->program_counter);
}

/* --- cases */

static void memory_is_of_the_stop(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){0});

    CHECK_EQ_STR(debugger->prints, "first");
    CHECK(program_counter(debugger) == 0x1000 && debugger->stops == 1 && debugger->stop == 1);
    CHECK_EQ_STR(reads(debugger, 0x1000, 4), "ABCD");
    CHECK_EQ_STR(reads(debugger, 0x1004, 16), "EFGH"); /* a hole begins behind it */
    CHECK_EQ_STR(reads(debugger, 0x2000, 4), "wxyz");  /* before the recorded debugger wrote */
    CHECK_EQ_STR(reads(debugger, 0x5000, 4), "refused");
    CHECK(writes(debugger, 0x2002, "!!") == 0);
    CHECK_EQ_STR(reads(debugger, 0x2000, 4), "wx!!");
    CHECK(writes(debugger, 0x7000, "no") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_CONTINUE2, "", 0, "") == UINT32_MAX);
    CHECK_EQ_STR(debugger->prints, "firstsecond");
    CHECK(program_counter(debugger) == 0x3000 && debugger->stop == 2);
    CHECK_EQ_STR(reads(debugger, 0x1000, 8), "ABCDzzGH");
    CHECK_EQ_STR(reads(debugger, 0x2000, 4), "12!!"); /* both debuggers' writes */
    CHECK_EQ_STR(reads(debugger, 0x5000, 4), "late");
    leave(debugger);
}

static void later_is_asked_for(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){.later = true, .read_limit = 6});

    CHECK_EQ_STR(reads(debugger, 0x5000, 4), "late");
    CHECK_EQ_STR(reads(debugger, 0x1000, 8), "ABCDEF");
    CHECK_EQ_STR(reads(debugger, 0x6000, 8), "refused");
    leave(debugger);
}

/* At the end it runs; a break-in, or a request, gives the last stop. */
static void it_runs_at_the_end(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){.stop = 2});
    const uint8_t break_in = KD_BREAKIN_BYTE;

    CHECK_EQ_STR(debugger->prints, "");
    CHECK(program_counter(debugger) == 0x3000);
    CHECK(ask(debugger, KD_API_CONTINUE2, "", 0, "") == UINT32_MAX);
    CHECK(debugger->ends == 1 && debugger->type == KD_PACKET_RESET);
    kda_replay_receive(debugger->replay, ++debugger->now, &break_in, 1);
    listen(debugger);
    CHECK(program_counter(debugger) == 0x3000);
    CHECK_EQ_STR(reads(debugger, 0x5000, 4), "late");
    CHECK(ask(debugger, KD_API_CONTINUE2, "", 0, "") == UINT32_MAX && debugger->ends == 2);
    CHECK_EQ_STR(reads(debugger, 0x5000, 4), "late");
    leave(debugger);
}

static void answers_as_recorded(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){.at = 5});
    const kd_u32 msr[3] = {kd_put32(1), kd_put32(2), kd_put32(3)};

    CHECK(ask(debugger, UNKNOWN_API, "k", 1, "") == 0xC0000002);
    CHECK(ask(debugger, KD_API_CHECK_LOW_MEMORY, "", 0, "") == 0);
    CHECK(ask(debugger, UNKNOWN_API, "l", 1, "") == UNSUCCESSFUL);
    CHECK(debugger->payload[KD_MANIPULATE_UNION] == 'l');
    CHECK(ask(debugger, KD_API_GET_CONTEXT, "", 0, "") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_READ_CONTROL_SPACE, "", 0, "") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_READ_MSR, msr, sizeof msr, "") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_WRITE_MSR, msr, sizeof msr, "") == 0);
    CHECK(ask(debugger, KD_API_READ_MSR, msr, 4, "") == 0);
    CHECK(memcmp(debugger->payload + KD_MANIPULATE_UNION, msr, sizeof msr) == 0);
    CHECK(ask(debugger, KD_API_CLEAR_ALL_INTERNAL_BREAKPOINTS, "", 0, "") == UINT32_MAX);
    leave(debugger);
}

static uint32_t plants(struct debugger *debugger, uint64_t address)
{
    const kd_u64 field = kd_put64(address);
    const struct kd_write_breakpoint *reply =
        (const void *)(debugger->payload + KD_MANIPULATE_UNION);
    uint32_t status = ask(debugger, KD_API_WRITE_BREAKPOINT, &field, sizeof field, "");

    CHECK((status == 0) == (kd_get32(reply->break_point_handle) != 0));
    return kd_get32(reply->break_point_handle);
}

/* Handles as the boot manager gives them. */
static void breakpoints_have_handles(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){0});
    const kd_u32 second = kd_put32(2), none = kd_put32(33);

    for (uint32_t i = 1; i <= KD_MAX_BREAKPOINTS; i++)
        CHECK_EQ_U64(plants(debugger, 0x1000), i);
    CHECK_EQ_U64(plants(debugger, 0x1000), 0);
    CHECK(ask(debugger, KD_API_RESTORE_BREAKPOINT, &second, 4, "") == 0);
    CHECK(ask(debugger, KD_API_RESTORE_BREAKPOINT, &second, 4, "") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_RESTORE_BREAKPOINT, &none, 4, "") == UNSUCCESSFUL);
    CHECK_EQ_U64(plants(debugger, 0x1000), 2);
    leave(debugger);
}

static void search_and_fill(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){0});
    struct kd_search_memory search = {.search_address = kd_put64(0x1000),
                                      .search_length = kd_put64(8),
                                      .pattern_length = kd_put32(2)};
    struct kd_fill_memory fill = {.address = kd_put64(0x1001),
                                  .length = kd_put32(5),
                                  .flags = kd_put16(KD_FILL_VIRTUAL),
                                  .pattern_length = kd_put16(2)};

    CHECK(ask(debugger, KD_API_SEARCH_MEMORY, &search, sizeof search, "EF") == 0);
    CHECK(kd_get64(*(kd_u64 *)(debugger->payload + KD_MANIPULATE_UNION)) == 0x1004);
    CHECK(ask(debugger, KD_API_SEARCH_MEMORY, &search, sizeof search, "no") ==
          KD_NT(STATUS_NO_MORE_ENTRIES));
    search.search_length = kd_put64(9);
    CHECK(ask(debugger, KD_API_SEARCH_MEMORY, &search, sizeof search, "no") == UNSUCCESSFUL);
    CHECK(ask(debugger, KD_API_FILL_MEMORY, &fill, sizeof fill, "+-") == 0);
    CHECK_EQ_STR(reads(debugger, 0x1000, 8), "A+-+-+GH");
    fill.length = kd_put32(100);
    CHECK(ask(debugger, KD_API_FILL_MEMORY, &fill, sizeof fill, "+-") == UNSUCCESSFUL);
    leave(debugger);
}

/* A debugger that begins anew is told where the target stands. */
static void reset_gives_the_stop(void)
{
    struct debugger *debugger = attach(&(struct kda_replay_config){0});

    debugger->type = KD_PACKET_RESET;
    send(debugger, KD_PACKET_RESET, 0, NULL, 0);
    debugger->id = 0;
    listen(debugger);
    CHECK(debugger->type == KD_PACKET_RESET); /* one that is there asks for something first */
    CHECK(kda_replay_deadline(debugger->replay) >= debugger->now + 250000);
    debugger->now = kda_replay_deadline(debugger->replay);
    kda_replay_tick(debugger->replay, debugger->now);
    listen(debugger);
    CHECK(program_counter(debugger) == 0x1000 && debugger->stops == 1);
    CHECK_EQ_STR(reads(debugger, 0x1000, 4), "ABCD");
    leave(debugger);
}

static void unseen_stops_are_left_out(void)
{
    struct debugger *debugger = attach_to(record_latecomer(), &(struct kda_replay_config){0});

    CHECK(program_counter(debugger) == 0x1000 && debugger->stops == 1 && debugger->stop == 2);
    CHECK_EQ_STR(reads(debugger, 0x1000, 4), "ABCD");
    leave(debugger);
    debugger = attach_to(record_latecomer(), &(struct kda_replay_config){.stop = 1});
    CHECK(program_counter(debugger) == 0x800 && debugger->stop == 1);
    CHECK(ask(debugger, KD_API_CONTINUE2, "", 0, "") == UINT32_MAX);
    CHECK(program_counter(debugger) == 0x1000 && debugger->stop == 2);
    leave(debugger);
}

/* WinDbg's engine RESETs while its Continue is obeyed, and sends it again before it has taken the
 * state change: the target stays at the stop, and the debugger is told so. */
static void continue_again_after_reset(void)
{
    struct debugger *debugger = attach_to(record_latecomer(), &(struct kda_replay_config){0});
    uint8_t payload[KD_MANIPULATE_DATA];
    size_t size = message(payload, KD_API_CONTINUE2, 0, "", 0, "");

    send(debugger, KD_PACKET_STATE_MANIPULATE, KD_INITIAL_PACKET_ID, payload, size);
    CHECK(debugger->stops == 2);
    send(debugger, KD_PACKET_RESET, 0, NULL, 0);
    send(debugger, KD_PACKET_STATE_MANIPULATE, KD_INITIAL_PACKET_ID, payload, size);
    debugger->id = 1;
    listen(debugger);
    CHECK(program_counter(debugger) == 0x3000 && debugger->stops == 2 && debugger->ends == 0);
    CHECK_EQ_STR(reads(debugger, 0x3000, 4), "EFGH");
    CHECK(ask(debugger, KD_API_CONTINUE2, "", 0, "") == UINT32_MAX && debugger->ends == 1);
    leave(debugger);
}

static void beginnings_that_are_none(void)
{
    struct recording recording = record();
    const struct kda_replay_config configs[] = {{.stop = 3}, {.at = 1}};
    const char *why;

    for (size_t i = 0; i < 2; i++) {
        CHECK(!kda_replay_new(recording.model, recording.script, recording.store, &configs[i],
                              &events, NULL, &why));
        CHECK(why && *why);
    }
    forget(&recording);
}

/* --- strict */

/* Data packets of the target that came since. */
static unsigned data_packets(struct debugger *debugger)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct kd_frame frame;
    unsigned count = 0;

    for (size_t at = 0; at < debugger->size; at += frame.size) {
        kd_frame_scan(&framing, debugger->line + at, debugger->size - at, false, true, &frame);
        count += frame.kind == KD_FRAME_PACKET;
    }
    debugger->size = 0;
    return count;
}

static void say(struct kda_strict *strict, uint64_t now, enum kd_packet_type type, uint32_t id,
                const uint8_t *payload, size_t size)
{
    uint8_t packet[512];

    size = kd_frame_encode(packet, sizeof packet, type, id, payload, size, true);
    kda_strict_receive(strict, now, packet, size);
}

static void strict_repeats_on_a_bad_line(void)
{
    struct recording recording = record();
    struct debugger *line = calloc(1, sizeof *line);
    struct kda_strict *strict = kda_strict_new(recording.script, true, &events, line);
    const struct kd_memory fields = memory_fields(0x1000, 8);
    uint8_t request[128];
    size_t size = message(request, KD_API_READ_VIRTUAL_MEMORY, 0x103, &fields, sizeof fields, "");

    kda_strict_begin(strict, 1);
    CHECK_EQ_U64(data_packets(line), 2); /* print, stop */
    say(strict, 2, KD_PACKET_RESEND, 0, NULL, 0);
    CHECK_EQ_U64(data_packets(line), 2);
    say(strict, 3, KD_PACKET_STATE_MANIPULATE, KD_INITIAL_PACKET_ID, request, size);
    CHECK_EQ_U64(data_packets(line), 1);
    say(strict, 4, KD_PACKET_STATE_MANIPULATE, KD_INITIAL_PACKET_ID, request, size);
    CHECK_EQ_U64(data_packets(line), 1);
    kda_strict_tick(strict, 5);
    CHECK_EQ_U64(data_packets(line), 0);
    kda_strict_tick(strict, 5000000);
    CHECK_EQ_U64(data_packets(line), 1);
    CHECK(kda_strict_state(strict) == KDA_STRICT_GOES_ON);
    kda_strict_free(strict);
    forget(&recording);
    free(line);
}

static void strict_takes_no_other(void)
{
    struct recording recording = record();
    struct debugger *line = calloc(1, sizeof *line);
    struct kda_strict *strict = kda_strict_new(recording.script, false, &events, line);
    uint64_t came, all;

    kda_strict_begin(strict, 1);
    say(strict, 2, KD_PACKET_RESEND, 0, NULL, 0);
    CHECK(kda_strict_state(strict) == KDA_STRICT_DIFFERS);
    CHECK(kda_strict_difference(strict)->frame == 3); /* the first read */
    CHECK(kda_strict_difference(strict)->got_size == KD_HEADER_SIZE);
    kda_strict_progress(strict, &came, &all);
    CHECK(came == 0 && all == 9); /* 5 reads, a write, 2 others, Continue2 */
    kda_strict_free(strict);
    forget(&recording);
    free(line);
}

KD_TEST_MAIN({"strict repeats on a bad line", strict_repeats_on_a_bad_line},
             {"strict takes no other", strict_takes_no_other},
             {"memory is of the stop", memory_is_of_the_stop},
             {"later is asked for", later_is_asked_for}, {"it runs at the end", it_runs_at_the_end},
             {"answers as recorded", answers_as_recorded},
             {"breakpoints have handles", breakpoints_have_handles},
             {"search and fill", search_and_fill}, {"reset gives the stop", reset_gives_the_stop},
             {"unseen stops are left out", unseen_stops_are_left_out},
             {"Continue again after RESET", continue_again_after_reset},
             {"beginnings that are none", beginnings_that_are_none})
