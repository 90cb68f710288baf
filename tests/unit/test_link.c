/* test_link.c - the rules of link.h, one by one, from tables; test_link_line.h joins two ends.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A script is a list of steps: milliseconds since the last one, what happens to the link, and what
 * the link must do. Expected values are those of the public descriptions, of the sessions recorded
 * between Microsoft's own ends, and of the boot manager's answers to probes.
 *
 * What happens:
 *   send WHAT             a message of the caller's (see messages[])
 *   want TYPE             the only type waited for from now on
 *   ask                   kd_link_reset
 *   tick                  kd_link_tick
 *   data TYPE ID [HOW]    a data packet arrives. HOW: wrong sum, wrong trailer, SIZE bytes, other
 *                         content
 *   ack ID, resend, reset [ID], break, noise
 *   cut, cut ack, long    a data packet or an ACK that broke off, ByteCount 4001
 *   part, rest            some bytes of a packet, nothing unfinished
 * What the link does, with its verdict in front when something has arrived:
 *   data ID, again ID, ack ID, resend ID, reset ID    sends this; again: a retransmission
 *   deliver TYPE, early TYPE, ok, gaveup, break, flush
 *   nobody (gave up RESET), anew (RESET_SEEN), asked (RESEND_SEEN)
 */
#include <stdarg.h>

#include "check.h"
#include "kd/link.h"
#include "test_link_line.h"

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

struct message {
    const char *name;
    enum kd_packet_type type;
    uint32_t first; /* ApiNumber or NewState */
};

static const struct message messages[] = {
    {"print", KD_PACKET_DEBUG_IO, 0x3230},
    {"prompt", KD_PACKET_DEBUG_IO, 0x3231},
    {"create", KD_PACKET_FILE_IO, 0x3430},
    {"read", KD_PACKET_FILE_IO, 0x3431},
    {"exception", KD_PACKET_STATE_CHANGE64, 0x3030},
    {"load", KD_PACKET_STATE_CHANGE64, 0x3031},
    {"old-load", KD_PACKET_STATE_CHANGE32, 0x3031},
    {"request", KD_PACKET_STATE_MANIPULATE, 0x3130},
};

struct step {
    unsigned ms;
    const char *happens;
    const char *does;
};

struct script {
    const char *name;
    enum kd_link_end end;
    enum kd_link_ids ids;
    struct step steps[20];
};

struct player {
    struct kd_link link;
    uint64_t now;
    bool serial;
    uint8_t message[64]; /* what is on the way */
    char text[256];
};

static void say(struct player *player, const char *format, ...)
{
    size_t length = strlen(player->text);
    va_list values;

    if (length && player->text[length - 1] != ':')
        length += (size_t)snprintf(player->text + length, sizeof player->text - length, ", ");
    else if (length)
        length += (size_t)snprintf(player->text + length, sizeof player->text - length, " ");
    va_start(values, format);
    vsnprintf(player->text + length, sizeof player->text - length, format, values);
    va_end(values);
}

static const char *control_name(enum kd_packet_type type)
{
    return type == KD_PACKET_ACKNOWLEDGE ? "ack" : type == KD_PACKET_RESEND ? "resend" : "reset";
}

static void say_actions(struct player *player, const struct kd_link_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++) {
        const struct kd_link_action *action = &actions->list[i];

        switch (action->kind) {
        case KD_LINK_SEND_CONTROL:
            CHECK_EQ_U64(action->size, 0);
            say(player, "%s %08x", control_name(action->type), action->id);
            break;
        case KD_LINK_SEND_DATA:
            CHECK(action->payload == player->message);
            say(player, "%s %08x", action->again ? "again" : "data", action->id);
            break;
        case KD_LINK_DELIVER:
            say(player, "%s %d", action->early ? "early" : "deliver", (int)action->type);
            break;
        case KD_LINK_GAVE_UP:
            say(player, action->type == KD_PACKET_RESET ? "nobody" : "gaveup");
            break;
        case KD_LINK_SENT_OK:
            say(player, "ok");
            break;
        case KD_LINK_BREAKIN:
            say(player, "break");
            break;
        case KD_LINK_RESET_SEEN:
            say(player, "anew");
            break;
        case KD_LINK_RESEND_SEEN:
            say(player, "asked");
            break;
        case KD_LINK_FLUSH:
            say(player, "flush");
            break;
        }
    }
}

static void play_send(struct player *player, const char *name)
{
    struct kd_link_actions actions;
    const struct message *message = messages;

    while (strcmp(message->name, name) != 0)
        message++;
    memset(player->message, 0, sizeof player->message);
    player->message[0] = (uint8_t)message->first;
    player->message[1] = (uint8_t)(message->first >> 8);
    if (kd_link_send(&player->link, player->now, message->type, player->message,
                     sizeof player->message, &actions))
        say_actions(player, &actions);
    else
        say(player, "no");
}

