/* kd_tcp.c - TCP segments in order, and which connections carry KD. See kd_tcp.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A connection is
 *   UNDECIDED  pieces in order are kept and framed, to see whether KD is in them
 *   KD         they are delivered
 *   OTHER      its segments are dropped; a new connection between the same ends begins anew
 */
#include "kd_tcp.h"

#include <stdlib.h>
#include <string.h>

#include "kd/frame.h"
#include "kd/sender.h"

#define HELD_MAX 128u /* segments that wait for their order */
#define NOBODY   2u
#define CAPACITY KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)

enum state { UNDECIDED, KD, OTHER };

/* Bytes in order, or a hole. */
struct piece {
    struct piece *next;
    unsigned half;
    uint32_t frame;
    uint64_t time;
    uint64_t missing; /* a hole */
    uint32_t section;
    struct datagram_end ends[2];
    bool from_debugger;
    uint32_t sequence; /* held ones */
    size_t size;
    uint8_t bytes[];
};

struct pieces {
    struct piece *first, **last;
    size_t count, size;
};

/* What one end sends. */
struct half {
    bool begun;
    uint32_t next;      /* sequence number of the next byte */
    struct pieces held; /* beyond it, sorted */
    struct kd_framer *framer;
};

struct connection {
    enum state state;
    uint32_t section;
    struct datagram_end ends[2];
    struct half halves[2]; /* halves[i]: sent by ends[i] */
    struct pieces kept;    /* UNDECIDED */
    unsigned caller;       /* who connected; NOBODY: not seen */
    unsigned resetter;     /* who sent RESET first */
    unsigned debugger;     /* KD */
    bool packets;          /* whole KD packets were seen */
    uint64_t used;         /* when, in segments */
};

struct kd_tcp {
    struct connection *connections[KD_TCP_CONNECTIONS];
    unsigned count;
    uint64_t segments;
    bool flushed;
    struct pieces ready;
    struct piece *given; /* what the caller of kd_tcp_next has now */
};

/* --- lists of pieces */

static void pieces_append(struct pieces *pieces, struct piece *piece)
{
    if (!pieces->last)
        pieces->last = &pieces->first;
    piece->next = NULL;
    *pieces->last = piece;
    pieces->last = &piece->next;
    pieces->count++;
    pieces->size += piece->size;
}

static struct piece *pieces_take(struct pieces *pieces)
{
    struct piece *piece = pieces->first;

    if (!piece)
        return NULL;
    pieces->first = piece->next;
    if (!pieces->first)
        pieces->last = &pieces->first;
    pieces->count--;
    pieces->size -= piece->size;
    return piece;
}

static void pieces_free(struct pieces *pieces)
{
    struct piece *piece;

    while ((piece = pieces_take(pieces)))
        free(piece);
}

/* By sequence number. */
static void pieces_insert(struct pieces *pieces, struct piece *piece)
{
    struct piece **place = &pieces->first;

    while (*place && (int32_t)((*place)->sequence - piece->sequence) < 0)
        place = &(*place)->next;
    piece->next = *place;
    *place = piece;
    if (!piece->next)
        pieces->last = &piece->next;
    pieces->count++;
    pieces->size += piece->size;
}

static struct piece *new_piece(const struct connection *connection, unsigned half, uint32_t frame,
                               uint64_t time, const uint8_t *bytes, size_t size)
{
    struct piece *piece = calloc(1, sizeof *piece + size);

    if (!piece)
        return NULL;
    piece->half = half;
    piece->frame = frame;
    piece->time = time;
    piece->section = connection->section;
    memcpy(piece->ends, connection->ends, sizeof piece->ends);
    piece->size = size;
    if (size)
        memcpy(piece->bytes, bytes, size);
    return piece;
}

/* --- connections */

struct kd_tcp *kd_tcp_new(void)
{
    return calloc(1, sizeof(struct kd_tcp));
}

static void forget_kept(struct connection *connection)
{
    pieces_free(&connection->kept);
    for (unsigned i = 0; i < 2; i++) {
        free(connection->halves[i].framer);
        connection->halves[i].framer = NULL;
    }
}

static void free_connection(struct connection *connection)
{
    forget_kept(connection);
    for (unsigned i = 0; i < 2; i++)
        pieces_free(&connection->halves[i].held);
    free(connection);
}

void kd_tcp_free(struct kd_tcp *tcp)
{
    if (!tcp)
        return;
    for (unsigned i = 0; i < tcp->count; i++)
        free_connection(tcp->connections[i]);
    pieces_free(&tcp->ready);
    free(tcp->given);
    free(tcp);
}

/* A place for a new connection: that of the one that was silent for longest and is not KD. NULL
 * when all are. */
static struct connection **free_place(struct kd_tcp *tcp)
{
    struct connection **oldest = NULL;

