/* spill.h - a file without a name, for what does not fit into memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * In the folder for temporary files: TMPDIR or /tmp, on Windows that of the user. Nobody else can
 * open it, and it is gone with its process.
 */
#ifndef ANALYSIS_SPILL_H
#define ANALYSIS_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct spill;

/* NULL when the system gives none. */
struct spill *spill_open(void);
void spill_close(struct spill *spill);

/* All of it, or false. */
bool spill_write(struct spill *spill, uint64_t at, const uint8_t *bytes, size_t size);
bool spill_read(struct spill *spill, uint64_t at, uint8_t *out, size_t size);

#endif
