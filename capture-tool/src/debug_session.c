/* debug_session.c - the end, the client on it, and waiting for the target. See debug_session.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * turn() moves bytes and fills change; session_turn() also deals with the change, which may need
 * requests of its own. So requests wait by turn().
 */
#include "debug_session.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "debug_run.h"
#include "debug_signal.h"
#include "kd/describe.h"

#define REOPEN_DELAY (200 * CLOCK_MILLISECOND)
#define BREAK_PERIOD 2000000u /* us */
#define DR7_START    0x400u

static uint64_t now_us(void)
{
    return clock_monotonic() / CLOCK_MICROSECOND;
}

static void say_event(struct debug_session *session, const char *name, const char *text)
{
    struct output_event event = {.name = name, .text = text};

    output_event(session->out, &event);
}

/* --- what the client says */

static void client_write(void *context, const uint8_t *bytes, size_t size)
{
    struct debug_session *session = context;

    channel_write(session->channel, bytes, size);
}

static void began_anew(struct debug_session *session)
{
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++)
        session->breakpoints[i].handle = 0;
    session->stopped = false;
    session->ended = false;
    session->change_size = 0;
    session->module_count = 0;
    session->dr7 = DR7_START;
    session_forget(session);
    say_event(session, "restart", "The target began anew.");
}

/* UTF-16LE as ASCII: for a name that is only shown. */
static void say_file(struct debug_session *session, const struct kd_client_event *event)
{
    char line[400], name[300];
    size_t length = 0;

    for (size_t i = 0; i + 1 < event->size && length < sizeof name - 1; i += 2) {
        if (event->bytes[i] == 0 && event->bytes[i + 1] == 0)
            break;
        name[length++] =
            event->bytes[i + 1] == 0 && event->bytes[i] >= 0x20 && event->bytes[i] < 0x7f
                ? (char)event->bytes[i]
                : '?';
    }
    name[length] = '\0';
    if (event->number == KD_API_CREATE_FILE)
        snprintf(line, sizeof line, "The target asked for the file %s; there is none for it.",
                 name);
    else
        snprintf(line, sizeof line, "The target asked for a file without having opened it.");
    say_event(session, "file", line);
}

static void keep_change(struct debug_session *session, const struct kd_client_event *event)
{
    memcpy(session->change, event->bytes, event->size);
    session->change_size = event->size;
}

static void keep_reply(struct debug_session *session, const struct kd_client_event *event)
{
    memcpy(session->reply, event->bytes, event->size);
    session->reply_size = event->size;
    session->replied = true;
}

static void client_event(void *context, const struct kd_client_event *event)
{
    struct debug_session *session = context;
    char line[200];

    switch (event->kind) {
    case KD_CLIENT_STATE_CHANGE:
        keep_change(session, event);
        break;
    case KD_CLIENT_REPLY:
        keep_reply(session, event);
        break;
    case KD_CLIENT_SENT:
        session->reply_size = 0;
        session->replied = true;
        break;
    case KD_CLIENT_FAILED:
        session->request_failed = true;
        session->why = event->reason;
        break;
    case KD_CLIENT_PRINT:
        output_target(session->out, "print", event->bytes, event->size);
        break;
    case KD_CLIENT_PROMPT:
        output_target(session->out, "prompt", event->bytes, event->size);
        break;
    case KD_CLIENT_TRACE:
        output_target(session->out, "trace", event->bytes, event->size);
        break;
    case KD_CLIENT_CONSOLE:
        output_target(session->out, "console", event->bytes, event->size);
        break;
    case KD_CLIENT_FILE:
        say_file(session, event);
        break;
    case KD_CLIENT_BEGAN_ANEW:
        began_anew(session);
        break;
    case KD_CLIENT_ODD:
        snprintf(line, sizeof line, "The target sent %s; it was dropped.", event->reason);
        say_event(session, "odd", line);
        break;
    }
}

/* --- the channel */

static void on_listening(void *context, const char *address)
{
    struct debug_session *session = context;
    char line[300];

    snprintf(line, sizeof line, "Waiting for the target on %s", address);
    say_event(session, "listening", line);
}

static void on_opened(void *context, const char *peer)
{
    struct debug_session *session = context;

    (void)peer;
    session->connected = true;
    session->failure.text[0] = '\0';
    kd_client_attach(&session->client, now_us());
}

static void on_received(void *context, uint64_t when, const uint8_t *bytes, size_t size)
{
    struct debug_session *session = context;

    (void)when;
    kd_client_receive(&session->client, now_us(), bytes, size);
    channel_gather(session->channel, kd_framer_missing(&session->client.framer));
}

static void on_drained(void *context)
{
    (void)context;
}

