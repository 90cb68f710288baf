/* device_net.c - a network card without a network: it agrees to everything and carries nothing.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * There for iPXE, which opens nothing else. Numbers: NVSP as Linux (hyperv_net.h) and iPXE
 * (netvsc.h) have it.
 */
#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"

enum nvsp {
    NVSP_INIT = 1,
    NVSP_INIT_COMPLETE = 2,
    NVSP_NDIS_VERSION = 100,
    NVSP_RECEIVE_BUFFER = 101,
    NVSP_RECEIVE_BUFFER_COMPLETE = 102,
    NVSP_REVOKE_RECEIVE_BUFFER = 103,
    NVSP_SEND_BUFFER = 104,
    NVSP_SEND_BUFFER_COMPLETE = 105,
    NVSP_REVOKE_SEND_BUFFER = 106,
    NVSP_RNDIS = 107,
    NVSP_RNDIS_COMPLETE = 108,
};

#define NVSP_SUCCESS  1u
#define NVSP_VERSION1 2u
#define WORDS         10u
#define SECTION_SIZE  6144u

static const uint8_t instance[16] = {0x43, 0xD1, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                     0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};

static bool offered(const struct host *host, const struct connection *connection)
{
    return host->options.net && !connection->firmware;
}

static bool ready(struct host *host, struct channel *channel)
{
    return hostring_has_room(host, channel, WORDS * sizeof(uint32_t));
}

/* The first words of the answer; its type, 0: there is none. */
static uint32_t answer(uint32_t type, uint32_t words[WORDS])
{
    switch (type) {
    case NVSP_INIT:
        words[1] = NVSP_VERSION1;
        words[3] = NVSP_SUCCESS;
        return NVSP_INIT_COMPLETE;
    case NVSP_RECEIVE_BUFFER:
        words[1] = NVSP_SUCCESS;
        words[2] = 1;
        words[4] = SECTION_SIZE;
        words[5] = 1;
        words[6] = SECTION_SIZE;
        return NVSP_RECEIVE_BUFFER_COMPLETE;
    case NVSP_SEND_BUFFER:
        words[1] = NVSP_SUCCESS;
        words[2] = SECTION_SIZE;
        return NVSP_SEND_BUFFER_COMPLETE;
    case NVSP_RNDIS:
        words[1] = NVSP_SUCCESS;
        return NVSP_RNDIS_COMPLETE;
    default:
        return 0;
    }
}

static void packet(struct host *host, struct channel *channel, const struct host_packet *packet)
{
    uint32_t words[WORDS] = {0}, type = 0;
    const struct host_part parts[2] = {{words, sizeof words}, {NULL, 0}};

    if (packet->type == KD_VMBUS_PACKET_COMPLETION)
        return;
    if (packet->length - packet->payload >= sizeof type)
        __builtin_memcpy(&type, packet->bytes + packet->payload, sizeof type);
    log_line(&host->log, LOG_INFO, "net: message %u, packet type %u", type, (uint32_t)packet->type);
    words[0] = answer(type, words);
    if (packet->flags & KD_VMBUS_PACKET_COMPLETION_REQUESTED)
        channel_write(host, channel, KD_VMBUS_PACKET_COMPLETION, 0, packet->transaction, parts);
}

const struct device device_net = {
    .name = "net",
    .type = kd_vmbus_guids[KD_VMBUS_GUID_NETWORK],
    .instance = instance,
    .flags = KD_VMBUS_OFFER_ENUMERATE,
    .offered = offered,
    .ready = ready,
    .packet = packet,
};
