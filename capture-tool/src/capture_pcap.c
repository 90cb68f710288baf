/* capture_pcap.c - frames from a network interface, by libpcap.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The system filters and stamps; here frames are told apart once more, checked against the keys and
 * written. One thread, which also looks for requests several times a second. When writing fails the
 * capture goes on: what is lost is counted, and said.
 */
#include "capture.h"

#include <inttypes.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "capture_file.h"
#include "channel_linux.h"
#include "clock.h"
#include "control.h"
#include "datagram.h"
#include "kdnet_opener.h"
#include "keyring.h"
#include "process.h"
#include "status.h"
#include "terminal.h"

#define SNAPLEN       262144
#define SYSTEM_BUFFER (32 << 20)
#define BATCH         256
#define TIMEOUT       50                       /* milliseconds; not waited for in immediate mode */
#define PERIOD        (50 * CLOCK_MILLISECOND) /* between two looks at everything else */
#define COUNT_PERIOD  CLOCK_SECOND

#define LINKTYPE_RAW 101 /* which libpcap calls DLT_RAW, by another number */

struct counts {
    uint64_t frames;    /* written or lost */
    uint64_t kdnet;     /* datagrams */
    uint64_t authentic; /* opened with a key */
    uint64_t sealed;    /* not */
    uint64_t bytes;
    uint64_t lost;    /* not written */
    uint64_t dropped; /* by the system, before they came here */
};

struct capture {
    const struct capture_options *options;
    char filter[CAPTURE_FILTER_SIZE];
    char description[200];
    struct keyring *keyring; /* NULL: no key was given */
    struct kdnet_opener *opener;
    pcap_t *pcap;
    uint16_t linktype;
    uint64_t time_unit; /* nanoseconds */
    struct capture_file_config file_config;
    struct capture_file *file; /* NULL: frames are only counted */
    struct channel_loop *loop;
    struct watch frames;
    struct control *control;
    struct terminal *terminal;
    struct counts counts, told;
    uint64_t tell_at;
    unsigned markers;
    char marker[CONTROL_TEXT_SIZE]; /* for the next frame */
    bool line_drawn;
    bool stopping;
    bool failed;
    struct problem problem;
};

bool capture_available(void)
{
    return true;
}

/* --- what is said */

static void clear_line(struct capture *capture)
{
    if (capture->line_drawn)
        fputs("\r\033[K", stderr);
    capture->line_drawn = false;
}

static void say(struct capture *capture, bool failure, const char *text)
{
    if (capture->options->quiet && !failure)
        return;
    clear_line(capture);
    fprintf(stderr, "kdlens: %s\n", text);
}

static void fail(struct capture *capture)
{
    capture->failed = true;
    say(capture, true, capture->problem.text);
}

static void count_text(const struct capture *capture, char *out, size_t room)
{
    const struct counts *counts = &capture->counts;
    size_t used;

    snprintf(out, room, "%s: %" PRIu64 " KDNET datagrams", capture->options->interface,
             counts->kdnet);
    used = strlen(out);
    if (capture->keyring)
        snprintf(out + used, room - used, ", %" PRIu64 " authentic, %" PRIu64 " not opened",
                 counts->authentic, counts->sealed);
    used = strlen(out);
    if (counts->frames > counts->kdnet)
        snprintf(out + used, room - used, ", %" PRIu64 " other frames",
                 counts->frames - counts->kdnet);
    used = strlen(out);
    if (counts->dropped + counts->lost > 0)
        snprintf(out + used, room - used,
                 ", %" PRIu64 " dropped by the system, %" PRIu64 " not written", counts->dropped,
                 counts->lost);
}

static void emit(struct event *event)
{
    printf("%.*s}\n", (int)event->length, event->text);
    fflush(stdout);
}

static void emit_counts(struct capture *capture, const char *name)
{
    const struct counts *counts = &capture->counts;
    struct event event;

    event_begin(&event, clock_wall(), name);
    event_number(&event, "frames", counts->frames);
    event_number(&event, "bytes", counts->bytes);
    event_number(&event, "datagrams", counts->kdnet);
    if (capture->keyring) {
        event_number(&event, "authentic", counts->authentic);
        event_number(&event, "sealed", counts->sealed);
    }
    event_number(&event, "dropped", counts->dropped);
    event_number(&event, "lost", counts->lost);
    emit(&event);
}

