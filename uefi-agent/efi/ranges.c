/* ranges.c - which physical addresses exist, and what of them is PCI configuration space.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "agent_state.h"
#include "mcfg.h"
#include "x64.h"

static const EFI_GUID dxe_services_guid = EFI_DXE_SERVICES_TABLE_GUID;

static const EFI_GUID acpi_guid = EFI_ACPI_20_TABLE_GUID;

static bool same_guid(const EFI_GUID *a, const EFI_GUID *b)
{
    return __builtin_memcmp(a, b, sizeof *a) == 0;
}

void *agent_configuration_table(const EFI_GUID *guid)
{
    const EFI_SYSTEM_TABLE *system = agent.system;

    for (UINTN i = 0; i < system->NumberOfTableEntries; i++) {
        if (same_guid(&system->ConfigurationTable[i].VendorGuid, guid))
            return system->ConfigurationTable[i].VendorTable;
    }
    return NULL;
}

/* Neighbours of one kind are one range. False: no room. */
static bool add(struct x64_range *ranges, size_t *count,
                const EFI_GCD_MEMORY_SPACE_DESCRIPTOR *descriptor)
{
    bool device = descriptor->GcdMemoryType == EfiGcdMemoryTypeMemoryMappedIo;
    uint64_t end = descriptor->BaseAddress + descriptor->Length;

    if (*count > 0 && ranges[*count - 1].end == descriptor->BaseAddress &&
        ranges[*count - 1].device == device) {
        ranges[*count - 1].end = end;
        return true;
    }
    if (*count == X64_RANGES_MAX)
        return false;
    ranges[*count] = (struct x64_range){descriptor->BaseAddress, end, device};
    ++*count;
    return true;
}

/* Without the ACPI table the 256 bytes that ports lead to are all there is. */
void agent_find_pci(void)
{
    const void *root = agent_configuration_table(&acpi_guid);
    struct kda_mcfg mcfg;

    if (root && kda_mcfg_read(&agent.machine, (uint64_t)(uintptr_t)root, &mcfg))
        x64_set_pci(mcfg.base, mcfg.first_bus, mcfg.last_bus);
}

/* Without the map, or with one that is too long, everything is taken to exist. */
void agent_read_ranges(void)
{
    static struct x64_range ranges[X64_RANGES_MAX];
    const EFI_DXE_SERVICES *services = agent_configuration_table(&dxe_services_guid);
    EFI_GCD_MEMORY_SPACE_DESCRIPTOR *map = NULL;
    UINTN descriptors = 0;
    size_t count = 0;
    bool complete = true;

    if (!services || EFI_ERROR(services->GetMemorySpaceMap(&descriptors, &map)))
        return;
    for (UINTN i = 0; i < descriptors && complete; i++) {
        if (map[i].GcdMemoryType != EfiGcdMemoryTypeNonExistent && map[i].Length > 0)
            complete = add(ranges, &count, &map[i]);
    }
    agent.services->FreePool(map);
    x64_set_ranges(ranges, complete ? count : 0);
}
