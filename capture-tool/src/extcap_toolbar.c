/* extcap_toolbar.c - the thread that listens to Wireshark's toolbar.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "extcap_toolbar.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "control.h"
#include "extcap_control.h"
#include "thread.h"
#include "wireshark_pipe.h"

#define PERIOD   100u   /* milliseconds between two looks at everything */
#define PATIENCE 30000u /* milliseconds until Wireshark must have come to read */

enum { BREAK_IN, MARKER_TEXT, MARKER, HEAL };

struct extcap_toolbar {
    struct extcap_toolbar_config config;
    struct wireshark_pipe *in, *out, *watch;
    struct control *control;
    struct thread thread;
    struct lock lock;
    struct condition wake;
    bool started;
    atomic_bool stopping;
    bool greeted; /* Wireshark was told what differs from the declaration */
    bool heal;
    char marker[CONTROL_TEXT_SIZE];
    struct extcap_parser parser;
};

void extcap_toolbar_declare(FILE *out)
{
    fprintf(out,
            "control {number=%d}{type=button}{display=Break in}{tooltip=Stop the target, as the "
            "debugger's own break does: sends it the byte 0x62}\n",
            BREAK_IN);
    fprintf(out,
            "control {number=%d}{type=string}{display=Marker}{placeholder=text}{tooltip=What the "
            "next marker says; press Enter to set it}\n",
            MARKER_TEXT);
    fprintf(out,
            "control {number=%d}{type=button}{display=Add marker}{tooltip=Write the text into the "
            "recording as a comment; without a text markers are numbered}\n",
            MARKER);
    fprintf(out,
            "control {number=%d}{type=boolean}{display=Heal}{default=false}{tooltip=End an endless "
            "exchange of RESETs by delaying single packets}\n",
            HEAL);
}

static bool send_message(struct extcap_toolbar *toolbar, uint8_t control, uint8_t command,
                         const char *payload, size_t payload_size)
{
    const struct extcap_message message = {control, command, payload, payload_size};
    uint8_t bytes[EXTCAP_HEAD_SIZE + EXTCAP_PAYLOAD_MAX];
    size_t size = extcap_encode(bytes, sizeof bytes, &message);

    return toolbar->out && wireshark_pipe_write(toolbar->out, bytes, size);
}

static void say(struct extcap_toolbar *toolbar, const char *text)
{
    send_message(toolbar, EXTCAP_NO_CONTROL, EXTCAP_STATUS_BAR, text, strlen(text));
}

/* What differs from the declaration. Wireshark may take its time to listen. */
static void greet(struct extcap_toolbar *toolbar)
{
    if (toolbar->config.only_marker)
        toolbar->greeted = send_message(toolbar, BREAK_IN, EXTCAP_DISABLE, "", 0) &&
                           send_message(toolbar, HEAL, EXTCAP_DISABLE, "", 0);
    else
        toolbar->greeted = send_message(toolbar, HEAL, EXTCAP_SET, toolbar->heal ? "\1" : "\0", 1);
}

static void post(struct extcap_toolbar *toolbar, enum control_kind kind, const char *text,
                 const char *answer)
{
    if (control_post(toolbar->control, kind, text))
        say(toolbar, answer);
    else
        say(toolbar, "kdlens: too much was asked for at once; this was not done");
}

static void set_marker(struct extcap_toolbar *toolbar, const struct extcap_message *message)
{
    size_t size =
        message->size < sizeof toolbar->marker ? message->size : sizeof toolbar->marker - 1;

    memcpy(toolbar->marker, message->payload, size);
    toolbar->marker[size] = '\0';
}

static void act(struct extcap_toolbar *toolbar, const struct extcap_message *message)
{
    bool on = message->size > 0 && message->payload[0] != 0;

    if (message->command != EXTCAP_SET)
        return;
    switch (message->control) {
    case BREAK_IN:
        if (!toolbar->config.only_marker)
            post(toolbar, CONTROL_BREAK_IN, NULL, "kdlens: break in requested");
        break;
    case MARKER_TEXT:
        set_marker(toolbar, message);
        break;
    case MARKER:
        post(toolbar, CONTROL_MARKER, toolbar->marker, "kdlens: marker written");
        break;
    case HEAL:
        if (on != toolbar->heal && !toolbar->config.only_marker) {
            toolbar->heal = on;
            post(toolbar, CONTROL_HEAL, NULL, on ? "kdlens: heal is on" : "kdlens: heal is off");
        }
        break;
    default:
        break;
    }
}

