/* eh_x64.S - registers in and out, and the frames between the runtime and what it calls.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * All functions have the Windows x64 calling convention. A call is followed by nop where the frame
 * has a handler: a return address at an epilogue counts as behind the function's body.
 */
#ifdef __ELF__
#define SEH(...)
    .section .note.GNU-stack, "", @progbits
#else
#define SEH(...) __VA_ARGS__
#endif

    .intel_syntax noprefix
    .text

/* struct rt_context */
#define CONTEXT_FLAGS  0x30
#define CONTEXT_MXCSR  0x34
#define CONTEXT_CS     0x38
#define CONTEXT_SS     0x42
#define CONTEXT_EFLAGS 0x44
#define CONTEXT_RAX    0x78
#define CONTEXT_RCX    0x80
#define CONTEXT_RDX    0x88
#define CONTEXT_RBX    0x90
#define CONTEXT_RSP    0x98
#define CONTEXT_RBP    0xA0
#define CONTEXT_RSI    0xA8
#define CONTEXT_RDI    0xB0
#define CONTEXT_R8     0xB8
#define CONTEXT_R9     0xC0
#define CONTEXT_R10    0xC8
#define CONTEXT_R11    0xD0
#define CONTEXT_R12    0xD8
#define CONTEXT_R13    0xE0
#define CONTEXT_R14    0xE8
#define CONTEXT_R15    0xF0
#define CONTEXT_RIP    0xF8
#define CONTEXT_XMM    0x1A0
#define CONTEXT_SIZE   0x4D0
#define CONTEXT_CALL   0x2010000B /* full, rip is a return address */
#define FLOATING_POINT 8

#define DISPATCHER_HANDLER 0x30

/* Room below a saved context: home of the arguments. The sum is 8 off 16, as at a function's start.
 */
#define CONTEXT_AT    0x20
#define CAPTURE_FRAME (CONTEXT_SIZE + CONTEXT_AT + 8)

/* The caller's registers, as they are after the call, into the context at rsp + CONTEXT_AT. Changes
 * rax. */
.macro CAPTURE
    mov [rsp + CONTEXT_AT + CONTEXT_RAX], rax
    mov [rsp + CONTEXT_AT + CONTEXT_RCX], rcx
    mov [rsp + CONTEXT_AT + CONTEXT_RDX], rdx
    mov [rsp + CONTEXT_AT + CONTEXT_RBX], rbx
    mov [rsp + CONTEXT_AT + CONTEXT_RBP], rbp
    mov [rsp + CONTEXT_AT + CONTEXT_RSI], rsi
    mov [rsp + CONTEXT_AT + CONTEXT_RDI], rdi
    mov [rsp + CONTEXT_AT + CONTEXT_R8], r8
    mov [rsp + CONTEXT_AT + CONTEXT_R9], r9
    mov [rsp + CONTEXT_AT + CONTEXT_R10], r10
    mov [rsp + CONTEXT_AT + CONTEXT_R11], r11
    mov [rsp + CONTEXT_AT + CONTEXT_R12], r12
    mov [rsp + CONTEXT_AT + CONTEXT_R13], r13
    mov [rsp + CONTEXT_AT + CONTEXT_R14], r14
    mov [rsp + CONTEXT_AT + CONTEXT_R15], r15
    lea rax, [rsp + CAPTURE_FRAME + 8]
    mov [rsp + CONTEXT_AT + CONTEXT_RSP], rax
    mov rax, [rsp + CAPTURE_FRAME]
    mov [rsp + CONTEXT_AT + CONTEXT_RIP], rax
    pushfq
    pop rax
    mov [rsp + CONTEXT_AT + CONTEXT_EFLAGS], eax
    mov ax, cs
    mov [rsp + CONTEXT_AT + CONTEXT_CS], ax
    mov ax, ss
    mov [rsp + CONTEXT_AT + CONTEXT_SS], ax
    mov dword ptr [rsp + CONTEXT_AT + CONTEXT_FLAGS], CONTEXT_CALL
    stmxcsr [rsp + CONTEXT_AT + CONTEXT_MXCSR]
    fxsave64 [rsp + CONTEXT_AT + 0x100]
.endm

/* void rt_raise(record) */
    .globl rt_raise
    SEH(.seh_proc rt_raise)
rt_raise:
    sub rsp, CAPTURE_FRAME
    SEH(.seh_stackalloc CAPTURE_FRAME)
    SEH(.seh_endprologue)
    CAPTURE
    lea rdx, [rsp + CONTEXT_AT]
    call rt_raised_at
    ud2
    SEH(.seh_endproc)

