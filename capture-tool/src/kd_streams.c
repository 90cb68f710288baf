/* kd_streams.c - KD bytes out of captured packets. See kd_streams.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd_streams.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datagram.h"
#include "kd/frame.h"
#include "kd/sender.h"
#include "kd_pipe.h"
#include "kd_tcp.h"
#include "kdnet_opener.h"
#include "key_comment.h"

#define INTERFACES_KEPT 256u /* of a section; streams of others have no name */
#define PACKET_MAX      65536u
#define QUEUE           3u /* chunks that one packet of the capture makes, but for TCP */

/* What tells streams apart. */
struct identity {
    enum kd_stream_kind kind;
    uint32_t section, interface;
    uint32_t channel;            /* VMBUS */
    struct datagram_end ends[2]; /* not of records; in the order of the first datagram */
};

/* PLAIN: which end is the target, once a packet has told. */
struct plain {
    bool known;
    struct datagram_end target;
};

struct stream {
    struct identity identity;
    struct kd_stream what;
    struct plain plain;
    struct kd_pipe pipe;
};

struct interface {
    char name[KD_STREAM_TEXT_SIZE];
    char description[KD_STREAM_TEXT_SIZE];
    uint64_t speed;
};

struct kd_streams {
    struct cap_reader *reader;
    struct keyring *keyring;
    struct kdnet_opener *opener; /* NULL: no keys */
    struct kd_tcp *tcp;          /* NULL: none so far */
    bool all;                    /* DATAGRAM and GAP are wanted */
    bool ended;
    struct kd_streams_tally tally;
    uint64_t offset;
    uint32_t section;
    uint32_t interface_count; /* of the section */
    unsigned count;
    struct stream list[KD_STREAMS_MAX];
    struct interface interfaces[INTERFACES_KEPT];
    uint8_t packet[PACKET_MAX + 1]; /* of KDNET, with the trailer */
    struct kdnet_seen seen;
    struct kd_chunk queue[QUEUE];
    unsigned queue_at, queue_count;
    uint32_t frame; /* of the packet being read */
    uint64_t time;
};

struct kd_streams *kd_streams_new(struct cap_reader *reader, struct keyring *keyring,
                                  struct problem *problem)
{
    struct kd_streams *streams = calloc(1, sizeof *streams);

    if (!streams)
        problem_set(problem, "out of memory");
    else if (keyring && !(streams->opener = kdnet_opener_new(keyring, problem))) {
        free(streams);
        streams = NULL;
    }
    if (!streams) {
        cap_reader_close(reader);
        return NULL;
    }
    streams->reader = reader;
    streams->keyring = keyring;
    return streams;
}

void kd_streams_free(struct kd_streams *streams)
{
    if (!streams)
        return;
    cap_reader_close(streams->reader);
    kdnet_opener_free(streams->opener);
    kd_tcp_free(streams->tcp);
    free(streams);
}

void kd_streams_want_all(struct kd_streams *streams)
{
    streams->all = true;
}

const struct cap_failure *kd_streams_failure(const struct kd_streams *streams)
{
    return cap_reader_failure(streams->reader);
}

unsigned kd_streams_count(const struct kd_streams *streams)
{
    return streams->count;
}

const struct kd_stream *kd_streams_get(const struct kd_streams *streams, unsigned number)
{
    return &streams->list[number].what;
}

const struct kd_streams_tally *kd_streams_tally(const struct kd_streams *streams)
{
    return &streams->tally;
}

uint64_t kd_streams_offset(const struct kd_streams *streams)
{
    return streams->offset;
}

static void copy_text(char out[KD_STREAM_TEXT_SIZE], struct cap_text text)
{
    snprintf(out, KD_STREAM_TEXT_SIZE, "%.*s", (int)text.size, text.size ? text.bytes : "");
}

static void see_interface(struct kd_streams *streams, const struct cap_interface *interface)
{
    uint32_t number = streams->interface_count++;

    if (number >= INTERFACES_KEPT)
        return;
    copy_text(streams->interfaces[number].name, interface->name);
    copy_text(streams->interfaces[number].description, interface->description);
    streams->interfaces[number].speed = interface->speed;
}

