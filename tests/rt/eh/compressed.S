/* compressed.S - functions with compressed C++ tables (FH4), written by hand: no free compiler
 * makes them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Small numbers in the tables are twice the value; distances of labels take the five-byte form.
 */
    .intel_syntax noprefix
    .text

#define NUMBER(value) .byte (value) * 2
#define DISTANCE(to, from) .byte 0x0F; .long to - from

/* Two nops: what is at the return address of a call is in the state of the call. */
#define CALL(function) call function; nop

/* long fh4_plain(void (*fault)(void)): a catch (...) that returns the address to go on at. */
    .globl fh4_plain
    .seh_proc fh4_plain
fh4_plain:
    .seh_handler __CxxFrameHandler4, @unwind, @except
    push rbp
    .seh_pushreg rbp
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x48
    .seh_stackalloc 0x48
    lea rbp, [rsp + 0x20]
    .seh_setframe rbp, 0x20
    .seh_endprologue
    mov ebx, 5
plain_try:
    CALL(rcx)
plain_tried:
    mov ebx, 1000
plain_on:
    lea eax, [rbx + 770]
    lea rsp, [rbp + 0x28]
    pop rbx
    pop rbp
    ret
    .seh_handlerdata
    .long plain_info@IMGREL
    .text
    .seh_endproc

    .seh_proc plain_catch
plain_catch:
    push rbp
    .seh_pushreg rbp
    sub rsp, 0x20
    .seh_stackalloc 0x20
    .seh_endprologue
    lea rbp, [rdx + 0x20]
    lea rcx, [rip + text_plain]
    CALL(note)
    lea rax, [rip + plain_on]
    add rsp, 0x20
    pop rbp
    ret
    .seh_endproc

/* long fh4_types(void (*raise)(void)): destructors of all forms, catch (int) by value, then catch
 * (...); continuations by number. 100 + the number, or 200. */
    .globl fh4_types
    .seh_proc fh4_types
fh4_types:
    .seh_handler __CxxFrameHandler4, @unwind, @except
    push rbp
    .seh_pushreg rbp
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x78
    .seh_stackalloc 0x78
    lea rbp, [rsp + 0x50]
    .seh_setframe rbp, 0x50
    .seh_endprologue
    /* rbp - 0x50 is the frame: objects at 0x28 and 0x30, a pointer at 0x38, the caught one at 0x40
     */
    mov qword ptr [rbp - 0x28], 1
    mov qword ptr [rbp - 0x20], 2
    lea rax, [rbp - 0x20]
    mov [rbp - 0x18], rax
types_try:
    CALL(rcx)
types_tried:
    mov eax, 1000
    jmp types_end
types_int:
    mov eax, [rbp - 0x10]
    add eax, 100
    jmp types_end
types_text:
    mov eax, 300
    jmp types_end
types_any:
    mov eax, 200
types_end:
    lea rsp, [rbp + 0x28]
    pop rbx
    pop rbp
    ret
    .seh_handlerdata
    .long types_info@IMGREL
    .text
    .seh_endproc

    .seh_proc types_catch_int
types_catch_int:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    mov ecx, [rdx + 0x40]
    CALL(note_number)
    mov eax, 1
    add rsp, 0x28
    ret
    .seh_endproc

    .seh_proc types_catch_any
types_catch_any:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    lea rcx, [rip + text_any]
    CALL(note)
    xor eax, eax
    add rsp, 0x28
    ret
    .seh_endproc

/* A destructor with its object's address in rcx. */
    .seh_proc destroy
destroy:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    mov [rsp + 0x20], rcx
    lea rcx, [rip + text_destroy]
    CALL(note)
    mov rcx, [rsp + 0x20]
    mov rcx, [rcx]
    CALL(note_number)
    add rsp, 0x28
    ret
    .seh_endproc

    .seh_proc types_cleanup
types_cleanup:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    lea rcx, [rip + text_cleanup]
    CALL(note)
    add rsp, 0x28
    ret
    .seh_endproc

/* long fh4_separated(void (*raise)(void)): the try block is in a piece of its own, whose row is
 * chained to the first. */
    .globl fh4_separated
    .seh_proc fh4_separated
