/* breakpoints.c - planting and lifting. See breakpoints.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "breakpoints.h"

#include <stddef.h>

#define INT3 0xCCu

uint32_t kda_breakpoint_add(struct kda_breakpoints *table, uint64_t address)
{
    for (uint32_t i = 0; i < KD_MAX_BREAKPOINTS; i++) {
        if (!table->entry[i].used) {
            table->entry[i] = (struct kda_breakpoint){.used = true, .address = address};
            return i + 1;
        }
    }
    for (uint32_t i = 0; i < KD_MAX_BREAKPOINTS; i++)
        if (table->entry[i].address == address)
            return i + 1;
    return 0;
}

bool kda_breakpoint_remove(struct kda_breakpoints *table, uint32_t handle)
{
    if (handle == 0 || handle > KD_MAX_BREAKPOINTS || !table->entry[handle - 1].used)
        return false;
    table->entry[handle - 1].used = false;
    return true;
}

static void plant(struct kda_breakpoint *entry, const struct kda_target *target)
{
    static const uint8_t int3 = INT3;

    entry->planted =
        target->ops->read_virtual(target->self, entry->address, &entry->original, 1) == 1 &&
        target->ops->write_virtual(target->self, entry->address, &int3, 1) == 1;
}

/* A byte that is no int3 any more is the program's: it loaded other code there. */
static void lift(struct kda_breakpoint *entry, const struct kda_target *target)
{
    uint8_t byte;

    entry->planted = false;
    if (target->ops->read_virtual(target->self, entry->address, &byte, 1) == 1 && byte == INT3)
        (void)target->ops->write_virtual(target->self, entry->address, &entry->original, 1);
}

void kda_breakpoints_plant(struct kda_breakpoints *table, const struct kda_target *target,
                           const uint64_t *except)
{
    for (size_t i = 0; i < KD_MAX_BREAKPOINTS; i++) {
        struct kda_breakpoint *entry = &table->entry[i];

        if (entry->used && !entry->planted && !(except && *except == entry->address))
            plant(entry, target);
    }
}

/* A second breakpoint at an address took the first one's int3 for the program's, so the last goes
 * first. (Breakpoints of one address are always planted together.) */
void kda_breakpoints_lift(struct kda_breakpoints *table, const struct kda_target *target)
{
    for (size_t i = KD_MAX_BREAKPOINTS; i > 0; i--)
        if (table->entry[i - 1].planted)
            lift(&table->entry[i - 1], target);
}

void kda_breakpoints_drop(struct kda_breakpoints *table, const struct kda_target *target,
                          uint64_t base, uint64_t size)
{
    for (size_t i = KD_MAX_BREAKPOINTS; i > 0; i--) {
        struct kda_breakpoint *entry = &table->entry[i - 1];

        if (size != 0 && entry->address - base >= size)
            continue;
        if (entry->planted)
            lift(entry, target);
        entry->used = false;
    }
}

bool kda_breakpoints_have(const struct kda_breakpoints *table, uint64_t address)
{
    for (size_t i = 0; i < KD_MAX_BREAKPOINTS; i++)
        if (table->entry[i].used && table->entry[i].address == address)
            return true;
    return false;
}

bool kda_breakpoints_planted(const struct kda_breakpoints *table, uint64_t address)
{
    for (size_t i = 0; i < KD_MAX_BREAKPOINTS; i++)
        if (table->entry[i].planted && table->entry[i].address == address)
            return true;
    return false;
}
