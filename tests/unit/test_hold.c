/* test_hold.c - --hold and --heal: what goes through, what is kept, and that nothing is lost.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * What the machine does is written as text, one word for each frame that comes out of it:
 *   D or T            from the debugger or the target
 *   > ~ x t r         passed, passed late, dropped before KD, dropped as text, dropped as repeated
 *   R A S M C b "..." RESET, ACK, RESEND, manipulate, state change, break-in, noise; A, M and C
 * with the last digit of their id
 */
#include <stdlib.h>

#include "check.h"
#include "hold.h"

#define MS UINT64_C(1000000)

enum { ROOM = 1 << 16, PAYLOAD = 60 };

/* --- packets */

struct bytes {
    uint8_t data[ROOM];
    size_t size;
};

static void add_packet(struct bytes *out, enum kd_packet_type type, uint32_t id, uint8_t fill)
{
    uint8_t payload[PAYLOAD];
    size_t size = kd_is_control((uint32_t)type) ? 0 : sizeof payload;

    memset(payload, fill, sizeof payload);
    out->size +=
        kd_frame_encode(out->data + out->size, ROOM - out->size, type, id, payload, size, true);
}

static void add_text(struct bytes *out, const char *text)
{
    memcpy(out->data + out->size, text, strlen(text));
    out->size += strlen(text);
}

/* One word: R S b A0 A1 M0 M1 C0 C1, C8 is the state change with SYNC, or text. */
static void add_word(struct bytes *out, const char *word)
{
    static const uint32_t first = KD_INITIAL_PACKET_ID;
    uint32_t id = word[1] == '8' ? first | KD_SYNC_PACKET_ID : first | (word[1] == '1');
    bool has_id = word[1] >= '0' && word[1] <= '9' && !word[2];

    if (strcmp(word, "R") == 0)
        add_packet(out, KD_PACKET_RESET, 0, 0);
    else if (strcmp(word, "S") == 0)
        add_packet(out, KD_PACKET_RESEND, 0, 0);
    else if (strcmp(word, "b") == 0)
        add_text(out, "b");
    else if (word[0] == 'A' && has_id)
        add_packet(out, KD_PACKET_ACKNOWLEDGE, id, 0);
    else if (word[0] == 'M' && has_id)
        add_packet(out, KD_PACKET_STATE_MANIPULATE, id, 0x11);
    else if (word[0] == 'C' && has_id)
        add_packet(out, KD_PACKET_STATE_CHANGE64, id, 0x22);
    else
        add_text(out, word);
}

/* --- the machine and what it said */

struct story {
    struct hold hold;
    uint64_t now;
    char text[4096];
    size_t length;
    enum hold_news news[64];
    size_t news_count;
    struct bytes out[2]; /* passed on, by who sent it */
    struct bytes dropped[2];
    uint64_t when[2]; /* of the last span */
};

static void say(struct story *story, const char *word)
{
    story->length +=
        (size_t)snprintf(story->text + story->length, sizeof story->text - story->length, "%s%s",
                         story->length ? " " : "", word);
    if (story->length >= sizeof story->text)
        story->length = sizeof story->text - 1;
}

static void describe(char *out, size_t room, const struct kd_frame *frame, const uint8_t *bytes)
{
    static const char letters[] = {[KD_PACKET_STATE_MANIPULATE] = 'M',
                                   [KD_PACKET_ACKNOWLEDGE] = 'A',
                                   [KD_PACKET_RESEND] = 'S',
                                   [KD_PACKET_RESET] = 'R',
                                   [KD_PACKET_STATE_CHANGE64] = 'C'};
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    uint16_t type;

    if (frame->kind == KD_FRAME_BREAKIN) {
        snprintf(out, room, "b");
    } else if (frame->kind == KD_FRAME_PACKET) {
        type = kd_get16(header->packet_type);
        if (type == KD_PACKET_RESET || type == KD_PACKET_RESEND)
            snprintf(out, room, "%c", letters[type]);
        else
            snprintf(out, room, "%c%u", letters[type], kd_get32(header->packet_id) & 0xF);
    } else {
        snprintf(out, room, "\"%.*s\"", (int)frame->size, (const char *)bytes);
    }
}

