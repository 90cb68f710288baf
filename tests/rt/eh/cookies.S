/* cookies.S - functions with a stack cookie, and each handler that checks it: compilers here make
 * none.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The cookie of a function is its frame's address mixed with the program's; damage is added to it.
 * Behind the language handler's data is where it lies, and for which passes that handler is wanted
 * (1: search, 2: unwinding, 4: the frame is aligned).
 */
    .intel_syntax noprefix
    .text

#define COOKIE 0x28 /* distance in the frame */

/* Two nops: what is at the return address of a call is in the state of the call. */
#define CALL(function) call function; nop

.macro STORE_COOKIE frame, damage
    mov rax, [rip + __security_cookie]
    xor rax, \frame
    add rax, \damage
    mov [rsp + COOKIE], rax
.endm

.macro BEGIN name, handler
    .globl \name
    .seh_proc \name
\name:
    .seh_handler \handler, @unwind, @except
    push rbx
    .seh_pushreg rbx
    sub rsp, 0x30
    .seh_stackalloc 0x30
    .seh_endprologue
    STORE_COOKIE rsp, rdx
    mov ebx, 5
\name\()_begin:
    CALL(rcx)
\name\()_end:
    mov ebx, 1000
\name\()_on:
    lea eax, [rbx + 1]
    add rsp, 0x30
    pop rbx
    ret
    .seh_handlerdata
.endm

/* long NAME(void (*function)(void), long damage): 6 after an exception, else 1001. */
    BEGIN gs_seh, __GSHandlerCheck_SEH /* __try, __except (1) */
    .long 1
    .long gs_seh_begin@IMGREL, gs_seh_end@IMGREL, 1, gs_seh_on@IMGREL
    .long COOKIE + 3
    .text
    .seh_endproc

    BEGIN gs_finally, __GSHandlerCheck_SEH /* __try, __finally */
    .long 1
    .long gs_finally_begin@IMGREL, gs_finally_end@IMGREL, finally_block@IMGREL, 0
    .long COOKIE + 2
    .text
    .seh_endproc

    BEGIN gs_unwanted, __GSHandlerCheck_SEH /* as gs_seh, but nobody wants its handler */
    .long 1
    .long gs_unwanted_begin@IMGREL, gs_unwanted_end@IMGREL, 1, gs_unwanted_on@IMGREL
    .long COOKIE
    .text
    .seh_endproc

    BEGIN gs_eh, __GSHandlerCheck_EH /* try, catch (...) */
    .long eh_info@IMGREL
    .long COOKIE + 3
    .text
    .seh_endproc

/* void gs_aligned(void (*function)(void), long damage): the cookie is counted from the stack
 * pointer, which is a multiple of 64. */
    .globl gs_aligned
    .seh_proc gs_aligned
gs_aligned:
    .seh_handler __GSHandlerCheck, @unwind, @except
    push rbp
    .seh_pushreg rbp
    mov rbp, rsp
    .seh_setframe rbp, 0
    .seh_endprologue
    sub rsp, 0x80
    and rsp, -64
    STORE_COOKIE rbp, rdx
    CALL(rcx)
    lea rsp, [rbp]
    pop rbp
    ret
    .seh_handlerdata
    .long COOKIE + 4
    .long -0x80
    .long 64
    .text
    .seh_endproc

    .macro BLOCK name, text
    .seh_proc \name
\name:
    sub rsp, 0x28
    .seh_stackalloc 0x28
    .seh_endprologue
    lea rcx, [rip + \text]
    CALL(note)
    lea rax, [rip + gs_eh_on]
    add rsp, 0x28
    ret
    .seh_endproc
    .endm

    BLOCK finally_block, text_finally
    BLOCK catch_block, text_catch

    .section .rdata, "dr"
    .p2align 2
eh_info:
    .long 0x19930522
    .long 2, eh_unwind@IMGREL
    .long 1, eh_tries@IMGREL
    .long 3, eh_ips@IMGREL
    .long 0x20, 0 /* a place in the frame that nobody needs; no types that may leave it */
    .long 1       /* /EHs */
eh_unwind:
    .long -1, 0
    .long -1, 0
eh_tries:
    .long 0, 0, 1, 1, eh_handlers@IMGREL
eh_handlers:
    .long 0x40, 0, 0, catch_block@IMGREL, 0
eh_ips:
    .long gs_eh@IMGREL, -1
    .long gs_eh_begin@IMGREL + 1, 0
    .long gs_eh_end@IMGREL, -1

text_finally:
    .asciz "finally"
text_catch:
    .asciz "catch"
