/* system_linux.c - threads, clocks, error texts and arguments, by POSIX.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "clock.h"
#include "memory.h"
#include "problem.h"
#include "startup.h"
#include "thread.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec time;

    clock_gettime(id, &time);
    return (uint64_t)time.tv_sec * CLOCK_SECOND + (uint64_t)time.tv_nsec;
}

uint64_t clock_monotonic(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t clock_wall(void)
{
    return read_clock(CLOCK_REALTIME);
}

void problem_system(struct problem *problem, unsigned long error, const char *format, ...)
{
    va_list arguments;
    int length;

    va_start(arguments, format);
    length = vsnprintf(problem->text, sizeof problem->text, format, arguments);
    va_end(arguments);
    if (length >= 0 && (size_t)length < sizeof problem->text)
        snprintf(problem->text + length, sizeof problem->text - (size_t)length, ": %s",
                 strerror((int)error));
}

/* Of the whole pages of this memory. */
static void advise(void *memory, size_t size, int advice)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t before = (page - (uintptr_t)memory % page) % page;

    if (size > before)
        madvise((char *)memory + before, (size - before) / page * page, advice);
}

void memory_prefer_large_pages(void *memory, size_t size)
{
    advise(memory, size, MADV_HUGEPAGE);
}

void memory_map(void *memory, size_t size)
{
#ifdef MADV_POPULATE_WRITE /* since Linux 5.14 */
    advise(memory, size, MADV_POPULATE_WRITE);
#else
    (void)memory;
    (void)size;
#endif
}

static void *thread_main(void *context)
{
    struct thread *thread = context;

    thread->run(thread->context);
    return NULL;
}

bool thread_start(struct thread *thread, void (*run)(void *context), void *context)
{
    thread->run = run;
    thread->context = context;
    return pthread_create(&thread->id, NULL, thread_main, thread) == 0;
}

void thread_join(struct thread *thread)
{
    pthread_join(thread->id, NULL);
}

void thread_stand_back(void)
{
    /* On Linux 0 is the calling thread alone. */
    setpriority(PRIO_PROCESS, 0, 5);
}

void lock_init(struct lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

void lock_clear(struct lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

void lock_take(struct lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void lock_release(struct lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

void condition_init(struct condition *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&condition->variable, &attributes);
    pthread_condattr_destroy(&attributes);
}

void condition_clear(struct condition *condition)
{
    pthread_cond_destroy(&condition->variable);
}

void condition_signal(struct condition *condition)
{
    pthread_cond_signal(&condition->variable);
}

void condition_wait(struct condition *condition, struct lock *lock, uint32_t milliseconds)
{
    uint64_t until = clock_monotonic() + milliseconds * CLOCK_MILLISECOND;
    struct timespec time = {.tv_sec = (time_t)(until / CLOCK_SECOND),
                            .tv_nsec = (long)(until % CLOCK_SECOND)};

    pthread_cond_timedwait(&condition->variable, &lock->mutex, &time);
}

char **startup_arguments(int *argc, char **argv)
{
    (void)argc;
    return argv;
}
