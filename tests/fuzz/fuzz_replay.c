/* fuzz_replay.c - libFuzzer target: any recording, and any debugger at its replay.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A list of pieces {what, size, bytes}. Those of the two ends are the recording: packets, whose
 * headers are made to fit. Those of the debugger come after it, at the replay and in strict mode:
 * packets and bytes as they are. What is sent to the debugger are whole frames, and an answer is
 * never longer than a packet may be.
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/replay.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PIECE_MAX = 4100, SENT_MAX = 1 << 20 };

struct subject {
    struct kda_store *store;
    struct kda_model *model;
    struct kda_script *script;
    struct kda_session *session;
    struct kda_replay *replay;
    struct kda_strict *strict;
    uint64_t now, sent;
    bool strictly; /* what is sent is as it was recorded */
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void take_event(void *context, const struct kda_event *event)
{
    struct subject *subject = context;

    require(kda_model_event(subject->model, event));
    require(kda_script_event(subject->script, event));
}

static void take_bytes(void *context, const uint8_t *bytes, size_t size)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct subject *subject = context;
    struct kd_frame frame;

    subject->sent += size;
    require(size > 0);
    if (subject->strictly)
        return;
    kd_frame_scan(&framing, bytes, size, false, true, &frame);
    require(frame.kind == KD_FRAME_PACKET && frame.flags == 0 && frame.size == size);
}

static void take_news(void *context, enum kda_replay_news news, uint32_t number, uint32_t frame)
{
    (void)context, (void)number, (void)frame;
    require(news <= KDA_REPLAY_ENDS);
}

static const struct kda_replay_events events = {take_bytes, take_news};

static size_t make_packet(uint8_t *packet, size_t room, uint32_t id, const uint8_t *bytes,
                          size_t size)
{
    static const enum kd_packet_type types[] = {
        KD_PACKET_STATE_MANIPULATE, KD_PACKET_STATE_CHANGE64, KD_PACKET_DEBUG_IO, KD_PACKET_FILE_IO,
        KD_PACKET_ACKNOWLEDGE,      KD_PACKET_RESET,          KD_PACKET_RESEND,
    };
    enum kd_packet_type type = types[bytes[0] % 7];

    return kd_frame_encode(packet, room, type, id, bytes + 1, kd_is_control(type) ? 0 : size - 1,
                           true);
}

/* --- pieces */

struct pieces {
    const uint8_t *at;
    size_t size;
};

static bool next_piece(struct pieces *pieces, unsigned *what, const uint8_t **bytes, size_t *size)
{
    if (pieces->size < 3)
        return false;
    *what = pieces->at[0];
    *size = (size_t)(pieces->at[1] | pieces->at[2] << 8) % PIECE_MAX;
    pieces->at += 3;
    pieces->size -= 3;
    *size = *size < pieces->size ? *size : pieces->size;
    *bytes = pieces->at;
    pieces->at += *size;
    pieces->size -= *size;
    return true;
}

static bool is_debuggers(unsigned what)
{
    return what >= 128;
}

static void record(struct subject *subject, struct pieces pieces)
{
    uint32_t ids[3] = {0x80800000, 0x80800000, 0x80800000}, frame = 0;
    uint8_t packet[PIECE_MAX + 32];
    const uint8_t *bytes;
    unsigned what;
    size_t size;

    while (next_piece(&pieces, &what, &bytes, &size)) {
        enum kd_flow flow = what & 1 ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER;

        if (is_debuggers(what) || size == 0)
            continue;
        frame++;
        size = make_packet(packet, sizeof packet, ids[flow], bytes, size);
        require(kda_session_bytes(subject->session, frame, frame, flow, packet, size));
        ids[flow] ^= what >> 1 & 1;
    }
    kda_session_end(subject->session);
    kda_model_end(subject->model);
}

/* --- the debugger */

static void say(struct subject *subject, const uint8_t *bytes, size_t size)
{
    subject->now += 1000;
    subject->strictly = true;
    kda_strict_receive(subject->strict, subject->now, bytes, size);
    if (kda_strict_deadline(subject->strict) <= subject->now)
        kda_strict_tick(subject->strict, subject->now);
    require(kda_strict_difference(subject->strict)->got_size <= KD_HEADER_SIZE + 4000);
    subject->strictly = false;
    if (!subject->replay)
        return;
    kda_replay_receive(subject->replay, subject->now, bytes, size);
    if (kda_replay_deadline(subject->replay) <= subject->now)
        kda_replay_tick(subject->replay, subject->now);
}

static void acknowledge(struct subject *subject)
{
    uint8_t packet[KD_HEADER_SIZE];

    for (uint32_t id = KD_INITIAL_PACKET_ID; id <= (KD_INITIAL_PACKET_ID | 1); id++) {
        kd_frame_encode(packet, sizeof packet, KD_PACKET_ACKNOWLEDGE, id, NULL, 0, true);
        say(subject, packet, sizeof packet);
    }
}

static void debug(struct subject *subject, struct pieces pieces)
{
    uint8_t packet[PIECE_MAX + 32];
    const uint8_t *bytes;
    uint32_t id = KD_INITIAL_PACKET_ID;
    unsigned what;
    size_t size;

    while (subject->sent < SENT_MAX && next_piece(&pieces, &what, &bytes, &size)) {
        if (!is_debuggers(what) || size == 0)
            continue;
        if (what & 4)
            subject->now += 2000000;
        if (what & 2) {
            say(subject, bytes, size);
            continue;
        }
        size = make_packet(packet, sizeof packet, id, bytes, size);
        say(subject, packet, size);
        id ^= 1;
        if (what & 1)
            acknowledge(subject);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct kda_session_config config = {.ids = KD_IDS_SERIAL};
    const struct kda_replay_config how = {.later = size & 1};
    struct subject subject = {.store = kda_store_new(1)};
    const struct pieces pieces = {data, size};
    const char *why;

    subject.model = kda_model_new(KDA_KEEP_MEMORY | KDA_KEEP_REGISTERS, subject.store, NULL);
    subject.script = kda_script_new(subject.store, true);
    subject.session = kda_session_new(&config, take_event, &subject);
    require(subject.model && subject.script && subject.session);
    record(&subject, pieces);
    subject.strict = kda_strict_new(subject.script, size & 2, &events, &subject);
    subject.replay =
        kda_replay_new(subject.model, subject.script, subject.store, &how, &events, &subject, &why);
    require(subject.strict && (subject.replay || why));
    subject.strictly = true;
    kda_strict_begin(subject.strict, 0);
    subject.strictly = false;
    require(!subject.replay || kda_replay_begin(subject.replay, 0));
    debug(&subject, pieces);
    kda_replay_free(subject.replay);
    kda_strict_free(subject.strict);
    kda_session_free(subject.session);
    kda_script_free(subject.script);
    kda_model_free(subject.model);
    kda_store_free(subject.store);
    return 0;
}
