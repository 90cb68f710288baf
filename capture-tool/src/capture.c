/* capture.c - the verb capture, and the filter that it gives to the system.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "capture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "status.h"
#include "verbs.h"

/* Every datagram of KDNET begins with "MD"; libpcap's udp[] knows IPv4 only. */
#define BY_MAGIC "udp[8:2] = 0x4d44 or (ip6[6] = 17 and ip6[48:2] = 0x4d44)"

/* "50000" or "50000-50039" */
static bool parse_ports(const char *text, unsigned *first, unsigned *last)
{
    char *end;
    unsigned long a, b;

    if (*text < '0' || *text > '9')
        return false;
    a = b = strtoul(text, &end, 10);
    if (*end == '-' && end[1] >= '0' && end[1] <= '9')
        b = strtoul(end + 1, &end, 10);
    if (*end || a == 0 || b < a || b > 65535)
        return false;
    *first = (unsigned)a;
    *last = (unsigned)b;
    return true;
}

static bool add_ports(const struct option_texts *ports, char *out, size_t room,
                      struct problem *problem)
{
    size_t used = 0;

    for (size_t i = 0; i < ports->count; i++) {
        unsigned first, last;

        if (!parse_ports(ports->items[i], &first, &last)) {
            problem_set(problem, "--port %s: expected a number from 1 to 65535, or FIRST-LAST",
                        ports->items[i]);
            return false;
        }
        used += (size_t)snprintf(out + used, room - used,
                                 first == last ? "%sudp port %u" : "%sudp portrange %u-%u",
                                 i > 0 ? " or " : "", first, last);
    }
    return true;
}

bool capture_filter(const struct option_texts *ports, const char *expression,
                    char filter[CAPTURE_FILTER_SIZE], struct problem *problem)
{
    char which[OPTION_EACH_LIMIT * 36] = BY_MAGIC;
    int length;

    if (!add_ports(ports, which, sizeof which, problem))
        return false;
    length = expression && *expression
                 ? snprintf(filter, CAPTURE_FILTER_SIZE, "(%s) and (%s)", which, expression)
                 : snprintf(filter, CAPTURE_FILTER_SIZE, "%s", which);
    if (length >= 0 && (size_t)length < CAPTURE_FILTER_SIZE)
        return true;
    problem_set(problem, "the filter is too long");
    return false;
}

static void list_one(void *context, const struct capture_interface *interface)
{
    const struct capture_options *options = context;
    struct event event;

    if (options->json) {
        event_begin(&event, clock_wall(), "interface");
        event_text(&event, "name", interface->name);
        event_text(&event, "description", interface->description);
        event_text(&event, "state", interface->up ? "up" : "down");
        printf("%.*s}\n", (int)event.length, event.text);
        return;
    }
    printf("%-16s %-5s %s%s\n", interface->name, interface->up ? "up" : "down",
           interface->description,
           interface->loopback && !*interface->description ? "loopback" : "");
}

static int wrong_usage(const char *text)
{
    fprintf(stderr, "kdlens capture: %s\nTry \"kdlens capture --help\".\n", text);
    return EXIT_USAGE;
}

/* What is wrong with the options already by themselves; NULL when nothing is. */
static const char *check(const struct capture_options *options, struct problem *problem)
{
    char filter[CAPTURE_FILTER_SIZE];

    if (!options->interface)
        return "-i INTERFACE is missing; --list shows what there is";
    if (options->json && options->file && strcmp(options->file, "-") == 0)
        return "only one of --json and -w - can have the standard output";
    if (options->embed_key && !options->file)
        return "--embed-key needs -w FILE";
    return capture_filter(&options->ports, options->filter, filter, problem) ? NULL : problem->text;
}

const char *capture_hide_key(const char *argument, char copy[CAPTURE_KEY_SIZE])
{
    char *at = (char *)(uintptr_t)argument;

    if (!argument)
        return NULL;
    snprintf(copy, CAPTURE_KEY_SIZE, "%s", argument);
    for (; *at; at++)
        *at = '*';
    return copy;
}

