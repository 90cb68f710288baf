/* deep.c - a fault below twenty functions, each with a frame of another kind; stacks of garbage.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The test looks up in the image's unwind tables that the frames are what their names say. What
 * follows a call keeps it from being a jump.
 */
#include "frames.h"

#define NOINLINE  __attribute__((noinline))
#define AFTER     __asm__ volatile("" ::: "memory")
#define USE(room) __asm__ volatile("" : : "r"(room) : "memory") /* all of it */

enum {
    PAGE_AND_MORE = 5000,
    HUGE = 600 << 10, /* what a short form of the unwind code cannot say */
    OWN_STACK = HUGE + (64 << 10),
};

static _Alignas(16) uint8_t own_stack[OWN_STACK];
static volatile uint64_t alloca_size = 128;

#define PLAIN(name, next)                \
    void name(uint64_t address);         \
    NOINLINE void name(uint64_t address) \
    {                                    \
        next(address);                   \
        AFTER;                           \
    }

/* Changes registers that a function must save. */
void DeepXmm(uint64_t address);
NOINLINE void DeepXmm(uint64_t address)
{
    DeepLeaf(address);
    __asm__ volatile("xorps %%xmm6, %%xmm6\n\txorps %%xmm7, %%xmm7" : : : "xmm6", "xmm7");
}

void DeepAlloca(uint64_t address);
NOINLINE void DeepAlloca(uint64_t address)
{
    uint8_t *room = __builtin_alloca(alloca_size);

    USE(room);
    DeepXmm(address);
    USE(room);
}

void DeepPage(uint64_t address);
NOINLINE void DeepPage(uint64_t address)
{
    uint8_t room[PAGE_AND_MORE];

    USE(room);
    DeepAlloca(address);
    USE(room);
}

NOINLINE void DeepHuge(uint64_t address)
{
    uint8_t room[HUGE];

    USE(room);
    DeepPage(address);
    USE(room);
}

NOINLINE void DeepPushes(uint64_t address)
{
    DeepChained(address);
    __asm__ volatile("" : : : "rbx", "rsi", "rdi", "r12", "r13", "r14", "r15");
}

PLAIN(DeepPlain10, DeepPushes)
PLAIN(DeepPlain11, DeepPlain10)
PLAIN(DeepPlain12, DeepPlain11)
PLAIN(DeepPlain13, DeepPlain12)
PLAIN(DeepPlain14, DeepPlain13)
PLAIN(DeepPlain15, DeepPlain14)
PLAIN(DeepPlain16, DeepPlain15)
PLAIN(DeepPlain17, DeepPlain16)
PLAIN(DeepPlain18, DeepPlain17)
PLAIN(DeepPlain19, DeepPlain18)
PLAIN(DeepPlain20, DeepPlain19)

NOINLINE void DeepFault(uint64_t address)
{
    DeepSwitch(address, own_stack + OWN_STACK, DeepPlain20);
    AFTER;
}

void MakeNoise(uint64_t *words, unsigned count)
{
    uint64_t state = 88172645463325252;

    for (unsigned i = 0; i < count; i++) {
        state ^= state << 13; /* Marsaglia's xorshift64 */
        state ^= state >> 7;
        state ^= state << 17;
        words[i] = state | UINT64_C(1) << 46; /* no machine's memory reaches there */
    }
}

void MakeEndless(uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        words[i] = ReturnToSaved;
}

/* The frame of DeepCircle: rbp of its caller, then the return address. */
const void *MakeCircle(uint64_t *words, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        words[i] = ReturnToCircle;
    words[count - 2] = (uint64_t)(uintptr_t)&words[count - 2];
    return &words[count - 2];
}
