/* export_udp.c - a stream as UDP between port 51111, the debugger, and 51112, the target.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A pcap file of Ethernet frames, as an older tool wrote them and programs made for it read them:
 * each chunk is a datagram, cut only where it is larger than a frame can be. Chunks of unknown
 * direction go the way that the KD packet in them goes, else to the debugger.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "export.h"
#include "files.h"
#include "kd/frame.h"
#include "kd/sender.h"

#define FILE_HEADER   24u
#define RECORD_HEADER 16u
#define ETHERNET      14u
#define IPV4          20u
#define UDP           8u
#define HEADERS       (ETHERNET + IPV4 + UDP)
#define SNAPLEN       65535u
#define PAYLOAD_MAX   (SNAPLEN - HEADERS)

struct writer {
    const char *name;
    FILE *file;
    uint16_t identification;
    uint8_t frame[RECORD_HEADER + SNAPLEN];
};

/* An end that does not exist. */
struct end_address {
    uint8_t mac[6];
    uint8_t ip[4];
    uint16_t port;
};

static const struct end_address debugger_end = {
    {2, 0, 0, 0, 0, 2}, {192, 168, 0, 2}, PEER_PORT_DEBUGGER};
static const struct end_address target_end = {
    {2, 0, 0, 0, 0, 1}, {192, 168, 0, 1}, PEER_PORT_TARGET};

static void put16(uint8_t *out, unsigned value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
}

static void put_le32(uint8_t *out, uint32_t value)
{
    for (unsigned i = 0; i < 4; i++)
        out[i] = (uint8_t)(value >> 8 * i);
}

/* The internet checksum's sum over bytes, added to one begun before. */
static uint32_t sum(const uint8_t *bytes, size_t size, uint32_t begun)
{
    for (size_t i = 0; i + 1 < size; i += 2)
        begun += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
    return size & 1 ? begun + (uint32_t)(bytes[size - 1] << 8) : begun;
}

static unsigned checksum(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return ~sum & 0xffff;
}

static void *open_udp(const struct export_settings *settings, struct problem *problem)
{
    struct writer *writer = calloc(1, sizeof *writer);
    uint8_t header[FILE_HEADER] = {0};

    if (!writer) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    writer->name = settings->name;
    writer->file = file_open(settings->name, "wb", problem);
    if (!writer->file) {
        free(writer);
        return NULL;
    }
    put_le32(header, 0xa1b2c3d4); /* microseconds */
    header[4] = 2;                /* version 2.4 */
    header[6] = 4;
    put_le32(header + 16, SNAPLEN);
    put_le32(header + 20, 1);                       /* Ethernet */
    fwrite(header, 1, sizeof header, writer->file); /* a failure shows at the end */
    return writer;
}

static void put_ip(struct writer *writer, uint8_t *ip, const struct end_address *from,
                   const struct end_address *to, size_t size)
{
    memset(ip, 0, IPV4);
    ip[0] = 0x45;
    put16(ip + 2, (unsigned)(IPV4 + UDP + size));
    put16(ip + 4, writer->identification++);
    put16(ip + 6, 0x4000); /* don't fragment */
    ip[8] = 64;
    ip[9] = 17; /* UDP */
    memcpy(ip + 12, from->ip, sizeof from->ip);
    memcpy(ip + 16, to->ip, sizeof to->ip);
    put16(ip + 10, checksum(sum(ip, IPV4, 0)));
}

static void put_udp(uint8_t *udp, const uint8_t *ip, const struct end_address *from,
                    const struct end_address *to, size_t size)
{
    uint32_t pseudo = sum(ip + 12, 8, (uint32_t)(17 + UDP + size));
    unsigned check;

    put16(udp, from->port);
    put16(udp + 2, to->port);
    put16(udp + 4, (unsigned)(UDP + size));
    put16(udp + 6, 0);
    check = checksum(sum(udp, UDP + size, pseudo));
    put16(udp + 6, check ? check : 0xffff);
}

static bool write_frame(struct writer *writer, uint64_t time, bool from_debugger,
                        const uint8_t *bytes, size_t size)
{
    const struct end_address *from = from_debugger ? &debugger_end : &target_end;
    const struct end_address *to = from_debugger ? &target_end : &debugger_end;
    uint8_t *record = writer->frame, *ethernet = record + RECORD_HEADER;
    uint8_t *ip = ethernet + ETHERNET, *udp = ip + IPV4;

    put_le32(record, (uint32_t)(time / CLOCK_SECOND));
    put_le32(record + 4, (uint32_t)(time % CLOCK_SECOND / CLOCK_MICROSECOND));
    put_le32(record + 8, (uint32_t)(HEADERS + size));
    put_le32(record + 12, (uint32_t)(HEADERS + size));
    memcpy(ethernet, to->mac, sizeof to->mac);
    memcpy(ethernet + 6, from->mac, sizeof from->mac);
    put16(ethernet + 12, 0x0800); /* IPv4 */
    memcpy(udp + UDP, bytes, size);
    put_ip(writer, ip, from, to, size);
    put_udp(udp, ip, from, to, size);
    return fwrite(record, 1, RECORD_HEADER + HEADERS + size, writer->file) ==
           RECORD_HEADER + HEADERS + size;
}

static bool is_from_debugger(const struct kd_chunk *chunk)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_UNKNOWN};
    struct kd_frame frame;

    if (chunk->direction != CAP_DIRECTION_UNKNOWN)
        return chunk->direction == CAP_SENT;
    kd_frame_scan(&framing, chunk->bytes, chunk->size, false, true, &frame);
    return frame.kind == KD_FRAME_PACKET &&
           kd_packet_flow(kd_get16(((const struct kd_packet_header *)chunk->bytes)->packet_type),
                          chunk->bytes + KD_HEADER_SIZE, frame.payload) == KD_FLOW_TO_TARGET;
}

static bool failed(const struct writer *writer, struct problem *problem)
{
    problem_set(problem, "%s: not all could be written", writer->name);
    return false;
}

static bool write_chunk(void *opened, const struct kd_chunk *chunk, struct problem *problem)
{
    struct writer *writer = opened;
    bool from_debugger = is_from_debugger(chunk);

    for (size_t at = 0; at < chunk->size; at += PAYLOAD_MAX) {
        size_t left = chunk->size - at;

        if (!write_frame(writer, chunk->time, from_debugger, chunk->bytes + at,
                         left < PAYLOAD_MAX ? left : PAYLOAD_MAX))
            return failed(writer, problem);
    }
    return true;
}

static bool close_udp(void *opened, struct problem *problem)
{
    struct writer *writer = opened;
    bool fine = file_close(writer->file) || failed(writer, problem);

    free(writer);
    return fine;
}

const struct export_format export_udp = {open_udp, write_chunk, close_udp};
