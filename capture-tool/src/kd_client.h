/* kd_client.h - the debugger's end of a KD conversation: connecting, requests and their replies,
 * what the target says by itself.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no I/O, no clock, no allocation. Times are the caller's, in microseconds. Over lib/kd's
 * link (KD_END_DEBUGGER) and framer; serial ids.
 *
 * What the target does, as far as is known:
 *   UNKNOWN    kd_client_attach; RESET and, where wanted, break-ins go out until it says something.
 *              A target that has stopped and answers RESET, but has its state change behind it, is
 *              asked for it by RESEND: a break-in it would remember, and stop again later
 *   RUNNING    it printed, or a Continue was sent
 *   PROMPTING  it waits for the answer to a GetString
 *   STOPPED    it sent a state change and serves requests
 *
 * A request is one of: queued, on the way (the link repeats it until it is acknowledged),
 * acknowledged and waiting for the reply. When the link begins anew under it, it is sent again: at
 * the state change that the target then repeats, or AGAIN_US later. Every request ends, by REPLY,
 * SENT or FAILED, at the latest after request_us.
 *
 * Everything received is hostile: lengths are checked before a byte is looked at, and what an event
 * hands on lies within the payload.
 */
#ifndef KDLENS_KD_CLIENT_H
#define KDLENS_KD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/frame.h"
#include "kd/link.h"
#include "kd/protocol.h"

#define KD_CLIENT_DATA_MAX (KD_PACKET_MAX_SIZE - KD_MANIPULATE_DATA)
#define KD_CLIENT_UNION    (KD_MANIPULATE_DATA - KD_MANIPULATE_UNION)
#define KD_CLIENT_TEXT_MAX (KD_PACKET_MAX_SIZE - KD_DEBUG_IO_TEXT)

enum kd_client_state {
    KD_CLIENT_UNKNOWN,
    KD_CLIENT_RUNNING,
    KD_CLIENT_PROMPTING,
    KD_CLIENT_STOPPED
};

enum kd_client_event_kind {
    KD_CLIENT_STATE_CHANGE, /* it has stopped; bytes: the message, at least KD_STATE_CHANGE_TEXT */
    KD_CLIENT_PRINT,        /* bytes: the text */
    KD_CLIENT_PROMPT,       /* bytes: the text; number: most bytes of the answer */
    KD_CLIENT_FILE,         /* a file request, refused already; number: ApiNumber; bytes: the name
                               in UTF-16LE for CreateFile, else nothing */
    KD_CLIENT_TRACE,        /* bytes: the data of a trace message */
    KD_CLIENT_CONSOLE,      /* bytes that are no KD */
    KD_CLIENT_BEGAN_ANEW,   /* it was reset, or gave up and started over */
    KD_CLIENT_ODD,          /* something that makes no sense was dropped; reason says what */
    KD_CLIENT_REPLY,        /* to the request; bytes: the whole message, at least
                               KD_MANIPULATE_DATA */
    KD_CLIENT_SENT,         /* the request, which has no reply, has arrived */
    KD_CLIENT_FAILED,       /* the request has ended without; reason says why */
};

struct kd_client_event {
    enum kd_client_event_kind kind;
    const uint8_t *bytes;
    size_t size;
    uint32_t number;
    const char *reason;
};

struct kd_client_config {
    uint32_t request_us; /* a request takes no longer */
    uint32_t break_us;   /* between two break-ins while nothing is known */
    bool break_in;       /* break-ins go out while nothing is known */
    bool hold;           /* nothing goes out before the target's first packet */
    void (*write)(void *context, const uint8_t *bytes, size_t size);
    void (*event)(void *context, const struct kd_client_event *event);
    void *context;
};

/* Of a manipulate message. match: so many bytes of the union are the same in the reply; this is
 * looked at when an earlier reply may still come. */
struct kd_client_request {
    uint32_t api;
    uint16_t processor;
    uint8_t match;
    bool silent;  /* the target never answers */
    bool resumes; /* the target runs once it has it */
    uint8_t fixed[KD_CLIENT_UNION];
    const uint8_t *data;
    size_t size;
};

enum kd_client_progress { KD_CLIENT_IDLE, KD_CLIENT_QUEUED, KD_CLIENT_ON_WAY, KD_CLIENT_AWAITED };

struct kd_client_message {
    enum kd_client_progress progress;
    enum kd_packet_type type;
    size_t size;
    uint8_t bytes[KD_PACKET_MAX_SIZE];
};

/* Members are the client's; reading state, resets, break_ins, heard is welcome. */
struct kd_client {
    struct kd_client_config config;
    struct kd_link link;
    struct kd_framer framer;
    enum kd_client_state state;
    bool attached;
    bool heard;         /* a packet has come since kd_client_attach */
    bool holding;       /* config.hold, and nothing has come */
    unsigned resets;    /* sent since kd_client_attach */
    unsigned break_ins; /* the same */
    uint64_t break_at;
    uint64_t
        nudge_at; /* RESET was answered: when RESEND asks for the state change, if it is missing */

    struct kd_client_message request;
    uint32_t api;
    uint8_t match;
    bool silent;
    bool resumes;
    bool again;       /* the link began anew under the request */
    bool late_likely; /* a request of this stop has ended without its reply */
    unsigned attempts;
    uint64_t again_at;
    uint64_t give_up_at;

    struct kd_client_message answer; /* to a file request or a prompt */
    bool answers_prompt;
    uint16_t prompt_level, prompt_processor;
    uint32_t prompt_length, prompt_room;

    uint8_t last_state[KD_STATE_CHANGE_TEXT];
    bool last_state_known;
    uint8_t early[KD_PACKET_MAX_SIZE]; /* a state change that came before the ACK of Continue */
    size_t early_size;

    uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
};

void kd_client_init(struct kd_client *client, const struct kd_client_config *config);

/* The transport has opened: from here on bytes may be written. */
void kd_client_attach(struct kd_client *client, uint64_t now);

/* The transport has closed. A request fails. */
void kd_client_detach(struct kd_client *client);

void kd_client_receive(struct kd_client *client, uint64_t now, const uint8_t *bytes, size_t size);

/* When kd_client_tick has something to do; UINT64_MAX is never. */
uint64_t kd_client_deadline(const struct kd_client *client);
void kd_client_tick(struct kd_client *client, uint64_t now);

/* Whether a request has not ended. */
bool kd_client_busy(const struct kd_client *client);

/* False, and nothing happens, while one is under way, while the target is not STOPPED, and when its
 * data is larger than KD_CLIENT_DATA_MAX. */
bool kd_client_request(struct kd_client *client, uint64_t now,
                       const struct kd_client_request *request);

/* Ends the request without its reply, and without an event. */
void kd_client_cancel(struct kd_client *client);

/* One break-in byte. */
void kd_client_break_in(struct kd_client *client);

/* The answer to the prompt, cut to what the target has room for. False when it does not prompt. */
bool kd_client_answer(struct kd_client *client, uint64_t now, const char *text, size_t size);

#endif
