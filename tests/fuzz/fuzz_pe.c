/* fuzz_pe.c - libFuzzer target: any bytes as a PE image in the memory of a machine.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte moves the image to the end of the address space; the memory ends with the input.
 */
#include <stdlib.h>
#include <string.h>

#include "pe.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define READS_MAX 400u /* 4 headers, 96 sections, 4 for each of 64 rows of the debug directory */

struct memory {
    const uint8_t *bytes;
    size_t size;
    uint64_t base;
    unsigned reads;
};

static void require(bool holds)
{
    if (!holds)
        abort();
}

static size_t read_memory(void *self, uint64_t address, uint8_t *out, size_t size)
{
    struct memory *memory = self;
    uint64_t offset = address - memory->base;

    require(++memory->reads < READS_MAX);
    if (offset >= memory->size)
        return 0;
    if (size > memory->size - offset)
        size = memory->size - (size_t)offset;
    memcpy(out, memory->bytes + offset, size);
    return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct kda_target_ops ops = {.read_virtual = read_memory};
    struct memory memory = {.base = UINT64_C(0x100000)};
    const struct kda_target target = {&ops, &memory};
    struct kda_pe pe;

    if (size == 0)
        return 0;
    memory.bytes = data + 1;
    memory.size = size - 1;
    if (data[0] & 1)
        memory.base = UINT64_MAX - memory.size + 1;
    if (!kda_pe_read(&target, memory.base, &pe))
        require(pe.size == 0 && pe.pdb[0] == 0);
    require(memchr(pe.pdb, 0, sizeof pe.pdb) != NULL);
    require(!strpbrk(pe.pdb, "\\/"));
    return 0;
}
