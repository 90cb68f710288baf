/* exits.c - one exit of the guest: what stopped it, done; then the host's own work.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * QEMU's emulation saves no next instruction pointer except for I/O, so instructions are stepped
 * over by their length.
 */
#include "exits.h"

#include "host.h"
#include "x86.h"

#define LENGTH_SHORT    1u /* hlt */
#define LENGTH_USUAL    2u /* cpuid, rdmsr, wrmsr, pause */
#define LENGTH_CALL     3u /* vmmcall, vmcall */
#define LENGTH_CR8      4u /* 44 or 45, 0F 22 C0 + register */
#define FLAGS_TRAP      UINT64_C(0x100)
#define DR6_STEP        UINT64_C(0x4000)
#define VECTOR_DEBUG    1u
#define VECTOR_INVALID  6u
#define VECTOR_GP       13u
#define SIZE_MASK       7u
#define REX_R           0x44u
#define REX_RB          0x45u
#define PM_SLEEP_ENABLE 0x2000u
#define RESET_CPU       0x04u
#define STATUS_US       UINT64_C(5000000)

static void inject_fault(struct host *host, uint32_t vector, bool error)
{
    host->svm.vmcb->control.inject =
        SVM_INJECT_VALID | SVM_INJECT_FAULT | (error ? SVM_INJECT_ERROR : 0) | vector;
}

void exits_general_protection(struct host *host)
{
    inject_fault(host, VECTOR_GP, true);
}

/* Past the instruction; a program that is being stepped gets its trap. */
static void step_over(struct host *host, unsigned length)
{
    struct svm_save *save = &host->svm.vmcb->save;

    save->rip += length;
    host->svm.vmcb->control.shadow = 0;
    if (save->rflags & FLAGS_TRAP) {
        save->dr6 |= DR6_STEP;
        inject_fault(host, VECTOR_DEBUG, false);
    }
}

static void on_msr(struct host *host, struct svm_registers *registers)
{
    struct svm_save *save = &host->svm.vmcb->save;
    uint32_t index = (uint32_t)registers->rcx;
    uint64_t value = (registers->rdx & UINT32_MAX) << 32 | (save->rax & UINT32_MAX);
    bool good;

    if (host->svm.vmcb->control.exit_info1) {
        good = msr_write(host, index, value);
    } else {
        good = msr_read(host, index, &value);
        if (good) {
            save->rax = value & UINT32_MAX;
            registers->rdx = value >> 32;
        }
    }
    if (good)
        step_over(host, LENGTH_USUAL);
    else
        exits_general_protection(host);
}

static uint64_t port_in(uint16_t port, unsigned size)
{
    if (size == 1)
        return x86_in8(port);
    return size == 2 ? x86_in16(port) : x86_in32(port);
}

static void port_out(uint16_t port, unsigned size, uint64_t value)
{
    if (size == 1)
        x86_out8(port, (uint8_t)value);
    else if (size == 2)
        x86_out16(port, (uint16_t)value);
    else
        x86_out32(port, (uint32_t)value);
}

static bool ends_run(uint16_t port, uint64_t value)
{
    return port == EXITS_DEBUG_EXIT || (port == EXITS_PM_CONTROL && value & PM_SLEEP_ENABLE) ||
           (port == EXITS_RESET && value & RESET_CPU);
}

static void on_io(struct host *host)
{
    struct svm_vmcb *vmcb = host->svm.vmcb;
    uint64_t info = vmcb->control.exit_info1, value;
    uint16_t port = (uint16_t)(info >> SVM_IO_PORT_SHIFT);
    unsigned size = (unsigned)(info >> 4) & SIZE_MASK;

    if (info & SVM_IO_STRING) {
        log_line(&host->log, LOG_FAIL, "string I/O to port %x is not emulated", (uint32_t)port);
    } else if (info & SVM_IO_IN) {
        uint64_t mask = size == 4 ? UINT64_MAX : (UINT64_C(1) << 8 * size) - 1;

        value = port_in(port, size);
        /* A 32-bit register's upper half becomes zero. */
        vmcb->save.rax = size == 4 ? value : (vmcb->save.rax & ~mask) | value;
    } else {
        if (ends_run(port, vmcb->save.rax)) {
            vmbus_summary(host);
            log_tally(&host->log, "end");
        }
        port_out(port, size, vmcb->save.rax);
    }
    step_over(host, (unsigned)(vmcb->control.exit_info2 - vmcb->save.rip));
}

static uint64_t general_register(const struct host *host, const struct svm_registers *registers,
                                 unsigned number)
{
    const uint64_t in_order[] = {
        host->svm.vmcb->save.rax,
        registers->rcx,
        registers->rdx,
        registers->rbx,
        host->svm.vmcb->save.rsp,
        registers->rbp,
        registers->rsi,
        registers->rdi,
        registers->r8,
        registers->r9,
        registers->r10,
        registers->r11,
        registers->r12,
        registers->r13,
        registers->r14,
        registers->r15,
    };

    return in_order[number & 15];
}

