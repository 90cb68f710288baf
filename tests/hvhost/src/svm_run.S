/* svm_run.S - into the guest and out of it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The host runs with the global interrupt flag clear, so nothing interrupts it: physical interrupts
 * wait until the guest runs, and are the guest's own. Guest and host share all registers that
 * neither vmrun nor this file exchanges; the host is compiled to use general registers only.
 */
        .intel_syntax noprefix
        .text

        .set VMCB_RIP, 0x578
        .set VMCB_RSP, 0x5D8

/* void svm_run(vmcb: rcx, stack_top: rdx, host: r8, page_table: r9): returns as the guest, on the
 * stack it was called with. */
        .balign 16
        .globl svm_run
svm_run:
        push rbp
        push rbx
        push rsi
        push rdi
        push r12
        push r13
        push r14
        push r15
        pushfq
        lea rax, [rip + guest_begins]
        mov [rcx + VMCB_RIP], rax
        mov [rcx + VMCB_RSP], rsp
        cli
        clgi
        mov rsp, rdx
        mov cr3, r9
        push r8
        push rcx
        mov rax, rcx

next:   vmrun rax
        push rcx
        push rdx
        push rbx
        push rbp
        push rsi
        push rdi
        push r8
        push r9
        push r10
        push r11
        push r12
        push r13
        push r14
        push r15
        cld
        mov rcx, [rsp + 15 * 8]
        mov rdx, rsp
        sub rsp, 32
        call exits_handle
        add rsp, 32
        pop r15
        pop r14
        pop r13
        pop r12
        pop r11
        pop r10
        pop r9
        pop r8
        pop rdi
        pop rsi
        pop rbp
        pop rbx
        pop rdx
        pop rcx
        mov rax, [rsp]
        jmp next

guest_begins:
        popfq
        pop r15
        pop r14
        pop r13
        pop r12
        pop rdi
        pop rsi
        pop rbx
        pop rbp
        ret

/* 32 entries of 16 bytes: a fault of the host itself is a bug of this program; it is reported with
 * the vector and what the processor pushed. */
        .balign 16
        .globl svm_host_faults
svm_host_faults:
        .set vector, 0
        .rept 32
        .balign 16
        mov ecx, vector
        jmp host_fault
        .set vector, vector + 1
        .endr

host_fault:
        mov rdx, rsp
        and rsp, -16
        sub rsp, 32
        call exits_host_fault
1:      cli
        hlt
        jmp 1b