/* --- which stream */

static bool same_ends(const struct identity *a, const struct identity *b)
{
    return (datagram_end_equal(&a->ends[0], &b->ends[0]) &&
            datagram_end_equal(&a->ends[1], &b->ends[1])) ||
           (datagram_end_equal(&a->ends[0], &b->ends[1]) &&
            datagram_end_equal(&a->ends[1], &b->ends[0]));
}

static bool same_identity(const struct identity *a, const struct identity *b)
{
    if (a->kind != b->kind || a->section != b->section)
        return false;
    if (a->kind == KD_STREAM_VMBUS)
        return a->interface == b->interface && a->channel == b->channel;
    return a->kind == KD_STREAM_RECORDS ? a->interface == b->interface : same_ends(a, b);
}

static void describe(struct kd_streams *streams, struct stream *stream)
{
    static const char *const kinds[] = {
        [KD_STREAM_PEER] = "UDP",
        [KD_STREAM_KDNET] = "KDNET",
        [KD_STREAM_PLAIN] = "KD over UDP",
        [KD_STREAM_TCP] = "TCP",
    };
    const struct identity *identity = &stream->identity;
    char ends[2][DATAGRAM_END_TEXT_SIZE];

    if (identity->kind == KD_STREAM_VMBUS) {
        snprintf(stream->what.name, sizeof stream->what.name, "VMBus channel %" PRIu32,
                 identity->channel & KD_PIPE_RELID);
    } else if (identity->kind != KD_STREAM_RECORDS) {
        for (int i = 0; i < 2; i++)
            datagram_end_text(&identity->ends[i], ends[i]);
        snprintf(stream->what.name, sizeof stream->what.name, "%s and %s", ends[0], ends[1]);
        snprintf(stream->what.description, sizeof stream->what.description, "%s",
                 kinds[identity->kind]);
    } else if (identity->interface < INTERFACES_KEPT) {
        const struct interface *interface = &streams->interfaces[identity->interface];

        memcpy(stream->what.name, interface->name, sizeof stream->what.name);
        memcpy(stream->what.description, interface->description, sizeof stream->what.description);
        stream->what.speed = interface->speed;
    }
}

/* NULL when there are too many. */
static struct stream *find_stream(struct kd_streams *streams, const struct identity *identity)
{
    struct stream *stream;

    for (unsigned i = 0; i < streams->count; i++)
        if (same_identity(&streams->list[i].identity, identity))
            return &streams->list[i];
    if (streams->count == KD_STREAMS_MAX) {
        streams->tally.missed++;
        return NULL;
    }
    stream = &streams->list[streams->count++];
    *stream = (struct stream){.identity = *identity, .what = {.kind = identity->kind}};
    describe(streams, stream);
    return stream;
}

/* Puts a chunk of the packet being read into the queue. */
static void deliver(struct kd_streams *streams, const struct identity *identity,
                    struct kd_chunk chunk)
{
    const struct stream *stream;

    if (chunk.kind != KD_CHUNK_BYTES && !streams->all)
        return;
    stream = find_stream(streams, identity);
    if (!stream || streams->queue_count == QUEUE)
        return;
    chunk.stream = (unsigned)(stream - streams->list);
    chunk.frame = streams->frame;
    chunk.time = streams->time;
    streams->queue[streams->queue_count++] = chunk;
}

static void deliver_bytes(struct kd_streams *streams, const struct identity *identity,
                          enum cap_direction direction, const uint8_t *bytes, size_t size)
{
    if (size)
        deliver(streams, identity,
                (struct kd_chunk){
                    .kind = KD_CHUNK_BYTES, .direction = direction, .bytes = bytes, .size = size});
}

static void deliver_gap(struct kd_streams *streams, const struct identity *identity,
                        enum cap_direction direction, enum kda_gap_kind gap, uint64_t missing)
{
    if (missing)
        deliver(streams, identity,
                (struct kd_chunk){
                    .kind = KD_CHUNK_GAP, .direction = direction, .gap = gap, .missing = missing});
}

/* --- records of a tap */

