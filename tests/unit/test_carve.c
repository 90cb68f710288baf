/* test_carve.c - PE files out of memory that is made here, and dumps of it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "analysis/carve.h"
#include "analysis/dump.h"
#include "check.h"
#include "memory_place.h"

#define BASE 0xfffff80000400000u

static void see(struct place *place, enum kda_origin origin, uint32_t frame, uint64_t address,
                const void *bytes, size_t size)
{
    CHECK(kda_memory_see(place->memory, origin, frame, 1, address, bytes, size));
}

static void set(uint8_t *at, uint64_t value, unsigned size)
{
    for (unsigned i = 0; i < size; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* The PE format's own layout: header at 0x40, two sections. .text is larger in the file than in
 * memory, .data the other way round. */
static void make_headers(uint8_t headers[0x200])
{
    memset(headers, 0, 0x200);
    memcpy(headers, "MZ", 2);
    set(headers + 0x3c, 0x40, 4);
    memcpy(headers + 0x40, "PE\0\0", 4);
    set(headers + 0x44, 0x8664, 2);
    set(headers + 0x46, 2, 2);    /* sections */
    set(headers + 0x54, 0xf0, 2); /* bytes of the optional header */
    set(headers + 0x58, 0x20b, 2);
    set(headers + 0x70, 0x140000000, 8); /* ImageBase */
    set(headers + 0x90, 0x4000, 4);      /* SizeOfImage */
    set(headers + 0x94, 0x200, 4);       /* SizeOfHeaders */
    set(headers + 0xc4, 16, 4);
    memcpy(headers + 0x148, ".text", 5);
    set(headers + 0x150, 0x180, 4);
    set(headers + 0x154, 0x1000, 4);
    set(headers + 0x158, 0x200, 4);
    set(headers + 0x15c, 0x200, 4);
    memcpy(headers + 0x170, ".data", 5);
    set(headers + 0x178, 0x1800, 4);
    set(headers + 0x17c, 0x2000, 4);
    set(headers + 0x180, 0x400, 4);
    set(headers + 0x184, 0x400, 4);
}

static void see_headers(struct place *place)
{
    uint8_t headers[0x200];

    make_headers(headers);
    see(place, KDA_READ, 5, BASE, headers, sizeof headers);
}

/* --- carve */

static void layout_and_holes(void)
{
    struct place place = new_place();
    const struct kda_carve_choice choice = {.at = KDA_END};
    struct kda_carve_hole hole = {0};
    struct kda_carved carved;
    uint8_t code[0x100];

    memset(code, 0xcc, sizeof code);
    see_headers(&place);
    see(&place, KDA_READ, 7, BASE + 0x1010, code, sizeof code);
    CHECK(kda_carve(place.memory, BASE, &choice, &carved) == NULL);
    CHECK_EQ_U64(carved.size, 0x800);
    CHECK_EQ_U64(carved.preferred, 0x140000000);
    CHECK_EQ_U64(carved.part_count, 3);
    CHECK_EQ_U64(carved.mapped, 0x200 + 0x180 + 0x400);
    CHECK_EQ_U64(carved.captured, 0x200 + 0x100);
    CHECK_EQ_U64(carved.parts[1].first, 7);
    CHECK_EQ_MEM(carved.bytes + 0x210, code, sizeof code);
    CHECK(carved.bytes[0x20f] == 0 && carved.bytes[0x310] == 0);
    /* The rest of .text's file part beyond 0x180 was never in memory: no hole. */
    CHECK(kda_carved_next_hole(&carved, &hole));
    CHECK(hole.part == 1 && hole.rva == 0x1000 && hole.file_offset == 0x200 && hole.size == 0x10);
    CHECK(kda_carved_next_hole(&carved, &hole));
    CHECK(hole.part == 1 && hole.rva == 0x1110 && hole.file_offset == 0x310 && hole.size == 0x70);
    CHECK(kda_carved_next_hole(&carved, &hole));
    CHECK(hole.part == 2 && hole.rva == 0x2000 && hole.file_offset == 0x400 && hole.size == 0x400);
    CHECK(!kda_carved_next_hole(&carved, &hole));
    kda_carved_free(&carved);
    free_place(&place);
}

static uint8_t carved_byte(struct place *place, enum kda_carve_values values, uint32_t at,
                           uint32_t loaded, size_t offset)
{
    const struct kda_carve_choice choice = {.at = at, .values = values, .loaded = loaded};
    struct kda_carved carved;
    uint8_t byte = 0;

    if (CHECK(kda_carve(place->memory, BASE, &choice, &carved) == NULL))
        byte = carved.bytes[offset];
    kda_carved_free(&carved);
    return byte;
}

