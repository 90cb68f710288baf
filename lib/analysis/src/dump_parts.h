/* dump_parts.h - what the writers of dumps share: a growing head, and memory behind it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef ANALYSIS_DUMP_PARTS_H
#define ANALYSIS_DUMP_PARTS_H

#include "analysis/dump.h"

/* Bytes that are put one behind the other, little-endian. Once memory is short, nothing more
 * happens. */
struct dump_head {
    uint8_t *bytes;
    size_t size, room;
    bool failed;
};

void dump_put(struct dump_head *head, const void *bytes, size_t size);
void dump_zero(struct dump_head *head, size_t size);
void dump_put16(struct dump_head *head, uint16_t value);
void dump_put32(struct dump_head *head, uint32_t value);
void dump_put64(struct dump_head *head, uint64_t value);
/* UTF-8 as UTF-16; what is no UTF-8 of at most three bytes is U+FFFD. Returns the bytes put. */
uint32_t dump_put_utf16(struct dump_head *head, const uint8_t *text, uint32_t size);
/* Zeros up to a multiple of `to`. */
void dump_align(struct dump_head *head, size_t to);
/* Over what is there already. */
void dump_set32(struct dump_head *head, size_t at, uint32_t value);
void dump_set64(struct dump_head *head, size_t at, uint64_t value);

/* How many runs of known bytes there are. */
size_t dump_extent_count(const struct kda_dump *dump);

/* The head, then the bytes of all runs, and frees the head. See kda_minidump for the result. */
const char *dump_write(const struct kda_dump *dump, struct dump_head *head, kda_dump_function write,
                       void *context);

#endif
