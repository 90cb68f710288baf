/* extcap_control.h - the messages between Wireshark's toolbar and an extcap program.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: bytes in, messages out, and the other way. A message is
 *   'T', length of the rest (24 bits, big-endian), number of the control, command, payload
 * with controls as they are declared in extcap.c.
 */
#ifndef KDLENS_EXTCAP_CONTROL_H
#define KDLENS_EXTCAP_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXTCAP_PAYLOAD_MAX 1024u /* a longer one is cut */
#define EXTCAP_HEAD_SIZE   6u
#define EXTCAP_NO_CONTROL  255u

enum extcap_command {
    EXTCAP_INITIALIZED, /* Wireshark has sent the values that are not the default */
    EXTCAP_SET,
    EXTCAP_ADD,
    EXTCAP_REMOVE,
    EXTCAP_ENABLE,
    EXTCAP_DISABLE,
    EXTCAP_STATUS_BAR, /* this and what follows: text for the user, no control */
    EXTCAP_INFORMATION,
    EXTCAP_WARNING,
    EXTCAP_ERROR,
};

struct extcap_message {
    uint8_t control;
    uint8_t command; /* enum extcap_command, or one that a later Wireshark has */
    const char *payload;
    size_t size;
};

/* Writes a message; returns its size, which is more than `room` when nothing was written. */
size_t extcap_encode(uint8_t *out, size_t room, const struct extcap_message *message);

struct extcap_parser {
    uint8_t bytes[EXTCAP_HEAD_SIZE + EXTCAP_PAYLOAD_MAX + 1];
    size_t size;  /* in bytes */
    size_t skip;  /* of the payload, beyond what is kept */
    bool damaged; /* what came is no message; nothing is taken any more */
};

/* Takes bytes up to the end of the next message: true when there is one. Its payload is the
 * parser's, ended by NUL, and valid until the next call. */
bool extcap_decode(struct extcap_parser *parser, const uint8_t **bytes, size_t *size,
                   struct extcap_message *message);

#endif
