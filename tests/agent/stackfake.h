/* stackfake.h - a machine's memory and list of images for efi/stack.c, which runs in it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_TESTS_STACKFAKE_H
#define KDA_TESTS_STACKFAKE_H

#include "agent_state.h"
#include "x64.h"

/* Nothing is there any more, and no image is known. */
void stackfake_clear(void);

/* size bytes can be read from base on; they stay the caller's. */
void stackfake_memory(uint64_t base, const void *bytes, size_t size);
void stackfake_module(const char *path, uint64_t base, uint32_t size);

/* Whose registers agent_tell_stack_of(NULL) shows. */
void stackfake_current(struct x64_frame *frame);

#endif
