/* extcap_control.c - encoding and decoding the toolbar's messages.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "extcap_control.h"

#include <string.h>

#define MARK 'T'

/* What the length counts besides the payload: control and command. */
#define COUNTED 2u

size_t extcap_encode(uint8_t *out, size_t room, const struct extcap_message *message)
{
    size_t kept = message->size < EXTCAP_PAYLOAD_MAX ? message->size : EXTCAP_PAYLOAD_MAX;
    size_t length = kept + COUNTED;

    if (EXTCAP_HEAD_SIZE + kept > room)
        return EXTCAP_HEAD_SIZE + kept;
    out[0] = MARK;
    out[1] = (uint8_t)(length >> 16);
    out[2] = (uint8_t)(length >> 8);
    out[3] = (uint8_t)length;
    out[4] = message->control;
    out[5] = message->command;
    if (kept > 0)
        memcpy(out + EXTCAP_HEAD_SIZE, message->payload, kept);
    return EXTCAP_HEAD_SIZE + kept;
}

/* Of the message whose head is there. */
static size_t payload_size(const struct extcap_parser *parser)
{
    const uint8_t *head = parser->bytes;
    size_t length = (size_t)head[1] << 16 | (size_t)head[2] << 8 | head[3];

    return length - COUNTED;
}

static size_t kept_size(const struct extcap_parser *parser)
{
    size_t size = payload_size(parser);

    return size < EXTCAP_PAYLOAD_MAX ? size : EXTCAP_PAYLOAD_MAX;
}

static bool head_is_sound(const struct extcap_parser *parser)
{
    return parser->bytes[0] == MARK &&
           (parser->bytes[1] || parser->bytes[2] || parser->bytes[3] >= COUNTED);
}

/* Moves bytes to the parser until it has `wanted` of them. */
static bool fill(struct extcap_parser *parser, const uint8_t **bytes, size_t *size, size_t wanted)
{
    size_t missing = wanted - parser->size;
    size_t taken = *size < missing ? *size : missing;

    memcpy(parser->bytes + parser->size, *bytes, taken);
    parser->size += taken;
    *bytes += taken;
    *size -= taken;
    return parser->size == wanted;
}

bool extcap_decode(struct extcap_parser *parser, const uint8_t **bytes, size_t *size,
                   struct extcap_message *message)
{
    size_t skipped = *size < parser->skip ? *size : parser->skip;

    parser->skip -= skipped;
    *bytes += skipped;
    *size -= skipped;
    if (parser->skip > 0 || parser->damaged ||
        (parser->size < EXTCAP_HEAD_SIZE && !fill(parser, bytes, size, EXTCAP_HEAD_SIZE)))
        return false;
    parser->damaged = !head_is_sound(parser);
    if (parser->damaged || !fill(parser, bytes, size, EXTCAP_HEAD_SIZE + kept_size(parser)))
        return false;
    parser->bytes[parser->size] = '\0';
    *message = (struct extcap_message){.control = parser->bytes[4],
                                       .command = parser->bytes[5],
                                       .payload = (const char *)parser->bytes + EXTCAP_HEAD_SIZE,
                                       .size = kept_size(parser)};
    parser->skip = payload_size(parser) - message->size;
    parser->size = 0;
    return true;
}
