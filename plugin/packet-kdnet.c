/* packet-kdnet.c - the protocol `kdnet`: kernel debugging over UDP.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Encrypted datagrams of versions 1 to 5 ("MD", "MDBG") and KD without encryption. The keys and how
 * to give them are described in kdnet-keys.h, sessions in kdnet-session.h, the datagram in
 * analysis/kdnet.h and docs/protocol.md.
 *
 * A conversation is claimed by its first datagram that looks like KDNET; from then on all its
 * datagrams come here, so that junk and refused datagrams are told too, and no other heuristic
 * takes one of them for its own.
 *
 * Limitations: KDNET over USB is decoded where the capture shows its UDP frames; fragmented IP is
 * reassembled by Wireshark before it comes here.
 */
#include "packet-kdnet.h"

#include <epan/conversation.h>
#include <epan/proto_data.h>
#include <epan/to_str.h>
#include <inttypes.h>

#include "analysis/findings.h"
#include "kd-experts.h"
#include "kdnet-session.h"
#include "registry.h"

#define PORTS "50000-50039" /* Microsoft's recommended range */

static int proto_kdnet = -1;
static dissector_handle_t handle_kdnet;

static int hf_from_debugger = -1;
static int hf_sequence = -1;
static int hf_missing = -1;
static int hf_pad = -1;
static int hf_body = -1;
static int hf_ciphertext = -1;
static int hf_tag = -1;
static int hf_authentic = -1;
static int hf_session = -1;
static int hf_session_frame = -1;
static int hf_poke_in = -1;
static int hf_response_in = -1;
static int hf_announce = -1;
static int hf_replay = -1;

static int ett_kdnet = -1;

/* One datagram on its way to columns and tree. */
struct showing {
    packet_info *pinfo;
    proto_tree *top;
    proto_tree *tree; /* null when nobody looks */
    proto_item *item;
    tvbuff_t *tvb;
    const struct kdnet_datagram *datagram;
    const struct kdnet_record *record;
};

/* --- Verdicts ------------------------------------------------------------------------------------
 */

static uint64_t bit(bool holds, enum kd_finding finding)
{
    return (uint64_t)holds << finding;
}

static uint64_t findings_sealed(const struct showing *s)
{
    unsigned remarks = s->record->remarks;

    /* What the head alone lets WinDbg refuse needs no key. */
    if (s->record->content != KDNET_CONTENT_SEALED || s->datagram->kind == KDNET_KIND_VERSION ||
        s->datagram->kind == KDNET_KIND_FLAGS || s->datagram->kind == KDNET_KIND_LENGTH)
        return 0;
    if (remarks & KDNET_REMARK_CUT)
        return bit(true, KD_FINDING_NET_TRUNCATED);
    if (remarks & KDNET_REMARK_NO_KEY)
        return bit(true, KD_FINDING_NET_NO_KEY);
    if (remarks & KDNET_REMARK_NO_SESSION)
        return bit(true, KD_FINDING_NET_NO_SESSION);
    if (s->datagram->control || s->datagram->v1)
        return bit(true, KD_FINDING_NET_WRONG_KEY);
    return bit(true, KD_FINDING_NET_HMAC);
}

static uint64_t findings_datagram(const struct showing *s)
{
    if (s->record->remarks & KDNET_REMARK_CUT)
        return 0;
    switch (s->datagram->kind) {
    case KDNET_KIND_VERSION:
        return bit(true, KD_FINDING_NET_VERSION);
    case KDNET_KIND_LENGTH:
        return bit(true, KD_FINDING_NET_BAD_DATAGRAM);
    case KDNET_KIND_FLAGS:
        return bit(true, KD_FINDING_NET_FLAGS);
    case KDNET_KIND_OTHER:
        return bit(s->record->content == KDNET_CONTENT_JUNK, KD_FINDING_NET_BAD_DATAGRAM);
    default:
        return 0;
    }
}

