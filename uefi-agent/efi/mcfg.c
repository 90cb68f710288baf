/* mcfg.c - where PCI Express has its configuration space in memory, from the ACPI tables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Offsets as in the ACPI specification (5.2.5 root pointer, 5.2.8 XSDT) and the PCI Firmware
 * Specification (4.1.2 MCFG).
 */
#include "mcfg.h"

#include "kd/wire.h"

#define ROOT_REVISION  15u
#define ROOT_XSDT      24u
#define TABLE_LENGTH   4u
#define TABLE_HEADER   36u
#define TABLES_MAX     256u
#define MCFG_SIGNATURE 0x4746434Du /* "MCFG" */
#define XSDT_SIGNATURE 0x54445358u /* "XSDT" */
#define MCFG_ENTRIES   44u
#define MCFG_ENTRY     16u
#define ENTRIES_MAX    64u
#define BUS_SIZE       (UINT64_C(1) << 20)
#define ADDRESS_LIMIT  (UINT64_C(1) << 52)

struct allocation {
    kd_u64 base;
    kd_u16 segment;
    kd_u8 first_bus, last_bus;
    kd_u32 reserved;
};
_Static_assert(sizeof(struct allocation) == MCFG_ENTRY, "allocation");

static bool get(const struct kda_target *target, uint64_t address, void *out, size_t size)
{
    return target->ops->read_virtual(target->self, address, out, size) == size;
}

static uint64_t get64(const struct kda_target *target, uint64_t address)
{
    kd_u64 value;

    return get(target, address, &value, sizeof value) ? kd_get64(value) : 0;
}

static uint32_t get32(const struct kda_target *target, uint64_t address)
{
    kd_u32 value;

    return get(target, address, &value, sizeof value) ? kd_get32(value) : 0;
}

/* How many entries a table of this signature has behind its fixed part; 0: it is another. */
static uint32_t entries(const struct kda_target *target, uint64_t table, uint32_t signature,
                        uint32_t fixed, uint32_t size)
{
    uint32_t length = get32(target, table + TABLE_LENGTH);

    return get32(target, table) == signature && length > fixed ? (length - fixed) / size : 0;
}

static bool is_sound(const struct allocation *found, struct kda_mcfg *out)
{
    *out = (struct kda_mcfg){kd_get64(found->base), kd_get8(found->first_bus),
                             kd_get8(found->last_bus)};
    return kd_get16(found->segment) == 0 && out->first_bus <= out->last_bus && out->base != 0 &&
           out->base % BUS_SIZE == 0 && out->base < ADDRESS_LIMIT;
}

static bool read_table(const struct kda_target *target, uint64_t table, struct kda_mcfg *out)
{
    uint32_t count = entries(target, table, MCFG_SIGNATURE, MCFG_ENTRIES, MCFG_ENTRY);

    for (uint32_t i = 0; i < count && i < ENTRIES_MAX; i++) {
        struct allocation found;

        if (get(target, table + MCFG_ENTRIES + i * MCFG_ENTRY, &found, sizeof found) &&
            is_sound(&found, out))
            return true;
    }
    return false;
}

bool kda_mcfg_read(const struct kda_target *target, uint64_t root, struct kda_mcfg *out)
{
    uint64_t xsdt = get64(target, root + ROOT_XSDT);
    kd_u8 revision;
    uint32_t count;

    *out = (struct kda_mcfg){.base = 0};
    if (!get(target, root + ROOT_REVISION, &revision, 1) || kd_get8(revision) < 2)
        return false;
    count = entries(target, xsdt, XSDT_SIGNATURE, TABLE_HEADER, sizeof(uint64_t));
    for (uint32_t i = 0; i < count && i < TABLES_MAX; i++) {
        uint64_t table = get64(target, xsdt + TABLE_HEADER + i * sizeof(uint64_t));

        if (table && read_table(target, table, out))
            return true;
    }
    *out = (struct kda_mcfg){.base = 0};
    return false;
}
