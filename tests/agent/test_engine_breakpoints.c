/* test_engine_breakpoints.c - software and hardware breakpoints, the trace flag, steps over
 * breakpoints.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "check.h"
#include "peer.h"

#define PLACE (MACHINE_RAM + 0x3000)
#define TF    0x100u
#define GO    0x00010001u

static struct peer peer;

static void begin(void)
{
    peer_open(&peer);
    CHECK(peer_expect_stop(&peer).there);
}

static void go(void)
{
    peer_continue(&peer, GO);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
}

/* The program arrives at address and stops for code. */
static void hit(uint64_t address, uint32_t code)
{
    peer.machine.context.rip = kd_put64(address);
    peer.exception.address = address;
    peer.exception.code = code;
    CHECK(peer_expect_stop(&peer).there);
}

static uint8_t byte_at(uint64_t address)
{
    return *machine_byte(&peer.machine, address);
}

static uint32_t write_breakpoint(uint64_t address, uint32_t status)
{
    struct peer_reply reply = peer_request(&peer, 0x3134, NULL, 0, "qd", address, 77u);

    CHECK(reply.there);
    CHECK_EQ_U64(reply.status, status);
    return (uint32_t)peer_get(reply.body + 8, 4);
}

static uint32_t restore(uint32_t handle)
{
    struct peer_reply reply = peer_request(&peer, 0x3135, NULL, 0, "d", handle);

    CHECK(reply.there);
    CHECK_EQ_U64(peer_get(reply.body, 4), handle);
    return reply.status;
}

static void planted_only_while_running(void)
{
    uint8_t original;
    struct peer_reply reply;

    begin();
    original = byte_at(PLACE);
    CHECK_EQ_U64(write_breakpoint(PLACE, 0), 1);
    CHECK_EQ_U64(byte_at(PLACE), original);
    reply = peer_request(&peer, 0x3130, NULL, 0, "qdd", PLACE, 1u, 0u);
    CHECK_EQ_U64(reply.data[0], original);
    CHECK(!kda_breakpoint_at(peer.engine, PLACE));
    go();
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    CHECK(kda_breakpoint_at(peer.engine, PLACE));
    CHECK(!kda_breakpoint_at(peer.engine, PLACE + 1));
    hit(PLACE, 0x80000003);
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(restore(1), 0);
    go();
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE);
    peer_close(&peer);
}

static void handles(void)
{
    begin();
    for (uint32_t i = 1; i <= 32; i++)
        CHECK_EQ_U64(write_breakpoint(PLACE + i / 2, 0), i);
    CHECK_EQ_U64(write_breakpoint(PLACE + 17, 0xC0000001), 0);
    CHECK_EQ_U64(write_breakpoint(PLACE + 4, 0), 8);
    CHECK_EQ_U64(restore(7), 0);
    CHECK_EQ_U64(restore(7), 0xC0000001);
    CHECK_EQ_U64(restore(0), 0xC0000001);
    CHECK_EQ_U64(restore(33), 0xC0000001);
    CHECK_EQ_U64(restore(UINT32_MAX), 0xC0000001);
    CHECK_EQ_U64(write_breakpoint(MACHINE_NOWHERE, 0), 7);
    for (uint32_t i = 1; i <= 32; i++)
        CHECK_EQ_U64(restore(i), 0);
    go();
    peer_close(&peer);
}

static void same_address_twice(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    CHECK_EQ_U64(write_breakpoint(PLACE, 0), 1);
    CHECK_EQ_U64(write_breakpoint(PLACE, 0), 2);
    go();
    hit(PLACE, 0x80000003);
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(restore(1), 0);
    go();
    CHECK(peer.machine.context.eflags.b[1] & 1);
    CHECK(kda_claim_step(peer.engine));
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    hit(PLACE + 8, 0x80000003);
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(restore(2), 0);
    go();
    CHECK_EQ_U64(byte_at(PLACE), original);
    peer_close(&peer);
}

static void where_memory_does_not_allow(void)
{
    uint8_t rom, readonly;

    begin();
    rom = byte_at(MACHINE_ROM);
    readonly = byte_at(MACHINE_READONLY);
    CHECK_EQ_U64(write_breakpoint(MACHINE_ROM, 0), 1);
    CHECK_EQ_U64(write_breakpoint(MACHINE_READONLY, 0), 2);
    CHECK_EQ_U64(write_breakpoint(MACHINE_ABSENT, 0), 3);
    go();
    CHECK_EQ_U64(byte_at(MACHINE_ROM), rom);
    CHECK_EQ_U64(byte_at(MACHINE_READONLY), 0xCC);
    CHECK(!kda_breakpoint_at(peer.engine, MACHINE_ROM));
    CHECK(!kda_breakpoint_at(peer.engine, MACHINE_ABSENT));
    hit(MACHINE_READONLY, 0x80000003);
    CHECK_EQ_U64(byte_at(MACHINE_READONLY), readonly);
    go();
    peer_close(&peer);
}

