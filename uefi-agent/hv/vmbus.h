/* vmbus.h - a VMBus client for one channel: connects, finds its offer, opens, closes, leaves.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: messages, signals, memory and time come through ports, and everything the host says is
 * judged before it is used. kda_vmbus_poll moves it on and never waits; every state but three has a
 * time limit.
 *
 *   OFF        nothing is agreed on
 *   CONTACT    INITIATE_CONTACT is on its way; versions and SINTs are tried one after the other
 *   OFFERS     REQUESTOFFERS is
 *   ABSENT     connected; the host does not offer our channel
 *   GPADL      the ring's pages are being told to the host
 *   OPENING    OPENCHANNEL is on its way
 *   OPEN       bytes may flow
 *   CLOSING    closed or rescinded, GPADL_TEARDOWN on its way, then ABSENT or GPADL again
 *   UNLOADING  UNLOAD on its way, then CONTACT again or OFF
 *
 * A message to the host that stays unanswered ends the connection, and a new one is tried. What the
 * host refuses is asked for again a few times. Then the client stays where it is (OFF, or ABSENT
 * until the next offer), and kda_vmbus_problem says why.
 */
#ifndef KDA_VMBUS_H
#define KDA_VMBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/ring.h"
#include "kd/vmbus.h"

#define KDA_VMBUS_PAGE        4096u
#define KDA_VMBUS_MESSAGE_MAX KD_HV_MESSAGE_MAX
#define KDA_VMBUS_RING_PAGES  17u /* of each direction, the control page included */

/* Limits of waits, microseconds: policy decisions, but for the retries of PostMessage (Linux). */
#define KDA_VMBUS_CONTACT_US  UINT64_C(2000000) /* for one version */
#define KDA_VMBUS_ANSWER_US   UINT64_C(5000000)
#define KDA_VMBUS_TEARDOWN_US UINT64_C(2000000)
#define KDA_VMBUS_UNLOAD_US   UINT64_C(5000000)
#define KDA_VMBUS_AGAIN_US    UINT64_C(100000) /* before what was refused is asked for again */
#define KDA_VMBUS_CONNECT_US  UINT64_C(60000000)
#define KDA_VMBUS_DELAY_FIRST UINT64_C(1000)
#define KDA_VMBUS_DELAY_LAST  UINT64_C(256000)
#define KDA_VMBUS_TRIES       3u /* of a GPADL and an open, and of a connection */

struct kda_vmbus_ports {
    /* PostMessage and SignalEvent; the result is enum kd_hv_status. */
    uint16_t (*post)(void *self, uint32_t connection, const void *message, size_t size);
    uint16_t (*signal)(void *self, uint32_t connection);
    /* The next message for us, at most KDA_VMBUS_MESSAGE_MAX bytes; 0: none. */
    size_t (*receive)(void *self, uint8_t *out);
    /* Whether the channel's event flag was set; it is not any more. */
    bool (*take_event)(void *self, uint32_t relid);
    /* Messages come by SINT 2 from now on; false: that has an owner. */
    bool (*use_legacy_sint)(void *self);
    /* As it was before use_legacy_sint. */
    bool (*use_own_sint)(void *self);
    unsigned (*sint)(void *self);
    uint32_t (*processor)(void *self);
    uint64_t (*now)(void *self); /* microseconds */
    void (*relax)(void *self);   /* between two looks of a wait */
    void *self;
};

/* What happened, for a trace; NULL: nobody wants to know. */
struct kda_vmbus_watch {
    void (*message)(void *self, bool to_host, uint32_t connection, uint32_t status,
                    const uint8_t *bytes, size_t size);
    void (*signal)(void *self, bool to_host, uint32_t connection, uint32_t status, uint32_t relid);
    void (*note)(void *self, const char *text);
    void *self;
};

enum kda_vmbus_state {
    KDA_VMBUS_OFF,
    KDA_VMBUS_CONTACT,
    KDA_VMBUS_OFFERS,
    KDA_VMBUS_ABSENT,
    KDA_VMBUS_GPADL,
    KDA_VMBUS_OPENING,
    KDA_VMBUS_OPEN,
    KDA_VMBUS_CLOSING,
    KDA_VMBUS_UNLOADING,
};

struct kda_vmbus_config {
    uint8_t interface[16]; /* type GUID of the offer, as it lies on the wire */
    /* Physical addresses; pages of KDA_VMBUS_PAGE bytes. Rings: 2 * KDA_VMBUS_RING_PAGES pages. */
    uint8_t *rings;
    uint64_t rings_at;
    uint64_t monitor_at; /* 2 pages */
};

struct kda_vmbus_offer {
    uint32_t relid, connection;
    bool message_mode; /* a pipe that keeps messages apart */
    bool there;
};

/* One message that waits to be posted. */
struct kda_vmbus_letter {
    uint32_t connection;
    uint32_t size;
    uint8_t bytes[KDA_VMBUS_MESSAGE_MAX];
};
#define KDA_VMBUS_LETTERS 8u

/* Members are the client's, but for those that the comments give away. */
struct kda_vmbus {
    struct kda_vmbus_config config;
    struct kda_vmbus_ports ports;
    struct kda_vmbus_watch watch;

    enum kda_vmbus_state state; /* may be looked at */
    uint64_t deadline;          /* of the state */
    uint32_t version;
    uint32_t connection; /* for messages */
    unsigned rung;       /* of the ladder of versions */
    bool unanswered;     /* a rung got no answer at all */
    unsigned connections, tries;
    bool leaving;
    bool offers_delivered;

    struct kda_vmbus_offer offer, next; /* ours; and one that came while ours was in use */
    bool rescinded, opened, established;
    uint32_t gpadl, last_gpadl;
    unsigned generation; /* counts the times it was opened; may be looked at */
    struct kd_ring to_host, to_guest;

    struct kda_vmbus_letter letters[KDA_VMBUS_LETTERS];
    size_t first_letter, letter_count;
    uint64_t post_at, post_delay;
    unsigned post_tries; /* of the first letter */
    bool posted;         /* the connection of the version response has taken a message */

    bool memory_lost; /* the host may still use the pages: they must not be freed */
    char problem[160];
};

void kda_vmbus_init(struct kda_vmbus *bus, const struct kda_vmbus_config *config,
                    const struct kda_vmbus_ports *ports);

/* Connects, and waits until the channel is open (true), or it is certain that it will not be soon:
 * not offered, or kda_vmbus_problem tells. At most KDA_VMBUS_CONNECT_US. */
bool kda_vmbus_connect(struct kda_vmbus *bus);

void kda_vmbus_poll(struct kda_vmbus *bus);

/* Closes the channel and unloads the connection, waiting for the host where it answers. */
void kda_vmbus_leave(struct kda_vmbus *bus);

/* Tells the host that there is something in a ring. */
void kda_vmbus_signal(struct kda_vmbus *bus);

/* Notes what went wrong: step and reason. number: shown in hexadecimal; 0: not shown. */
void kda_vmbus_complain(struct kda_vmbus *bus, const char *step, const char *why, uint32_t number);

/* The last thing that went wrong: step and reason; "": nothing has. */
const char *kda_vmbus_problem(const struct kda_vmbus *bus);

#endif
