/* kd-stream.c - KD over byte streams. See kd-stream.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Records of a COM port or pipe cut packets anywhere. On the first visit of a record its bytes are
 * joined to what the direction's earlier records left over (the carry) and framed; what came out is
 * stored with the frame as a plan: pieces of this record, each a part of a unit. Every visit only
 * draws the plan, so one pass, two passes and random access show the same. A unit that spans
 * records keeps its bytes and is shown where it ends.
 *
 * TCP needs no carry: its dissector reassembles segments when told how many bytes are missing. The
 * units found in a frame are stored in order and taken in that order on later visits.
 *
 * Streams are told apart by conversation, capture interface and section, for several pipes may be
 * in one file.
 */
#include "kd-stream.h"

#include <epan/conversation.h>
#include <epan/dissectors/packet-tcp.h>
#include <epan/prefs.h>
#include <epan/proto_data.h>
#include <string.h>

#include "kd/sender.h"
#include "packet-kd.h"

#define PEER_PORT_TARGET 51112 /* the older capture tool: 51111 debugger, 51112 target */
#define PEER_PORTS       "51111-51112"

static int proto_kd = -1;
static wmem_map_t *openings; /* conversation -> struct opening[2], in file scope */
static unsigned pref_max_payload = KD_PACKET_MAX_SIZE;
static dissector_handle_t handle_stream;
static dissector_handle_t handle_tcp;
static dissector_handle_t handle_peer;
static dissector_handle_t handle_carried;

/* Bytes of one direction that wait for the rest of their packet. */
struct carry {
    uint8_t *bytes;
    size_t size;
    size_t capacity;
    size_t need;
    bool after_noise;
    struct fragment *fragment; /* what the waiting bytes are shown as meanwhile */
};

struct fragment {
    uint32_t shown_in;
};

/* A part of a record: of a unit that starts and ends in it, the end of one that began earlier, or a
 * fragment. */
struct piece {
    const struct kd_unit *unit;
    const uint8_t *bytes; /* of a unit that began in an earlier record */
    const struct fragment *fragment;
    uint32_t offset; /* in the record */
    uint32_t size;
};

struct plan {
    const struct kd_session *session;
    enum kd_flow flow;
    uint32_t count;
    struct piece *pieces;
};

/* One link: both directions of one COM port, pipe or connection. */
struct kd_stream {
    struct kd_session *session;
    struct carry carries[3]; /* by enum kd_flow */
    bool learned;            /* which end of a TCP connection is the target */
    address target;
    uint32_t target_port;
    bool after_noise[2]; /* TCP: by whether the target sent the segment */
};

uint64_t kd_interface_key(const packet_info *pinfo)
{
    uint64_t key = 0;

    if (pinfo->rec->presence_flags & WTAP_HAS_INTERFACE_ID)
        key = pinfo->rec->rec_header.packet_header.interface_id;
    if (pinfo->rec->presence_flags & WTAP_HAS_SECTION_NUMBER)
        key |= (uint64_t)pinfo->rec->section_number << 32;
    return key;
}

struct kd_stream *kd_stream_new(void)
{
    struct kd_stream *stream = wmem_new0(wmem_file_scope(), struct kd_stream);

    stream->session = kd_session_new(false);
    return stream;
}

static struct kd_stream *find_stream(packet_info *pinfo)
{
    conversation_t *conversation = find_or_create_conversation(pinfo);
    wmem_map_t *streams = conversation_get_proto_data(conversation, proto_kd);
    uint64_t key = kd_interface_key(pinfo);
    struct kd_stream *stream;

    if (!streams) {
        streams = wmem_map_new(wmem_file_scope(), wmem_int64_hash, g_int64_equal);
        conversation_add_proto_data(conversation, proto_kd, streams);
    }
    stream = wmem_map_lookup(streams, &key);
    if (!stream) {
        stream = kd_stream_new();
        wmem_map_insert(streams, wmem_memdup(wmem_file_scope(), &key, sizeof key), stream);
    }
    return stream;
}

