/* guards.h - guarded calls of the agent, tried in all ways.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_TESTS_BOOT_GUARDS_H
#define KDLENS_TESTS_BOOT_GUARDS_H

#include <stdbool.h>
#include <stdint.h>

/* A case by its word (UTF-16), which starts with "g-"; prints its results. agent: KDAGENT_PROTOCOL,
 * services: EFI_BOOT_SERVICES, functions: of the program, with a fault that __try in them takes,
 * and with one that it does not. False: no such case. */
bool run_guard_case(void *agent, const void *services, void (*const functions[2])(void),
                    const uint16_t *word);

#endif
