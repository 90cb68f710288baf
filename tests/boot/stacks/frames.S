/* frames.S - frames that a compiler does not make when one wants them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Windows x64 calling convention. What is behind a call is never an epilogue.
 */
    .intel_syntax noprefix
    .text

/* void DeepLeaf(address): without a frame or a row in the table. */
    .globl DeepLeaf
DeepLeaf:
    mov [rcx], eax
    ret

/* void StrayFault(address, rsp, rbp), without a row, too. */
    .globl StrayFault
StrayFault:
    push rbx
    push rbp
    mov rbx, rsp
    mov rsp, rdx
    mov rbp, r8
    mov [rcx], eax
    mov rsp, rbx
    pop rbp
    pop rbx
    ret

/* void StrayPush(rsp) */
    .globl StrayPush
StrayPush:
    mov rsp, rcx
    push rax
    ud2

/* void ClobberFault(address) */
    .globl ClobberFault
ClobberFault:
    .irp register, rbx, rbp, rsi, rdi, r12, r13, r14, r15
    mov \register, rsp
    .endr
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    pxor xmm\n, xmm\n
    .endr
    std
    mov [rcx], eax
    ud2

/* void DeepSwitch(address, top, function): calls function(address) on another stack. The frame
 * register leads back to the first one. */
    .globl DeepSwitch
    .seh_proc DeepSwitch
DeepSwitch:
    push rbp
    .seh_pushreg rbp
    mov rbp, rsp
    .seh_setframe rbp, 0
    .seh_endprologue
    mov rsp, rdx
    sub rsp, 0x20
    call r8
    nop
    lea rsp, [rbp]
    pop rbp
    ret
    .seh_endproc

/* void DeepSaved(address): registers that are stored, not pushed. */
    .globl DeepSaved
    .seh_proc DeepSaved
DeepSaved:
    sub rsp, 0x58
    .seh_stackalloc 0x58
    mov [rsp + 0x30], rbx
    .seh_savereg rbx, 0x30
    mov [rsp + 0x38], rsi
    .seh_savereg rsi, 0x38
    movaps [rsp + 0x40], xmm8
    .seh_savexmm xmm8, 0x40
    .seh_endprologue
    mov rbx, rcx
    xor esi, esi
    xorps xmm8, xmm8
    call DeepHuge
saved_returns:
    movaps xmm8, [rsp + 0x40]
    mov rsi, [rsp + 0x38]
    mov rbx, [rsp + 0x30]
    add rsp, 0x58
    ret
    .seh_endproc

/* void DeepChained(address): the call is in a piece of its own, which pushes a register more; its
 * row is chained to the function's. */
    .globl DeepChained
    .seh_proc DeepChained
DeepChained:
    push rdi
    .seh_pushreg rdi
    sub rsp, 0x20
    .seh_stackalloc 0x20
    .seh_endprologue
    jmp chained_cold
chained_on:
    add rsp, 0x20
    pop rdi
    ret
chained_end:
    .seh_endproc

chained_cold:
    sub rsp, 0x40
chained_allocated:
    mov [rsp + 0x38], rbx
chained_saved:
    mov rbx, rcx
    call DeepSaved
    nop
    mov rbx, [rsp + 0x38]
    add rsp, 0x40
    jmp chained_on
chained_cold_end:

/* A function with a frame register, never called: only returned to. */
    .globl DeepCircle
    .seh_proc DeepCircle
DeepCircle:
    push rbp
    .seh_pushreg rbp
    mov rbp, rsp
    .seh_setframe rbp, 0
    .seh_endprologue
    sub rsp, 0x20
    call DeepLeaf
circle_returns:
    nop
    lea rsp, [rbp]
    pop rbp
    ret
    .seh_endproc

    .section .rdata, "dr"
    .p2align 3
    .globl ReturnToSaved
ReturnToSaved:
    .quad saved_returns
    .globl ReturnToCircle
ReturnToCircle:
    .quad circle_returns

/* The assembler has no word for chained rows. */
    .section .pdata, "dr"
    .p2align 2
    .long chained_cold@IMGREL
    .long chained_cold_end@IMGREL
    .long chained_cold_unwind@IMGREL

    .section .xdata, "dr"
    .p2align 2
chained_cold_unwind:
    .byte 0x21, chained_saved - chained_cold, 3, 0
    .byte chained_saved - chained_cold, 0x34 /* rbx is stored, */
    .short 0x38 / 8
    .byte chained_allocated - chained_cold, 0x72 /* behind 0x40 bytes */
    .short 0
    .long DeepChained@IMGREL
    .long chained_end@IMGREL
    .long chained_first_unwind@IMGREL
/* The same as the assembler makes for the first piece. */
chained_first_unwind:
    .byte 1, 5, 2, 0
    .byte 5, 0x32, 1, 0x70
