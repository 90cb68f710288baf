/* guard.S - a call that a fault can end.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Whoever sets rsp to what *stack holds, and rip to x64_guard_ended, makes x64_guard return false,
 * with all registers as a function must leave them.
 */
        .intel_syntax noprefix
        .text

#define GUARD_XMM     0x20
#define GUARD_MXCSR   0xC0
#define GUARD_CONTROL 0xC4
#define GUARD_FRAME   0xC8

/* bool x64_guard(function: rcx, argument: rdx, stack: r8): true when function(argument) returned. */
        .globl x64_guard
        .globl x64_guard_ended
        .seh_proc x64_guard
x64_guard:
        .irp register, rbp, rbx, rsi, rdi, r12, r13, r14, r15
        push \register
        .seh_pushreg \register
        .endr
        sub rsp, GUARD_FRAME
        .seh_stackalloc GUARD_FRAME
        .seh_endprologue
        .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movaps [rsp + GUARD_XMM + (\n - 6) * 16], xmm\n
        .endr
        stmxcsr [rsp + GUARD_MXCSR]
        fnstcw [rsp + GUARD_CONTROL]
        mov [r8], rsp
        mov rax, rcx
        mov rcx, rdx
        call rax
        mov eax, 1
        jmp 1f
x64_guard_ended:
        fninit
        fldcw [rsp + GUARD_CONTROL]
        ldmxcsr [rsp + GUARD_MXCSR]
        .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
        movaps xmm\n, [rsp + GUARD_XMM + (\n - 6) * 16]
        .endr
        xor eax, eax
1:      add rsp, GUARD_FRAME
        .irp register, r15, r14, r13, r12, rdi, rsi, rbx, rbp
        pop \register
        .endr
        ret
        .seh_endproc
