/* mcfg.h - where PCI Express has its configuration space in memory, from the ACPI tables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. All memory is read through the target, so a wild pointer is an error and no fault.
 */
#ifndef KDA_MCFG_H
#define KDA_MCFG_H

#include <stdbool.h>
#include <stdint.h>

#include "target.h"

struct kda_mcfg {
    uint64_t base; /* of bus 0; 1 MiB for each bus */
    uint8_t first_bus, last_bus;
};

/* Segment 0 of the table MCFG. root: the root system description pointer, revision 2 or later.
 * False: there is none. */
bool kda_mcfg_read(const struct kda_target *target, uint64_t root, struct kda_mcfg *out);

#endif
