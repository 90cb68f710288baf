/* merge.c - one order for two directions. See merge.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "merge.h"

#include <stddef.h>

#include "kd/describe.h"

/* How well a frame fits what was before it. */
enum fit {
    FIT_NOT,   /* something of the other end must come first */
    FIT_LATER, /* possible, but whatever else fits comes first */
    FIT_WELL,
    FIT_SOON,
    FIT_AT_ONCE /* an acknowledgement: nothing comes between */
};

static uint16_t type_of(const struct merge_head *head)
{
    return kd_get16(((const struct kd_packet_header *)head->bytes)->packet_type);
}

/* An acknowledgement has the id of its packet, without the bit that marks a new beginning. */
static uint32_t id_of(const struct merge_head *head)
{
    return kd_get32(((const struct kd_packet_header *)head->bytes)->packet_id) & ~KD_SYNC_PACKET_ID;
}

static uint32_t api_of(const struct merge_head *head)
{
    const uint8_t *payload = head->bytes + KD_HEADER_SIZE;

    return head->frame->payload < 4 ? 0 : kd_get32(*(const kd_u32 *)payload);
}

static bool has_reply(const struct merge_head *head)
{
    const struct kd_api_info *api = kd_api_find(api_of(head));

    return !api || api->answer != KD_ANSWER_SILENT;
}

/* Whether a request lets the target run. */
static bool continues(const struct merge_head *head)
{
    uint32_t api = api_of(head);

    return api == KD_API_CONTINUE || api == KD_API_CONTINUE2 || api == KD_API_REBOOT ||
           api == KD_API_CAUSE_BUGCHECK;
}

static bool prints(const struct merge_head *head)
{
    return type_of(head) == KD_PACKET_DEBUG_IO && api_of(head) == KD_API_PRINT_STRING;
}

static bool acknowledges(const struct merge *merge, enum side side, const struct merge_head *head)
{
    enum side other = side_other(side);

    return merge->unacknowledged[other] &&
           (type_of(head) == KD_PACKET_RESEND || id_of(head) == merge->ids[other]);
}

static enum fit fit_control(const struct merge *merge, enum side side,
                            const struct merge_head *head)
{
    uint16_t type = type_of(head);

    if (type == KD_PACKET_RESET && side == SIDE_TARGET)
        return merge->resetting ? FIT_WELL : FIT_LATER;
    if (type == KD_PACKET_RESET)
        return FIT_SOON;
    if (acknowledges(merge, side, head))
        return FIT_AT_ONCE;
    return id_of(head) == merge->ids[side_other(side)] ? FIT_LATER : FIT_NOT;
}

/* Whether it is the side's last packet again: ids of packets that follow each other differ. */
static bool is_again(const struct merge *merge, enum side side, const struct merge_head *head)
{
    return merge->repeats[side] || id_of(head) == merge->ids[side];
}

static enum fit fit_data(const struct merge *merge, enum side side, const struct merge_head *head)
{
    uint16_t type = type_of(head);

    if (is_again(merge, side, head))
        return FIT_SOON;
    if (merge->unacknowledged[side])
        return FIT_NOT;
    if (merge->asked && side != merge->asker)
        return type == merge->asked ? FIT_WELL : FIT_LATER;
    if (merge->asked)
        return FIT_NOT;
    if (side == SIDE_DEBUGGER)
        return type == KD_PACKET_STATE_MANIPULATE && merge->stopped ? FIT_WELL : FIT_NOT;
    if (type == KD_PACKET_STATE_MANIPULATE || merge->stopped)
        return FIT_NOT;
    return FIT_WELL;
}

static enum fit fit(const struct merge *merge, enum side side, const struct merge_head *head)
{
    if (!head->frame)
        return FIT_NOT;
    if (head->frame->kind == KD_FRAME_NOISE)
        return FIT_AT_ONCE;
    if (head->frame->kind == KD_FRAME_BREAKIN)
        return FIT_SOON;
    if (kd_is_control(type_of(head)))
        return fit_control(merge, side, head);
    return fit_data(merge, side, head);
}

static void see_control(struct merge *merge, enum side side, const struct merge_head *head)
{
    if (type_of(head) == KD_PACKET_RESET) {
        *merge = (struct merge){.resetting = side == SIDE_DEBUGGER};
    } else if (acknowledges(merge, side, head)) {
        merge->unacknowledged[side_other(side)] = false;
        merge->repeats[side_other(side)] = type_of(head) == KD_PACKET_RESEND;
    }
}

static void see_data(struct merge *merge, enum side side, const struct merge_head *head)
{
    uint16_t type = type_of(head);

    if (is_again(merge, side, head)) {
        merge->unacknowledged[side] = merge->unacknowledged[side] || merge->repeats[side];
        merge->repeats[side] = false;
        return;
    }
    merge->unacknowledged[side] = true;
    merge->ids[side] = id_of(head);
    if (merge->asked && side != merge->asker && type == merge->asked) {
        merge->asked = 0;
        return;
    }
    if (type == KD_PACKET_STATE_CHANGE32 || type == KD_PACKET_STATE_CHANGE64) {
        merge->stopped = true;
        merge->asked = 0;
    } else if (type == KD_PACKET_STATE_MANIPULATE && !has_reply(head)) {
        merge->stopped = merge->stopped && !continues(head);
    } else if (type == KD_PACKET_STATE_MANIPULATE || type == KD_PACKET_FILE_IO ||
               (type == KD_PACKET_DEBUG_IO && !prints(head))) {
        merge->asked = type;
        merge->asker = side;
    }
}

enum side merge_choose(struct merge *merge, const struct merge_head heads[2])
{
    enum fit target = fit(merge, SIDE_TARGET, &heads[SIDE_TARGET]);
    enum fit debugger = fit(merge, SIDE_DEBUGGER, &heads[SIDE_DEBUGGER]);
    enum side side = debugger > target ? SIDE_DEBUGGER : SIDE_TARGET;
    const struct merge_head *head;

    if (!heads[side].frame)
        side = side_other(side);
    head = &heads[side];
    if (head->frame->kind == KD_FRAME_PACKET && kd_is_control(type_of(head)))
        see_control(merge, side, head);
    else if (head->frame->kind == KD_FRAME_PACKET)
        see_data(merge, side, head);
    return side;
}