static void take_stream_record(struct kd_streams *streams, const struct cap_packet *packet,
                               const struct cap_upper_pdu *pdu, enum cap_direction direction)
{
    const struct identity identity = {
        .kind = KD_STREAM_RECORDS, .section = streams->section, .interface = packet->interface};
    uint64_t cut =
        packet->original_size > packet->data.size ? packet->original_size - packet->data.size : 0;

    streams->tally.cut += cut > 0;
    deliver_gap(streams, &identity, direction, KDA_GAP_RECORDS, packet->dropped);
    deliver_bytes(streams, &identity, direction, pdu->data.bytes, pdu->data.size);
    deliver_gap(streams, &identity, direction, KDA_GAP_BYTES, cut);
}

/* A channel becomes a stream once KD is seen in it. */
static void take_vmbus_record(struct kd_streams *streams, const struct cap_packet *packet,
                              const struct cap_upper_pdu *pdu)
{
    struct identity identity = {
        .kind = KD_STREAM_VMBUS, .section = streams->section, .interface = packet->interface};
    struct kd_pipe_packet message;
    struct stream *stream = NULL;

    if (!kd_pipe_packet(pdu->data.bytes, pdu->data.size, &message))
        return;
    identity.channel = message.channel;
    for (unsigned i = 0; i < streams->count; i++)
        if (same_identity(&streams->list[i].identity, &identity))
            stream = &streams->list[i];
    if (!stream && !kd_pipe_is_kd(&message))
        return;
    if (!stream)
        stream = find_stream(streams, &identity);
    if (stream && kd_pipe_open(&stream->pipe, &message))
        deliver_bytes(streams, &identity, message.to_host ? CAP_RECEIVED : CAP_SENT, message.bytes,
                      message.size);
}

static bool is_for(const struct cap_upper_pdu *pdu, const char *dissector)
{
    return pdu->dissector.size == strlen(dissector) &&
           memcmp(pdu->dissector.bytes, dissector, pdu->dissector.size) == 0;
}

static void take_record(struct kd_streams *streams, const struct cap_packet *packet)
{
    struct cap_upper_pdu pdu;

    if (!cap_upper_pdu_decode(packet->data.bytes, packet->data.size, &pdu))
        return;
    if (pdu.direction == CAP_DIRECTION_UNKNOWN && (packet->flags & CAP_FLAG_DIRECTION))
        pdu.direction = (packet->flags & CAP_FLAG_DIRECTION) == CAP_FLAG_INBOUND    ? CAP_RECEIVED
                        : (packet->flags & CAP_FLAG_DIRECTION) == CAP_FLAG_OUTBOUND ? CAP_SENT
                                                                                    : pdu.direction;
    if (is_for(&pdu, "kd_stream"))
        take_stream_record(streams, packet, &pdu, pdu.direction);
    else if (is_for(&pdu, "vmbus"))
        take_vmbus_record(streams, packet, &pdu);
}

/* --- datagrams */

static void take_peer(struct kd_streams *streams, const struct datagram *datagram,
                      const struct identity *identity)
{
    enum cap_direction direction =
        datagram->source.port == PEER_PORT_DEBUGGER ? CAP_SENT : CAP_RECEIVED;

    streams->tally.cut += datagram->missing > 0;
    deliver_bytes(streams, identity, direction, datagram->bytes, datagram->size);
    deliver_gap(streams, identity, direction, KDA_GAP_BYTES, datagram->missing);
}

/* A packet or break-in as a serial line carries it. */
static void take_kd(struct kd_streams *streams, const struct identity *identity,
                    enum cap_direction direction, const uint8_t *bytes, size_t size)
{
    bool data = size >= KD_HEADER_SIZE && kd_get32(*(const kd_u32 *)bytes) == KD_LEADER_DATA;

    if (size > PACKET_MAX)
        return;
    memcpy(streams->packet, bytes, size);
    if (data)
        streams->packet[size++] = KD_TRAILER;
    deliver_bytes(streams, identity, direction, streams->packet, size);
}

