/* dump_kernel.c - what there is to say of a kernel dump: what of it is made up, and its holes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <inttypes.h>

#include "dump.h"
#include "facts.h"

static const struct {
    uint32_t bit;
    const char *name;   /* of the member */
    const char *people; /* what it is */
} made_things[] = {
    {KDA_MADE_DATA_BLOCK, "made_data_block",
     "the debugger data block with processor blocks, thread and process"},
    {KDA_MADE_REGISTERS, "made_registers", "registers in the processors' blocks"},
    {KDA_MADE_MODULES, "made_modules", "the list of modules"},
    {KDA_MADE_GDT, "made_gdt", "a descriptor table"},
    {KDA_MADE_SPECIAL, "made_special_registers", "special registers, zero, as none were read"},
};

#define MADE_THINGS (sizeof made_things / sizeof made_things[0])

/* --- for people */

static void tell_made(const struct kda_kernel_facts *facts)
{
    char address[ADDRESS_TEXT_SIZE];

    printf("made up: %" PRIu64 " page tables, from physical %" PRIx64, facts->table_pages,
           facts->directory);
    if (facts->made_size) {
        address_text(facts->made_at, address);
        printf("; at %s", address);
    }
    for (size_t i = 0; i < MADE_THINGS; i++)
        if (facts->made & made_things[i].bit)
            printf("; %s", made_things[i].people);
    printf("\n");
}

static void tell_hole(void *context, const struct kda_kernel_hole *hole)
{
    char address[ADDRESS_TEXT_SIZE];

    (void)context;
    address_text(hole->address, address);
    printf("  %s %10" PRIu64 "%s\n", address, hole->size, hole->physical ? " physical" : "");
}

void dump_kernel_tell(const struct kda_kernel_dump *kernel)
{
    const struct kda_kernel_facts *facts = kda_kernel_dump_facts(kernel);

    tell_made(facts);
    if (facts->beyond)
        printf("left out: %" PRIu64 " bytes at addresses that four levels of page tables do not "
               "reach\n",
               facts->beyond);
    if (facts->beyond_physical)
        printf("left out: %" PRIu64 " bytes of physical memory in more runs of pages than a "
               "header takes\n",
               facts->beyond_physical);
    if (!facts->holes)
        return;
    printf("holes, %" PRIu64 " bytes in %" PRIu64 " places: not captured, in pages of which a part "
           "was; they hold %02x ('%c'), which a minidump does not:\n",
           facts->hole_bytes, facts->holes, KDA_KERNEL_FILL, KDA_KERNEL_FILL);
    kda_kernel_dump_holes(kernel, tell_hole, NULL);
}

/* --- JSON */

void dump_kernel_tell_json(const struct kda_kernel_dump *kernel)
{
    const struct kda_kernel_facts *facts = kda_kernel_dump_facts(kernel);

    fact_number(stdout, "made_page_tables", facts->table_pages);
    fact_hex(stdout, "directory_table_base", facts->directory);
    for (size_t i = 0; i < MADE_THINGS; i++)
        fact_flag(stdout, made_things[i].name, facts->made & made_things[i].bit);
    if (facts->made_size) {
        fact_hex(stdout, "made_at", facts->made_at);
        fact_number(stdout, "made_bytes", facts->made_size);
    }
    fact_number(stdout, "pages", facts->pages);
    fact_number(stdout, "physical_pages", facts->physical_pages);
    fact_number(stdout, "holes", facts->holes);
    fact_number(stdout, "hole_bytes", facts->hole_bytes);
    fact_number(stdout, "left_out_bytes", facts->beyond);
    fact_number(stdout, "left_out_physical_bytes", facts->beyond_physical);
}

static void tell_hole_json(void *context, const struct kda_kernel_hole *hole)
{
    fact_begin(stdout, *(const unsigned *)context);
    fact_hex(stdout, "hole", hole->address);
    fact_number(stdout, "size", hole->size);
    fact_flag(stdout, "physical", hole->physical);
    fact_end(stdout);
}

void dump_kernel_holes_json(const struct kda_kernel_dump *kernel, unsigned session)
{
    kda_kernel_dump_holes(kernel, tell_hole_json, &session);
}
