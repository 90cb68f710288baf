/* test_engine_link.c - what the engine does on the line, row by row as Microsoft's boot manager was
 * measured, and where it does better.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "check.h"
#include "peer.h"

#define SECOND 1000000u

static struct peer peer;

static const uint8_t version_request[56] = {0x46, 0x31, 0, 0, 0, 0, 0, 0, 3, 1};

static void begin(void)
{
    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
}

static void end(void)
{
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_close(&peer);
}

static void expect(uint16_t type, uint32_t id)
{
    struct peer_packet packet = peer_take(&peer);

    CHECK(packet.there);
    CHECK_EQ_U64(packet.type, type);
    CHECK_EQ_U64(packet.id, id);
}

static void expect_nothing(void)
{
    CHECK(!peer_take(&peer).there);
}

static void good(void)
{
    struct peer_reply reply = peer_request(&peer, 0x3146, NULL, 0, "");

    CHECK(reply.there);
    CHECK_EQ_U64(reply.api, 0x3146);
    expect_nothing();
}

static uint8_t packet[5000];

static size_t encode_version(uint32_t id)
{
    return peer_encode(packet, PEER_MANIPULATE, id, version_request, sizeof version_request);
}

static void send(size_t size)
{
    peer_raw(&peer, packet, size);
    peer_run(&peer);
}

static void damaged_packets(void)
{
    size_t size;

    begin();
    size = encode_version(peer.next_id);
    packet[12] ^= 1;
    send(size);
    expect(PEER_RESEND, 0);
    expect_nothing();
    good();
    size = encode_version(peer.next_id);
    packet[size - 1] = 0x55;
    send(size);
    expect(PEER_RESEND, 0);
    peer_pass(&peer, SECOND);
    good();
    send(encode_version(0x12345));
    expect(PEER_RESEND, 0);
    good();
    size = peer_encode(packet, PEER_MANIPULATE, peer.next_id, version_request, 20);
    send(size);
    expect(PEER_RESEND, 0);
    good();
    size = peer_encode(packet, PEER_MANIPULATE, peer.next_id, "", 0);
    send(size);
    expect(PEER_RESEND, 0);
    good();
    end();
}

static void too_long(void)
{
    static const uint8_t zeros[4100];
    size_t size;

    begin();
    size = peer_encode(packet, PEER_MANIPULATE, peer.next_id, zeros, sizeof zeros);
    send(size);
    expect(PEER_RESEND, 0);
    peer_pass(&peer, SECOND);
    good();
    end();
}

static void duplicates_and_strangers(void)
{
    size_t size;

    begin();
    good();
    send(encode_version(peer.next_id ^ 1));
    expect(PEER_ACK, peer.next_id ^ 1);
    expect_nothing();
    size = peer_encode(packet, 1, peer.next_id, version_request, 56);
    send(size);
    expect(PEER_ACK, peer.next_id);
    expect_nothing();
    good();
    size = peer_encode(packet, PEER_DEBUG_IO, peer.next_id, version_request, 56);
    send(size);
    expect(PEER_ACK, peer.next_id);
    expect_nothing();
    good();
    peer_control(&peer, PEER_ACK, 0x80800001);
    peer_run(&peer);
    expect_nothing();
    good();
    end();
}

static void noise(void)
{
    begin();
    peer_raw(&peer, "\x00\x01\xFF", 3);
    good();
    peer_raw(&peer, "text of a console 0000 iiii", 27);
    peer_run(&peer);
    peer_pass(&peer, SECOND);
    while (peer_take(&peer).there)
        ;
    good();
    end();
}

static void state_change_again(void)
{
    begin();
    good();
    peer_raw(&peer, "b", 1);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    good();
    peer_control(&peer, PEER_RESEND, 0);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    good();
    end();
}

static void reply_not_acknowledged(void)
{
    struct peer_packet first, again;

    begin();
    send(encode_version(peer.next_id));
    expect(PEER_ACK, peer.next_id);
    peer.next_id ^= 1;
    first = peer_take(&peer);
    CHECK_EQ_U64(first.type, PEER_MANIPULATE);
    for (int i = 0; i < 40; i++) {
        peer_pass(&peer, SECOND);
        again = peer_take(&peer);
        CHECK_EQ_U64(again.type, PEER_MANIPULATE);
        CHECK_EQ_U64(again.id, first.id);
        expect_nothing();
    }
    /* rizin acknowledges with the id as it came, SYNC and all. */
    peer_control(&peer, PEER_ACK, first.id | 0x800);
    peer_pass(&peer, 3 * SECOND);
    expect_nothing();
    good();
    end();
}

