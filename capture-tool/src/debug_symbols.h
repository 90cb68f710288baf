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

/* The same for many addresses, with one run of llvm-symbolizer for as many as a command line holds:
 * texts[i] is NULL, or pairs of lines, "function" and "file:line:column", innermost first and
 * inline ones included; it is to be freed. False, with a problem, when something is missing or
 * fails, also when some are named; a module without an image on the symbol path is no failure. */
bool symbols_texts(struct debug_session *session, const uint64_t *addresses, size_t count,
                   char **texts, struct problem *problem);

#endif
