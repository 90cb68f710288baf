/* extcap.c - kdlens as a program that captures for Wireshark.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Wireshark starts it again and again, each time for one question:
 *   --extcap-interfaces                          which interfaces are there, and what is in the
 * toolbar
 *   --extcap-dlts --extcap-interface I           the link type
 *   --extcap-config --extcap-interface I         the options; with --extcap-reload-option NAME the
 *                                                values of this one alone
 *   --extcap-capture-filter F --extcap-interface I   whether F is a filter: an answer says why not
 *   --capture --extcap-interface I --fifo P      capture, with the options by their names
 * Answers go to standard output, as sentences "word {name=value}...". What is written to standard
 * error while capturing is shown to the user in a dialog when the capture ends, so only failures go
 * there. A capture ends by SIGTERM or when nobody reads P any more.
 */
#include "extcap.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "capture.h"
#include "clock.h"
#include "control.h"
#include "end.h"
#include "extcap_toolbar.h"
#include "tap.h"
#include "verbs.h"

#ifdef _WIN32
#define NOWHERE    "NUL"
#define SOME_END   "pipe:vm-com1"
#define SEPARATORS "/\\"
#else
#define NOWHERE    "/dev/null"
#define SOME_END   "unix:/tmp/vm.sock"
#define SEPARATORS "/"
#endif

#define NO_READER "Nobody reads the pipe that --fifo names."

#define TAP   "kdlens-tap"
#define KDNET "kdlens-kdnet"

struct extcap_options {
    bool interfaces, dlts, config, capture;
    const char *interface;
    const char *reload;
    const char *filter;
    const char *fifo;
    const char *control_in, *control_out;
    const char *log_level, *log_file;
    bool debug;
    /* kdlens-tap */
    const char *debugger, *target, *console;
    bool hold, heal, raw;
    unsigned on_disconnect;
    /* kdlens-kdnet */
    const char *network_interface, *port, *key, *key_file;
    bool without_key, promiscuous;
    struct operands ignored;
};

static int fail(const char *text)
{
    fprintf(stderr, "%s\n", text);
    return EXIT_FAILED;
}

/* Braces and line ends would end a value. */
static void print_value(const char *text)
{
    for (; *text; text++)
        putchar(strchr("{}\r\n", *text) ? ' ' : *text);
}

/* --- questions */

static int list_interfaces(void)
{
    printf("extcap {version=" KDLENS_VERSION "}\n");
    printf("interface {value=" TAP "}{display=kdlens tap}\n");
    if (capture_available())
        printf("interface {value=" KDNET "}{display=kdlens KDNET}\n");
    extcap_toolbar_declare(stdout);
    return EXIT_OK;
}

static int list_link_types(bool kdnet)
{
    if (kdnet)
        printf("dlt {number=1}{name=EN10MB}{display=Ethernet}\n");
    else
        printf("dlt {number=252}{name=WIRESHARK_UPPER_PDU}{display=KD packets}\n");
    return EXIT_OK;
}

/* An expression for all ends that can be named here; stdio: is Wireshark's. */
static void print_validation(void)
{
    bool first = true;

    printf("{validation=^(");
    for (const struct end_form *form = end_forms; form->name; form++) {
        if (!form->available || form->kind == END_STDIO)
            continue;
        printf("%s%s", first ? "" : "|", form->name);
        first = false;
    }
    printf("):.+$}");
}

static void print_end(int number, const char *call, const char *display, const char *placeholder,
                      const char *tooltip)
{
    bool first = true;

    printf("arg {number=%d}{call=--%s}{display=%s}{type=string}{required=true}{placeholder=%s}"
           "{tooltip=%s: ",
           number, call, display, placeholder, tooltip);
    for (const struct end_form *form = end_forms; form->name; form++) {
        if (!form->available || form->kind == END_STDIO)
            continue;
        printf("%s%s", first ? "" : ", ", form->form);
        first = false;
    }
    printf("}");
    print_validation();
    printf("{group=Connection}\n");
}

static void print_log_options(int number)
{
    printf(
        "arg {number=%d}{call=--log-level}{display=Log level}{type=selector}{tooltip=How much is "
        "written to the log file}{required=false}{group=Debug}\n"
        "value {arg=%d}{value=message}{display=Message}{default=true}\n"
        "value {arg=%d}{value=debug}{display=Debug}\n",
        number, number, number);
    printf(
        "arg {number=%d}{call=--log-file}{display=Log file}{type=fileselect}{tooltip=A file where "
        "log messages are written}{required=false}{group=Debug}\n",
        number + 1);
}

