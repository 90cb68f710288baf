/* aot_x64.S - interface calls through a dispatch cell, write barriers, and what needs no work.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * At an interface call the object is in rcx and the cell in r10, or from header version 16.0 on in
 * r11; the other of the two holds anything. All other arguments, the nonvolatile registers and the
 * stack are the call's, so the stubs may change rax, r10, r11, xmm4 and xmm5 and end with a jump.
 * A null object faults at the read of [rcx]; there no frame has been made, so an unwinder finds the
 * call at [rsp] as in any leaf function.
 */
        .intel_syntax noprefix
        .text

#ifdef __ELF__
#define SEH(directive)
#else
#define SEH(directive) directive
#endif

/* A cell that has a cache (struct rt_aot_cache). From the first pair {type, target} that may be it,
 * they are gone through to the one with type 0. */
        .macro few name, cell, scratch
        .globl \name
        .p2align 4
\name:
        mov rax, [\cell + 8]
        mov \scratch, [rcx]
        mov rax, [rax]
        cmp \scratch, [rax]
        jne 2f
        jmp qword ptr [rax + 8]
1:      add rax, 16
        cmp \scratch, [rax]
        jne 2f
        jmp qword ptr [rax + 8]
2:      cmp qword ptr [rax], 0
        jne 1b
        mov r10, \cell
        jmp resolve
        .endm

/* The place is (u32)(type * 0x9e3779b1) >> 16 & mask, in bytes. */
        .macro hashed name, cell, scratch, half
        .globl \name
        .p2align 4
\name:
        mov rax, [\cell + 8]
        imul \half, dword ptr [rcx], 0x9e3779b1 - 0x100000000
        shr \half, 16
        and \half, [rax + 8]
        add \scratch, [rax]
        mov rax, [rcx]
1:      cmp rax, [\scratch]
        jne 2f
        jmp qword ptr [\scratch + 8]
2:      cmp qword ptr [\scratch], 0
        lea \scratch, [\scratch + 16]
        jne 1b
        mov r10, \cell
        jmp resolve
        .endm

        few rt_aot_few_r10, r10, r11
        few rt_aot_few_r11, r11, r10
        hashed rt_aot_hashed_r10, r10, r11, r11d
        hashed rt_aot_hashed_r11, r11, r10, r10d

/* What a cell's first word is on disk. */
        .globl RhpInitialDynamicInterfaceDispatch
        .p2align 4
RhpInitialDynamicInterfaceDispatch:
        cmp byte ptr [rip + rt_aot_state], 0
        cmovne r10, r11
        mov rax, [rcx] /* a null object faults here, before there is a frame */

/* The cell is in r10. The first 0x20 bytes are the callee's home area. */
resolve:
SEH(    .seh_proc resolve)
        sub rsp, 0x88
SEH(    .seh_stackalloc 0x88)
SEH(    .seh_endprologue)
        mov [rsp + 0x20], rcx
        mov [rsp + 0x28], rdx
        mov [rsp + 0x30], r8
        mov [rsp + 0x38], r9
        movaps [rsp + 0x40], xmm0
        movaps [rsp + 0x50], xmm1
        movaps [rsp + 0x60], xmm2
        movaps [rsp + 0x70], xmm3
        mov rdx, r10
        call RhpResolveInterfaceMethod
        mov rcx, [rsp + 0x20]
        mov rdx, [rsp + 0x28]
        mov r8, [rsp + 0x30]
        mov r9, [rsp + 0x38]
        movaps xmm0, [rsp + 0x40]
        movaps xmm1, [rsp + 0x50]
        movaps xmm2, [rsp + 0x60]
        movaps xmm3, [rsp + 0x70]
        add rsp, 0x88
        jmp rax
SEH(    .seh_endproc)

/* Write barriers tell a collector about a reference that was stored; there is none.
 * void RhpAssignRef(to: rcx, what: rdx) */
        .globl RhpAssignRef
        .globl RhpCheckedAssignRef
RhpAssignRef:
RhpCheckedAssignRef:
        mov [rcx], rdx
        ret

/* to: rdi, from: rsi; both are moved on. Changes rcx besides. */
        .globl RhpByRefAssignRef
RhpByRefAssignRef:
        mov rcx, [rsi]
        mov [rdi], rcx
        add rsi, 8
        add rdi, 8
        ret

/* Between managed and other code nothing changes: no collector waits for a thread to stop. */
        .globl RhpReversePInvoke
        .globl RhpReversePInvokeReturn
        .globl RhpPInvoke
        .globl RhpPInvokeReturn
RhpReversePInvoke:
RhpReversePInvokeReturn:
RhpPInvoke:
RhpPInvokeReturn:
        ret

#ifdef __ELF__
        .section .note.GNU-stack, "", @progbits
#endif
