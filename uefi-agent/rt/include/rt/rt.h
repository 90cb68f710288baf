/* rt.h - exceptions for UEFI programs: what a program and a debug agent call.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A program calls rt_init once with its own image. From then on C++ exceptions and __try work, and
 * a fault becomes an exception when whoever owns the processor's vectors hands it to rt_fault. One
 * thread of control: firmware has no other.
 */
#ifndef KDLENS_RT_RT_H
#define KDLENS_RT_RT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rt/windows.h"

enum rt_reason {
    RT_REASON_UNHANDLED,    /* no handler took an exception that a program raised */
    RT_REASON_UNWINDING,    /* an exception left a destructor, or a copy made for a catch block */
    RT_REASON_NOEXCEPT,     /* an exception left a function that promises not to throw */
    RT_REASON_NO_EXCEPTION, /* throw; without an exception to throw again */
    RT_REASON_TABLES,       /* exception tables that contradict themselves */
    RT_REASON_TARGET,       /* the frame to unwind to is not on the stack */
    RT_REASON_NESTED,       /* more exceptions inside each other than RT_MAX_NESTED */
    RT_REASON_COOKIE,       /* a stack cookie was overwritten */
    RT_REASON_TERMINATE,    /* std::terminate, called by the program */
};

#define RT_MAX_IMAGES 16
#define RT_MAX_NESTED 16
#define RT_MAX_FRAMES 4096 /* that a search goes through */

/* What the library asks of its surroundings. All may be NULL. */
struct rt_port {
    void *context;
    /* Memory that may not be there. Without it memory is simply read and written. */
    bool (*read)(void *context, uint64_t address, void *buffer, size_t size);
    bool (*write)(void *context, uint64_t address, const void *buffer, size_t size);
    /* The program cannot go on. registers may be NULL. If this returns, or is NULL, an undefined
     * instruction follows with the record's address in rcx and the registers' in rdx. */
    void (*terminate)(void *context, enum rt_reason reason, const struct rt_record *record,
                      const struct rt_context *registers);
};

/* Who sees a fault first. Breakpoints and single steps are the debugger's, always. */
enum rt_policy {
    RT_HANDLER_FIRST,
    RT_DEBUGGER_FIRST,
    RT_NEVER, /* faults are never turned into exceptions */
};

enum rt_fault_answer {
    RT_FAULT_RESUME,       /* go on with the registers as they are now: a handler is looked for */
    RT_FAULT_FIRST_CHANCE, /* show the debugger; if it does not handle it, call rt_fault_pass */
    RT_FAULT_UNHANDLED,    /* no handler took it: the debugger's */
};

/* A fault as the processor told it. context is complete, and is changed. */
struct rt_fault {
    uint32_t vector;
    uint32_t error_code;
    uint64_t address; /* cr2 */
    struct rt_context *context;
};

/* What ended a guarded call. */
struct rt_guarded {
    uint32_t code;
    uint64_t address;
    uint64_t parameters[2];
};

/* image: the address of the program's own headers. False when they cannot be read. */
bool rt_init(const void *image, const struct rt_port *port);

/* More images whose functions may be on the stack. remove takes what add was given. */
bool rt_add_image(const void *image);
bool rt_remove_image(const void *image);

/* Functions made at run time: count rows at table, which lies in base .. base + size - 1 as their
 * code and unwind data do. */
bool rt_add_functions(const void *base, uint32_t size, const void *table, uint32_t count);

/* The image that holds an address; for img_walk.find. */
const struct img_image *rt_find_image(void *unused, uint64_t address);

void rt_exception_policy(enum rt_policy policy);

/* Whether catch (...) takes faults even in code compiled for C++ exceptions only (/EHs, and all
 * that clang 14 makes). It does unless told otherwise. */
void rt_catch_faults(bool yes);

/* Called where faults arrive, with interrupts off and on any stack. */
enum rt_fault_answer rt_fault(struct rt_fault *fault);

/* The debugger saw a first chance and does not handle it. */
enum rt_fault_answer rt_fault_pass(struct rt_fault *fault);

/* True when some frame has an exception handler at all. */
bool rt_has_handler(const struct rt_context *context);

/* Calls function(argument). False: an exception, a fault or a throw, that nobody in it took ended
 * the call; *guarded tells which. */
RT_ABI bool rt_guard(RT_ABI void (*function)(void *argument), void *argument,
                     struct rt_guarded *guarded);

/* Raises an exception; returns when a filter says that execution goes on. */
RT_ABI void rt_raise_code(uint32_t code, uint32_t flags, uint32_t count,
                          const uint64_t *parameters);

const char *rt_reason_text(enum rt_reason reason);

/* What setjmp writes. */
struct rt_jump {
    uint64_t frame; /* 0: longjmp does not unwind */
    uint64_t rbx;
    uint64_t rsp;
    uint64_t rbp;
    uint64_t rsi;
    uint64_t rdi;
    uint64_t r12;
    uint64_t r13;
    uint64_t r14;
    uint64_t r15;
    uint64_t rip;
    uint64_t control; /* mxcsr, fpcsr */
    struct img_xmm xmm[10];
};

_Static_assert(sizeof(struct rt_jump) == 256, "_JUMP_BUFFER");

#endif