static void configure_tap(void)
{
    print_end(0, "debugger", "Debugger end", "tcp-listen:50000", "Where the debugger is");
    print_end(1, "target", "Target end", SOME_END, "Where the debugged machine is");
    printf("arg {number=2}{call=--hold}{display=Hold back until the target speaks KD}"
           "{type=boolflag}{default=false}{tooltip=For firmware that prints to the same line: the "
           "debugger's bytes wait until the target has sent its first KD packet, and console text "
           "is kept from the debugger}{group=Connection}\n");
    printf("arg {number=3}{call=--heal}{display=Heal RESET storms}{type=boolflag}{default=false}"
           "{tooltip=After a RESET of the debugger its packets wait until the target's next one is "
           "acknowledged; nothing is altered}{group=Connection}\n");
    printf("arg {number=4}{call=--on-disconnect}{display=When an end is gone}{type=selector}"
           "{required=false}{tooltip=What happens until it is there again}{group=Connection}\n"
           "value {arg=4}{value=reconnect}{display=Open it again}{default=true}\n"
           "value {arg=4}{value=wait}{display=Open it again, and let the other end wait}\n"
           "value {arg=4}{value=exit}{display=End the capture}\n");
    printf("arg {number=5}{call=--raw}{display=One record for each read}{type=boolflag}"
           "{default=false}{tooltip=Instead of one for each KD packet}{group=Recording}\n");
    printf("arg {number=6}{call=--console}{display=Console text}{type=fileselect}{required=false}"
           "{tooltip=A file to which the text is appended that is held back}{group=Recording}\n");
    print_log_options(7);
}

static void print_network_interface(void *context, const struct capture_interface *interface)
{
    bool *first = context;

    printf("value {arg=0}{value=");
    print_value(interface->name);
    printf("}{display=");
    print_value(interface->name);
    if (*interface->description) {
        printf(": ");
        print_value(interface->description);
    }
    printf("}{default=%s}\n", *first ? "true" : "false");
    *first = false;
}

static void configure_network_interfaces(void)
{
    struct problem ignored;
    bool first = true;

    capture_interfaces(print_network_interface, &first, &ignored);
}

static void configure_kdnet(void)
{
    printf("arg {number=0}{call=--network-interface}{display=Network interface}{type=selector}"
           "{required=true}{reload=true}{placeholder=Search again}{tooltip=Where the datagrams "
           "pass}{group=Network}\n");
    configure_network_interfaces();
    printf("arg {number=1}{call=--port}{display=UDP port}{type=string}{required=false}"
           "{placeholder=any}{validation=^[0-9]+(-[0-9]+)?([ ,]+[0-9]+(-[0-9]+)?)*$}"
           "{tooltip=Ports as 50000, 50000-50039, or several with commas. Empty: any port, by how "
           "KDNET datagrams begin}{group=Network}\n");
    printf("arg {number=2}{call=--promiscuous}{display=Promiscuous mode}{type=boolflag}"
           "{default=false}{tooltip=Also frames that are not for this machine}{group=Network}\n");
    printf("arg {number=3}{call=--key}{display=Key}{type=password}{required=false}"
           "{placeholder=a.b.c.d}{tooltip=As bcdedit or kdnet.exe printed it. It is not saved, and "
           "a file keeps it from lists of processes}{group=Key}\n");
    printf("arg {number=4}{call=--key-file}{display=Key file}{type=fileselect}{required=false}"
           "{mustexist=true}{tooltip=Lines KEY, ADDRESS KEY or ADDRESS:PORT KEY}{group=Key}\n");
    printf("arg {number=5}{call=--without-key}{display=Leave the key out of the capture}"
           "{type=boolflag}{default=false}{tooltip=Else it is part of what is captured, and the "
           "sessions open without settings: whoever has the file can read them}{group=Key}\n");
    print_log_options(6);
}

static int configure(const struct extcap_options *options, bool kdnet)
{
    if (options->reload) {
        if (kdnet && strstr(options->reload, "network-interface"))
            configure_network_interfaces();
        return EXIT_OK;
    }
    if (kdnet)
        configure_kdnet();
    else
        configure_tap();
    return EXIT_OK;
}