static void draw_line(struct capture *capture)
{
    char line[300];
    unsigned columns = terminal_columns();

    count_text(capture, line, sizeof line);
    if (columns > 1 && columns - 1 < strlen(line))
        line[columns - 1] = '\0';
    fprintf(stderr, "\r\033[K%s", line);
    capture->line_drawn = true;
}

/* Once a second, when something has come. */
static void tell(struct capture *capture, uint64_t now)
{
    const struct capture_options *options = capture->options;

    if (now < capture->tell_at ||
        memcmp(&capture->counts, &capture->told, sizeof capture->told) == 0)
        return;
    capture->tell_at = now + COUNT_PERIOD;
    capture->told = capture->counts;
    if (options->json)
        emit_counts(capture, "counts");
    else if (!options->quiet && terminal_has_line())
        draw_line(capture);
}

static void tell_start(struct capture *capture)
{
    const struct capture_options *options = capture->options;
    const char *path = capture->file ? capture_file_path(capture->file) : NULL;
    char text[CAPTURE_FILTER_SIZE + 400];
    struct event event;

    if (options->json) {
        event_begin(&event, clock_wall(), "capture-started");
        event_text(&event, "interface", options->interface);
        event_text(&event, "filter", capture->filter);
        if (path)
            event_text(&event, "file", path);
        emit(&event);
    }
    snprintf(text, sizeof text, "capturing on %s%s%s; the filter is \"%s\"", options->interface,
             path ? " into " : "", path ? path : "", capture->filter);
    if (!options->json)
        say(capture, false, text);
}

static void tell_end(struct capture *capture)
{
    char text[300];

    clear_line(capture);
    if (capture->options->json)
        emit_counts(capture, "capture-ended");
    count_text(capture, text, sizeof text);
    if (!capture->options->json)
        say(capture, false, text);
}

/* --- setting up: each false, with the problem, when it does not work */

static bool take_keys(struct capture *capture)
{
    const struct capture_options *options = capture->options;
    struct problem *problem = &capture->problem;

    if (!options->key && !options->key_file && !options->ask_key) {
        if (!options->embed_key)
            return true;
        problem_set(problem, "--embed-key: there is no key; give it with --key-file or --ask-key");
        return false;
    }
    capture->keyring = keyring_new(problem);
    if (!capture->keyring ||
        (options->key && !keyring_add(capture->keyring, options->key, NULL, problem)) ||
        (options->key_file &&
         !keyring_add_file(capture->keyring, options->key_file, NULL, problem)) ||
        (options->ask_key && !keyring_ask(capture->keyring, NULL, problem)))
        return false;
    capture->opener = kdnet_opener_new(capture->keyring, problem);
    return capture->opener != NULL;
}

static void no_permission(struct capture *capture)
{
    char program[PROCESS_PATH_SIZE];
    struct problem ignored;

    if (!process_own_path(program, sizeof program, &ignored))
        snprintf(program, sizeof program, "kdlens");
    problem_set(&capture->problem,
                "this user may not capture on %s. Allow it to this program, \"sudo setcap "
                "cap_net_raw+ep %.200s\", or run it with sudo; or, if Wireshark may capture here, "
                "let it: wireshark -i %s",
                capture->options->interface, program, capture->options->interface);
}

static bool activate(struct capture *capture)
{
    const char *interface = capture->options->interface;
    int status = pcap_activate(capture->pcap);

    if (status >= 0)
        return true;
    switch (status) {
    case PCAP_ERROR_PERM_DENIED:
    case PCAP_ERROR_PROMISC_PERM_DENIED:
        no_permission(capture);
        break;
    case PCAP_ERROR_NO_SUCH_DEVICE:
        problem_set(&capture->problem,
                    "there is no network interface %s; \"kdlens capture --list\" shows what there "
                    "is",
                    interface);
        break;
    case PCAP_ERROR_IFACE_NOT_UP:
        problem_set(&capture->problem, "the network interface %s is not up", interface);
        break;
    default:
        problem_set(&capture->problem, "cannot capture on %s: %s%s%s", interface,
                    pcap_statustostr(status), *pcap_geterr(capture->pcap) ? ", " : "",
                    pcap_geterr(capture->pcap));
        break;
    }
    return false;
}