/* One byte of .data is read as 1, then changes to 2, is written as 3, and is read as 4. */
static void values_over_time(void)
{
    struct place place = new_place();
    static const struct {
        enum kda_origin origin;
        uint32_t frame;
        uint8_t value;
    } seen[] = {{KDA_READ, 10, 1}, {KDA_READ, 20, 2}, {KDA_WRITE, 30, 3}, {KDA_READ, 40, 4}};
    const uint64_t address = BASE + 0x2004;

    see_headers(&place);
    for (unsigned i = 0; i < 3; i++)
        see(&place, seen[i].origin, seen[i].frame, address, &seen[i].value, 1);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LATEST, KDA_END, 0, 0x404), 3);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LATEST, 29, 0, 0x404), 2);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_UNWRITTEN, KDA_END, 0, 0x404), 2);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_UNWRITTEN, 19, 0, 0x404), 1);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LOADED, KDA_END, 0, 0x404), 1);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LOADED, 19, 0, 0x404), 1);
    see(&place, seen[3].origin, seen[3].frame, address, &seen[3].value, 1);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LATEST, KDA_END, 0, 0x404), 4);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LOADED, KDA_END, 0, 0x404), 1);
    /* The image came in frame 15: what was there before is another's. */
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LOADED, KDA_END, 15, 0x404), 2);
    free_place(&place);
}

/* What only the debugger wrote is a hole without its writes. */
static void writes_only(void)
{
    struct place place = new_place();
    const struct kda_carve_choice choice = {.at = KDA_END, .values = KDA_CARVE_UNWRITTEN};
    struct kda_carved carved;
    uint8_t byte = 9;

    see_headers(&place);
    see(&place, KDA_WRITE, 10, BASE + 0x1000, &byte, 1);
    CHECK_EQ_U64(carved_byte(&place, KDA_CARVE_LATEST, KDA_END, 0, 0x200), 9);
    CHECK(kda_carve(place.memory, BASE, &choice, &carved) == NULL);
    CHECK_EQ_U64(carved.bytes[0x200], 0);
    CHECK_EQ_U64(carved.captured, 0x200);
    kda_carved_free(&carved);
    free_place(&place);
}

/* Sizes in headers that must not be believed. */
static void hostile_headers(void)
{
    static const struct {
        unsigned at;
        uint32_t value;
        bool refused;
    } cases[] = {
        {0x158, 0xffffffff, true}, /* SizeOfRawData */
        {0x15c, 0xfffffe00, true}, /* PointerToRawData */
        {0x154, 0xfffff000, true}, /* VirtualAddress beyond the image */
        {0x150, 0xffffffff, true}, /* VirtualSize: wraps */
        {0x150, 0x7fffffff, false},
        {0x94, 0xffffffff, true}, /* SizeOfHeaders */
        {0x90, 0, true},          /* SizeOfImage */
        {0x3c, 0xffffffff, true}, /* where the header is */
    };
    const struct kda_carve_choice choice = {.at = KDA_END, .values = KDA_CARVE_LOADED};

    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct place place = new_place();
        struct kda_carve_hole hole = {0};
        struct kda_carved carved;
        uint8_t headers[0x200];

        make_headers(headers);
        set(headers + cases[i].at, cases[i].value, 4);
        see(&place, KDA_READ, 5, BASE, headers, sizeof headers);
        CHECK((kda_carve(place.memory, BASE, &choice, &carved) != NULL) == cases[i].refused);
        while (!cases[i].refused && kda_carved_next_hole(&carved, &hole))
            CHECK(hole.file_offset + hole.size <= carved.size);
        kda_carved_free(&carved);
        free_place(&place);
    }
}

/* --- dumps */

struct file {
    uint8_t bytes[8 << 20];
    size_t size, limit;
};

static bool take(void *context, const uint8_t *bytes, size_t size)
{
    struct file *file = context;

    if (size > file->limit - file->size)
        return false;
    memcpy(file->bytes + file->size, bytes, size);
    file->size += size;
    return true;
}

static uint32_t get32(const uint8_t *at)
{
    return (uint32_t)(at[0] | at[1] << 8 | at[2] << 16) | (uint32_t)at[3] << 24;
}

