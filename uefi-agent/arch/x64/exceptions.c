/* exceptions.c - an exception of the processor as Windows would report it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Codes and parameters are those of Windows on x64, as documented for EXCEPTION_RECORD. Where
 * Windows would stop with a bug check and has no code (double fault, machine check, the reserved
 * vectors), the code is the nearest in meaning, the parameters are {vector, error code}, and it is
 * a second chance: nothing could continue there.
 */
#include "cpu.h"
#include "engine.h"
#include "kd/protocol.h"
#include "x64.h"
#include "x64_internal.h"

enum x64_vector {
    X64_DE = 0,
    X64_DB = 1,
    X64_NMI = 2,
    X64_BP = 3,
    X64_OF = 4,
    X64_BR = 5,
    X64_UD = 6,
    X64_NM = 7,
    X64_TS = 10,
    X64_NP = 11,
    X64_SS = 12,
    X64_GP = 13,
    X64_PF = 14,
    X64_MF = 16,
    X64_AC = 17,
    X64_MC = 18,
    X64_XM = 19,
};

#define X64_PF_WRITE   2u
#define X64_PF_EXECUTE 16u

/* Exception flags of the x87 status word and of MXCSR, in the order of their bits. */
enum x64_float_flag {
    X64_FLOAT_INVALID = 1,
    X64_FLOAT_DENORMAL = 2,
    X64_FLOAT_ZERO_DIVIDE = 4,
    X64_FLOAT_OVERFLOW = 8,
    X64_FLOAT_UNDERFLOW = 16,
    X64_FLOAT_INEXACT = 32,
    X64_FLOAT_STACK = 64, /* x87 only */
};

static void set(struct kda_exception *out, uint32_t code)
{
    out->code = code;
}

static void add(struct kda_exception *out, uint64_t information)
{
    out->information[out->count++] = information;
}

static uint32_t float_code(unsigned raised)
{
    if (raised & X64_FLOAT_INVALID)
        return raised & X64_FLOAT_STACK ? KD_NT(STATUS_FLOAT_STACK_CHECK)
                                        : KD_NT(STATUS_FLOAT_INVALID_OPERATION);
    if (raised & X64_FLOAT_ZERO_DIVIDE)
        return KD_NT(STATUS_FLOAT_DIVIDE_BY_ZERO);
    if (raised & X64_FLOAT_DENORMAL)
        return KD_NT(STATUS_FLOAT_DENORMAL_OPERAND);
    if (raised & X64_FLOAT_OVERFLOW)
        return KD_NT(STATUS_FLOAT_OVERFLOW);
    if (raised & X64_FLOAT_UNDERFLOW)
        return KD_NT(STATUS_FLOAT_UNDERFLOW);
    if (raised & X64_FLOAT_INEXACT)
        return KD_NT(STATUS_FLOAT_INEXACT_RESULT);
    return KD_NT(STATUS_FLOAT_MULTIPLE_TRAPS);
}

static void describe_x87(const struct x64_frame *frame, struct kda_exception *out)
{
    unsigned control = frame->fx[0];
    unsigned status = frame->fx[2];

    set(out, float_code(status & (~control | X64_FLOAT_STACK) & 0x7F));
    add(out, 0);
}

static void describe_simd(const struct x64_frame *frame, struct kda_exception *out)
{
    unsigned mxcsr = (unsigned)frame->fx[24] | (unsigned)frame->fx[25] << 8;

    set(out, float_code(mxcsr & ~(mxcsr >> 7) & 0x3F));
    add(out, 0);
    add(out, mxcsr);
}

static void describe_page_fault(const struct x64_frame *frame, struct kda_exception *out)
{
    uint64_t access = KD_ACCESS_READ;

    if (frame->error & X64_PF_EXECUTE)
        access = KD_ACCESS_EXECUTE;
    else if (frame->error & X64_PF_WRITE)
        access = KD_ACCESS_WRITE;
    set(out, KD_NT(STATUS_ACCESS_VIOLATION));
    add(out, access);
    add(out, frame->cr2);
}

/* General protection: not canonical, mostly; Windows does not find out either and says -1. */
static void describe_protection(struct kda_exception *out)
{
    set(out, KD_NT(STATUS_ACCESS_VIOLATION));
    add(out, KD_ACCESS_READ);
    add(out, UINT64_MAX);
}

static void describe_fatal(const struct x64_frame *frame, struct kda_exception *out)
{
    set(out, frame->vector == X64_MC ? KD_NT(STATUS_HARDWARE_MEMORY_ERROR)
                                     : KD_NT(STATUS_UNHANDLED_EXCEPTION));
    add(out, frame->vector);
    add(out, frame->error);
    out->first_chance = false;
}

static void describe_vector(const struct x64_frame *frame, struct kda_exception *out)
{
    static const uint32_t simple[] = {
        [X64_DE] = KD_NT(STATUS_INTEGER_DIVIDE_BY_ZERO),
        [X64_DB] = KD_NT(STATUS_SINGLE_STEP),
        [X64_OF] = KD_NT(STATUS_INTEGER_OVERFLOW),
        [X64_BR] = KD_NT(STATUS_ARRAY_BOUNDS_EXCEEDED),
        [X64_UD] = KD_NT(STATUS_ILLEGAL_INSTRUCTION),
        [X64_NM] = KD_NT(STATUS_ILLEGAL_FLOAT_CONTEXT),
        [X64_AC] = KD_NT(STATUS_DATATYPE_MISALIGNMENT),
    };

    switch (frame->vector) {
    case X64_NMI:
    case X64_BP:
        set(out, KD_NT(STATUS_BREAKPOINT));
        add(out, 0); /* BREAKPOINT_BREAK */
        break;
    case X64_TS:
    case X64_NP:
    case X64_SS:
    case X64_GP:
        describe_protection(out);
        break;
    case X64_PF:
        describe_page_fault(frame, out);
        break;
    case X64_MF:
        describe_x87(frame, out);
        break;
    case X64_XM:
        describe_simd(frame, out);
        break;
    default:
        if (frame->vector < sizeof simple / sizeof simple[0] && simple[frame->vector])
            set(out, simple[frame->vector]);
        else
            describe_fatal(frame, out);
        break;
    }
}

void x64_describe(struct x64_frame *frame, struct kda_exception *out)
{
    *out = (struct kda_exception){.first_chance = true};
    /* The trap leaves rip behind the int3; Windows shows the program at it. */
    if (frame->vector == X64_BP)
        frame->rip--;
    out->address = frame->rip;
    describe_vector(frame, out);
}
