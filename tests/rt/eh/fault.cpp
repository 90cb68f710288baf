// fault.cpp - faults that C++ code catches, and exceptions that must end the program.
//
// SPDX-License-Identifier: BSD-2-Clause-Patent
#include "object.h"

namespace
{

volatile int zero;

NOINLINE void raise_int(int number)
{
    if (zero == 0)
        throw number;
}

NOINLINE void caught(void (*fault)())
{
    try {
        Object a(1);
        fault();
        note("not reached");
    } catch (...) {
        note("caught");
    }
}

NOINLINE void middle(void (*fault)())
{
    Object b(2);
    fault();
}

NOINLINE void three_frames()
{
    try {
        Object a(1);
        middle(read_nowhere);
    } catch (int) {
        note("int");
    } catch (...) {
        note("caught");
    }
}

NOINLINE void inner_mismatch()
{
    try {
        Object a(1);
        try {
            Object b(2);
            read_nowhere();
        } catch (int) {
            note("int");
        }
        note("not reached");
    } catch (...) {
        note("outer");
    }
}

NOINLINE void inside_catch()
{
    try {
        Object a(1);
        try {
            raise_int(5);
        } catch (int number) {
            Object b(number);
            read_nowhere();
            note("not reached");
        }
    } catch (...) {
        note("outer");
    }
    note("end");
}

NOINLINE void fault_again()
{
    try {
        try {
            read_nowhere();
        } catch (...) {
            Object a(1);
            throw;
        }
    } catch (...) {
        note("again");
    }
}

NOINLINE void throw_in_fault_catch()
{
    try {
        try {
            undefined_instruction();
        } catch (...) {
            raise_int(3);
        }
    } catch (int number) {
        note_number(number);
    }
}

NOINLINE void many_faults()
{
    int count = 0;

    for (int i = 0; i < 100; i++) {
        try {
            read_nowhere();
        } catch (...) {
            count++;
        }
    }
    note_number(count);
}

struct Thrower {
    ~Thrower() noexcept(false) { raise_int(2); }
};

NOINLINE void leaves_destructor()
{
    try {
        Thrower thrower;
        raise_int(1);
    } catch (int) {
        note("not reached");
    }
}

NOINLINE void nobody()
{
    raise_int(1);
}

NOINLINE void nothing_to_rethrow()
{
    throw;
}

NOINLINE void promises() noexcept
{
    raise_int(1);
}

void (*volatile call)() = promises;

NOINLINE void breaks_promise()
{
    try {
        call();
    } catch (int) {
        note("not reached");
    }
}

} // namespace

extern "C" void catch_read()
{
    caught(read_nowhere);
}

extern "C" void raise_int_7()
{
    raise_int(7);
}

extern "C" void raise_pointer()
{
    throw &zero;
}

extern "C" NOINLINE void catcher()
{
    try {
        raise_int(1);
    } catch (int) {
        in_catch();
    }
}

namespace
{

NOINLINE void throw_from_catch()
{
    try {
        raise_int(1);
    } catch (int number) {
        raise_int(number + 1);
    }
}

} // namespace

extern "C" NOINLINE void out_of_catch()
{
    try {
        throw_from_catch();
    } catch (int) {
        note("outer");
    }
}

extern "C" void fault_cases()
{
    begin("fault_read");
    caught(read_nowhere);
    begin("fault_write");
    caught(write_nowhere);
    begin("fault_divide");
    caught(divide_by_zero);
    begin("fault_undefined");
    caught(undefined_instruction);
    begin("fault_canonical");
    caught(not_canonical);
    begin("fault_frames");
    three_frames();
    begin("fault_mismatch");
    inner_mismatch();
    begin("fault_in_catch");
    inside_catch();
    begin("fault_rethrow");
    fault_again();
    begin("fault_then_throw");
    throw_in_fault_catch();
    begin("fault_many");
    many_faults();
}

extern "C" void end_cases()
{
    begin("end_destructor");
    note_number(ends_with(leaves_destructor));
    begin("end_nobody");
    note_number(ends_with(nobody));
    begin("end_rethrow");
    note_number(ends_with(nothing_to_rethrow));
    begin("end_noexcept");
    note_number(ends_with(breaks_promise));
    begin("end_works_on");
    caught(read_nowhere);
}