static enum cap_direction plain_direction(struct stream *stream, const struct datagram *datagram,
                                          const struct kd_frame *frame)
{
    enum kd_flow flow = kd_datagram_flow(frame, datagram->bytes);

    if (!stream->plain.known && flow != KD_FLOW_UNKNOWN) {
        stream->plain.known = true;
        stream->plain.target = flow == KD_FLOW_TO_TARGET ? datagram->destination : datagram->source;
    }
    if (!stream->plain.known)
        return CAP_DIRECTION_UNKNOWN;
    return datagram_end_equal(&stream->plain.target, &datagram->source) ? CAP_RECEIVED : CAP_SENT;
}

/* KD in UDP as it is. Its first datagram must be a packet: a single byte proves nothing. */
static void take_plain(struct kd_streams *streams, const struct datagram *datagram,
                       const struct identity *identity)
{
    struct kd_frame frame;
    struct stream *stream;
    bool known = false;

    kd_frame_datagram(datagram->bytes, datagram->size, &frame);
    if (frame.kind == KD_FRAME_NOISE || frame.kind == KD_FRAME_NEED_MORE)
        return;
    for (unsigned i = 0; i < streams->count; i++)
        known = known || same_identity(&streams->list[i].identity, identity);
    if (!known && frame.kind != KD_FRAME_PACKET)
        return;
    stream = find_stream(streams, identity);
    if (stream)
        take_kd(streams, identity, plain_direction(stream, datagram, &frame), datagram->bytes,
                frame.size);
}

static void take_kdnet(struct kd_streams *streams, const struct datagram *datagram,
                       const struct identity *identity)
{
    struct kdnet_seen *seen = &streams->seen;
    const struct kda_datagram *what = &seen->datagram;

    if (streams->opener)
        kdnet_opener_see(streams->opener, datagram, seen);
    else
        kdnet_see_sealed(datagram, seen);
    streams->tally.sealed += seen->kind == KDNET_SEEN_SEALED;
    streams->tally.dropped += seen->kind == KDNET_SEEN_DROPPED;
    deliver(streams, identity,
            (struct kd_chunk){.kind = KD_CHUNK_DATAGRAM,
                              .direction = !what->opened         ? CAP_DIRECTION_UNKNOWN
                                           : what->from_debugger ? CAP_SENT
                                                                 : CAP_RECEIVED,
                              .datagram = what});
    if (seen->kind == KDNET_SEEN_KD)
        take_kd(streams, identity, seen->from_debugger ? CAP_SENT : CAP_RECEIVED, seen->bytes,
                seen->size);
}

/* Keys that the capture holds: secrets of our type, and comments for the plugin. What is no key is
 * passed over. */
static void learn_log(struct kd_streams *streams, const struct cap_secrets *secrets)
{
    struct problem problem;

    if (streams->keyring && secrets->type == CAP_SECRET_KDNK)
        keyring_add_log(streams->keyring, (const char *)secrets->data.bytes, secrets->data.size,
                        NULL, &problem);
}

static void learn_comments(struct kd_streams *streams, const struct cap_comments *comments)
{
    char key[KEYRING_LINE_SIZE];
    struct key_comment found;
    struct problem problem;

    for (size_t i = 0; streams->keyring && i < comments->count; i++) {
        if (!key_comment_find(comments->list[i], &found) || found.key.size >= sizeof key)
            continue;
        snprintf(key, sizeof key, "%.*s", (int)found.key.size, found.key.bytes);
        keyring_add(streams->keyring, key, NULL, &problem);
        keyring_wipe(key, sizeof key);
    }
}

static bool is_peer(const struct datagram *datagram)
{
    uint16_t from = datagram->source.port, to = datagram->destination.port;

    return (from == PEER_PORT_DEBUGGER && to == PEER_PORT_TARGET) ||
           (from == PEER_PORT_TARGET && to == PEER_PORT_DEBUGGER);
}

/* Between ends that speak KDNET. */
static bool is_junk(const struct kd_streams *streams, const struct datagram *datagram,
                    struct identity identity)
{
    struct kd_frame frame;

    kd_frame_datagram(datagram->bytes, datagram->size, &frame);
    identity.kind = KD_STREAM_KDNET;
    for (unsigned i = 0; i < streams->count && frame.kind == KD_FRAME_NOISE; i++)
        if (same_identity(&streams->list[i].identity, &identity))
            return true;
    return false;
}