/* What is printed is what is wrong with the filter. */
static int check_filter(const struct extcap_options *options, bool kdnet)
{
    struct problem problem;

    if (!*options->filter)
        return EXIT_OK;
    if (!kdnet)
        printf("kdlens tap has no capture filter; use a display filter\n");
    else if (!capture_check_filter(options->filter, &problem))
        printf("%s\n", problem.text);
    return EXIT_OK;
}

/* --- capturing */

struct session {
    const struct extcap_options *options;
    struct extcap_toolbar *toolbar;
    FILE *log; /* NULL: none */
};

static void write_log(const struct session *session, const char *what, const char *more)
{
    char time[CLOCK_TEXT_SIZE];

    if (!session->log)
        return;
    clock_text(clock_wall(), time, sizeof time);
    fprintf(session->log, "%s kdlens-extcap " KDLENS_VERSION ": %s%s\n", time, what, more);
    fflush(session->log);
}

static bool open_log(struct session *session, struct problem *problem)
{
    const struct extcap_options *options = session->options;

    if (!options->log_file || !*options->log_file) {
        session->log = options->debug ? stdout : NULL;
        return true;
    }
    session->log = fopen(options->log_file, "a");
    if (!session->log)
        problem_set(problem, "the log file %s cannot be written: %s", options->log_file,
                    strerror(errno));
    return session->log != NULL;
}

static void ready(void *context, struct control *control)
{
    struct session *session = context;

    if (!extcap_toolbar_start(session->toolbar, control))
        write_log(session, "no thread for the toolbar", "");
}

static void after(void *context)
{
    struct session *session = context;

    extcap_toolbar_stop(session->toolbar);
}

/* An end that can be used without a terminal. */
static bool check_end(const char *side, const char *text, struct problem *problem)
{
    struct problem reason;
    struct end end;
    bool fine = true;

    if (!text || !*text) {
        problem_set(problem,
                    "the %s end is not set: choose it in the options of the interface "
                    "(the gear beside its name), or with -o extcap.kdlens_tap.%s:END",
                    side, side);
        return false;
    }
    if (!end_parse(&end, text, &reason)) {
        problem_set(problem, "the %s end: %s", side, reason.text);
        return false;
    }
    if (end.kind == END_STDIO) {
        problem_set(problem, "the %s end: stdio: is not there for an interface of Wireshark's",
                    side);
        fine = false;
    } else if (end.kind == END_PTY && !end.place) {
        problem_set(problem,
                    "the %s end: name the terminal, as pty:/tmp/kd, or nobody can know "
                    "which it is",
                    side);
        fine = false;
    }
    end_clear(&end);
    return fine;
}

static int capture_tap(struct session *session, const struct tap_hooks *hooks)
{
    const struct extcap_options *options = session->options;
    struct tap_options tap = {.debugger = options->debugger,
                              .target = options->target,
                              .on_disconnect = options->on_disconnect,
                              .hold = options->hold,
                              .heal = options->heal,
                              .raw = options->raw,
                              .quiet = true,
                              .no_keys = true};
    struct problem problem;

    if (options->filter && *options->filter)
        return fail("kdlens tap has no capture filter; use a display filter.");
    if (!check_end("debugger", options->debugger, &problem) ||
        !check_end("target", options->target, &problem))
        return fail(problem.text);
    if (options->hold)
        tap.console = options->console && *options->console ? options->console : NOWHERE;
#ifdef _WIN32
    tap.file = options->fifo; /* a pipe of Wireshark's own */
#else
    tap.live = options->fifo;
#endif
    if (!extcap_toolbar_await(session->toolbar))
        return fail(NO_READER);
    write_log(session, "debugger end ", options->debugger);
    write_log(session, "target end ", options->target);
    return tap_run(&tap, hooks);
}

/* "50000, 50010-50019" into one option each. The text is divided where it is. */
static bool divide_ports(char *text, struct option_texts *ports)
{
    for (char *at = strtok(text, " ,"); at; at = strtok(NULL, " ,")) {
        if (ports->count == OPTION_EACH_LIMIT)
            return false;
        ports->items[ports->count++] = at;
    }
    return true;
}

