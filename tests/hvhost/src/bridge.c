/* bridge.c - bytes between the debugger pipe and COM3.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bridge.h"

#include "host.h"
#include "kd/vmbus.h"
#include "uart.h"

void bridge_start(struct host *host)
{
    host->bridge.channel = NULL;
    host->bridge.out_first = 0;
    host->bridge.out_size = 0;
    host->bridge.in_size = 0;
    host->bridge.there = uart_start(BRIDGE_PORT);
    if (!host->bridge.there)
        log_line(&host->log, LOG_INFO, "no UART at %x: the pipe goes nowhere",
                 (uint32_t)BRIDGE_PORT);
}

bool bridge_ready(const struct host *host)
{
    return host->bridge.out_size + KD_VMBUS_PIPE_MAX + BRIDGE_FRAME_HEAD <= BRIDGE_OUT;
}

static void put(struct bridge *bridge, const uint8_t *bytes, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        bridge->out[(bridge->out_first + bridge->out_size++) % BRIDGE_OUT] = bytes[i];
}

void bridge_take(struct host *host, const uint8_t *bytes, uint32_t size)
{
    uint8_t head[BRIDGE_FRAME_HEAD] = {(uint8_t)size, (uint8_t)(size >> 8), (uint8_t)(size >> 16),
                                       (uint8_t)(size >> 24)};

    if (!host->bridge.there)
        return;
    if (host->options.framed)
        put(&host->bridge, head, sizeof head);
    put(&host->bridge, bytes, size);
}

void bridge_opened(struct host *host, struct channel *channel)
{
    host->bridge.channel = channel;
}

void bridge_closed(struct host *host, struct channel *channel)
{
    if (host->bridge.channel == channel)
        host->bridge.channel = NULL;
}

static void flush(struct bridge *bridge)
{
    while (bridge->out_size > 0) {
        uint32_t size = bridge->out_size, done;

        if (size > BRIDGE_OUT - bridge->out_first)
            size = BRIDGE_OUT - bridge->out_first;
        done = uart_write(BRIDGE_PORT, bridge->out + bridge->out_first, size);
        bridge->out_first = (bridge->out_first + done) % BRIDGE_OUT;
        bridge->out_size -= done;
        if (done < size)
            return;
    }
}

static void drop_input(struct bridge *bridge, uint32_t size)
{
    bridge->in_size -= size;
    for (uint32_t i = 0; i < bridge->in_size; i++)
        bridge->in[i] = bridge->in[size + i];
}

/* The payload that is complete: where it begins and its size; false: none yet. */
static bool next_payload(struct host *host, uint32_t *begin, uint32_t *size)
{
    struct bridge *bridge = &host->bridge;

    *begin = host->options.framed ? BRIDGE_FRAME_HEAD : 0;
    if (bridge->in_size <= *begin)
        return false;
    if (!host->options.framed) {
        *size = bridge->in_size < KD_VMBUS_PIPE_BYTE_MAX ? bridge->in_size : KD_VMBUS_PIPE_BYTE_MAX;
        return true;
    }
    *size = (uint32_t)bridge->in[0] | (uint32_t)bridge->in[1] << 8 | (uint32_t)bridge->in[2] << 16 |
            (uint32_t)bridge->in[3] << 24;
    if (*size == 0 || *size > BRIDGE_IN ||
        !hostring_takes(&bridge->channel->to_guest,
                        (uint32_t)sizeof(struct kd_vmbus_pipe) + *size)) {
        log_line(&host->log, LOG_FAIL, "bridge: a frame of %u bytes came in", *size);
        bridge->in_size = 0;
        return false;
    }
    return bridge->in_size >= *begin + *size;
}

static void to_guest(struct host *host)
{
    struct bridge *bridge = &host->bridge;
    uint32_t begin, size, trickle = host->options.faults.trickle;

    while (bridge->channel && next_payload(host, &begin, &size)) {
        uint32_t step = trickle && trickle < size ? trickle : size;

        if (!channel_write_pipe(host, bridge->channel, bridge->in + begin, step))
            return;
        if (step < size) {
            /* The rest of a frame becomes a frame of its own. */
            drop_input(bridge, step);
            if (begin) {
                size -= step;
                for (uint32_t i = 0; i < BRIDGE_FRAME_HEAD; i++)
                    bridge->in[i] = (uint8_t)(size >> 8 * i);
            }
            continue;
        }
        drop_input(bridge, begin + size);
    }
}

void bridge_work(struct host *host)
{
    struct bridge *bridge = &host->bridge;

    if (!bridge->there)
        return;
    flush(bridge);
    bridge->in_size +=
        uart_read(BRIDGE_PORT, bridge->in + bridge->in_size, sizeof bridge->in - bridge->in_size);
    if (!bridge->channel) {
        bridge->dropped += bridge->in_size;
        bridge->in_size = 0;
    } else if (!host->vmbus.away_until) {
        to_guest(host);
    }
}
