/* debug_signal.c - Ctrl-C and the end of the program. See debug_signal.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_signal.h"

#include <stdatomic.h>
#include <stddef.h>

#include "channel.h"

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <signal.h>
#endif

/* Signals have no context of their own. */
static atomic_bool interrupted, ends;
static _Atomic(struct channel_loop *) waiting;

static void wake(void)
{
    struct channel_loop *loop = atomic_load(&waiting);

    if (loop)
        channel_loop_wake(loop);
}

#ifdef _WIN32
static BOOL WINAPI handle(DWORD event)
{
    bool is_key = event == CTRL_C_EVENT || event == CTRL_BREAK_EVENT;

    atomic_store(is_key ? &interrupted : &ends, true);
    wake();
    return is_key;
}

static void install(void)
{
    SetConsoleCtrlHandler(NULL, FALSE);
    SetConsoleCtrlHandler(handle, TRUE);
}
#else
static void handle(int number)
{
    atomic_store(number == SIGINT ? &interrupted : &ends, true);
    wake();
}

static void install(void)
{
    struct sigaction action = {.sa_handler = handle};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}
#endif

void signal_catch(struct channel_loop *loop)
{
    atomic_store(&waiting, loop);
    if (loop)
        install();
}

bool signal_take_interrupt(void)
{
    return atomic_exchange(&interrupted, false);
}

bool signal_ends(void)
{
    return atomic_load(&ends);
}