/* disposition rt_call_handler(record, frame, context, dispatcher) */
    .globl rt_call_handler
    SEH(.seh_proc rt_call_handler)
rt_call_handler:
    sub rsp, 0x28
    SEH(.seh_stackalloc 0x28)
    SEH(.seh_endprologue)
    call [r9 + DISPATCHER_HANDLER]
    nop
    add rsp, 0x28
    ret
    SEH(.seh_endproc)

/* The same during unwinding; rt_collided finds the dispatcher above the home area. */
    .globl rt_call_unwinder
    SEH(.seh_proc rt_call_unwinder)
rt_call_unwinder:
    SEH(.seh_handler rt_collided, @unwind, @except)
    sub rsp, 0x28
    SEH(.seh_stackalloc 0x28)
    SEH(.seh_endprologue)
    mov [rsp + 0x20], r9
    call [r9 + DISPATCHER_HANDLER]
    nop
    add rsp, 0x28
    ret
    SEH(.seh_endproc)

/* u64 rt_call_cleanup(function, a, b, c) */
    .globl rt_call_cleanup
    SEH(.seh_proc rt_call_cleanup)
rt_call_cleanup:
    SEH(.seh_handler rt_cleanup_raised, @except)
    sub rsp, 0x28
    SEH(.seh_stackalloc 0x28)
    SEH(.seh_endprologue)
    mov rax, rcx
    mov rcx, rdx
    mov rdx, r8
    mov r8, r9
    call rax
    nop
    add rsp, 0x28
    ret
    SEH(.seh_endproc)

/* u64 rt_call_catch(function, a, b) */
    .globl rt_call_catch
    SEH(.seh_proc rt_call_catch)
rt_call_catch:
    sub rsp, 0x28
    SEH(.seh_stackalloc 0x28)
    SEH(.seh_endprologue)
    mov rax, rcx
    mov rcx, rdx
    mov rdx, r8
    call rax
    nop
    add rsp, 0x28
    ret
    SEH(.seh_endproc)

/* rt_resume(context): flags and rip go below the new stack pointer, where nothing lives. The new
 * stack pointer is above this one, so they do not overwrite the context before it is read. */
    .globl rt_resume
rt_resume:
    test byte ptr [rcx + CONTEXT_FLAGS], FLOATING_POINT
    jz 1f
    movups xmm0, [rcx + CONTEXT_XMM]
    movups xmm1, [rcx + CONTEXT_XMM + 0x10]
    movups xmm2, [rcx + CONTEXT_XMM + 0x20]
    movups xmm3, [rcx + CONTEXT_XMM + 0x30]
    movups xmm4, [rcx + CONTEXT_XMM + 0x40]
    movups xmm5, [rcx + CONTEXT_XMM + 0x50]
    movups xmm6, [rcx + CONTEXT_XMM + 0x60]
    movups xmm7, [rcx + CONTEXT_XMM + 0x70]
    movups xmm8, [rcx + CONTEXT_XMM + 0x80]
    movups xmm9, [rcx + CONTEXT_XMM + 0x90]
    movups xmm10, [rcx + CONTEXT_XMM + 0xA0]
    movups xmm11, [rcx + CONTEXT_XMM + 0xB0]
    movups xmm12, [rcx + CONTEXT_XMM + 0xC0]
    movups xmm13, [rcx + CONTEXT_XMM + 0xD0]
    movups xmm14, [rcx + CONTEXT_XMM + 0xE0]
    movups xmm15, [rcx + CONTEXT_XMM + 0xF0]
1:
    mov rdx, [rcx + CONTEXT_RSP]
    mov rax, [rcx + CONTEXT_RIP]
    mov [rdx - 8], rax
    mov eax, [rcx + CONTEXT_EFLAGS]
    mov [rdx - 16], rax
    mov rax, [rcx + CONTEXT_RDX]
    mov [rdx - 24], rax
    mov rax, [rcx + CONTEXT_RCX]
    mov [rdx - 32], rax
    mov rax, [rcx + CONTEXT_RAX]
    mov rbx, [rcx + CONTEXT_RBX]
    mov rbp, [rcx + CONTEXT_RBP]
    mov rsi, [rcx + CONTEXT_RSI]
    mov rdi, [rcx + CONTEXT_RDI]
    mov r8, [rcx + CONTEXT_R8]
    mov r9, [rcx + CONTEXT_R9]
    mov r10, [rcx + CONTEXT_R10]
    mov r11, [rcx + CONTEXT_R11]
    mov r12, [rcx + CONTEXT_R12]
    mov r13, [rcx + CONTEXT_R13]
    mov r14, [rcx + CONTEXT_R14]
    mov r15, [rcx + CONTEXT_R15]
    lea rsp, [rdx - 32]
    pop rcx
    pop rdx
    popfq
    ret

