/* test_engine_patience.c - how long a debugger is waited for that has not answered yet.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "check.h"
#include "peer.h"

#define SECOND 1000000u

static struct peer peer;

static void good(void)
{
    CHECK_EQ_U64(peer_request(&peer, 0x3146, NULL, 0, "").api, 0x3146);
    CHECK(!peer_take(&peer).there);
}

static void end(void)
{
    peer_continue(&peer, 0x00010001);
    CHECK(peer_run(&peer));
    peer_close(&peer);
}

/* A debugger that broke in is waited for, also where nobody else is. */
static void slow_debugger(void)
{
    const struct kda_config config = {.major = 0x040F, .wait_us = 1, .message_us = 1};

    peer_open_with(&peer, &config);
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
    CHECK(peer_pass(&peer, 1000)); /* not invited */
    while (peer_take(&peer).there)
        ;
    peer_raw(&peer, "b", 1);
    CHECK(kda_poll(peer.engine));
    peer_begin(&peer, peer_stop);
    CHECK(!peer_pass(&peer, 8 * SECOND));
    while (peer_take(&peer).there)
        ;
    peer_control(&peer, PEER_ACK, 0x80800000);
    peer_run(&peer);
    good();
    end();
}

/* One that asks for the packet again is there, and on a busy machine its ACK comes late. It is not
 * waited for without end. */
static void debugger_that_is_behind(void)
{
    const struct kda_config config = {.major = 0x040F, .wait_us = 200000, .message_us = 200000};
    int asked = 0;

    peer_open_with(&peer, &config);
    peer_begin(&peer, peer_stop);
    CHECK(!peer_pass(&peer, 150000));
    peer_control(&peer, PEER_RESEND, 0);
    CHECK(!peer_pass(&peer, 150000));
    peer_control(&peer, PEER_ACK, 0x80800800);
    CHECK(!peer_pass(&peer, SECOND)); /* it is told, and waits for requests */
    while (peer_take(&peer).there)
        continue;
    good();
    end();

    peer_open_with(&peer, &config);
    peer_begin(&peer, peer_stop);
    for (bool ended = false; !ended && asked < 100; asked++) {
        peer_control(&peer, PEER_RESEND, 0);
        ended = peer_pass(&peer, 150000);
    }
    CHECK(asked >= 13 && asked <= 15); /* 2.2 s */
    peer_close(&peer);
}

static void announce(struct peer *self)
{
    kda_announce(self->engine);
}

static void load(struct peer *self)
{
    static const struct kda_image image = {
        .path = "\\x.efi", .base = MACHINE_RAM + 0x6000, .size = 0x2000};

    self->said = kda_image_loaded(self->engine, &image, true);
}

static void print(struct peer *self)
{
    self->said = kda_print(self->engine, "x", 1);
}

/* Who has just been called by RESET may be about to answer; who was silent then is not waited for
 * so long again. */
static void called_debugger(void)
{
    static void (*const first[])(struct peer *) = {load, print};
    const struct kda_config config = {.major = 0x040F, .wait_us = 1, .message_us = 200000};

    for (size_t i = 0; i < 2; i++) {
        peer_open_with(&peer, &config);
        peer_begin(&peer, announce);
        CHECK(peer_run(&peer));
        peer_begin(&peer, first[i]);
        CHECK(!peer_pass(&peer, 900000));
        CHECK(peer_pass(&peer, 200000));
        peer_begin(&peer, print);
        CHECK(!peer_pass(&peer, 100000));
        CHECK(peer_pass(&peer, 200000));
        CHECK(!peer.said);
        peer_close(&peer);
    }
}

KD_TEST_MAIN({"slow debugger", slow_debugger}, {"debugger that is behind", debugger_that_is_behind},
             {"called debugger", called_debugger})
