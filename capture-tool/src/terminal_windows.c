/* terminal_windows.c - the console's events and keys as requests.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The system calls the handler in a thread of its own, without a context: so there is one terminal.
 * After the events of a console that is closed, of a user who logs off and of a shutdown the
 * process ends as soon as the handler returns, or some seconds later: it does not return.
 */
#include "terminal.h"

#include <stdlib.h>
#include <string.h>

#include "control.h"
#include "thread.h"

struct terminal {
    struct control *control;
    struct thread thread;
    bool has_thread;
    HANDLE input;
    HANDLE stop; /* an event */
    DWORD mode;  /* of the input, as it was */
};

/* Who gets the requests of the handler; NULL: nobody yet, or no more. */
static struct {
    struct lock lock;
    struct control *control;
    bool early; /* an event has come before there was anybody */
} receiver = {.lock = {SRWLOCK_INIT}};

static void request_stop(const char *why)
{
    lock_take(&receiver.lock);
    if (receiver.control)
        control_post(receiver.control, CONTROL_STOP, why);
    else
        receiver.early = true;
    lock_release(&receiver.lock);
}

static BOOL WINAPI handle_event(DWORD event)
{
    switch (event) {
    case CTRL_C_EVENT:
        request_stop("Ctrl-C");
        return TRUE;
    case CTRL_BREAK_EVENT:
        request_stop("Ctrl-Break");
        return TRUE;
    case CTRL_CLOSE_EVENT:
        request_stop("the console was closed");
        break;
    default:
        request_stop("the session ends");
        break;
    }
    /* The file is being ended meanwhile; the process with it. */
    Sleep(INFINITE);
    return TRUE;
}

void terminal_catch_signals(void)
{
    /* A parent may have switched Ctrl-C off, which is inherited. */
    SetConsoleCtrlHandler(NULL, FALSE);
    SetConsoleCtrlHandler(handle_event, TRUE);
}

static void take_key(struct terminal *terminal, const INPUT_RECORD *record)
{
    if (record->EventType != KEY_EVENT || !record->Event.KeyEvent.bKeyDown)
        return;
    switch (record->Event.KeyEvent.uChar.UnicodeChar) {
    case L'b':
        control_post(terminal->control, CONTROL_BREAK_IN, NULL);
        break;
    case L'm':
        control_post(terminal->control, CONTROL_MARKER, NULL);
        break;
    case L'h':
        control_post(terminal->control, CONTROL_HEAL, NULL);
        break;
    case L'q':
        control_post(terminal->control, CONTROL_STOP, "key q");
        break;
    default:
        break;
    }
}

static void read_keys(void *context)
{
    struct terminal *terminal = context;
    HANDLE waited[2] = {terminal->stop, terminal->input};
    INPUT_RECORD records[16];
    DWORD count;

    while (WaitForMultipleObjects(2, waited, FALSE, INFINITE) == WAIT_OBJECT_0 + 1 &&
           ReadConsoleInputW(terminal->input, records, 16, &count))
        for (DWORD i = 0; i < count; i++)
            take_key(terminal, &records[i]);
}

/* Each key at once, and not shown; Ctrl-C stays an event. */
static void start_keys(struct terminal *terminal)
{
    HANDLE input = GetStdHandle(STD_INPUT_HANDLE);

    if (!GetConsoleMode(input, &terminal->mode))
        return;
    terminal->input = input;
    terminal->stop = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!terminal->stop)
        return;
    SetConsoleMode(input, ENABLE_PROCESSED_INPUT | ENABLE_EXTENDED_FLAGS |
                              (terminal->mode & ENABLE_QUICK_EDIT_MODE));
    terminal->has_thread = thread_start(&terminal->thread, read_keys, terminal);
}

struct terminal *terminal_start(struct channel_loop *loop, struct control *control, bool keys,
                                struct problem *problem)
{
    struct terminal *terminal = calloc(1, sizeof *terminal);
    bool early;

    (void)loop;
    if (!terminal) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    terminal->control = control;
    lock_take(&receiver.lock);
    receiver.control = control;
    early = receiver.early;
    lock_release(&receiver.lock);
    if (early)
        control_post(control, CONTROL_STOP, "Ctrl-C");
    if (keys)
        start_keys(terminal);
    return terminal;
}

bool terminal_has_keys(const struct terminal *terminal)
{
    return terminal->has_thread;
}

void terminal_stop(struct terminal *terminal)
{
    if (!terminal)
        return;
    lock_take(&receiver.lock);
    receiver.control = NULL;
    lock_release(&receiver.lock);
    if (terminal->has_thread) {
        SetEvent(terminal->stop);
        thread_join(&terminal->thread);
    }
    if (terminal->stop)
        CloseHandle(terminal->stop);
    if (terminal->input)
        SetConsoleMode(terminal->input, terminal->mode);
    free(terminal);
}

bool terminal_has_line(void)
{
    HANDLE output = GetStdHandle(STD_ERROR_HANDLE);
    DWORD mode;

    return GetConsoleMode(output, &mode) &&
           SetConsoleMode(output,
                          mode | ENABLE_PROCESSED_OUTPUT | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

unsigned terminal_columns(void)
{
    CONSOLE_SCREEN_BUFFER_INFO info;

    if (!GetConsoleScreenBufferInfo(GetStdHandle(STD_ERROR_HANDLE), &info))
        return 0;
    return (unsigned)(info.srWindow.Right - info.srWindow.Left + 1);
}
