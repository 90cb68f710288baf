/* test_engine_breakin.c - break-ins at events that debuggers pass by themselves.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * As the boot manager of Windows 10.0.17763 does it: a break-in at a load event brings the state
 * change again, and after the Continue a stop; one at an exception brings the state change again,
 * and nothing after the Continue.
 */
#include "check.h"
#include "peer.h"

#define GO       0x00010002u
#define FIRST_ID 0x80800800u /* the id of a target's first packet */

static struct peer peer;

static void load(struct peer *self)
{
    static const struct kda_image image = {
        .path = "\\x.efi", .base = MACHINE_RAM + 0x6000, .size = 0x2000};

    self->said = kda_image_loaded(self->engine, &image, true);
}

static void command(struct peer *self)
{
    self->said = kda_command(self->engine, "!load x", 7);
}

static void expect_state(uint32_t state)
{
    struct peer_packet got = peer_receive(&peer);

    CHECK_EQ_U64(got.type, PEER_STATE);
    CHECK_EQ_U64(peer_get(got.payload, 4), state);
}

static void go(void)
{
    peer_continue(&peer, GO);
    CHECK(peer_run(&peer));
}

/* One stop, by kda_poll's wish, and no more after it. */
static void expect_one_stop(void)
{
    CHECK(kda_poll(peer.engine));
    CHECK(peer_expect_stop(&peer).there);
    go();
    CHECK(!kda_poll(peer.engine));
    peer_close(&peer);
}

static void break_in_at_a_load_event(void)
{
    peer_open(&peer);
    peer_begin(&peer, load);
    peer_run(&peer);
    expect_state(0x3031);
    peer_raw(&peer, "b", 1);
    peer_run(&peer);
    expect_state(0x3031);
    go();
}

static void at_a_load_event(void)
{
    break_in_at_a_load_event();
    expect_one_stop();
}

/* WinDbg that connects sends it before its ACK. */
static void before_the_acknowledgement(void)
{
    peer_open(&peer);
    peer_begin(&peer, load);
    peer_run(&peer);
    CHECK_EQ_U64(peer_take(&peer).id, FIRST_ID);
    peer_raw(&peer, "b", 1);
    peer_run(&peer);
    expect_state(0x3031);
    go();
    expect_one_stop();
}

/* It came while the program ran, and before a tick looked for it. */
static void before_the_event(void)
{
    peer_open(&peer);
    peer_begin(&peer, load);
    peer_run(&peer);
    expect_state(0x3031);
    go();
    peer_raw(&peer, "b", 1);
    peer_begin(&peer, command);
    peer_run(&peer);
    expect_state(0x3032);
    while (peer_take(&peer).there)
        ;
    go();
    expect_one_stop();
}

/* The stop that comes by itself is the one that was asked for. */
static void an_exception_meanwhile(void)
{
    break_in_at_a_load_event();
    CHECK(peer_expect_stop(&peer).there);
    go();
    CHECK(!kda_poll(peer.engine));
    peer_close(&peer);
}

static void at_an_exception(void)
{
    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
    peer_raw(&peer, "b", 1);
    peer_run(&peer);
    expect_state(0x3030);
    go();
    CHECK(!kda_poll(peer.engine));
    peer_close(&peer);
}

KD_TEST_MAIN({"at a load event", at_a_load_event},
             {"before the acknowledgement", before_the_acknowledgement},
             {"before the event", before_the_event},
             {"an exception meanwhile", an_exception_meanwhile},
             {"at an exception", at_an_exception})