static int run(void *values)
{
    struct capture_options *options = values;
    struct problem problem;
    char key[CAPTURE_KEY_SIZE];
    const char *wrong;
    int status;

    options->key = capture_hide_key(options->key, key);
    if (options->list) {
        if (capture_interfaces(list_one, options, &problem))
            return EXIT_OK;
        fprintf(stderr, "kdlens: %s\n", problem.text);
        return EXIT_FAILED;
    }
    if (!capture_available())
        return capture_run(options, NULL);
    wrong = check(options, &problem);
    if (wrong)
        return wrong_usage(wrong);
    status = capture_run(options, NULL);
    memset(key, 0, sizeof key);
    return status;
}

#define MEMBER(name) offsetof(struct capture_options, name)

static const struct option options[] = {
    {'i', "interface", OPTION_TEXT, MEMBER(interface), .value = "INTERFACE",
     .help = "the network interface to listen on"},
    {0, "kdnet", OPTION_FLAG, MEMBER(kdnet),
     .help = "capture KDNET, the only kind there is; may be left out"},
    {'p', "port", OPTION_EACH, MEMBER(ports), .value = "PORT",
     .help =
         "only what goes from or to this UDP port, a number or FIRST-LAST; may be given several "
         "times. Without, KDNET is told by how its datagrams begin, on any port"},
    {'f', "filter", OPTION_TEXT, MEMBER(filter), .value = "EXPRESSION",
     .help = "a capture filter of libpcap's that must hold as well: \"host 192.0.2.7\""},
    {'k', "key", OPTION_TEXT, MEMBER(key), .value = "KEY",
     .help = "the key of the sessions, to count what is authentic; other users can see it in lists "
             "of processes, so better use --key-file or --ask-key"},
    {0, "key-file", OPTION_TEXT, MEMBER(key_file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "read keys from FILE: lines KEY, ADDRESS KEY or ADDRESS:PORT KEY; - is the standard "
             "input"},
    {0, "ask-key", OPTION_FLAG, MEMBER(ask_key), .help = "ask for the key on the terminal"},
    {0, "embed-key", OPTION_FLAG, MEMBER(embed_key),
     .help = "write the keys into the file, so that it opens without settings; whoever has the "
             "file can then read what was in the target's memory"},
    {'w', "write", OPTION_TEXT, MEMBER(file), .value = "FILE", .complete = COMPLETE_FILE,
     .help = "write the frames to FILE (pcapng); compressed when it ends in .gz"},
    {'b', "ring-buffer", OPTION_EACH, MEMBER(rotation), .value = "KEY:VALUE",
     .help = "begin a new file after filesize:KB or duration:SECONDS, and keep the newest "
             "files:NUMBER; may be given several times"},
    {0, "promiscuous", OPTION_FLAG, MEMBER(promiscuous),
     .help = "also frames that are not for this machine, as far as the network brings them"},
    {'l', "list", OPTION_FLAG, MEMBER(list), .help = "list the network interfaces"},
    {0, "json", OPTION_FLAG, MEMBER(json), .help = "print counts as JSON, one object a line"},
    {'q', "quiet", OPTION_FLAG, MEMBER(quiet), .help = "say only what goes wrong"},
    {0},
};

static const struct section sections[] = {
    {"While it runs", "Ctrl-C, or the key q, ends the capture and the file. The key m, or the "
                      "signal SIGUSR2, puts a "
                      "marker on the next frame. Listening needs a right of its own: root's, or "
                      "\"setcap cap_net_raw+ep\" on this program."},
    {0},
};

static const struct example examples[] = {
    {"kdlens capture -i eth0 --kdnet -w session.pcapng",
     "every KDNET datagram on eth0, whatever the port"},
    {"kdlens capture -i eth0 --port 50000 --key-file key.txt --embed-key -w session.pcapng",
     "one session, with its key in the file"},
    {0},
};

const struct verb verb_capture = {
    .name = "capture",
    .summary = "record KDNET from a network interface",
    .options = options,
    .sections = sections,
    .examples = examples,
    .size = sizeof(struct capture_options),
    .run = run,
};
