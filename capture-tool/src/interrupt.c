/* interrupt.c - counting interrupts. See interrupt.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "interrupt.h"

#include <stdatomic.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#else
#include <signal.h>
#include <stddef.h>
#endif

static atomic_int count;

#ifdef _WIN32
static BOOL WINAPI handle(DWORD event)
{
    (void)event;
    atomic_fetch_add(&count, 1);
    return TRUE;
}

void interrupt_catch(void)
{
    SetConsoleCtrlHandler(handle, TRUE);
}
#else
static void handle(int number)
{
    (void)number;
    atomic_fetch_add(&count, 1);
}

void interrupt_catch(void)
{
    struct sigaction action = {.sa_handler = handle};

    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}
#endif

int interrupt_count(void)
{
    return atomic_load(&count);
}
