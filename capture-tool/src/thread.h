/* thread.h - threads, locks and condition variables of Linux and Windows behind one set of names.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * system_linux.c and system_windows.c implement it. For single numbers and flags between threads
 * there is stdatomic.h.
 */
#ifndef KDLENS_THREAD_H
#define KDLENS_THREAD_H

#include <stdbool.h>
#include <stdint.h>

#ifdef _WIN32
#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN
#endif
#include <windows.h>
struct thread {
    HANDLE handle;
    void (*run)(void *context);
    void *context;
};
struct lock {
    SRWLOCK srw;
};
struct condition {
    CONDITION_VARIABLE variable;
};
#else
#include <pthread.h>
struct thread {
    pthread_t id;
    void (*run)(void *context);
    void *context;
};
struct lock {
    pthread_mutex_t mutex;
};
struct condition {
    pthread_cond_t variable;
};
#endif

/* The struct must stay where it is until thread_join. False: the system has no more threads. */
bool thread_start(struct thread *thread, void (*run)(void *context), void *context);

void thread_join(struct thread *thread);

/* The calling thread gives way to others when processors are scarce. */
void thread_stand_back(void);

void lock_init(struct lock *lock);
void lock_clear(struct lock *lock);
void lock_take(struct lock *lock);
void lock_release(struct lock *lock);

void condition_init(struct condition *condition);
void condition_clear(struct condition *condition);
void condition_signal(struct condition *condition);

/* With the lock taken. Returns after a signal, after this long, or for no reason. */
void condition_wait(struct condition *condition, struct lock *lock, uint32_t milliseconds);

#endif
