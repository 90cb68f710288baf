/* offers.c - the channels a connection is offered.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"

#define PIPE_MODE_AT   0u
#define SOCKET_SIDE_AT 4u

static struct channel *new_channel(struct host *host)
{
    for (unsigned i = 0; i < VMBUS_CHANNELS; i++) {
        if (host->vmbus.channels[i].state == CHANNEL_FREE)
            return &host->vmbus.channels[i];
    }
    return NULL;
}

void offers_offer(struct host *host, struct connection *connection, const struct device *device,
                  const void *instance)
{
    struct channel *channel = new_channel(host);
    struct kd_vmbus_offer offer = {.message = kd_put32(KD_VMBUS_OFFER_CHANNEL)};

    if (!channel) {
        log_line(&host->log, LOG_WARN, "no channel left to offer %s", device->name);
        return;
    }
    *channel = (struct channel){
        .state = CHANNEL_OFFERED,
        .connection = (uint8_t)(connection - host->vmbus.connections),
        .device = device,
        .relid = host->vmbus.next_relid++,
    };
    __builtin_memcpy(offer.interface_type, device->type, sizeof offer.interface_type);
    __builtin_memcpy(offer.interface_instance, instance ? instance : device->instance,
                     sizeof offer.interface_instance);
    offer.flags = kd_put16(device->flags);
    if (device->flags & KD_VMBUS_OFFER_NAMED_PIPE)
        offer.user_defined[PIPE_MODE_AT] = kd_put8((uint8_t)device->pipe_mode);
    offer.user_defined[SOCKET_SIDE_AT] = kd_put8(device->host_initiated);
    offer.relid = kd_put32(channel->relid);
    if (host->options.monitor && !connection->firmware) {
        channel->monitor = (uint8_t)channel->relid;
        offer.monitor_id = kd_put8(channel->monitor);
        offer.monitor_flags = kd_put8(KD_VMBUS_MONITOR_ALLOCATED);
    }
    /* Older connections share one event. */
    if (connection->version >= KD_VMBUS_VERSION_WIN7) {
        offer.interrupt_flags = kd_put16(KD_VMBUS_INTERRUPT_DEDICATED);
        offer.connection_id = kd_put32(channel_event_id(host, channel));
    }
    vmbus_send(host, connection, &offer, sizeof offer, 0);
}

void offers_send(struct host *host, struct connection *connection)
{
    struct kd_vmbus_message end = {.message = kd_put32(KD_VMBUS_ALL_OFFERS_DELIVERED)};

    if (connection->offered) {
        VMBUS_BAD(host, connection, "%s", "REQUESTOFFERS a second time");
        return;
    }
    connection->offered = true;
    for (unsigned i = 0; i < DEVICES; i++) {
        if (devices[i]->offered(host, connection))
            offers_offer(host, connection, devices[i], NULL);
    }
    vmbus_send(host, connection, &end, sizeof end, 0);
}
