/* faults.c - instructions that fault, one by one, so that a debugger can be tried on them.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "faults.h"

#define FAULT __attribute__((naked, noinline, used)) void

FAULT KdExampleWriteFault(uint64_t address)
{
    __asm__ volatile("movl %eax, (%rcx)\n\tret");
}

FAULT KdExampleReadFault(uint64_t address)
{
    __asm__ volatile("movl (%rcx), %eax\n\tret");
}

FAULT KdExampleExecuteFault(uint64_t address)
{
    __asm__ volatile("jmp *%rcx");
}

FAULT KdExampleDivideFault(void)
{
    __asm__ volatile("xorl %ecx, %ecx\n\t"
                     "xorl %edx, %edx\n\t"
                     "divl %ecx\n\tret");
}

FAULT KdExampleIllegalFault(void)
{
    __asm__ volatile("ud2\n\tret");
}

FAULT KdExampleBreakpoint(void)
{
    __asm__ volatile("int3\n\tret");
}

/* Beyond the descriptor table of any firmware. */
FAULT KdExampleSelectorFault(void)
{
    __asm__ volatile("movl $0xFFF8, %eax\n\t"
                     "movw %ax, %es\n\tret");
}

/* rsp comes back from rdx, whether the push was skipped or not. */
FAULT KdExampleStackFault(uint64_t address)
{
    __asm__ volatile("movq %rsp, %rdx\n\t"
                     "movq %rcx, %rsp\n\t"
                     "pushq %rax\n\t"
                     "movq %rdx, %rsp\n\tret");
}

/* Division by zero, not masked for this one instruction. */
FAULT KdExampleFloatFault(void)
{
    __asm__ volatile("subq $8, %rsp\n\t"
                     "stmxcsr (%rsp)\n\t"
                     "movl (%rsp), %eax\n\t"
                     "movl %eax, %ecx\n\t"
                     "andl $0xFFFFFDC0, %ecx\n\t"
                     "movl %ecx, 4(%rsp)\n\t"
                     "ldmxcsr 4(%rsp)\n\t"
                     "xorps %xmm1, %xmm1\n\t"
                     "movl $1, %ecx\n\t"
                     "cvtsi2ss %ecx, %xmm0\n\t"
                     "divss %xmm1, %xmm0\n\t"
                     "ldmxcsr (%rsp)\n\t"
                     "addq $8, %rsp\n\tret");
}