    if (tcp->count < KD_TCP_CONNECTIONS)
        return &tcp->connections[tcp->count++];
    for (unsigned i = 0; i < tcp->count; i++)
        if (tcp->connections[i]->state != KD &&
            (!oldest || tcp->connections[i]->used < (*oldest)->used))
            oldest = &tcp->connections[i];
    if (oldest)
        free_connection(*oldest);
    return oldest;
}

static struct connection *new_connection(struct kd_tcp *tcp, uint32_t section,
                                         const struct datagram *segment)
{
    struct connection *connection = calloc(1, sizeof *connection), **place;

    if (!connection)
        return NULL;
    place = free_place(tcp);
    if (!place) {
        free(connection);
        return NULL;
    }
    connection->section = section;
    connection->ends[0] = segment->source;
    connection->ends[1] = segment->destination;
    connection->caller = connection->resetter = NOBODY;
    *place = connection;
    return connection;
}

/* half: which end sent the segment. The connection that was used last is looked at first. */
static struct connection *find_connection(struct kd_tcp *tcp, uint32_t section,
                                          const struct datagram *segment, unsigned *half)
{
    for (unsigned i = 0; i < tcp->count; i++) {
        struct connection *connection = tcp->connections[i];

        for (unsigned way = 0; way < 2; way++) {
            if (connection->section != section ||
                !datagram_end_equal(&connection->ends[way], &segment->source) ||
                !datagram_end_equal(&connection->ends[!way], &segment->destination))
                continue;
            *half = way;
            tcp->connections[i] = tcp->connections[0];
            tcp->connections[0] = connection;
            return connection;
        }
    }
    *half = 0;
    return segment->size || segment->flags & TCP_SYN ? new_connection(tcp, section, segment) : NULL;
}

/* --- is it KD */

static void decide(struct kd_tcp *tcp, struct connection *connection, unsigned debugger)
{
    struct piece *piece;

    connection->state = KD;
    connection->debugger = debugger;
    while ((piece = pieces_take(&connection->kept))) {
        piece->from_debugger = piece->half == debugger;
        pieces_append(&tcp->ready, piece);
    }
    forget_kept(connection);
}

static void give_up(struct kd_tcp *tcp, struct connection *connection)
{
    if (connection->packets) {
        decide(tcp, connection,
               connection->resetter != NOBODY ? connection->resetter
               : connection->caller != NOBODY ? connection->caller
                                              : 0);
        return;
    }
    connection->state = OTHER;
    forget_kept(connection);
    for (unsigned i = 0; i < 2; i++)
        pieces_free(&connection->halves[i].held);
}

static struct kd_framer *new_framer(void)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER};
    struct kd_framer *framer = malloc(sizeof *framer + CAPACITY);

    if (framer)
        kd_framer_init(framer, &framing, (uint8_t *)(framer + 1), CAPACITY);
    return framer;
}

/* Looks at a packet. Returns the half that is the debugger's, NOBODY when it does not tell. */
static unsigned judge(struct connection *connection, unsigned half, const struct kd_frame *frame,
                      const uint8_t *bytes)
{
    uint32_t type = kd_get16(((const struct kd_packet_header *)bytes)->packet_type);

    if (frame->kind != KD_FRAME_PACKET || frame->flags)
        return NOBODY;
    connection->packets = true;
    if (type == KD_PACKET_RESET && connection->resetter == NOBODY)
        connection->resetter = half;
    switch (kd_packet_flow(type, bytes + KD_HEADER_SIZE, frame->payload)) {
    case KD_FLOW_TO_TARGET:
        return half;
    case KD_FLOW_TO_DEBUGGER:
        return !half;
    default:
        return NOBODY;
    }
}

static void look(struct kd_tcp *tcp, struct connection *connection, const struct piece *piece)
{
    struct half *half = &connection->halves[piece->half];
    unsigned debugger = NOBODY;
    struct kd_frame frame;
    const uint8_t *bytes;

    if (!half->framer && !(half->framer = new_framer()))
        return;
    for (size_t at = 0; at < piece->size && debugger == NOBODY;) {
        at += kd_framer_push(half->framer, piece->bytes + at, piece->size - at);
        while (debugger == NOBODY &&
               kd_framer_next(half->framer, false, &frame, &bytes) != KD_FRAME_NEED_MORE)
            debugger = judge(connection, piece->half, &frame, bytes);
    }
    if (debugger != NOBODY)
        decide(tcp, connection, debugger);
    else if (connection->kept.size > KD_TCP_WAITING)
        give_up(tcp, connection);
}

static void accept(struct kd_tcp *tcp, struct connection *connection, struct piece *piece)
{
    if (connection->state == KD) {
        piece->from_debugger = piece->half == connection->debugger;
        pieces_append(&tcp->ready, piece);
        return;
    }
    pieces_append(&connection->kept, piece);
    look(tcp, connection, piece);
}

/* --- in order */

