/* debug_modules.h - the target's modules: from its load events, and from the list in its memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The list is what PsLoadedModuleList of GetVersion heads, LDR_DATA_TABLE_ENTRY after entry.
 */
#ifndef KDLENS_DEBUG_MODULES_H
#define KDLENS_DEBUG_MODULES_H

#include "debug_session.h"

/* NULL: no room. path: "\EFI\BOOT\x.efi" is the module x. */
struct debug_module *modules_add(struct debug_session *session, uint64_t base, uint32_t size,
                                 uint32_t checksum, const char *path);
void modules_remove(struct debug_session *session, uint64_t base);

const struct debug_module *modules_at(const struct debug_session *session, uint64_t address);
const struct debug_module *modules_named(const struct debug_session *session, const char *name);

/* Reads the list in memory, once for each stop. False with a problem when it cannot be read; what
 * events have told is then still there. */
bool modules_list(struct debug_session *session, struct problem *problem);

/* Looks for the RSDS record of the image in memory: module->pdb. */
void modules_identify(struct debug_session *session, struct debug_module *module);

#endif
