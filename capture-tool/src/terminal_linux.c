/* terminal_linux.c - signals through a signalfd, keys through the terminal of stdin.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "terminal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "channel_linux.h"
#include "control.h"

struct terminal {
    struct channel_loop *loop;
    struct control *control;
    struct watch signals;
    struct watch keys;
    struct termios settings; /* as they were */
    bool changed;
};

static void caught(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR1);
    sigaddset(set, SIGUSR2);
    sigaddset(set, SIGCONT);
}

void terminal_catch_signals(void)
{
    sigset_t set;

    caught(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a file that may not grow is an error of write, as a full disk is */
    /* In the background the terminal is not ours; that must not stop the tap. */
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

/* Each key at once, and not shown; Ctrl-C stays a signal. */
static bool set_terminal(const struct terminal *terminal)
{
    struct termios settings = terminal->settings;

    settings.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    settings.c_cc[VMIN] = 1;
    settings.c_cc[VTIME] = 0;
    return tcgetpgrp(STDIN_FILENO) == getpgrp() && tcsetattr(STDIN_FILENO, TCSANOW, &settings) == 0;
}

static void signals_ready(void *context, uint32_t events)
{
    struct terminal *terminal = context;
    struct signalfd_siginfo info;

    (void)events;
    while (read(terminal->signals.fd, &info, sizeof info) == (ssize_t)sizeof info) {
        if (info.ssi_signo == SIGUSR1)
            control_post(terminal->control, CONTROL_BREAK_IN, NULL);
        else if (info.ssi_signo == SIGUSR2)
            control_post(terminal->control, CONTROL_MARKER, NULL);
        else if (info.ssi_signo == SIGCONT && terminal->changed)
            set_terminal(terminal); /* the shell has taken it back meanwhile */
        else if (info.ssi_signo != SIGCONT)
            control_post(terminal->control, CONTROL_STOP, strsignal((int)info.ssi_signo));
    }
}

static void take_key(struct terminal *terminal, char key)
{
    switch (key) {
    case 'b':
        control_post(terminal->control, CONTROL_BREAK_IN, NULL);
        break;
    case 'm':
        control_post(terminal->control, CONTROL_MARKER, NULL);
        break;
    case 'h':
        control_post(terminal->control, CONTROL_HEAL, NULL);
        break;
    case 'q':
        control_post(terminal->control, CONTROL_STOP, "key q");
        break;
    default:
        break;
    }
}

static void keys_ready(void *context, uint32_t events)
{
    struct terminal *terminal = context;
    char keys[16];
    ssize_t size = read(terminal->keys.fd, keys, sizeof keys);

    (void)events;
    for (ssize_t i = 0; i < size; i++)
        take_key(terminal, keys[i]);
    if (size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR))
        watch_set(terminal->loop, &terminal->keys, 0);
}

static void start_keys(struct terminal *terminal)
{
    if (!isatty(STDIN_FILENO) || tcgetattr(STDIN_FILENO, &terminal->settings) < 0 ||
        !set_terminal(terminal))
        return;
    terminal->changed = true;
    terminal->keys.fd = STDIN_FILENO;
    watch_set(terminal->loop, &terminal->keys, EPOLLIN);
}

struct terminal *terminal_start(struct channel_loop *loop, struct control *control, bool keys,
                                struct problem *problem)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);
    sigset_t set;

    if (!terminal) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    terminal->loop = loop;
    terminal->control = control;
    caught(&set);
    terminal->signals = (struct watch){.ready = signals_ready,
                                       .context = terminal,
                                       .fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC)};
    terminal->keys = (struct watch){.ready = keys_ready, .context = terminal, .fd = -1};
    if (terminal->signals.fd < 0 || !watch_set(loop, &terminal->signals, EPOLLIN)) {
        problem_system(problem, (unsigned long)errno, "signals cannot be waited for");
        terminal_stop(terminal);
        return NULL;
    }
    if (keys)
        start_keys(terminal);
    return terminal;
}

bool terminal_has_keys(const struct terminal *terminal)
{
    return terminal->changed;
}

void terminal_stop(struct terminal *terminal)
{
    if (!terminal)
        return;
    watch_close(terminal->loop, &terminal->signals);
    watch_set(terminal->loop, &terminal->keys, 0);
    if (terminal->changed)
        tcsetattr(STDIN_FILENO, TCSANOW, &terminal->settings);
    free(terminal);
}

bool terminal_has_line(void)
{
    const char *kind = getenv("TERM");

    return isatty(STDERR_FILENO) && kind && strcmp(kind, "dumb") != 0;
}

unsigned terminal_columns(void)
{
    struct winsize size;

    return ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}
