/* vectors.h - the processor's vectors for faults, taken from the firmware and given back.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_RT_EH_VECTORS_H
#define KDLENS_TESTS_RT_EH_VECTORS_H

#include <stdint.h>

/* What the entry code pushes, from the lowest address. */
struct trap {
    uint64_t gpr[16]; /* in the order of the encoding; rsp's is not used */
    uint64_t vector;
    uint64_t error_code;
    uint64_t rip;
    uint64_t cs;
    uint64_t flags;
    uint64_t rsp;
    uint64_t ss;
};

void take_vectors(void);
void give_vectors(void);

/* Called by the entry code with the 512 bytes of fxsave. */
void trapped(struct trap *trap, uint8_t *fx);

#endif
