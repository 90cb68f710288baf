/* datagram.c - from a frame to the payload of UDP or TCP. See datagram.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "datagram.h"

#include <stdio.h>
#include <string.h>

/* Of the pcap link-layer registry. */
enum linktype {
    LINKTYPE_NULL = 0,
    LINKTYPE_ETHERNET = 1,
    LINKTYPE_RAW = 101,
    LINKTYPE_LOOP = 108,
    LINKTYPE_LINUX_SLL = 113,
    LINKTYPE_IPV4 = 228,
    LINKTYPE_IPV6 = 229,
    LINKTYPE_LINUX_SLL2 = 276
};

enum ether_type {
    ETHER_IPV4 = 0x0800,
    ETHER_VLAN = 0x8100,
    ETHER_IPV6 = 0x86dd,
    ETHER_SERVICE_VLAN = 0x88a8
};

enum protocol {
    PROTOCOL_HOP_BY_HOP = 0,
    PROTOCOL_TCP = 6,
    PROTOCOL_UDP = 17,
    PROTOCOL_ROUTING = 43,
    PROTOCOL_DESTINATION = 60
};

#define UDP_HEADER  8u
#define TCP_HEADER  20u
#define IPV6_HEADER 40u

/* What is left of a frame. */
struct rest {
    const uint8_t *at;
    size_t size;
};