/* Whether what follows in the span goes on with the noise before it. */
static bool is_noise_next(const struct kd_framing *framing, const struct hold_span *span, size_t at)
{
    struct kd_frame frame;

    kd_frame_scan(framing, span->bytes + at, span->size - at, true, true, &frame);
    return frame.kind == KD_FRAME_NOISE;
}

static void on_span(void *context, const struct hold_span *span)
{
    static const char fates[] = {[HOLD_PASS] = '>',
                                 [HOLD_PASS_LATE] = '~',
                                 [HOLD_DROP_EARLY] = 'x',
                                 [HOLD_DROP_TEXT] = 't',
                                 [HOLD_DROP_REPEATED] = 'r'};
    struct story *story = context;
    struct kd_framing framing = {
        KD_PACKET_MAX_SIZE, span->from == SIDE_DEBUGGER ? KD_FLOW_TO_TARGET : KD_FLOW_TO_DEBUGGER};
    bool passed = span->fate == HOLD_PASS || span->fate == HOLD_PASS_LATE;
    struct bytes *to = passed ? &story->out[span->from] : &story->dropped[span->from];
    bool after_noise = false;
    size_t noise = 0; /* bytes of a run of noise before at */

    CHECK(span->size > 0);
    story->when[span->from] = span->when;
    memcpy(to->data + to->size, span->bytes, span->size);
    to->size += span->size;
    for (size_t at = 0; at < span->size;) {
        struct kd_frame frame;
        char word[80], line[100];

        kd_frame_scan(&framing, span->bytes + at, span->size - at, after_noise, true, &frame);
        at += frame.size;
        after_noise = frame.kind == KD_FRAME_NOISE;
        noise = after_noise ? noise + frame.size : 0;
        if (after_noise && is_noise_next(&framing, span, at))
            continue;
        frame.size = noise ? noise : frame.size;
        describe(word, sizeof word, &frame, span->bytes + at - frame.size);
        snprintf(line, sizeof line, "%c%c%s", span->from == SIDE_DEBUGGER ? 'D' : 'T',
                 fates[span->fate], word);
        say(story, line);
        noise = 0;
    }
}

static void on_news(void *context, enum hold_news news, uint64_t number)
{
    struct story *story = context;

    (void)number;
    if (story->news_count < sizeof story->news / sizeof story->news[0])
        story->news[story->news_count++] = news;
}

static const struct hold_events events = {.span = on_span, .news = on_news};

static struct story *begin(bool with_hold, bool with_heal)
{
    struct story *story = calloc(1, sizeof *story);

    if (!story)
        abort();
    story->now = 1000 * MS;
    hold_init(&story->hold, with_hold, with_heal, &events, story);
    return story;
}

/* "D:R T:C0 D:M0": each word is one read, a millisecond after the one before; "+500" lets time
 * pass. */
static void tell(struct story *story, const char *words)
{
    char copy[1024];

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " ")) {
        struct bytes bytes = {.size = 0};

        story->now += word[0] == '+' ? strtoull(word + 1, NULL, 10) * MS : MS;
        if (hold_deadline(&story->hold) <= story->now)
            hold_tick(&story->hold, story->now);
        if (word[0] == '+')
            continue;
        add_word(&bytes, word + 2);
        hold_push(&story->hold, word[0] == 'D' ? SIDE_DEBUGGER : SIDE_TARGET, story->now,
                  bytes.data, bytes.size);
    }
}

static void check_story(bool with_hold, bool with_heal, const char *words, const char *expected)
{
    struct story *story = begin(with_hold, with_heal);

    tell(story, words);
    CHECK_EQ_STR(story->text, expected);
    free(story);
}

/* --- --hold */

static void hold_keeps_the_debugger_waiting(void)
{
    check_story(true, false, "D:R D:b T:Boot0000 D:R T:C8 D:A0 D:M0 T:A0",
                "DxR Dxb Tt\"Boot\" DxR Tt\"0000\" T>C0 D>A0 D>M0 T>A0");
}