static struct kd_framing framing_for(enum kd_flow flow)
{
    struct kd_framing framing = {pref_max_payload, flow};

    return framing;
}

/* --- Records: plan per frame
 * ---------------------------------------------------------------------- */

static void carry_append(struct carry *carry, const uint8_t *bytes, size_t size)
{
    if (!size)
        return;
    if (carry->size + size > carry->capacity) {
        carry->capacity = MAX(2 * carry->capacity, MAX(carry->size + size, 256));
        carry->bytes = wmem_realloc(wmem_file_scope(), carry->bytes, carry->capacity);
    }
    memcpy(carry->bytes + carry->size, bytes, size);
    carry->size += size;
}

static void carry_drop(struct carry *carry, size_t size)
{
    memmove(carry->bytes, carry->bytes + size, carry->size - size);
    carry->size -= size;
}

/* Collects the pieces of one record; they move to the plan when it is done. */
struct planning {
    const packet_info *pinfo;
    struct kd_stream *stream;
    struct carry *carry;
    enum kd_flow flow;
    wmem_array_t *pieces;
    size_t before; /* bytes of earlier records in front of this one's */
    size_t cut;    /* bytes of the record that the capture lacks: nothing joins behind it */
};

static void plan_unit(struct planning *p, const struct kd_frame *frame, const uint8_t *bytes,
                      size_t at, unsigned flags)
{
    struct piece piece = {0};
    size_t from_record = at < p->before ? p->before - at : 0; /* bytes that came earlier */

    piece.unit = kd_unit_new(p->stream->session, p->pinfo, frame, p->flow, bytes, flags);
    if (from_record) {
        piece.bytes = wmem_memdup(wmem_file_scope(), bytes, frame->size);
        if (p->carry->fragment)
            p->carry->fragment->shown_in = p->pinfo->num;
    }
    piece.offset = (uint32_t)(at + from_record - p->before);
    piece.size = frame->size > from_record ? (uint32_t)(frame->size - from_record) : 0;
    wmem_array_append_one(p->pieces, piece);
}

static void plan_fragment(struct planning *p, size_t at, size_t size)
{
    struct piece piece = {0};
    size_t from_record = at < p->before ? p->before - at : 0;

    if (!p->carry->fragment || at >= p->before || p->carry->fragment->shown_in)
        p->carry->fragment = wmem_new0(wmem_file_scope(), struct fragment);
    piece.fragment = p->carry->fragment;
    piece.offset = (uint32_t)(at + from_record - p->before);
    piece.size = (uint32_t)(size - MIN(size, from_record));
    wmem_array_append_one(p->pieces, piece);
}

/* One frame; runs of noise that touch become one. */
static void scan(const struct kd_framing *framing, const uint8_t *bytes, size_t size,
                 bool after_noise, bool end, struct kd_frame *frame)
{
    struct kd_frame next;

    kd_frame_scan(framing, bytes, size, after_noise, end, frame);
    while (frame->kind == KD_FRAME_NOISE && !frame->flags && frame->size < size) {
        kd_frame_scan(framing, bytes + frame->size, size - frame->size, true, end, &next);
        if (next.kind != KD_FRAME_NOISE || next.flags)
            break;
        frame->size += next.size;
    }
}

/* A packet whose missing bytes are just those that the capture lacks: its header can be trusted. */
static bool is_cut_packet(const struct planning *p, const uint8_t *bytes, size_t size,
                          struct kd_frame *frame)
{
    struct kd_framing framing = framing_for(p->flow);

    if (!p->cut || size < KD_HEADER_SIZE)
        return false;
    kd_frame_scan(&framing, bytes, size, p->carry->after_noise, false, frame);
    if (frame->kind != KD_FRAME_NEED_MORE || frame->need != size + p->cut)
        return false;
    frame->kind = KD_FRAME_PACKET;
    frame->size = size;
    frame->payload = size - KD_HEADER_SIZE;
    return true;
}

/* Frames bytes[0..size), of which the first p->before came earlier. Returns how many were framed.
 */
