/* vectors.c - hands faults to the runtime.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "vectors.h"

#include "rt/rt.h"

enum { COUNT = 4, GATE = 16, FX = 512 };

static const uint8_t numbers[COUNT] = {0, 6, 13, 14};

void entry_0(void);
void entry_6(void);
void entry_13(void);
void entry_14(void);

static uint8_t saved[COUNT][GATE];

static void copy(volatile uint8_t *to, const volatile uint8_t *from, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        to[i] = from[i];
}

static volatile uint8_t *gates(void)
{
    struct __attribute__((packed)) {
        uint16_t limit;
        uint64_t base;
    } idt;

    __asm__ volatile("sidt %0" : "=m"(idt));
    return (volatile uint8_t *)(uintptr_t)idt.base;
}

void take_vectors(void)
{
    void (*const entries[COUNT])(void) = {entry_0, entry_6, entry_13, entry_14};

    __asm__ volatile("cli");
    for (unsigned i = 0; i < COUNT; i++) {
        volatile uint8_t *gate = gates() + numbers[i] * GATE;
        uint64_t address = (uint64_t)(uintptr_t)entries[i];

        copy(saved[i], gate, GATE);
        copy(gate, (const uint8_t *)&address, 2);
        copy(gate + 6, (const uint8_t *)&address + 2, 6);
    }
    __asm__ volatile("sti");
}

void give_vectors(void)
{
    __asm__ volatile("cli");
    for (unsigned i = 0; i < COUNT; i++)
        copy(gates() + numbers[i] * GATE, saved[i], GATE);
    __asm__ volatile("sti");
}

void trapped(struct trap *trap, uint8_t *fx)
{
    struct rt_context context = {.flags = RT_CONTEXT_FULL};
    struct rt_fault fault = {.vector = (uint32_t)trap->vector,
                             .error_code = (uint32_t)trap->error_code,
                             .context = &context};

    __asm__ volatile("mov %%cr2, %0" : "=r"(fault.address));
    copy((uint8_t *)context.gpr, (const uint8_t *)trap->gpr, sizeof context.gpr);
    copy(context.fx, fx, FX);
    context.gpr[IMG_RSP] = trap->rsp;
    context.rip = trap->rip;
    context.eflags = (uint32_t)trap->flags;
    context.cs = (uint16_t)trap->cs;
    context.ss = (uint16_t)trap->ss;
    while (rt_fault(&fault) != RT_FAULT_RESUME)
        __asm__ volatile("cli; hlt"); /* the test's patience ends it */
    copy((uint8_t *)trap->gpr, (const uint8_t *)context.gpr, sizeof context.gpr);
    trap->rsp = context.gpr[IMG_RSP];
    trap->rip = context.rip;
    trap->flags = context.eflags;
}