/* The bytes that HOW a data packet arrives; returns their number. */
static size_t make_data(const struct player *player, const char *words, uint8_t *bytes)
{
    static const uint8_t zeros[8192];
    uint8_t payload[8192] = {0};
    unsigned type = 0, id = 0, size = 64;
    char how[16] = "";
    size_t whole;

    sscanf(words, "data %u %x %15s", &type, &id, how);
    if (how[0] >= '0' && how[0] <= '9')
        sscanf(how, "%u", &size);
    if (strcmp(how, "other") == 0)
        payload[20] = 1;
    whole = kd_frame_encode(bytes, 8192, (enum kd_packet_type)type, id, size > 64 ? zeros : payload,
                            size, player->serial);
    if (strcmp(how, "sum") == 0)
        bytes[12] ^= 1;
    if (strcmp(how, "trailer") == 0)
        bytes[whole - 1] = 0x55;
    return whole;
}

static size_t make_bytes(const struct player *player, const char *words, uint8_t *bytes)
{
    unsigned id = 0;

    if (strncmp(words, "data", 4) == 0)
        return make_data(player, words, bytes);
    if (sscanf(words, "ack %x", &id) == 1)
        return kd_frame_encode(bytes, 16, KD_PACKET_ACKNOWLEDGE, id, NULL, 0, true);
    if (strcmp(words, "resend") == 0)
        return kd_frame_encode(bytes, 16, KD_PACKET_RESEND, 0, NULL, 0, true);
    if (strncmp(words, "reset", 5) == 0) {
        sscanf(words, "reset %x", &id);
        return kd_frame_encode(bytes, 16, KD_PACKET_RESET, id, NULL, 0, true);
    }
    if (strcmp(words, "break") == 0 || strcmp(words, "noise") == 0) {
        bytes[0] = words[0] == 'b' ? 0x62 : 'x';
        return 1;
    }
    if (strcmp(words, "part") == 0)
        return make_data(player, "data 2 80800000", bytes) / 2;
    if (strcmp(words, "cut ack") == 0)
        return kd_frame_encode(bytes, 16, KD_PACKET_ACKNOWLEDGE, 0, NULL, 0, true) - 2;
    if (strcmp(words, "cut") == 0)
        return make_data(player, "data 2 80800000", bytes) - 10;
    if (strcmp(words, "long") == 0)
        return make_data(player, "data 2 80800000 4001", bytes);
    return 0; /* rest */
}

static void play_receive(struct player *player, const char *words)
{
    static const char *const verdicts[] = {
        [KD_LINK_NOT_FOR_LINK] = "-:",  [KD_LINK_TAKEN] = "taken:",
        [KD_LINK_DUPLICATE] = "twice:", [KD_LINK_UNWANTED] = "unwanted:",
        [KD_LINK_IGNORED] = "ignored:", [KD_LINK_DAMAGED] = "damaged:",
        [KD_LINK_STRAY] = "stray:",
    };
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, player->link.config.end == KD_END_TARGET
                                                               ? KD_FLOW_TO_TARGET
                                                               : KD_FLOW_UNKNOWN};
    static uint8_t bytes[8192];
    size_t size = make_bytes(player, words, bytes);
    struct kd_link_actions actions;
    struct kd_frame frame;

    if (player->serial)
        kd_frame_scan(&framing, bytes, size, false, strncmp(words, "cut", 3) == 0, &frame);
    else
        kd_frame_datagram(bytes, size, &frame);
    say(player, "%s",
        verdicts[kd_link_receive(&player->link, player->now, &frame, bytes, &actions)]);
    for (size_t i = 0; i < actions.count; i++)
        if (actions.list[i].kind == KD_LINK_DELIVER)
            CHECK(actions.list[i].payload == bytes + 16 && actions.list[i].size == frame.payload);
    say_actions(player, &actions);
}

static bool play_step(struct player *player, const struct step *step)
{
    struct kd_link_actions actions = {0};
    unsigned type;

    player->now += step->ms * UINT64_C(1000);
    player->text[0] = '\0';
    if (strncmp(step->happens, "send ", 5) == 0) {
        play_send(player, step->happens + 5);
    } else if (sscanf(step->happens, "want %u", &type) == 1) {
        kd_link_accept(&player->link, UINT32_C(1) << type);
    } else if (strcmp(step->happens, "ask") == 0) {
        if (!kd_link_reset(&player->link, player->now, &actions))
            say(player, "no");
        say_actions(player, &actions);
    } else if (strcmp(step->happens, "tick") == 0) {
        kd_link_tick(&player->link, player->now, &actions);
        say_actions(player, &actions);
        CHECK(kd_link_deadline(&player->link) > player->now);
    } else {
        play_receive(player, step->happens);
    }
    return CHECK_EQ_STR(player->text, step->does);
}

