/* vmbus_host.h - a VMBus host made of memory, for the client's tests: strict, and wrong on request.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Offsets and numbers are those of the public descriptions of the messages, not lib/kd's. What a
 * client must not do is counted and told. Time passes by looking at it.
 */
#ifndef KDLENS_TESTS_VMBUS_HOST_H
#define KDLENS_TESTS_VMBUS_HOST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmbus.h"

#define HOST_SINT          5u /* the client's own */
#define HOST_RELID         11u
#define HOST_EVENT         0x2000Bu
#define HOST_CONNECTION    0x4050u
#define HOST_MESSAGES      256u
#define HOST_MESSAGE_TYPES 32u

struct host_message {
    uint64_t at; /* when it is delivered */
    size_t size;
    uint8_t bytes[240];
};

struct host {
    /* What it does; zeros: everything well. */
    uint32_t newest;       /* version it supports; 0: 5.3 */
    uint32_t oldest;       /* 0: any */
    bool no_multi;         /* connection 4 does not exist */
    bool only_sint2;       /* refuses others, as openvmm does */
    bool sint2_owned;      /* by the firmware */
    bool nothing_offered;  /* no channel of ours at first */
    bool bytes;            /* the pipe is in byte mode */
    unsigned refuse_pages; /* so many GPADLs */
    unsigned refuse_open;  /* so many opens */
    unsigned busy;         /* so many posts get busy_status */
    uint16_t busy_status;
    bool wrong_id;                          /* the connection that it names does not exist */
    uint8_t failed_state;                   /* of the connection, with "supported" */
    bool silent[HOST_MESSAGE_TYPES];        /* no reaction to this message */
    uint64_t delay[HOST_MESSAGE_TYPES];     /* before the answer to it */
    bool rescind_after[HOST_MESSAGE_TYPES]; /* the offer goes after this message */
    bool twice;                             /* each of its answers comes twice */
    bool quiet;                             /* tells no violations */
    unsigned lose_signals;                  /* so many do not reach it */

    /* What it has seen. */
    uint64_t time, step;
    uint8_t posted[HOST_MESSAGES]; /* types, in order */
    size_t posted_count;
    uint64_t posted_at[HOST_MESSAGES];
    uint8_t first_contact[240];
    size_t first_contact_size;
    unsigned contacts, signals, violations;
    bool connected, opened, rescinded, released;
    unsigned sint;       /* messages go there */
    uint32_t version;    /* agreed on */
    uint32_t next_relid; /* offered already, while the channel before is not released */
    uint32_t relid, gpadl, gpadl_expected, gpadl_pages;
    uint64_t pages[64];
    bool pages_complete;
    struct host_message queue[HOST_MESSAGES];
    size_t queued, taken;

    /* Its ends of the rings, while the channel is open. */
    struct kd_ring to_guest, from_guest;
    bool event; /* the guest's flag */
};

extern const uint8_t host_interface[16];

void host_init(struct host *host);

/* Ports of a client that talks to this host. */
struct kda_vmbus_ports host_ports(struct host *host);

/* A configuration whose pages are static memory. */
struct kda_vmbus_config host_config(void);

void host_offer(struct host *host, uint32_t relid);
void host_rescind(struct host *host);
/* Delivers these bytes as a message. */
void host_say(struct host *host, const void *bytes, size_t size);

/* A pipe packet into the guest's ring. */
bool host_send(struct host *host, const void *bytes, size_t size);
/* The payload of the next pipe packet from the guest; 0: none. */
size_t host_receive(struct host *host, uint8_t *out, size_t room);

#endif
