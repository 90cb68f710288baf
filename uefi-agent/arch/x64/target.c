/* target.c - the processor as kda_target_ops: ports, PCI configuration, clock, reset.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "cpu.h"
#include "pci.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_PCI_ADDRESS 0xCF8
#define X64_PCI_DATA    0xCFC
#define X64_PCI_ENABLE  UINT32_C(0x80000000)
#define X64_PCI_SIZE    256u
#define X64_PCIE_SIZE   4096u
#define X64_RESET_PORT  0xCF9 /* of PC chipsets: 2 prepares, 6 resets all */
#define X64_KEYBOARD    0x64  /* older: pulse the reset line */

static struct {
    uint64_t ticks_per_ms;
    uint64_t last;
} clock = {.ticks_per_ms = 1000000};

void x64_set_clock(uint64_t ticks_per_ms)
{
    clock.ticks_per_ms = ticks_per_ms ? ticks_per_ms : 1;
}

uint64_t x64_ticks(void)
{
    return x64_read_tsc();
}

/* The counter may go back when a virtual machine moves; the clock stands still then. */
uint64_t x64_now(void *self)
{
    uint64_t ticks = x64_read_tsc();
    uint64_t now =
        ticks / clock.ticks_per_ms * 1000 + ticks % clock.ticks_per_ms * 1000 / clock.ticks_per_ms;

    (void)self;
    if (now > clock.last)
        clock.last = now;
    return clock.last;
}

static void relax(void *self)
{
    (void)self;
    x64_pause();
}

static uint32_t read_port(void *self, uint16_t port, unsigned size)
{
    (void)self;
    switch (size) {
    case 1:
        return x64_in8(port);
    case 2:
        return x64_in16(port);
    default:
        return x64_in32(port);
    }
}

static void write_port(void *self, uint16_t port, unsigned size, uint32_t value)
{
    (void)self;
    switch (size) {
    case 1:
        x64_out8(port, (uint8_t)value);
        break;
    case 2:
        x64_out16(port, (uint16_t)value);
        break;
    default:
        x64_out32(port, value);
        break;
    }
}

static bool read_msr(void *self, uint32_t number, uint64_t *value)
{
    (void)self;
    return x64_safe_read_msr(number, value);
}

static bool write_msr(void *self, uint32_t number, uint64_t value)
{
    (void)self;
    return x64_safe_write_msr(number, value);
}

/* The program may be between its own two accesses: the address register gets its value back. */
uint32_t pci_read32(struct pci_address where, unsigned offset)
{
    uint32_t saved = x64_in32(X64_PCI_ADDRESS);
    uint32_t value;

    x64_out32(X64_PCI_ADDRESS, X64_PCI_ENABLE | (uint32_t)(where.bus & 0xFF) << 16 |
                                   (uint32_t)(where.device & 0x1F) << 11 |
                                   (uint32_t)(where.function & 7) << 8 | (offset & 0xFC));
    value = x64_in32(X64_PCI_DATA);
    x64_out32(X64_PCI_ADDRESS, saved);
    return value;
}

void pci_write(struct pci_address where, unsigned offset, unsigned size, uint32_t value)
{
    uint32_t saved = x64_in32(X64_PCI_ADDRESS);

    x64_out32(X64_PCI_ADDRESS, X64_PCI_ENABLE | (uint32_t)(where.bus & 0xFF) << 16 |
                                   (uint32_t)(where.device & 0x1F) << 11 |
                                   (uint32_t)(where.function & 7) << 8 | (offset & 0xFC));
    write_port(NULL, (uint16_t)(X64_PCI_DATA + (offset & 3)), size, value);
    x64_out32(X64_PCI_ADDRESS, saved);
}

/* Memory that is PCI configuration space; size 0: none is known. */
static struct {
    uint64_t base;
    uint64_t start, size; /* of the buses that are there */
} pcie;

void x64_set_pci(uint64_t base, unsigned first_bus, unsigned last_bus)
{
    pcie.base = base;
    pcie.start = base + ((uint64_t)first_bus << 20);
    pcie.size = (uint64_t)(last_bus - first_bus + 1) << 20;
}