static uint64_t findings_remarks(const struct kdnet_record *record)
{
    unsigned remarks = record->remarks;

    return bit(remarks & KDNET_REMARK_REPLAY, KD_FINDING_NET_REPLAY) |
           bit(record->missing, KD_FINDING_NET_GAP) |
           bit(remarks & KDNET_REMARK_OLD_KEY, KD_FINDING_NET_OLD_KEY) |
           bit(remarks & KDNET_REMARK_DIRECTION, KD_FINDING_NET_DIRECTION) |
           bit(remarks & KDNET_REMARK_RESTART, KD_FINDING_NET_RESTART) |
           bit(remarks & KDNET_REMARK_BAD_PAD, KD_FINDING_NET_PAD) |
           bit(record->content == KDNET_CONTENT_OTHER, KD_FINDING_NET_BODY);
}

static void expert_all(const struct showing *s)
{
    uint64_t findings = findings_sealed(s) | findings_datagram(s) | findings_remarks(s->record);
    const struct kda_net_facts facts = {.version = s->datagram->version,
                                        .sequence = s->record->sequence,
                                        .missing = s->record->missing,
                                        .size = s->datagram->size,
                                        .magic = s->datagram->kind != KDNET_KIND_OTHER};
    char text[KDA_FINDING_TEXT_SIZE];

    for (unsigned i = 0; findings >> i; i++)
        if (findings >> i & 1)
            expert_add_info_format(s->pinfo, s->item, kd_expert((enum kd_finding)i), "%s",
                                   kda_net_finding_text((enum kd_finding)i, &facts, text));
}

/* --- Tree ----------------------------------------------------------------------------------------
 */

static void add_link(const struct showing *s, int hf, uint32_t frame)
{
    if (frame && s->tree)
        proto_item_set_generated(proto_tree_add_uint(s->tree, hf, s->tvb, 0, 0, frame));
}

static void add_flag(const struct showing *s, int hf, bool value)
{
    proto_item_set_generated(proto_tree_add_boolean(s->tree, hf, s->tvb, 0, 0, value));
}

static void show_header(const struct showing *s)
{
    struct kd_show show = {0, NULL, KD_SHOW_ALL, 0};
    int header = (int)s->datagram->cipher_offset;

    kd_show_fields(s->tree, s->tvb, 0, (int)s->datagram->size,
                   s->datagram->v1 ? KD_LAYOUT_kdnet_v1_header : KD_LAYOUT_kdnet_header, &show);
    if (!s->datagram->cipher_size)
        return;
    proto_tree_add_item(s->tree, hf_ciphertext, s->tvb, header, (int)s->datagram->cipher_size,
                        ENC_NA);
    if (!s->datagram->v1)
        proto_tree_add_item(s->tree, hf_tag, s->tvb, header + (int)s->datagram->cipher_size,
                            KDNET_TAG_SIZE, ENC_NA);
    add_flag(s, hf_authentic, s->record->cipher != NULL);
}

static void show_session(const struct showing *s)
{
    const struct kdnet_record *record = s->record;

    if (!s->tree)
        return;
    if (record->session) {
        proto_item_set_generated(
            proto_tree_add_uint(s->tree, hf_session, s->tvb, 0, 0, record->session->number));
        if (record->content != KDNET_CONTENT_RESPONSE)
            add_link(s, hf_session_frame, record->session->response);
    }
    add_link(s, hf_poke_in, record->poke);
    add_link(s, hf_response_in, record->response);
}

static void show_plaintext(const struct showing *s, tvbuff_t *plain,
                           const struct kdnet_plaintext *out)
{
    const struct kdnet_record *record = s->record;
    int pad = (int)out->body_offset + (int)out->body_size;

    if (!s->tree)
        return;
    add_flag(s, hf_from_debugger, record->from_debugger);
    if (s->datagram->v1) {
        proto_item_set_generated(
            proto_tree_add_uint64(s->tree, hf_sequence, s->tvb, 6, 8, record->sequence));
    } else {
        proto_tree_add_uint64(s->tree, hf_sequence, plain, 0, 7, record->sequence);
    }
    if (record->missing)
        proto_item_set_generated(
            proto_tree_add_uint(s->tree, hf_missing, s->tvb, 0, 0, record->missing));
    if (record->remarks & KDNET_REMARK_REPLAY)
        add_flag(s, hf_replay, true);
    if (out->pad_size && pad + out->pad_size <= (int)tvb_captured_length(plain))
        proto_tree_add_item(s->tree, hf_pad, plain, pad, out->pad_size, ENC_NA);
}