static void take_junk(struct kd_streams *streams, const struct datagram *datagram,
                      const struct identity *identity)
{
    struct kdnet_seen *seen = &streams->seen;

    kdnet_see_sealed(datagram, seen);
    deliver(streams, identity,
            (struct kd_chunk){.kind = KD_CHUNK_DATAGRAM,
                              .direction = CAP_DIRECTION_UNKNOWN,
                              .datagram = &seen->datagram});
}

static void take_datagram(struct kd_streams *streams, const struct datagram *datagram)
{
    struct identity identity = {.section = streams->section,
                                .ends = {datagram->source, datagram->destination}};

    if (is_peer(datagram)) {
        identity.kind = KD_STREAM_PEER;
        take_peer(streams, datagram, &identity);
    } else if (kdnet_is_datagram(datagram) || (streams->all && kdnet_is_refused(datagram))) {
        identity.kind = KD_STREAM_KDNET;
        take_kdnet(streams, datagram, &identity);
    } else if (streams->all && is_junk(streams, datagram, identity)) {
        identity.kind = KD_STREAM_KDNET;
        take_junk(streams, datagram, &identity);
    } else {
        identity.kind = KD_STREAM_PLAIN;
        take_plain(streams, datagram, &identity);
    }
}

static void take_segment(struct kd_streams *streams, const struct datagram *segment)
{
    if (!streams->tcp)
        streams->tcp = kd_tcp_new();
    if (streams->tcp)
        kd_tcp_see(streams->tcp, streams->section, segment, streams->frame, streams->time);
}

static void take_packet(struct kd_streams *streams, const struct cap_item *item)
{
    const struct cap_packet *packet = &item->packet;
    struct datagram datagram;

    streams->tally.packets++;
    streams->frame =
        streams->tally.packets < UINT32_MAX ? (uint32_t)streams->tally.packets : UINT32_MAX - 1;
    if (packet->time != CAP_NOT_SAID)
        streams->time = packet->time;
    if (item->linktype == CAP_LINKTYPE_UPPER_PDU)
        take_record(streams, packet);
    else if (!datagram_or_segment_find(item->linktype, packet->data.bytes, packet->data.size,
                                       &datagram))
        return;
    else if (datagram.tcp)
        take_segment(streams, &datagram);
    else
        take_datagram(streams, &datagram);
}

/* What TCP has ready; end: no more segments will come. */
static bool next_of_tcp(struct kd_streams *streams, bool end, struct kd_chunk *chunk)
{
    struct identity identity = {.kind = KD_STREAM_TCP};
    const struct stream *stream;

    while (streams->tcp &&
           kd_tcp_next(streams->tcp, end, &identity.section, identity.ends, chunk)) {
        if (chunk->kind != KD_CHUNK_BYTES && !streams->all)
            continue;
        stream = find_stream(streams, &identity);
        if (!stream)
            continue;
        chunk->stream = (unsigned)(stream - streams->list);
        return true;
    }
    return false;
}

static void take_item(struct kd_streams *streams, const struct cap_item *item)
{
    switch (item->kind) {
    case CAP_ITEM_SECTION:
        streams->section++;
        streams->interface_count = 0;
        break;
    case CAP_ITEM_INTERFACE:
        see_interface(streams, &item->interface);
        break;
    case CAP_ITEM_SECRETS:
        learn_log(streams, &item->secrets);
        break;
    case CAP_ITEM_PACKET:
        learn_comments(streams, &item->packet.comments);
        take_packet(streams, item);
        break;
    default:
        break;
    }
}

bool kd_streams_next(struct kd_streams *streams, struct kd_chunk *chunk)
{
    struct cap_item item;

    for (;;) {
        if (streams->queue_at < streams->queue_count) {
            *chunk = streams->queue[streams->queue_at++];
            return true;
        }
        streams->queue_at = streams->queue_count = 0;
        if (next_of_tcp(streams, streams->ended, chunk))
            return true;
        if (streams->ended)
            return false;
        if (cap_reader_next(streams->reader, &item)) {
            streams->offset = item.offset;
            take_item(streams, &item);
        } else {
            streams->ended = true;
        }
    }
}
