/* stackfake.c - a machine for efi/stack.c. See stackfake.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "stackfake.h"

#include <string.h>

#define REGIONS_MAX 8

struct agent agent;

static struct {
    uint64_t base;
    const uint8_t *bytes;
    size_t size;
} regions[REGIONS_MAX];
static size_t region_count;
static struct x64_frame *current;

/* As the agent's: as much as there is. */
static size_t read_virtual(void *self, uint64_t address, uint8_t *out, size_t size)
{
    (void)self;
    for (size_t i = 0; i < region_count; i++) {
        uint64_t offset = address - regions[i].base;

        if (offset >= regions[i].size)
            continue;
        if (size > regions[i].size - offset)
            size = regions[i].size - (size_t)offset;
        memcpy(out, regions[i].bytes + offset, size);
        return size;
    }
    return 0;
}

static const struct kda_target_ops ops = {.read_virtual = read_virtual};

void stackfake_clear(void)
{
    region_count = 0;
    current = NULL;
    agent.module_count = 0;
    agent.machine = (struct kda_target){&ops, NULL};
}

void stackfake_memory(uint64_t base, const void *bytes, size_t size)
{
    regions[region_count].base = base;
    regions[region_count].bytes = bytes;
    regions[region_count++].size = size;
}

void stackfake_module(const char *path, uint64_t base, uint32_t size)
{
    struct agent_module *module = &agent.modules[agent.module_count++];

    *module = (struct agent_module){.base = base, .size = size};
    strncpy(module->path, path, sizeof module->path - 1);
}

void stackfake_current(struct x64_frame *frame)
{
    current = frame;
}

struct x64_frame *x64_current(void)
{
    return current;
}
