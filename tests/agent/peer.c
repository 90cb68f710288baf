/* peer.c - the tests' debugger. See peer.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "peer.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PENDING 0x103u

static void die(const char *what)
{
    fprintf(stderr, "peer: %s\n", what);
    abort();
}

uint64_t peer_get(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    while (size-- > 0)
        value = value << 8 | bytes[size];
    return value;
}

void peer_put(uint8_t *bytes, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(value >> 8 * i);
}

/* Adds a byte, perhaps damaged. */
static void add(struct peer_queue *queue, uint8_t byte, bool hit, enum peer_damage damage)
{
    if (hit && damage == PEER_DROP)
        return;
    if (queue->end + 2 > sizeof queue->bytes) {
        memmove(queue->bytes, queue->bytes + queue->start, queue->end - queue->start);
        queue->end -= queue->start;
        queue->start = 0;
    }
    if (queue->end + 2 > sizeof queue->bytes)
        die("queue full");
    queue->bytes[queue->end++] = hit && damage == PEER_FLIP ? byte ^ 0x11 : byte;
    if (hit && damage == PEER_DOUBLE)
        queue->bytes[queue->end++] = byte;
}

static size_t read_line(void *self, uint8_t *out, size_t room)
{
    struct peer *peer = self;
    struct peer_queue *queue = &peer->to_target;
    size_t size = queue->end - queue->start;

    if (size > room)
        size = room;
    memcpy(out, queue->bytes + queue->start, size);
    queue->start += size;
    return size;
}

static size_t write_line(void *self, const uint8_t *bytes, size_t size)
{
    struct peer *peer = self;

    for (size_t i = 0; i < size; i++)
        add(&peer->to_debugger, bytes[i], peer->written++ == peer->damage_debugger_at,
            peer->damage);
    return size;
}

/* Hands over to the other thread and waits for its turn to end. */
static void hand_over(struct peer *peer, bool to_engine)
{
    pthread_mutex_lock(&peer->lock);
    peer->engine_turn = to_engine;
    pthread_cond_broadcast(&peer->turn);
    while (peer->engine_turn == to_engine)
        pthread_cond_wait(&peer->turn, &peer->lock);
    pthread_mutex_unlock(&peer->lock);
}

static void relax(void *self)
{
    struct peer *peer = self;

    hand_over(peer, false);
    if (peer->quit)
        pthread_exit(NULL);
}

static void *engine_thread(void *self)
{
    struct peer *peer = self;

    pthread_mutex_lock(&peer->lock);
    while (!peer->engine_turn)
        pthread_cond_wait(&peer->turn, &peer->lock);
    pthread_mutex_unlock(&peer->lock);
    while (!peer->quit) {
        if (peer->call) {
            peer->call(peer);
            peer->call = NULL;
        }
        hand_over(peer, false);
    }
    return NULL;
}

void peer_open_with(struct peer *peer, const struct kda_config *config)
{
    static const struct kda_transport_ops ops = {read_line, write_line};
    struct kda_transport transport = {&ops, peer};
    struct kda_target target;

    memset(peer, 0, sizeof *peer);
    peer->damage_target_at = SIZE_MAX;
    peer->damage_debugger_at = SIZE_MAX;
    peer->next_id = 0x80800000;
    machine_init(&peer->machine);
    peer->machine.relax = relax;
    peer->machine.relax_self = peer;
    target = machine_target(&peer->machine);
    peer->memory = aligned_alloc(16, (kda_size() + 15) & ~(size_t)15);
    if (!peer->memory)
        die("no memory");
    peer->engine = kda_init(peer->memory, kda_size(), config, &target, &transport);
    peer->machine.engine = peer->memory;
    peer->machine.engine_size = kda_size();
    peer->exception = (struct kda_exception){
        .code = 0x80000003,
        .address = kd_get64(peer->machine.context.rip),
        .count = 1,
        .first_chance = true,
    };
    pthread_mutex_init(&peer->lock, NULL);
    pthread_cond_init(&peer->turn, NULL);
    if (pthread_create(&peer->thread, NULL, engine_thread, peer) != 0)
        die("no thread");
}

void peer_open(struct peer *peer)
{
    static const struct kda_config config = {
        .major = KDA_IDENTITY_BOOT,
        .minor = 18362,
        .message_us = 1000,
        .kern_base = MACHINE_RAM,
    };

    peer_open_with(peer, &config);
}

void peer_close(struct peer *peer)
{
    pthread_mutex_lock(&peer->lock);
    peer->quit = true;
    peer->engine_turn = true;
    pthread_cond_broadcast(&peer->turn);
    pthread_mutex_unlock(&peer->lock);
    pthread_join(peer->thread, NULL);
    pthread_mutex_destroy(&peer->lock);
    pthread_cond_destroy(&peer->turn);
    free(peer->memory);
}

void peer_begin(struct peer *peer, void (*call)(struct peer *peer))
{
    if (peer->call)
        die("the engine is in a call");
    peer->call = call;
}

bool peer_run(struct peer *peer)
{
    hand_over(peer, true);
    return peer->call == NULL;
}

bool peer_pass(struct peer *peer, uint64_t us)
{
    bool done = peer->call == NULL;

    while (us > 0 && !done) {
        uint64_t step = us < 10000 ? us : 10000;

        peer->machine.now += step;
        us -= step;
        done = peer_run(peer);
    }
    return done;
}

void peer_stop(struct peer *peer)
{
    peer->outcome = kda_stop(peer->engine, &peer->exception);
}

