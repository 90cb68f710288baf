/* pci_serial.h - a 16550 behind a PCI function.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_PCI_SERIAL_H
#define KDA_PCI_SERIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "pci.h"

struct pci_serial {
    struct pci_address where;
    bool memory;   /* else I/O ports */
    uint64_t base; /* of the registers, one byte apart */
    uint16_t saved_command;
};

/* Finds the UART, and lets the function decode its addresses. at: this function, of any class;
 * NULL: the first with class 07.00 and a 16550 interface or better. */
bool pci_serial_open(struct pci_serial *out, const struct pci_address *at);
void pci_serial_close(const struct pci_serial *serial);

#endif
