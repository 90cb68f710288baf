/* kd-timeline.c - stops, time and bytes of one KD connection. See kd-timeline.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * A target is stopped from a state change until a request lets it go on. Packets that change
 * nothing (repetitions, what the receiver drops) count as time that passed, and as nothing else.
 */
#include "kd-timeline.h"

#include "kd-mode.h"

static uint32_t stream_count; /* of the capture that is open */

static int hf_stream = -1;
static int hf_stopped = -1;
static int hf_outstanding = -1;

const value_string kd_stop_end_names[] = {
    {KD_STOP_OPEN, "end of capture"},
    {KD_STOP_GO, "go"},
    {KD_STOP_STEP, "step"},
    {KD_STOP_REBOOT, "reboot"},
    {KD_STOP_BUGCHECK, "bug check"},
    {KD_STOP_REPLACED, "next stop"},
    {0, NULL},
};

/* A request that waits for its reply; one of each side at most. */
struct open_request {
    const struct kd_packet *packet;
    uint32_t bytes;
};

struct kd_timeline {
    bool numbered;
    uint32_t stream;
    nstime_t last;                  /* time of the unit before */
    struct kd_stop *stop;           /* that holds the target now */
    struct open_request waiting[3]; /* by enum kd_flow of the request */
};

struct kd_timeline *kd_timeline_new(void)
{
    return wmem_new0(wmem_file_scope(), struct kd_timeline);
}

uint32_t kd_timeline_count(void)
{
    return stream_count;
}

/* How a request of the debugger ends a stop; OPEN: it does not. */
static enum kd_stop_end end_of(uint32_t api)
{
    switch (api) {
    case KD_API_CONTINUE:
    case KD_API_CONTINUE2:
        return KD_STOP_GO;
    case KD_API_REBOOT:
        return KD_STOP_REBOOT;
    case KD_API_CAUSE_BUGCHECK:
        return KD_STOP_BUGCHECK;
    default:
        return KD_STOP_OPEN;
    }
}

/* The control set begins with the trace flag behind ContinueStatus (x86, x64), on ARM64 another
 * four bytes later. */
bool kd_timeline_is_step(enum kd_arch arch, const uint8_t *body, size_t size)
{
    const struct kd_arch_info *info = kd_arch_info(arch);
    const kd_u32 *words = (const kd_u32 *)body;
    bool arm = info && info->control_set == KD_LAYOUT_control_set_arm64;
    size_t word = arm ? 2 : 1;

    if (info && !arm && info->control_set != KD_LAYOUT_control_set_amd64 &&
        info->control_set != KD_LAYOUT_control_set_x86)
        return false;
    return size >= (word + 1) * sizeof *words && (kd_get32(words[word]) & 1);
}

static void end_stop(struct kd_timeline *timeline, enum kd_stop_end end)
{
    if (timeline->stop)
        timeline->stop->end = (uint8_t)end;
    timeline->stop = NULL;
}

static void begin_stop(struct kd_timeline *timeline, const packet_info *pinfo,
                       const struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    struct kd_stop *stop = wmem_new0(wmem_file_scope(), struct kd_stop);

    end_stop(timeline, KD_STOP_REPLACED);
    stop->change = packet;
    stop->last = packet->frame;
    stop->time = pinfo->rel_ts;
    if (packet->type == KD_PACKET_STATE_CHANGE64 && size >= sizeof *change)
        stop->processor = kd_get16(change->processor);
    if (packet->type == KD_PACKET_STATE_CHANGE64 && size > KD_STATE_CHANGE_REPORT)
        stop->mode =
            (uint8_t)kd_mode_of_report((enum kd_arch)packet->arch, payload + KD_STATE_CHANGE_REPORT,
                                       size - KD_STATE_CHANGE_REPORT);
    timeline->stop = stop;
}

static bool is_memory(enum kd_data_kind kind)
{
    return kind == KD_DATA_MEMORY || kind == KD_DATA_PHYSICAL;
}

static void count_reply(struct kd_stop *stop, const struct kd_packet *reply)
{
    const struct kd_api_info *api = kd_api_find(reply->api);

    if (!stop || !api || reply->status != KD_NT(STATUS_SUCCESS))
        return;
    if (is_memory(api->reply))
        stop->read += reply->count;
    else if (is_memory(api->request))
        stop->written += reply->count;
}

static void ask(struct kd_timeline *timeline, const struct kd_packet *packet, uint32_t bytes)
{
    struct open_request *open = &timeline->waiting[packet->flow];

    open->packet = packet;
    open->bytes = bytes;
}

/* The reply may come to a repetition; then the bytes of the first are not waited for either. */
static void answer(struct kd_timeline *timeline, const struct kd_packet *packet)
{
    enum kd_flow other =
        packet->flow == KD_FLOW_TO_TARGET ? KD_FLOW_TO_DEBUGGER : KD_FLOW_TO_TARGET;
    struct open_request *open = &timeline->waiting[other];

    if (open->packet && open->packet->type == packet->type && open->packet->api == packet->api)
        open->packet = NULL;
}

