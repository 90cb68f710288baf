/* replay.c - the target's end of the link, and where in the script it is. See analysis/replay.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * TELLS    says the next line as soon as the one before has arrived; a stop -> STOPPED, a prompt ->
 *          PROMPTS, none left -> RUNS
 * STOPPED  serves requests; Continue -> TELLS
 * PROMPTS  waits for the debugger's answer -> TELLS
 * RUNS     for ever; a break-in or a request gives the last stop again -> STOPPED
 */
#include "analysis/replay.h"

#include <stdlib.h>
#include <string.h>

#include "replay_parts.h"

#define MANIPULATE (UINT32_C(1) << KD_PACKET_STATE_MANIPULATE)
#define DEBUG_IO   (UINT32_C(1) << KD_PACKET_DEBUG_IO)

const struct script_line *replay_stop(const struct kda_replay *replay)
{
    return script_line(replay->script, replay->stop);
}

const struct kda_replay_tally *kda_replay_tally(const struct kda_replay *replay)
{
    return &replay->tally;
}

/* --- where to begin */

/* SIZE_MAX: there is no such stop. */
static size_t find_stop(const struct kda_script *script, const struct kda_replay_config *config)
{
    const struct script_line *line;
    size_t found = SIZE_MAX;

    for (size_t i = 0; (line = script_line(script, i)); i++) {
        if (line->kind != LINE_STOP)
            continue;
        if (config->stop ? line->number <= config->stop && line->last >= config->stop
                         : line->frame <= config->at)
            found = i;
    }
    return found;
}

/* A stop that the recorded debugger never took note of has no answers: nothing was captured there,
 * and WinDbg gives up where it can read nothing. */
static bool is_left_out(const struct kda_replay *replay, size_t i)
{
    bool chosen = replay->config.stop || replay->config.at;

    return script_line(replay->script, i)->unseen && !(chosen && i == replay->first);
}

static const char *choose_start(struct kda_replay *replay)
{
    const struct kda_replay_config *config = &replay->config;
    const struct script_line *line;

    if (config->stop || config->at) {
        replay->first = find_stop(replay->script, config);
        if (replay->first != SIZE_MAX)
            return NULL;
        return config->stop ? "the recording has no such stop (kdlens stops lists them)"
                            : "the target has not stopped before that frame (see kdlens stops)";
    }
    for (replay->first = 0; (line = script_line(replay->script, replay->first));)
        if (line->kind == LINE_STOP && !line->unseen)
            break;
        else
            replay->first++;
    if (!line)
        return kda_script_narrow(replay->script)
                   ? "the target spoke KD's 32-bit protocol (before version 5), which is not acted"
                   : "the target never stopped in it";
    replay->stop = replay->first;
    replay->first = 0;
    return NULL;
}

struct kda_replay *kda_replay_new(const struct kda_model *model, const struct kda_script *script,
                                  struct kda_store *store, const struct kda_replay_config *config,
                                  const struct kda_replay_events *events, void *context,
                                  const char **why)
{
    struct kda_replay *replay = calloc(1, sizeof *replay);

    *why = "out of memory";
    if (!replay)
        return NULL;
    replay->model = model;
    replay->script = script;
    replay->store = store;
    replay->config = *config;
    replay->events = *events;
    replay->context = context;
    *why = choose_start(replay);
    if (!*why)
        return replay;
    free(replay);
    return NULL;
}

void kda_replay_free(struct kda_replay *replay)
{
    if (!replay)
        return;
    kda_memory_free(replay->written[0]);
    kda_memory_free(replay->written[1]);
    list_free(&replay->kept);
    free(replay);
}

/* --- saying */

static void tell(struct kda_replay *replay, enum kda_replay_news news)
{
    const struct script_line *stop = replay_stop(replay);

    replay->events.news(replay->context, news, stop->number, stop->frame);
}

static void write_packet(struct kda_replay *replay, uint64_t now,
                         const struct kd_link_action *action)
{
    size_t size = kd_frame_encode(replay->packet, sizeof replay->packet, action->type, action->id,
                                  action->payload, action->size, true);

    replay->events.send(replay->context, replay->packet, size);
    if (action->kind == KD_LINK_SEND_DATA)
        kd_link_sent(&replay->link, now);
}

/* A debugger has one request outstanding: a newer one takes the place of one not yet served. */
static void deliver(struct kda_replay *replay, const struct kd_link_action *action)
{
    struct replay_inbox *inbox = &replay->inbox;

    inbox->full = true;
    inbox->type = action->type;
    inbox->size = smaller(action->size, sizeof inbox->payload);
    memcpy(inbox->payload, action->payload, inbox->size);
}

static bool is_continue(const struct replay_inbox *inbox)
{
    const struct kd_manipulate_header *header = (const struct kd_manipulate_header *)inbox->payload;
    uint32_t api = kd_get32(header->api_number);

    return inbox->type == KD_PACKET_STATE_MANIPULATE && inbox->size >= KD_MANIPULATE_DATA &&
           (api == KD_API_CONTINUE || api == KD_API_CONTINUE2);
}

