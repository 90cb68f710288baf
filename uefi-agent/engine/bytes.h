/* bytes.h - the four C library functions the engine uses, declared without a C library.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Compilers call them on their own, too; the firmware build supplies them.
 */
#ifndef KDA_BYTES_H
#define KDA_BYTES_H

#include <stddef.h>

void *memcpy(void *out, const void *in, size_t size);
void *memmove(void *out, const void *in, size_t size);
void *memset(void *out, int value, size_t size);
int memcmp(const void *a, const void *b, size_t size);

static inline size_t kda_min(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