static void skip(struct kd_tcp *tcp, struct connection *connection, unsigned half, uint32_t missing,
                 const struct piece *at)
{
    struct piece *hole = new_piece(connection, half, at->frame, at->time, NULL, 0);

    connection->halves[half].next += missing;
    if (!hole)
        return;
    hole->missing = missing;
    accept(tcp, connection, hole);
}

/* The piece begins at or before the next byte: what is new of it. */
static void join(struct kd_tcp *tcp, struct connection *connection, struct piece *piece)
{
    struct half *half = &connection->halves[piece->half];
    uint32_t known = half->next - piece->sequence;

    if (known >= piece->size) {
        free(piece);
        return;
    }
    memmove(piece->bytes, piece->bytes + known, piece->size - known);
    piece->size -= known;
    half->next += (uint32_t)piece->size;
    accept(tcp, connection, piece);
}

/* force: holes are skipped. */
static void join_held(struct kd_tcp *tcp, struct connection *connection, unsigned number,
                      bool force)
{
    struct half *half = &connection->halves[number];

    while (connection->state != OTHER && half->held.first) {
        struct piece *piece = half->held.first;
        int32_t missing = (int32_t)(piece->sequence - half->next);

        if (missing > 0 && !force)
            return;
        if (missing > 0)
            skip(tcp, connection, number, (uint32_t)missing, piece);
        if (connection->state == OTHER)
            return;
        join(tcp, connection, pieces_take(&half->held));
        force = force && missing <= 0;
    }
}

static void begin(struct connection *connection, unsigned number, const struct datagram *segment)
{
    struct half *half = &connection->halves[number];

    if (segment->flags & TCP_SYN) {
        pieces_free(&half->held);
        half->next = segment->sequence + 1;
        if (!(segment->flags & TCP_ACK))
            connection->caller = number;
        if (connection->state == OTHER)
            connection->state = UNDECIDED;
    } else {
        half->next = segment->sequence;
    }
    half->begun = true;
}

/* The other end has acknowledged bytes that are not here: the capture lacks them. */
static void see_acknowledged(struct kd_tcp *tcp, struct connection *connection, unsigned half,
                             const struct datagram *segment)
{
    const struct half *other = &connection->halves[!half];

    if ((segment->flags & TCP_ACK) && other->held.first &&
        (int32_t)(segment->acknowledged - other->held.first->sequence) > 0)
        join_held(tcp, connection, !half, true);
}

void kd_tcp_see(struct kd_tcp *tcp, uint32_t section, const struct datagram *segment,
                uint32_t frame, uint64_t time)
{
    unsigned number;
    struct connection *connection = find_connection(tcp, section, segment, &number);
    struct half *half;
    struct piece *piece;

    if (!connection)
        return;
    half = &connection->halves[number];
    connection->used = ++tcp->segments;
    if (segment->flags & TCP_SYN || (!half->begun && segment->size))
        begin(connection, number, segment);
    if (connection->state == OTHER)
        return;
    see_acknowledged(tcp, connection, number, segment);
    if (!segment->size || connection->state == OTHER)
        return;
    piece = new_piece(connection, number, frame, time, segment->bytes, segment->size);
    if (!piece)
        return;
    piece->sequence = segment->sequence + (segment->flags & TCP_SYN ? 1 : 0);
    pieces_insert(&half->held, piece);
    join_held(tcp, connection, number, false);
    if (half->held.count > HELD_MAX || half->held.size > KD_TCP_WAITING)
        join_held(tcp, connection, number, true);
}

/* --- delivery */

static void flush(struct kd_tcp *tcp)
{
    for (unsigned i = 0; i < tcp->count; i++) {
        struct connection *connection = tcp->connections[i];

        for (unsigned half = 0; half < 2; half++)
            while (connection->state != OTHER && connection->halves[half].held.first)
                join_held(tcp, connection, half, true);
        if (connection->state == UNDECIDED)
            give_up(tcp, connection);
    }
    tcp->flushed = true;
}

bool kd_tcp_next(struct kd_tcp *tcp, bool end, uint32_t *section, struct datagram_end ends[2],
                 struct kd_chunk *chunk)
{
    if (end && !tcp->flushed)
        flush(tcp);
    free(tcp->given);
    tcp->given = pieces_take(&tcp->ready);
    if (!tcp->given)
        return false;
    *section = tcp->given->section;
    memcpy(ends, tcp->given->ends, sizeof tcp->given->ends);
    *chunk = (struct kd_chunk){
        .kind = tcp->given->missing ? KD_CHUNK_GAP : KD_CHUNK_BYTES,
        .frame = tcp->given->frame,
        .time = tcp->given->time,
        .direction = tcp->given->from_debugger ? CAP_SENT : CAP_RECEIVED,
        .bytes = tcp->given->bytes,
        .size = tcp->given->size,
        .gap = KDA_GAP_BYTES,
        .missing = tcp->given->missing,
    };
    return true;
}