static size_t plan_bytes(struct planning *p, const uint8_t *bytes, size_t size)
{
    struct kd_framing framing = framing_for(p->flow);
    struct kd_frame frame;
    size_t at = 0;

    while (at < size) {
        unsigned flags = is_cut_packet(p, bytes + at, size - at, &frame) ? KD_PKT_CUT : 0;

        if (!flags)
            scan(&framing, bytes + at, size - at, p->carry->after_noise, p->cut > 0, &frame);
        if (frame.kind == KD_FRAME_NEED_MORE) {
            p->carry->need = frame.need;
            plan_fragment(p, at, size - at);
            return at;
        }
        p->carry->after_noise = frame.kind == KD_FRAME_NOISE;
        plan_unit(p, &frame, bytes + at, at, flags);
        at += frame.size;
    }
    p->carry->fragment = NULL;
    return at;
}

static void plan_record(struct planning *p, const uint8_t *bytes, size_t size)
{
    struct carry *carry = p->carry;
    size_t framed;

    p->before = carry->size;
    if (!carry->size) {
        framed = plan_bytes(p, bytes, size);
        carry_append(carry, bytes + framed, size - framed);
        return;
    }
    carry_append(carry, bytes, size);
    if (carry->size < carry->need && !p->cut)
        plan_fragment(p, 0, carry->size);
    else
        carry_drop(carry, plan_bytes(p, carry->bytes, carry->size));
}

static struct plan *make_plan(tvbuff_t *tvb, packet_info *pinfo, struct kd_stream *stream,
                              enum kd_flow flow)
{
    struct plan *plan = wmem_new0(wmem_file_scope(), struct plan);
    size_t size = tvb_captured_length(tvb);
    struct planning p = {
        .pinfo = pinfo,
        .stream = stream,
        .carry = &stream->carries[flow],
        .flow = flow,
        .cut = tvb_reported_length(tvb) - size,
        .pieces = wmem_array_new(pinfo->pool, sizeof(struct piece)),
    };

    plan_record(&p, tvb_get_ptr(tvb, 0, (int)size), size);
    plan->session = stream->session;
    plan->flow = flow;
    plan->count = wmem_array_get_count(p.pieces);
    plan->pieces = wmem_memdup(wmem_file_scope(), wmem_array_get_raw(p.pieces),
                               plan->count * sizeof(struct piece));
    return plan;
}

static tvbuff_t *piece_tvb(tvbuff_t *tvb, packet_info *pinfo, const struct piece *piece)
{
    tvbuff_t *whole;
    int size = piece->unit ? (int)piece->unit->frame.size : 0;

    if (!piece->bytes)
        return tvb_new_subset_length(tvb, (int)piece->offset, (int)piece->size);
    whole = tvb_new_child_real_data(tvb, piece->bytes, (unsigned)size, size);
    add_new_data_source(pinfo, whole, "Reassembled KD packet");
    return whole;
}

static void show_plan(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, const struct plan *plan)
{
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct piece *piece = &plan->pieces[i];

        if (piece->unit)
            kd_unit_show(piece_tvb(tvb, pinfo, piece), pinfo, tree, plan->session, piece->unit);
        else if (piece->size)
            kd_fragment_show(piece_tvb(tvb, pinfo, piece), pinfo, tree, plan->flow,
                             piece->fragment->shown_in);
    }
}

/* stream: null when the conversation and the interface tell it. */
static int dissect_bytes(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree,
                         struct kd_stream *stream, enum kd_flow flow)
{
    uint32_t key = pinfo->curr_layer_num;
    struct plan *plan = p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, key);

    col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
    col_clear(pinfo->cinfo, COL_INFO);
    kd_set_ends(pinfo, flow);
    if (!tvb_captured_length(tvb))
        return (int)tvb_reported_length(tvb);
    if (!plan) {
        plan = make_plan(tvb, pinfo, stream ? stream : find_stream(pinfo), flow);
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kd, key, plan);
    }
    show_plan(tvb, pinfo, tree, plan);
    return (int)tvb_captured_length(tvb);
}

