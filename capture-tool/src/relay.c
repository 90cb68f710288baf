/* relay.c - forwarding, reconnecting, and the requests of people. See relay.h for the states.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "relay.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hold.h"
#include "kd/frame.h"
#include "kd/protocol.h"
#include "lane.h"

enum end_state { END_DOWN, END_OPENING, END_UP, END_HALF };

struct relay_end {
    struct relay *relay;
    enum side side;
    const struct end *end;
    struct channel *channel;
    enum end_state state;
    bool ever;               /* it was connected once */
    uint64_t since;          /* when it was, last */
    uint64_t retry_at;       /* DOWN: UINT64_MAX is never */
    uint64_t retry_delay;    /* the next one */
    uint64_t linger_at;      /* HALF: when it is over */
    uint64_t last;           /* when bytes came from it */
    uint64_t unheard;        /* bytes from it that were dropped since the other end went */
    struct kd_framer framer; /* tells how much of a packet of its is on the way */
    uint8_t buffer[KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    char told[400]; /* why it cannot be opened, as told last */
};

struct relay {
    struct relay_config config;
    struct relay_end ends[2];
    struct hold hold;
    struct fault fault; /* when config.fault */
    bool ending;        /* as soon as the queues are empty, or at end_at */
    bool done;
    uint64_t end_at;
    int exit_status;
    unsigned markers;
    uint64_t break_in_since; /* when one was asked for; 0: none waits */
};

static struct relay_end *other_of(struct relay_end *end)
{
    return &end->relay->ends[side_other(end->side)];
}

static bool is_up(const struct relay_end *end)
{
    return end->state == END_UP || end->state == END_HALF;
}

/* --- telling */

static void begin_event(const struct relay_end *end, struct event *event, const char *name)
{
    event_begin(event, clock_wall(), name);
    event_text(event, "end", side_name(end->side));
}

static void show_end(const struct relay_end *end, const char *text)
{
    status_show(end->relay->config.status,
                end->side == SIDE_DEBUGGER ? STATUS_END_DEBUGGER : STATUS_END_TARGET, text);
}

/* --- forwarding */

/* Whether bytes of this end may be read now. */
static void update_pause(struct relay_end *end)
{
    const struct relay_end *other = other_of(end);
    const struct relay *relay = end->relay;
    bool waits = relay->config.policy == TAP_WAIT || !end_returns(end->end);
    bool paused = is_up(other) ? channel_queued(other->channel) > RELAY_QUEUE : waits;

    if (relay->config.fault)
        paused = paused || fault_waits(&relay->fault, end->side);
    channel_pause(end->channel, paused);
}

/* Bytes for the other end, in the order in which they go out. comment: as for recorder_bytes. */
static void pass(struct relay_end *from, uint64_t when, const uint8_t *bytes, size_t size,
                 const char *comment)
{
    struct relay_end *to = other_of(from);
    const struct relay *relay = from->relay;

    if (is_up(to)) {
        if (channel_write(to->channel, bytes, size) > RELAY_QUEUE)
            update_pause(from);
        recorder_bytes(relay->config.recorder, from->side, when, bytes, size, comment);
        if (to->state == END_HALF)
            to->linger_at = when + RELAY_LINGER;
        return;
    }
    from->unheard += size;
    recorder_undelivered(relay->config.recorder, from->side, when, bytes, size,
                         to->side == SIDE_TARGET ? "not delivered: the target is not connected"
                                                 : "not delivered: the debugger is not connected");
}

/* What may go on, as far as --fault lets it. */
static void forward(struct relay_end *from, uint64_t when, const uint8_t *bytes, size_t size,
                    const char *comment)
{
    struct relay *relay = from->relay;

    if (!relay->config.fault) {
        pass(from, when, bytes, size, comment);
        return;
    }
    fault_push(&relay->fault, from->side, when, bytes, size);
    update_pause(from);
}