/* Microseconds will do where nanoseconds cannot be had. */
static bool set_up(pcap_t *pcap, bool promiscuous)
{
    if (pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_NANO) != 0 &&
        pcap_set_tstamp_precision(pcap, PCAP_TSTAMP_PRECISION_MICRO) != 0)
        return false;
    return pcap_set_snaplen(pcap, SNAPLEN) == 0 && pcap_set_promisc(pcap, promiscuous) == 0 &&
           pcap_set_timeout(pcap, TIMEOUT) == 0 && pcap_set_immediate_mode(pcap, 1) == 0 &&
           pcap_set_buffer_size(pcap, SYSTEM_BUFFER) == 0;
}

static bool open_interface(struct capture *capture)
{
    char error[PCAP_ERRBUF_SIZE] = "";

    capture->pcap = pcap_create(capture->options->interface, error);
    if (!capture->pcap) {
        problem_set(&capture->problem, "cannot capture on %s: %s", capture->options->interface,
                    error);
        return false;
    }
    if (!set_up(capture->pcap, capture->options->promiscuous)) {
        problem_set(&capture->problem, "cannot capture on %s: it cannot be set up",
                    capture->options->interface);
        return false;
    }
    if (!activate(capture))
        return false;
    if (pcap_setnonblock(capture->pcap, 1, error) < 0) {
        problem_set(&capture->problem, "cannot capture on %s: %s", capture->options->interface,
                    error);
        return false;
    }
    capture->time_unit =
        pcap_get_tstamp_precision(capture->pcap) == PCAP_TSTAMP_PRECISION_NANO ? 1 : 1000;
    capture->linktype = pcap_datalink(capture->pcap) == DLT_RAW
                            ? LINKTYPE_RAW
                            : (uint16_t)pcap_datalink(capture->pcap);
    return true;
}

static bool set_filter(struct capture *capture)
{
    struct bpf_program program;
    bool fine;

    if (!capture_filter(&capture->options->ports, capture->options->filter, capture->filter,
                        &capture->problem))
        return false;
    fine = pcap_compile(capture->pcap, &program, capture->filter, 1, PCAP_NETMASK_UNKNOWN) == 0;
    if (fine) {
        fine = pcap_setfilter(capture->pcap, &program) == 0;
        pcap_freecode(&program);
    }
    if (!fine)
        problem_set(&capture->problem, "the filter \"%s\": %s", capture->filter,
                    pcap_geterr(capture->pcap));
    return fine;
}

static void find_description(void *context, const struct capture_interface *interface)
{
    struct capture *capture = context;

    if (strcmp(interface->name, capture->options->interface) == 0)
        snprintf(capture->description, sizeof capture->description, "%s", interface->description);
}

static bool open_file(struct capture *capture)
{
    const struct capture_options *options = capture->options;
    struct problem ignored;

    if (!options->file && options->rotation.count == 0)
        return true;
    capture_interfaces(find_description, capture, &ignored);
    capture->file_config = (struct capture_file_config){
        .path = options->file,
        .rotation = &options->rotation,
        .interface = options->interface,
        .description = *capture->description ? capture->description : NULL,
        .filter = capture->filter,
        .linktype = capture->linktype,
        .snaplen = SNAPLEN,
        .keyring = options->embed_key ? capture->keyring : NULL,
    };
    capture->file = capture_file_open(&capture->file_config, &capture->problem);
    return capture->file != NULL;
}

