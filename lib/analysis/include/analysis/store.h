/* store.h - bytes that are kept: appended once, read at any time, most of them not in memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Up to a limit everything is in memory; beyond it, the oldest bytes move to a file without a name
 * in the system's temporary folder, which is gone when the store is freed or the process ends.
 */
#ifndef ANALYSIS_STORE_H
#define ANALYSIS_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct kda_store;

/* memory: bytes kept in memory, at least 4 MiB; 0: 256 MiB. NULL when there is none. */
struct kda_store *kda_store_new(size_t memory);
void kda_store_free(struct kda_store *store);

/* Where the bytes are, or UINT64_MAX when neither memory nor file takes them. */
uint64_t kda_store_add(struct kda_store *store, const uint8_t *bytes, size_t size);

/* Exactly `size` bytes that were added. False when the file cannot be read. */
bool kda_store_read(struct kda_store *store, uint64_t at, uint8_t *out, size_t size);

uint64_t kda_store_size(const struct kda_store *store);

#endif