static void gone(struct debug_session *session, const char *reason)
{
    char line[600];
    bool was_connected = session->connected;

    session->connected = false;
    session->stopped = false;
    session->change_size = 0;
    problem_set(&session->failure, "%s", reason);
    kd_client_detach(&session->client);
    session_forget(session);
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++)
        session->breakpoints[i].handle = 0;
    if (was_connected) {
        snprintf(line, sizeof line, "The connection is gone: %s", reason);
        say_event(session, "disconnected", line);
    }
}

static void on_ended(void *context)
{
    struct debug_session *session = context;

    channel_close(session->channel);
    gone(session, "the other side closed it");
    session->reopen_at = clock_monotonic() + REOPEN_DELAY;
}

static void on_closed(void *context, const char *reason, bool lasting)
{
    struct debug_session *session = context;

    gone(session, reason);
    session->failed = lasting;
    session->reopen_at = clock_monotonic() + REOPEN_DELAY;
}

static void on_notice(void *context, const char *text)
{
    say_event(context, "notice", text);
}

static const struct channel_events channel_events = {
    .listening = on_listening,
    .opened = on_opened,
    .received = on_received,
    .drained = on_drained,
    .ended = on_ended,
    .closed = on_closed,
    .notice = on_notice,
};

/* --- waiting */

static uint64_t client_due(const struct debug_session *session)
{
    uint64_t due = kd_client_deadline(&session->client);

    return due > UINT64_MAX / CLOCK_MICROSECOND ? UINT64_MAX : due * CLOCK_MICROSECOND;
}

static bool turn(struct debug_session *session, uint64_t until, struct problem *problem)
{
    until = clock_earlier(clock_earlier(until, client_due(session)), session->reopen_at);
    if (!channel_loop_turn(session->loop, until, problem))
        return false;
    if (signal_ends() && !session->leaving) {
        problem_set(problem, "ended from outside");
        return false;
    }
    if (clock_monotonic() >= session->reopen_at) {
        session->reopen_at = UINT64_MAX;
        channel_open(session->channel);
    }
    kd_client_tick(&session->client, now_us());
    if (session->failed) {
        problem_set(problem, "%s: %s", session->end_text, session->failure.text);
        return false;
    }
    if (signal_take_interrupt()) {
        problem_set(problem, "interrupted");
        return false;
    }
    return true;
}

static bool take_change(struct debug_session *session)
{
    if (session->change_size == 0)
        return false;
    memcpy(session->reply, session->change, session->change_size);
    session->reply_size = session->change_size;
    session->change_size = 0;
    return true;
}

bool session_await_change(struct debug_session *session, uint64_t until, struct problem *problem)
{
    while (!take_change(session)) {
        if (clock_monotonic() >= until || !session->connected) {
            problem_set(problem, "the target did not stop again in time");
            return false;
        }
        if (!turn(session, until, problem))
            return false;
    }
    return true;
}

bool session_turn(struct debug_session *session, uint64_t until, struct problem *problem)
{
    if (session->change_size == 0 && !turn(session, until, problem))
        return false;
    return !take_change(session) || run_take_change(session, problem);
}

bool session_wait_stop(struct debug_session *session, unsigned long stops, uint64_t patience,
                       struct problem *problem)
{
    uint64_t until = clock_monotonic() + patience;

    while (session->stops == stops || !session->stopped) {
        if (clock_monotonic() >= until) {
            problem_set(problem,
                        "the target has not stopped within %" PRIu64
                        " s (%s); \"break\" stops it, \"wait stop SECONDS\" waits longer",
                        patience / CLOCK_SECOND,
                        session->connected ? "it runs" : "its end is not connected");
            return false;
        }
        if (!session_turn(session, until, problem))
            return false;
    }
    return true;
}

/* What was tried, and what may help. */
static void explain_silence(const struct debug_session *session, uint64_t patience,
                            struct problem *problem)
{
    const struct kd_client *client = &session->client;

    if (!session->connected)
        problem_set(problem, "%s: not connected within %" PRIu64 " s: %s", session->end_text,
                    patience / CLOCK_SECOND,
                    session->failure.text[0] ? session->failure.text
                                             : "nobody came; start the target, or name its end");
    else if (client->holding)
        problem_set(problem,
                    "%s: the target has not spoken KD within %" PRIu64
                    " s, and --hold keeps kdlens silent until it does; leave --hold out when it "
                    "runs or has stopped already",
                    session->end_text, patience / CLOCK_SECOND);
    else if (!client->heard)
        problem_set(problem,
                    "%s: no answer from the target within %" PRIu64
                    " s to RESET (sent %u times) and break-in (sent %u times); is debugging "
                    "enabled there, is this its line, and is no other debugger on it?",
                    session->end_text, patience / CLOCK_SECOND, client->resets, client->break_ins);
    else
        problem_set(problem,
                    "%s: the target speaks, but did not stop within %" PRIu64
                    " s (RESET sent %u times, break-in %u times); wait longer (--timeout) or "
                    "leave it running (--no-break)",
                    session->end_text, patience / CLOCK_SECOND, client->resets, client->break_ins);
}