bool x64_is_pci(uint64_t address)
{
    return address - pcie.start < pcie.size;
}

static uint64_t pcie_address(struct pci_address where, unsigned offset)
{
    return pcie.base + ((uint64_t)where.bus << 20) + ((uint64_t)where.device << 15) +
           ((uint64_t)where.function << 12) + offset;
}

/* How much of a request lies in the space of a function that exists. */
static size_t pci_possible(struct pci_address where, unsigned offset, size_t size)
{
    unsigned end = x64_is_pci(pcie_address(where, 0)) ? X64_PCIE_SIZE : X64_PCI_SIZE;

    if (where.bus > 0xFF || where.device > 0x1F || where.function > 7 || offset >= end ||
        (pci_read32(where, 0) & 0xFFFF) == 0xFFFF)
        return 0;
    return size < end - offset ? size : end - offset;
}

/* How much of it goes through the ports, which are there always. */
static size_t pci_by_ports(unsigned offset, size_t size)
{
    size_t left = offset < X64_PCI_SIZE ? X64_PCI_SIZE - offset : 0;

    return size < left ? size : left;
}

static size_t read_pci(void *self, unsigned bus, unsigned device, unsigned function,
                       unsigned offset, uint8_t *out, size_t size)
{
    struct pci_address where = {bus, device, function};
    size_t by_ports;

    size = pci_possible(where, offset, size);
    by_ports = pci_by_ports(offset, size);
    for (size_t i = 0; i < by_ports; i++) {
        unsigned at = offset + (unsigned)i;

        out[i] = (uint8_t)(pci_read32(where, at) >> (at & 3) * 8);
    }
    return by_ports + x64_read_physical(self, pcie_address(where, offset + (unsigned)by_ports),
                                        out + by_ports, size - by_ports, 0);
}

/* In accesses as wide as alignment allows: some registers take nothing narrower. */
static size_t write_pci(void *self, unsigned bus, unsigned device, unsigned function,
                        unsigned offset, const uint8_t *bytes, size_t size)
{
    struct pci_address where = {bus, device, function};
    size_t done = 0, by_ports;

    size = pci_possible(where, offset, size);
    by_ports = pci_by_ports(offset, size);
    while (done < by_ports) {
        unsigned at = offset + (unsigned)done;
        unsigned width = at % 4 == 0 && by_ports - done >= 4   ? 4
                         : at % 2 == 0 && by_ports - done >= 2 ? 2
                                                               : 1;
        uint32_t value = 0;

        for (unsigned i = 0; i < width; i++)
            value |= (uint32_t)bytes[done + i] << 8 * i;
        pci_write(where, at, width, value);
        done += width;
    }
    return done + x64_write_physical(self, pcie_address(where, offset + (unsigned)done),
                                     bytes + done, size - done, 0);
}

static void wait(uint64_t microseconds)
{
    uint64_t start = x64_now(NULL);

    while (x64_now(NULL) - start < microseconds)
        x64_pause();
}

/* The firmware's own reset service must not be called here; without any exception table the next
 * interrupt resets every machine there is. */
static void reboot(void *self)
{
    const struct x64_table nothing = {0, 0};

    (void)self;
    x64_out8(X64_RESET_PORT, 2);
    x64_out8(X64_RESET_PORT, 6);
    wait(100000);
    x64_out8(X64_KEYBOARD, 0xFE);
    wait(100000);
    x64_write_idtr(&nothing);
    __asm__ volatile("int3");
}

const struct kda_target_ops x64_target_ops = {
    .read_virtual = x64_read_virtual,
    .write_virtual = x64_write_virtual,
    .read_physical = x64_read_physical,
    .write_physical = x64_write_physical,
    .query_page = x64_query_page,
    .get_context = x64_get_context,
    .set_context = x64_set_context,
    .get_special = x64_get_special,
    .set_special = x64_set_special,
    .read_port = read_port,
    .write_port = write_port,
    .read_msr = read_msr,
    .write_msr = write_msr,
    .read_pci = read_pci,
    .write_pci = write_pci,
    .reboot = reboot,
    .now = x64_now,
    .relax = relax,
};