static bool is_cut(tvbuff_t *tvb)
{
    return tvb_captured_length(tvb) < tvb_reported_length(tvb);
}

/* --- Contents ------------------------------------------------------------------------------------
 */

static const char *end_text(wmem_allocator_t *pool, const kd_u8 address[16], kd_be16 port)
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
    const uint8_t *bytes = address[0].b;
    char text[WS_INET6_ADDRSTRLEN];
    ws_in6_addr ip6;

    if (!memcmp(bytes, mapped, sizeof mapped))
        return wmem_strdup_printf(pool, "%u.%u.%u.%u:%u", bytes[12], bytes[13], bytes[14],
                                  bytes[15], kd_get_be16(port));
    memcpy(&ip6, bytes, sizeof ip6);
    ip6_to_str_buf(&ip6, text, sizeof text);
    return wmem_strdup_printf(pool, "[%s]:%u", text, kd_get_be16(port));
}

static void show_poke(const struct showing *s, tvbuff_t *body)
{
    const struct kd_kdnet_poke *poke =
        (const struct kd_kdnet_poke *)tvb_get_ptr(body, 0, sizeof(struct kd_kdnet_poke));
    struct kd_show show = {0, NULL, KD_SHOW_ALL, 0};
    wmem_allocator_t *pool = s->pinfo->pool;

    col_add_fstr(
        s->pinfo->cinfo, COL_INFO, "Poke: target %s asks for %s, %s",
        end_text(pool, poke->target_address, poke->target_port),
        end_text(pool, poke->debugger_address, poke->debugger_port),
        kd_get_be16(poke->connected_port)
            ? wmem_strdup_printf(pool, "connected to %s",
                                 end_text(pool, poke->connected_address, poke->connected_port))
            : "not connected");
    kd_show_layout(s->tree, body, 0, (int)sizeof *poke, KD_LAYOUT_kdnet_poke, &show);
}

static void show_response(const struct showing *s, tvbuff_t *body)
{
    struct kd_show show = {0, NULL, KD_SHOW_ALL, 0};

    if (s->record->session)
        col_add_fstr(s->pinfo->cinfo, COL_INFO, "Response: key of session %u%s",
                     s->record->session->number,
                     s->record->session->response == s->pinfo->num ? "" : " again");
    else
        col_set_str(s->pinfo->cinfo, COL_INFO, "Response");
    kd_show_layout(s->tree, body, 0, (int)sizeof(struct kd_kdnet_response),
                   KD_LAYOUT_kdnet_response, &show);
}

static void show_announce(const struct showing *s, tvbuff_t *body)
{
    struct kd_show show = {0, NULL, KD_SHOW_ALL, 0};
    int size = (int)tvb_captured_length(body);

    if (size == (int)sizeof(struct kd_kdnet_announce))
        col_add_fstr(s->pinfo->cinfo, COL_INFO, "Announce: the target is connected to %u.%u.%u.%u",
                     tvb_get_uint8(body, 11), tvb_get_uint8(body, 10), tvb_get_uint8(body, 9),
                     tvb_get_uint8(body, 8));
    else
        col_set_str(s->pinfo->cinfo, COL_INFO, "Announce: the target is connected");
    if (s->tree)
        add_flag(s, hf_announce, true);
    kd_show_layout(s->tree, body, 0, size, KD_LAYOUT_kdnet_announce, &show);
}