static void hold_sees_a_packet_behind_text(void)
{
    struct story *story = begin(true, false);
    struct bytes bytes = {.size = 0};

    add_text(&bytes, "iii Press i to 0000 ");
    add_word(&bytes, "C8");
    add_word(&bytes, "C8");
    tell(story, "D:R");
    hold_push(&story->hold, SIDE_TARGET, story->now, bytes.data, bytes.size);
    CHECK_EQ_STR(story->text, "DxR Tt\"iii Press i to 0000 \" T>C0 T>C0");
    CHECK_EQ_U64(story->news_count, 1);
    CHECK_EQ_U64(story->news[0], HOLD_ENDS);
    free(story);
}

/* A RESET that has begun when the gate opens is not cut. */
static void hold_does_not_cut_a_packet(void)
{
    struct story *story = begin(true, false);
    struct bytes reset = {.size = 0};

    add_word(&reset, "R");
    hold_push(&story->hold, SIDE_DEBUGGER, story->now, reset.data, 7);
    CHECK_EQ_STR(story->text, "");
    tell(story, "T:C8");
    hold_push(&story->hold, SIDE_DEBUGGER, story->now, reset.data + 7, reset.size - 7);
    CHECK_EQ_U64(story->out[SIDE_DEBUGGER].size, reset.size);
    CHECK_EQ_MEM(story->out[SIDE_DEBUGGER].data, reset.data, reset.size);
    free(story);
}

static void hold_spares_the_debugger_text_later(void)
{
    check_story(true, false, "T:C8 D:A0 T:hello +1 D:M0 T:A0", "T>C0 D>A0 Tt\"hello\" D>M0 T>A0");
}

/* A machine that restarts prints its firmware's text again. */
static void hold_begins_again(void)
{
    struct story *story = begin(true, false);

    tell(story, "T:C8 D:A0 D:M0 T:A0 T:Press-any-key-to-boot T:from-disk-or-network D:R D:b T:C8 "
                "D:A0");
    CHECK_EQ_STR(story->text, "T>C0 D>A0 D>M0 T>A0 Tt\"Press-any-key-to-boot\" "
                              "Tt\"from-disk-or-network\" DxR Dxb T>C0 D>A0");
    CHECK_EQ_U64(story->news_count, 3);
    CHECK_EQ_U64(story->news[1], HOLD_AGAIN);
    CHECK_EQ_U64(story->news[2], HOLD_ENDS);
    free(story);
}

/* The debugger has to see a damaged packet to ask for it again. */
static void hold_passes_damage(void)
{
    struct story *story = begin(true, false);
    struct bytes damaged = {.size = 0};

    add_word(&damaged, "C1");
    damaged.data[30] ^= 1;
    tell(story, "T:C8");
    hold_push(&story->hold, SIDE_TARGET, story->now, damaged.data, damaged.size);
    hold_push(&story->hold, SIDE_TARGET, story->now, damaged.data, 40);
    tell(story, "+600");
    CHECK_EQ_U64(story->dropped[SIDE_TARGET].size, 0);
    free(story);
}

/* A packet goes through as it comes, once its header is complete. */
static void hold_does_not_wait_for_packets(void)
{
    struct story *story = begin(true, false);
    struct bytes packet = {.size = 0};

    tell(story, "T:C8");
    add_word(&packet, "C1");
    for (size_t i = 0; i < packet.size; i++) {
        size_t before = story->out[SIDE_TARGET].size;

        hold_push(&story->hold, SIDE_TARGET, story->now, packet.data + i, 1);
        CHECK_EQ_U64(story->out[SIDE_TARGET].size - before, i + 1 < KD_HEADER_SIZE ? 0
                                                            : i + 1 == KD_HEADER_SIZE
                                                                ? KD_HEADER_SIZE
                                                                : 1);
    }
    free(story);
}

