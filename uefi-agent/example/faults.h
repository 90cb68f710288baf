/* faults.h - one function per kind of fault; each has the one instruction that faults.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A debugger survives them by moving rip behind that instruction (its length stands beside each),
 * or by returning: rip = [rsp], rsp = rsp + 8.
 */
#ifndef KDEXAMPLE_FAULTS_H
#define KDEXAMPLE_FAULTS_H

#include <stdint.h>

void KdExampleWriteFault(uint64_t address);   /* mov [rcx], eax       2 bytes */
void KdExampleReadFault(uint64_t address);    /* mov eax, [rcx]       2 bytes */
void KdExampleExecuteFault(uint64_t address); /* jmp rcx              return */
void KdExampleDivideFault(void);              /* div ecx              2 bytes */
void KdExampleIllegalFault(void);             /* ud2                  2 bytes */
void KdExampleBreakpoint(void);               /* int3                 1 byte */
void KdExampleSelectorFault(void);            /* mov es, ax           2 bytes */
void KdExampleStackFault(uint64_t address);   /* push rax, on a stack that is none; 1 byte */
void KdExampleFloatFault(void);               /* divss xmm0, xmm1     4 bytes */

#endif