/* Waits a while for what Wireshark says. */
static void listen(struct extcap_toolbar *toolbar)
{
    uint8_t bytes[512];
    const uint8_t *at = bytes;
    ptrdiff_t got = wireshark_pipe_read(toolbar->in, bytes, sizeof bytes, PERIOD);
    size_t size = got > 0 ? (size_t)got : 0;
    struct extcap_message message;

    while (extcap_decode(&toolbar->parser, &at, &size, &message))
        act(toolbar, &message);
    if (got < 0 || toolbar->parser.damaged) {
        wireshark_pipe_close(toolbar->in);
        toolbar->in = NULL;
    }
}

static void rest(struct extcap_toolbar *toolbar)
{
    lock_take(&toolbar->lock);
    if (!atomic_load(&toolbar->stopping))
        condition_wait(&toolbar->wake, &toolbar->lock, PERIOD);
    lock_release(&toolbar->lock);
}

static void run(void *context)
{
    struct extcap_toolbar *toolbar = context;
    bool read_on = toolbar->watch != NULL;

    while (!atomic_load(&toolbar->stopping)) {
        if (toolbar->out && !toolbar->greeted)
            greet(toolbar);
        if (toolbar->in)
            listen(toolbar);
        else
            rest(toolbar);
        if (read_on && !wireshark_pipe_has_reader(toolbar->watch, clock_monotonic())) {
            read_on = false;
            control_post(toolbar->control, CONTROL_STOP, "Wireshark reads no more");
        }
    }
}

struct extcap_toolbar *extcap_toolbar_open(const struct extcap_toolbar_config *config,
                                           struct problem *problem)
{
    struct extcap_toolbar *toolbar = calloc(1, sizeof *toolbar);
    bool fine = toolbar != NULL;

    if (!toolbar) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    toolbar->config = *config;
    toolbar->heal = config->heal;
    lock_init(&toolbar->lock);
    condition_init(&toolbar->wake);
    if (config->in)
        fine = (toolbar->in = wireshark_pipe_open(config->in, WIRESHARK_READ, problem)) != NULL;
    if (fine && config->out)
        fine = (toolbar->out = wireshark_pipe_open(config->out, WIRESHARK_WRITE, problem)) != NULL;
    if (fine && config->fifo)
        fine =
            (toolbar->watch = wireshark_pipe_open(config->fifo, WIRESHARK_WATCH, problem)) != NULL;
    if (!fine) {
        extcap_toolbar_close(toolbar);
        return NULL;
    }
    return toolbar;
}

bool extcap_toolbar_await(struct extcap_toolbar *toolbar)
{
    return !toolbar->watch || wireshark_pipe_await(toolbar->watch, PATIENCE);
}

bool extcap_toolbar_start(struct extcap_toolbar *toolbar, struct control *control)
{
    toolbar->control = control;
    toolbar->started = thread_start(&toolbar->thread, run, toolbar);
    return toolbar->started;
}

void extcap_toolbar_stop(struct extcap_toolbar *toolbar)
{
    if (!toolbar->started)
        return;
    lock_take(&toolbar->lock);
    atomic_store(&toolbar->stopping, true);
    condition_signal(&toolbar->wake);
    lock_release(&toolbar->lock);
    thread_join(&toolbar->thread);
    toolbar->started = false;
}

void extcap_toolbar_close(struct extcap_toolbar *toolbar)
{
    if (!toolbar)
        return;
    wireshark_pipe_close(toolbar->in);
    wireshark_pipe_close(toolbar->out);
    wireshark_pipe_close(toolbar->watch);
    condition_clear(&toolbar->wake);
    lock_clear(&toolbar->lock);
    free(toolbar);
}