static uint16_t be16(const uint8_t *bytes)
{
    return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static bool skip(struct rest *rest, size_t size)
{
    if (rest->size < size)
        return false;
    rest->at += size;
    rest->size -= size;
    return true;
}

static bool find_udp(struct rest rest, struct datagram *out)
{
    size_t size;

    if (rest.size < UDP_HEADER)
        return false;
    out->source.port = be16(rest.at);
    out->destination.port = be16(rest.at + 2);
    size = be16(rest.at + 4);
    if (size < UDP_HEADER)
        return false;
    out->cut = size > rest.size;
    out->missing = out->cut ? (uint32_t)(size - rest.size) : 0;
    out->bytes = rest.at + UDP_HEADER;
    out->size = (out->cut ? rest.size : size) - UDP_HEADER;
    return true;
}

/* whole: bytes of the segment as IP says; SIZE_MAX when it does not (offloading). */
static bool find_tcp(struct rest rest, size_t whole, struct datagram *out)
{
    size_t header;

    if (rest.size < TCP_HEADER)
        return false;
    header = (size_t)(rest.at[12] >> 4) * 4;
    if (header < TCP_HEADER || header > rest.size || header > whole)
        return false;
    out->tcp = true;
    out->source.port = be16(rest.at);
    out->destination.port = be16(rest.at + 2);
    out->sequence = (uint32_t)be16(rest.at + 4) << 16 | be16(rest.at + 6);
    out->acknowledged = (uint32_t)be16(rest.at + 8) << 16 | be16(rest.at + 10);
    out->flags = rest.at[13];
    out->bytes = rest.at + header;
    if (whole == SIZE_MAX || whole <= rest.size) {
        out->size = (whole < rest.size ? whole : rest.size) - header;
    } else {
        out->cut = true;
        out->missing = (uint32_t)(whole - rest.size);
        out->size = rest.size - header;
    }
    return true;
}

static void set_addresses(struct datagram *out, const uint8_t *source, uint8_t size)
{
    memcpy(out->source.address, source, size);
    memcpy(out->destination.address, source + size, size);
    out->source.address_size = out->destination.address_size = size;
}

static bool find_ipv4(struct rest rest, struct datagram *out)
{
    const uint8_t *header = rest.at;
    size_t header_size, whole;

    if (rest.size < 20 || header[0] >> 4 != 4)
        return false;
    header_size = (size_t)(header[0] & 15) * 4;
    if (header_size < 20 || (header[9] != PROTOCOL_UDP && header[9] != PROTOCOL_TCP) ||
        (be16(header + 6) & 0x3fff) != 0)
        return false;
    whole = be16(header + 2);
    set_addresses(out, header + 12, 4);
    if (!skip(&rest, header_size))
        return false;
    return header[9] == PROTOCOL_UDP
               ? find_udp(rest, out)
               : find_tcp(rest, whole > header_size ? whole - header_size : SIZE_MAX, out);
}

static bool find_ipv6(struct rest rest, struct datagram *out)
{
    const uint8_t *payload;
    size_t whole, extensions;
    uint8_t next;

    if (rest.size < IPV6_HEADER || rest.at[0] >> 4 != 6)
        return false;
    payload = rest.at + IPV6_HEADER;
    set_addresses(out, rest.at + 8, 16);
    whole = be16(rest.at + 4);
    next = rest.at[6];
    skip(&rest, IPV6_HEADER);
    while (next == PROTOCOL_HOP_BY_HOP || next == PROTOCOL_ROUTING ||
           next == PROTOCOL_DESTINATION) {
        if (rest.size < 8)
            return false;
        next = rest.at[0];
        if (!skip(&rest, 8 + (size_t)rest.at[1] * 8))
            return false;
    }
    extensions = (size_t)(rest.at - payload);
    if (next == PROTOCOL_TCP)
        return find_tcp(rest, whole > extensions ? whole - extensions : SIZE_MAX, out);
    return next == PROTOCOL_UDP && find_udp(rest, out);
}

static bool find_ip(struct rest rest, struct datagram *out)
{
    return find_ipv4(rest, out) || find_ipv6(rest, out);
}

/* From the two bytes that name what follows. */
static bool find_ether_type(struct rest rest, struct datagram *out)
{
    uint16_t type;

    do {
        if (rest.size < 4)
            return false;
        type = be16(rest.at);
        skip(&rest, type == ETHER_VLAN || type == ETHER_SERVICE_VLAN ? 4 : 2);
    } while (type == ETHER_VLAN || type == ETHER_SERVICE_VLAN);
    if (type == ETHER_IPV4)
        return find_ipv4(rest, out);
    return type == ETHER_IPV6 && find_ipv6(rest, out);
}

bool datagram_or_segment_find(uint16_t linktype, const uint8_t *frame, size_t size,
                              struct datagram *out)
{
    struct rest rest = {frame, size};

    *out = (struct datagram){0};
    switch (linktype) {
    case LINKTYPE_ETHERNET:
        return skip(&rest, 12) && find_ether_type(rest, out);
    case LINKTYPE_LINUX_SLL:
        return skip(&rest, 14) && find_ether_type(rest, out);
    case LINKTYPE_LINUX_SLL2: {
        struct rest type = rest;

        if (!skip(&rest, 20))
            return false;
        return be16(type.at) == ETHER_IPV4   ? find_ipv4(rest, out)
               : be16(type.at) == ETHER_IPV6 ? find_ipv6(rest, out)
                                             : false;
    }
    case LINKTYPE_NULL:
    case LINKTYPE_LOOP: /* the address family, whose numbers differ between systems */
        return skip(&rest, 4) && find_ip(rest, out);
    case LINKTYPE_RAW:
    case LINKTYPE_IPV4:
    case LINKTYPE_IPV6:
        return find_ip(rest, out);
    default:
        return false;
    }
}

bool datagram_find(uint16_t linktype, const uint8_t *frame, size_t size, struct datagram *out)
{
    return datagram_or_segment_find(linktype, frame, size, out) && !out->tcp;
}

bool datagram_end_equal(const struct datagram_end *a, const struct datagram_end *b)
{
    return a->port == b->port && a->address_size == b->address_size &&
           memcmp(a->address, b->address, a->address_size) == 0;
}

void datagram_end_text(const struct datagram_end *end, char text[DATAGRAM_END_TEXT_SIZE])
{
    const uint8_t *a = end->address;

    if (end->address_size == 4)
        snprintf(text, DATAGRAM_END_TEXT_SIZE, "%u.%u.%u.%u:%u", a[0], a[1], a[2], a[3], end->port);
    else
        snprintf(text, DATAGRAM_END_TEXT_SIZE, "[%x:%x:%x:%x:%x:%x:%x:%x]:%u", be16(a), be16(a + 2),
                 be16(a + 4), be16(a + 6), be16(a + 8), be16(a + 10), be16(a + 12), be16(a + 14),
                 end->port);
}