/* Names in UTF-16, also of what is no UTF-8; two threads; memory behind everything. */
static void minidump(void)
{
    static struct file file = {.limit = sizeof file.bytes};
    static const uint8_t name[] = {'a', 0xc3, 0xa9, 0xe2, 0x82, 0xac, 0xff, 'b', 0xe2};
    static const uint8_t wide[] = {12,   0,    0,    0,   'a', 0,    0xe9, 0, 0xac,
                                   0x20, 0xfd, 0xff, 'b', 0,   0xfd, 0xff, 0, 0};
    static uint8_t contexts[2][sizeof(struct kd_context_amd64)] = {{1}, {2}};
    const struct kda_dump_thread threads[] = {{.processor = 1, .context = contexts[0]},
                                              {.processor = 0, .context = contexts[1]}};
    const struct kda_dump_module module = {.base = BASE, .name = name, .name_size = sizeof name};
    struct place place = new_place();
    const struct kda_dump dump = {.arch = KD_ARCH_AMD64,
                                  .processors = 2,
                                  .threads = threads,
                                  .thread_count = 2,
                                  .modules = &module,
                                  .module_count = 1,
                                  .memory = place.memory,
                                  .view = {.at = KDA_END}};
    uint32_t rows, at;

    see(&place, KDA_READ, 5, BASE, "memory", 6);
    CHECK(kda_minidump(&dump, take, &file) == NULL);
    CHECK_EQ_MEM(file.bytes, "MDMP", 4);
    CHECK_EQ_MEM(file.bytes + file.size - 6, "memory", 6);
    rows = get32(file.bytes + 8);
    CHECK_EQ_U64(rows, 4); /* no exception, no comment */
    for (uint32_t i = 0; i < rows; i++) {
        const uint8_t *row = file.bytes + 32 + 12 * i, *data = file.bytes + get32(row + 8);

        if (get32(row) == 4) {
            at = get32(data + 4 + 20);
            CHECK_EQ_MEM(file.bytes + at, wide, sizeof wide);
        } else if (get32(row) == 3) {
            CHECK_EQ_U64(get32(data + 4), 2);
            CHECK_EQ_U64(get32(data + 52), 1);
            CHECK_EQ_U64(file.bytes[get32(data + 4 + 44)], 1);
        }
    }
    file.size = 0;
    file.limit = 100;
    CHECK(kda_minidump(&dump, take, &file) != NULL);
    free_place(&place);
}

/* More runs than e_phnum can count: a section header does. */
static void core_of_many_runs(void)
{
    enum { RUNS = 70000 };
    static struct file file = {.limit = sizeof file.bytes};
    static uint8_t context[sizeof(struct kd_context_amd64)];
    static const uint8_t byte = 7;
    const struct kda_dump_thread thread = {.processor = 0, .context = context};
    struct place place = new_place();
    const struct kda_dump dump = {.arch = KD_ARCH_AMD64,
                                  .processors = 1,
                                  .threads = &thread,
                                  .thread_count = 1,
                                  .memory = place.memory,
                                  .view = {.at = KDA_END}};
    const uint8_t *section, *last;

    for (uint32_t i = 0; i < RUNS; i++)
        see(&place, KDA_READ, 5, BASE + 2 * i, &byte, 1);
    CHECK(kda_elf_core(&dump, take, &file) == NULL);
    CHECK_EQ_U64(file.bytes[0x38] | file.bytes[0x39] << 8, 0xffff); /* e_phnum */
    CHECK_EQ_U64(file.bytes[0x3c], 1);                              /* e_shnum */
    section = file.bytes + get32(file.bytes + 0x28);
    CHECK_EQ_U64(section - file.bytes, 64 + 56 * (RUNS + 1));
    CHECK_EQ_U64(get32(section + 44), RUNS + 1); /* sh_info */
    last = section - 56;
    CHECK_EQ_U64(get32(last), 1);                 /* PT_LOAD */
    CHECK_EQ_U64(get32(last + 8), file.size - 1); /* p_offset */
    CHECK_EQ_U64(get32(last + 16), (uint32_t)(BASE + 2 * (RUNS - 1)));
    CHECK_EQ_U64(file.bytes[file.size - 1], 7);
    free_place(&place);
}

KD_TEST_MAIN({"layout and holes", layout_and_holes}, {"values over time", values_over_time},
             {"writes only", writes_only}, {"hostile headers", hostile_headers},
             {"minidump", minidump}, {"core of many runs", core_of_many_runs})
