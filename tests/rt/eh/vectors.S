/* vectors.S - entry code of the vectors, and functions that fault.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
    .intel_syntax noprefix
    .text

.macro ENTRY number, has_error
    .globl entry_\number
entry_\number:
    .ifeq \has_error
    push 0
    .endif
    push \number
    jmp trap_common
.endm

    ENTRY 0, 0
    ENTRY 6, 0
    ENTRY 13, 1
    ENTRY 14, 1

trap_common:
    push r15
    push r14
    push r13
    push r12
    push r11
    push r10
    push r9
    push r8
    push rdi
    push rsi
    push rbp
    push rsp
    push rbx
    push rdx
    push rcx
    push rax
    cld
    mov rcx, rsp
    mov rbx, rsp
    sub rsp, 0x220
    and rsp, -16
    lea rdx, [rsp + 0x20]
    fxsave64 [rdx]
    call trapped
    fxrstor64 [rsp + 0x20]
    mov rsp, rbx
    pop rax
    pop rcx
    pop rdx
    pop rbx
    add rsp, 8
    pop rbp
    pop rsi
    pop rdi
    pop r8
    pop r9
    pop r10
    pop r11
    pop r12
    pop r13
    pop r14
    pop r15
    add rsp, 16
    iretq

/* Leaf functions without unwind data, and one with a frame. */
    .globl read_nowhere
read_nowhere:
    mov rax, 0x700000000F10
    mov rax, [rax]
    ret

    .globl write_nowhere
    .seh_proc write_nowhere
write_nowhere:
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x20
    .seh_stackalloc 0x20
    .seh_endprologue
    mov rbx, 0x700000000F20
    mov [rbx], rbx
    add rsp, 0x20
    pop rbx
    ret
    .seh_endproc

    .globl divide_by_zero
divide_by_zero:
    xor ecx, ecx
    xor edx, edx
    mov eax, 1
    div ecx
    ret

    .globl undefined_instruction
undefined_instruction:
    ud2
    ret

    .globl not_canonical
not_canonical:
    mov rax, 0x1234567812345678
    mov rax, [rax]
    ret

/* long keeps_registers(function) */
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
