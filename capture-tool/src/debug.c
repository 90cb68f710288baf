/* debug.c - the verb debug: where its commands come from, and the end of the session.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <io.h>
#else
#include <unistd.h>
#endif

#include "clock.h"
#include "debug_commands.h"
#include "debug_complete.h"
#include "debug_input.h"
#include "debug_run.h"
#include "debug_signal.h"
#include "end.h"
#include "verbs.h"

#define LINE_SIZE     4096u
#define FAREWELL      (3 * CLOCK_SECOND)
#define LINGER        (100 * CLOCK_MILLISECOND) /* QEMU drops what it has not read at the end */
#define SECONDS_LIMIT 86400u

struct debug_options {
    const char *end;
    const char *script;
    struct option_texts commands;
    const char *symbols;
    uint64_t timeout;
    uint64_t connect;
    bool json;
    bool no_break;
    bool hold;
};

struct debug {
    const struct debug_options *options;
    struct end end;
    struct debug_output *out;
    struct debug_session *session;
    struct debug_console console;
    struct debug_complete complete;
    struct debug_input *input;
    FILE *file; /* of the script, when it is not stdin */
    bool person;
};

static void say_failure(const char *text)
{
    fflush(stdout);
    fprintf(stderr, "kdlens debug: %s\n", text);
}

static int wrong_usage(const char *text)
{
    fprintf(stderr, "kdlens debug: %s\nTry \"kdlens debug --help\".\n", text);
    return EXIT_USAGE;
}

static bool is_terminal(void)
{
#ifdef _WIN32
    return _isatty(_fileno(stdin));
#else
    return isatty(STDIN_FILENO);
#endif
}

/* --- before anything is opened: do all commands exist? */

/* The next command of a -c text; they are separated by ';'. */
static bool next_command(const char **at, char *line, size_t room)
{
    size_t size;

    if (!*at)
        return false;
    size = strcspn(*at, ";");
    snprintf(line, room, "%.*s", (int)size, *at);
    *at = (*at)[size] ? *at + size + 1 : NULL;
    return true;
}

static bool check_texts(const struct debug_options *options, struct problem *problem)
{
    char line[LINE_SIZE], reason[sizeof problem->text];

    for (size_t i = 0; i < options->commands.count; i++)
        for (const char *at = options->commands.items[i]; next_command(&at, line, sizeof line);)
            if (!commands_check_line(line, problem)) {
                snprintf(reason, sizeof reason, "%s", problem->text);
                problem_set(problem, "-c: %.400s", reason);
                return false;
            }
    return true;
}

static bool check_script(const char *path, FILE *file, struct problem *problem)
{
    char line[LINE_SIZE], reason[sizeof problem->text];

    for (unsigned long number = 1; fgets(line, sizeof line, file); number++) {
        line[strcspn(line, "\r\n")] = '\0';
        if (!commands_check_line(line, problem)) {
            snprintf(reason, sizeof reason, "%s", problem->text);
            problem_set(problem, "%.100s:%lu: %.380s", path, number, reason);
            return false;
        }
    }
    rewind(file);
    return true;
}

static bool open_script(struct debug *debug, struct problem *problem)
{
    const char *path = debug->options->script;

    if (!path || strcmp(path, "-") == 0)
        return true;
    debug->file = fopen(path, "r");
    if (!debug->file) {
        problem_system(problem, (unsigned long)errno, "%s", path);
        return false;
    }
    return check_script(path, debug->file, problem);
}

/* --- running commands */

static bool run_line(struct debug *debug, const char *place, unsigned long number, const char *line)
{
    struct problem problem;
    char text[sizeof problem.text + 200];

    if (commands_run_line(&debug->console, line, &problem))
        return true;
    debug->console.expectation = false;
    if (debug->person)
        return true; /* the answer has said it */
    snprintf(text, sizeof text, "%.120s:%lu: %s", place, number, problem.text);
    say_failure(text);
    return false;
}

static bool run_texts(struct debug *debug)
{
    const struct option_texts *texts = &debug->options->commands;
    char line[LINE_SIZE];
    unsigned long number = 0;

    for (size_t i = 0; i < texts->count; i++)
        for (const char *at = texts->items[i];
             !debug->console.quits && next_command(&at, line, sizeof line);)
            if (!run_line(debug, "-c", ++number, line))
                return false;
    return true;
}

