/* fuzz_frame.c - libFuzzer target: any bytes as a stream, whole and in pieces, and as a datagram.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte chooses flow, largest payload and end, the second the pieces.
 */
#include <stdlib.h>
#include <string.h>

#include "kd/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Notes what each byte is part of, and where frames start that are not noise. Returns the bytes
 * taken. */
static size_t take(const struct kd_frame *frame, size_t size, bool end, uint8_t *map)
{
    bool more = frame->kind == KD_FRAME_NEED_MORE;

    require(frame->size <= size && (frame->size == 0) == more);
    require(!more || (frame->need > size && (!end || size == 0)));
    memset(map, (int)frame->kind + 1, frame->size);
    if (frame->kind == KD_FRAME_PACKET || frame->kind == KD_FRAME_BREAKIN)
        map[0] = (uint8_t)(map[0] | 0x10 | frame->flags << 5);
    return frame->size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint32_t limits[] = {KD_PACKET_MAX_SIZE, 80, UINT16_MAX, 0};
    static uint8_t buffer[KD_FRAMER_CAPACITY(UINT16_MAX)];
    const struct kd_framing framing = {limits[size ? data[0] >> 3 & 3 : 0],
                                       (enum kd_flow)(size ? data[0] % 3 : 0)};
    uint8_t *whole = calloc(2, size + 1), *pieces = whole + size + 1;
    bool end = size && data[0] & 32, noise = false;
    struct kd_framer framer;
    struct kd_frame frame;
    const uint8_t *start;

    kd_frame_datagram(data, size, &frame);
    require(frame.size == size);
    for (size_t at = 2; at <= size; at += take(&frame, size - at, end, whole + at)) {
        kd_frame_scan(&framing, data + at, size - at, noise, end, &frame);
        noise = frame.kind == KD_FRAME_NOISE;
        if (frame.kind == KD_FRAME_NEED_MORE)
            break;
    }
    kd_framer_init(&framer, &framing, buffer, KD_FRAMER_CAPACITY(framing.max_payload));
    for (size_t at = 2, pushed = 2; pushed < size;) {
        size_t piece = 1 + pushed * data[1] % 61, left = size - pushed;
        size_t taken = kd_framer_push(&framer, data + pushed, piece < left ? piece : left);

        require(taken > 0);
        pushed += taken;
        do {
            kd_framer_next(&framer, end && pushed == size, &frame, &start);
            require(memcmp(start, data + at, frame.size) == 0);
            at += take(&frame, pushed - at, end && pushed == size, pieces + at);
        } while (frame.kind != KD_FRAME_NEED_MORE);
    }
    require(memcmp(whole, pieces, size + 1) == 0);
    free(whole);
    return 0;
}