static void begin(struct player *player, enum kd_link_end end, enum kd_link_ids ids)
{
    struct kd_link_config config;

    *player = (struct player){.now = UINT64_C(1000000000), .serial = ids == KD_IDS_SERIAL};
    kd_link_defaults(&config, end, ids);
    kd_link_init(&player->link, &config);
}

static void play(const struct script *scripts, size_t count)
{
    struct player player;

    for (size_t i = 0; i < count; i++) {
        begin(&player, scripts[i].end, scripts[i].ids);
        for (size_t k = 0; k < COUNT_OF(scripts[i].steps) && scripts[i].steps[k].happens; k++) {
            if (!play_step(&player, &scripts[i].steps[k])) {
                fprintf(stderr, "    script: %s, step %zu: %s\n", scripts[i].name, k + 1,
                        scripts[i].steps[k].happens);
                break;
            }
        }
    }
}

#define TARGET       KD_END_TARGET, KD_IDS_SERIAL
#define DEBUGGER     KD_END_DEBUGGER, KD_IDS_SERIAL
#define NET_TARGET   KD_END_TARGET, KD_IDS_KDNET
#define NET_DEBUGGER KD_END_DEBUGGER, KD_IDS_KDNET

#include "test_link_scripts.def"

static void serial_target(void)
{
    play(target_scripts, COUNT_OF(target_scripts));
}

static void serial_debugger(void)
{
    play(debugger_scripts, COUNT_OF(debugger_scripts));
}

static void kdnet(void)
{
    play(kdnet_scripts, COUNT_OF(kdnet_scripts));
}

/* A serial end that repeats `name` every second until it does something else. */
static unsigned count_repeats(enum kd_link_end end, const char *name, unsigned limit,
                              const char *then)
{
    struct player player;
    unsigned repeats = 0;

    begin(&player, end, KD_IDS_SERIAL);
    play_send(&player, name);
    while (repeats < limit) {
        struct kd_link_actions actions;

        player.now = kd_link_deadline(&player.link);
        CHECK_EQ_U64(player.now, 1000000000 + (repeats + 1) * UINT64_C(1000000));
        player.text[0] = '\0';
        kd_link_tick(&player.link, player.now, &actions);
        say_actions(&player, &actions);
        if (strncmp(player.text, "again", 5) != 0)
            break;
        repeats++;
    }
    if (repeats < limit)
        CHECK_EQ_STR(player.text, then);
    return repeats;
}

/* 20 retries, then some messages are given up; exceptions, prompts and replies are repeated for
 * ever. */
static void target_gives_up_some(void)
{
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "print", 200, "gaveup"), 20);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "create", 200, "gaveup"), 20);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "load", 200, "gaveup"), 20);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "old-load", 200, "gaveup"), 20);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "prompt", 200, ""), 200);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "read", 200, ""), 200);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "exception", 200, ""), 200);
    CHECK_EQ_U64(count_repeats(KD_END_TARGET, "request", 200, ""), 200);
}

/* The debugger is thought gone: both streams as after a start. */
static void target_begins_anew(void)
{
    struct player player;

    begin(&player, TARGET);
    player.link.config.retry_limit = 0;
    CHECK(play_step(&player, &(struct step){0, "reset", "taken: reset 00000000, anew"}));
    CHECK(
        play_step(&player, &(struct step){0, "data 2 80800000", "taken: ack 80800000, deliver 2"}));
    CHECK(play_step(&player, &(struct step){0, "send print", "data 80800000"}));
    CHECK(play_step(&player, &(struct step){1000, "tick", "gaveup"}));
    CHECK(play_step(&player, &(struct step){0, "ack 80800000", "stray:"}));
    CHECK(play_step(&player, &(struct step){0, "send exception", "data 80800800"}));
    CHECK(play_step(&player, &(struct step){0, "ack 80800000", "taken: ok"}));
    CHECK(
        play_step(&player, &(struct step){0, "data 2 80800000", "taken: ack 80800000, deliver 2"}));
}

static void debugger_gives_up(void)
{
    CHECK_EQ_U64(count_repeats(KD_END_DEBUGGER, "request", 200, "gaveup, reset 00000000"), 5);
}

