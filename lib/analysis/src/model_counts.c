/* model_counts.c - how much of everything. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "model_parts.h"

#define TYPES 16u

static struct kda_api_count *count_of(struct kda_counts *counts, uint32_t api)
{
    uint32_t number = api - KD_API_READ_VIRTUAL_MEMORY;

    return number < KDA_APIS ? &counts->apis[number] : NULL;
}

static void count_reply(struct kda_api_count *count, const struct kda_event *event)
{
    uint64_t taken;

    count->replies++;
    count->refused += event->packet->message.status >= FAILED_STATUS;
    if (event->packet->message.status < FAILED_STATUS)
        count->bytes += event->packet->message.count ? event->packet->message.count
                        : event->payload_size > KD_MANIPULATE_DATA
                            ? event->payload_size - KD_MANIPULATE_DATA
                            : 0;
    if (!event->request || event->time < event->request->time)
        return;
    taken = event->time - event->request->time;
    count->answered++;
    count->total_time += taken;
    if (taken >= count->longest) {
        count->longest = taken;
        count->longest_frame = event->request->frame;
    }
}

static void count_manipulate(struct kda_counts *counts, const struct kda_event *event)
{
    struct kda_api_count *count = count_of(counts, event->packet->message.api);

    if (!count) {
        counts->unknown_apis++;
        return;
    }
    if (event->packet->flags & KDA_REPEATED)
        count->repeated += event->flow == KD_FLOW_TO_TARGET;
    else if (event->flow == KD_FLOW_TO_TARGET)
        count->requests++;
    else if (event->flow == KD_FLOW_TO_DEBUGGER)
        count_reply(count, event);
}

static void count_io(struct kda_counts *counts, const struct kda_event *event)
{
    uint32_t api = event->packet->message.api;

    if (event->flow != KD_FLOW_TO_DEBUGGER)
        return;
    if (event->packet->type == KD_PACKET_FILE_IO && api - KD_API_CREATE_FILE < 4)
        counts->file_requests[api - KD_API_CREATE_FILE]++;
    else if (event->packet->type == KD_PACKET_DEBUG_IO && api == KD_API_GET_STRING)
        counts->prompts++;
}

static void count_packet(struct kda_counts *counts, const struct kda_event *event)
{
    const struct kda_packet *packet = event->packet;

    counts->packets[event->flow][packet->type % TYPES]++;
    counts->damaged[event->flow] += (packet->flags & KDA_DAMAGED) != 0;
    counts->repeated[event->flow] += (packet->flags & KDA_REPEATED) != 0;
    if (packet->flags & KDA_DAMAGED)
        return;
    if (packet->type == KD_PACKET_STATE_MANIPULATE)
        count_manipulate(counts, event);
    else if (!(packet->flags & KDA_REPEATED))
        count_io(counts, event);
}

void model_count(struct kda_model *model, const struct kda_event *event)
{
    struct kda_counts *counts = &model->counts;

    if (counts->events++ == 0) {
        counts->first_frame = event->frame;
        counts->first_time = event->time;
    }
    counts->last_frame = event->frame;
    counts->last_time = event->time;
    counts->bytes[event->flow] += event->size;
    switch (event->kind) {
    case KDA_PACKET:
        count_packet(counts, event);
        break;
    case KDA_BREAKIN:
        counts->breakins[event->flow]++;
        break;
    case KDA_NOISE:
        counts->noise[event->flow]++;
        counts->noise_bytes[event->flow] += event->size;
        break;
    case KDA_DATAGRAM:
        counts->datagrams[event->datagram->kind]++;
        break;
    case KDA_GAP:
        counts->gaps++;
        counts->gap_bytes += event->gap == KDA_GAP_BYTES ? event->missing : 0;
        break;
    case KDA_NEVER:
        break;
    }
}

/* The time between the last stop that is known to be over and the end says nothing. */
void model_count_end(struct kda_model *model)
{
    const struct kda_stop *stop = &model->stop;

    if (model->stopped && model->counts.last_time > stop->time)
        model->counts.stopped_time += model->counts.last_time - stop->time;
}