/* WinDbg's engine that RESETs the link while its Continue is obeyed sends it once more before it
 * takes the state change. It is not for this stop; should it be after all, the state change that
 * follows says that the target has not moved. */
static void forget_continue(struct kda_replay *replay)
{
    if (replay->unheard && replay->renewed && replay->inbox.full && is_continue(&replay->inbox)) {
        replay->inbox.full = false;
        replay->again = true;
    }
    replay->unheard = false;
}

static void arrived(struct kda_replay *replay, enum kd_packet_type type)
{
    if (!replay->attached)
        tell(replay, KDA_REPLAY_ATTACHED);
    replay->attached = true;
    if (type == KD_PACKET_STATE_CHANGE64)
        forget_continue(replay);
}

/* A state change on its way is sent again by the link. */
static void wanted_again(struct kda_replay *replay)
{
    if (!replay->link.sending || replay->link.type != KD_PACKET_STATE_CHANGE64)
        replay->again = true;
}

static void began_anew(struct kda_replay *replay, uint64_t now)
{
    replay->inbox.full = false;
    replay->renewed = true;
    if (replay->state != REPLAY_STOPPED)
        wanted_again(replay);
    else if (!replay->link.sending && replay->awaited_at == UINT64_MAX)
        replay->awaited_at = now + KD_LINK_RESET_GRACE_US;
}

static void carry_out(struct kda_replay *replay, uint64_t now, const struct kd_link_action *action)
{
    switch (action->kind) {
    case KD_LINK_SEND_CONTROL:
    case KD_LINK_SEND_DATA:
        write_packet(replay, now, action);
        break;
    case KD_LINK_DELIVER:
        deliver(replay, action);
        break;
    case KD_LINK_SENT_OK:
        arrived(replay, action->type);
        break;
    case KD_LINK_RESET_SEEN:
        began_anew(replay, now);
        break;
    case KD_LINK_BREAKIN:
    case KD_LINK_RESEND_SEEN:
        wanted_again(replay);
        break;
    case KD_LINK_FLUSH:
        replay->flush = true;
        break;
    case KD_LINK_GAVE_UP: /* a reply, after RESET; retry_limit leaves no time for others */
        break;
    }
}

static void carry_out_all(struct kda_replay *replay, uint64_t now,
                          const struct kd_link_actions *actions)
{
    for (size_t i = 0; i < actions->count; i++)
        carry_out(replay, now, &actions->list[i]);
}

static void send(struct kda_replay *replay, uint64_t now, enum kd_packet_type type, size_t size)
{
    struct kd_link_actions actions;

    if (kd_link_send(&replay->link, now, type, replay->message, size, &actions))
        carry_out_all(replay, now, &actions);
}

/* False: the store cannot be read; the line is left out. */
static bool say(struct kda_replay *replay, uint64_t now, const struct script_line *line)
{
    bool stop = line->kind == LINE_STOP;

    if (!kda_store_read(replay->store, line->payload.at, replay->message, line->payload.size))
        return false;
    kd_link_accept(&replay->link, line->kind == LINE_PROMPT ? DEBUG_IO : MANIPULATE);
    send(replay, now, stop ? KD_PACKET_STATE_CHANGE64 : KD_PACKET_DEBUG_IO, line->payload.size);
    return true;
}

static void say_next(struct kda_replay *replay, uint64_t now)
{
    const struct script_line *line = script_line(replay->script, replay->line);

    while (line && is_left_out(replay, replay->line))
        line = script_line(replay->script, ++replay->line);
    if (!line) {
        replay->state = REPLAY_RUNS;
        tell(replay, KDA_REPLAY_ENDS);
        return;
    }
    /* What was asked before belongs to the stop before. */
    replay->inbox.full = false;
    replay->again = false;
    replay->awaited_at = UINT64_MAX;
    if (line->kind == LINE_STOP)
        replay->stop = replay->line;
    replay->unheard = line->kind == LINE_STOP;
    replay->line++;
    if (!say(replay, now, line))
        return;
    if (line->kind == LINE_STOP) {
        replay->state = REPLAY_STOPPED;
        tell(replay, KDA_REPLAY_STOPS);
    } else if (line->kind == LINE_PROMPT) {
        replay->state = REPLAY_PROMPTS;
    }
}

/* --- serving */

/* What debuggers have set so far is gone. For want of memory, what they wrote stays. */
static void reboot(struct kda_replay *replay)
{
    const struct kd_link_config config = replay->link.config;

    for (unsigned i = 0; i < 2; i++) {
        struct kda_memory *fresh = kda_memory_new(replay->store);

        if (fresh) {
            kda_memory_free(replay->written[i]);
            replay->written[i] = fresh;
        }
    }
    list_free(&replay->kept);
    replay->kept = (struct list){0};
    replay->planted = 0;
    kd_link_init(&replay->link, &config);
    replay->state = REPLAY_TELLS;
    replay->line = replay->first;
    replay->attached = replay->renewed = false;
    replay->awaited_at = UINT64_MAX;
}