static void show_kd(const struct showing *s, tvbuff_t *body)
{
    const struct kd_unit *unit = s->record->unit;
    int size = (int)tvb_captured_length(body);
    int used = (int)unit->frame.size;

    col_clear(s->pinfo->cinfo, COL_INFO);
    kd_unit_show(tvb_new_subset_length(body, 0, used), s->pinfo, s->top, s->record->session->kd,
                 unit);
    if (s->record->remarks & KDNET_REMARK_REPLAY)
        col_append_str(s->pinfo->cinfo, COL_INFO, " [replay, dropped]");
    else if (s->record->remarks & KDNET_REMARK_DIRECTION)
        col_append_str(s->pinfo->cinfo, COL_INFO, " [reflected, dropped]");
    if (size > used)
        expert_add_info_format(s->pinfo, s->item, kd_expert(KD_FINDING_NET_BODY),
                               "%d bytes behind the KD packet", size - used);
}

static void show_body(const struct showing *s, tvbuff_t *body)
{
    switch (s->record->content) {
    case KDNET_CONTENT_POKE:
        show_poke(s, body);
        break;
    case KDNET_CONTENT_RESPONSE:
        show_response(s, body);
        break;
    case KDNET_CONTENT_EMPTY:
        col_set_str(s->pinfo->cinfo, COL_INFO, "The debugger asks the target to poke");
        break;
    case KDNET_CONTENT_ANNOUNCE:
        show_announce(s, body);
        break;
    case KDNET_CONTENT_KD:
        show_kd(s, body);
        break;
    default:
        col_add_fstr(s->pinfo->cinfo, COL_INFO, "Unknown body of %u bytes",
                     tvb_captured_length(body));
        proto_tree_add_item(s->tree, hf_body, body, 0, -1, ENC_NA);
        break;
    }
}

/* Opens the datagram again with what opened it on the first visit. */
static void show_opened(const struct showing *s)
{
    uint8_t *plaintext = wmem_alloc(s->pinfo->pool, s->datagram->cipher_size);
    struct kdnet_plaintext out;
    tvbuff_t *plain;
    int size;

    if (kdnet_open(s->record->cipher, s->datagram, plaintext, &out, false) != KDNET_OK) {
        col_set_str(s->pinfo->cinfo, COL_INFO, "Authentic, but with an impossible pad length");
        return;
    }
    size = (int)s->datagram->cipher_size;
    plain = tvb_new_child_real_data(s->tvb, plaintext, (unsigned)size, size);
    add_new_data_source(s->pinfo, plain, "Decrypted KDNET");
    show_plaintext(s, plain, &out);
    show_body(s, tvb_new_subset_length(plain, (int)out.body_offset, (int)out.body_size));
    if (s->datagram->kind == KDNET_KIND_VERSION)
        col_append_fstr(s->pinfo->cinfo, COL_INFO, " (WinDbg refuses version %u)",
                        s->datagram->version);
}

static const char *why_sealed(const struct showing *s)
{
    if (s->record->remarks & KDNET_REMARK_CUT)
        return "cut by the capture";
    if (s->record->remarks & KDNET_REMARK_NO_KEY)
        return "no key";
    if (s->record->remarks & KDNET_REMARK_NO_SESSION)
        return "no session key";
    return s->datagram->control || s->datagram->v1 ? "wrong key" : "wrong tag";
}

static void show_sealed(const struct showing *s)
{
    bool junk = s->record->content == KDNET_CONTENT_JUNK;

    if (junk)
        col_add_fstr(s->pinfo->cinfo, COL_INFO, "Not KDNET, %zu bytes", s->datagram->size);
    else
        col_add_fstr(s->pinfo->cinfo, COL_INFO, "Encrypted %s, version %u, %u bytes (%s)",
                     s->datagram->control ? "control" : "data", s->datagram->version,
                     tvb_reported_length(s->tvb), why_sealed(s));
}