/* After RESET, at this id: nothing for a while, then the state change. */
static void expect_reset_and_state(void)
{
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    peer.next_id = 0x80800000;
    expect(PEER_RESET, 0);
    peer_pass(&peer, SECOND / 4);
    expect_nothing();
    peer_pass(&peer, SECOND / 4);
    expect(PEER_STATE, 0x80800000);
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    expect_nothing();
}

static void reset_while_stopped(void)
{
    begin();
    good();
    good();
    good();
    expect_reset_and_state();
    good();
    end();
}

/* The old debugger's reply is no answer to the new one; the state change that it needs comes. */
static void reset_while_a_reply_waits(void)
{
    begin();
    send(encode_version(peer.next_id));
    expect(PEER_ACK, peer.next_id);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_MANIPULATE);
    peer_pass(&peer, SECOND / 2);
    expect_reset_and_state();
    good();
    end();
}

/* WinDbg that RESETs in the middle of a stop sends its request again, and gets one answer. */
static void request_again_after_reset(void)
{
    begin();
    send(encode_version(peer.next_id));
    expect(PEER_ACK, peer.next_id);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_MANIPULATE);
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    peer.next_id = 0x80800000;
    expect(PEER_RESET, 0);
    good();
    peer_pass(&peer, SECOND);
    expect_nothing();
    good();
    end();
}

static void announce(struct peer *self)
{
    kda_announce(self->engine);
}

static void start(void)
{
    struct peer_packet state;

    peer_open(&peer);
    /* What came before is thrown away. */
    peer_raw(&peer, "bbb", 3);
    peer_control(&peer, PEER_RESET, 0);
    peer_begin(&peer, announce);
    CHECK(peer_run(&peer));
    expect(PEER_RESET, 0);
    expect_nothing();
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    for (int i = 0; i < 5; i++) {
        state = peer_take(&peer);
        CHECK_EQ_U64(state.type, PEER_STATE);
        CHECK_EQ_U64(state.id, 0x80800800);
        expect_nothing();
        peer_pass(&peer, SECOND);
    }
    CHECK_EQ_U64(peer_take(&peer).type, PEER_STATE);
    CHECK(!kda_attached(peer.engine));
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    CHECK(kda_attached(peer.engine));
    peer_pass(&peer, 3 * SECOND);
    expect_nothing();
    good();
    end();
}

/* WinDbg waited before power-on: as many RESETs as had been buffered, each with a request behind it
 * that comes before the ACK of the state change. The boot manager never gets out of this. */
static void storm(void)
{
    struct peer_packet got;
    unsigned served = 0;

    peer_open(&peer);
    peer_begin(&peer, announce);
    CHECK(peer_run(&peer));
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    for (int i = 0; i < 50; i++) {
        peer_control(&peer, PEER_RESET, 0);
        peer_raw(&peer, "b", 1);
    }
    peer_run(&peer);
    while (peer_take(&peer).there)
        ;
    for (int round = 0; round < 60 && !served; round++) {
        /* The debugger sends its request, then acknowledges what it has of ours. */
        send(encode_version(0x80800000));
        while ((got = peer_take(&peer)).there) {
            CHECK(got.type != PEER_RESEND);
            served += got.type == PEER_MANIPULATE;
            if (!got.control) {
                peer_control(&peer, PEER_ACK, got.id & ~0x800u);
                peer_run(&peer);
            }
        }
        peer_pass(&peer, SECOND / 10);
    }
    CHECK(served);
    while (peer_take(&peer).there)
        ;
    peer.next_id = 0x80800001;
    good();
    end();
}

