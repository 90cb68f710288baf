/* breakpoints.h - the debugger's software breakpoints: 32 handles, planted only while the program
 * runs.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * While the program is stopped its memory is as the program wrote it. So reads never show a
 * breakpoint, a write at a breakpoint changes the program's own byte, and a debugger that writes
 * int3 itself besides asking for a breakpoint (radare2 does both) gets back what it had.
 */
#ifndef KDA_BREAKPOINTS_H
#define KDA_BREAKPOINTS_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

struct kda_breakpoint {
    bool used;
    bool planted;
    uint8_t original; /* of the program, while planted */
    uint64_t address;
};

struct kda_breakpoints {
    struct kda_breakpoint entry[KD_MAX_BREAKPOINTS]; /* handle - 1 */
};

/* A handle, 1 to 32; 0 when all are taken. The same address twice gives two handles, an address
 * that is not mapped is accepted: it is planted once it can be. (Both as the boot manager.) When
 * all are taken, an address that has a handle gets that one: WinDbg on a line that loses packets
 * asks again, and clears only one of the handles that it was given. */
uint32_t kda_breakpoint_add(struct kda_breakpoints *table, uint64_t address);

/* False: no such handle. Not while planted. */
bool kda_breakpoint_remove(struct kda_breakpoints *table, uint32_t handle);

/* All but those at address except, where that is not null; those that cannot be written wait. */
void kda_breakpoints_plant(struct kda_breakpoints *table, const struct kda_target *target,
                           const uint64_t *except);
void kda_breakpoints_lift(struct kda_breakpoints *table, const struct kda_target *target);

/* Forgets, after lifting, what lies in [base, base + size); size 0: everything. */
void kda_breakpoints_drop(struct kda_breakpoints *table, const struct kda_target *target,
                          uint64_t base, uint64_t size);

bool kda_breakpoints_have(const struct kda_breakpoints *table, uint64_t address);
bool kda_breakpoints_planted(const struct kda_breakpoints *table, uint64_t address);

#endif
