/* svm.c - takes the processor over: tables of the host, state of the guest.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "svm.h"

#include "x86.h"

#define PAGE           4096u
#define STACK_PAGES    16u
#define PAGE_PRESENT   UINT64_C(0x003) /* and writable */
#define PAGE_LARGE     UINT64_C(0x083)
#define LARGE_SIZE     (UINT64_C(2) << 20)
#define DIRECTORIES    4u /* of 1 GB: all that a 32-bit address reaches */
#define ENTRIES        512u
#define LEAF_EXTENDED  UINT32_C(0x80000001)
#define ECX_SVM        UINT32_C(0x00000004)
#define VM_CR_DISABLED UINT64_C(0x10)
#define GATE_INTERRUPT 0x8E
#define HOST_VECTORS   32u

/* Bits of the intercept words. */
#define ON_CR8_WRITE (1u << 8)
#define ON_UD        (1u << 6)
#define ON_CPUID     (1u << 18)
#define ON_PAUSE     (1u << 23)
#define ON_HLT       (1u << 24)
#define ON_IO        (1u << 27)
#define ON_MSR       (1u << 28)
#define ON_SHUTDOWN  (1u << 31)
#define ON_SVM       0x7Fu /* vmrun, vmmcall, vmload, vmsave, stgi, clgi, skinit */

struct x86_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t stack;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};

const char *svm_missing(void)
{
    struct x86_cpuid leaf = x86_cpuid(LEAF_EXTENDED, 0);

    if (!(leaf.ecx & ECX_SVM))
        return "the processor has no SVM (QEMU: -cpu qemu64,+svm with -accel tcg)";
    if (x86_rdmsr(SVM_MSR_VM_CR) & VM_CR_DISABLED)
        return "SVM is switched off in VM_CR";
    return NULL;
}

static uint8_t *take(uint8_t **memory, unsigned pages)
{
    uint8_t *taken = *memory;

    *memory += (size_t)pages * PAGE;
    return taken;
}

/* The first 4 GB as they are, in large pages. */
static uint64_t make_page_table(uint8_t **memory)
{
    uint64_t *top = (uint64_t *)(void *)take(memory, 1);
    uint64_t *upper = (uint64_t *)(void *)take(memory, 1);

    top[0] = (uintptr_t)upper | PAGE_PRESENT;
    for (unsigned i = 0; i < DIRECTORIES; i++) {
        uint64_t *directory = (uint64_t *)(void *)take(memory, 1);

        upper[i] = (uintptr_t)directory | PAGE_PRESENT;
        for (unsigned k = 0; k < ENTRIES; k++)
            directory[k] = (i * (uint64_t)ENTRIES + k) * LARGE_SIZE | PAGE_LARGE;
    }
    return (uintptr_t)top;
}

/* Two bits for each register, read then write, in three ranges of 8192 registers; all others exit
 * always. */
static void intercept_msr(uint8_t *map, uint32_t index)
{
    uint32_t bit = (index & 0x1FFF) * 2;
    uint32_t range = index >= UINT32_C(0xC0010000) ? 2 : index >= UINT32_C(0xC0000000) ? 1 : 0;

    map[range * 2048 + bit / 8] |= (uint8_t)(3u << bit % 8);
}

static void make_idt(struct x86_gate *idt)
{
    for (unsigned i = 0; i < HOST_VECTORS; i++) {
        uint64_t entry = (uintptr_t)svm_host_faults + i * 16;

        idt[i] = (struct x86_gate){
            .offset_low = (uint16_t)entry,
            .selector = x86_cs(),
            .type = GATE_INTERRUPT,
            .offset_middle = (uint16_t)(entry >> 16),
            .offset_high = (uint32_t)(entry >> 32),
        };
    }
}

static void set_intercepts(struct svm_control *control)
{
    control->cr_write = ON_CR8_WRITE;
    control->exceptions = ON_UD;
    control->misc1 = ON_CPUID | ON_PAUSE | ON_HLT | ON_IO | ON_MSR | ON_SHUTDOWN;
    control->misc2 = ON_SVM;
    control->asid = 1;
}

