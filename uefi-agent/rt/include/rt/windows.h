/* windows.h - the structures that compiled exception handling code of Windows x64 agrees on.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Filters, language handlers and runtimes of other images exchange these by address, so members lie
 * where the convention has them.
 */
#ifndef KDLENS_RT_WINDOWS_H
#define KDLENS_RT_WINDOWS_H

#include <stddef.h>
#include <stdint.h>

#include "image/unwind.h"

/* What all functions called by compiled code have; the default of the firmware's compilers. */
#define RT_ABI __attribute__((ms_abi))

enum {
    RT_RECORD_PARAMETERS = 15,
    RT_SCOPES_OFFSET = 4,
};

/* struct rt_record.flags */
enum {
    RT_NONCONTINUABLE = 0x01,
    RT_UNWINDING = 0x02,
    RT_EXIT_UNWIND = 0x04,
    RT_TARGET_UNWIND = 0x20,
    RT_COLLIDED_UNWIND = 0x40,
};

/* struct rt_record.code */
#define RT_CODE_GUARD_PAGE    0x80000001u
#define RT_CODE_MISALIGNED    0x80000002u
#define RT_CODE_LONGJUMP      0x80000026u
#define RT_CODE_CONSOLIDATE   0x80000029u
#define RT_CODE_ACCESS        0xC0000005u
#define RT_CODE_ILLEGAL       0xC000001Du
#define RT_CODE_UNWIND        0xC0000027u
#define RT_CODE_BOUNDS        0xC000008Cu
#define RT_CODE_FLOAT_INVALID 0xC0000090u
#define RT_CODE_DIVIDE        0xC0000094u
#define RT_CODE_OVERFLOW      0xC0000095u
#define RT_CODE_SIMD          0xC00002B5u
#define RT_CODE_CXX           0xE06D7363u
#define RT_CXX_MAGIC          0x19930520u
#define RT_CXX_MAGIC_LAST     0x19930522u

struct rt_record {
    uint32_t code;
    uint32_t flags;
    struct rt_record *nested;
    uint64_t address;
    uint32_t parameter_count;
    uint32_t unused;
    uint64_t parameters[RT_RECORD_PARAMETERS];
};

struct rt_context {
    uint64_t home[6];
    uint32_t flags;
    uint32_t mxcsr;
    uint16_t cs;
    uint16_t ds;
    uint16_t es;
    uint16_t fs;
    uint16_t gs;
    uint16_t ss;
    uint32_t eflags;
    uint64_t dr[6];
    uint64_t gpr[IMG_GPR_COUNT];
    uint64_t rip;
    uint8_t fx[160]; /* as fxsave has it, up to the registers */
    struct img_xmm xmm[16];
    uint8_t fx_rest[96];
    uint64_t vector[26][2];
    uint64_t debug[6];
};

#define RT_CONTEXT_FULL    0x0010000Bu /* control, integer, floating point */
#define RT_CONTEXT_UNWOUND 0x20000000u /* rip is a return address */

struct rt_pointers {
    struct rt_record *record;
    struct rt_context *context;
};

struct rt_dispatcher;

enum rt_disposition {
    RT_CONTINUE_EXECUTION,
    RT_CONTINUE_SEARCH,
    RT_NESTED,
    RT_COLLIDED,
};

typedef RT_ABI enum rt_disposition rt_handler(struct rt_record *record, uint64_t frame,
                                              struct rt_context *context,
                                              struct rt_dispatcher *dispatcher);

struct rt_dispatcher {
    uint64_t control;
    uint64_t image_base;
    const void *function; /* the row of the exception directory */
    uint64_t frame;
    uint64_t target;
    struct rt_context *context;
    rt_handler *handler;
    const void *data; /* the handler's */
    void *history;
    uint32_t scope;   /* where a C scope table goes on */
    uint32_t unwound; /* 1: control is a return address. Fill in others' dispatchers */
};

_Static_assert(sizeof(struct rt_record) == 152, "EXCEPTION_RECORD64");
_Static_assert(offsetof(struct rt_record, parameters) == 32, "EXCEPTION_RECORD64");
_Static_assert(sizeof(struct rt_context) == 1232, "CONTEXT");
_Static_assert(offsetof(struct rt_context, gpr) == 0x78, "CONTEXT.Rax");
_Static_assert(offsetof(struct rt_context, rip) == 0xF8, "CONTEXT.Rip");
_Static_assert(offsetof(struct rt_context, fx) == 0x100, "CONTEXT.FltSave");
_Static_assert(offsetof(struct rt_context, xmm) == 0x1A0, "CONTEXT.Xmm0");
_Static_assert(offsetof(struct rt_context, vector) == 0x300, "CONTEXT.VectorRegister");
_Static_assert(sizeof(struct rt_dispatcher) == 80, "DISPATCHER_CONTEXT");

#endif