/* QEMU (6.2 to at least 7.2) aborts when a guest writes CR8 while an interrupt is about to be
 * injected, so the host writes it for the guest. */
static void on_cr8(struct host *host, const struct svm_registers *registers)
{
    struct svm_save *save = &host->svm.vmcb->save;
    uint8_t code[LENGTH_CR8] = {0};
    unsigned number;

    if (!guest_read_virtual(&host->guest, save, save->rip, code, sizeof code) ||
        (code[0] != REX_R && code[0] != REX_RB) || code[1] != 0x0F || code[2] != 0x22 ||
        (code[3] & 0xF8) != 0xC0) {
        log_line(&host->log, LOG_FAIL, "write of CR8 at %X: unknown instruction", save->rip);
        exits_general_protection(host);
        return;
    }
    number = (code[3] & 7u) | (code[0] == REX_RB ? 8u : 0u);
    x86_write_cr8(general_register(host, registers, number) & 15);
    step_over(host, LENGTH_CR8);
}

static void on_hypercall(struct host *host, const struct svm_registers *registers)
{
    uint64_t result;

    if (host->svm.vmcb->save.cpl) {
        log_line(&host->log, LOG_BAD, "hypercall outside of ring 0");
        inject_fault(host, VECTOR_INVALID, false);
        return;
    }
    result = hypercall(host, registers);
    host->svm.vmcb->save.rax = result;
    step_over(host, LENGTH_CALL);
}

/* Intel's vmcall is an invalid instruction on AMD; Hyper-V's guests are to use the page. */
static void on_invalid(struct host *host, const struct svm_registers *registers)
{
    struct svm_save *save = &host->svm.vmcb->save;
    uint8_t code[3] = {0};

    if (guest_read_virtual(&host->guest, save, save->rip, code, sizeof code) && code[0] == 0x0F &&
        code[1] == 0x01 && code[2] == 0xC1) {
        log_line(&host->log, LOG_BAD, "vmcall at %X: only the hypercall page knows the instruction",
                 save->rip);
        on_hypercall(host, registers);
        return;
    }
    inject_fault(host, VECTOR_INVALID, false);
}

static void on_shutdown(struct host *host)
{
    log_line(&host->log, LOG_FAIL, "the guest shut down (triple fault) at %X",
             host->svm.vmcb->save.rip);
    vmbus_summary(host);
    log_tally(&host->log, "shutdown");
    x86_out8(EXITS_DEBUG_EXIT, 1);
    x86_out8(EXITS_RESET, RESET_CPU | 2);
}

void exits_handle(struct host *host, struct svm_registers *registers)
{
    struct svm_control *control = &host->svm.vmcb->control;

    host->exits++;
    control->inject = 0;
    switch (control->exit_code) {
    case SVM_EXIT_CPUID:
        cpuid_emulate(host, registers);
        step_over(host, LENGTH_USUAL);
        break;
    case SVM_EXIT_MSR:
        on_msr(host, registers);
        break;
    case SVM_EXIT_IOIO:
        on_io(host);
        break;
    case SVM_EXIT_PAUSE:
        step_over(host, LENGTH_USUAL);
        break;
    case SVM_EXIT_HLT:
        /* It only waits, and the host has work: the guest's loop around it goes on. */
        step_over(host, LENGTH_SHORT);
        break;
    case SVM_EXIT_VMMCALL:
        on_hypercall(host, registers);
        break;
    case SVM_EXIT_CR8_WRITE:
        on_cr8(host, registers);
        break;
    case SVM_EXIT_UD:
        on_invalid(host, registers);
        break;
    case SVM_EXIT_SHUTDOWN:
        on_shutdown(host);
        break;
    case SVM_EXIT_VMRUN:
    case SVM_EXIT_VMLOAD:
    case SVM_EXIT_VMSAVE:
    case SVM_EXIT_STGI:
    case SVM_EXIT_CLGI:
    case SVM_EXIT_SKINIT:
        inject_fault(host, VECTOR_INVALID, false);
        break;
    default:
        log_line(&host->log, LOG_FAIL, "unknown exit %X at %X", control->exit_code,
                 host->svm.vmcb->save.rip);
        on_shutdown(host);
        break;
    }
    host_work(host);
}

void host_work(struct host *host)
{
    uint64_t now = log_now(&host->log);

    vmbus_work(host);
    bridge_work(host);
    control_work(host);
    synic_poll(host);
    if (now - host->status_time > STATUS_US) {
        host->status_time = now;
        log_tally(&host->log, "so far");
    }
}

void exits_host_fault(uint32_t vector, const uint64_t *frame)
{
    struct log log = {.start = x86_rdtsc(), .ticks_per_us = 1};

    log_line(&log, LOG_FAIL, "the host itself faulted: vector %u, stack %X %X %X %X", vector,
             frame[0], frame[1], frame[2], frame[3]);
    x86_out8(EXITS_DEBUG_EXIT, 2);
}
