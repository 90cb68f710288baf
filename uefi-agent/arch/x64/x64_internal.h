/* x64_internal.h - what the files of arch/x64 share among themselves.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_X64_INTERNAL_H
#define KDA_X64_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "x64.h"

/* idt.c: the address of the handler before ours; 0: none. */
uint64_t x64_previous(unsigned vector);
void x64_hook_exceptions(void *tss_page);
void x64_unhook_all(void);

/* memory.c: writes although CR0.WP forbids it; returns the bytes written. */
size_t x64_poke(void *to, const void *from, size_t size);
size_t x64_read_virtual(void *self, uint64_t address, uint8_t *out, size_t size);
size_t x64_write_virtual(void *self, uint64_t address, const uint8_t *bytes, size_t size);
size_t x64_read_physical(void *self, uint64_t address, uint8_t *out, size_t size, uint32_t caching);
size_t x64_write_physical(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                          uint32_t caching);
void x64_query_page(void *self, uint64_t address, struct kda_page *page);

/* target.c: whether the address is one of PCI configuration space. */
bool x64_is_pci(uint64_t address);

/* context.c */
void x64_get_context(void *self, struct kd_context_amd64 *out);
void x64_set_context(void *self, const struct kd_context_amd64 *in);
void x64_set_mxcsr(struct x64_frame *frame, uint32_t value);

/* special.c */
void x64_get_special(void *self, struct kd_special_registers_amd64 *out);
bool x64_set_special(void *self, const struct kd_special_registers_amd64 *in);

/* entry.S */
bool x64_on_stack(void (*function)(void *argument), void *argument, void *top);
_Noreturn void x64_abandon(void *top);

/* DR7 as it may be loaded: no general detect (our own accesses would trap), nothing reserved. */
uint64_t x64_legal_dr7(uint64_t value);

#endif
