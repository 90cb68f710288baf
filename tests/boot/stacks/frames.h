/* frames.h - calls with frames of every kind, and stacks that are none.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_BOOT_FRAMES_H
#define KDLENS_TESTS_BOOT_FRAMES_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Writes to address, twenty calls further down, on a stack of its own. */
void DeepFault(uint64_t address);

/* Throws an int, three calls further down. */
void ThrowInt(int number);

/* Writes to address with rsp, and with rbp, like this; comes back when the debugger skips the
 * instruction, which is two bytes long. */
void StrayFault(uint64_t address, const void *rsp, const void *rbp);

/* The same at an rsp where nothing is: the processor cannot even tell. Does not come back. */
void StrayPush(uint64_t rsp);

/* Words of a stack on which nobody called anybody. */
void MakeNoise(uint64_t *words, unsigned count);
/* ... on which one function called itself for ever. */
void MakeEndless(uint64_t *words, unsigned count);
/* ... whose frame register leads back to where it was; the rbp for it. */
const void *MakeCircle(uint64_t *words, unsigned count);

/* Changes all registers that a function must keep, and flags, and writes to address. */
void ClobberFault(uint64_t address);

/* In frames.S, called in this order. */
void DeepSwitch(uint64_t address, void *top, void (*function)(uint64_t address));
void DeepChained(uint64_t address);
void DeepSaved(uint64_t address);
void DeepLeaf(uint64_t address);
/* What they call. */
void DeepHuge(uint64_t address);
void DeepPushes(uint64_t address);
/* Return addresses: behind a call in the body of a function with a frame, and with a frame
 * register. */
extern const uint64_t ReturnToSaved, ReturnToCircle;

#ifdef __cplusplus
}
#endif

#endif
