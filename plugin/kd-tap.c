/* kd-tap.c - hands each unit to the taps. See kd-tap.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "kd-tap.h"

static int tap_kd = -1;
static int tap_follow = -1;
static int tap_export = -1;

bool kd_tapped_is_new(const struct kd_tapped *tapped)
{
    const struct kd_packet *packet = tapped->unit->packet;

    return packet && !(packet->flags & (KD_PKT_IGNORED | KD_PKT_RETRANSMISSION));
}

struct kd_view kd_tapped_view(const struct kd_tapped *tapped, packet_info *pinfo)
{
    struct kd_view view = {pinfo, tapped->session, tapped->unit->packet};

    return view;
}

static bool is_text(const struct kd_tapped *tapped)
{
    return kd_tapped_is_new(tapped) && tapped->unit->packet->type == KD_PACKET_DEBUG_IO &&
           tapped->size >= KD_DEBUG_IO_TEXT;
}

static void queue(int tap, packet_info *pinfo, const struct kd_tapped *tapped)
{
    if (have_tap_listener(tap))
        tap_queue_packet(tap, pinfo, wmem_memdup(pinfo->pool, tapped, sizeof *tapped));
}

void kd_tap_unit(tvbuff_t *tvb, packet_info *pinfo, const struct kd_session *session,
                 const struct kd_unit *unit)
{
    struct kd_tapped tapped = {
        .session = session, .unit = unit, .revisited = PINFO_FD_VISITED(pinfo)};

    if (!tapped.revisited)
        kd_follow_see(pinfo, unit);
    if (!have_tap_listener(tap_kd) && !have_tap_listener(tap_follow) &&
        !have_tap_listener(tap_export))
        return;
    if (unit->packet && !(unit->frame.flags & KD_FRAME_BAD_CHECKSUM)) {
        tapped.length = tvb_captured_length(tvb);
        tapped.bytes = tvb_get_ptr(tvb, 0, (int)tapped.length);
        tapped.payload = tapped.bytes + KD_HEADER_SIZE;
        tapped.size = unit->frame.payload;
    }
    queue(tap_kd, pinfo, &tapped);
    if (is_text(&tapped))
        queue(tap_follow, pinfo, &tapped);
    if (unit->packet)
        queue(tap_export, pinfo, &tapped);
}

void kd_tap_register(int export_tap)
{
    tap_kd = register_tap(KD_TAP);
    tap_follow = register_tap(KD_TAP_FOLLOW);
    tap_export = export_tap;
}
