/* safe.S - instructions that may fault, and where to go on when they do.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * x64_fixups holds pairs {instruction, where to go on}; x64_dispatch looks a fault's rip up in it
 * first of all, at any depth. Nothing is stored anywhere before the risk is taken, so these
 * functions nest.
 */
        .intel_syntax noprefix
        .text

/* size_t x64_safe_copy(to: rcx, from: rdx, size: r8): returns the bytes copied. The quadwords' fault
 * is followed by a try byte by byte, so the count is exact. */
        .globl x64_safe_copy
x64_safe_copy:
        push rsi
        push rdi
        mov rdi, rcx
        mov rsi, rdx
        mov rcx, r8
        shr rcx, 3
copy8:  rep movsq
copy8_end:
        mov rax, r8
        and eax, 7
        lea rcx, [rax + rcx * 8]
copy1:  rep movsb
copy1_end:
        mov rax, r8
        sub rax, rcx
        pop rdi
        pop rsi
        ret

/* size_t x64_safe_copy_bytes(to, from, size) and x64_safe_copy_words(to, from, count): with accesses
 * of exactly 1 and 4 bytes; both return bytes. */
        .globl x64_safe_copy_bytes
x64_safe_copy_bytes:
        push rsi
        push rdi
        mov rdi, rcx
        mov rsi, rdx
        mov rcx, r8
bytes:  rep movsb
bytes_end:
        mov rax, r8
        sub rax, rcx
        pop rdi
        pop rsi
        ret

        .globl x64_safe_copy_words
x64_safe_copy_words:
        push rsi
        push rdi
        mov rdi, rcx
        mov rsi, rdx
        mov rcx, r8
words:  rep movsd
words_end:
        mov rax, r8
        sub rax, rcx
        shl rax, 2
        pop rdi
        pop rsi
        ret

/* bool x64_safe_read_msr(number: ecx, value: rdx) */
        .globl x64_safe_read_msr
x64_safe_read_msr:
        mov r8, rdx
        xor r9d, r9d
read_msr:
        rdmsr
        mov r9d, 1
        shl rdx, 32
        mov eax, eax
        or rdx, rax
        mov [r8], rdx
read_msr_end:
        mov eax, r9d
        ret

/* bool x64_safe_write_msr(number: ecx, value: rdx), the same for an extended control register */
        .macro WRITE_PAIR name, instruction
        .globl \name
\name:
        mov eax, edx
        shr rdx, 32
        xor r9d, r9d
\name\()_risk:
        \instruction
        mov r9d, 1
\name\()_end:
        mov eax, r9d
        ret
        .endm

        WRITE_PAIR x64_safe_write_msr, wrmsr
        WRITE_PAIR x64_safe_write_xcr, xsetbv

/* bool NAME(value: rcx) */
        .macro WRITE name, instruction:vararg
        .globl \name
\name:
        xor eax, eax
\name\()_risk:
        \instruction
        mov eax, 1
\name\()_end:
        ret
        .endm

        WRITE x64_safe_write_cr0, mov cr0, rcx
        WRITE x64_safe_write_cr3, mov cr3, rcx
        WRITE x64_safe_write_cr4, mov cr4, rcx
        WRITE x64_safe_write_cr8, mov cr8, rcx
        WRITE x64_safe_write_ds, mov ds, ecx
        WRITE x64_safe_write_es, mov es, ecx
        WRITE x64_safe_write_fs, mov fs, ecx
        WRITE x64_safe_write_gs, mov gs, ecx
        WRITE x64_safe_write_tr, ltr cx
        WRITE x64_safe_write_ldtr, lldt cx

/* void __chkstk: what the compiler calls for frames of more than a page; all of our stack is
 * there, so nothing is to be done. */
        .globl __chkstk
__chkstk:
        ret

        .macro FIXUP risk, end
        .quad \risk, \end
        .endm

        .section .rdata, "dr"
        .balign 8
        .globl x64_fixups
x64_fixups:
        FIXUP copy8, copy8_end
        FIXUP copy1, copy1_end
        FIXUP bytes, bytes_end
        FIXUP words, words_end
        FIXUP read_msr, read_msr_end
        .irp name, msr, xcr, cr0, cr3, cr4, cr8, ds, es, fs, gs, tr, ldtr
        FIXUP x64_safe_write_\name\()_risk, x64_safe_write_\name\()_end
        .endr
        .globl x64_fixups_end
x64_fixups_end:
