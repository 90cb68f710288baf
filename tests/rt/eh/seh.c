/* seh.c - __try, __except, __finally, guarded calls and longjmp, traced.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "rt/rt.h"

#include "fixture.h"

#define NOINLINE __attribute__((noinline))

enum { CONTINUE_EXECUTION = -1, CONTINUE_SEARCH = 0, EXECUTE_HANDLER = 1 };

void *_exception_info(void);
unsigned long _exception_code(void);
int _abnormal_termination(void);
int _setjmp(struct rt_jump *jump, void *frame) __attribute__((returns_twice));
_Noreturn void longjmp(struct rt_jump *jump, int value);

NOINLINE static int filter(int number, int answer)
{
    note("filter");
    note_number(number);
    return answer;
}

NOINLINE static void filters(void)
{
    __try {
        __try {
            read_nowhere();
            note("not reached");
        } __except (filter(1, CONTINUE_SEARCH)) {
            note("inner");
        }
        note("not reached");
    } __except (filter(2, EXECUTE_HANDLER)) {
        note("outer");
    }
    note("end");
}

NOINLINE static void code(void (*fault)(void))
{
    unsigned long seen = 0;

    __try {
        fault();
    } __except (seen = _exception_code(), EXECUTE_HANDLER) {
        note_number((long)(seen & 0xFFFF));
        note_number((long)(_exception_code() >> 28));
    }
}

static volatile int repaired;

NOINLINE static void wait_for_repair(void)
{
    if (!repaired)
        undefined_instruction();
    note("goes on");
}

/* The instruction is two bytes long. */
NOINLINE static int repair(struct rt_pointers *pointers)
{
    note("repair");
    repaired = 1;
    pointers->context->rip += 2;
    return CONTINUE_EXECUTION;
}

NOINLINE static void continues(void)
{
    repaired = 0;
    __try {
        wait_for_repair();
        note("same try");
    } __except (repair(_exception_info())) {
        note("not reached");
    }
}

NOINLINE static void parameters(void)
{
    __try {
        write_nowhere();
    } __except (
        note_number((long)((struct rt_pointers *)_exception_info())->record->parameters[0]),
        note_number((long)(((struct rt_pointers *)_exception_info())->record->parameters[1] >> 24)),
        EXECUTE_HANDLER) {
        note("handled");
    }
}

NOINLINE static void finally_frame(void)
{
    __try {
        __try {
            read_nowhere();
        } __finally {
            note("inner finally");
            note_number(_abnormal_termination());
        }
    } __finally {
        note("outer finally");
        note_number(_abnormal_termination());
    }
}

NOINLINE static void finallies(void)
{
    __try {
        finally_frame();
        note("not reached");
    } __except (filter(0, EXECUTE_HANDLER)) {
        note("handled");
    }
    __try {
        note("body");
    } __finally {
        note("normal");
        note_number(_abnormal_termination());
    }
}

/* A second exception, while the first one's __finally runs, ends the first. */
NOINLINE static void fails_in_finally(void)
{
    __try {
        read_nowhere();
    } __finally {
        note("finally");
        divide_by_zero();
        note("not reached");
    }
}

NOINLINE static void with_finally(void)
{
    __try {
        fails_in_finally();
    } __finally {
        note("once");
    }
}

NOINLINE static void collided(void)
{
    unsigned long seen = 0;

    __try {
        with_finally();
    } __except (seen = _exception_code(), EXECUTE_HANDLER) {
        note("handled");
        note_number((long)(seen & 0xFFFF));
    }
}

/* What was handled inside is over when the outer block's end comes. */
NOINLINE static void handled_inside(void)
{
    __try {
        __try {
            read_nowhere();
        } __except (EXECUTE_HANDLER) {
            note("handled");
        }
    } __finally {
        note("finally");
        note_number(_abnormal_termination());
    }
}

/* A new exception in the block of an __except is a new exception. */
NOINLINE static void in_except(void)
{
    __try {
        __try {
            read_nowhere();
        } __except (EXECUTE_HANDLER) {
            note("first");
            divide_by_zero();
        }
    } __except (EXECUTE_HANDLER) {
        note("second");
        note_number((long)(_exception_code() & 0xFFFF));
    }
}

NOINLINE static void raise(void)
{
    static const uint64_t values[] = {7, 8};

    rt_raise_code(0xE0000001, 0, 2, values);
    note("resumed");
}

NOINLINE static void raised(void)
{
    __try {
        raise();
    } __except (note_number((long)((struct rt_pointers *)_exception_info())->record->parameters[1]),
                CONTINUE_EXECUTION) {
        note("not reached");
    }
    __try {
        raise();
    } __except (_exception_code() == 0xE0000001 ? EXECUTE_HANDLER : CONTINUE_SEARCH) {
        note("handled");
    }
}

static struct rt_jump jump;

NOINLINE static void jumps(int value)
{
    __try {
        note("jump");
        longjmp(&jump, value);
    } __finally {
        note("finally");
    }
}

NOINLINE static void long_jump(void)
{
    volatile int count = 0;
    int value = _setjmp(&jump, __builtin_frame_address(0));

    note_number(value);
    if (count++ < 2)
        jumps(value + 5);
}

static void RT_ABI reads(void *argument)
{
    note((const char *)argument);
    __try {
        read_nowhere();
    } __finally {
        note("finally");
    }
}

static void RT_ABI harmless(void *argument)
{
    note((const char *)argument);
}

static void RT_ABI throws(void *argument)
{
    (void)argument;
    rt_raise_code(0xE0000002, 0, 0, NULL);
}

NOINLINE static void guarded(void)
{
    struct rt_guarded why = {0};

    note_number(rt_guard(harmless, "harmless", &why));
    note_number(rt_guard(reads, "reads", &why));
    note_number((long)(why.code & 0xFFFF));
    note_number((long)(why.parameters[1] >> 24));
    note_number(rt_guard(throws, NULL, &why));
    note_number((long)(why.code & 0xFFFF));
    note_number(rt_guard(reads, "reads", NULL));
}

void seh_cases(void)
{
    begin("seh_filters");
    filters();
    begin("seh_codes");
    code(read_nowhere);
    code(divide_by_zero);
    code(undefined_instruction);
    code(not_canonical);
    begin("seh_continue");
    continues();
    begin("seh_parameters");
    parameters();
    begin("seh_finally");
    finallies();
    begin("seh_inside");
    handled_inside();
    begin("seh_collided");
    collided();
    begin("seh_in_except");
    in_except();
    begin("seh_raise");
    raised();
    begin("seh_jump");
    long_jump();
    begin("seh_guard");
    guarded();
}