/* Somebody new is there, of whom no packet is under way. */
static void watch_begin(struct relay_end *end)
{
    const struct kd_framing framing = {KD_PACKET_MAX_SIZE, lane_flow(end->side)};

    kd_framer_init(&end->framer, &framing, end->buffer, sizeof end->buffer);
}

/* Only how much of a packet is under way is wanted. */
static void watch(struct kd_framer *framer, const uint8_t *bytes, size_t size)
{
    struct kd_frame frame;
    const uint8_t *at;

    for (size_t done = 0; done < size;) {
        done += kd_framer_push(framer, bytes + done, size - done);
        while (kd_framer_next(framer, false, &frame, &at) != KD_FRAME_NEED_MORE)
            continue;
    }
}

static void on_received(void *context, uint64_t when, const uint8_t *bytes, size_t size)
{
    struct relay_end *end = context;
    struct relay *relay = end->relay;

    end->last = when;
    if (hold_active(&relay->hold))
        hold_push(&relay->hold, end->side, when, bytes, size);
    else
        forward(end, when, bytes, size, NULL);
    status_add(relay->config.status,
               end->side == SIDE_DEBUGGER ? STATUS_BYTES_DEBUGGER : STATUS_BYTES_TARGET, size);
    watch(&end->framer, bytes, size);
    /* A debugger's packets are short: there is little to gain. */
    if (relay->config.gather && end->side == SIDE_TARGET)
        channel_gather(end->channel, kd_framer_missing(&end->framer));
}

static void on_drained(void *context)
{
    struct relay_end *end = context;

    update_pause(other_of(end));
}

/* --- --hold and --heal */

static void take_console(struct relay *relay, const struct hold_span *span)
{
    recorder_undelivered(relay->config.recorder, SIDE_TARGET, span->when, span->bytes, span->size,
                         "kept from the debugger by --hold: console text");
    status_console(relay->config.status, span->bytes, span->size);
}

static void on_span(void *context, const struct hold_span *span)
{
    struct relay *relay = context;
    struct relay_end *from = &relay->ends[span->from];

    switch (span->fate) {
    case HOLD_PASS:
        forward(from, span->when, span->bytes, span->size, NULL);
        break;
    case HOLD_PASS_LATE:
        /* It is recorded where it went out: after the ACKNOWLEDGE it had to wait for. */
        forward(from, clock_monotonic(), span->bytes, span->size,
                "kept back by --heal for a moment, passed on now");
        break;
    case HOLD_DROP_EARLY:
        recorder_undelivered(relay->config.recorder, span->from, span->when, span->bytes,
                             span->size,
                             "kept from the target by --hold: it has not spoken KD yet");
        break;
    case HOLD_DROP_REPEATED:
        recorder_undelivered(relay->config.recorder, span->from, span->when, span->bytes,
                             span->size, "kept from the target by --heal: superseded");
        break;
    case HOLD_DROP_TEXT:
        take_console(relay, span);
        break;
    }
}

static void on_hold_ends(struct relay *relay, uint64_t dropped)
{
    status_say(relay->config.status,
               "the target speaks KD; the debugger's bytes go to it from now on (%" PRIu64
               " were kept from it)",
               dropped);
    recorder_note(relay->config.recorder, clock_monotonic(),
                  "--hold ends: the target speaks KD; %" PRIu64
                  " bytes of the debugger were kept from it",
                  dropped);
}