static int capture_kdnet(struct session *session, const struct tap_hooks *hooks)
{
    const struct extcap_options *options = session->options;
    bool with_key = (options->key && *options->key) || (options->key_file && *options->key_file);
    struct capture_options capture = {
        .interface = options->network_interface,
        .file = options->fifo,
        .filter = options->filter,
        .key = options->key && *options->key ? options->key : NULL,
        .key_file = options->key_file && *options->key_file ? options->key_file : NULL,
        .embed_key = with_key && !options->without_key,
        .promiscuous = options->promiscuous,
        .quiet = true,
        .for_wireshark = true,
    };
    char ports[512];

    if (!capture.interface || !*capture.interface)
        return fail("The network interface is not set: choose it in the options of the interface "
                    "(the gear beside its name), or with -o "
                    "extcap.kdlens_kdnet.networkinterface:NAME");
    snprintf(ports, sizeof ports, "%s", options->port ? options->port : "");
    if (!divide_ports(ports, &capture.ports))
        return fail("Too many ports.");
    if (!extcap_toolbar_await(session->toolbar))
        return fail(NO_READER);
    write_log(session, "network interface ", capture.interface);
    return capture_run(&capture, hooks);
}

static int capture(const struct extcap_options *options, bool kdnet)
{
    struct session session = {.options = options};
    const struct tap_hooks hooks = {.ready = ready, .after = after, .context = &session};
    const struct extcap_toolbar_config config = {.in = options->control_in,
                                                 .out = options->control_out,
                                                 .fifo = options->fifo,
                                                 .only_marker = kdnet,
                                                 .heal = options->heal};
    struct problem problem;
    char status_text[16];
    int status;

    if (!options->fifo || !*options->fifo)
        return fail("--fifo is missing: where to write the capture.");
    session.toolbar = extcap_toolbar_open(&config, &problem);
    if (!session.toolbar)
        return fail(problem.text);
    if (!open_log(&session, &problem)) {
        status = fail(problem.text);
    } else {
        write_log(&session, "capture on ", options->interface);
        status = kdnet ? capture_kdnet(&session, &hooks) : capture_tap(&session, &hooks);
        snprintf(status_text, sizeof status_text, "%d", status);
        write_log(&session, "ends with exit status ", status_text);
    }
    extcap_toolbar_close(session.toolbar);
    if (session.log && session.log != stdout)
        fclose(session.log);
    /* Wireshark knows success and failure only. */
    return status == EXIT_OK ? EXIT_OK : EXIT_FAILED;
}

/* --- the verb */

static int run(void *values)
{
    struct extcap_options *options = values;
    char key[CAPTURE_KEY_SIZE];
    bool kdnet;
    int status;

    options->key = capture_hide_key(options->key, key);
    if (options->interfaces)
        return list_interfaces();
    if (!options->interface) {
        options_help(stdout, &verb_extcap);
        return EXIT_OK;
    }
    kdnet = strcmp(options->interface, KDNET) == 0;
    if (!kdnet && strcmp(options->interface, TAP) != 0) {
        fprintf(stderr, "There is no interface %s; there are " TAP " and " KDNET ".\n",
                options->interface);
        return EXIT_FAILED;
    }
    if (options->dlts)
        return list_link_types(kdnet);
    if (options->config)
        return configure(options, kdnet);
    if (options->capture)
        status = capture(options, kdnet);
    else if (options->filter)
        status = check_filter(options, kdnet);
    else
        status = fail("--capture, --extcap-dlts or --extcap-config is missing.");
    memset(key, 0, sizeof key);
    return status;
}

static const char *const policies[] = {"reconnect", "wait", "exit", NULL};

#define MEMBER(name) offsetof(struct extcap_options, name)

