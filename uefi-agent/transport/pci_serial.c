/* pci_serial.c - finds a UART on the PCI bus.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "pci_serial.h"

#define PCI_ID             0x00
#define PCI_COMMAND        0x04
#define PCI_CLASS          0x08
#define PCI_HEADER         0x0C
#define PCI_BAR0           0x10
#define PCI_BARS           6u
#define PCI_COMMAND_IO     1u
#define PCI_COMMAND_MEMORY 2u
#define PCI_MULTIFUNCTION  0x800000u
#define PCI_CLASS_SERIAL   0x0700u
#define PCI_SERIAL_16550   0x02u
#define PCI_SERIAL_16950   0x06u
#define PCI_BUSES          256u
#define PCI_DEVICES        32u
#define PCI_FUNCTIONS      8u

static bool exists(struct pci_address where)
{
    return (pci_read32(where, PCI_ID) & 0xFFFF) != 0xFFFF;
}

static bool is_serial(struct pci_address where)
{
    uint32_t class = pci_read32(where, PCI_CLASS);
    uint32_t interface = class >> 8 & 0xFF;

    return class >> 16 == PCI_CLASS_SERIAL && interface >= PCI_SERIAL_16550 &&
           interface <= PCI_SERIAL_16950;
}

/* The first BAR that has an address. */
static bool find_registers(struct pci_serial *out)
{
    for (unsigned i = 0; i < PCI_BARS; i++) {
        uint32_t low = pci_read32(out->where, PCI_BAR0 + 4 * i);
        bool wide = (low & 7) == 4;

        out->memory = !(low & 1);
        out->base = out->memory ? low & ~UINT32_C(0xF) : low & ~UINT32_C(3);
        if (wide && i + 1 < PCI_BARS)
            out->base |= (uint64_t)pci_read32(out->where, PCI_BAR0 + 4 * i + 4) << 32;
        if (out->base != 0 && (out->memory || out->base < 0x10000))
            return true;
        if (wide)
            i++;
    }
    return false;
}

static bool find_function(struct pci_address *at)
{
    for (at->bus = 0; at->bus < PCI_BUSES; at->bus++) {
        for (at->device = 0; at->device < PCI_DEVICES; at->device++) {
            unsigned functions = PCI_FUNCTIONS;

            for (at->function = 0; at->function < functions; at->function++) {
                if (!exists(*at) && at->function == 0)
                    functions = 1;
                else if (exists(*at) && is_serial(*at))
                    return true;
                if (at->function == 0 && !(pci_read32(*at, PCI_HEADER) & PCI_MULTIFUNCTION))
                    functions = 1;
            }
        }
    }
    return false;
}

bool pci_serial_open(struct pci_serial *out, const struct pci_address *at)
{
    uint16_t wanted;

    if (at)
        out->where = *at;
    else if (!find_function(&out->where))
        return false;
    if (!exists(out->where) || !find_registers(out))
        return false;
    out->saved_command = (uint16_t)pci_read32(out->where, PCI_COMMAND);
    wanted = (uint16_t)(out->saved_command | (out->memory ? PCI_COMMAND_MEMORY : PCI_COMMAND_IO));
    pci_write(out->where, PCI_COMMAND, 2, wanted);
    return true;
}

void pci_serial_close(const struct pci_serial *serial)
{
    pci_write(serial->where, PCI_COMMAND, 2, serial->saved_command);
}
