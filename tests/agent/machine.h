/* machine.h - a target of flat memory for the engine's tests: everything that target.h asks for.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Virtual addresses are physical ones. The engine's own memory is readable at its host address, as
 * it is in firmware.
 */
#ifndef TESTS_AGENT_MACHINE_H
#define TESTS_AGENT_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

#define MACHINE_RAM      UINT64_C(0x100000)
#define MACHINE_RAM_SIZE 0x40000u
#define MACHINE_PAGE     0x1000u

/* Pages of the RAM that are special. */
#define MACHINE_ABSENT   UINT64_C(0x110000) /* neither readable nor writable */
#define MACHINE_READONLY UINT64_C(0x120000) /* the page tables forbid writing; the engine may */
#define MACHINE_ROM      UINT64_C(0x130000) /* writes are refused by the device */
#define MACHINE_NOWHERE  UINT64_C(0xFFFFF80000000000)

struct machine {
    uint8_t ram[MACHINE_RAM_SIZE];
    struct kd_context_amd64 context;
    struct kd_special_registers_amd64 special;
    uint32_t set_groups; /* ContextFlags of the last set_context */
    unsigned set_context_calls;
    bool refuse_special;

    uint8_t ports[0x10008];
    uint16_t last_port;
    unsigned last_port_size;
    uint64_t msr_efer;
    uint8_t pci[256]; /* of bus 0, device 0, function 0 */
    uint32_t last_caching;
    unsigned reboots;

    uint64_t now;
    void (*relax)(void *self); /* what the tests do when the engine has nothing to do */
    void *relax_self;

    const uint8_t *engine; /* the engine's memory */
    size_t engine_size;
};

#define MACHINE_MSR_EFER UINT32_C(0xC0000080)
#define MACHINE_MSR_APIC UINT32_C(0x1B) /* 0xFEE00900; writes are refused */

void machine_init(struct machine *machine);
struct kda_target machine_target(struct machine *machine);

/* The byte of RAM at address. */
uint8_t *machine_byte(struct machine *machine, uint64_t address);

#endif