bool session_connect(struct debug_session *session, uint64_t patience, struct problem *problem)
{
    uint64_t until = clock_monotonic() + patience;

    channel_open(session->channel);
    while (session->break_wanted ? !session->stopped : !session->connected) {
        if (clock_monotonic() >= until) {
            explain_silence(session, patience, problem);
            return false;
        }
        if (!session_turn(session, until, problem))
            return false;
    }
    return true;
}

bool session_break(struct debug_session *session, struct problem *problem)
{
    unsigned long stops = session->stops;

    if (session->stopped)
        return true;
    if (!session->connected) {
        problem_set(problem, "no break-in: %s is not connected", session->end_text);
        return false;
    }
    session->break_wanted = true;
    kd_client_break_in(&session->client);
    return session_wait_stop(session, stops, session->patience, problem);
}

bool session_needs_stop(const struct debug_session *session, struct problem *problem)
{
    if (session->stopped)
        return true;
    problem_set(problem, "the target %s",
                !session->connected                            ? "is not connected"
                : session->client.state == KD_CLIENT_PROMPTING ? "waits for the answer to its "
                                                                 "prompt: reply TEXT"
                                                               : "runs: break, or wait stop");
    return false;
}

/* --- requests */

static const char *api_name(uint32_t api)
{
    const struct kd_api_info *info = kd_api_find(api);

    return info ? info->name : "request";
}

bool session_ask(struct debug_session *session, const struct kd_client_request *request,
                 struct problem *problem)
{
    uint64_t until = clock_monotonic() + 2 * session->patience;
    bool accepted = false;

    session->replied = session->request_failed = false;
    while (!session->replied && !session->request_failed) {
        /* A request that was given up may still be on its way, and goes first. */
        accepted = accepted || kd_client_request(&session->client, now_us(), request);
        if (session->replied)
            break;
        if (clock_monotonic() >= until ||
            (!accepted && session->client.state != KD_CLIENT_STOPPED)) {
            session->request_failed = true;
            session->why = "the target is not stopped any more";
        } else if (!turn(session, until, problem)) {
            kd_client_cancel(&session->client);
            return false;
        }
    }
    if (session->replied)
        return true;
    kd_client_cancel(&session->client);
    problem_set(problem, "no answer to %s within %" PRIu64 " s: %s", api_name(request->api),
                session->patience / CLOCK_SECOND, session->why);
    return false;
}

uint32_t session_status(const struct debug_session *session)
{
    return kd_get32(((const struct kd_manipulate_header *)session->reply)->return_status);
}

const uint8_t *session_union(const struct debug_session *session)
{
    return session->reply + KD_MANIPULATE_UNION;
}

bool session_must(struct debug_session *session, const struct kd_client_request *request,
                  const char *what, struct problem *problem)
{
    const char *name;

    if (!session_ask(session, request, problem))
        return false;
    if (request->silent || request->resumes || session_status(session) == KD_NT(STATUS_SUCCESS))
        return true;
    name = kd_value_name(KD_SET_ID_ntstatus, session_status(session));
    problem_set(problem, "%s: the target refuses, %08" PRIx32 "%s%s", what, session_status(session),
                name ? " " : "", name ? name : "");
    return false;
}

void session_forget(struct debug_session *session)
{
    session->context_known = false;
    session->special_known = false;
    session->modules_listed = false;
}

/* --- making and freeing */

struct debug_session *session_new(const struct debug_session_config *config,
                                  struct problem *problem)
{
    struct debug_session *session = calloc(1, sizeof *session);
    struct kd_client_config client = {
        .request_us = (uint32_t)(config->patience / CLOCK_MICROSECOND),
        .break_us = BREAK_PERIOD,
        .break_in = config->break_in,
        .hold = config->hold,
        .write = client_write,
        .event = client_event,
        .context = session,
    };

    if (!session) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    session->out = config->out;
    session->end_text = config->end->text;
    session->patience = config->patience;
    session->symbol_path = config->symbol_path;
    session->break_wanted = config->break_in;
    session->reopen_at = UINT64_MAX;
    session->dr7 = DR7_START;
    session->arch = KD_ARCH_UNKNOWN;
    kd_client_init(&session->client, &client);
    session->loop = channel_loop_new(problem);
    if (!session->loop) {
        free(session);
        return NULL;
    }
    session->channel = channel_new(session->loop, config->end, &channel_events, session);
    if (!session->channel) {
        problem_set(problem, "out of memory");
        session_free(session);
        return NULL;
    }
    return session;
}

void session_free(struct debug_session *session)
{
    if (!session)
        return;
    channel_free(session->channel);
    channel_loop_free(session->loop);
    free(session);
}
