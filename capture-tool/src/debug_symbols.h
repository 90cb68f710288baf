/* debug_symbols.h - names of addresses from PDBs, by llvm-symbolizer.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_DEBUG_SYMBOLS_H
#define KDLENS_DEBUG_SYMBOLS_H

#include "debug_session.h"

/* "function+0x10 file.c:20" of the module's image on the symbol path. False, with a problem that
 * says what is missing. */
bool symbols_name(struct debug_session *session, uint64_t address, char *out, size_t room,
                  struct problem *problem);

#endif