/* KDNET: 24 repetitions, RESET with the packet's own id, 24 more; the id is never used again. */
static void kdnet_gives_up(void)
{
    struct player player;
    struct kd_link_actions actions;
    unsigned repeats = 0, resets = 0;

    begin(&player, NET_DEBUGGER);
    play_send(&player, "request");
    do {
        CHECK_EQ_U64(kd_link_deadline(&player.link), player.now + 500000);
        player.now += 500000;
        player.text[0] = '\0';
        kd_link_tick(&player.link, player.now, &actions);
        say_actions(&player, &actions);
        repeats += strcmp(player.text, "again 80000000") == 0;
        resets += strcmp(player.text, "reset 80000000, again 80000000") == 0;
    } while (strcmp(player.text, "gaveup") != 0 && repeats < 100);
    CHECK_EQ_U64(repeats, 48);
    CHECK_EQ_U64(resets, 1);
    player.text[0] = '\0';
    play_send(&player, "request");
    CHECK_EQ_STR(player.text, "data 80000002");
}

/* A peer that asks without end gets resend_limit retransmissions, then those of the clock. */
static void resend_is_bounded(void)
{
    struct player player;
    unsigned again = 0;

    begin(&player, DEBUGGER);
    play_send(&player, "request");
    for (unsigned i = 0; i < 1000; i++) {
        player.text[0] = '\0';
        play_receive(&player, "resend");
        again += strcmp(player.text, "taken: again 80800000") == 0;
    }
    CHECK_EQ_U64(again, 20);
    CHECK(play_step(&player, &(struct step){1000, "tick", "again 80800000"}));
    CHECK(play_step(&player, &(struct step){0, "resend", "taken: again 80800000"}));
}

static void reset_is_bounded_on_demand(void)
{
    struct player player;

    begin(&player, DEBUGGER);
    player.link.config.reset_limit = 2;
    CHECK(play_step(&player, &(struct step){0, "ask", "reset 00000000"}));
    CHECK(play_step(&player, &(struct step){500, "tick", "reset 00000000"}));
    CHECK(play_step(&player, &(struct step){500, "tick", "nobody"}));
    CHECK_EQ_U64(kd_link_deadline(&player.link), UINT64_MAX);
}

/* The clock of a retransmission may start when the last byte has left. */
static void slow_lines(void)
{
    struct player player;

    begin(&player, TARGET);
    play_send(&player, "exception");
    kd_link_sent(&player.link, player.now + 4000000);
    CHECK_EQ_U64(kd_link_deadline(&player.link), player.now + 5000000);
}

static void sends_data_packets_only(void)
{
    static uint8_t payload[UINT16_MAX + 1];
    struct player player;
    struct kd_link_actions actions = {.count = 3};

    begin(&player, TARGET);
    CHECK(!kd_link_send(&player.link, 0, KD_PACKET_RESET, NULL, 0, &actions));
    CHECK_EQ_U64(actions.count, 0);
    CHECK(!kd_link_send(&player.link, 0, KD_PACKET_DEBUG_IO, payload, sizeof payload, &actions));
    CHECK(!player.link.sending);
}

/* Timers of 0 and a clock at its end do not make kd_link_tick run in circles. */
static void extreme_clock(void)
{
    struct player player;
    struct kd_link_actions actions;

    begin(&player, DEBUGGER);
    player.link.config.retry_us = 0;
    CHECK(kd_link_send(&player.link, 5, KD_PACKET_STATE_MANIPULATE, player.message, 56, &actions));
    CHECK_EQ_U64(kd_link_deadline(&player.link), 6);
    kd_link_tick(&player.link, UINT64_MAX - 1, &actions);
    CHECK_EQ_U64(actions.count, 1);
    kd_link_tick(&player.link, UINT64_MAX, &actions);
    CHECK_EQ_U64(actions.count, 0);
}

KD_TEST_MAIN({"serial target", serial_target}, {"serial debugger", serial_debugger},
             {"KDNET", kdnet}, {"target gives up some messages", target_gives_up_some},
             {"target begins anew", target_begins_anew},
             {"debugger gives up, then RESET", debugger_gives_up},
             {"KDNET gives up", kdnet_gives_up}, {"RESEND is bounded", resend_is_bounded},
             {"RESET is bounded on demand", reset_is_bounded_on_demand}, {"slow lines", slow_lines},
             {"sends data packets only", sends_data_packets_only}, {"extreme clock", extreme_clock},
             {"serial line, clean", line_serial_clean}, {"serial line, lossy", line_serial_lossy},
             {"serial line, silent for long", line_serial_silent},
             {"KDNET line, lossy and out of order", line_kdnet_lossy},
             {"no storm of buffered RESETs", line_no_storm},
             {"no ping-pong of RESETs", line_no_ping_pong})
