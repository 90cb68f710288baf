/* replay.c - the verb replay: a recorded target at an end of a debug connection.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The target itself is analysis/replay.h; here are the capture, the end and the clock. With --fault
 * what passes between the two goes through fault.h, as on the line of a tap.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "analysis/replay.h"
#include "channel.h"
#include "clock.h"
#include "debug_signal.h"
#include "end.h"
#include "fault.h"
#include "kd/protocol.h"
#include "replay_difference.h"
#include "sessions.h"
#include "verbs.h"

#define REOPEN_DELAY (200 * CLOCK_MILLISECOND)
#define DRAIN        (5 * CLOCK_SECOND)

struct replay_options {
    struct sessions_options sessions;
    const char *end;
    uint64_t stop, at, read_limit;
    const char *fault;
    bool later, once, strict;
};

struct replay {
    const struct replay_options *options;
    struct end end;
    struct fault_options fault_options;
    struct fault *fault; /* NULL: the line is left as it is */

    /* The recording. */
    struct kda_store *store;
    struct kda_model *model;
    struct kda_script *script;
    unsigned session; /* number; 0: no event so far */
    bool others;

    /* Acting it: one of the two. */
    struct kda_replay *target;
    struct kda_strict *strict;

    struct channel_loop *loop;
    struct channel *channel;
    bool connected, failed, done;
    uint64_t reopen_at;
    int exit_status;
};

static uint64_t now_us(void)
{
    return clock_monotonic() / CLOCK_MICROSECOND;
}

/* --- the recording */

static bool take_event(void *context, unsigned session, const struct kda_event *event)
{
    struct replay *replay = context;

    if (!replay->session)
        replay->session = session;
    if (session != replay->session) {
        replay->others = true;
        return true;
    }
    return kda_model_event(replay->model, event) && kda_script_event(replay->script, event);
}

static bool read_recording(struct replay *replay, struct problem *problem)
{
    const struct sessions_handler handler = {replay, take_event};
    struct sessions *sessions;
    bool good;

    replay->store = kda_store_new(0);
    if (replay->store) {
        replay->model = kda_model_new(KDA_KEEP_MEMORY | KDA_KEEP_REGISTERS, replay->store, NULL);
        replay->script = kda_script_new(replay->store, replay->options->strict);
    }
    problem_set(problem, "out of memory");
    if (!replay->model || !replay->script)
        return false;
    sessions = sessions_open("replay", &replay->options->sessions, problem);
    if (!sessions)
        return false;
    problem_set(problem, "out of memory, or no room for a temporary file");
    good = sessions_run(sessions, &handler, problem);
    if (good) {
        kda_model_end(replay->model);
        (void)sessions_report(sessions);
    }
    sessions_close(sessions);
    return good;
}

static void say_recording(const struct replay *replay)
{
    if (replay->others)
        fprintf(stderr,
                "kdlens replay: the capture holds several sessions; this is session %u, others by "
                "--session\n",
                replay->session);
    if (kda_script_files(replay->script) && !replay->options->strict)
        fprintf(stderr,
                "kdlens replay: left out: %" PRIu64
                " requests of the target for files of the debugger's machine\n",
                kda_script_files(replay->script));
}

/* --- between the target and the end */

static void pass(struct replay *replay, enum side from, const uint8_t *bytes, size_t size)
{
    if (from == SIDE_TARGET)
        channel_write(replay->channel, bytes, size);
    else if (replay->strict)
        kda_strict_receive(replay->strict, now_us(), bytes, size);
    else
        kda_replay_receive(replay->target, now_us(), bytes, size);
}

static void on_span(void *context, const struct fault_span *span)
{
    if (span->delivered)
        pass(context, span->from, span->bytes, span->size);
}

static const struct fault_events fault_events = {on_span};

static void forward(struct replay *replay, enum side from, const uint8_t *bytes, size_t size)
{
    if (!replay->fault) {
        pass(replay, from, bytes, size);
        return;
    }
    fault_push(replay->fault, from, clock_monotonic(), bytes, size);
    channel_pause(replay->channel, fault_waits(replay->fault, SIDE_DEBUGGER));
}

static void target_send(void *context, const uint8_t *bytes, size_t size)
{
    forward(context, SIDE_TARGET, bytes, size);
}

