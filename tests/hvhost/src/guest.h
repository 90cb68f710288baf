/* guest.h - the guest's memory, as the host may touch it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Guest physical addresses are machine addresses. The guest names addresses; only those in its RAM
 * and outside of the host are good.
 */
#ifndef HVHOST_GUEST_H
#define HVHOST_GUEST_H

#include <stdbool.h>
#include <stdint.h>

#define GUEST_PAGE 4096u

struct svm_save;

struct guest {
    uint64_t ram_end;              /* below 4 GB */
    uint64_t host_begin, host_end; /* the host's own memory */
};

/* size bytes at this address, NULL: they are not all the guest's RAM. */
uint8_t *guest_memory(const struct guest *guest, uint64_t address, uint64_t size);

/* The same for a page that its number names. */
uint8_t *guest_page(const struct guest *guest, uint64_t number);

/* Copies from the address space that the guest runs in; false: not mapped, not RAM, or the guest
 * does not use 4-level paging. */
bool guest_read_virtual(const struct guest *guest, const struct svm_save *save, uint64_t address,
                        uint8_t *out, uint32_t size);

static inline uint32_t guest_get32(const volatile void *at)
{
    return *(const volatile uint32_t *)at;
}

static inline void guest_put32(volatile void *at, uint32_t value)
{
    *(volatile uint32_t *)at = value;
}

#endif
