/* test_engine_faults.c - a session with one fault on the line, once for every byte of it; a
 * debugger that restarts at every step.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The debugger here is a real one in small: it acknowledges, repeats what is not acknowledged, asks
 * for what is damaged, and goes on until all its requests are served. Whatever happens to a byte,
 * each request must be served once, with the right answer, and the program go on.
 */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "peer.h"

#define STEP     100000u   /* us between two looks */
#define PATIENCE 60000000u /* of the machine's time, for one session */

static struct peer peer;
static uint64_t last_handle; /* the highest that WriteBreakPoint may give: one for each debugger */

/* What the debugger asks, in order. Each has one right answer, which only the first serving gives:
 * reading shows what was written before. */
enum { ASK_WRITE, ASK_READ, ASK_BREAKPOINT, ASK_VERSION, ASK_CONTINUE, ASK_END };

static size_t make_request(unsigned step, uint8_t *payload)
{
    static const uint16_t apis[] = {0x3131, 0x3130, 0x3134, 0x3146, 0x313C};

    memset(payload, 0, 56);
    peer_put(payload, 4, apis[step]);
    peer_put(payload + 8, 4, 0x103);
    peer_put(payload + 16, 8, MACHINE_RAM + 0x700);
    peer_put(payload + 24, 4, 4);
    if (step == ASK_WRITE)
        memcpy(payload + 56, "b0ib", 4);
    if (step == ASK_CONTINUE) {
        memset(payload + 16, 0, 40);
        peer_put(payload + 16, 4, 0x00010001);
        peer_put(payload + 24, 8, 0x400);
    }
    return step == ASK_WRITE ? 60 : 56;
}

static void check_reply(unsigned step, const uint8_t *payload, size_t size)
{
    CHECK_EQ_U64(peer_get(payload + 8, 4), 0);
    if (step == ASK_WRITE)
        CHECK_EQ_U64(peer_get(payload + 28, 4), 4);
    if (step == ASK_READ && CHECK(size == 60))
        CHECK_EQ_MEM(payload + 56, "b0ib", 4);
    if (step == ASK_BREAKPOINT)
        CHECK(peer_get(payload + 24, 4) - 1 < last_handle);
    if (step == ASK_VERSION)
        CHECK_EQ_U64(peer_get(payload + 16, 2), 0x040F);
}

/* The debugger's side of the line. */
struct debugger {
    uint8_t in[8192];
    size_t size;
    uint32_t id;       /* of the request on the way */
    uint32_t expected; /* id of the next data packet; 0: any */
    unsigned step;
    bool acknowledged;
    bool stopped; /* a state change has come */
    uint64_t sent_at;
    uint64_t quiet_since;
};

static void transmit(struct debugger *d)
{
    uint8_t payload[64];

    peer_data(&peer, PEER_MANIPULATE, d->id, payload, make_request(d->step, payload));
    d->sent_at = peer.machine.now;
}

static void next_request(struct debugger *d)
{
    d->acknowledged = false;
    if (d->step < ASK_END)
        transmit(d);
}

static void take_data(struct debugger *d, uint16_t type, uint32_t id, const uint8_t *payload,
                      size_t size)
{
    peer_control(&peer, PEER_ACK, id & ~0x800u);
    if (!(id & 0x800) && d->expected && id != d->expected)
        return;
    if (id & 0x800)
        d->id = 0x80800000;
    d->expected = (id & ~0x800u) ^ 1;
    if (type == PEER_STATE && !d->stopped) {
        d->stopped = true;
        next_request(d);
    } else if (type == PEER_MANIPULATE && d->stopped && d->step < ASK_CONTINUE) {
        uint8_t request[64];

        make_request(d->step, request);
        if (memcmp(payload, request, 4) != 0)
            return;
        check_reply(d->step, payload, size);
        if (!d->acknowledged)
            d->id ^= 1; /* the reply says as much as the lost ACK */
        d->step++;
        next_request(d);
    }
}

static void take_control(struct debugger *d, uint16_t type, uint32_t id)
{
    if (type == PEER_ACK && d->stopped && !d->acknowledged && id == d->id && d->step < ASK_END) {
        d->acknowledged = true;
        d->id ^= 1;
        if (d->step == ASK_CONTINUE)
            d->step = ASK_END;
    } else if (type == PEER_RESEND && d->stopped && !d->acknowledged && d->step < ASK_END) {
        transmit(d);
    }
}

/* Takes one packet or drops one byte; false: needs more. */
static bool parse(struct debugger *d)
{
    size_t count, whole, drop = 1;
    uint32_t sum = 0;
    uint16_t type;

    if (d->size < 16)
        return false;
    type = (uint16_t)peer_get(d->in + 4, 2);
    count = (size_t)peer_get(d->in + 6, 2);
    if (memcmp(d->in, "iiii", 4) == 0 && count == 0 && type < 12) {
        take_control(d, type, (uint32_t)peer_get(d->in + 8, 4));
        drop = 16;
    } else if (memcmp(d->in, "0000", 4) == 0 && type < 12 && count <= 4000) {
        whole = 17 + count;
        if (d->size < whole)
            return false;
        for (size_t i = 0; i < count; i++)
            sum += d->in[16 + i];
        if (sum == peer_get(d->in + 12, 4) && d->in[16 + count] == 0xAA) {
            take_data(d, type, (uint32_t)peer_get(d->in + 8, 4), d->in + 16, count);
            drop = whole;
        } else {
            peer_control(&peer, PEER_RESEND, 0);
        }
    }
    memmove(d->in, d->in + drop, d->size - drop);
    d->size -= drop;
    return true;
}

