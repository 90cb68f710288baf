// async.cpp - faults in the very function with the try block, where the compiler expects them.
//
// SPDX-License-Identifier: BSD-2-Clause-Patent
//
// Needs -fasync-exceptions, which clang does right from version 19 on; ASYNC says that it is on.
// Without it there are no cases.
#include "object.h"

#ifndef ASYNC

extern "C" void async_cases(void (*)(bool))
{
}

#else

namespace
{

volatile int *volatile nowhere = reinterpret_cast<volatile int *>(0x700000000F00);
volatile int zero;

NOINLINE void store()
{
    try {
        Object a(1);
        *nowhere = 1;
        note("not reached");
    } catch (...) {
        note("caught");
    }
}

/* The state at the load is the inner block's: its catch is of another type, its object is
 * destroyed. */
NOINLINE void nested()
{
    try {
        Object a(1);
        try {
            Object b(2);
            note_number(*nowhere);
        } catch (int) {
            note("int");
        }
        note("not reached");
    } catch (...) {
        note("outer");
    }
}

NOINLINE long divided(long number)
{
    try {
        return number / zero;
    } catch (...) {
        return -1;
    }
}

NOINLINE void in_a_loop()
{
    int count = 0;

    for (int i = 0; i < 100; i++) {
        try {
            *nowhere = i;
        } catch (...) {
            count++;
        }
    }
    note_number(count);
}

} // namespace

extern "C" void async_cases(void (*catch_faults)(bool yes))
{
    begin("async_store");
    store();
    begin("async_nested");
    nested();
    begin("async_value");
    note_number(divided(7));
    begin("async_loop");
    in_a_loop();
    begin("async_asked"); // also when catch (...) is not to take faults by itself
    catch_faults(false);
    store();
    catch_faults(true);
}

#endif
