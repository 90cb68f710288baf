/* datagram.h - the UDP datagram or TCP segment in a captured frame: between whom, and its payload.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Knows Ethernet (with VLAN tags), Linux cooked captures, BSD loopback and raw IP; IPv4 and IPv6.
 * Fragments are no datagrams here: KDNET never sends any.
 */
#ifndef KDLENS_DATAGRAM_H
#define KDLENS_DATAGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct datagram_end {
    uint8_t address[16];  /* network order */
    uint8_t address_size; /* 4 or 16 */
    uint16_t port;
};

struct datagram {
    struct datagram_end source, destination;
    const uint8_t *bytes; /* the payload, in the frame */
    size_t size;
    bool cut;         /* the capture lacks some of it: */
    uint32_t missing; /* bytes behind those that are there */

    bool tcp; /* a TCP segment */
    uint32_t sequence, acknowledged;
    uint8_t flags; /* enum tcp_flags */
};

enum tcp_flags { TCP_FIN = 1, TCP_SYN = 2, TCP_RST = 4, TCP_ACK = 16 };

/* False when the frame has none, or none that is understood. */
bool datagram_find(uint16_t linktype, const uint8_t *frame, size_t size, struct datagram *out);

/* The same for a datagram or a segment. */
bool datagram_or_segment_find(uint16_t linktype, const uint8_t *frame, size_t size,
                              struct datagram *out);

bool datagram_end_equal(const struct datagram_end *a, const struct datagram_end *b);

/* "192.0.2.1:50000", "[2001:db8:0:0:0:0:0:1]:50000" */
#define DATAGRAM_END_TEXT_SIZE 48u
void datagram_end_text(const struct datagram_end *end, char text[DATAGRAM_END_TEXT_SIZE]);

#endif