static void target_news(void *context, enum kda_replay_news news, uint32_t number, uint32_t frame)
{
    (void)context;
    switch (news) {
    case KDA_REPLAY_ATTACHED:
        fprintf(stderr, "kdlens replay: the debugger answers\n");
        break;
    case KDA_REPLAY_STOPS:
        fprintf(stderr, "kdlens replay: stop %" PRIu32 ", frame %" PRIu32 "\n", number, frame);
        break;
    case KDA_REPLAY_ENDS:
        fprintf(stderr,
                "kdlens replay: the recording ends here; the target runs for ever (a break-in "
                "gives stop %" PRIu32 " again)\n",
                number);
        break;
    }
}

static const struct kda_replay_events target_events = {target_send, target_news};

/* --- the end */

static void finish(struct replay *replay, int exit_status)
{
    replay->done = true;
    replay->exit_status = exit_status;
}

static void on_listening(void *context, const char *address)
{
    (void)context;
    fprintf(stderr, "kdlens replay: waiting for the debugger on %s\n", address);
}

static void on_opened(void *context, const char *peer)
{
    struct replay *replay = context;

    fprintf(stderr, "kdlens replay: connected%s%s%s\n", *peer ? " (" : "", peer, *peer ? ")" : "");
    replay->connected = true;
    if (replay->strict)
        kda_strict_begin(replay->strict, now_us());
    else if (!kda_replay_begin(replay->target, now_us()))
        finish(replay, EXIT_FAILED);
}

static void on_received(void *context, uint64_t when, const uint8_t *bytes, size_t size)
{
    (void)when;
    forward(context, SIDE_DEBUGGER, bytes, size);
}

static void on_drained(void *context)
{
    (void)context;
}

static void say_tally(const struct replay *replay)
{
    const struct kda_replay_tally *tally = kda_replay_tally(replay->target);

    fprintf(stderr,
            "kdlens replay: %" PRIu64 " requests, %" PRIu64 " of them refused; %" PRIu64
            " bytes of memory were not captured\n",
            tally->requests, tally->refused, tally->unknown_bytes);
}

static void gone(struct replay *replay, const char *reason)
{
    if (!replay->connected)
        return;
    replay->connected = false;
    if (replay->fault)
        fault_disconnected(replay->fault);
    fprintf(stderr, "kdlens replay: the debugger has gone: %s\n", reason);
    if (!replay->strict)
        say_tally(replay);
    if (replay->strict || replay->options->once || !end_returns(&replay->end))
        finish(replay, EXIT_OK);
}

static void on_ended(void *context)
{
    struct replay *replay = context;

    channel_close(replay->channel);
    gone(replay, "it closed the connection");
    replay->reopen_at = clock_monotonic() + REOPEN_DELAY;
}

static void on_closed(void *context, const char *reason, bool lasting)
{
    struct replay *replay = context;

    if (!replay->connected && lasting) {
        fprintf(stderr, "kdlens replay: %s: %s\n", replay->end.text, reason);
        finish(replay, EXIT_FAILED);
    }
    gone(replay, reason);
    replay->reopen_at = clock_monotonic() + REOPEN_DELAY;
}

