/* memory.h - what the system is told about memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * system_linux.c and system_windows.c implement it.
 */
#ifndef KDLENS_MEMORY_H
#define KDLENS_MEMORY_H

#include <stddef.h>

/* This memory may be mapped in large pages, so that its first use costs fewer page faults. Does
 * nothing where that needs a privilege, or where the system has none. */
void memory_prefer_large_pages(void *memory, size_t size);

/* Maps this memory now, so that nobody is stopped by page faults later; its content stays, and
 * others may use it meanwhile. May do nothing. */
void memory_map(void *memory, size_t size);

#endif