/* A write at a breakpoint is the program's new byte. */
static void write_under_breakpoint(void)
{
    begin();
    (void)write_breakpoint(PLACE, 0);
    CHECK_EQ_U64(peer_request(&peer, 0x3131, "\x90", 1, "qdd", PLACE, 1u, 0u).status, 0);
    go();
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    hit(PLACE, 0x80000003);
    CHECK_EQ_U64(byte_at(PLACE), 0x90);
    go();
    peer_close(&peer);
}

/* radare2 writes its breakpoints twice: WriteBreakPoint and an int3 of its own; and takes them away
 * in the order handle, byte. */
static void written_twice(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    CHECK_EQ_U64(write_breakpoint(PLACE, 0), 1);
    CHECK_EQ_U64(peer_request(&peer, 0x3131, "\xCC", 1, "qdd", PLACE, 1u, 0u).status, 0);
    go();
    hit(PLACE, 0x80000003);
    CHECK_EQ_U64(restore(1), 0);
    CHECK_EQ_U64(peer_request(&peer, 0x3131, &original, 1, "qdd", PLACE, 1u, 0u).status, 0);
    go();
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE);
    peer_close(&peer);
}

/* The program loads other code over a planted breakpoint. */
static void overwritten_by_the_program(void)
{
    begin();
    (void)write_breakpoint(PLACE, 0);
    go();
    *machine_byte(&peer.machine, PLACE) = 0x55;
    hit(PLACE + 4, 0x80000003);
    CHECK_EQ_U64(byte_at(PLACE), 0x55);
    go();
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    peer_close(&peer);
}

static void step_over(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    (void)write_breakpoint(PLACE, 0);
    (void)write_breakpoint(PLACE + 8, 0);
    go();
    CHECK(!kda_claim_step(peer.engine));
    hit(PLACE, 0x80000003);
    go();
    /* One instruction runs without its breakpoint; the others are there. */
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(byte_at(PLACE + 8), 0xCC);
    CHECK(kd_get32(peer.machine.context.eflags) & TF);
    peer.machine.context.rip = kd_put64(PLACE + 1);
    CHECK(kda_claim_step(peer.engine));
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    CHECK(!kda_claim_step(peer.engine));
    peer_close(&peer);
}

static void step_over_while_tracing(void)
{
    uint8_t original;
    struct peer_reply context;

    begin();
    original = byte_at(PLACE);
    (void)write_breakpoint(PLACE, 0);
    go();
    hit(PLACE, 0x80000003);
    peer_continue2(&peer, GO, 1, 0x400);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK(!kda_claim_step(peer.engine));
    hit(PLACE + 1, 0x80000004);
    /* TF was the engine's, so the program's flags do not show it. */
    context = peer_request(&peer, 0x3132, NULL, 0, "d", 0u);
    CHECK_EQ_U64(peer_get(context.data + 0x44, 4), 0x246);
    go();
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    peer_close(&peer);
}

/* An interrupt comes before the instruction was stepped, and with it a break-in. */
static void step_over_interrupted(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    (void)write_breakpoint(PLACE, 0);
    go();
    hit(PLACE, 0x80000003);
    go();
    hit(PLACE, 0x80000003);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    go();
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK(kd_get32(peer.machine.context.eflags) & TF);
    CHECK(kda_claim_step(peer.engine));
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    peer_close(&peer);
}

static void not_handled_leaves_all_in_place(void)
{
    begin();
    (void)write_breakpoint(PLACE, 0);
    go();
    hit(PLACE + 2, 0xC0000005);
    peer_continue2(&peer, 0x80010001, 1, 0x401);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(peer.outcome, KDA_NOT_HANDLED);
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x400);
    peer_close(&peer);
}

static void trace_flag(void)
{
    begin();
    peer_continue2(&peer, GO, 1, 0x400);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246 | TF);
    hit(PLACE, 0x80000004);
    peer_continue2(&peer, GO, 0, 0x400);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    peer_close(&peer);
}