static void serve(struct kda_replay *replay, uint64_t now)
{
    size_t size;

    replay->inbox.full = false;
    replay->awaited_at = UINT64_MAX;
    if (replay->inbox.type != KD_PACKET_STATE_MANIPULATE || replay->inbox.size < KD_MANIPULATE_DATA)
        return;
    switch (replay_answer(replay, &size)) {
    case OUTCOME_REPLY:
        send(replay, now, KD_PACKET_STATE_MANIPULATE, size);
        break;
    case OUTCOME_GO:
        replay->state = REPLAY_TELLS;
        replay->renewed = false;
        break;
    case OUTCOME_REPORT:
        replay->again = true;
        break;
    case OUTCOME_REBOOT:
        reboot(replay);
        break;
    case OUTCOME_SILENT:
        break;
    }
}

static void report_again(struct kda_replay *replay, uint64_t now)
{
    replay->again = false;
    replay->awaited_at = UINT64_MAX;
    replay->state = REPLAY_STOPPED;
    (void)say(replay, now, replay_stop(replay));
}

/* A debugger that wants something of a target that runs wants a stop. A Continue that comes again
 * means the stop that is over. */
static bool step_running(struct kda_replay *replay, uint64_t now)
{
    if (replay->inbox.full && is_continue(&replay->inbox))
        replay->inbox.full = false;
    if (!replay->again && !replay->inbox.full)
        return false;
    report_again(replay, now);
    return true;
}

static bool step_stopped(struct kda_replay *replay, uint64_t now)
{
    if (replay->again)
        report_again(replay, now);
    else if (replay->inbox.full)
        serve(replay, now);
    else
        return false;
    return true;
}

static bool step_prompting(struct kda_replay *replay, uint64_t now)
{
    if (replay->inbox.full) {
        replay->inbox.full = false;
        replay->state = REPLAY_TELLS;
    } else if (replay->again) {
        replay->again = false;
        (void)say(replay, now, script_line(replay->script, replay->line - 1));
    } else {
        return false;
    }
    return true;
}

/* Does what can be done before something else is heard. */
static void go_on(struct kda_replay *replay, uint64_t now)
{
    bool more = true;

    while (more && !replay->link.sending) {
        switch (replay->state) {
        case REPLAY_TELLS:
            say_next(replay, now);
            break;
        case REPLAY_STOPPED:
            more = step_stopped(replay, now);
            break;
        case REPLAY_PROMPTS:
            more = step_prompting(replay, now);
            break;
        case REPLAY_RUNS:
            more = step_running(replay, now);
            break;
        }
    }
}

/* --- what comes from outside */

bool kda_replay_begin(struct kda_replay *replay, uint64_t now)
{
    static const struct kd_framing framing = {KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET};
    struct kd_link_config config;

    kd_link_defaults(&config, KD_END_TARGET, KD_IDS_SERIAL);
    /* Nothing is given up: a debugger that comes late is to hear all. */
    config.retry_limit = UINT32_MAX;
    kd_link_init(&replay->link, &config);
    kd_framer_init(&replay->framer, &framing, replay->stream, sizeof replay->stream);
    replay->inbox.full = replay->again = replay->flush = false;
    replay->tally = (struct kda_replay_tally){0};
    reboot(replay);
    if (!replay->written[0] || !replay->written[1])
        return false;
    go_on(replay, now);
    return true;
}

static void take_frames(struct kda_replay *replay, uint64_t now)
{
    struct kd_link_actions actions;
    struct kd_frame frame;
    const uint8_t *bytes;
    bool more = true;

    while (more) {
        more = kd_framer_next(&replay->framer, replay->flush, &frame, &bytes) != KD_FRAME_NEED_MORE;
        kd_link_receive(&replay->link, now, &frame, bytes, &actions);
        carry_out_all(replay, now, &actions);
        go_on(replay, now);
    }
    replay->flush = false;
}

void kda_replay_receive(struct kda_replay *replay, uint64_t now, const uint8_t *bytes, size_t size)
{
    for (size_t done = 0; done < size;) {
        done += kd_framer_push(&replay->framer, bytes + done, size - done);
        take_frames(replay, now);
    }
}

uint64_t kda_replay_deadline(const struct kda_replay *replay)
{
    uint64_t link = kd_link_deadline(&replay->link);

    return link < replay->awaited_at ? link : replay->awaited_at;
}

void kda_replay_tick(struct kda_replay *replay, uint64_t now)
{
    struct kd_link_actions actions;

    if (now < kda_replay_deadline(replay))
        return;
    if (now >= replay->awaited_at) {
        replay->awaited_at = UINT64_MAX;
        replay->again = true;
    }
    kd_link_tick(&replay->link, now, &actions);
    carry_out_all(replay, now, &actions);
    if (replay->flush)
        take_frames(replay, now);
    go_on(replay, now);
}