struct peer_packet peer_take(struct peer *peer)
{
    struct peer_queue *queue = &peer->to_debugger;
    const uint8_t *bytes = queue->bytes + queue->start;
    size_t size = queue->end - queue->start;
    struct peer_packet packet = {0};
    uint32_t sum = 0;

    if (size == 0)
        return packet;
    if (size < 16)
        die("part of a header");
    packet.there = true;
    packet.control = bytes[0] == 'i';
    if (memcmp(bytes, packet.control ? "iiii" : "0000", 4) != 0)
        die("no leader");
    packet.type = (uint16_t)peer_get(bytes + 4, 2);
    packet.size = (size_t)peer_get(bytes + 6, 2);
    packet.id = (uint32_t)peer_get(bytes + 8, 4);
    packet.payload = bytes + 16;
    if (packet.control ? packet.size != 0 : size < 17 + packet.size)
        die("part of a packet");
    for (size_t i = 0; i < packet.size; i++)
        sum += packet.payload[i];
    if (sum != peer_get(bytes + 12, 4) || (!packet.control && bytes[16 + packet.size] != 0xAA))
        die("checksum or trailer");
    queue->start += packet.control ? 16 : 17 + packet.size;
    return packet;
}

void peer_raw(struct peer *peer, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        add(&peer->to_target, ((const uint8_t *)bytes)[i],
            peer->read_total++ == peer->damage_target_at, peer->damage);
}

size_t peer_encode(uint8_t *out, uint16_t type, uint32_t id, const void *payload, size_t size)
{
    bool control = type == PEER_ACK || type == PEER_RESEND || type == PEER_RESET;
    uint32_t sum = 0;

    memcpy(out, control ? "iiii" : "0000", 4);
    peer_put(out + 4, 2, type);
    peer_put(out + 6, 2, size);
    peer_put(out + 8, 4, id);
    for (size_t i = 0; i < size; i++)
        sum += ((const uint8_t *)payload)[i];
    peer_put(out + 12, 4, sum);
    if (control)
        return 16;
    memcpy(out + 16, payload, size);
    out[16 + size] = 0xAA;
    return 17 + size;
}

void peer_control(struct peer *peer, uint16_t type, uint32_t id)
{
    uint8_t bytes[16];

    peer_raw(peer, bytes, peer_encode(bytes, type, id, "", 0));
}

void peer_data(struct peer *peer, uint16_t type, uint32_t id, const void *payload, size_t size)
{
    uint8_t bytes[4200];

    peer_raw(peer, bytes, peer_encode(bytes, type, id, payload, size));
}

struct peer_packet peer_receive(struct peer *peer)
{
    static uint8_t copy[4200];
    struct peer_packet packet;

    do {
        packet = peer_take(peer);
        if (!packet.there)
            return packet;
    } while (packet.control);
    memcpy(copy, packet.payload, packet.size);
    packet.payload = copy;
    peer_control(peer, PEER_ACK, packet.id & ~0x800u);
    peer_run(peer);
    return packet;
}

struct peer_packet peer_expect_stop(struct peer *peer)
{
    peer_begin(peer, peer_stop);
    peer_run(peer);
    return peer_receive(peer);
}

struct peer_reply peer_ask(struct peer *peer, uint32_t api, const void *body, size_t body_size,
                           const void *data, size_t size)
{
    uint8_t payload[4100] = {0};
    struct peer_packet packet;
    struct peer_reply reply = {0};

    peer_put(payload, 4, api);
    peer_put(payload + 8, 4, PENDING);
    if (body_size)
        memcpy(payload + 16, body, body_size);
    if (size)
        memcpy(payload + 56, data, size);
    peer_data(peer, PEER_MANIPULATE, peer->next_id, payload, 56 + size);
    peer_run(peer);
    packet = peer_take(peer);
    if (!packet.there || packet.type != PEER_ACK || packet.id != peer->next_id)
        return reply;
    peer->next_id ^= 1;
    packet = peer_receive(peer);
    if (!packet.there || packet.type != PEER_MANIPULATE || packet.size < 56)
        return reply;
    reply.there = true;
    reply.api = (uint32_t)peer_get(packet.payload, 4);
    reply.status = (uint32_t)peer_get(packet.payload + 8, 4);
    memcpy(reply.body, packet.payload + 16, 40);
    reply.size = packet.size - 56;
    memcpy(reply.data, packet.payload + 56, reply.size);
    return reply;
}

struct peer_reply peer_request(struct peer *peer, uint32_t api, const void *data, size_t size,
                               const char *fields, ...)
{
    uint8_t body[40] = {0};
    size_t at = 0;
    va_list list;

    va_start(list, fields);
    for (; *fields; fields++) {
        size_t width = *fields == 'q' ? 8 : *fields == 'd' ? 4 : 2;

        peer_put(body + at, width,
                 width == 8 ? va_arg(list, uint64_t) : (uint64_t)va_arg(list, uint32_t));
        at += width;
    }
    va_end(list);
    return peer_ask(peer, api, body, at, data, size);
}

void peer_continue(struct peer *peer, uint32_t status)
{
    (void)peer_request(peer, 0x3136, NULL, 0, "d", status);
}

void peer_continue2(struct peer *peer, uint32_t status, uint32_t trace, uint64_t dr7)
{
    (void)peer_request(peer, 0x313C, NULL, 0, "ddqqq", status, trace, dr7, UINT64_C(1),
                       UINT64_C(0));
}
