/* target.h - port of the engine: the machine it debugs, as the engine sees it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The engine knows neither EFI nor how a processor is entered or left. Registers travel in the wire
 * structs of lib/kd, which have no alignment and no padding. All calls are made on the processor
 * that stopped, with interrupts off; none may wait without limit, fault, or call the firmware.
 *
 * Registers. Between the entry of kda_stop and its return, get and set act on the interrupted
 * program's state, and what was set takes effect when it continues. The same holds for
 * kda_claim_step, and for what talks to the debugger about something that is no exception
 * (kda_image_loaded and kda_image_unloaded with notify, kda_command, kda_leave): the adapter makes
 * the caller's state the program's, most simply by entering through an int3 of its own.
 *
 * RFLAGS.RF is the adapter's. An execute breakpoint of DR7 is a fault: the program must be resumed
 * with RF set whenever an enabled one lies at its RIP, or the same instruction stops it again; and
 * RF must not be set otherwise, or the next one is missed. The engine neither reads nor sets it.
 */
#ifndef KDA_TARGET_H
#define KDA_TARGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

/* What a page allows; for QueryMemory and before a breakpoint is planted. */
struct kda_page {
    bool present;
    bool writable; /* by the page tables; write_virtual writes read-only pages all the same */
    bool executable;
};

struct kda_target_ops {
    /* Memory. Each returns how many bytes from the start could be read or written, 0 to size: a
     * page that is absent, an address that is not canonical, a device that refuses end the count.
     * write_virtual overcomes write protection (CR0.WP) and leaves the protection as it was. */
    size_t (*read_virtual)(void *self, uint64_t address, uint8_t *out, size_t size);
    size_t (*write_virtual)(void *self, uint64_t address, const uint8_t *bytes, size_t size);
    /* caching: enum kd_physical_caching. */
    size_t (*read_physical)(void *self, uint64_t address, uint8_t *out, size_t size,
                            uint32_t caching);
    size_t (*write_physical)(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                             uint32_t caching);
    void (*query_page)(void *self, uint64_t address, struct kda_page *page);

    /* The interrupted program's registers. get fills everything and sets ContextFlags to all that
     * is valid; set obeys ContextFlags and ignores groups it does not name. */
    void (*get_context)(void *self, struct kd_context_amd64 *out);
    void (*set_context)(void *self, const struct kd_context_amd64 *in);

    /* Control registers, debug registers, tables, MSRs. The debug registers are those the
     * interrupted program will have when it continues. set writes what differs; false when one of
     * the writes was refused (#GP), the others being done. */
    void (*get_special)(void *self, struct kd_special_registers_amd64 *out);
    bool (*set_special)(void *self, const struct kd_special_registers_amd64 *in);

    /* size 1, 2 or 4; port below 65536. */
    uint32_t (*read_port)(void *self, uint16_t port, unsigned size);
    void (*write_port)(void *self, uint16_t port, unsigned size, uint32_t value);

    /* False when the processor refuses (#GP). */
    bool (*read_msr)(void *self, uint32_t number, uint64_t *value);
    bool (*write_msr)(void *self, uint32_t number, uint64_t value);

    /* PCI configuration space of segment 0: bytes from offset on, up to 256, or to 4096 where its
     * place in memory is known. Return how many were possible; 0 when no such function answers. */
    size_t (*read_pci)(void *self, unsigned bus, unsigned device, unsigned function,
                       unsigned offset, uint8_t *out, size_t size);
    size_t (*write_pci)(void *self, unsigned bus, unsigned device, unsigned function,
                        unsigned offset, const uint8_t *bytes, size_t size);

    /* Resets the machine; returns only where that is impossible (tests). */
    void (*reboot)(void *self);

    /* Microseconds since some moment; never backwards. */
    uint64_t (*now)(void *self);

    /* Between two looks at the line while the engine waits: a pause instruction, or less load. */
    void (*relax)(void *self);
};

struct kda_target {
    const struct kda_target_ops *ops;
    void *self;
};

#endif
