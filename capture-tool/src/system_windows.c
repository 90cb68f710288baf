/* system_windows.c - threads, clocks, error texts and arguments, by Win32.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "clock.h"
#include "memory.h"
#include "problem.h"
#include "startup.h"
#include "thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <shellapi.h>

#define EPOCH_1970 UINT64_C(116444736000000000) /* in units of 100 ns since 1601 */

uint64_t clock_monotonic(void)
{
    LARGE_INTEGER count, frequency;
    uint64_t seconds, rest;

    QueryPerformanceFrequency(&frequency);
    QueryPerformanceCounter(&count);
    seconds = (uint64_t)(count.QuadPart / frequency.QuadPart);
    rest = (uint64_t)(count.QuadPart % frequency.QuadPart);
    return seconds * CLOCK_SECOND + rest * CLOCK_SECOND / (uint64_t)frequency.QuadPart;
}

uint64_t clock_wall(void)
{
    FILETIME time;
    uint64_t units;

    GetSystemTimePreciseAsFileTime(&time);
    units = (uint64_t)time.dwHighDateTime << 32 | time.dwLowDateTime;
    return (units - EPOCH_1970) * 100;
}

void problem_system(struct problem *problem, unsigned long error, const char *format, ...)
{
    wchar_t wide[256];
    char text[512];
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof problem->text)
        return;
    if (FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS |
                           FORMAT_MESSAGE_MAX_WIDTH_MASK,
                       NULL, error, 0, wide, sizeof wide / sizeof wide[0], NULL) == 0 ||
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, sizeof text, NULL, NULL) == 0)
        text[0] = '\0';
    /* The system ends its sentences with a full stop and a blank. */
    for (size_t end = strlen(text); end > 0 && strchr(". \r\n", text[end - 1]); end--)
        text[end - 1] = '\0';
    snprintf(problem->text + length, sizeof problem->text - (size_t)length, ": %s%serror %lu", text,
             text[0] ? ", " : "", error);
}

/* Large pages need a privilege here that nobody has by default. */
void memory_prefer_large_pages(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

/* Windows maps small pages, and has no way to do so ahead that keeps what is there. */
void memory_map(void *memory, size_t size)
{
    (void)memory;
    (void)size;
}

static DWORD WINAPI thread_main(void *context)
{
    struct thread *thread = context;

    thread->run(thread->context);
    return 0;
}

bool thread_start(struct thread *thread, void (*run)(void *context), void *context)
{
    thread->run = run;
    thread->context = context;
    thread->handle = CreateThread(NULL, 0, thread_main, thread, 0, NULL);
    return thread->handle != NULL;
}

void thread_join(struct thread *thread)
{
    WaitForSingleObject(thread->handle, INFINITE);
    CloseHandle(thread->handle);
}

void thread_stand_back(void)
{
    SetThreadPriority(GetCurrentThread(), THREAD_PRIORITY_BELOW_NORMAL);
}

void lock_init(struct lock *lock)
{
    InitializeSRWLock(&lock->srw);
}

void lock_clear(struct lock *lock)
{
    (void)lock;
}

void lock_take(struct lock *lock)
{
    AcquireSRWLockExclusive(&lock->srw);
}

void lock_release(struct lock *lock)
{
    ReleaseSRWLockExclusive(&lock->srw);
}

void condition_init(struct condition *condition)
{
    InitializeConditionVariable(&condition->variable);
}

void condition_clear(struct condition *condition)
{
    (void)condition;
}

void condition_signal(struct condition *condition)
{
    WakeConditionVariable(&condition->variable);
}

void condition_wait(struct condition *condition, struct lock *lock, uint32_t milliseconds)
{
    SleepConditionVariableSRW(&condition->variable, &lock->srw, milliseconds, 0);
}

/* Of the console, as it was before; 0: unchanged. */
static UINT code_page;

static void restore_code_page(void)
{
    SetConsoleOutputCP(code_page);
}

static void show_utf8(void)
{
    code_page = GetConsoleOutputCP();
    if (code_page != 0 && code_page != CP_UTF8 && SetConsoleOutputCP(CP_UTF8))
        atexit(restore_code_page);
}

static char *narrow(const wchar_t *wide)
{
    int size = WideCharToMultiByte(CP_UTF8, 0, wide, -1, NULL, 0, NULL, NULL);
    char *text = size > 0 ? malloc((size_t)size) : NULL;

    if (text)
        WideCharToMultiByte(CP_UTF8, 0, wide, -1, text, size, NULL, NULL);
    return text;
}

char **startup_arguments(int *argc, char **argv)
{
    wchar_t **wide = CommandLineToArgvW(GetCommandLineW(), argc);
    char **arguments = wide ? calloc((size_t)*argc + 1, sizeof *arguments) : NULL;

    (void)argv;
    show_utf8();
    for (int i = 0; arguments && i < *argc; i++) {
        arguments[i] = narrow(wide[i]);
        if (!arguments[i])
            return NULL;
    }
    LocalFree(wide);
    return arguments;
}
