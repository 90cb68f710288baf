/* client.h - the guest's side of VMBus in its simplest form, polled.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The firmware's client and the test programs are made of it. The agent is not: what tests it is
 * another program.
 */
#ifndef HVHOST_CLIENT_H
#define HVHOST_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "kd/ring.h"
#include "kd/vmbus.h"

/* Handle of the rings' GPADL. */
#define CLIENT_GPADL UINT32_C(0xE1E10)

struct client {
    /* Set by the caller: pages that the MSRs name, one to post from, the rings. */
    uint8_t *hypercall, *messages, *events, *post, *rings;
    uint32_t ring_pages; /* of each ring, its control page included */
    uint8_t sint;
    uint32_t version;
    uint32_t connection; /* to post INITIATE_CONTACT to */
    const uint8_t *type; /* GUID of the device that is wanted */
    /* Found out. */
    uint32_t message_id, relid, event_id;
    bool connected, rescinded;
    struct kd_ring out, in;
};

/* hypercalls return an enum kd_hv_status. */
uint32_t client_post(const struct client *client, const void *message, uint32_t size);
uint32_t client_signal(const struct client *client);

/* The next message, copied; its type, 0: there is none. Offers and rescinds are noted. */
uint32_t client_take(struct client *client, uint8_t out[KD_HV_MESSAGE_MAX]);

/* Waits some seconds for a message of this type. */
bool client_wait(struct client *client, uint32_t type, uint8_t out[KD_HV_MESSAGE_MAX]);

/* Each returns what failed; NULL: nothing. */
const char *client_connect(struct client *client);
const char *client_open(struct client *client);
const char *client_close(struct client *client);
const char *client_unload(struct client *client);

/* A rescinded channel's relid is given back. */
void client_release(struct client *client);

/* Writes one pipe packet and signals; false: the ring does not take it now. */
bool client_send(struct client *client, const uint8_t *bytes, uint32_t size);

/* Microseconds of the reference counter. */
uint64_t client_now(void);

#endif
