/* tap.c - the verb tap: sets up what a tap needs, runs the relay, takes all down again.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "tap.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "channel.h"
#include "control.h"
#include "end.h"
#include "recorder.h"
#include "relay.h"
#include "status.h"
#include "terminal.h"
#include "verbs.h"
#include "viewer.h"

#define MIB           (UINT64_C(1) << 20)
#define MAX_QUEUE_MIB 16384u

/* Everything that is taken down again, in the order in which it is set up. */
struct tap {
    const struct tap_options *options;
    struct end ends[2];
    struct fault_options fault;
    FILE *console;
    struct status *status;
    struct channel_loop *loop;
    struct control *control;
    struct terminal *terminal;
    struct viewer *viewer;
    struct recorder *recorder;
    struct relay *relay;
};

/* --- what is asked for */

static int wrong_usage(const struct problem *problem)
{
    fprintf(stderr, "kdlens tap: %s\nTry \"kdlens tap --help\".\n", problem->text);
    return EXIT_USAGE;
}

static bool uses_stdio(const struct tap *tap)
{
    return tap->ends[SIDE_DEBUGGER].kind == END_STDIO || tap->ends[SIDE_TARGET].kind == END_STDIO;
}

/* What cannot go together, or is not understood. */
static bool check(struct tap *tap, struct problem *problem)
{
    const struct tap_options *options = tap->options;
    bool live_stdout = options->live && strcmp(options->live, "-") == 0;
    bool file_stdout = options->file && strcmp(options->file, "-") == 0;

    if (strcmp(options->debugger, options->target) == 0 && tap->ends[0].kind != END_PTY) {
        problem_set(problem, "both ends are %s", options->debugger);
        return false;
    }
    if (uses_stdio(tap) + (int)live_stdout + (int)file_stdout + (int)options->json > 1) {
        problem_set(problem, "only one of stdio:, --json, -w - and --live - can have the standard "
                             "output");
        return false;
    }
    if (options->live && options->wireshark) {
        problem_set(problem, "--wireshark makes a pipe of its own; leave --live out");
        return false;
    }
    if (options->console && !options->hold) {
        problem_set(problem, "--console is for the text that --hold keeps back; add --hold");
        return false;
    }
    return !options->fault || fault_parse(&tap->fault, options->fault, problem);
}

/* --- setting up: each false, with a problem, when it does not work */

static bool open_console(struct tap *tap, struct problem *problem)
{
    if (!tap->options->console)
        return true;
    tap->console = fopen(tap->options->console, "ab");
    if (!tap->console)
        problem_system(problem, (unsigned long)errno, "%s", tap->options->console);
    return tap->console != NULL;
}

static bool start_status(struct tap *tap, struct problem *problem)
{
    struct status_config config = {
        .json = tap->options->json, .quiet = tap->options->quiet, .console = tap->console};

    tap->status = status_start(&config, problem);
    return tap->status != NULL;
}

static bool start_loop(struct tap *tap, struct problem *problem)
{
    bool keys = !tap->options->no_keys && !uses_stdio(tap);

    tap->loop = channel_loop_new(problem);
    if (!tap->loop)
        return false;
    tap->control = control_new(tap->loop);
    if (!tap->control) {
        problem_set(problem, "out of memory");
        return false;
    }
    tap->terminal = terminal_start(tap->loop, tap->control, keys, problem);
    return tap->terminal != NULL;
}

static bool start_recorder(struct tap *tap, struct problem *problem)
{
    const struct tap_options *options = tap->options;
    struct recorder_config config = {
        .file = options->file,
        .rotation = options->rotation.items,
        .rotation_count = options->rotation.count,
        .live = options->live,
        .live_make = true,
        .raw = options->raw,
        .doctor = options->doctor,
        .ends = {tap->ends[SIDE_DEBUGGER].text, tap->ends[SIDE_TARGET].text},
        .baud = tap->ends[SIDE_TARGET].baud ? tap->ends[SIDE_TARGET].baud
                                            : tap->ends[SIDE_DEBUGGER].baud,
        .queue_size = options->queue_mib * MIB,
        .status = tap->status,
    };

    if (options->wireshark) {
        tap->viewer = viewer_new(problem);
        if (!tap->viewer)
            return false;
        config.live = viewer_path(tap->viewer);
    }
    tap->recorder = recorder_start(&config, problem);
    return tap->recorder && (!tap->viewer || viewer_start(tap->viewer, problem));
}

