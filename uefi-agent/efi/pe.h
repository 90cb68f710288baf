/* pe.h - the headers of an image in memory, and the name in its debug directory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. All memory is read through the target, so a wild pointer is an error and no fault. What an
 * image must have is lib/image's to say; those for other processors than this one count as well:
 * firmware loads them, too (EBC).
 */
#ifndef KDA_PE_H
#define KDA_PE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"

struct kda_pe {
    uint64_t entry;
    uint32_t size;
    uint32_t checksum;
    uint32_t timestamp;
    char pdb[128]; /* base name of the PDB without its extension; "": none */
};

/* False: base holds no image. */
bool kda_pe_read(const struct kda_target *target, uint64_t base, struct kda_pe *out);

#endif