fh4_separated:
    .seh_handler __CxxFrameHandler4, @unwind, @except
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x20
    .seh_stackalloc 0x20
    .seh_endprologue
    mov ebx, 40
    jmp separated_cold
separated_on:
    lea eax, [rbx + 2]
    add rsp, 0x20
    pop rbx
    ret
separated_end:
    .seh_handlerdata
    .long separated_info@IMGREL
    .text
    .seh_endproc

    .p2align 4
separated_cold:
    CALL(rcx)
separated_tried:
    mov ebx, 1000
    jmp separated_on
separated_cold_end:

    .seh_proc separated_catch
separated_catch:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    lea rcx, [rip + text_separated]
    CALL(note)
    xor eax, eax
    add rsp, 0x28
    ret
    .seh_endproc

/* long gs_try(void (*fault)(void), long damage): a catch (...) in a function with a stack cookie at
 * 0x28, to which damage is added. */
    .globl gs_try
    .seh_proc gs_try
gs_try:
    .seh_handler __GSHandlerCheck_EH4, @unwind, @except
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x30
    .seh_stackalloc 0x30
    .seh_endprologue
    mov rax, [rip + __security_cookie]
    xor rax, rsp
    add rax, rdx
    mov [rsp + 0x28], rax
    mov ebx, 5
gs_begin:
    CALL(rcx)
gs_tried:
    mov ebx, 1000
gs_on:
    lea eax, [rbx + 1]
    add rsp, 0x30
    pop rbx
    ret
    .seh_handlerdata
    .long gs_info@IMGREL
    .long 0x28 + 3
    .text
    .seh_endproc

/* void gs_plain(long damage): a cookie, no try block; faults. Its frame register counts. */
    .globl gs_plain
    .seh_proc gs_plain
gs_plain:
    .seh_handler __GSHandlerCheck, @unwind, @except
    push rbp
    .seh_pushreg rbp
    sub rsp, 0x30
    .seh_stackalloc 0x30
    lea rbp, [rsp + 0x20]
    .seh_setframe rbp, 0x20
    .seh_endprologue
    mov rax, [rip + __security_cookie]
    xor rax, rbp
    add rax, rcx
    mov [rsp + 0x28], rax
    CALL(read_nowhere)
    add rsp, 0x30
    pop rbp
    ret
    .seh_handlerdata
    .long 0x28 + 3
    .text
    .seh_endproc

/* A row for the second piece, chained to the first: the assembler has no word for it. */
    .section .pdata, "dr"
    .p2align 2
    .long separated_cold@IMGREL
    .long separated_cold_end@IMGREL
    .long separated_cold_unwind@IMGREL

    .section .xdata, "dr"
    .p2align 2
separated_cold_unwind:
    .byte 0x21, 0, 0, 0
    .long fh4_separated@IMGREL
    .long separated_end@IMGREL
    .long separated_first_unwind@IMGREL
/* The same as the assembler makes for the first piece. */
separated_first_unwind:
    .byte 0x19, 5, 2, 0
    .byte 5, 0x32, 1, 0x30
    .long __CxxFrameHandler4@IMGREL
    .long separated_info@IMGREL

    .section .rdata, "dr"
    .long 0 /* readers of other makers read four bytes that end at the last one */
plain_info:
    .byte 0x18 /* unwind map, try map */
    .long plain_unwind@IMGREL
    .long plain_tries@IMGREL
    .long plain_ips@IMGREL
plain_unwind:
    NUMBER(2)
    NUMBER(2 << 2) /* state 0: of the try block; next is before the first row */
    NUMBER(2 << 2) /* state 1: of the catch block; the same would be 2 rows back */
plain_tries:
    NUMBER(1)
    NUMBER(0)
    NUMBER(0)
    NUMBER(1)
    .long plain_handlers@IMGREL
plain_handlers:
    NUMBER(1)
    .byte 0x01 /* adjectives; no continuation: the block returns it */
    NUMBER(0x40)
    .long plain_catch@IMGREL
