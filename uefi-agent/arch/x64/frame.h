/* frame.h - the state of an interrupted program, as entry.S lays it on the stack.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * entry.S includes this file for the offsets; the asserts tie them to the struct.
 */
#ifndef KDA_X64_FRAME_H
#define KDA_X64_FRAME_H

#define X64_FRAME_CR0    0x200
#define X64_FRAME_CR2    0x208
#define X64_FRAME_DR0    0x210
#define X64_FRAME_RAX    0x240
#define X64_FRAME_VECTOR 0x2B8
#define X64_FRAME_ERROR  0x2C0
#define X64_FRAME_RIP    0x2C8
#define X64_FRAME_SIZE   0x2F0

/* Not a vector: x64_call. */
#define X64_CALL 0x100

/* How x64_dispatch wants the program to go on. */
#define X64_EXIT_IRET        0
#define X64_EXIT_CHAIN       1 /* to the handler in .error; the vector pushes no error code */
#define X64_EXIT_CHAIN_ERROR 2 /* to the handler in .vector; the error code stays on the stack */

#ifndef __ASSEMBLER__
#include <stddef.h>
#include <stdint.h>

struct x64_frame {
    uint8_t fx[512]; /* as fxsave64 writes it */
    uint64_t cr0, cr2;
    uint64_t dr[4], dr6, dr7;
    uint64_t rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15;
    uint64_t vector, error;
    uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(offsetof(struct x64_frame, cr0) == X64_FRAME_CR0, "cr0");
_Static_assert(offsetof(struct x64_frame, cr2) == X64_FRAME_CR2, "cr2");
_Static_assert(offsetof(struct x64_frame, dr) == X64_FRAME_DR0, "dr");
_Static_assert(offsetof(struct x64_frame, rax) == X64_FRAME_RAX, "rax");
_Static_assert(offsetof(struct x64_frame, vector) == X64_FRAME_VECTOR, "vector");
_Static_assert(offsetof(struct x64_frame, error) == X64_FRAME_ERROR, "error");
_Static_assert(offsetof(struct x64_frame, rip) == X64_FRAME_RIP, "rip");
_Static_assert(sizeof(struct x64_frame) == X64_FRAME_SIZE, "frame");
_Static_assert(X64_FRAME_SIZE % 16 == 0, "fxsave64 needs an aligned area");
#endif

#endif