/* WinDbg: ba e1 is WriteControlSpace, then the same Dr7 in Continue2. */
static void hardware_of_windbg(void)
{
    uint8_t block[0xE0];

    begin();
    memcpy(block, &peer.machine.special, sizeof block);
    peer_put(block + 0x20, 8, PLACE);
    peer_put(block + 0x48, 8, 0x402);
    (void)peer_request(&peer, 0x3138, block, sizeof block, "qdd", UINT64_C(2), 0xE0u, 0u);
    peer.machine.special.dr6 = kd_put64(0xFFFF0FF1);
    peer_continue2(&peer, GO, 0, 0x402);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr0), PLACE);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x402);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr6), 0xFFFF0FF0);
    hit(PLACE, 0x80000004);
    peer_continue2(&peer, GO, 0, 0x400);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x400);
    hit(PLACE, 0x80000004);
    peer_put(block + 0x48, 8, 0x402);
    (void)peer_request(&peer, 0x3138, block, sizeof block, "qdd", UINT64_C(2), 0xE0u, 0u);
    peer_continue2(&peer, GO, 0, 0);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0);
    peer_close(&peer);
}

/* radare2: dbH is SetContext; its Continue2 always says Dr7 0. */
static void hardware_of_radare2(void)
{
    struct peer_reply context;

    begin();
    context = peer_request(&peer, 0x3132, NULL, 0, "d", 0x1003Fu);
    peer_put(context.data + 0x48, 8, PLACE);
    peer_put(context.data + 0x70, 8, 0x402);
    peer_put(context.data + 0x30, 4, 0x10001F);
    (void)peer_request(&peer, 0x3133, context.data, 1232, "d", 0x1003Fu);
    peer_continue2(&peer, GO, 0, 0);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr0), PLACE);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x402);
    hit(PLACE, 0x80000004);
    peer_continue2(&peer, GO, 0, 0);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x402);
    peer_close(&peer);
}