static void show_datagram(struct showing *s)
{
    bool looked_at = proto_field_is_referenced(s->top, proto_kdnet);

    col_set_str(s->pinfo->cinfo, COL_PROTOCOL, "KDNET");
    s->item = proto_tree_add_item(s->top, proto_kdnet, s->tvb, 0, -1, ENC_NA);
    if (looked_at) {
        s->tree = proto_item_add_subtree(s->item, ett_kdnet);
        if (s->datagram->kind != KDNET_KIND_OTHER)
            show_header(s);
        show_session(s);
    }
    expert_all(s);
    if (PINFO_FD_VISITED(s->pinfo) && s->record->content == KDNET_CONTENT_POKE &&
        !s->record->response)
        kd_expert_add(s->pinfo, s->item, KD_FINDING_NET_UNANSWERED);
    if (s->record->cipher)
        show_opened(s);
    else if (s->record->content == KDNET_CONTENT_PLAIN)
        show_kd(s, s->tvb);
    else if (s->record->content == KDNET_CONTENT_ANNOUNCE)
        show_announce(s, s->tvb);
    else
        show_sealed(s);
}

static struct kdnet_record *see_datagram(tvbuff_t *tvb, packet_info *pinfo,
                                         const struct kdnet_datagram *datagram)
{
    if (is_cut(tvb))
        return kdnet_session_see_cut(datagram);
    if (datagram->kind == KDNET_KIND_OTHER)
        return kdnet_session_see_plain(pinfo, datagram->bytes, datagram->size);
    return kdnet_session_see(pinfo, datagram);
}

static int dissect_kdnet(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data _U_)
{
    size_t size = tvb_captured_length(tvb);
    uint32_t key = pinfo->curr_layer_num;
    struct kdnet_record *record = p_get_proto_data(wmem_file_scope(), pinfo, proto_kdnet, key);
    struct kdnet_datagram datagram;
    struct showing s = {.pinfo = pinfo, .top = tree, .tvb = tvb, .datagram = &datagram};

    kdnet_classify(tvb_get_ptr(tvb, 0, (int)size), size, &datagram);
    if (!record) {
        record = see_datagram(tvb, pinfo, &datagram);
        p_add_proto_data(wmem_file_scope(), pinfo, proto_kdnet, key, record);
    }
    s.record = record;
    show_datagram(&s);
    return (int)tvb_captured_length(tvb);
}

/* --- Entry ---------------------------------------------------------------------------------------
 */

/* The announce of a target without a key: a number with bit 63 set, then the debugger's address
 * reversed. */
static bool is_plain_announce(tvbuff_t *tvb, const packet_info *pinfo)
{
    const uint8_t *to = pinfo->dst.data;

    return tvb_captured_length(tvb) == sizeof(struct kd_kdnet_announce) &&
           pinfo->dst.type == AT_IPv4 && (tvb_get_uint8(tvb, 7) & 0x80) &&
           tvb_get_uint8(tvb, 8) == to[3] && tvb_get_uint8(tvb, 9) == to[2] &&
           tvb_get_uint8(tvb, 10) == to[1] && tvb_get_uint8(tvb, 11) == to[0];
}

/* Whether a first datagram is KDNET or unencrypted KD beyond reasonable doubt. */
static bool is_kdnet(tvbuff_t *tvb)
{
    size_t size = tvb_captured_length(tvb);
    const uint8_t *bytes;
    struct kdnet_datagram datagram;
    struct kd_frame frame;

    if (size < KD_HEADER_SIZE)
        return false;
    bytes = tvb_get_ptr(tvb, 0, (int)size);
    switch (kdnet_classify(bytes, size, &datagram)) {
    case KDNET_KIND_CONTROL:
    case KDNET_KIND_DATA:
        return true;
    case KDNET_KIND_VERSION:
        return datagram.cipher_size > 0;
    case KDNET_KIND_V1:
        return bytes[offsetof(struct kd_kdnet_v1_header, pad_length)] <= 15;
    case KDNET_KIND_OTHER:
        kd_frame_datagram(bytes, size, &frame);
        return frame.kind == KD_FRAME_PACKET && frame.size == size && !frame.flags;
    case KDNET_KIND_LENGTH:
        return is_cut(tvb) && datagram.version >= 2;
    default:
        return false;
    }
}

static kdlens_bool heuristic_kdnet(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    if (!is_kdnet(tvb) && !is_plain_announce(tvb, pinfo))
        return false;
    conversation_set_dissector_from_frame_number(find_or_create_conversation(pinfo), pinfo->num,
                                                 handle_kdnet);
    dissect_kdnet(tvb, pinfo, tree, data);
    return true;
}