/* Offsets in the frame of a catch block's caller. Above it lies what the processor pushes on an
 * interrupt: whoever goes up the stack comes to the function that has the catch block, with its
 * registers as they are there. */
#define RUN_CONTEXT 0x20
#define RUN_XMM     0x30
#define RUN_GPR     0xD0
#define RUN_MACHINE 0x110
#define RUN_FRAME   0x140

/* rt_consolidate(context, run) */
    .globl rt_consolidate
rt_consolidate:
    sub rsp, RUN_FRAME
    and rsp, -16
    mov [rsp + RUN_CONTEXT], rcx
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm0, [rcx + CONTEXT_XMM + \n * 16]
    movups [rsp + RUN_XMM + (\n - 6) * 16], xmm0
    .endr
    mov rax, [rcx + CONTEXT_RBX]
    mov [rsp + RUN_GPR], rax
    mov rax, [rcx + CONTEXT_RBP]
    mov [rsp + RUN_GPR + 8], rax
    mov rax, [rcx + CONTEXT_RSI]
    mov [rsp + RUN_GPR + 16], rax
    mov rax, [rcx + CONTEXT_RDI]
    mov [rsp + RUN_GPR + 24], rax
    mov rax, [rcx + CONTEXT_R12]
    mov [rsp + RUN_GPR + 32], rax
    mov rax, [rcx + CONTEXT_R13]
    mov [rsp + RUN_GPR + 40], rax
    mov rax, [rcx + CONTEXT_R14]
    mov [rsp + RUN_GPR + 48], rax
    mov rax, [rcx + CONTEXT_R15]
    mov [rsp + RUN_GPR + 56], rax
    mov rax, [rcx + CONTEXT_RIP]
    mov [rsp + RUN_MACHINE], rax
    movzx eax, word ptr [rcx + CONTEXT_CS]
    mov [rsp + RUN_MACHINE + 8], rax
    mov eax, [rcx + CONTEXT_EFLAGS]
    mov [rsp + RUN_MACHINE + 16], rax
    mov rax, [rcx + CONTEXT_RSP]
    mov [rsp + RUN_MACHINE + 24], rax
    movzx eax, word ptr [rcx + CONTEXT_SS]
    mov [rsp + RUN_MACHINE + 32], rax
    mov rcx, rdx
    jmp rt_run_catch

    SEH(.seh_proc rt_run_catch)
    SEH(.seh_pushframe)
    SEH(.seh_stackalloc RUN_MACHINE)
    SEH(.seh_savereg rbx, RUN_GPR)
    SEH(.seh_savereg rbp, RUN_GPR + 8)
    SEH(.seh_savereg rsi, RUN_GPR + 16)
    SEH(.seh_savereg rdi, RUN_GPR + 24)
    SEH(.seh_savereg r12, RUN_GPR + 32)
    SEH(.seh_savereg r13, RUN_GPR + 40)
    SEH(.seh_savereg r14, RUN_GPR + 48)
    SEH(.seh_savereg r15, RUN_GPR + 56)
    SEH(.seh_savexmm xmm6, RUN_XMM)
    SEH(.seh_savexmm xmm7, RUN_XMM + 16)
    SEH(.seh_savexmm xmm8, RUN_XMM + 32)
    SEH(.seh_savexmm xmm9, RUN_XMM + 48)
    SEH(.seh_savexmm xmm10, RUN_XMM + 64)
    SEH(.seh_savexmm xmm11, RUN_XMM + 80)
    SEH(.seh_savexmm xmm12, RUN_XMM + 96)
    SEH(.seh_savexmm xmm13, RUN_XMM + 112)
    SEH(.seh_savexmm xmm14, RUN_XMM + 128)
    SEH(.seh_savexmm xmm15, RUN_XMM + 144)
    SEH(.seh_endprologue)
rt_run_catch:
    call rt_catch_block
    mov rcx, [rsp + RUN_CONTEXT]
    mov [rcx + CONTEXT_RIP], rax
    jmp rt_resume
    SEH(.seh_endproc)

/* Where control goes on after a fault; the stack is as struct entry in fault.c. */
#define ENTRY_RECORD  0x20
#define ENTRY_CONTEXT 0xC0
#define ENTRY_MACHINE 0x590

    .globl rt_fault_entry
    SEH(.seh_proc rt_fault_entry)
    SEH(.seh_pushframe)
    SEH(.seh_stackalloc ENTRY_MACHINE)
    SEH(.seh_endprologue)
