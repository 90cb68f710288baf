/* keeps.S - calls a function and looks whether registers are as before.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
    .intel_syntax noprefix
    .text

/* long keeps_registers(function): of those that a function must keep, how many are changed. */
    .globl keeps_registers
    .seh_proc keeps_registers
keeps_registers:
    .irp r, rbx, rbp, rsi, rdi, r12, r13, r14, r15
    push \r
    .seh_pushreg \r
    .endr
    sub rsp, 0xC8
    .seh_stackalloc 0xC8
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps [rsp + 0x20 + (\n - 6) * 16], xmm\n
    .seh_savexmm xmm\n, 0x20 + (\n - 6) * 16
    .endr
    .seh_endprologue
    mov rbx, 0x1111
    mov rbp, 0x2222
    mov rsi, 0x3333
    mov rdi, 0x4444
    mov r12, 0x5555
    mov r13, 0x6666
    mov r14, 0x7777
    mov r15, 0x8888
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    mov eax, \n * 0x101
    movq xmm\n, rax
    .endr
    call rcx
    xor eax, eax
    .macro KEPT register, value
    cmp \register, \value
    je 1f
    inc eax
1:
    .endm
    KEPT rbx, 0x1111
    KEPT rbp, 0x2222
    KEPT rsi, 0x3333
    KEPT rdi, 0x4444
    KEPT r12, 0x5555
    KEPT r13, 0x6666
    KEPT r14, 0x7777
    KEPT r15, 0x8888
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movq rcx, xmm\n
    KEPT rcx, \n * 0x101
    .endr
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movaps xmm\n, [rsp + 0x20 + (\n - 6) * 16]
    .endr
    add rsp, 0xC8
    .irp r, r15, r14, r13, r12, rdi, rsi, rbp, rbx
    pop \r
    .endr
    ret
    .seh_endproc