static int dissect_stream(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    enum kd_flow flow = pinfo->p2p_dir == P2P_DIR_SENT   ? KD_FLOW_TO_TARGET
                        : pinfo->p2p_dir == P2P_DIR_RECV ? KD_FLOW_TO_DEBUGGER
                                                         : KD_FLOW_UNKNOWN;

    return dissect_bytes(tvb, pinfo, tree, NULL, flow);
}

/* A stream that another protocol carries, and which way these bytes of it go. */
struct carried {
    struct kd_stream *stream;
    enum kd_flow flow;
};

static int dissect_carried(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    const struct carried *carried = data;

    return dissect_bytes(tvb, pinfo, tree, carried->stream, carried->flow);
}

void kd_stream_dissect(struct kd_stream *stream, tvbuff_t *tvb, packet_info *pinfo,
                       proto_tree *tree, enum kd_flow flow)
{
    struct carried carried = {stream, flow};

    call_dissector_with_data(handle_carried, tvb, pinfo, tree, &carried);
}

/* UDP of the older capture tool. The first port of the range is one that KDNET uses too. */
static int dissect_peer(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    static const uint8_t magic[] = {'M', 'D', 'B', 'G'};

    if (!tvb_captured_length(tvb) ||
        (tvb_captured_length(tvb) >= sizeof magic && !tvb_memeql(tvb, 0, magic, sizeof magic)) ||
        (pinfo->srcport != PEER_PORT_TARGET && pinfo->destport != PEER_PORT_TARGET))
        return 0;
    return dissect_bytes(tvb, pinfo, tree, NULL,
                         pinfo->destport == PEER_PORT_TARGET ? KD_FLOW_TO_TARGET
                                                             : KD_FLOW_TO_DEBUGGER);
}

/* --- TCP
 * ------------------------------------------------------------------------------------------- */

/* The units that ended in one captured frame, in the order in which TCP handed over the bytes. */
static wmem_array_t *units_in(packet_info *pinfo)
{
    uint32_t key = pinfo->curr_layer_num;
    wmem_array_t *units = p_get_proto_data(wmem_file_scope(), pinfo, proto_kd, key);

    if (!units) {
        units = wmem_array_new(wmem_file_scope(), sizeof(struct kd_unit *));
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kd, key, units);
    }
    return units;
}

/* How far this visit of the frame has come in that list. */
static unsigned *cursor_of(packet_info *pinfo)
{
    uint32_t key = pinfo->curr_layer_num;
    unsigned *cursor = p_get_proto_data(pinfo->pool, pinfo, proto_kd, key);

    if (!cursor) {
        cursor = wmem_new0(pinfo->pool, unsigned);
        p_add_proto_data(pinfo->pool, pinfo, proto_kd, key, cursor);
    }
    return cursor;
}

static bool from_target(const struct kd_stream *stream, const packet_info *pinfo)
{
    return pinfo->srcport == stream->target_port && addresses_equal(&pinfo->src, &stream->target);
}

/* TCP does not say which end is the debugger; the first packet that only one of them can send does.
 */
static enum kd_flow learn_flow(struct kd_stream *stream, const packet_info *pinfo,
                               const struct kd_frame *frame, const uint8_t *bytes)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;
    enum kd_flow flow = KD_FLOW_UNKNOWN;

    if (!stream->learned && frame->kind == KD_FRAME_PACKET)
        flow =
            kd_packet_flow(kd_get16(header->packet_type), bytes + KD_HEADER_SIZE, frame->payload);
    if (flow != KD_FLOW_UNKNOWN) {
        bool target = flow == KD_FLOW_TO_DEBUGGER;

        stream->learned = true;
        copy_address_wmem(wmem_file_scope(), &stream->target, target ? &pinfo->src : &pinfo->dst);
        stream->target_port = target ? pinfo->srcport : pinfo->destport;
    }
    if (!stream->learned)
        return KD_FLOW_UNKNOWN;
    return from_target(stream, pinfo) ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;
}

/* Frames what lies at offset. Returns the bytes still missing, or 0 with the next unit in the list.
 * Later visits come here only for the beginning of a packet that a later frame completes. */