static const struct option options[] = {
    {0, "extcap-interfaces", OPTION_FLAG, MEMBER(interfaces), .help = "list the interfaces"},
    {0, "extcap-interface", OPTION_TEXT, MEMBER(interface), .value = "INTERFACE",
     .help = "the interface that is meant, " TAP " or " KDNET},
    {0, "extcap-dlts", OPTION_FLAG, MEMBER(dlts), .help = "list its link types"},
    {0, "extcap-config", OPTION_FLAG, MEMBER(config), .help = "list its options"},
    {0, "extcap-reload-option", OPTION_TEXT, MEMBER(reload), .value = "OPTION",
     .help = "with --extcap-config: only the values of this option"},
    {0, "extcap-capture-filter", OPTION_TEXT, MEMBER(filter), .value = "FILTER",
     .help = "the capture filter; without --capture: say what is wrong with it"},
    {0, "capture", OPTION_FLAG, MEMBER(capture), .help = "capture"},
    {0, "fifo", OPTION_TEXT, MEMBER(fifo), .value = "PIPE", .help = "write the capture to PIPE"},
    {0, "extcap-control-in", OPTION_TEXT, MEMBER(control_in), .value = "PIPE",
     .help = "where Wireshark's toolbar writes"},
    {0, "extcap-control-out", OPTION_TEXT, MEMBER(control_out), .value = "PIPE",
     .help = "where it reads"},
    {0, "debugger", OPTION_TEXT, MEMBER(debugger), .value = "END",
     .help = TAP ": where the debugger is, as for kdlens tap"},
    {0, "target", OPTION_TEXT, MEMBER(target), .value = "END",
     .help = TAP ": where the debugged machine is"},
    {0, "hold", OPTION_FLAG, MEMBER(hold), .help = TAP ": as for kdlens tap"},
    {0, "heal", OPTION_FLAG, MEMBER(heal), .help = TAP ": as for kdlens tap"},
    {0, "raw", OPTION_FLAG, MEMBER(raw), .help = TAP ": as for kdlens tap"},
    {0, "console", OPTION_TEXT, MEMBER(console), .value = "FILE",
     .help = TAP ": as for kdlens tap"},
    {0, "on-disconnect", OPTION_CHOICE, MEMBER(on_disconnect), .value = "WHAT", .choices = policies,
     .help = TAP ": as for kdlens tap"},
    {0, "network-interface", OPTION_TEXT, MEMBER(network_interface), .value = "INTERFACE",
     .help = KDNET ": the network interface to listen on"},
    {0, "port", OPTION_TEXT, MEMBER(port), .value = "PORTS",
     .help = KDNET ": UDP ports, divided by commas"},
    {0, "key", OPTION_TEXT, MEMBER(key), .value = "KEY", .help = KDNET ": the key"},
    {0, "key-file", OPTION_TEXT, MEMBER(key_file), .value = "FILE",
     .help = KDNET ": a file with keys"},
    {0, "without-key", OPTION_FLAG, MEMBER(without_key),
     .help = KDNET ": leave the key out of the capture"},
    {0, "promiscuous", OPTION_FLAG, MEMBER(promiscuous), .help = KDNET ": as for kdlens capture"},
    {0, "log-level", OPTION_TEXT, MEMBER(log_level), .value = "LEVEL",
     .help = "taken for other programs' sake"},
    {0, "log-file", OPTION_TEXT, MEMBER(log_file), .value = "FILE",
     .help = "append log messages to FILE"},
    {0, "debug", OPTION_FLAG, MEMBER(debug), .help = "print log messages"},
    {0},
};

static const struct operand operands[] = {
    {"IGNORED", "what a later Wireshark may add", MEMBER(ignored), .optional = true, .many = true},
    {0},
};

static const struct section sections[] = {
    {"Who uses it",
     "Wireshark and tshark, which find it as kdlens-extcap where kdlens install puts it:\n"
     "  tshark -i kdlens-tap -o extcap.kdlens_tap.debugger:tcp-listen:5000 \\\n"
     "      -o extcap.kdlens_tap.target:unix:/tmp/vm.sock"},
    {0},
};

const struct verb verb_extcap = {
    .name = "extcap",
    .summary = "capture for Wireshark, which calls this by itself",
    .operands = operands,
    .options = options,
    .sections = sections,
    .size = sizeof(struct extcap_options),
    .run = run,
    .ignores_unknown = true,
};

bool extcap_is_name(const char *program)
{
    static const char name[] = "kdlens-extcap";
    const char *base = program;

    for (const char *at = program; *at; at++)
        if (strchr(SEPARATORS, *at))
            base = at + 1;
    return strncmp(base, name, sizeof name - 1) == 0 && strchr("._-", base[sizeof name - 1]);
}

int extcap_main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("kdlens-extcap " KDLENS_VERSION "\n");
        return EXIT_OK;
    }
    return options_run(&verb_extcap, argc - 1, argv + 1);
}