/* The engine's bytes since the last look; silence clears what never became a packet. */
static void look(struct debugger *d)
{
    struct peer_queue *queue = &peer.to_debugger;
    size_t size = queue->end - queue->start;

    if (size) {
        if (!CHECK(d->size + size <= sizeof d->in))
            d->size = 0;
        memcpy(d->in + d->size, queue->bytes + queue->start, size);
        d->size += size;
        queue->start = queue->end;
        d->quiet_since = peer.machine.now;
    } else if (peer.machine.now - d->quiet_since > 500000 && d->size) {
        memmove(d->in, d->in + 1, --d->size);
    }
    while (parse(d))
        ;
    if (d->stopped && !d->acknowledged && d->step < ASK_END &&
        peer.machine.now - d->sent_at > 2000000)
        transmit(d);
}

/* Until the program goes on. */
static void converse(struct debugger *d)
{
    uint64_t start = peer.machine.now;

    while (peer.call && peer.machine.now - start < PATIENCE) {
        look(d);
        peer_run(&peer);
        if (peer.call && peer.to_debugger.start == peer.to_debugger.end)
            peer_pass(&peer, STEP);
    }
    look(d);
}

static void begin_session(struct debugger *d)
{
    memset(d, 0, sizeof *d);
    d->id = 0x80800000;
    peer_begin(&peer, peer_stop);
    peer_run(&peer);
}

static void check_end(void)
{
    if (!CHECK(!peer.call))
        return;
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    CHECK_EQ_U64(*machine_byte(&peer.machine, MACHINE_RAM + 0x700), 0xCC);
    CHECK_EQ_MEM(machine_byte(&peer.machine, MACHINE_RAM + 0x701), "0ib", 3);
}

static const char *const damages[] = {"dropped", "doubled", "changed"};

/* Returns how many bytes went either way, for the loop over all of them. */
static void session_with_fault(bool to_target, size_t at, enum peer_damage damage, size_t *to,
                               size_t *from)
{
    struct debugger d;
    unsigned before = check_failures;

    peer_open(&peer);
    last_handle = 1;
    peer.damage = damage;
    *(to_target ? &peer.damage_target_at : &peer.damage_debugger_at) = at;
    begin_session(&d);
    converse(&d);
    check_end();
    if (check_failures != before)
        fprintf(stderr, "byte %zu to the %s %s; the debugger was at step %u\n", at,
                to_target ? "target" : "debugger", damages[damage], d.step);
    *to = peer.read_total;
    *from = peer.written;
    peer_close(&peer);
}

static void every_byte(bool to_target)
{
    size_t to, from, ignored[2], total;

    session_with_fault(true, SIZE_MAX, PEER_DROP, &to, &from);
    total = to_target ? to : from;
    CHECK(total > 300);
    for (unsigned damage = 0; damage < 3; damage++)
        for (size_t at = 0; at < total; at++)
            session_with_fault(to_target, at, (enum peer_damage)damage, &ignored[0], &ignored[1]);
}

static void every_byte_to_the_target(void)
{
    every_byte(true);
}

static void every_byte_to_the_debugger(void)
{
    every_byte(false);
}

/* After any number of looks the debugger is killed; the next one sends RESET and begins anew. */
static void restart_after(unsigned looks)
{
    struct debugger d;

    peer_open(&peer);
    last_handle = 2;
    begin_session(&d);
    for (unsigned i = 0; i < looks && peer.call; i++) {
        look(&d);
        peer_run(&peer);
    }
    if (peer.call) {
        peer.to_debugger.start = peer.to_debugger.end;
        peer.to_target.start = peer.to_target.end;
        peer_control(&peer, PEER_RESET, 0);
        memset(&d, 0, sizeof d);
        d.id = 0x80800000;
        peer_run(&peer);
        peer_pass(&peer, STEP);
        converse(&d);
    }
    CHECK(!peer.call);
    CHECK_EQ_U64(peer.outcome, KDA_HANDLED);
    peer_close(&peer);
}

static void restart_at_every_step(void)
{
    for (unsigned looks = 0; looks < 14; looks++) {
        unsigned before = check_failures;

        restart_after(looks);
        if (check_failures != before)
            fprintf(stderr, "restart after %u looks\n", looks);
    }
}

KD_TEST_MAIN({"every byte to the target", every_byte_to_the_target},
             {"every byte to the debugger", every_byte_to_the_debugger},
             {"restart at every step", restart_at_every_step})