/* Somebody pressed Ctrl-C, or the loop has failed. False: it is the end. */
static bool person_interrupts(struct debug *debug, const struct problem *problem)
{
    struct problem reason = *problem;

    if (debug->session->failed || signal_ends()) {
        input_hide(debug->input);
        say_failure(reason.text);
        input_show(debug->input);
        return false;
    }
    if (strcmp(reason.text, "interrupted") != 0)
        output_say(debug->out, "error: %s\n", reason.text);
    else if (debug->session->stopped)
        output_say(debug->out, "q ends; the target stands already\n");
    else if (!session_break(debug->session, &reason))
        output_say(debug->out, "error: %s\n", reason.text);
    return true;
}

static bool run_input(struct debug *debug)
{
    const char *place = debug->options->script && debug->file ? debug->options->script : "stdin";
    struct debug_session *session = debug->session;
    struct problem problem;
    unsigned long number;

    while (!debug->console.quits) {
        const char *line = input_take(debug->input, &number);

        if (line) {
            if (!run_line(debug, place, number, line))
                return false;
            continue;
        }
        if (input_ended(debug->input))
            return true;
        atomic_store(&debug->complete.arch, (int)session->arch);
        input_prompt(debug->input, session->stopped ? "kd> " : "(running) ");
        if (session_turn(session, UINT64_MAX, &problem))
            continue;
        if (debug->person ? person_interrupts(debug, &problem) : false)
            continue;
        if (!debug->person)
            say_failure(problem.text);
        return false;
    }
    return true;
}

static bool run_commands(struct debug *debug)
{
    const struct debug_options *options = debug->options;
    FILE *file = debug->file ? debug->file : stdin;

    if (!run_texts(debug))
        return false;
    if (debug->console.quits || (options->commands.count > 0 && !options->script))
        return true;
    debug->person = !options->script && is_terminal() && !options->json;
    complete_init(&debug->complete);
    debug->input =
        input_start(debug->session->loop, file, debug->person, &debug->complete.completer);
    if (!debug->input) {
        say_failure("out of memory");
        return false;
    }
    output_set_input(debug->out, debug->input);
    return run_input(debug);
}

/* Nothing of ours stays in the target, and it runs on. */
static void leave(struct debug *debug)
{
    struct debug_session *session = debug->session;
    struct problem ignored;
    bool marked = session->dr7 != 0x400;

    if (debug->console.stays || !session->connected || session->ended)
        return;
    session->leaving = true;
    session->patience = FAREWELL;
    session->client.config.request_us = (uint32_t)(FAREWELL / CLOCK_MICROSECOND);
    for (size_t i = 0; i < SESSION_BREAKPOINTS; i++)
        marked = marked || session->breakpoints[i].handle;
    if (!session->stopped && (!marked || !session_break(session, &ignored)))
        return;
    run_clear(session);
    run_go(session, true, &ignored);
}

/* Our last packet may still be on its way through a slow device. */
static void linger(struct debug *debug)
{
    uint64_t until = clock_monotonic() + LINGER;
    struct problem ignored;

    while (debug->session->connected && clock_monotonic() < until)
        if (!session_turn(debug->session, until, &ignored))
            return;
}

/* --- the verb */

static bool make(struct debug *debug, struct problem *problem)
{
    const struct debug_options *options = debug->options;
    struct debug_session_config config = {.end = &debug->end,
                                          .patience = options->timeout * CLOCK_SECOND,
                                          .break_in = !options->no_break,
                                          .hold = options->hold,
                                          .symbol_path = options->symbols};

    debug->out = output_new(options->json);
    if (!debug->out) {
        problem_set(problem, "out of memory");
        return false;
    }
    config.out = debug->out;
    debug->session = session_new(&config, problem);
    if (!debug->session)
        return false;
    signal_catch(debug->session->loop);
    debug->console = (struct debug_console){.session = debug->session, .out = debug->out};
    return true;
}

static int run(struct debug *debug)
{
    uint64_t seconds = debug->options->connect ? debug->options->connect : debug->options->timeout;
    struct problem problem;
    bool good;

    if (!make(debug, &problem) ||
        !session_connect(debug->session, seconds * CLOCK_SECOND, &problem)) {
        say_failure(problem.text);
        return EXIT_FAILED;
    }
    good = run_commands(debug);
    leave(debug);
    linger(debug);
    return good ? EXIT_OK : EXIT_FAILED;
}