static bool make_relay(struct tap *tap, struct problem *problem)
{
    struct relay_config config = {
        .ends = {&tap->ends[SIDE_DEBUGGER], &tap->ends[SIDE_TARGET]},
        .policy = (enum tap_policy)tap->options->on_disconnect,
        .hold = tap->options->hold,
        .heal = tap->options->heal,
        .gather = !tap->options->raw,
        .fault = tap->options->fault ? &tap->fault : NULL,
        .loop = tap->loop,
        .control = tap->control,
        .recorder = tap->recorder,
        .status = tap->status,
    };

    tap->relay = relay_new(&config, problem);
    return tap->relay != NULL;
}

static void take_down(struct tap *tap, int exit_status)
{
    relay_free(tap->relay);
    recorder_stop(tap->recorder);
    viewer_free(tap->viewer);
    terminal_stop(tap->terminal);
    control_free(tap->control);
    channel_loop_free(tap->loop);
    if (!status_stop(tap->status))
        _Exit(exit_status); /* its thread waits for somebody who does not read */
    if (tap->console)
        fclose(tap->console);
    end_clear(&tap->ends[SIDE_DEBUGGER]);
    end_clear(&tap->ends[SIDE_TARGET]);
}

static int run(struct tap *tap, const struct tap_hooks *hooks)
{
    struct problem problem;
    int exit_status;

    terminal_catch_signals();
    if (!open_console(tap, &problem) || !start_status(tap, &problem)) {
        fprintf(stderr, "kdlens: %s\n", problem.text);
        return EXIT_FAILED;
    }
    if (!start_loop(tap, &problem) || !start_recorder(tap, &problem) ||
        !make_relay(tap, &problem)) {
        status_fail(tap->status, "%s", problem.text);
        return EXIT_FAILED;
    }
    if (terminal_has_keys(tap->terminal))
        status_say(tap->status, "keys: b break-in, m marker, h --heal on or off, q end");
    if (hooks && hooks->ready)
        hooks->ready(hooks->context, tap->control);
    exit_status = relay_run(tap->relay);
    if (hooks && hooks->after)
        hooks->after(hooks->context);
    return exit_status;
}

int tap_run(const struct tap_options *options, const struct tap_hooks *hooks)
{
    struct tap tap = {.options = options};
    struct problem problem;
    int exit_status;

    if (!end_parse(&tap.ends[SIDE_DEBUGGER], options->debugger, &problem))
        return wrong_usage(&problem);
    if (!end_parse(&tap.ends[SIDE_TARGET], options->target, &problem) || !check(&tap, &problem)) {
        exit_status = wrong_usage(&problem);
    } else {
        exit_status = run(&tap, hooks);
    }
    take_down(&tap, exit_status);
    return exit_status;
}

/* --- the verb */

static const char *const policies[] = {"reconnect", "wait", "exit", NULL};

#define MEMBER(name) offsetof(struct tap_options, name)

