/* exits.h - why the guest stopped, and what the host does about it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_EXITS_H
#define HVHOST_EXITS_H

#include <stdbool.h>
#include <stdint.h>

struct host;
struct svm_registers;

/* Ports of QEMU's q35 that the host has a look at: the timer that firmware waits by, and the three
 * ways to end a run. */
#define EXITS_PM_CONTROL 0x604
#define EXITS_PM_TIMER   0x608
#define EXITS_RESET      0xCF9
#define EXITS_DEBUG_EXIT 0xF4

/* Called by svm_run.S. */
void exits_handle(struct host *host, struct svm_registers *registers);
void exits_host_fault(uint32_t vector, const uint64_t *frame);

/* The guest gets a general protection fault instead of its instruction's effect. */
void exits_general_protection(struct host *host);

/* msr.c: rdmsr and wrmsr of a synthetic register, or of one that hides SVM. False: no such
 * register, or no such value. */
bool msr_read(struct host *host, uint32_t index, uint64_t *value);
bool msr_write(struct host *host, uint32_t index, uint64_t value);

/* cpuid.c */
void cpuid_emulate(struct host *host, struct svm_registers *registers);

/* hypercall.c: result for RAX. */
uint64_t hypercall(struct host *host, const struct svm_registers *registers);

/* The host's own work: messages, bridge, timers. */
void host_work(struct host *host);

#endif