static void on_news(void *context, enum hold_news news, uint64_t number)
{
    struct relay *relay = context;
    struct status *status = relay->config.status;
    double milliseconds = (double)number / (double)CLOCK_MILLISECOND;
    static const char *const names[] = {
        [HOLD_AGAIN] = "hold",       [HOLD_ENDS] = "hold-ends",   [HEAL_KEEPS] = "heal-keeps",
        [HEAL_ENDS] = "heal-passes", [HEAL_LIMIT] = "heal-limit", [HEAL_DROPS] = "heal-drops"};
    struct event event;

    switch (news) {
    case HOLD_AGAIN:
        status_say(status, "console text: the target has restarted; the debugger's bytes are kept "
                           "from it until it speaks KD");
        recorder_note(relay->config.recorder, clock_monotonic(),
                      "--hold begins again: console text");
        break;
    case HOLD_ENDS:
        on_hold_ends(relay, number);
        break;
    case HEAL_ENDS:
        status_say(status, "--heal: kept a packet of the debugger back for %.1f ms", milliseconds);
        break;
    case HEAL_LIMIT:
        status_say(status,
                   "--heal: kept a packet of the debugger back for %.1f ms, and nothing "
                   "came of it",
                   milliseconds);
        break;
    case HEAL_KEEPS:
    case HEAL_DROPS:
        break;
    }
    event_begin(&event, clock_wall(), names[news]);
    event_number(&event, news == HEAL_ENDS || news == HEAL_LIMIT ? "nanoseconds" : "bytes", number);
    status_event(status, &event);
}

/* --- --fault */

static void on_fault_span(void *context, const struct fault_span *span)
{
    struct relay *relay = context;
    struct relay_end *from = &relay->ends[span->from];
    uint64_t when = span->late ? clock_monotonic() : span->when;

    if (span->delivered)
        pass(from, when, span->bytes, span->size, span->fault);
    else
        recorder_undelivered(relay->config.recorder, span->from, when, span->bytes, span->size,
                             span->fault);
}

/* A recording of a line that was made bad says so. */
static void tell_fault_begins(struct relay *relay)
{
    recorder_note(relay->config.recorder, clock_monotonic(),
                  "faults are put into this line on purpose: --fault %s",
                  relay->config.fault->text);
    status_say(relay->config.status, "--fault: packets are lost, damaged, repeated or delayed on "
                                     "purpose");
}

static void tell_fault_ends(struct relay *relay)
{
    char summary[160];
    struct event event;

    fault_summary(&relay->fault, summary, sizeof summary);
    recorder_note(relay->config.recorder, clock_monotonic(), "--fault: %s", summary);
    status_say(relay->config.status, "--fault: %s", summary);
    event_begin(&event, clock_wall(), "faults");
    event_number(&event, "frames", relay->fault.frames);
    event_number(&event, "dropped", relay->fault.counts[FAULT_DROP]);
    event_number(&event, "damaged", relay->fault.counts[FAULT_CORRUPT]);
    event_number(&event, "repeated", relay->fault.counts[FAULT_DUP]);
    event_number(&event, "late", relay->fault.counts[FAULT_LATE]);
    status_event(relay->config.status, &event);
}

/* --- connections */

static void open_end(struct relay_end *end)
{
    end->state = END_OPENING;
    end->retry_at = UINT64_MAX;
    channel_open(end->channel);
}

static void finish(struct relay *relay, int exit_status)
{
    if (relay->ending)
        return;
    relay->ending = true;
    relay->exit_status = exit_status;
    relay->end_at = clock_monotonic() + RELAY_DRAIN;
}

static void on_listening(void *context, const char *address)
{
    struct relay_end *end = context;
    struct event event;

    status_say(end->relay->config.status, "%s: waiting for it on %s", side_name(end->side),
               address);
    begin_event(end, &event, "listening");
    event_text(&event, "address", address);
    status_event(end->relay->config.status, &event);
    show_end(end, "awaited");
}

