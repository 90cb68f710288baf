/* debug_registers.h - registers by name, from the CONTEXT and the special registers.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Names are those of lib/kd's tables, and WinDbg's where these differ: cs for SegCs, efl for
 * EFlags. For every architecture $pc (alias $ip) and $sp; rip and rsp also name an x86 target's.
 */
#ifndef KDLENS_DEBUG_REGISTERS_H
#define KDLENS_DEBUG_REGISTERS_H

#include "debug_session.h"

/* Whether there is a register of that name; needs the version, else false. */
bool registers_known(const struct debug_session *session, const char *name);

/* The name of a register, by index; NULL: no more. For an unknown architecture AMD64's. */
const char *registers_name(enum kd_arch arch, size_t index);

bool registers_get(struct debug_session *session, const char *name, uint64_t *value,
                   struct problem *problem);
bool registers_set(struct debug_session *session, const char *name, uint64_t value,
                   struct problem *problem);

/* The integer registers, the floating point ones, and the special ones, as text. */
bool registers_print(struct debug_session *session, struct problem *problem);
bool registers_print_float(struct debug_session *session, bool vectors, struct problem *problem);
bool registers_print_special(struct debug_session *session, struct problem *problem);

#endif