static size_t find_unit(tvbuff_t *tvb, int offset, packet_info *pinfo, struct kd_stream *stream,
                        wmem_array_t *units)
{
    int size = tvb_captured_length_remaining(tvb, offset);
    const uint8_t *bytes = tvb_get_ptr(tvb, offset, size);
    enum kd_flow known = !stream->learned             ? KD_FLOW_UNKNOWN
                         : from_target(stream, pinfo) ? KD_FLOW_TO_DEBUGGER
                                                      : KD_FLOW_TO_TARGET;
    struct kd_framing framing = framing_for(known);
    bool *after_noise = &stream->after_noise[known == KD_FLOW_TO_DEBUGGER];
    struct kd_unit *unit;
    struct kd_frame frame;

    scan(&framing, bytes, (size_t)size, *after_noise, !pinfo->can_desegment, &frame);
    if (frame.kind == KD_FRAME_NEED_MORE || PINFO_FD_VISITED(pinfo))
        return frame.need > (size_t)size ? frame.need - (size_t)size : 1;
    *after_noise = frame.kind == KD_FRAME_NOISE;
    unit = kd_unit_new(stream->session, pinfo, &frame, learn_flow(stream, pinfo, &frame, bytes),
                       bytes, 0);
    wmem_array_append_one(units, unit);
    return 0;
}

/* Shows the unit at offset and returns its size, or 0 when TCP has to come again with *missing more
 * bytes. */
static size_t dissect_unit(tvbuff_t *tvb, int offset, packet_info *pinfo, proto_tree *tree,
                           struct kd_stream *stream, size_t *missing)
{
    wmem_array_t *units = units_in(pinfo);
    unsigned *cursor = cursor_of(pinfo);
    size_t left = (size_t)tvb_captured_length_remaining(tvb, offset);
    const struct kd_unit *unit;

    *missing = 0;
    if (*cursor >= wmem_array_get_count(units))
        *missing = find_unit(tvb, offset, pinfo, stream, units);
    if (*missing)
        return 0;
    unit = *(struct kd_unit **)wmem_array_index(units, *cursor);
    if (unit->frame.size > left) {
        *missing = unit->frame.size - left;
        return 0;
    }
    ++*cursor;
    kd_unit_show(tvb_new_subset_length(tvb, offset, (int)unit->frame.size), pinfo, tree,
                 stream->session, unit);
    return unit->frame.size;
}

static int dissect_segment(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    struct kd_stream *stream = find_stream(pinfo);
    int size = (int)tvb_captured_length(tvb);
    int offset = 0;

    if (!*cursor_of(pinfo)) {
        col_set_str(pinfo->cinfo, COL_PROTOCOL, "KD");
        col_clear(pinfo->cinfo, COL_INFO);
    }
    while (offset < size) {
        size_t missing;
        size_t used = dissect_unit(tvb, offset, pinfo, tree, stream, &missing);

        if (!used) {
            /* Until the header is whole the packet's size is not known. */
            pinfo->desegment_offset = offset;
            pinfo->desegment_len = size - offset < (int)KD_HEADER_SIZE ? DESEGMENT_ONE_MORE_SEGMENT
                                                                       : (uint32_t)missing;
            break;
        }
        offset += (int)used;
    }
    return size;
}

/* A data packet cut by the end of the segment: its header must be one that a COM port's KD sends.
 */
static bool is_serial_header(const uint8_t *bytes, size_t size)
{
    const struct kd_packet_header *header = (const struct kd_packet_header *)bytes;

    return size >= KD_HEADER_SIZE && kd_get32(header->packet_leader) == KD_LEADER_DATA &&
           (kd_get32(header->packet_id) & ~(KD_SYNC_PACKET_ID | 1u)) == KD_INITIAL_PACKET_ID;
}

/* Strict: packets with good checksum and trailer, RESETs, a break-in before them, and at least one
 * packet. */