static void arrays(void)
{
    uint8_t data[1600] = {0};
    struct peer_reply reply;

    begin();
    peer_put(data, 8, PLACE);
    peer_put(data + 16, 8, PLACE + 8);
    reply = peer_request(&peer, 0x3147, data, 32, "dd", 2u, 0x103u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 32);
    CHECK_EQ_U64(peer_get(reply.data, 8), PLACE);
    CHECK_EQ_U64(peer_get(reply.data + 8, 4), 1);
    CHECK_EQ_U64(peer_get(reply.data + 24, 4), 2);
    reply = peer_request(&peer, 0x3147, data, 0, "dd", 0u, 0x103u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK_EQ_U64(reply.size, 0);
    reply = peer_request(&peer, 0x3147, data, 1600, "dd", 100u, 0x103u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    reply = peer_request(&peer, 0x3147, data, 31, "dd", 2u, 0x103u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    for (uint32_t i = 0; i < 32; i++)
        peer_put(data + i * 16, 8, PLACE + i);
    reply = peer_request(&peer, 0x3147, data, 32 * 16, "dd", 32u, 0x103u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    CHECK_EQ_U64(peer_get(reply.data + 29 * 16 + 8, 4), 32);
    CHECK_EQ_U64(peer_get(reply.data + 30 * 16 + 8, 4), 0);
    peer_put(data, 4, 2);
    peer_put(data + 4, 4, 99);
    peer_put(data + 8, 4, 1);
    reply = peer_request(&peer, 0x3148, data, 12, "dd", 3u, 0x103u);
    CHECK_EQ_U64(reply.status, 0xC0000001);
    CHECK_EQ_U64(reply.size, 12);
    CHECK_EQ_U64(peer_get(reply.data, 4), 2);
    CHECK_EQ_U64(peer_get(reply.data + 4, 4), 0);
    CHECK_EQ_U64(restore(1), 0xC0000001);
    CHECK_EQ_U64(peer_request(&peer, 0x3148, data, 12, "dd", 33u, 0x103u).status, 0xC0000001);
    /* A continue status inside is obeyed, after the reply. */
    peer_put(data, 4, 3);
    reply = peer_request(&peer, 0x3148, data, 4, "dd", 1u, 0x80010001u);
    CHECK_EQ_U64(reply.status, 0);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(peer.outcome, KDA_NOT_HANDLED);
    peer_close(&peer);
}

/* An int3 of the program's own, where the debugger leaves the program counter at it. */
static void own_int3(void)
{
    begin();
    go();
    *machine_byte(&peer.machine, PLACE) = 0xCC;
    hit(PLACE, 0x80000003);
    go();
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE + 1);
    hit(PLACE, 0x80000003);
    peer_continue(&peer, 0x80010001);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE);
    /* A break-in just before it: it has yet to run. */
    peer_raw(&peer, "b", 1);
    CHECK(kda_poll(peer.engine));
    hit(PLACE, 0x80000003);
    go();
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE);
    /* A stop from outside that the debugger did not ask for (a key, an NMI): the same. */
    peer.exception.uncalled = true;
    hit(PLACE, 0x80000003);
    go();
    CHECK_EQ_U64(kd_get64(peer.machine.context.rip), PLACE);
    peer_close(&peer);
}

static void survive_a_debugger(void)
{
    begin();
    (void)write_breakpoint(PLACE, 0);
    go();
    /* Another debugger comes and, as WinDbg does, clears what it does not know. */
    peer_control(&peer, PEER_RESET, 0);
    peer_raw(&peer, "b", 1);
    peer.next_id = 0x80800000;
    CHECK(kda_poll(peer.engine));
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    hit(PLACE + 4, 0x80000003);
    for (uint32_t i = 1; i <= 32; i++)
        CHECK_EQ_U64(restore(i), i == 1 ? 0 : 0xC0000001);
    go();
    CHECK(byte_at(PLACE) != 0xCC);
    peer_close(&peer);
}

static void leave(struct peer *self)
{
    kda_leave(self->engine);
}

static void gone_with_the_agent(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    (void)write_breakpoint(PLACE, 0);
    peer_continue2(&peer, GO, 0, 0x401);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    peer_begin(&peer, leave);
    CHECK(!peer_run(&peer));
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(peer_receive(&peer).type, PEER_STATE);
    /* Not even those that come at the last moment stay. */
    (void)write_breakpoint(PLACE, 0);
    peer_continue2(&peer, 0x00010002, 1, 0x401);
    CHECK(peer_run(&peer));
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK_EQ_U64(kd_get64(peer.machine.special.dr7), 0x400);
    CHECK_EQ_U64(kd_get32(peer.machine.context.eflags), 0x246);
    peer_close(&peer);
}

static void gone_with_a_fault(void)
{
    uint8_t original;

    begin();
    original = byte_at(PLACE);
    (void)write_breakpoint(PLACE, 0);
    (void)write_breakpoint(PLACE, 0);
    go();
    CHECK_EQ_U64(byte_at(PLACE), 0xCC);
    kda_rescue(peer.engine);
    CHECK_EQ_U64(byte_at(PLACE), original);
    CHECK(!kda_breakpoint_at(peer.engine, PLACE));
    peer_close(&peer);
}

/* The debugger died with breakpoints set, and nobody waits for the program any more. */
static void nobody_left(void)
{
    const struct kda_config config = {.major = 0x040F, .wait_us = 100000, .message_us = 1000};

    peer_open_with(&peer, &config);
    CHECK(peer_expect_stop(&peer).there);
    (void)write_breakpoint(PLACE, 0);
    go();
    peer_control(&peer, PEER_RESET, 0);
    CHECK(!kda_poll(peer.engine));
    peer.machine.context.rip = kd_put64(PLACE);
    peer.exception.address = PLACE;
    peer_begin(&peer, peer_stop);
    CHECK(peer_pass(&peer, 200000));
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    CHECK(byte_at(PLACE) != 0xCC);
    CHECK(!kda_breakpoint_at(peer.engine, PLACE));
    peer_close(&peer);
}

KD_TEST_MAIN({"planted only while running", planted_only_while_running}, {"handles", handles},
             {"same address twice", same_address_twice},
             {"where memory does not allow", where_memory_does_not_allow},
             {"write under a breakpoint", write_under_breakpoint}, {"written twice", written_twice},
             {"overwritten by the program", overwritten_by_the_program}, {"step over", step_over},
             {"step over while tracing", step_over_while_tracing},
             {"step over interrupted", step_over_interrupted},
             {"not handled", not_handled_leaves_all_in_place}, {"trace flag", trace_flag},
             {"hardware, WinDbg", hardware_of_windbg}, {"hardware, radare2", hardware_of_radare2},
             {"arrays", arrays}, {"own int3", own_int3}, {"survive a debugger", survive_a_debugger},
             {"gone with the agent", gone_with_the_agent}, {"gone with a fault", gone_with_a_fault},
             {"nobody left", nobody_left})
