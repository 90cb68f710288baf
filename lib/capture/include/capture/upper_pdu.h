/* upper_pdu.h - the head of a LINKTYPE_WIRESHARK_UPPER_PDU (252) record: whose bytes follow.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The head is a list of tags, each with 16-bit number and length, big-endian, values padded to four
 * bytes, ended by tag 0. The bytes behind it go to the dissector it names. Directions are as the
 * debugger sees them.
 */
#ifndef CAPTURE_UPPER_PDU_H
#define CAPTURE_UPPER_PDU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "capture/pcapng.h"

#define CAP_LINKTYPE_UPPER_PDU 252

/* Room for the head of any dissector name of at most 32 characters. */
#define CAP_UPPER_PDU_HEAD_MAX 48

enum cap_direction {
    CAP_SENT,     /* by the debugger */
    CAP_RECEIVED, /* from the target */
    CAP_DIRECTION_UNKNOWN,
};

/* Writes the head, without the tag for an unknown direction. Returns the size it has; nothing is
 * written when that is more than `room`. */
size_t cap_upper_pdu_encode(uint8_t *out, size_t room, const char *dissector,
                            enum cap_direction direction);

struct cap_upper_pdu {
    struct cap_text dissector; /* without padding; size 0: no name is given */
    uint16_t name_tag;         /* 12 dissector, 13 heuristic dissector, 14 dissector table */
    enum cap_direction direction;
    struct cap_bytes data; /* what follows the head */
};

/* Skips tags it does not know. False when the head is cut short or has no end. The result points
 * into the record. */
bool cap_upper_pdu_decode(const uint8_t *record, size_t size, struct cap_upper_pdu *out);

#endif
