/* upper_pdu.c - the head of an upper-PDU record. See upper_pdu.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "capture/upper_pdu.h"

#include "bytes.h"

enum tag {
    TAG_END = 0,
    TAG_DISSECTOR = 12,
    TAG_HEURISTIC = 13,
    TAG_TABLE = 14,
    TAG_DIRECTION = 35,
};

#define TAG_HEAD_SIZE 4

static uint8_t *put_tag(uint8_t *out, enum tag tag, size_t size)
{
    cap_put(out, 2, (uint64_t)tag, true);
    cap_put(out + 2, 2, size, true);
    return out + TAG_HEAD_SIZE;
}

size_t cap_upper_pdu_encode(uint8_t *out, size_t room, const char *dissector,
                            enum cap_direction direction)
{
    size_t length = strlen(dissector), padded = length + cap_padding(length);
    bool directed = direction != CAP_DIRECTION_UNKNOWN;
    size_t size = TAG_HEAD_SIZE + padded + (directed ? TAG_HEAD_SIZE + 4 : 0) + TAG_HEAD_SIZE;

    if (padded > UINT16_MAX)
        return 0;
    if (size > room)
        return size;
    out = put_tag(out, TAG_DISSECTOR, padded);
    memset(out, 0, padded);
    memcpy(out, dissector, length);
    out += padded;
    if (directed) {
        out = put_tag(out, TAG_DIRECTION, 4);
        cap_put(out, 4, direction == CAP_RECEIVED, true);
        out += 4;
    }
    put_tag(out, TAG_END, 0);
    return size;
}

/* Writers pad with NUL; some count one or more NULs in the length, too. */
static struct cap_text name_of(const uint8_t *value, size_t size)
{
    const uint8_t *end = memchr(value, 0, size);

    return (struct cap_text){(const char *)value, end ? (size_t)(end - value) : size};
}

static enum cap_direction direction_of(const uint8_t *value, size_t size)
{
    uint32_t direction = size == 4 ? cap_get32(value, true) : UINT32_MAX;

    return direction == 0 ? CAP_SENT : direction == 1 ? CAP_RECEIVED : CAP_DIRECTION_UNKNOWN;
}

bool cap_upper_pdu_decode(const uint8_t *record, size_t size, struct cap_upper_pdu *out)
{
    size_t at = 0;

    *out = (struct cap_upper_pdu){.direction = CAP_DIRECTION_UNKNOWN};
    while (size - at >= TAG_HEAD_SIZE) {
        uint16_t tag = cap_get16(record + at, true);
        size_t length = cap_get16(record + at + 2, true);

        at += TAG_HEAD_SIZE;
        if (length > size - at)
            return false;
        switch (tag) {
        case TAG_DISSECTOR:
        case TAG_HEURISTIC:
        case TAG_TABLE:
            out->dissector = name_of(record + at, length);
            out->name_tag = tag;
            break;
        case TAG_DIRECTION:
            out->direction = direction_of(record + at, length);
            break;
        case TAG_END:
            out->data = (struct cap_bytes){record + at + length, size - at - length};
            return true;
        }
        at += length;
    }
    return false;
}
