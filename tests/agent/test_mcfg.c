/* test_mcfg.c - the ACPI table that tells where PCI configuration space is, right and wild.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Tables are made of the offsets in the ACPI and PCI Firmware specifications.
 */
#include "mcfg.h"

#include "check.h"

#define BASE UINT64_C(0x7F000000)
#define SIZE 0x1000u
#define ROOT 0x10u
#define XSDT 0x100u
#define FACP 0x200u
#define MCFG 0x300u

static struct {
    uint8_t bytes[SIZE];
    size_t size; /* as much of it can be read */
    unsigned reads;
} memory;

static size_t read_memory(void *self, uint64_t address, uint8_t *out, size_t size)
{
    uint64_t offset = address - BASE;

    (void)self;
    memory.reads++;
    if (offset >= memory.size)
        return 0;
    if (size > memory.size - offset)
        size = memory.size - (size_t)offset;
    memcpy(out, memory.bytes + offset, size);
    return size;
}

static bool read_tables(struct kda_mcfg *out)
{
    static const struct kda_target_ops ops = {.read_virtual = read_memory};
    const struct kda_target target = {&ops, NULL};

    memory.reads = 0;
    memset(out, 0xA5, sizeof *out);
    return kda_mcfg_read(&target, BASE + ROOT, out);
}

static void put(size_t at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory.bytes[at + i] = (uint8_t)(value >> 8 * i);
}

/* Two tables, the second MCFG with segment 1 before segment 0. */
static void make_tables(void)
{
    memset(&memory, 0, sizeof memory);
    memory.size = SIZE;
    memcpy(memory.bytes + ROOT, "RSD PTR ", 8);
    put(ROOT + 15, 2, 1);
    put(ROOT + 24, BASE + XSDT, 8);
    memcpy(memory.bytes + XSDT, "XSDT", 4);
    put(XSDT + 4, 36 + 16, 4);
    put(XSDT + 36, BASE + FACP, 8);
    put(XSDT + 44, BASE + MCFG, 8);
    memcpy(memory.bytes + FACP, "FACP", 4);
    put(FACP + 4, 116, 4);
    memcpy(memory.bytes + MCFG, "MCFG", 4);
    put(MCFG + 4, 44 + 32, 4);
    put(MCFG + 44, 0xC0000000, 8);
    put(MCFG + 44 + 8, 1, 2);
    put(MCFG + 44 + 11, 0x3F, 1);
    put(MCFG + 60, 0xE0000000, 8);
    put(MCFG + 60 + 10, 0x10, 1);
    put(MCFG + 60 + 11, 0xFF, 1);
}

static void a_good_table(void)
{
    struct kda_mcfg mcfg;

    make_tables();
    CHECK(read_tables(&mcfg));
    CHECK_EQ_U64(mcfg.base, 0xE0000000);
    CHECK_EQ_U64(mcfg.first_bus, 0x10);
    CHECK_EQ_U64(mcfg.last_bus, 0xFF);
}

static void none(void)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t size;
    } wrong[] = {
        {ROOT + 15, 0, 1},
        {ROOT + 24, 0, 8},
        {ROOT + 24, UINT64_MAX - 3, 8},
        {XSDT, 0x54445352, 4}, /* "RSDT" */
        {XSDT + 4, 36 + 8, 4},
        {XSDT + 4, 35, 4},
        {XSDT + 4, 0, 4},
        {XSDT + 44, 0, 8},
        {XSDT + 44, BASE + SIZE, 8},
        {MCFG, 0, 1},
        {MCFG + 4, 44 + 16 + 15, 4},
        {MCFG + 4, 44, 4},
        {MCFG + 4, 1, 4},
        {MCFG + 60, 0, 8},
        {MCFG + 60, 0xE0000800, 8},
        {MCFG + 60, UINT64_C(0xFFFFFFFFE0000000), 8},
        {MCFG + 60 + 8, 2, 2},
        {MCFG + 60 + 11, 0x0F, 1},
    };
    struct kda_mcfg mcfg;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        make_tables();
        put(wrong[i].at, wrong[i].value, wrong[i].size);
        if (!CHECK(!read_tables(&mcfg)))
            fprintf(stderr, "  change %zu\n", i);
        CHECK_EQ_U64(mcfg.base, 0);
    }
}

static void cut_anywhere(void)
{
    struct kda_mcfg mcfg;

    make_tables();
    for (memory.size = 0; memory.size < SIZE; memory.size++)
        CHECK_EQ_U64(read_tables(&mcfg), memory.size >= MCFG + 44 + 32);
}

/* Lengths that say billions of entries, all of them wrong: an end comes all the same. */
static void bounded(void)
{
    struct kda_mcfg mcfg;

    make_tables();
    put(XSDT + 4, 0xFFFFFFFF, 4);
    put(MCFG + 4, 0xFFFFFFFF, 4);
    put(MCFG + 60 + 8, 2, 2);
    for (size_t at = XSDT + 36; at + 8 <= SIZE; at += 8) {
        if (at < MCFG || at >= MCFG + 76)
            put(at, BASE + MCFG, 8);
    }
    (void)read_tables(&mcfg);
    CHECK(memory.reads < 20000);
}

KD_TEST_MAIN({"a good table", a_good_table}, {"none", none}, {"cut anywhere", cut_anywhere},
             {"bounded", bounded})