static void take_down(struct capture *capture)
{
    struct problem problem;
    uint64_t lost = 0;

    if (capture->file && !capture_file_close(capture->file, &lost, &problem) &&
        !capture->options->for_wireshark) {
        capture->problem = problem;
        fail(capture);
    }
    if (capture->loop)
        watch_set(capture->loop, &capture->frames, 0);
    terminal_stop(capture->terminal);
    control_free(capture->control);
    channel_loop_free(capture->loop);
    if (capture->pcap)
        pcap_close(capture->pcap);
    kdnet_opener_free(capture->opener);
    keyring_free(capture->keyring);
}

/* --- frames */

/* Whether this is a datagram of KDNET, and with which key it opens. */
static bool see_datagram(struct capture *capture, const uint8_t *frame, size_t size, size_t *key)
{
    struct datagram datagram;
    struct kdnet_seen seen;

    *key = SIZE_MAX;
    if (!datagram_find(capture->linktype, frame, size, &datagram) || !kdnet_is_datagram(&datagram))
        return false;
    capture->counts.kdnet++;
    if (!capture->opener)
        return true;
    kdnet_opener_see(capture->opener, &datagram, &seen);
    if (seen.kind == KDNET_SEEN_SEALED || seen.kind == KDNET_SEEN_OTHER) {
        capture->counts.sealed++;
        return true;
    }
    capture->counts.authentic++;
    *key = seen.key;
    return true;
}

static void take_frame(u_char *context, const struct pcap_pkthdr *head, const u_char *bytes)
{
    struct capture *capture = (struct capture *)(void *)context;
    struct capture_frame frame = {.wall = (uint64_t)head->ts.tv_sec * CLOCK_SECOND +
                                          (uint64_t)head->ts.tv_usec,
                                  .bytes = bytes,
                                  .size = head->caplen,
                                  .original_size = head->len,
                                  .marker = *capture->marker ? capture->marker : NULL};
    bool kdnet = see_datagram(capture, bytes, head->caplen, &frame.key);

    /* The filter by magic alone lets through what has these two bytes by chance. */
    if (!kdnet && capture->options->ports.count == 0)
        return;
    capture->counts.frames++;
    capture->counts.bytes += head->caplen;
    if (!capture->file)
        return;
    if (capture_file_frame(capture->file, &frame))
        capture->marker[0] = '\0';
    else
        capture->counts.lost++;
}

static void take_statistics(struct capture *capture)
{
    struct pcap_stat stat;

    if (pcap_stats(capture->pcap, &stat) < 0)
        return;
    capture->counts.dropped = (uint64_t)stat.ps_drop + stat.ps_ifdrop;
    if (capture->file)
        capture_file_counts(capture->file, stat.ps_recv, capture->counts.dropped);
}

static void frames_ready(void *context, uint32_t events)
{
    struct capture *capture = context;

    (void)events;
    if (pcap_dispatch(capture->pcap, BATCH, take_frame, (u_char *)capture) >= 0)
        return;
    problem_set(&capture->problem, "%s: %s", capture->options->interface,
                pcap_geterr(capture->pcap));
    fail(capture);
    capture->stopping = true;
}

static void write_out(struct capture *capture)
{
    const char *news;

    if (!capture->file)
        return;
    if (!capture_file_flush(capture->file) && capture->options->for_wireshark)
        capture->stopping = true; /* the reader has gone */
    while ((news = capture_file_news(capture->file)))
        if (!capture->options->for_wireshark)
            say(capture, true, news);
}

/* --- requests */

static void put_marker(struct capture *capture, const char *text)
{
    struct event event;

    capture->markers++;
    if (*text)
        snprintf(capture->marker, sizeof capture->marker, "%s", text);
    else
        snprintf(capture->marker, sizeof capture->marker, "marker %u", capture->markers);
    if (!capture->options->json) {
        say(capture, false, capture->marker);
        return;
    }
    event_begin(&event, clock_wall(), "marker");
    event_text(&event, "text", capture->marker);
    emit(&event);
}

static void take_requests(struct capture *capture)
{
    struct control_request request;

    while (control_take(capture->control, &request)) {
        switch (request.kind) {
        case CONTROL_STOP:
            capture->stopping = true;
            break;
        case CONTROL_MARKER:
            put_marker(capture, request.text);
            break;
        case CONTROL_BREAK_IN:
        case CONTROL_HEAL:
            say(capture, false, "a network is only listened to; nothing is sent to the target");
            break;
        }
    }
}