static const struct option options[] = {
    {'w', "write", OPTION_TEXT, MEMBER(file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "write the recording to FILE (pcapng); compressed when it ends in .gz"},
    {'b', "ring-buffer", OPTION_EACH, MEMBER(rotation), .value = "KEY:VALUE",
     .help = "begin a new file after filesize:KB or duration:SECONDS, and keep the newest "
             "files:NUMBER; may be given several times"},
    {0, "live", OPTION_TEXT, MEMBER(live), .value = "PIPE", .complete = COMPLETE_FILE,
     .help = "write the recording to PIPE, too, for a Wireshark that may come at any time; a FIFO "
             "is made when it is not there"},
    {0, "wireshark", OPTION_FLAG, MEMBER(wireshark),
     .help = "start Wireshark on the live recording"},
    {0, "raw", OPTION_FLAG, MEMBER(raw),
     .help = "one record for each read, instead of each packet"},
    {0, "doctor", OPTION_FLAG, MEMBER(doctor),
     .help = "say what is wrong with the connection as soon as it is clear, and what to do: the "
             "verdicts of kdlens doctor"},
    {0, "hold", OPTION_FLAG, MEMBER(hold),
     .help = "keep the debugger's bytes back until the target has sent its first KD packet, and "
             "the target's console text from the debugger: for firmware that shares the line"},
    {0, "console", OPTION_TEXT, MEMBER(console), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "append the text that --hold keeps from the debugger to FILE instead of showing it"},
    {0, "heal", OPTION_FLAG, MEMBER(heal),
     .help = "after a RESET of the debugger delay its packets until the target's next one is "
             "acknowledged: prevents and ends a RESET storm"},
    {0, "fault", OPTION_TEXT, MEMBER(fault), .value = "FAULTS",
     .help = "for tests: lose, damage, repeat and delay packets by chance, as in "
             "drop=1%,corrupt=1%,dup=1%,delay=1%:100ms,seed=7,from=target; the recording marks "
             "each"},
    {0, "on-disconnect", OPTION_CHOICE, MEMBER(on_disconnect), .value = "WHAT", .choices = policies,
     .help = "reconnect (the default): open an end that is gone again, and drop what the other "
             "sends meanwhile; wait: the same, but do not read the other meanwhile; exit: end"},
    {0, "json", OPTION_FLAG, MEMBER(json),
     .help = "print what happens to the link as JSON, one object a line"},
    {'q', "quiet", OPTION_FLAG, MEMBER(quiet), .help = "say only what goes wrong"},
    {0, "queue", OPTION_NUMBER, MEMBER(queue_mib), .value = "MIB", .min = 1, .max = MAX_QUEUE_MIB,
     .help = "memory for what is not yet recorded (32); what finds no room is forwarded all the "
             "same, and counted"},
    {0},
};

static const struct operand operands[] = {
    {"DEBUGGER-END", "where the debugger is", MEMBER(debugger), .complete = COMPLETE_END},
    {"TARGET-END", "where the debugged machine is", MEMBER(target), .complete = COMPLETE_END},
    {0},
};

static void help_ends(FILE *out)
{
    fprintf(out, "Ends:\n");
    for (const struct end_form *form = end_forms; form->name; form++)
        if (form->available)
            options_help_row(out, form->form, form->help);
}

static const struct section sections[] = {
    {"While it runs",
     "Either end may come, go and come back; the recording says when. Ctrl-C, or the key q, ends "
     "the tap and the file. The key b, or the signal SIGUSR1, sends a break-in to the target; m, "
     "or SIGUSR2, puts a marker into the recording; h switches --heal on and off."},
    {0},
};

static const struct example examples[] = {
    {"kdlens tap unix-listen:/tmp/kd.sock unix:/tmp/qemu.sock -w session.pcapng",
     "between a debugger and QEMU started with -serial unix:/tmp/qemu.sock,server=on,wait=off"},
    {"kdlens tap tcp-listen:0.0.0.0:5000 tcp:localhost:4555 -w session.pcapng --hold",
     "for windbg -k com:ipport=5000,port=THIS-HOST on another machine; the target's firmware "
     "prints to the same line"},
    {"kdlens tap pty:/tmp/kd serial:/dev/ttyUSB0,baud=115200 --wireshark",
     "a real serial line, a debugger on the terminal /tmp/kd, Wireshark beside it"},
    {0},
};

static int run_verb(void *values)
{
    return tap_run(values, NULL);
}

const struct verb verb_tap = {
    .name = "tap",
    .summary = "forward a debug connection between two ends, record it, show it live",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .extra_help = help_ends,
    .size = sizeof(struct tap_options),
    .run = run_verb,
};
