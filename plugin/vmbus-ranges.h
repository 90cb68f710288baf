/* vmbus-ranges.h - ranges of guest memory: byte count, offset in the first page, page numbers.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_VMBUS_RANGES_H
#define KDLENS_PLUGIN_VMBUS_RANGES_H

#include "compat.h"

/* How many page numbers a range has. */
uint32_t vmbus_range_pages(uint32_t byte_count, uint32_t byte_offset);

/* The pages of `count` ranges, and the bytes that the ranges take; false when they do not lie in
 * bytes[0..size). */
bool vmbus_ranges_measure(const uint8_t *bytes, uint32_t size, uint32_t count, uint64_t *pages,
                          uint32_t *used);

#endif
