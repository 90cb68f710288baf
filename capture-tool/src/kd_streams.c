/* kd_streams.c - KD bytes out of captured packets. See kd_streams.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "kd_streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "datagram.h"
#include "kd/frame.h"
#include "kd/sender.h"
#include "kdnet_opener.h"
#include "key_comment.h"

#define INTERFACES_KEPT 256u /* of a section; streams of others have no name */
#define PACKET_MAX      65536u

/* What tells streams apart. */
struct identity {
    enum kd_stream_kind kind;
    uint32_t section, interface;
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
    struct kd_streams_tally tally;
    uint64_t offset;
    uint32_t section;
    uint32_t interface_count; /* of the section */
    unsigned count;
    struct stream list[KD_STREAMS_MAX];
    struct interface interfaces[INTERFACES_KEPT];
    uint8_t packet[PACKET_MAX + 1]; /* of KDNET, with the trailer */
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
    free(streams);
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
    return a->kind == KD_STREAM_RECORDS ? a->interface == b->interface : same_ends(a, b);
}

static void describe(struct kd_streams *streams, struct stream *stream)
{
    static const char *const kinds[] = {
        [KD_STREAM_PEER] = "UDP", [KD_STREAM_KDNET] = "KDNET", [KD_STREAM_PLAIN] = "KD over UDP"};
    const struct identity *identity = &stream->identity;
    char ends[2][DATAGRAM_END_TEXT_SIZE];

    if (identity->kind != KD_STREAM_RECORDS) {
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

static bool set_chunk(struct kd_streams *streams, const struct identity *identity,
                      enum cap_direction direction, const uint8_t *bytes, size_t size,
                      struct kd_chunk *chunk)
{
    const struct stream *stream = size ? find_stream(streams, identity) : NULL;

    if (!stream)
        return false;
    chunk->stream = (unsigned)(stream - streams->list);
    chunk->direction = direction;
    chunk->bytes = bytes;
    chunk->size = size;
    return true;
}

/* --- records of a tap */

static bool take_record(struct kd_streams *streams, const struct cap_packet *packet,
                        struct kd_chunk *chunk)
{
    static const struct cap_text dissector = {"kd_stream", 9};
    const struct identity identity = {
        .kind = KD_STREAM_RECORDS, .section = streams->section, .interface = packet->interface};
    struct cap_upper_pdu pdu;

    if (!cap_upper_pdu_decode(packet->data.bytes, packet->data.size, &pdu) ||
        pdu.dissector.size != dissector.size ||
        memcmp(pdu.dissector.bytes, dissector.bytes, dissector.size) != 0)
        return false;
    if (pdu.direction == CAP_DIRECTION_UNKNOWN && (packet->flags & CAP_FLAG_DIRECTION))
        pdu.direction = (packet->flags & CAP_FLAG_DIRECTION) == CAP_FLAG_INBOUND    ? CAP_RECEIVED
                        : (packet->flags & CAP_FLAG_DIRECTION) == CAP_FLAG_OUTBOUND ? CAP_SENT
                                                                                    : pdu.direction;
    streams->tally.cut += packet->original_size > packet->data.size;
    return set_chunk(streams, &identity, pdu.direction, pdu.data.bytes, pdu.data.size, chunk);
}

/* --- datagrams */

static bool take_peer(struct kd_streams *streams, const struct datagram *datagram,
                      const struct identity *identity, struct kd_chunk *chunk)
{
    streams->tally.cut += datagram->cut;
    return set_chunk(streams, identity,
                     datagram->source.port == PEER_PORT_DEBUGGER ? CAP_SENT : CAP_RECEIVED,
                     datagram->bytes, datagram->size, chunk);
}

/* A packet or break-in as a serial line carries it. */
static bool take_kd(struct kd_streams *streams, const struct identity *identity,
                    enum cap_direction direction, const uint8_t *bytes, size_t size,
                    struct kd_chunk *chunk)
{
    bool data = size >= KD_HEADER_SIZE && kd_get32(*(const kd_u32 *)bytes) == KD_LEADER_DATA;

    if (size > PACKET_MAX)
        return false;
    memcpy(streams->packet, bytes, size);
    if (data)
        streams->packet[size++] = KD_TRAILER;
    return set_chunk(streams, identity, direction, streams->packet, size, chunk);
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
static bool take_plain(struct kd_streams *streams, const struct datagram *datagram,
                       const struct identity *identity, struct kd_chunk *chunk)
{
    struct kd_frame frame;
    struct stream *stream;
    bool known = false;

    kd_frame_datagram(datagram->bytes, datagram->size, &frame);
    if (frame.kind == KD_FRAME_NOISE || frame.kind == KD_FRAME_NEED_MORE)
        return false;
    for (unsigned i = 0; i < streams->count; i++)
        known = known || same_identity(&streams->list[i].identity, identity);
    if (!known && frame.kind != KD_FRAME_PACKET)
        return false;
    stream = find_stream(streams, identity);
    return stream && take_kd(streams, identity, plain_direction(stream, datagram, &frame),
                             datagram->bytes, frame.size, chunk);
}

static bool take_kdnet(struct kd_streams *streams, const struct datagram *datagram,
                       const struct identity *identity, struct kd_chunk *chunk)
{
    struct kdnet_seen seen = {.kind = KDNET_SEEN_SEALED};

    if (streams->opener)
        kdnet_opener_see(streams->opener, datagram, &seen);
    streams->tally.sealed += seen.kind == KDNET_SEEN_SEALED;
    streams->tally.dropped += seen.kind == KDNET_SEEN_DROPPED;
    return seen.kind == KDNET_SEEN_KD &&
           take_kd(streams, identity, seen.from_debugger ? CAP_SENT : CAP_RECEIVED, seen.bytes,
                   seen.size, chunk);
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

static bool take_packet(struct kd_streams *streams, const struct cap_item *item,
                        struct kd_chunk *chunk)
{
    const struct cap_packet *packet = &item->packet;
    struct identity identity = {.section = streams->section};
    struct datagram datagram;

    streams->tally.packets++;
    chunk->time = packet->time == CAP_NOT_SAID ? 0 : packet->time;
    if (item->linktype == CAP_LINKTYPE_UPPER_PDU)
        return take_record(streams, packet, chunk);
    if (!datagram_find(item->linktype, packet->data.bytes, packet->data.size, &datagram))
        return false;
    identity.ends[0] = datagram.source;
    identity.ends[1] = datagram.destination;
    if (is_peer(&datagram)) {
        identity.kind = KD_STREAM_PEER;
        return take_peer(streams, &datagram, &identity, chunk);
    }
    if (kdnet_is_datagram(&datagram)) {
        identity.kind = KD_STREAM_KDNET;
        return take_kdnet(streams, &datagram, &identity, chunk);
    }
    identity.kind = KD_STREAM_PLAIN;
    return take_plain(streams, &datagram, &identity, chunk);
}

bool kd_streams_next(struct kd_streams *streams, struct kd_chunk *chunk)
{
    struct cap_item item;

    while (cap_reader_next(streams->reader, &item)) {
        streams->offset = item.offset;
        if (item.kind == CAP_ITEM_SECTION) {
            streams->section++;
            streams->interface_count = 0;
        } else if (item.kind == CAP_ITEM_INTERFACE) {
            see_interface(streams, &item.interface);
        } else if (item.kind == CAP_ITEM_SECRETS) {
            learn_log(streams, &item.secrets);
        } else if (item.kind == CAP_ITEM_PACKET) {
            learn_comments(streams, &item.packet.comments);
            if (take_packet(streams, &item, chunk))
                return true;
        }
    }
    return false;
}