static void on_notice(void *context, const char *text)
{
    (void)context;
    fprintf(stderr, "kdlens replay: %s\n", text);
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

/* --- the loop */

static uint64_t due(const struct replay *replay)
{
    uint64_t target = UINT64_MAX, fault = UINT64_MAX;

    if (replay->connected) {
        target = replay->strict ? kda_strict_deadline(replay->strict)
                                : kda_replay_deadline(replay->target);
        target = target > UINT64_MAX / CLOCK_MICROSECOND ? UINT64_MAX : target * CLOCK_MICROSECOND;
    }
    if (replay->fault)
        fault = fault_deadline(replay->fault);
    return clock_earlier(clock_earlier(target, fault), replay->reopen_at);
}

static void do_what_is_due(struct replay *replay)
{
    uint64_t now = clock_monotonic();

    if (now >= replay->reopen_at) {
        replay->reopen_at = UINT64_MAX;
        channel_open(replay->channel);
    }
    if (replay->fault && now >= fault_deadline(replay->fault)) {
        fault_tick(replay->fault, now);
        channel_pause(replay->channel, fault_waits(replay->fault, SIDE_DEBUGGER));
    }
    if (!replay->connected)
        return;
    if (replay->strict)
        kda_strict_tick(replay->strict, now_us());
    else
        kda_replay_tick(replay->target, now_us());
}

static bool goes_on(const struct replay *replay)
{
    return !replay->done && !signal_ends() &&
           (!replay->strict || kda_strict_state(replay->strict) == KDA_STRICT_GOES_ON);
}

static int act(struct replay *replay, struct problem *problem)
{
    uint64_t until;

    replay->reopen_at = UINT64_MAX;
    channel_open(replay->channel);
    while (goes_on(replay)) {
        if (!channel_loop_turn(replay->loop, due(replay), problem)) {
            fprintf(stderr, "kdlens replay: %s\n", problem->text);
            return EXIT_FAILED;
        }
        if (signal_take_interrupt())
            break;
        do_what_is_due(replay);
    }
    if (!replay->connected)
        return replay->exit_status;
    channel_end(replay->channel);
    until = clock_monotonic() + DRAIN;
    while (channel_queued(replay->channel) && replay->connected && clock_monotonic() < until)
        if (!channel_loop_turn(replay->loop, until, problem))
            break;
    return replay->exit_status;
}

/* --- strict: what came of it */

static int judge(struct replay *replay, int exit_status)
{
    uint64_t came, all;
    char summary[160];

    if (replay->fault) {
        fault_summary(replay->fault, summary, sizeof summary);
        fprintf(stderr, "kdlens replay: --fault: %s\n", summary);
    }
    if (!replay->strict || exit_status != EXIT_OK)
        return exit_status;
    kda_strict_progress(replay->strict, &came, &all);
    if (kda_strict_state(replay->strict) == KDA_STRICT_DONE) {
        fprintf(stderr,
                "kdlens replay: as recorded: %" PRIu64 " packets and break-ins of the debugger\n",
                came);
        return EXIT_OK;
    }
    fprintf(stderr,
            "kdlens replay: not as recorded at frame %" PRIu32 ", after %" PRIu64 " of %" PRIu64
            " packets and break-ins of the debugger\n",
            kda_strict_difference(replay->strict)->frame, came, all);
    replay_show_difference(stderr, kda_strict_difference(replay->strict));
    return EXIT_FAILED;
}

/* --- setting up: each false, with a problem, when it does not work */

static bool make_target(struct replay *replay, struct problem *problem)
{
    const struct replay_options *options = replay->options;
    const struct kda_replay_config config = {.stop = (uint32_t)options->stop,
                                             .at = (uint32_t)options->at,
                                             .later = options->later,
                                             .read_limit = (uint32_t)options->read_limit};
    const char *why = "out of memory";

    if (options->strict)
        replay->strict = kda_strict_new(replay->script, options->fault, &target_events, replay);
    else
        replay->target = kda_replay_new(replay->model, replay->script, replay->store, &config,
                                        &target_events, replay, &why);
    problem_set(problem, "%s: %s", options->sessions.capture, why);
    return replay->strict || replay->target;
}

static bool make_line(struct replay *replay, struct problem *problem)
{
    problem_set(problem, "out of memory");
    if (replay->options->fault) {
        replay->fault = malloc(sizeof *replay->fault);
        if (!replay->fault)
            return false;
        fault_init(replay->fault, &replay->fault_options, &fault_events, replay);
    }
    replay->loop = channel_loop_new(problem);
    if (!replay->loop)
        return false;
    replay->channel = channel_new(replay->loop, &replay->end, &channel_events, replay);
    return replay->channel != NULL;
}

static bool check(struct replay *replay, struct problem *problem)
{
    const struct replay_options *options = replay->options;

    if (options->stop && options->at) {
        problem_set(problem, "--stop and --at both say where to begin; leave one out");
        return false;
    }
    if (options->strict &&
        (options->stop || options->at || options->later || options->read_limit)) {
        problem_set(problem, "--strict is the whole transcript as it is: leave --stop, --at, "
                             "--later and --read-limit out");
        return false;
    }
    if (options->fault && !fault_parse(&replay->fault_options, options->fault, problem))
        return false;
    return end_parse(&replay->end, options->end, problem);
}

static void take_down(struct replay *replay)
{
    signal_catch(NULL);
    channel_free(replay->channel);
    channel_loop_free(replay->loop);
    kda_replay_free(replay->target);
    kda_strict_free(replay->strict);
    kda_script_free(replay->script);
    kda_model_free(replay->model);
    kda_store_free(replay->store);
    free(replay->fault);
    end_clear(&replay->end);
}

static int run(void *values)
{
    struct replay replay = {.options = values, .exit_status = EXIT_OK};
    struct problem problem;
    int status = EXIT_FAILED;

    if (!check(&replay, &problem)) {
        fprintf(stderr, "kdlens replay: %s\nTry \"kdlens replay --help\".\n", problem.text);
        return EXIT_USAGE;
    }
    if (read_recording(&replay, &problem) && make_target(&replay, &problem) &&
        make_line(&replay, &problem)) {
        say_recording(&replay);
        signal_catch(replay.loop);
        status = judge(&replay, act(&replay, &problem));
    } else {
        fprintf(stderr, "kdlens replay: %s\n", problem.text);
    }
    take_down(&replay);
    return status;
}

static const struct operand operands[] = {
    SESSIONS_OPERAND(struct replay_options, sessions),
    {"END", "where the debugger is, or comes to; kdlens tap --help lists the kinds of ends",
     offsetof(struct replay_options, end), .complete = COMPLETE_END},
    {0},
};

static const struct option options[] = {
    {0, "stop", OPTION_NUMBER, offsetof(struct replay_options, stop), .value = "N", .min = 1,
     .max = UINT32_MAX, .help = "begin with this stop, as kdlens stops counts them"},
    {0, "at", OPTION_NUMBER, offsetof(struct replay_options, at), .value = "FRAME", .min = 1,
     .max = UINT32_MAX, .help = "begin with the stop that holds in this frame"},
    {0, "later", OPTION_FLAG, offsetof(struct replay_options, later),
     .help = "memory that was captured only after a stop counts in it, too: for code and data that "
             "do not change"},
    {0, "read-limit", OPTION_NUMBER, offsetof(struct replay_options, read_limit), .value = "BYTES",
     .min = 16, .max = KD_PACKET_MAX_SIZE,
     .help = "most bytes of memory in a reply; radare2 takes no more than 1992"},
    {0, "once", OPTION_FLAG, offsetof(struct replay_options, once),
     .help = "end when the debugger leaves; else the next one finds the target at its beginning"},
    {0, "strict", OPTION_FLAG, offsetof(struct replay_options, strict),
     .help = "send the recorded bytes, and end at the first packet of the debugger that is another "
             "than the recorded one"},
    {0, "fault", OPTION_TEXT, offsetof(struct replay_options, fault), .value = "FAULTS",
     .help = "lose, damage, repeat and delay packets by chance; FAULTS as for tap"},
    SESSIONS_OPTIONS(struct replay_options, sessions),
    {0},
};

static const struct section sections[] = {
    {"What it answers",
     "The recording is the target: it prints what it printed, stops where it stopped, and answers "
     "as of that stop. Memory, registers, control space, MSRs and ports are those that were "
     "captured until then, without what the recorded debugger wrote in this very stop. What was "
     "never captured is refused (C0000001), not made up. What the debugger writes is kept for it; "
     "registers that it sets are kept until it goes on. Breakpoints are taken and never hit: from "
     "each stop the target goes to the next recorded one, and from the last it runs for ever."},
    {"Exit status",
     "0; 1 when the capture or the end cannot be had, or when --strict found a difference or the "
     "debugger left before the end; 2 for wrong arguments."},
    {0},
};

static const struct example examples[] = {
    {"kdlens replay session.pcapng tcp-listen:5005",
     "a target for WinDbg: windbg -k com:ipport=5005,port=127.0.0.1"},
    {"kdlens replay session.pcapng unix-listen:/tmp/kd --stop 3 --read-limit 1992",
     "one for radare2 -a x86 -b 64 winkd:///tmp/kd"},
    {"kdlens replay session.pcapng unix-listen:/tmp/kd --strict", "does a debugger do the same "
                                                                  "again?"},
    {0},
};

const struct verb verb_replay = {
    .name = "replay",
    .summary = "act as the recorded target, for any debugger",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct replay_options),
    .run = run,
};