/* Ports are a hint: what does not look like KDNET is left to others until the conversation is
 * claimed. */
static int dissect_port(tvbuff_t *tvb, packet_info *pinfo, proto_tree *tree, void *data)
{
    return heuristic_kdnet(tvb, pinfo, tree, data) ? (int)tvb_captured_length(tvb) : 0;
}

static void register_fields(void)
{
    static hf_register_info hf[] = {
        {&hf_from_debugger,
         {"Sent by the debugger", "kdnet.from_debugger", FT_BOOLEAN, BASE_NONE, NULL, 0,
          "Sealed with the datagram", HFILL}},
        {&hf_sequence,
         {"Sequence number", "kdnet.sequence", FT_UINT64, BASE_DEC, NULL, 0, NULL, HFILL}},
        {&hf_missing,
         {"Missing before", "kdnet.missing", FT_UINT32, BASE_DEC, NULL, 0,
          "Sequence numbers skipped before this one", HFILL}},
        {&hf_pad, {"Pad", "kdnet.pad", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_body, {"Body", "kdnet.body", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_ciphertext,
         {"Ciphertext", "kdnet.ciphertext", FT_BYTES, BASE_NONE, NULL, 0, NULL, HFILL}},
        {&hf_tag,
         {"Tag", "kdnet.tag", FT_BYTES, BASE_NONE, NULL, 0,
          "First half of HMAC-SHA256, and the initialization vector", HFILL}},
        {&hf_authentic,
         {"Authentic", "kdnet.authentic", FT_BOOLEAN, BASE_NONE, NULL, 0,
          "The tag fits a known key", HFILL}},
        {&hf_session,
         {"Session", "kdnet.session", FT_UINT32, BASE_DEC, NULL, 0,
          "Sessions between these addresses, from 1", HFILL}},
        {&hf_session_frame,
         {"Session key from frame", "kdnet.session.frame", FT_FRAMENUM, BASE_NONE, NULL, 0, NULL,
          HFILL}},
        {&hf_poke_in,
         {"Answers the poke of frame", "kdnet.poke_in", FT_FRAMENUM, BASE_NONE,
          FRAMENUM_TYPE(FT_FRAMENUM_REQUEST), 0, NULL, HFILL}},
        {&hf_response_in,
         {"Response in frame", "kdnet.response_in", FT_FRAMENUM, BASE_NONE,
          FRAMENUM_TYPE(FT_FRAMENUM_RESPONSE), 0, NULL, HFILL}},
        {&hf_announce,
         {"Announce", "kdnet.announce", FT_BOOLEAN, BASE_NONE, NULL, 0,
          "The target says that it is connected", HFILL}},
        {&hf_replay,
         {"Replay", "kdnet.replay", FT_BOOLEAN, BASE_NONE, NULL, 0, "The receiver drops it",
          HFILL}},
    };

    proto_register_field_array(proto_kdnet, hf, array_length(hf));
}

void proto_register_kdnet(void)
{
    static int *ett[] = {&ett_kdnet};

    proto_kdnet = proto_register_protocol("Windows Kernel Debugger over UDP", "KDNET", "kdnet");
    register_fields();
    kd_experts_register(kd_proto(), proto_kdnet);
    proto_register_subtree_array(ett, array_length(ett));
    handle_kdnet = register_dissector("kdnet", dissect_kdnet, proto_kdnet);
    kdnet_keys_register(prefs_register_protocol(proto_kdnet, NULL));
    kdnet_session_register(proto_kdnet);
}

void proto_reg_handoff_kdnet(void)
{
    dissector_handle_t by_port = create_dissector_handle(dissect_port, proto_kdnet);

    dissector_add_uint_range_with_preference("udp.port", PORTS, by_port);
    heur_dissector_add("udp", heuristic_kdnet, "Kernel Debugger over UDP", "kdnet_udp", proto_kdnet,
                       HEURISTIC_ENABLE);
}