void svm_prepare(struct svm *svm, uint8_t *memory)
{
    uint8_t *save_area, *msr_map;

    for (size_t i = 0; i < (size_t)SVM_PAGES * PAGE; i++)
        memory[i] = 0;
    svm->vmcb = (struct svm_vmcb *)(void *)take(&memory, 1);
    save_area = take(&memory, 1);
    msr_map = take(&memory, 2);
    svm->io_map = take(&memory, 3);
    svm->stack_top = take(&memory, STACK_PAGES) + STACK_PAGES * PAGE;
    svm->idt = (struct x86_gate *)(void *)take(&memory, 1);
    svm->page_table = make_page_table(&memory);
    make_idt(svm->idt);
    intercept_msr(msr_map, SVM_MSR_EFER);
    intercept_msr(msr_map, SVM_MSR_VM_CR);
    intercept_msr(msr_map, SVM_MSR_HSAVE);
    set_intercepts(&svm->vmcb->control);
    svm->vmcb->control.io_map = (uintptr_t)svm->io_map;
    svm->vmcb->control.msr_map = (uintptr_t)msr_map;
    x86_wrmsr(SVM_MSR_EFER, x86_rdmsr(SVM_MSR_EFER) | SVM_EFER_SVME);
    x86_wrmsr(SVM_MSR_HSAVE, (uintptr_t)save_area);
}

void svm_intercept_port(struct svm *svm, uint16_t port, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        svm->io_map[(port + i) / 8] |= (uint8_t)(1u << (port + i) % 8);
}

/* Of the descriptor that the selector names in the present GDT. */
static struct svm_segment segment(uint16_t selector)
{
    struct x86_table gdt = x86_sgdt();
    const uint8_t *at = (const uint8_t *)(uintptr_t)(gdt.base + (selector & 0xFFF8u));
    struct svm_segment out = {.selector = selector};

    out.attributes = (uint16_t)(at[5] | (at[6] >> 4) << 8);
    out.limit = (uint32_t)(at[0] | at[1] << 8 | (at[6] & 15) << 16);
    if (at[6] & 0x80)
        out.limit = out.limit << 12 | 0xFFF;
    out.base = at[2] | (uint64_t)at[3] << 8 | (uint64_t)at[4] << 16 | (uint64_t)at[7] << 24;
    return out;
}

static void save_guest(struct svm_save *save)
{
    struct x86_table gdt = x86_sgdt(), idt = x86_sidt();

    save->cs = segment(x86_cs());
    save->ss = segment(x86_ss());
    save->ds = segment(x86_ds());
    save->es = segment(x86_es());
    save->gdtr = (struct svm_segment){.limit = gdt.limit, .base = gdt.base};
    save->idtr = (struct svm_segment){.limit = idt.limit, .base = idt.base};
    save->cr0 = x86_cr0();
    save->cr2 = x86_cr2();
    save->cr3 = x86_cr3();
    save->cr4 = x86_cr4();
    save->dr6 = x86_dr6();
    save->dr7 = x86_dr7();
    save->efer = x86_rdmsr(SVM_MSR_EFER);
    save->rflags = 2;
}

/* The host keeps the firmware's selectors, in a copy of its GDT that nobody changes any more. */
static void load_host_tables(struct svm *svm)
{
    struct x86_table gdt = x86_sgdt();
    struct x86_table idt = {.limit = HOST_VECTORS * sizeof(struct x86_gate) - 1,
                            .base = (uintptr_t)svm->idt};
    const uint8_t *from = (const uint8_t *)(uintptr_t)gdt.base;

    if (gdt.limit >= sizeof svm->gdt)
        gdt.limit = sizeof svm->gdt - 1;
    for (size_t i = 0; i <= gdt.limit; i++)
        svm->gdt[i] = from[i];
    gdt.base = (uintptr_t)svm->gdt;
    x86_lgdt(gdt);
    x86_lidt(idt);
}

void svm_enter(struct svm *svm, struct host *host)
{
    uint64_t flags = x86_interrupts_off();

    save_guest(&svm->vmcb->save);
    __asm__ volatile("vmsave %0" : : "a"(svm->vmcb) : "memory");
    load_host_tables(svm);
    svm_run(svm->vmcb, svm->stack_top, host, svm->page_table);
    x86_flags(flags);
}