/* What has gone through is told when it came, not when its packet began to come. */
static void pieces_have_their_own_times(void)
{
    struct story *story = begin(true, true);
    struct bytes packet = {.size = 0};

    tell(story, "T:C8");
    add_word(&packet, "C1");
    for (size_t i = 0; i < 3; i++) {
        story->now += 100 * MS;
        hold_push(&story->hold, SIDE_TARGET, story->now, packet.data + i * 20,
                  i < 2 ? 20 : packet.size - 40);
        CHECK_EQ_U64(story->when[SIDE_TARGET], story->now);
    }
    CHECK_EQ_U64(story->out[SIDE_TARGET].size, 2 * packet.size);
    free(story);
}

/* Text that ends in what might begin a packet. */
static void hold_shows_unfinished_text(void)
{
    check_story(true, false, "T:Hit-i +400 +200", "Tt\"Hit-\" Tt\"i\"");
}

static void hold_waits_for_the_next_target(void)
{
    struct story *story = begin(true, false);

    tell(story, "T:C8 D:A0");
    hold_disconnected(&story->hold, SIDE_TARGET);
    tell(story, "D:R T:C8 D:A0");
    hold_disconnected(&story->hold, SIDE_DEBUGGER);
    tell(story, "D:R");
    CHECK_EQ_STR(story->text, "T>C0 D>A0 DxR T>C0 D>A0 D>R");
    free(story);
}

/* --- --heal */

static void heal_keeps_the_request_until_the_ack(void)
{
    check_story(false, true, "D:R T:R T:C0 D:M0 D:A0 +210 T:A0 T:M1",
                "D>R T>R T>C0 D>A0 D~M0 T>A0 T>M1");
    check_story(false, true, "D:R D:M0 T:R T:C8 D:A0 +210 D:M1", "D>R T>R T>C0 D>A0 D~M0 D>M1");
}

static void heal_passes_the_last_one(void)
{
    check_story(false, true, "D:R D:M0 T:R D:M1 T:C0 D:M1 D:A0 +210",
                "D>R T>R DrM0 T>C0 DrM1 D>A0 D~M1");
}

/* An ACK of an earlier packet is not the one the target waits for. */
static void heal_waits_for_the_right_ack(void)
{
    check_story(false, true, "D:R T:C0 T:C1 D:M0 D:A0 +210 D:A1 +210",
                "D>R T>C0 T>C1 D>A0 D>A1 D~M0");
}

/* Each RESET and each packet of the target begins the wait anew. */
static void heal_waits_for_quiet(void)
{
    check_story(false, true, "D:R T:C0 D:M0 D:A0 +150 D:R T:C0 D:A0 D:M1 +150 T:C1 +210 D:A1 +210",
                "D>R T>C0 D>A0 D>R DrM0 T>C0 D>A0 T>C1 D>A1 D~M1");
}

static void heal_leaves_all_else(void)
{
    check_story(false, true, "D:M0 T:A0 D:R D:b D:S D:A1 D:hello +600 T:text",
                "D>M0 T>A0 D>R D>b D>S D>A1 D>\"hello\" T>\"text\"");
}

static void heal_has_a_limit(void)
{
    struct story *story = begin(false, true);

    tell(story, "D:R T:R D:M0 +2000");
    CHECK_EQ_STR(story->text, "D>R T>R");
    tell(story, "+500 D:M1");
    CHECK_EQ_STR(story->text, "D>R T>R D~M0 D>M1");
    CHECK_EQ_U64(story->news[story->news_count - 1], HEAL_LIMIT);
    CHECK_EQ_U64(hold_deadline(&story->hold), UINT64_MAX);
    free(story);
}

static void heal_gives_up_with_the_debugger(void)
{
    check_story(false, true, "D:R D:M0 D:R T:C0 D:A0 +210 D:M0", "D>R D>R DrM0 T>C0 D>A0 D>M0");
}

static void heal_is_switched_while_bytes_flow(void)
{
    struct story *story = begin(false, true);

    tell(story, "D:R D:M0");
    hold_set_heal(&story->hold, false, story->now);
    CHECK(!hold_active(&story->hold));
    CHECK_EQ_STR(story->text, "D>R D~M0");
    hold_set_heal(&story->hold, true, story->now);
    tell(story, "D:M0 D:R T:C0 D:M0 D:A0 +210");
    CHECK_EQ_STR(story->text, "D>R D~M0 D>M0 D>R T>C0 D>A0 D~M0");
    free(story);
}