plain_ips:
    NUMBER(3)
    NUMBER(0)
    NUMBER(0) /* -1 */
    DISTANCE(plain_try + 1, fh4_plain)
    NUMBER(1) /* 0 */
    DISTANCE(plain_tried, plain_try)
    NUMBER(0)

types_info:
    .byte 0x18
    .long types_unwind@IMGREL
    .long types_tries@IMGREL
    .long types_ips@IMGREL
types_unwind:
    NUMBER(5)
types_state0: /* the try block */
    NUMBER(2 << 2)
types_state1: /* an object */
    NUMBER(((types_state1 - types_state0) << 2) | 1)
    .long destroy@IMGREL
    NUMBER(0x28)
types_state2: /* a pointer to one */
    NUMBER(((types_state2 - types_state1) << 2) | 2)
    .long destroy@IMGREL
    NUMBER(0x38)
types_state3: /* a function */
    NUMBER(((types_state3 - types_state2) << 2) | 3)
    .long types_cleanup@IMGREL
types_state4: /* the catch blocks: as far back as before the first */
    NUMBER((types_state4 - types_unwind) << 2)
types_tries:
    NUMBER(1)
    NUMBER(0)
    NUMBER(3)
    NUMBER(4)
    .long types_handlers@IMGREL
types_handlers:
    NUMBER(2)
    .byte 0x26 /* type, object, two continuations by distance */
    .long type_int@IMGREL
    NUMBER(0x40)
    .long types_catch_int@IMGREL
    DISTANCE(types_text, fh4_types)
    DISTANCE(types_int, fh4_types)
    .byte 0x19 /* adjectives, one continuation by RVA */
    NUMBER(0x40)
    .long types_catch_any@IMGREL
    .long types_any@IMGREL
types_ips:
    NUMBER(3)
    NUMBER(0)
    NUMBER(0)
    DISTANCE(types_try + 1, fh4_types)
    NUMBER(4) /* 3 */
    DISTANCE(types_tried, types_try)
    NUMBER(0)

gs_info:
    .byte 0x18
    .long plain_unwind@IMGREL
    .long gs_tries@IMGREL
    .long gs_ips@IMGREL
gs_tries:
    NUMBER(1)
    NUMBER(0)
    NUMBER(0)
    NUMBER(1)
    .long gs_handlers@IMGREL
gs_handlers:
    NUMBER(1)
    .byte 0x11
    NUMBER(0x40)
    .long separated_catch@IMGREL
    DISTANCE(gs_on, gs_try)
gs_ips:
    NUMBER(3)
    NUMBER(0)
    NUMBER(0)
    DISTANCE(gs_begin + 1, gs_try)
    NUMBER(1)
    DISTANCE(gs_tried, gs_begin)
    NUMBER(0)

separated_info:
    .byte 0x1A /* separated, unwind map, try map */
    .long plain_unwind@IMGREL
    .long separated_tries@IMGREL
    .long separated_pieces@IMGREL
separated_pieces:
    NUMBER(2)
    .long fh4_separated@IMGREL
    .long separated_ips@IMGREL
    .long separated_cold@IMGREL
    .long separated_cold_ips@IMGREL
separated_tries:
    NUMBER(1)
    NUMBER(0)
    NUMBER(0)
    NUMBER(1)
    .long separated_handlers@IMGREL
separated_handlers:
    NUMBER(1)
    .byte 0x11
    NUMBER(0x40)
    .long separated_catch@IMGREL
    DISTANCE(separated_on, fh4_separated)
separated_ips:
    NUMBER(1)
    NUMBER(0)
    NUMBER(0)
separated_cold_ips:
    NUMBER(2)
    NUMBER(0)
    NUMBER(1)
    DISTANCE(separated_tried, separated_cold)
    NUMBER(0)

/* The type descriptor of int, as compilers decorate it. */
    .p2align 3
type_int:
    .quad "??_7type_info@@6B@"
    .quad 0
    .asciz ".H"

text_plain:
    .asciz "plain"
text_any:
    .asciz "any"
text_destroy:
    .asciz "destroy"
text_cleanup:
    .asciz "cleanup"
text_separated:
    .asciz "separated"
