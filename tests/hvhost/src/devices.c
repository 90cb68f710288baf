/* devices.c - the list of what is offered; pipes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "devices.h"

#include "host.h"
#include "kd/vmbus.h"

const struct device *const devices[DEVICES] = {
    &device_pipe, &device_echo,        &device_firmware,     &device_heartbeat,
    &device_net,  &device_socket_host, &device_socket_guest,
};

/* Of this program's own. */
static const uint8_t echo_type[16] = {0xAA, 0xD0, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                      0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};
static const uint8_t echo_instance[16] = {0xAB, 0xD0, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                          0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};
const uint8_t device_firmware_type[16] = {0xAC, 0xD0, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                          0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};
static const uint8_t firmware_instance[16] = {0xAD, 0xD0, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                              0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};

bool device_pipe_payload(struct host *host, const struct channel *channel,
                         const struct host_packet *packet, const uint8_t **bytes, uint32_t *size)
{
    const struct kd_vmbus_pipe *header = (const void *)(packet->bytes + packet->payload);
    uint32_t room = packet->length - packet->payload;
    const char *fault = NULL;

    if (packet->type != KD_VMBUS_PACKET_IN_BAND)
        fault = "not an in-band packet";
    else if (room < sizeof *header)
        fault = "no pipe header";
    else if (kd_get32(header->type) != KD_VMBUS_PIPE_DATA)
        fault = "not a data packet of a pipe";
    else if (kd_get32(header->size) > room - sizeof *header ||
             kd_get32(header->size) > KD_VMBUS_PIPE_MAX)
        fault = "the pipe header says more than the packet has";
    else if (room - sizeof *header - kd_get32(header->size) >= 8)
        fault = "the packet has more than the pipe header says";
    if (fault) {
        log_line(&host->log, LOG_BAD, "channel %u (%s): %s; type %u, payload of %u bytes",
                 channel->relid, channel->device->name, fault, (uint32_t)packet->type, room);
        return false;
    }
    *bytes = (const uint8_t *)(header + 1);
    *size = kd_get32(header->size);
    return true;
}

/* A guest that asked for a completion gets one. */
static void complete(struct host *host, struct channel *channel, const struct host_packet *packet)
{
    static const struct host_part nothing[2];

    if (packet->flags & KD_VMBUS_PACKET_COMPLETION_REQUESTED)
        channel_write(host, channel, KD_VMBUS_PACKET_COMPLETION, 0, packet->transaction, nothing);
}

/* --- the debugger's pipe --- */

static bool to_others(const struct host *host, const struct connection *connection)
{
    (void)host;
    return !connection->firmware;
}

static bool pipe_offered(const struct host *host, const struct connection *connection)
{
    return !connection->firmware && !host->options.faults.no_offer;
}

static bool pipe_ready(struct host *host, struct channel *channel)
{
    (void)channel;
    return bridge_ready(host);
}

static void pipe_packet(struct host *host, struct channel *channel,
                        const struct host_packet *packet)
{
    const uint8_t *bytes;
    uint32_t size;

    /* Hosts of a pipe send no completions, even to a guest that sets the flag. */
    if (device_pipe_payload(host, channel, packet, &bytes, &size))
        bridge_take(host, bytes, size);
}

const struct device device_pipe = {
    .name = "pipe",
    .type = kd_vmbus_guids[KD_VMBUS_GUID_KD_PIPE],
    .instance = kd_vmbus_guids[KD_VMBUS_GUID_KD_PIPE_INSTANCE],
    .flags = KD_VMBUS_OFFER_NAMED_PIPE | KD_VMBUS_OFFER_ENUMERATE,
    .pipe_mode = KD_VMBUS_PIPE_MESSAGE,
    .offered = pipe_offered,
    .opened = bridge_opened,
    .ready = pipe_ready,
    .packet = pipe_packet,
    .closed = bridge_closed,
};

/* --- echoes: what comes in goes back, in the order it came --- */

static bool echo_ready(struct host *host, struct channel *channel)
{
    uint32_t size = hostring_next_size(&channel->from_guest);

    /* What is too large for the other ring is taken, and lost. */
    return !hostring_takes(&channel->to_guest, size) || hostring_has_room(host, channel, size);
}

static void echo_packet(struct host *host, struct channel *channel,
                        const struct host_packet *packet)
{
    const uint8_t *bytes;
    uint32_t size;

    if (device_pipe_payload(host, channel, packet, &bytes, &size))
        channel_write_pipe(host, channel, bytes, size);
    complete(host, channel, packet);
}

const struct device device_echo = {
    .name = "echo",
    .type = echo_type,
    .instance = echo_instance,
    .flags = KD_VMBUS_OFFER_NAMED_PIPE,
    .pipe_mode = KD_VMBUS_PIPE_MESSAGE,
    .offered = to_others,
    .ready = echo_ready,
    .packet = echo_packet,
};

static bool to_firmware(const struct host *host, const struct connection *connection)
{
    (void)host;
    return connection->firmware;
}

const struct device device_firmware = {
    .name = "firmware",
    .type = device_firmware_type,
    .instance = firmware_instance,
    .flags = KD_VMBUS_OFFER_NAMED_PIPE,
    .pipe_mode = KD_VMBUS_PIPE_MESSAGE,
    .offered = to_firmware,
    .ready = echo_ready,
    .packet = echo_packet,
};