static void take_down(struct debug *debug, int exit_status)
{
    fflush(stdout);
    signal_catch(NULL);
    if (!input_stop(debug->input))
        _Exit(exit_status); /* its thread waits for somebody who does not type */
    session_free(debug->session);
    output_free(debug->out);
    if (debug->file)
        fclose(debug->file);
    end_clear(&debug->end);
}

static int run_verb(void *values)
{
    struct debug debug = {.options = values};
    struct problem problem;
    int exit_status;

    if (!end_parse(&debug.end, debug.options->end, &problem))
        return wrong_usage(problem.text);
    if (debug.end.kind == END_STDIO && !debug.options->commands.count &&
        (!debug.options->script || strcmp(debug.options->script, "-") == 0)) {
        end_clear(&debug.end);
        return wrong_usage("stdio: has the standard input; give the commands by -c or a file");
    }
    if (!check_texts(debug.options, &problem) || !open_script(&debug, &problem)) {
        exit_status = wrong_usage(problem.text);
    } else {
        exit_status = run(&debug);
    }
    take_down(&debug, exit_status);
    return exit_status;
}

#define MEMBER(name) offsetof(struct debug_options, name)

static const struct option options[] = {
    {'c', "command", OPTION_EACH, MEMBER(commands), .value = "COMMANDS",
     .help = "run these first, separated by ;, and end when there is no SCRIPT; may be given "
             "several times"},
    {'y', "symbols", OPTION_TEXT, MEMBER(symbols), .value = "FOLDERS", .complete = COMPLETE_FOLDER,
     .help = "where images and their PDBs are, for ln and bt; needs llvm-symbolizer"},
    {'t', "timeout", OPTION_NUMBER, MEMBER(timeout), .value = "SECONDS", .min = 1,
     .max = SECONDS_LIMIT, .help = "how long a request or a wait may take (10)"},
    {0, "connect-timeout", OPTION_NUMBER, MEMBER(connect), .value = "SECONDS", .min = 1,
     .max = SECONDS_LIMIT,
     .help = "how long to wait for the target to come and stop; as --timeout by default"},
    {0, "no-break", OPTION_FLAG, MEMBER(no_break),
     .help = "do not stop the target; only listen until a command does"},
    {0, "hold", OPTION_FLAG, MEMBER(hold),
     .help = "send nothing until the target has sent its first KD packet: for firmware that "
             "shares the line"},
    {0, "json", OPTION_FLAG, MEMBER(json),
     .help = "print every event and every answer as JSON, one object a line"},
    {0},
};

static const struct operand operands[] = {
    {"END", "where the target is", MEMBER(end), .complete = COMPLETE_END},
    {"SCRIPT",
     "file of commands, one a line; - is standard input. Without it commands are read "
     "from the terminal",
     MEMBER(script), .optional = true, .complete = COMPLETE_FILE},
    {0},
};

static void help_commands(FILE *out)
{
    char form[120];

    for (const struct command_group *group = command_groups; group->title; group++) {
        fprintf(out, "%s%s:\n", group == command_groups ? "" : "\n", group->title);
        for (const struct debug_command *command = group->commands; command->name; command++) {
            snprintf(form, sizeof form, "%s%s%s", command->name, *command->form ? " " : "",
                     command->form);
            options_help_row(out, form, command->help);
        }
    }
}

static const struct section sections[] = {
    {"Scripts",
     "A command that fails ends the script with exit status 1, unless try stands before it; file, "
     "line and what was seen are said. g returns at once: wait stop waits for the stop, and expect "
     "for what is said. Lines that begin with # are comments. At the end of the commands the "
     "target runs on, without breakpoints (q); after qq it stays as it is."},
    {0},
};

static const struct example examples[] = {
    {"kdlens debug unix:/tmp/kd.sock", "stop the target and type commands; Ctrl-C stops it again"},
    {"kdlens debug unix:/tmp/kd.sock -c 'version; r; db rip L10'", "a short look, then go on"},
    {"kdlens debug tcp-listen:5000 boot.kd --hold --connect-timeout 120 --json",
     "a test: wait for the machine that boots, then run boot.kd"},
    {0},
};

static const struct debug_options defaults = {.timeout = 10};

const struct verb verb_debug = {
    .name = "debug",
    .summary = "debug a target: a small, scriptable KD debugger",
    .operands = operands,
    .options = options,
    .sections = sections,
    .examples = examples,
    .extra_help = help_commands,
    .size = sizeof(struct debug_options),
    .defaults = &defaults,
    .run = run_verb,
};