static bool start_loop(struct capture *capture)
{
    bool keys = !capture->options->for_wireshark && !capture->options->json;

    capture->loop = channel_loop_new(&capture->problem);
    if (!capture->loop)
        return false;
    capture->control = control_new(capture->loop);
    if (!capture->control) {
        problem_set(&capture->problem, "out of memory");
        return false;
    }
    capture->frames = (struct watch){
        .ready = frames_ready, .context = capture, .fd = pcap_get_selectable_fd(capture->pcap)};
    if (capture->frames.fd < 0 || !watch_set(capture->loop, &capture->frames, EPOLLIN)) {
        problem_set(&capture->problem, "%s cannot be waited for", capture->options->interface);
        return false;
    }
    capture->terminal = terminal_start(capture->loop, capture->control, keys, &capture->problem);
    return capture->terminal != NULL;
}

static void run(struct capture *capture)
{
    uint64_t look_at = 0;

    tell_start(capture);
    while (!capture->stopping) {
        if (!channel_loop_turn(capture->loop, clock_monotonic() + PERIOD, &capture->problem)) {
            fail(capture);
            break;
        }
        take_requests(capture);
        if (clock_monotonic() < look_at)
            continue;
        look_at = clock_monotonic() + PERIOD;
        take_statistics(capture);
        write_out(capture);
        tell(capture, clock_monotonic());
    }
    take_statistics(capture);
    write_out(capture);
    tell_end(capture);
}

int capture_run(const struct capture_options *options, const struct tap_hooks *hooks)
{
    struct capture *capture = calloc(1, sizeof *capture);
    bool failed;

    if (!capture) {
        fprintf(stderr, "kdlens: out of memory\n");
        return EXIT_FAILED;
    }
    capture->options = options;
    terminal_catch_signals();
    if (take_keys(capture) && open_interface(capture) && set_filter(capture) &&
        open_file(capture) && start_loop(capture)) {
        if (hooks && hooks->ready)
            hooks->ready(hooks->context, capture->control);
        run(capture);
        if (hooks && hooks->after)
            hooks->after(hooks->context);
    } else {
        fail(capture);
    }
    take_down(capture);
    failed = capture->failed;
    free(capture);
    return failed ? EXIT_FAILED : EXIT_OK;
}

/* --- what there is */

/* libpcap also lists what is no network. */
static bool is_network(const char *name)
{
    static const char *const others[] = {"bluetooth", "dbus", "nflog", "nfqueue", "usbmon"};

    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strncmp(name, others[i], strlen(others[i])) == 0)
            return false;
    return true;
}

bool capture_interfaces(void (*each)(void *context, const struct capture_interface *interface),
                        void *context, struct problem *problem)
{
    char error[PCAP_ERRBUF_SIZE] = "";
    pcap_if_t *list;

    if (pcap_findalldevs(&list, error) < 0) {
        problem_set(problem, "cannot list the network interfaces: %s", error);
        return false;
    }
    for (const pcap_if_t *at = list; at; at = at->next) {
        struct capture_interface interface = {
            .name = at->name,
            .description = at->description ? at->description : "",
            .up = (at->flags & PCAP_IF_UP) != 0,
            .loopback = (at->flags & PCAP_IF_LOOPBACK) != 0,
        };

        if (is_network(at->name))
            each(context, &interface);
    }
    pcap_freealldevs(list);
    return true;
}

bool capture_check_filter(const char *expression, struct problem *problem)
{
    pcap_t *pcap = pcap_open_dead(DLT_EN10MB, SNAPLEN);
    struct bpf_program program;
    bool fine = pcap && pcap_compile(pcap, &program, expression, 1, PCAP_NETMASK_UNKNOWN) == 0;

    if (fine)
        pcap_freecode(&program);
    else
        problem_set(problem, "%s", pcap ? pcap_geterr(pcap) : "out of memory");
    if (pcap)
        pcap_close(pcap);
    return fine;
}
