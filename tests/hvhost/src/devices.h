/* devices.h - what the host offers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_DEVICES_H
#define HVHOST_DEVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;
struct channel;
struct connection;
struct host_packet;

struct device {
    const char *name;
    const uint8_t *type; /* GUIDs, 16 bytes as in messages */
    const uint8_t *instance;
    uint16_t flags;         /* enum kd_vmbus_offer_flags */
    uint32_t pipe_mode;     /* enum kd_vmbus_pipe_mode, with KD_VMBUS_OFFER_NAMED_PIPE */
    uint8_t host_initiated; /* of a socket: user_defined[4] */
    /* Whether this connection gets it. */
    bool (*offered)(const struct host *host, const struct connection *connection);
    void (*opened)(struct host *host, struct channel *channel);
    /* Room for one more packet of the guest; without it the ring is left alone. */
    bool (*ready)(struct host *host, struct channel *channel);
    void (*packet)(struct host *host, struct channel *channel, const struct host_packet *packet);
    void (*work)(struct host *host, struct channel *channel);
    void (*closed)(struct host *host, struct channel *channel);
};

#define DEVICES 7u
extern const struct device *const devices[DEVICES];
extern const struct device device_pipe, device_echo, device_firmware, device_heartbeat, device_net,
    device_socket_host, device_socket_guest;

/* Payload of a pipe packet, checked; false: it is none (reported). */
bool device_pipe_payload(struct host *host, const struct channel *channel,
                         const struct host_packet *packet, const uint8_t **bytes, uint32_t *size);

#endif
