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