static void both_together(void)
{
    check_story(true, true, "D:R T:text D:b T:C8 D:A0 D:M0 D:R T:R T:C0 D:M0 D:A0 +210",
                "DxR Tt\"text\" Dxb T>C0 D>A0 D>M0 D>R T>R T>C0 D>A0 D~M0");
}

/* --- cuts and random streams */

static uint32_t next_random(uint32_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state;
}

static void random_stream(struct bytes *out, uint32_t *state, size_t words)
{
    static const char *const choices[] = {"R",  "S",  "b",  "A0", "A1",       "M0",
                                          "M1", "C0", "C8", "i",  "00 text ", "hello"};

    out->size = 0;
    for (size_t i = 0; i < words; i++)
        add_word(out, choices[next_random(state) % (sizeof choices / sizeof choices[0])]);
}

/* Every byte comes out once: passed ones and dropped ones together are as many as went in, and
 * without --heal, which reorders, they are in order. */
static void run_random(uint32_t seed, bool with_hold, bool with_heal)
{
    struct story *story = begin(with_hold, with_heal);
    static struct bytes in[2];
    size_t at[2] = {0, 0};
    uint32_t state = seed;

    for (int i = 0; i < 2; i++)
        random_stream(&in[i], &state, 100);
    while (at[0] < in[0].size || at[1] < in[1].size) {
        enum side side = next_random(&state) % 2 ? SIDE_TARGET : SIDE_DEBUGGER;
        size_t size = next_random(&state) % 40;

        if (size > in[side].size - at[side])
            size = in[side].size - at[side];
        story->now += next_random(&state) % 20 == 0 ? 600 * MS : MS;
        hold_tick(&story->hold, story->now);
        hold_push(&story->hold, side, story->now, in[side].data + at[side], size);
        at[side] += size;
    }
    hold_disconnected(&story->hold, SIDE_DEBUGGER);
    hold_disconnected(&story->hold, SIDE_TARGET);
    for (int i = 0; i < 2; i++)
        CHECK_EQ_U64(story->out[i].size + story->dropped[i].size, in[i].size);
    if (!with_hold)
        CHECK_EQ_MEM(story->out[SIDE_TARGET].data, in[SIDE_TARGET].data, in[SIDE_TARGET].size);
    free(story);
}

static void nothing_is_lost(void)
{
    for (uint32_t seed = 1; seed <= 300; seed++) {
        run_random(seed, true, false);
        run_random(seed, false, true);
        run_random(seed, true, true);
    }
}

/* Where the stream is cut changes nothing. */
static void cuts_do_not_matter(void)
{
    static const char *const words = "R C8 M0 A0 M1 A1 R text C0 M0 A0 b M1";
    struct bytes whole = {.size = 0};
    char copy[200];

    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, " "); word; word = strtok(NULL, " "))
        add_word(&whole, word);
    for (size_t cut = 1; cut <= 100; cut++) {
        struct story *story = begin(false, true);

        tell(story, "D:R T:C0");
        for (size_t at = 0; at < whole.size; at += cut)
            hold_push(&story->hold, SIDE_DEBUGGER, story->now, whole.data + at,
                      whole.size - at < cut ? whole.size - at : cut);
        tell(story, "+600 +2500");
        CHECK_EQ_U64(story->out[SIDE_DEBUGGER].size + story->dropped[SIDE_DEBUGGER].size,
                     whole.size + KD_HEADER_SIZE);
        free(story);
    }
}

/* --- a debugger and a target that storm, as WinDbg and Windows' boot debugger do
 *
 * The target answers each RESET with RESET and its state change, and a request with RESEND while it
 * waits for the ACK of that. The debugger takes one RESET for the answer to its own; another one it
 * answers, and repeats its request, before it looks at the state change behind. After STORM_TRIES
 * of these without an ACK for the request it is silent for a second, and then begins anew.
 * STORM_REPLIES without a RESET make a session. */