static void see_manipulate(struct kd_timeline *timeline, const struct kd_packet *packet,
                           const uint8_t *payload, size_t size)
{
    enum kd_stop_end end = end_of(packet->api);
    size_t body = packet->flags & KD_PKT_PROTOCOL32 ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;

    if (packet->flow == KD_FLOW_TO_DEBUGGER) {
        count_reply(timeline->stop, packet);
        answer(timeline, packet);
        return;
    }
    ask(timeline, packet, packet->requested);
    if (timeline->stop && !(packet->flags & KD_PKT_REPEATED))
        timeline->stop->requests++;
    if (packet->api == KD_API_CONTINUE2 && size > body &&
        kd_timeline_is_step((enum kd_arch)packet->arch, payload + body, size - body))
        end = KD_STOP_STEP;
    if (end != KD_STOP_OPEN)
        end_stop(timeline, end);
}

static void see_file_io(struct kd_timeline *timeline, const struct kd_packet *packet,
                        const uint8_t *payload, size_t size)
{
    const struct kd_read_write_file *file =
        (const struct kd_read_write_file *)(payload + KD_FILE_IO_UNION);
    bool moves = packet->api == KD_API_READ_FILE || packet->api == KD_API_WRITE_FILE;

    if (packet->flow == KD_FLOW_TO_TARGET)
        answer(timeline, packet);
    else
        ask(timeline, packet, moves && size >= KD_FILE_IO_DATA ? kd_get32(file->length) : 0);
}

static void forget_requests(struct kd_timeline *timeline)
{
    for (size_t i = 0; i < array_length(timeline->waiting); i++)
        timeline->waiting[i].packet = NULL;
}

static void see_packet(struct kd_timeline *timeline, const packet_info *pinfo,
                       const struct kd_packet *packet, const uint8_t *payload, size_t size)
{
    if (packet->flags & (KD_PKT_IGNORED | KD_PKT_RETRANSMISSION))
        return;
    switch (packet->type) {
    case KD_PACKET_RESET:
        forget_requests(timeline);
        break;
    case KD_PACKET_STATE_CHANGE64:
    case KD_PACKET_STATE_CHANGE32:
        forget_requests(timeline);
        begin_stop(timeline, pinfo, packet, payload, size);
        break;
    case KD_PACKET_STATE_MANIPULATE:
        see_manipulate(timeline, packet, payload, size);
        break;
    case KD_PACKET_FILE_IO:
        see_file_io(timeline, packet, payload, size);
        break;
    default:
        break;
    }
}

static void number(struct kd_timeline *timeline)
{
    if (timeline->numbered)
        return;
    timeline->numbered = true;
    timeline->stream = stream_count++;
}

/* Time passes for the stop that held the target before this unit. Clocks may go back. */
static void pass_time(struct kd_timeline *timeline, const packet_info *pinfo,
                      struct kd_moment *moment)
{
    struct kd_stop *stop = timeline->stop;

    moment->stop = stop;
    nstime_set_unset(&moment->stopped);
    if (stop) {
        nstime_delta(&moment->stopped, &pinfo->abs_ts, &timeline->last);
        if (moment->stopped.secs < 0 || moment->stopped.nsecs < 0)
            nstime_set_zero(&moment->stopped);
        nstime_add(&stop->duration, &moment->stopped);
        stop->last = pinfo->num;
    }
    timeline->last = pinfo->abs_ts;
}

void kd_timeline_see(struct kd_timeline *timeline, const packet_info *pinfo,
                     const struct kd_packet *packet, const uint8_t *payload, size_t size,
                     struct kd_moment *moment)
{
    number(timeline);
    pass_time(timeline, pinfo, moment);
    if (packet)
        see_packet(timeline, pinfo, packet, payload, size);
    if (timeline->stop && timeline->stop != moment->stop) {
        moment->before = moment->stop;
        moment->stop = timeline->stop;
    }
    moment->stream = timeline->stream;
    for (size_t i = 0; i < array_length(timeline->waiting); i++)
        if (timeline->waiting[i].packet)
            moment->outstanding += timeline->waiting[i].bytes;
}

void kd_moment_show(tvbuff_t *tvb, proto_tree *tree, const struct kd_moment *moment)
{
    proto_item *item;

    if (!tree)
        return;
    item = proto_tree_add_uint(tree, hf_stream, tvb, 0, 0, moment->stream);
    proto_item_set_generated(item);
    if (!nstime_is_unset(&moment->stopped)) {
        item = proto_tree_add_time(tree, hf_stopped, tvb, 0, 0, &moment->stopped);
        proto_item_set_generated(item);
    }
    if (moment->outstanding) {
        item = proto_tree_add_uint(tree, hf_outstanding, tvb, 0, 0, moment->outstanding);
        proto_item_set_generated(item);
    }
}

static void open_capture(void)
{
    stream_count = 0;
}

void kd_timeline_register(int proto)
{
    static hf_register_info hf[] = {
        {&hf_stream,
         {"Stream", "kd.stream", FT_UINT32, BASE_DEC, NULL, 0,
          "Number of the connection (line, pipe, KDNET session) in this capture, from 0", HFILL}},
        {&hf_stopped,
         {"Time stopped", "kd.time_stopped", FT_RELATIVE_TIME, BASE_NONE, NULL, 0,
          "Time since the packet before, when the target was stopped then: the sum is the time "
          "that "
          "the target stood still",
          HFILL}},
        {&hf_outstanding,
         {"Bytes outstanding", "kd.bytes_outstanding", FT_UINT32, BASE_DEC, NULL, 0,
          "Bytes of memory and files that were asked for and have not come yet", HFILL}},
    };

    proto_register_field_array(proto, hf, array_length(hf));
    register_init_routine(open_capture);
}