static void on_opened(void *context, const char *peer)
{
    struct relay_end *end = context, *other = other_of(end);
    const struct relay_config *config = &end->relay->config;
    uint64_t now = clock_monotonic();
    struct event event;

    end->state = END_UP;
    end->ever = true;
    end->since = now;
    end->told[0] = '\0';
    end->last = 0;
    watch_begin(end);
    recorder_connection(config->recorder, end->side, now, true);
    recorder_note(config->recorder, now, "%s connected: %s%s%s", side_name(end->side),
                  end->end->text, *peer ? ", " : "", peer);
    if (other->unheard > 0)
        recorder_note(config->recorder, now,
                      "%" PRIu64 " bytes of the %s were not delivered meanwhile", other->unheard,
                      side_name(other->side));
    other->unheard = 0;
    status_say(config->status, "%s: connected%s%s%s", side_name(end->side), *peer ? " (" : "", peer,
               *peer ? ")" : "");
    if (end->side == SIDE_TARGET && end->relay->hold.waiting)
        status_say(config->status, "the debugger's bytes are kept from the target until it speaks "
                                   "KD (--hold); a break-in, by the key b or SIGUSR1, makes a "
                                   "target speak that has stopped or runs already");
    begin_event(end, &event, "connected");
    event_text(&event, "peer", peer);
    status_event(config->status, &event);
    show_end(end, STATUS_CONNECTED);
    update_pause(end);
    update_pause(other);
}

/* Not connected, and not for the first time or for this reason. */
static void tell_retry(struct relay_end *end, const char *reason)
{
    if (strcmp(end->told, reason) == 0)
        return;
    snprintf(end->told, sizeof end->told, "%s", reason);
    status_say(end->relay->config.status, "%s %s: %s; trying again until it works",
               side_name(end->side), end->end->text, reason);
    show_end(end, "not there");
}

static void tell_gone(struct relay_end *end, const char *reason, uint64_t lost)
{
    const struct relay_config *config = &end->relay->config;
    uint64_t now = clock_monotonic();
    struct event event;

    recorder_connection(config->recorder, end->side, now, false);
    if (lost > 0)
        recorder_note(config->recorder, now,
                      "%s disconnected: %s; %" PRIu64 " bytes for it did not go out any more",
                      side_name(end->side), reason, lost);
    else
        recorder_note(config->recorder, now, "%s disconnected: %s", side_name(end->side), reason);
    status_say(config->status, "%s: %s", side_name(end->side), reason);
    begin_event(end, &event, "disconnected");
    event_text(&event, "reason", reason);
    if (lost > 0)
        event_number(&event, "lost_bytes", lost);
    status_event(config->status, &event);
    show_end(end, "gone");
}

static void retry_later(struct relay_end *end, uint64_t max)
{
    end->state = END_DOWN;
    end->retry_at = clock_monotonic() + end->retry_delay;
    end->retry_delay = end->retry_delay * 2 < max ? end->retry_delay * 2 : max;
}

/* Opens it again, now or later. */
static void schedule(struct relay_end *end)
{
    if (end_listens(end->end)) {
        open_end(end);
        show_end(end, "awaited");
        return;
    }
    /* One that goes as soon as it has come is not to be called all the time. */
    if (clock_monotonic() > end->since + RELAY_START_MAX)
        end->retry_delay = RELAY_RETRY_MIN;
    retry_later(end, RELAY_START_MAX);
}

static void gone(struct relay_end *end, const char *reason)
{
    struct relay *relay = end->relay;

    end->state = END_DOWN;
    end->retry_at = UINT64_MAX;
    if (hold_active(&relay->hold))
        hold_disconnected(&relay->hold, end->side);
    if (relay->config.fault)
        fault_disconnected(&relay->fault);
    tell_gone(end, reason, channel_lost(end->channel));
    if (relay->config.policy == TAP_EXIT || !end_returns(end->end))
        finish(relay, EXIT_OK);
    else
        schedule(end);
    update_pause(other_of(end));
}

static void on_closed(void *context, const char *reason, bool lasting)
{
    struct relay_end *end = context;
    struct relay *relay = end->relay;

    if (is_up(end)) {
        gone(end, reason);
        return;
    }
    if (lasting && !end->ever) {
        status_fail(relay->config.status, "%s %s: %s", side_name(end->side), end->end->text,
                    reason);
        end->state = END_DOWN;
        end->retry_at = UINT64_MAX;
        finish(relay, EXIT_FAILED);
        return;
    }
    tell_retry(end, reason);
    retry_later(end, RELAY_RETRY_MAX);
}

