/* device_heartbeat.c - the heartbeat integration component: agrees on versions, then asks every
 * second whether the guest lives.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "devices.h"
#include "host.h"
#include "kd/vmbus.h"

#define PERIOD_US      UINT64_C(1000000)
#define BEGIN          0u /* channel->number: negotiation is to be sent */
#define NEGOTIATING    1u
#define FIRST_SEQUENCE 2u /* and counting */
#define VERSIONS       3u

static const uint8_t instance[16] = {0x42, 0xD1, 0xB1, 0xF2, 0x1F, 0x5C, 0x0E, 0x4F,
                                     0x9F, 0x55, 0x68, 0x76, 0x68, 0x6F, 0x73, 0x74};

struct negotiate {
    struct kd_vmbus_ic ic;
    struct kd_vmbus_ic_negotiate counts;
    struct kd_vmbus_ic_version versions[VERSIONS];
};

struct beat {
    struct kd_vmbus_ic ic;
    struct kd_vmbus_ic_heartbeat beat;
    kd_u8 reserved[32];
};

static bool offered(const struct host *host, const struct connection *connection)
{
    (void)host;
    return !connection->firmware;
}

static void opened(struct host *host, struct channel *channel)
{
    (void)host;
    channel->number = BEGIN;
    channel->timer = 0;
}

static struct kd_vmbus_ic head(enum kd_vmbus_ic_type type, uint32_t size)
{
    return (struct kd_vmbus_ic){
        .framework_major = kd_put16(type == KD_VMBUS_IC_NEGOTIATE ? 0 : 3),
        .type = kd_put16((uint16_t)type),
        .message_major = kd_put16(type == KD_VMBUS_IC_NEGOTIATE ? 0 : 3),
        .size = kd_put16((uint16_t)size),
        .flags = kd_put8(KD_VMBUS_IC_TRANSACTION | KD_VMBUS_IC_REQUEST),
    };
}

static bool negotiate(struct host *host, struct channel *channel)
{
    struct negotiate message = {
        .ic = head(KD_VMBUS_IC_NEGOTIATE, sizeof message - sizeof message.ic),
        .counts = {.framework_count = kd_put16(2), .message_count = kd_put16(1)},
        .versions = {{kd_put16(1), kd_put16(0)},
                     {kd_put16(3), kd_put16(0)},
                     {kd_put16(3), kd_put16(0)}},
    };

    return channel_write_pipe(host, channel, &message, sizeof message);
}

static bool beat(struct host *host, struct channel *channel)
{
    struct beat message = {
        .ic = head(KD_VMBUS_IC_HEARTBEAT, sizeof message - sizeof message.ic),
        .beat = {.sequence = kd_put64(channel->number)},
    };

    return channel_write_pipe(host, channel, &message, sizeof message);
}

static bool ready(struct host *host, struct channel *channel)
{
    (void)host;
    (void)channel;
    return true;
}

static void packet(struct host *host, struct channel *channel, const struct host_packet *packet)
{
    const struct kd_vmbus_ic *ic;
    const uint8_t *bytes;
    uint32_t size;

    if (!device_pipe_payload(host, channel, packet, &bytes, &size))
        return;
    ic = (const void *)bytes;
    if (size < sizeof *ic || !(kd_get8(ic->flags) & KD_VMBUS_IC_RESPONSE)) {
        log_line(&host->log, LOG_BAD, "heartbeat: not a response, %u bytes", size);
        return;
    }
    if (kd_get16(ic->type) == KD_VMBUS_IC_NEGOTIATE && channel->number == NEGOTIATING) {
        const struct negotiate *answer = (const void *)bytes;

        log_line(&host->log, LOG_INFO, "heartbeat: framework %u, message %u agreed on",
                 (uint32_t)kd_get16(answer->versions[0].major),
                 (uint32_t)kd_get16(answer->versions[1].major));
        channel->number = FIRST_SEQUENCE;
    } else if (kd_get16(ic->type) == KD_VMBUS_IC_HEARTBEAT) {
        log_line(&host->log, LOG_INFO, "heartbeat: the guest answers");
    }
}

static void work(struct host *host, struct channel *channel)
{
    uint64_t now = log_now(&host->log);

    if (channel->number == NEGOTIATING || now < channel->timer)
        return;
    if (channel->number == BEGIN) {
        if (negotiate(host, channel))
            channel->number = NEGOTIATING;
    } else if (beat(host, channel)) {
        channel->number++;
    }
    channel->timer = now + PERIOD_US;
}

const struct device device_heartbeat = {
    .name = "heartbeat",
    .type = kd_vmbus_guids[KD_VMBUS_GUID_HEARTBEAT],
    .instance = instance,
    .flags = KD_VMBUS_OFFER_NAMED_PIPE | KD_VMBUS_OFFER_ENUMERATE,
    .pipe_mode = KD_VMBUS_PIPE_MESSAGE,
    .offered = offered,
    .opened = opened,
    .ready = ready,
    .packet = packet,
    .work = work,
};