enum { STORM_TRIES = 18, STORM_REPLIES = 5, STORM_STEP = 10 /* ms for each packet taken */ };

struct storm {
    struct story *story;
    size_t read[2]; /* bytes of story->out that the other end has taken */
    bool target_waits;
    bool expects_reset, stopped, acknowledged;
    bool done;
    unsigned tries, resets;
    unsigned replies; /* to requests, since the last RESET */
    uint64_t silent_until;
};

static void send_word(struct storm *storm, enum side side, const char *word)
{
    struct bytes bytes = {.size = 0};

    storm->resets += side == SIDE_DEBUGGER && strcmp(word, "R") == 0;
    add_word(&bytes, word);
    hold_push(&storm->story->hold, side, storm->story->now, bytes.data, bytes.size);
}

static void target_takes(struct storm *storm, uint16_t type)
{
    if (type == KD_PACKET_RESET) {
        send_word(storm, SIDE_TARGET, "R");
        send_word(storm, SIDE_TARGET, "C0");
        storm->target_waits = true;
    } else if (type == KD_PACKET_ACKNOWLEDGE) {
        storm->target_waits = false;
    } else if (storm->target_waits) {
        send_word(storm, SIDE_TARGET, "S");
    } else {
        send_word(storm, SIDE_TARGET, "A0");
        send_word(storm, SIDE_TARGET, "M1");
        storm->target_waits = true;
    }
}

static void debugger_takes_reset(struct storm *storm)
{
    storm->tries = storm->acknowledged ? 0 : storm->tries + 1;
    storm->acknowledged = false;
    storm->replies = 0;
    if (storm->tries > STORM_TRIES) {
        storm->silent_until = storm->story->now + 1000 * MS;
        return;
    }
    if (!storm->expects_reset)
        send_word(storm, SIDE_DEBUGGER, "R");
    storm->expects_reset = false;
    if (storm->stopped)
        send_word(storm, SIDE_DEBUGGER, "M0");
}

static void debugger_takes(struct storm *storm, uint16_t type)
{
    if (type == KD_PACKET_RESET) {
        debugger_takes_reset(storm);
    } else if (type == KD_PACKET_STATE_CHANGE64) {
        send_word(storm, SIDE_DEBUGGER, "A0");
        if (!storm->stopped)
            send_word(storm, SIDE_DEBUGGER, "M0");
        storm->stopped = true;
    } else if (type == KD_PACKET_RESEND) {
        storm->tries = 0;
        storm->expects_reset = true;
        send_word(storm, SIDE_DEBUGGER, "R");
    } else if (type == KD_PACKET_ACKNOWLEDGE) {
        storm->acknowledged = true;
    } else if (type == KD_PACKET_STATE_MANIPULATE) {
        send_word(storm, SIDE_DEBUGGER, "A1");
        send_word(storm, SIDE_DEBUGGER, "M0");
        storm->done = ++storm->replies == STORM_REPLIES;
    }
}

/* One end takes the next packet that was passed on to it. */
static void take_next(struct storm *storm, enum side from)
{
    const struct bytes *bytes = &storm->story->out[from];
    const uint8_t *at = bytes->data + storm->read[from];
    struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN};
    bool silent = from == SIDE_TARGET && storm->story->now < storm->silent_until;
    struct kd_frame frame;
    uint16_t type;

    kd_frame_scan(&framing, at, bytes->size - storm->read[from], false, false, &frame);
    if (frame.kind != KD_FRAME_PACKET)
        return;
    storm->read[from] += frame.size;
    type = kd_get16(((const struct kd_packet_header *)at)->packet_type);
    if (from == SIDE_DEBUGGER)
        target_takes(storm, type);
    else if (!silent)
        debugger_takes(storm, type);
}

/* After its silence the debugger begins with a RESET of its own. */
static void end_silence(struct storm *storm)
{
    if (storm->silent_until == 0 || storm->story->now < storm->silent_until)
        return;
    storm->silent_until = 0;
    storm->tries = 0;
    storm->expects_reset = true;
    send_word(storm, SIDE_DEBUGGER, "R");
}

