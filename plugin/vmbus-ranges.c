/* vmbus-ranges.c - ranges of guest memory. See vmbus-ranges.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "vmbus-ranges.h"

#include "kd/vmbus.h"

uint32_t vmbus_range_pages(uint32_t byte_count, uint32_t byte_offset)
{
    uint64_t end = (uint64_t)byte_count + byte_offset % KD_VMBUS_PAGE_SIZE;

    return (uint32_t)((end + KD_VMBUS_PAGE_SIZE - 1) / KD_VMBUS_PAGE_SIZE);
}

bool vmbus_ranges_measure(const uint8_t *bytes, uint32_t size, uint32_t count, uint64_t *pages,
                          uint32_t *used)
{
    *pages = 0;
    *used = 0;
    for (uint32_t i = 0; i < count; i++) {
        const struct kd_vmbus_range *range = (const void *)(bytes + *used);
        uint32_t of_range;

        if (size - *used < sizeof *range)
            return false;
        of_range = vmbus_range_pages(kd_get32(range->byte_count), kd_get32(range->byte_offset));
        *used += (uint32_t)sizeof *range;
        if (of_range > (size - *used) / sizeof(kd_u64))
            return false;
        *used += of_range * (uint32_t)sizeof(kd_u64);
        *pages += of_range;
    }
    return true;
}
