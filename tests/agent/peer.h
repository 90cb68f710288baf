/* peer.h - a debugger for the engine's tests, written without the project's encoder, framer or
 * link: plain bytes, so that a mistake there is not made twice.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The engine runs in a thread of its own, but never at the same time as the test: peer_run lets it
 * go until it waits for the line or its call has returned. Time is the machine's and stands still
 * unless the test moves it, so nothing depends on the speed of the computer.
 */
#ifndef TESTS_AGENT_PEER_H
#define TESTS_AGENT_PEER_H

#include <pthread.h>

#include "machine.h"

#define PEER_ROOM 65536u

enum { PEER_ACK = 4, PEER_RESEND = 5, PEER_RESET = 6 };
enum { PEER_MANIPULATE = 2, PEER_DEBUG_IO = 3, PEER_STATE = 7 };

struct peer_queue {
    uint8_t bytes[PEER_ROOM];
    size_t start;
    size_t end;
};

struct peer {
    struct machine machine;
    struct kda_engine *engine;
    void *memory;
    struct peer_queue to_target;
    struct peer_queue to_debugger;
    uint32_t next_id; /* of the next request */
    size_t written;   /* bytes the engine has sent since the start */

    /* Faults: the nth byte in this direction (from 0) is changed; SIZE_MAX: none. */
    size_t damage_target_at;
    size_t damage_debugger_at;
    enum peer_damage { PEER_DROP, PEER_DOUBLE, PEER_FLIP } damage;
    size_t read_total;

    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t turn;
    bool engine_turn;
    bool quit;
    void (*call)(struct peer *peer); /* what the engine's thread does; NULL: done */
    struct kda_exception exception;
    enum kda_outcome outcome;
    bool said; /* result of a call that returns bool */
    size_t answer;
    char text[256];
};

/* With the boot identity, waits without end, 1 ms for messages of an absent debugger. */
void peer_open(struct peer *peer);
void peer_open_with(struct peer *peer, const struct kda_config *config);
void peer_close(struct peer *peer);

/* Begins a call of the engine; it runs at the next peer_run. */
void peer_begin(struct peer *peer, void (*call)(struct peer *peer));
/* True: the call has returned. */
bool peer_run(struct peer *peer);
/* Time passes, in steps of at most 10 ms. */
bool peer_pass(struct peer *peer, uint64_t us);

/* kda_stop with peer->exception, which starts as a breakpoint at the program counter. */
void peer_stop(struct peer *peer);

struct peer_packet {
    bool there;
    bool control;
    uint16_t type;
    uint32_t id;
    size_t size;
    const uint8_t *payload; /* until the next peer_run */
};

/* The next packet the engine sent; not there when it sent none. Anything that is no well-formed
 * packet fails the test. */
struct peer_packet peer_take(struct peer *peer);

void peer_raw(struct peer *peer, const void *bytes, size_t size);
void peer_control(struct peer *peer, uint16_t type, uint32_t id);
void peer_data(struct peer *peer, uint16_t type, uint32_t id, const void *payload, size_t size);

/* A whole packet's bytes into out; returns their number. */
size_t peer_encode(uint8_t *out, uint16_t type, uint32_t id, const void *payload, size_t size);

/* Takes packets until a data packet comes, acknowledges it, lets the engine run. */
struct peer_packet peer_receive(struct peer *peer);

/* Begins peer_stop and receives its state change. */
struct peer_packet peer_expect_stop(struct peer *peer);

struct peer_reply {
    bool there;
    uint32_t api;
    uint32_t status;
    uint8_t body[40];
    size_t size;
    uint8_t data[4000];
};

/* A request and its reply, each acknowledged. body has body_size of the union's 40 bytes. */
struct peer_reply peer_ask(struct peer *peer, uint32_t api, const void *body, size_t body_size,
                           const void *data, size_t size);
/* The same with the union given as little-endian fields: "q" 8 bytes, "d" 4, "w" 2. */
struct peer_reply peer_request(struct peer *peer, uint32_t api, const void *data, size_t size,
                               const char *fields, ...);

/* Continue (0x3136) and Continue2 (0x313C); the call must return. */
void peer_continue(struct peer *peer, uint32_t status);
void peer_continue2(struct peer *peer, uint32_t status, uint32_t trace, uint64_t dr7);

uint64_t peer_get(const uint8_t *bytes, size_t size);
void peer_put(uint8_t *bytes, size_t size, uint64_t value);

#endif