static void on_ended(void *context)
{
    struct relay_end *end = context;
    const struct relay *relay = end->relay;

    end->state = END_HALF;
    end->linger_at = clock_monotonic() + RELAY_LINGER;
    if (relay->config.policy == TAP_EXIT || !end_returns(end->end))
        channel_end(other_of(end)->channel);
}

static void on_notice(void *context, const char *text)
{
    struct relay_end *end = context;
    struct event event;

    status_say(end->relay->config.status, "%s: %s", side_name(end->side), text);
    begin_event(end, &event, "notice");
    event_text(&event, "text", text);
    status_event(end->relay->config.status, &event);
}

/* --- requests */

static void inject_break_in(struct relay *relay)
{
    static const uint8_t byte = KD_BREAKIN_BYTE;
    struct event event;

    relay->break_in_since = 0;
    if (!is_up(&relay->ends[SIDE_TARGET])) {
        status_fail(relay->config.status, "no break-in: the target is not connected");
        return;
    }
    pass(&relay->ends[SIDE_DEBUGGER], clock_monotonic(), &byte, 1, "break-in sent by kdlens");
    status_say(relay->config.status, "break-in sent to the target");
    event_begin(&event, clock_wall(), "break-in");
    event_text(&event, "by", "kdlens");
    status_event(relay->config.status, &event);
}

static void put_marker(struct relay *relay, const char *text)
{
    char number[32];
    struct event event;

    relay->markers++;
    snprintf(number, sizeof number, "marker %u", relay->markers);
    if (!*text)
        text = number;
    recorder_note(relay->config.recorder, clock_monotonic(), "%s", text);
    status_say(relay->config.status, "%s", text);
    event_begin(&event, clock_wall(), "marker");
    event_text(&event, "text", text);
    status_event(relay->config.status, &event);
}

static void toggle_heal(struct relay *relay)
{
    bool on = !relay->hold.heal;

    hold_set_heal(&relay->hold, on, clock_monotonic());
    recorder_note(relay->config.recorder, clock_monotonic(), "--heal is %s", on ? "on" : "off");
    status_say(relay->config.status, "--heal is %s", on ? "on" : "off");
}

static void take_requests(struct relay *relay)
{
    struct control_request request;

    while (control_take(relay->config.control, &request)) {
        switch (request.kind) {
        case CONTROL_STOP:
            recorder_note(relay->config.recorder, clock_monotonic(), "tap stopped: %s",
                          request.text);
            relay->done = true;
            break;
        case CONTROL_BREAK_IN:
            relay->break_in_since = clock_monotonic();
            break;
        case CONTROL_MARKER:
            put_marker(relay, request.text);
            break;
        case CONTROL_HEAL:
            toggle_heal(relay);
            break;
        }
    }
}

/* --- time */

static uint64_t break_in_at(const struct relay *relay)
{
    if (relay->break_in_since == 0)
        return UINT64_MAX;
    if (kd_framer_missing(&relay->ends[SIDE_DEBUGGER].framer) > 0)
        return relay->break_in_since + RELAY_PATIENCE;
    return clock_earlier(relay->ends[SIDE_DEBUGGER].last + RELAY_QUIET,
                         relay->break_in_since + RELAY_PATIENCE);
}

static uint64_t next_deadline(const struct relay *relay)
{
    uint64_t next = clock_earlier(break_in_at(relay), relay->ending ? relay->end_at : UINT64_MAX);

    for (int i = 0; i < 2; i++) {
        const struct relay_end *end = &relay->ends[i];

        if (end->state == END_DOWN)
            next = clock_earlier(next, end->retry_at);
        else if (end->state == END_HALF)
            next = clock_earlier(next, end->linger_at);
    }
    if (relay->config.fault)
        next = clock_earlier(next, fault_deadline(&relay->fault));
    return hold_active(&relay->hold) ? clock_earlier(next, hold_deadline(&relay->hold)) : next;
}