/* The state change's ACK comes after the request that WinDbg sends at once. */
static void early_request(void)
{
    struct peer_packet got;

    peer_open(&peer);
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    got = peer_take(&peer);
    CHECK_EQ_U64(got.type, PEER_STATE);
    /* A SYNC start ignores what is older than itself, so a debugger begins with RESET. */
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    expect(PEER_RESET, 0);
    expect(PEER_STATE, 0x80800000);
    send(encode_version(0x80800000));
    expect(PEER_ACK, 0x80800000);
    expect_nothing();
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    got = peer_receive(&peer);
    CHECK_EQ_U64(got.type, PEER_MANIPULATE);
    peer.next_id = 0x80800001;
    good();
    end();
}

/* A request taken early is the old debugger's: the RESET of the next one makes an end of it. */
static void early_request_and_reset(void)
{
    peer_open(&peer);
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_STATE);
    for (int i = 0; i < 2; i++) {
        peer_pass(&peer, SECOND / 4);
        peer_control(&peer, PEER_RESET, 0);
        peer_run(&peer);
        expect(PEER_RESET, 0);
        expect(PEER_STATE, 0x80800000);
        if (i == 0) {
            send(encode_version(0x80800000));
            expect(PEER_ACK, 0x80800000);
        }
    }
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    expect_nothing();
    peer.next_id = 0x80800000;
    good();
    end();
}

/* The state change's ACK is lost, so that the debugger's request is taken early, and its repetition
 * under the next id ignored. That is no wish for another stop. */
static void ignored_in_a_stop(void)
{
    peer_open(&peer);
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_STATE);
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    expect(PEER_RESET, 0);
    expect(PEER_STATE, 0x80800000);
    send(encode_version(0x80800000));
    expect(PEER_ACK, 0x80800000);
    send(encode_version(0x80800001));
    expect_nothing();
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_MANIPULATE);
    peer.next_id = 0x80800001;
    good();
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    CHECK(!kda_poll(peer.engine));
    peer_close(&peer);
}

/* The ACK of a reply is lost, or the reply was and the debugger asks anew: the next request is
 * answered at once, and the reply does not come again. */
static void next_request_is_the_ack(void)
{
    begin();
    send(encode_version(peer.next_id));
    expect(PEER_ACK, peer.next_id);
    expect(PEER_MANIPULATE, 0x80800001);
    send(encode_version(peer.next_id ^ 1));
    expect(PEER_ACK, peer.next_id ^ 1);
    expect(PEER_MANIPULATE, 0x80800000);
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    peer_pass(&peer, 5 * SECOND);
    expect_nothing();
    good();
    end();
}

/* Half a packet, then nothing: silence decides, and what follows is heard at once. */
static void packet_cut_off(void)
{
    begin();
    (void)encode_version(peer.next_id);
    send(40);
    expect_nothing();
    peer_pass(&peer, SECOND);
    expect(PEER_RESEND, 0);
    good();
    send(encode_version(peer.next_id) - 57);
    peer_pass(&peer, SECOND);
    expect(PEER_RESEND, 0);
    peer_raw(&peer, "b", 1);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    good();
    end();
}

static void print(struct peer *self)
{
    self->said = kda_print(self->engine, "x", 1);
}

/* A Continue that comes while a print waits for its ACK does not end the stop that follows. */
static void stale_continue(void)
{
    uint8_t request[56] = {0x36, 0x31};

    begin();
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_begin(&peer, print);
    peer_run(&peer);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_DEBUG_IO);
    peer_put(request + 16, 4, 0x00010001);
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, request, sizeof request);
    peer_run(&peer);
    expect(PEER_ACK, peer.next_id);
    peer.next_id ^= 1;
    peer_control(&peer, PEER_ACK, 0x80800001);
    CHECK(peer_run(&peer));
    CHECK(peer_expect_stop(&peer).there);
    good();
    end();
}

static void running(void)
{
    begin();
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    CHECK(!kda_poll(peer.engine));
    expect_nothing();
    /* The Continue again, since its ACK was lost. */
    send(peer_encode(packet, PEER_MANIPULATE, peer.next_id ^ 1, "\x36\x31", 2));
    CHECK(!kda_poll(peer.engine));
    expect(PEER_RESEND, 0);
    encode_version(peer.next_id ^ 1);
    send(encode_version(peer.next_id ^ 1));
    CHECK(!kda_poll(peer.engine));
    expect(PEER_ACK, peer.next_id ^ 1);
    /* RESET is answered, and nothing else is sent. */
    peer_control(&peer, PEER_RESET, 0);
    CHECK(!kda_poll(peer.engine));
    expect(PEER_RESET, 0);
    expect_nothing();
    peer.next_id = 0x80800000;
    peer_raw(&peer, "b", 1);
    CHECK(kda_poll(peer.engine));
    CHECK(!kda_poll(peer.engine));
    CHECK(peer_expect_stop(&peer).there);
    good();
    end();
}

