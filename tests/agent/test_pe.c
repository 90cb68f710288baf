/* test_pe.c - the headers of an image, right ones and wild ones.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The image is made of the offsets in Microsoft's PE format specification. Its memory ends where
 * the image does, and may end anywhere before that.
 */
#include "pe.h"

#include "check.h"

#define BASE       UINT64_C(0x140000000)
#define IMAGE_SIZE 0x1000u
#define HEADERS    0xC0u
#define OPTIONAL   (HEADERS + 24)
#define DIRECTORY  0x300u /* of the debug data: two entries of 28 bytes */
#define RECORD     0x400u
#define SECTIONS   (OPTIONAL + 0xF0)

static struct {
    uint8_t bytes[IMAGE_SIZE];
    uint64_t base;
    size_t size; /* as much of it can be read */
    unsigned reads;
} memory;

static size_t read_memory(void *self, uint64_t address, uint8_t *out, size_t size)
{
    uint64_t offset = address - memory.base;

    (void)self;
    memory.reads++;
    if (offset >= memory.size)
        return 0;
    if (size > memory.size - offset)
        size = memory.size - (size_t)offset;
    memcpy(out, memory.bytes + offset, size);
    return size;
}

static bool read_image(struct kda_pe *out)
{
    static const struct kda_target_ops ops = {.read_virtual = read_memory};
    const struct kda_target target = {&ops, NULL};

    memset(out, 0xA5, sizeof *out);
    memory.reads = 0;
    return kda_pe_read(&target, memory.base, out);
}

static void put(size_t at, uint64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        memory.bytes[at + i] = (uint8_t)(value >> 8 * i);
}

static void put_record(const char *path)
{
    memset(memory.bytes + RECORD, 0, IMAGE_SIZE - RECORD);
    memcpy(memory.bytes + RECORD, "RSDS", 4);
    memcpy(memory.bytes + RECORD + 24, path, strlen(path) + 1);
    put(DIRECTORY + 28 + 16, 24 + strlen(path) + 1, 4);
}

/* With a debug directory of an entry that is no CodeView, and one that is. */
static void make_image(const char *path)
{
    memset(&memory, 0, sizeof memory);
    memory.base = BASE;
    memory.size = IMAGE_SIZE;
    memcpy(memory.bytes, "MZ", 2);
    put(0x3C, HEADERS, 4);
    memcpy(memory.bytes + HEADERS, "PE\0\0", 4);
    put(HEADERS + 4, 0x8664, 2);
    put(HEADERS + 8, 0x5F3759DF, 4);
    put(HEADERS + 6, 1, 2);
    put(HEADERS + 20, 0xF0, 2);
    put(OPTIONAL, 0x20B, 2);
    put(OPTIONAL + 16, 0x220, 4);
    put(OPTIONAL + 56, IMAGE_SIZE, 4);
    put(OPTIONAL + 60, 0x200, 4);
    put(OPTIONAL + 64, 0xC0FFEE, 4);
    put(OPTIONAL + 108, 16, 4);
    put(OPTIONAL + 112 + 6 * 8, DIRECTORY, 4);
    put(OPTIONAL + 112 + 6 * 8 + 4, 2 * 28, 4);
    put(DIRECTORY + 12, 13, 4); /* IMAGE_DEBUG_TYPE_POGO */
    put(DIRECTORY + 28 + 12, 2, 4);
    put(DIRECTORY + 28 + 20, RECORD, 4);
    put(SECTIONS + 8, IMAGE_SIZE - 0x200, 4);
    put(SECTIONS + 12, 0x200, 4);
    put_record(path);
}

static void a_good_image(void)
{
    struct kda_pe pe;

    make_image("C:\\build\\kdagent.pdb");
    CHECK(read_image(&pe));
    CHECK_EQ_U64(pe.entry, BASE + 0x220);
    CHECK_EQ_U64(pe.size, IMAGE_SIZE);
    CHECK_EQ_U64(pe.checksum, 0xC0FFEE);
    CHECK_EQ_U64(pe.timestamp, 0x5F3759DF);
    CHECK_EQ_STR(pe.pdb, "kdagent");
}

static void names(void)
{
    static const struct {
        const char *path, *name;
    } cases[] = {
        {"/build/a/Shell.pdb", "Shell"},
        {"Shell.pdb", "Shell"},
        {"Shell", "Shell"},
        {"a.b\\c.d.pdb", "c.d"},
        {"a.b\\c", "c"},
        {".pdb", ".pdb"},
        {"a\\.pdb", ".pdb"},
        {"a\\b\\", ""},
        {"", ""},
        {"mixed/up\\x.pdb", "x"},
        {"\xC3\xA9.pdb", "\xC3\xA9"},
    };
    struct kda_pe pe;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        make_image(cases[i].path);
        CHECK(read_image(&pe));
        CHECK_EQ_STR(pe.pdb, cases[i].name);
    }
}