/* Until the request is through, at most so many steps. The RESETs of the debugger. */
static unsigned run_storm(struct storm *storm, unsigned steps)
{
    unsigned before = storm->resets;

    for (unsigned i = 0; i < steps && !storm->done; i++) {
        storm->story->now += STORM_STEP * MS;
        hold_tick(&storm->story->hold, storm->story->now);
        take_next(storm, SIDE_DEBUGGER);
        take_next(storm, SIDE_TARGET);
        end_silence(storm);
    }
    return storm->resets - before;
}

/* So many RESETs have waited for the target to wake up. */
static struct storm begin_storm(bool with_heal, unsigned waiting)
{
    struct storm storm = {.story = begin(false, true), .expects_reset = true};

    /* Switched off, the machine still carries the bytes here. */
    if (!with_heal)
        hold_set_heal(&storm.story->hold, false, storm.story->now);
    for (unsigned i = 0; i < waiting; i++)
        send_word(&storm, SIDE_DEBUGGER, "R");
    return storm;
}

static void one_reset_is_no_storm(void)
{
    for (int with_heal = 0; with_heal < 2; with_heal++) {
        struct storm storm = begin_storm(with_heal, 1);

        run_storm(&storm, 200);
        CHECK(storm.done);
        CHECK_EQ_U64(storm.resets, 1);
        free(storm.story);
    }
}

static void heal_prevents_a_storm(void)
{
    for (unsigned waiting = 2; waiting <= 12; waiting++) {
        struct storm storm = begin_storm(true, waiting);

        run_storm(&storm, 500);
        CHECK(storm.done);
        free(storm.story);
    }
}

static void heal_ends_a_storm(void)
{
    struct storm storm = begin_storm(false, 10);

    CHECK(run_storm(&storm, 1000) > 100);
    CHECK(!storm.done);
    hold_set_heal(&storm.story->hold, true, storm.story->now);
    CHECK(run_storm(&storm, 500) < 60);
    CHECK(storm.done);
    free(storm.story);
}

/* --- the recorded storm of WinDbg and the Windows boot manager */

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned value;

    while (sscanf(text + 2 * size, "%2x", &value) == 1)
        out[size++] = (uint8_t)value;
    return size;
}

/* After each RESET no request goes to the target before the debugger has acknowledged a packet of
 * the target, or the limit is over. */
struct judge {
    struct hold hold;
    struct kd_framer framers[2];
    uint8_t buffers[2][KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    uint64_t now;
    size_t size; /* of all spans */
    bool armed;
    bool data_seen;
    uint64_t reset_at;
    unsigned resets, kept, wrong;
};

static void judge_packet(struct judge *judge, enum side from, uint16_t type)
{
    if (from == SIDE_TARGET) {
        judge->data_seen = judge->data_seen || !kd_is_control(type);
    } else if (type == KD_PACKET_RESET) {
        judge->resets++;
        judge->armed = true;
        judge->data_seen = false;
        judge->reset_at = judge->now;
    } else if (type == KD_PACKET_ACKNOWLEDGE) {
        judge->armed = judge->armed && !judge->data_seen;
    } else if (!kd_is_control(type)) {
        judge->wrong += judge->armed && judge->now - judge->reset_at < HOLD_HEAL_LIMIT;
        judge->armed = false;
    }
}

static void judge_span(void *context, const struct hold_span *span)
{
    struct judge *judge = context;
    struct kd_framer *framer = &judge->framers[span->from];
    struct kd_frame frame;
    const uint8_t *bytes;

    judge->size += span->size;
    judge->kept += span->fate != HOLD_PASS;
    if (span->fate == HOLD_DROP_REPEATED)
        return;
    for (size_t at = 0; at < span->size;) {
        at += kd_framer_push(framer, span->bytes + at, span->size - at);
        while (kd_framer_next(framer, false, &frame, &bytes) != KD_FRAME_NEED_MORE)
            if (frame.kind == KD_FRAME_PACKET)
                judge_packet(judge, span->from,
                             kd_get16(((const struct kd_packet_header *)bytes)->packet_type));
    }
}

static void judge_news(void *context, enum hold_news news, uint64_t number)
{
    (void)context;
    (void)news;
    (void)number;
}

static struct judge *judge_begin(void)
{
    static const struct hold_events judging = {.span = judge_span, .news = judge_news};
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN};
    struct judge *judge = calloc(1, sizeof *judge);

