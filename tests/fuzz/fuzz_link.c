/* fuzz_link.c - libFuzzer target: any sequence of calls and frames, on any kind of link.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte chooses the link; every three bytes after it are a call, its argument and the time
 * that passes before it.
 */
#include <stdlib.h>
#include <string.h>

#include "kd/link.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void check(const struct kd_link *link, const struct kd_link_actions *out,
                  const uint8_t *bytes, size_t size)
{
    require(out->count <= KD_LINK_MAX_ACTIONS);
    for (size_t i = 0; i < out->count; i++) {
        const struct kd_link_action *action = &out->list[i];

        require(kd_is_control(action->type) || action->kind != KD_LINK_SEND_CONTROL);
        if (action->kind == KD_LINK_SEND_DATA)
            require(link->sending && action->id == link->current_id);
        if (action->kind == KD_LINK_DELIVER) {
            require(i > 0 && out->list[0].type == KD_PACKET_ACKNOWLEDGE);
            require(action->payload == bytes + KD_HEADER_SIZE && action->size <= size);
        }
    }
    if (link->sending)
        require(kd_link_deadline(link) != UINT64_MAX);
}

/* A frame whose id is near those of the link; some are damaged. */
static size_t make_frame(const struct kd_link *link, uint8_t argument, uint8_t *bytes)
{
    const uint32_t ids[] = {link->current_id,
                            link->remote_id,
                            link->remote_id + 2,
                            link->remote_id | KD_SYNC_PACKET_ID,
                            0,
                            0x12345};
    static const uint8_t payload[64] = {0x30, 0x32};
    enum kd_packet_type type = (enum kd_packet_type)(argument % 12);
    size_t size = kd_frame_encode(bytes, 128, type, ids[argument / 12 % 6], payload,
                                  kd_is_control(type) ? 0
                                  : argument & 64     ? 56
                                                      : 8,
                                  true);

    if (argument & 128)
        bytes[size - 1] ^= 1;
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t message[64] = {0x30, 0x32};
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN};
    struct kd_link_config config;
    struct kd_link link;
    struct kd_link_actions out = {0};
    struct kd_frame frame;
    uint64_t now = 0;

    if (size == 0)
        return 0;
    kd_link_defaults(&config, data[0] & 1 ? KD_END_TARGET : KD_END_DEBUGGER,
                     data[0] & 2 ? KD_IDS_SERIAL : KD_IDS_KDNET);
    config.reset_limit = data[0] >> 2 & 3;
    if (data[0] & 16)
        config.accept = UINT32_MAX;
    kd_link_init(&link, &config);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        uint8_t bytes[128] = {KD_BREAKIN_BYTE, data[at + 1]};
        size_t length = 0;

        now += (uint64_t)data[at + 2] * data[at + 2] * 40;
        switch (data[at] % 8) {
        case 0:
            kd_link_send(&link, now, (enum kd_packet_type)(data[at + 1] % 12), message,
                         sizeof message, &out);
            break;
        case 1:
            kd_link_reset(&link, now, &out);
            break;
        case 2:
            now = kd_link_deadline(&link) == UINT64_MAX ? now : kd_link_deadline(&link);
            kd_link_tick(&link, now, &out);
            require(kd_link_deadline(&link) > now);
            break;
        default:
            length = data[at] % 8 == 3 ? 2 : make_frame(&link, data[at + 1], bytes);
            kd_frame_scan(&framing, bytes, length, data[at] & 8, data[at] & 16, &frame);
            kd_link_receive(&link, now, &frame, bytes, &out);
            break;
        }
        check(&link, &out, bytes, length);
    }
    return 0;
}