static void tick_fault(struct relay *relay, uint64_t now)
{
    if (!relay->config.fault || now < fault_deadline(&relay->fault))
        return;
    fault_tick(&relay->fault, now);
    update_pause(&relay->ends[SIDE_DEBUGGER]);
    update_pause(&relay->ends[SIDE_TARGET]);
}

static void tick(struct relay *relay, uint64_t now)
{
    if (now >= break_in_at(relay))
        inject_break_in(relay);
    if (hold_active(&relay->hold))
        hold_tick(&relay->hold, now);
    tick_fault(relay, now);
    for (int i = 0; i < 2; i++) {
        struct relay_end *end = &relay->ends[i];

        if (end->state == END_DOWN && now >= end->retry_at) {
            open_end(end);
        } else if (end->state == END_HALF && now >= end->linger_at &&
                   channel_queued(end->channel) == 0) {
            channel_close(end->channel);
            gone(end, "the other program closed the connection");
        } else if (end->state == END_HALF && now >= end->linger_at) {
            end->linger_at = now + RELAY_LINGER;
        }
    }
}

/* An end that goes takes the relay with it once the other one has what was queued for it. */
static void end_when_drained(struct relay *relay)
{
    bool drained = true;

    for (int i = 0; i < 2; i++)
        if (is_up(&relay->ends[i]) && channel_queued(relay->ends[i].channel) > 0)
            drained = false;
    if (relay->ending && (drained || clock_monotonic() >= relay->end_at))
        relay->done = true;
}

/* --- the interface */

static const struct channel_events channel_events = {
    .listening = on_listening,
    .opened = on_opened,
    .received = on_received,
    .drained = on_drained,
    .ended = on_ended,
    .closed = on_closed,
    .notice = on_notice,
};

static const struct hold_events hold_events = {.span = on_span, .news = on_news};
static const struct fault_events fault_events = {.span = on_fault_span};

struct relay *relay_new(const struct relay_config *config, struct problem *problem)
{
    struct relay *relay = calloc(1, sizeof *relay);

    if (!relay) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    relay->config = *config;
    hold_init(&relay->hold, config->hold, config->heal, &hold_events, relay);
    if (config->fault)
        fault_init(&relay->fault, config->fault, &fault_events, relay);
    for (int i = 0; i < 2; i++) {
        struct relay_end *end = &relay->ends[i];

        end->relay = relay;
        end->side = (enum side)i;
        end->end = config->ends[i];
        end->retry_delay = RELAY_RETRY_MIN;
        end->channel = channel_new(config->loop, end->end, &channel_events, end);
        if (!end->channel) {
            problem_set(problem, "out of memory");
            relay_free(relay);
            return NULL;
        }
    }
    return relay;
}

static int turn_until_done(struct relay *relay)
{
    struct problem problem;

    while (!relay->done) {
        uint64_t next = next_deadline(relay);

        if (!channel_loop_turn(relay->config.loop, next, &problem)) {
            status_fail(relay->config.status, "%s", problem.text);
            return EXIT_FAILED;
        }
        take_requests(relay);
        if (next != UINT64_MAX)
            tick(relay, clock_monotonic());
        if (relay->ending)
            end_when_drained(relay);
    }
    return relay->exit_status;
}

int relay_run(struct relay *relay)
{
    int exit_status;

    if (relay->config.fault)
        tell_fault_begins(relay);
    for (int i = 0; i < 2; i++) {
        update_pause(&relay->ends[i]);
        open_end(&relay->ends[i]);
    }
    exit_status = turn_until_done(relay);
    if (relay->config.fault)
        tell_fault_ends(relay);
    return exit_status;
}

void relay_free(struct relay *relay)
{
    if (!relay)
        return;
    for (int i = 0; i < 2; i++)
        channel_free(relay->ends[i].channel);
    free(relay);
}