/* Of a path longer than the room its end counts; a name longer than the room is cut in front. */
static void long_names(void)
{
    char path[1001];
    struct kda_pe pe;

    for (size_t length = 100; length < sizeof path; length++) {
        memset(path, 'p', length);
        path[length] = 0;
        memcpy(path + length - 9, "\\name.pdb", 9);
        make_image(path);
        CHECK(read_image(&pe));
        CHECK_EQ_STR(pe.pdb, "name");
        path[length - 9] = 'p';
        make_image(path);
        CHECK(read_image(&pe));
        CHECK(strlen(pe.pdb) < sizeof pe.pdb);
        CHECK_EQ_STR(pe.pdb + strlen(pe.pdb) - 5, "pname");
    }
}

/* Where memory ends, the answer is no, or an image without what lies behind. */
static void cut_anywhere(void)
{
    struct kda_pe pe;

    make_image("kdagent.pdb");
    for (memory.size = 0; memory.size <= IMAGE_SIZE; memory.size++) {
        bool there = read_image(&pe);

        CHECK_EQ_U64(there, memory.size >= SECTIONS + 40);
        if (there && memory.size < RECORD + 24 + sizeof "kdagent.pdb")
            CHECK_EQ_STR(pe.pdb, "");
    }
    CHECK_EQ_STR(pe.pdb, "kdagent");
}

static void no_images(void)
{
    static const struct {
        size_t at;
        uint64_t value;
        size_t size;
    } wrong[] = {
        {0, 'M' | 'S' << 8, 2}, {HEADERS, 0x4550 | 1 << 16, 4}, {HEADERS, 0x454E, 4},
        {OPTIONAL, 0x107, 2},   {OPTIONAL + 56, 0, 4},          {OPTIONAL + 60, IMAGE_SIZE + 1, 4},
        {0x3C, 0, 4},           {0x3C, HEADERS + 1, 4},         {0x3C, IMAGE_SIZE, 4},
        {0x3C, 0xFFFFFFFF, 4},  {0x3C, 0x80000000, 4},          {0x3C, IMAGE_SIZE - 2, 4},
        {0x3C, 0x7FFFFFFF, 4},
    };
    struct kda_pe pe;

    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        make_image("kdagent.pdb");
        put(wrong[i].at, wrong[i].value, wrong[i].size);
        CHECK(!read_image(&pe));
        CHECK_EQ_U64(pe.size, 0);
        CHECK_EQ_STR(pe.pdb, "");
    }
}

/* Firmware for x86-64 loads them, too: EFI byte code, and through an emulator IA32. */
static void other_processors(void)
{
    struct kda_pe pe;

    make_image("kdagent.pdb");
    put(HEADERS + 4, 0xEBC, 2);
    CHECK(read_image(&pe));
    CHECK_EQ_U64(pe.size, IMAGE_SIZE);
    CHECK_EQ_STR(pe.pdb, "kdagent");
    memmove(memory.bytes + OPTIONAL + 96, memory.bytes + OPTIONAL + 112, 128);
    put(HEADERS + 4, 0x14C, 2);
    put(OPTIONAL, 0x10B, 2);
    put(OPTIONAL + 92, 16, 4);
    CHECK(read_image(&pe));
    CHECK_EQ_U64(pe.entry, BASE + 0x220);
    CHECK_EQ_STR(pe.pdb, "kdagent");
}

/* Every 32-bit field of the headers and the directory in turn with each of these. */
static void hostile_fields(void)
{
    static const uint64_t values[] = {
        0, 1, 27, IMAGE_SIZE - 1, IMAGE_SIZE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFE3, 0xFFFFFFFF};
    struct kda_pe pe;

    for (size_t at = 0; at + 4 <= RECORD + 32; at += 2) {
        for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
            make_image("kdagent.pdb");
            put(at, values[i], 4);
            (void)read_image(&pe);
            CHECK(memchr(pe.pdb, 0, sizeof pe.pdb) != NULL);
            CHECK(memory.reads < 100);
        }
    }
}

/* Just below the end of the address space; what would reach it is none. */
static void wraps(void)
{
    struct kda_pe pe;

    make_image("kdagent.pdb");
    memory.base = UINT64_MAX - IMAGE_SIZE;
    CHECK(read_image(&pe));
    CHECK_EQ_STR(pe.pdb, "kdagent");
    memory.base++;
    CHECK(!read_image(&pe));
    memory.base--;
    put(0x3C, 0xFFFF, 4);
    CHECK(!read_image(&pe));
}

/* A directory that claims to be endless, all of entries of another kind. */
static void many_entries(void)
{
    struct kda_pe pe;

    make_image("kdagent.pdb");
    put(OPTIONAL + 112 + 6 * 8 + 4, 0xFFFFFFFF, 4);
    put(DIRECTORY + 28 + 12, 13, 4);
    CHECK(read_image(&pe));
    CHECK_EQ_STR(pe.pdb, "");
    CHECK(memory.reads < 100);
}

KD_TEST_MAIN({"a good image", a_good_image}, {"names", names}, {"long names", long_names},
             {"cut anywhere", cut_anywhere}, {"no images", no_images},
             {"other processors", other_processors}, {"hostile fields", hostile_fields},
             {"wraps", wraps}, {"many entries", many_entries})