rt_fault_entry:
    cld
    lea rcx, [rsp + ENTRY_RECORD]
    lea rdx, [rsp + ENTRY_CONTEXT]
    call rt_fault_raised
    ud2
    SEH(.seh_endproc)

/* bool rt_guard(function, argument, guarded); rt_guard_raised finds guarded above the home area. */
    .globl rt_guard
    .globl rt_guard_resumed
    SEH(.seh_proc rt_guard)
rt_guard:
    SEH(.seh_handler rt_guard_raised, @except)
    sub rsp, 0x28
    SEH(.seh_stackalloc 0x28)
    SEH(.seh_endprologue)
    mov [rsp + 0x20], r8
    mov rax, rcx
    mov rcx, rdx
    call rax
    mov eax, 1
    jmp 1f
rt_guard_resumed:
    xor eax, eax
1:
    nop
    add rsp, 0x28
    ret
    SEH(.seh_endproc)

/* rt_stop(record, registers) */
    .globl rt_stop
rt_stop:
    ud2
    jmp rt_stop

/* struct rt_jump */
#define JUMP_FRAME   0x00
#define JUMP_RBX     0x08
#define JUMP_RSP     0x10
#define JUMP_RBP     0x18
#define JUMP_RSI     0x20
#define JUMP_RDI     0x28
#define JUMP_R12     0x30
#define JUMP_R13     0x38
#define JUMP_R14     0x40
#define JUMP_R15     0x48
#define JUMP_RIP     0x50
#define JUMP_MXCSR   0x58
#define JUMP_XMM     0x60

#ifndef __ELF__
/* int _setjmp(jump, frame), int _setjmpex(jump, frame): compilers pass the frame. */
    .globl _setjmp
    .globl _setjmpex
_setjmp:
_setjmpex:
    mov [rcx + JUMP_FRAME], rdx
    mov [rcx + JUMP_RBX], rbx
    lea rax, [rsp + 8]
    mov [rcx + JUMP_RSP], rax
    mov [rcx + JUMP_RBP], rbp
    mov [rcx + JUMP_RSI], rsi
    mov [rcx + JUMP_RDI], rdi
    mov [rcx + JUMP_R12], r12
    mov [rcx + JUMP_R13], r13
    mov [rcx + JUMP_R14], r14
    mov [rcx + JUMP_R15], r15
    mov rax, [rsp]
    mov [rcx + JUMP_RIP], rax
    stmxcsr [rcx + JUMP_MXCSR]
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups [rcx + JUMP_XMM + (\n - 6) * 16], xmm\n
    .endr
    xor eax, eax
    ret

/* longjmp(jump, value) */
    .globl longjmp
    SEH(.seh_proc longjmp)
longjmp:
    sub rsp, CAPTURE_FRAME
    SEH(.seh_stackalloc CAPTURE_FRAME)
    SEH(.seh_endprologue)
    test edx, edx
    jnz 1f
    inc edx
1:
    cmp qword ptr [rcx + JUMP_FRAME], 0
    je 2f
    CAPTURE
    lea r8, [rsp + CONTEXT_AT]
    call rt_jump_from
    ud2
2:
    ldmxcsr [rcx + JUMP_MXCSR]
    .irp n, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    movups xmm\n, [rcx + JUMP_XMM + (\n - 6) * 16]
    .endr
    mov eax, edx
    mov rbx, [rcx + JUMP_RBX]
    mov rbp, [rcx + JUMP_RBP]
    mov rsi, [rcx + JUMP_RSI]
    mov rdi, [rcx + JUMP_RDI]
    mov r12, [rcx + JUMP_R12]
    mov r13, [rcx + JUMP_R13]
    mov r14, [rcx + JUMP_R14]
    mov r15, [rcx + JUMP_R15]
    mov rsp, [rcx + JUMP_RSP]
    jmp [rcx + JUMP_RIP]
    SEH(.seh_endproc)

/* void __security_check_cookie(cookie): may change nothing but rcx and the flags. */
    .globl __security_check_cookie
__security_check_cookie:
    cmp rcx, [rip + __security_cookie]
    jne __report_gsfailure
    ret

/* std::terminate, and what the compiler's type descriptors point to. */
    .globl "?terminate@@YAXXZ"
"?terminate@@YAXXZ":
    jmp __std_terminate

    .section .rdata, "dr"
    .globl "??_7type_info@@6B@"
    .p2align 3
"??_7type_info@@6B@":
    .quad 0, 0

    .globl _fltused
_fltused:
    .long 0x9875
#endif