    if (!judge)
        abort();
    hold_init(&judge->hold, false, true, &judging, judge);
    for (int i = 0; i < 2; i++)
        kd_framer_init(&judge->framers[i], &framing, judge->buffers[i], sizeof judge->buffers[i]);
    return judge;
}

static FILE *open_storm(void)
{
    const char *folder = getenv("KDLENS_CAPTURES");
    char path[1024];
    FILE *file;

    snprintf(path, sizeof path, "%s/windows-reset-storm.jsonl", folder ? folder : KDLENS_CAPTURES);
    file = fopen(path, "r");
    if (!file)
        printf("skipped: no %s\n", path);
    return file;
}

/* A line of the recording; returns the bytes it has. */
static size_t feed_line(struct judge *judge, const char *line)
{
    static uint8_t bytes[1 << 16];
    const char *hex = strstr(line, "\"hex\": \"");
    const char *time = strstr(line, "\"t\": ");
    size_t size;

    if (!hex || !time)
        return 0;
    judge->now = (uint64_t)((strtod(time + 5, NULL) + 1) * 1e9);
    hold_tick(&judge->hold, judge->now);
    size = unhex(hex + 8, bytes);
    hold_push(&judge->hold, strstr(line, "h2t") ? SIDE_DEBUGGER : SIDE_TARGET, judge->now, bytes,
              size);
    return size;
}

static void recorded_storm(void)
{
    static char line[1 << 17];
    struct judge *judge;
    FILE *file = open_storm();
    size_t fed = 0;

    if (!file)
        return;
    judge = judge_begin();
    while (fgets(line, sizeof line, file))
        fed += feed_line(judge, line);
    fclose(file);
    hold_disconnected(&judge->hold, SIDE_DEBUGGER);
    hold_disconnected(&judge->hold, SIDE_TARGET);
    CHECK(judge->resets > 100);
    CHECK(judge->kept > 10);
    CHECK_EQ_U64(judge->wrong, 0);
    CHECK_EQ_U64(judge->size, fed);
    free(judge);
}

KD_TEST_MAIN({"hold keeps the debugger waiting", hold_keeps_the_debugger_waiting},
             {"hold sees a packet behind text", hold_sees_a_packet_behind_text},
             {"hold does not cut a packet", hold_does_not_cut_a_packet},
             {"hold spares the debugger text later", hold_spares_the_debugger_text_later},
             {"hold begins again after a restart", hold_begins_again},
             {"hold passes damage", hold_passes_damage},
             {"hold does not wait for packets", hold_does_not_wait_for_packets},
             {"pieces have their own times", pieces_have_their_own_times},
             {"hold shows unfinished text", hold_shows_unfinished_text},
             {"hold waits for the next target", hold_waits_for_the_next_target},
             {"heal keeps the request until the ACK", heal_keeps_the_request_until_the_ack},
             {"heal passes the last one", heal_passes_the_last_one},
             {"heal waits for the right ACK", heal_waits_for_the_right_ack},
             {"heal waits for quiet", heal_waits_for_quiet},
             {"heal leaves all else", heal_leaves_all_else}, {"heal has a limit", heal_has_a_limit},
             {"heal gives up with the debugger", heal_gives_up_with_the_debugger},
             {"heal is switched while bytes flow", heal_is_switched_while_bytes_flow},
             {"hold and heal together", both_together}, {"nothing is lost", nothing_is_lost},
             {"cuts do not matter", cuts_do_not_matter},
             {"one RESET is no storm", one_reset_is_no_storm},
             {"heal prevents a storm", heal_prevents_a_storm},
             {"heal ends a storm", heal_ends_a_storm}, {"the recorded storm", recorded_storm})