/* A request while the program runs asks for a stop, and is answered in it. */
static void request_while_running(void)
{
    struct peer_packet got;

    begin();
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_raw(&peer, packet, encode_version(peer.next_id));
    CHECK(kda_poll(peer.engine));
    expect(PEER_ACK, peer.next_id);
    CHECK_EQ_U64(peer_expect_stop(&peer).type, PEER_STATE);
    got = peer_receive(&peer);
    CHECK_EQ_U64(got.type, PEER_MANIPULATE);
    peer.next_id ^= 1;
    good();
    /* But a Continue is of a stop that is over. */
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    memcpy(packet + 4000, version_request, 56);
    packet[4000] = 0x36;
    peer_data(&peer, PEER_MANIPULATE, peer.next_id, packet + 4000, 56);
    CHECK(!kda_poll(peer.engine));
    peer.next_id ^= 1;
    expect(PEER_ACK, peer.next_id ^ 1);
    peer_raw(&peer, "b", 1);
    CHECK(kda_poll(peer.engine));
    CHECK(peer_expect_stop(&peer).there);
    good();
    end();
}

/* WinDbg's engine RESETs while its Continue is obeyed, and sends it again before it has taken the
 * state change: the program stays at the stop, and the debugger is told so. */
static void continue_again_after_reset(void)
{
    uint8_t request[56] = {0x36, 0x31};

    begin();
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK_EQ_U64(peer_take(&peer).type, PEER_STATE);
    peer_control(&peer, PEER_RESET, 0);
    peer_run(&peer);
    expect(PEER_RESET, 0);
    expect(PEER_STATE, 0x80800000);
    peer_put(request + 16, 4, 0x00010001);
    peer_data(&peer, PEER_MANIPULATE, 0x80800000, request, sizeof request);
    CHECK(!peer_run(&peer));
    expect(PEER_ACK, 0x80800000);
    peer.next_id = 0x80800001;
    peer_control(&peer, PEER_ACK, 0x80800000);
    CHECK(!peer_run(&peer));
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    good();
    end();
}

/* The engine gave the debugger up and began its streams anew; the debugger has not noticed, and
 * repeats a request that it began before. WinDbg does so for ever, without a RESET. */
static void out_of_step(void)
{
    const struct kda_config config = {.major = 0x040F, .wait_us = 1, .message_us = 1};

    peer_open_with(&peer, &config);
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK(peer_pass(&peer, 1000));
    CHECK_EQ_U64(peer_take(&peer).type, PEER_STATE);
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_raw(&peer, packet, encode_version(peer.next_id));
    CHECK(kda_poll(peer.engine));
    expect_nothing();
    CHECK(!kda_poll(peer.engine));
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK_EQ_U64(peer_receive(&peer).id, 0x80800800);
    good();
    end();
}

KD_TEST_MAIN({"damaged packets", damaged_packets}, {"too long", too_long},
             {"duplicates and strangers", duplicates_and_strangers}, {"noise", noise},
             {"state change again", state_change_again},
             {"reply not acknowledged", reply_not_acknowledged},
             {"RESET while stopped", reset_while_stopped},
             {"RESET while a reply waits", reset_while_a_reply_waits},
             {"request again after RESET", request_again_after_reset}, {"start", start},
             {"storm", storm}, {"early request", early_request},
             {"early request and RESET", early_request_and_reset},
             {"ignored in a stop", ignored_in_a_stop},
             {"the next request is the ACK", next_request_is_the_ack},
             {"packet cut off", packet_cut_off}, {"stale Continue", stale_continue},
             {"running", running}, {"Continue again after RESET", continue_again_after_reset},
             {"request while running", request_while_running}, {"out of step", out_of_step})
