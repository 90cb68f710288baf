/* entry.S - how the processor comes into the agent and leaves it again.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Every entry builds a struct x64_frame on the stack it came with (the processor has aligned that
 * to 16), calls x64_dispatch, and leaves as that says. iretq takes rip, cs, rflags, rsp and ss from
 * the frame, so the debugger may have changed any of them.
 */
#include "frame.h"

        .intel_syntax noprefix
        .text

/* One entry of 8 bytes for each vector, which pushes it less 128: so it fits one byte. The processor
 * pushes an error code with 8, 10-14, 17, 21, 29, 30; for the others a zero takes its place. */
        .balign 16
        .globl x64_entries
x64_entries:
        .set vector, 0
        .rept 256
        .balign 8
        push vector - 128
        .if vector == 8 || (vector >= 10 && vector <= 14) || vector == 17 || vector == 21 || vector == 29 || vector == 30
        jmp with_error
        .else
        jmp without_error
        .endif
        .set vector, vector + 1
        .endr

without_error:
        push [rsp]
        mov qword ptr [rsp + 8], 0
with_error:
        add qword ptr [rsp], 128
        jmp x64_common

/* bool x64_call(function: rcx, argument: rdx): makes the caller look interrupted right after the
 * call, with interrupts as it had them. */
        .balign 16
        .globl x64_call
x64_call:
        pushfq
        cli
        pop r8
        mov r9, [rsp]
        lea r10, [rsp + 8]
        mov eax, ss
        and rsp, -16
        push rax
        push r10
        push r8
        mov eax, cs
        push rax
        push r9
        push 0
        push X64_CALL
        /* on into x64_common */

x64_common:
        lea rsp, [rsp - X64_FRAME_VECTOR]
        mov [rsp + X64_FRAME_RAX], rax
        mov [rsp + X64_FRAME_RAX + 8], rcx
        mov [rsp + X64_FRAME_RAX + 16], rdx
        mov [rsp + X64_FRAME_RAX + 24], rbx
        mov [rsp + X64_FRAME_RAX + 32], rbp
        mov [rsp + X64_FRAME_RAX + 40], rsi
        mov [rsp + X64_FRAME_RAX + 48], rdi
        mov [rsp + X64_FRAME_RAX + 56], r8
        mov [rsp + X64_FRAME_RAX + 64], r9
        mov [rsp + X64_FRAME_RAX + 72], r10
        mov [rsp + X64_FRAME_RAX + 80], r11
        mov [rsp + X64_FRAME_RAX + 88], r12
        mov [rsp + X64_FRAME_RAX + 96], r13
        mov [rsp + X64_FRAME_RAX + 104], r14
        mov [rsp + X64_FRAME_RAX + 112], r15
        cld
        /* With CR0.TS or EM set, fxsave64 itself would fault. */
        mov rax, cr0
        mov [rsp + X64_FRAME_CR0], rax
        test al, 0x0C
        jz 1f
        and rax, ~0x0C
        mov cr0, rax
1:      fxsave64 [rsp]
        mov rax, cr2
        mov [rsp + X64_FRAME_CR2], rax
        mov rax, dr0
        mov [rsp + X64_FRAME_DR0], rax
        mov rax, dr1
        mov [rsp + X64_FRAME_DR0 + 8], rax
        mov rax, dr2
        mov [rsp + X64_FRAME_DR0 + 16], rax
        mov rax, dr3
        mov [rsp + X64_FRAME_DR0 + 24], rax
        mov rax, dr6
        mov [rsp + X64_FRAME_DR0 + 32], rax
        mov rax, dr7
        mov [rsp + X64_FRAME_DR0 + 40], rax

        mov rcx, rsp
        sub rsp, 32
        call x64_dispatch
        add rsp, 32

        cmp eax, X64_EXIT_CHAIN
        je leave_chain
        ja leave_chain_error

        .macro RESTORE
        fxrstor64 [rsp]
        mov rax, [rsp + X64_FRAME_CR2]
        mov cr2, rax
        mov rax, [rsp + X64_FRAME_CR0]
        mov rcx, cr0
        cmp rax, rcx
        je 9f
        mov cr0, rax
9:      mov rax, [rsp + X64_FRAME_RAX]
        mov rcx, [rsp + X64_FRAME_RAX + 8]
        mov rdx, [rsp + X64_FRAME_RAX + 16]
        mov rbx, [rsp + X64_FRAME_RAX + 24]
        mov rbp, [rsp + X64_FRAME_RAX + 32]
        mov rsi, [rsp + X64_FRAME_RAX + 40]
        mov rdi, [rsp + X64_FRAME_RAX + 48]
        mov r8, [rsp + X64_FRAME_RAX + 56]
        mov r9, [rsp + X64_FRAME_RAX + 64]
        mov r10, [rsp + X64_FRAME_RAX + 72]
        mov r11, [rsp + X64_FRAME_RAX + 80]
        mov r12, [rsp + X64_FRAME_RAX + 88]
        mov r13, [rsp + X64_FRAME_RAX + 96]
        mov r14, [rsp + X64_FRAME_RAX + 104]
        mov r15, [rsp + X64_FRAME_RAX + 112]
        .endm

        RESTORE
        lea rsp, [rsp + X64_FRAME_RIP]
        /* Faults when the debugger gave an rip, cs or ss that cannot be: see x64_dispatch. */
        .globl x64_iretq
x64_iretq:
        iretq

leave_chain:
        RESTORE
        lea rsp, [rsp + X64_FRAME_ERROR]
        ret

leave_chain_error:
        RESTORE
        lea rsp, [rsp + X64_FRAME_VECTOR]
        ret

        .macro PUSH_NONVOLATILE
        push rbp
        push rbx
        push rsi
        push rdi
        push r12
        push r13
        push r14
        push r15
        .endm

        .macro POP_NONVOLATILE
        pop r15
        pop r14
        pop r13
        pop r12
        pop rdi
        pop rsi
        pop rbx
        pop rbp
        .endm

/* bool x64_on_stack(function: rcx, argument: rdx, top: r8): calls function(argument) on another
 * stack. False: the call was abandoned. The way back is kept in the 8 bytes below top. */
        .balign 16
        .globl x64_on_stack
x64_on_stack:
        PUSH_NONVOLATILE
        mov [r8 - 8], rsp
        lea rsp, [r8 - 0x30]
        mov rax, rcx
        mov rcx, rdx
        call rax
        mov eax, 1
        mov rsp, [rsp + 0x28]
        POP_NONVOLATILE
        ret

/* noreturn void x64_abandon(top: rcx): makes the x64_on_stack of that stack return false. */
        .globl x64_abandon
x64_abandon:
        xor eax, eax
        mov rsp, [rcx - 8]
        POP_NONVOLATILE
        ret