static bool is_kd(tvbuff_t *tvb)
{
    struct kd_framing framing = framing_for(KD_FLOW_UNKNOWN);
    size_t size = tvb_captured_length(tvb), at = 0;
    const uint8_t *bytes = tvb_get_ptr(tvb, 0, (int)size);
    unsigned packets = 0;

    while (at < size) {
        struct kd_frame frame;

        kd_frame_scan(&framing, bytes + at, size - at, false, false, &frame);
        if (frame.kind == KD_FRAME_NEED_MORE)
            return packets || is_serial_header(bytes + at, size - at);
        if (frame.kind == KD_FRAME_NOISE || frame.flags ||
            (frame.kind == KD_FRAME_BREAKIN && packets))
            return false;
        packets += frame.kind == KD_FRAME_PACKET;
        at += frame.size;
    }
    return packets > 0;
}

/* WinDbg opens with a RESET and writes it byte by byte, so no segment alone tells that this is KD.
 * The beginning of a direction is kept while it agrees with a RESET. */
struct opening {
    uint8_t bytes[KD_HEADER_SIZE];
    size_t size;
    bool other; /* something else was said */
};

static bool agrees_with_reset(const struct opening *opening)
{
    static const uint8_t reset[8] = {0x69, 0x69, 0x69, 0x69, KD_PACKET_RESET, 0, 0, 0};

    return !memcmp(opening->bytes, reset, MIN(opening->size, sizeof reset));
}

/* First visit: whether this segment completes the RESET that opens a connection. */
static bool completes_reset(tvbuff_t *tvb, packet_info *pinfo)
{
    size_t size = tvb_captured_length(tvb);
    conversation_t *conversation;
    struct opening *pair, *opening;

    if (PINFO_FD_VISITED(pinfo) || size > KD_HEADER_SIZE)
        return false;
    conversation = find_or_create_conversation(pinfo);
    pair = wmem_map_lookup(openings, conversation);
    if (!pair) {
        pair = wmem_alloc0_array(wmem_file_scope(), struct opening, 2);
        wmem_map_insert(openings, conversation, pair);
    }
    opening = &pair[pinfo->srcport < pinfo->destport];
    if (opening->other || size > KD_HEADER_SIZE - opening->size)
        return false;
    tvb_memcpy(tvb, opening->bytes + opening->size, 0, size);
    opening->size += size;
    opening->other = !agrees_with_reset(opening);
    return !opening->other && opening->size == KD_HEADER_SIZE;
}

static kdlens_bool heuristic_tcp(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    if (!tvb_captured_length(tvb) || (!is_kd(tvb) && !completes_reset(tvb, pinfo)))
        return false;
    conversation_set_dissector_from_frame_number(find_or_create_conversation(pinfo), pinfo->num,
                                                 handle_tcp);
    dissect_segment(tvb, pinfo, tree, data);
    return true;
}

void kd_stream_register(int proto)
{
    module_t *module = prefs_register_protocol(proto, NULL);

    proto_kd = proto;
    openings =
        wmem_map_new_autoreset(wmem_epan_scope(), wmem_file_scope(), g_direct_hash, g_direct_equal);
    handle_stream = register_dissector("kd_stream", dissect_stream, proto);
    handle_tcp = register_dissector("kd_tcp", dissect_segment, proto);
    handle_peer = register_dissector("kd_udp", dissect_peer, proto);
    /* Without a name, for no capture may name it: what it is handed is ours. */
    handle_carried = create_dissector_handle(dissect_carried, proto);
    prefs_register_uint_preference(module, "max_payload", "Largest payload (bytes)",
                                   "A header with a larger ByteCount is not taken for a packet. KD "
                                   "over a COM port or pipe uses 4000; "
                                   "some targets that are no Windows send more.",
                                   10, &pref_max_payload);
}

void kd_stream_handoff(void)
{
    dissector_add_uint_range_with_preference("tcp.port", "", handle_tcp);
    dissector_add_uint_range_with_preference("udp.port", PEER_PORTS, handle_peer);
    heur_dissector_add("tcp", heuristic_tcp, "Kernel Debugger over TCP", "kd_tcp", proto_kd,
                       HEURISTIC_ENABLE);
}
