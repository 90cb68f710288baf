/* svm.h - AMD's Secure Virtual Machine: the control block, and how the firmware becomes a guest.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Layout and numbers: AMD64 Architecture Programmer's Manual, volume 2, appendices B and C.
 */
#ifndef HVHOST_SVM_H
#define HVHOST_SVM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct host;

struct svm_segment {
    uint16_t selector;
    uint16_t attributes;
    uint32_t limit;
    uint64_t base;
};

struct svm_control {
    uint16_t cr_read;
    uint16_t cr_write;
    uint16_t dr_read;
    uint16_t dr_write;
    uint32_t exceptions;
    uint32_t misc1;
    uint32_t misc2;
    uint8_t reserved1[0x2C];
    uint64_t io_map;
    uint64_t msr_map;
    uint64_t tsc_offset;
    uint32_t asid;
    uint32_t tlb_control;
    uint32_t virtual_interrupt;
    uint32_t virtual_vector;
    uint64_t shadow;
    uint64_t exit_code;
    uint64_t exit_info1;
    uint64_t exit_info2;
    uint64_t exit_event;
    uint64_t nested_paging;
    uint8_t reserved2[0x10];
    uint64_t inject;
    uint64_t nested_cr3;
    uint8_t reserved3[0x348];
};

struct svm_save {
    struct svm_segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr;
    uint8_t reserved1[0x2B];
    uint8_t cpl;
    uint32_t reserved2;
    uint64_t efer;
    uint8_t reserved3[0x70];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip;
    uint8_t reserved4[0x58];
    uint64_t rsp;
    uint8_t reserved5[0x18];
    uint64_t rax;
    uint8_t reserved6[0x40];
    uint64_t cr2;
    uint8_t reserved7[0x9B8];
};

struct svm_vmcb {
    struct svm_control control;
    struct svm_save save;
};

_Static_assert(offsetof(struct svm_control, io_map) == 0x40, "io_map");
_Static_assert(offsetof(struct svm_control, virtual_interrupt) == 0x60, "virtual_interrupt");
_Static_assert(offsetof(struct svm_control, exit_code) == 0x70, "exit_code");
_Static_assert(offsetof(struct svm_control, inject) == 0xA8, "inject");
_Static_assert(offsetof(struct svm_vmcb, save) == 0x400, "save");
_Static_assert(offsetof(struct svm_save, cpl) == 0xCB, "cpl");
_Static_assert(offsetof(struct svm_save, efer) == 0xD0, "efer");
_Static_assert(offsetof(struct svm_save, cr4) == 0x148, "cr4");
_Static_assert(offsetof(struct svm_save, rip) == 0x178, "rip");
_Static_assert(offsetof(struct svm_save, rsp) == 0x1D8, "rsp");
_Static_assert(offsetof(struct svm_save, rax) == 0x1F8, "rax");
_Static_assert(offsetof(struct svm_save, cr2) == 0x240, "cr2");
_Static_assert(sizeof(struct svm_vmcb) == 0x1000, "control block");

enum svm_exit {
    SVM_EXIT_CR8_WRITE = 0x18,
    SVM_EXIT_UD = 0x46,
    SVM_EXIT_CPUID = 0x72,
    SVM_EXIT_PAUSE = 0x77,
    SVM_EXIT_HLT = 0x78,
    SVM_EXIT_IOIO = 0x7B,
    SVM_EXIT_MSR = 0x7C,
    SVM_EXIT_SHUTDOWN = 0x7F,
    SVM_EXIT_VMRUN = 0x80,
    SVM_EXIT_VMMCALL = 0x81,
    SVM_EXIT_VMLOAD = 0x82,
    SVM_EXIT_VMSAVE = 0x83,
    SVM_EXIT_STGI = 0x84,
    SVM_EXIT_CLGI = 0x85,
    SVM_EXIT_SKINIT = 0x86,
};

#define SVM_MSR_EFER      UINT32_C(0xC0000080)
#define SVM_MSR_VM_CR     UINT32_C(0xC0010114)
#define SVM_MSR_HSAVE     UINT32_C(0xC0010117)
#define SVM_EFER_SVME     UINT64_C(0x1000)
#define SVM_VIRTUAL_IRQ   UINT32_C(0x00000100)
#define SVM_IRQ_PRIORITY  UINT32_C(0x000F0000)
#define SVM_IGNORE_TPR    UINT32_C(0x00100000)
#define SVM_INJECT_VALID  UINT64_C(0x80000000)
#define SVM_INJECT_FAULT  UINT64_C(0x00000300)
#define SVM_INJECT_ERROR  UINT64_C(0x00000800)
#define SVM_IO_IN         1u
#define SVM_IO_STRING     4u
#define SVM_IO_PORT_SHIFT 16

/* What the guest's general registers were at its exit, in the order svm_run.S pushes them; rax and
 * rsp are in the control block. */
struct svm_registers {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx;
};

/* Everything here lies below 4 GB in memory that no operating system takes. */
struct svm {
    struct svm_vmcb *vmcb;
    uint8_t *io_map;
    uint8_t *stack_top;
    uint64_t page_table;
    struct x86_gate *idt;
    uint8_t gdt[256];
};

/* Why this processor cannot do it; NULL: it can. */
const char *svm_missing(void);

/* memory: SVM_PAGES pages below 4 GB, any content. */
#define SVM_PAGES 32u
void svm_prepare(struct svm *svm, uint8_t *memory);

/* Ports that make the guest exit; before svm_enter. */
void svm_intercept_port(struct svm *svm, uint16_t port, unsigned count);

/* From here to its return, and ever after, the caller runs as the guest of host. */
void svm_enter(struct svm *svm, struct host *host);

/* svm_run.S */
void svm_run(struct svm_vmcb *vmcb, uint8_t *stack_top, struct host *host, uint64_t page_table);
extern const uint8_t svm_host_faults[];

#endif
