/* cpuid.c - the processor as a guest of Hyper-V sees it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "exits.h"
#include "host.h"
#include "kd/vmbus.h"
#include "x86.h"

#define LEAF_FEATURES      1u
#define LEAF_EXTENDED      UINT32_C(0x80000001)
#define LEAF_SVM           UINT32_C(0x8000000A)
#define LEAF_LAST          UINT32_C(0x40000006)
#define LEAF_RESERVED_LAST UINT32_C(0x400000FF)
#define ECX_OSXSAVE        UINT32_C(0x08000000)
#define CR4_OSXSAVE        UINT64_C(0x00040000)
#define ECX_SVM            UINT32_C(0x00000004)
#define BUILD              20348u
#define VERSION            UINT32_C(0x000A0000) /* 10.0 */
#define SPIN_FOREVER       UINT32_C(0xFFFFFFFF)

static struct x86_cpuid hypervisor_leaf(const struct host *host, uint32_t leaf)
{
    switch (leaf) {
    case KD_HV_CPUID_RANGE:
        return (struct x86_cpuid){LEAF_LAST, KD_HV_VENDOR_EBX, KD_HV_VENDOR_ECX, KD_HV_VENDOR_EDX};
    case KD_HV_CPUID_INTERFACE:
        return (struct x86_cpuid){KD_HV_INTERFACE, 0, 0, 0};
    case KD_HV_CPUID_VERSION:
        return (struct x86_cpuid){BUILD, VERSION, 0, 0};
    case KD_HV_CPUID_FEATURES:
        return (struct x86_cpuid){KD_HV_ACCESS_REFERENCE_COUNTER | KD_HV_ACCESS_SYNIC |
                                      KD_HV_ACCESS_HYPERCALL | KD_HV_ACCESS_VP_INDEX,
                                  KD_HV_POST_MESSAGES | KD_HV_SIGNAL_EVENTS, 0, 0};
    case KD_HV_CPUID_HINTS:
        return (struct x86_cpuid){host->options.eoi ? KD_HV_NO_AUTO_EOI : 0, SPIN_FOREVER, 0, 0};
    case KD_HV_CPUID_LIMITS:
        return (struct x86_cpuid){1, 1, 0, 0};
    default:
        return (struct x86_cpuid){0, 0, 0, 0};
    }
}

void cpuid_emulate(struct host *host, struct svm_registers *registers)
{
    struct svm_save *save = &host->svm.vmcb->save;
    uint32_t leaf = (uint32_t)save->rax;
    struct x86_cpuid out;

    if (leaf >= KD_HV_CPUID_RANGE && leaf <= LEAF_RESERVED_LAST) {
        out = hypervisor_leaf(host, leaf);
    } else {
        out = x86_cpuid(leaf, (uint32_t)registers->rcx);
        if (leaf == LEAF_FEATURES) {
            out.ecx = (out.ecx & ~ECX_OSXSAVE) | KD_HV_CPUID_PRESENT;
            if (save->cr4 & CR4_OSXSAVE)
                out.ecx |= ECX_OSXSAVE;
        } else if (leaf == LEAF_EXTENDED) {
            out.ecx &= ~ECX_SVM;
        } else if (leaf == LEAF_SVM) {
            out = (struct x86_cpuid){0, 0, 0, 0};
        }
    }
    save->rax = out.eax;
    registers->rbx = out.ebx;
    registers->rcx = out.ecx;
    registers->rdx = out.edx;
}
