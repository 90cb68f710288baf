/* device_socket.c - a hv_sock connection that echoes: from the host to the guest, or the other way
 * when the guest asks for the service.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A packet without bytes ends one direction. When the guest has ended its own, so does the host,
 * and takes the channel away.
 */
#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"

#define ENDED              1u /* channel->number: the guest has sent its end */
#define RESCINDED_AFTER_US UINT64_C(100000)

/* Port 0x6B64, in the template that Linux has for AF_VSOCK ports. */
static const uint8_t service[16] = {0x64, 0x6B, 0x00, 0x00, 0xCB, 0xFA, 0xE6, 0x11,
                                    0xBD, 0x58, 0x64, 0x00, 0x6A, 0x79, 0x86, 0xD3};
static const uint8_t host_endpoint[16] = {0x44, 0xD1, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                          0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};

static bool offered(const struct host *host, const struct connection *connection)
{
    (void)host;
    (void)connection;
    return false; /* only when it is asked for */
}

static bool ready(struct host *host, struct channel *channel)
{
    return hostring_has_room(host, channel, hostring_next_size(&channel->from_guest));
}

static void packet(struct host *host, struct channel *channel, const struct host_packet *packet)
{
    const uint8_t *bytes;
    uint32_t size;

    if (!device_pipe_payload(host, channel, packet, &bytes, &size))
        return;
    channel_write_pipe(host, channel, bytes, size);
    if (size == 0) {
        channel->number = ENDED;
        channel->timer = log_now(&host->log) + RESCINDED_AFTER_US;
    }
}

static void work(struct host *host, struct channel *channel)
{
    if (channel->number == ENDED && log_now(&host->log) >= channel->timer) {
        log_line(&host->log, LOG_INFO, "socket: ended after %U bytes in, %U bytes out",
                 channel->bytes_in, channel->bytes_out);
        channel_rescind(host, channel);
    }
}

const struct device device_socket_host = {
    .name = "socket of the host",
    .type = service,
    .instance = host_endpoint,
    .flags = KD_VMBUS_OFFER_NAMED_PIPE | KD_VMBUS_OFFER_TRANSPORT,
    .host_initiated = 1,
    .offered = offered,
    .ready = ready,
    .packet = packet,
    .work = work,
};

const struct device device_socket_guest = {
    .name = "socket of the guest",
    .type = service,
    .instance = host_endpoint,
    .flags = KD_VMBUS_OFFER_NAMED_PIPE | KD_VMBUS_OFFER_TRANSPORT,
    .offered = offered,
    .ready = ready,
    .packet = packet,
    .work = work,
};
