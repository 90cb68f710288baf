/* pci.h - PCI configuration space, as the transports need it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_PCI_H
#define KDA_PCI_H

#include <stdint.h>

struct pci_address {
    unsigned bus, device, function;
};

/* All ones where no function answers. Both leave the address register as it was. */
uint32_t pci_read32(struct pci_address where, unsigned offset);
void pci_write(struct pci_address where, unsigned offset, unsigned size, uint32_t value);

#endif
