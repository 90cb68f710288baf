/* test_pe.c - headers of an image: a small sound one, each field damaged, from memory and from a
 * file.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "image/unwind.h"

enum {
    PE = 0x40,
    OPTIONAL = PE + 24,
    DIRECTORIES = OPTIONAL + 112,
    SECTIONS = DIRECTORIES + 16 * 8,
    SIZE = 0x3000, /* in memory */
    FILE_SIZE = 0x600,
    TEXT = 0x1000, /* from 0x200 in the file; 0x200 there, 0x300 in memory */
    DATA = 0x2000, /* from 0x400 */
    EXPORTS = DATA + 0x20,
    DEBUG = DATA + 0x100,
};

static uint8_t file[FILE_SIZE];
static struct img_image image;

static void put16(unsigned at, uint32_t value)
{
    file[at] = (uint8_t)value;
    file[at + 1] = (uint8_t)(value >> 8);
}

static void put32(unsigned at, uint32_t value)
{
    put16(at, value);
    put16(at + 2, value >> 16);
}

/* At an RVA of the data section. */
static void data32(unsigned rva, uint32_t value)
{
    put32(rva - DATA + 0x400, value);
}

static void put_exports(void)
{
    data32(EXPORTS + 16, 5); /* first ordinal */
    data32(EXPORTS + 20, 3);
    data32(EXPORTS + 24, 3);
    data32(EXPORTS + 28, DATA + 0x60);
    data32(EXPORTS + 32, DATA + 0x70);
    data32(EXPORTS + 36, DATA + 0x80);
    data32(DATA + 0x60, TEXT + 0x10);
    data32(DATA + 0x64, DATA + 0x98); /* a forwarder */
    data32(DATA + 0x68, TEXT + 0x20);
    data32(DATA + 0x70, DATA + 0x88);
    data32(DATA + 0x74, DATA + 0x8C);
    data32(DATA + 0x78, DATA + 0x90);
    data32(DATA + 0x80, 2 | 1u << 16);
    data32(DATA + 0x84, 0);
    memcpy(file + 0x488, "one\0two\0three\0\0\0a.b", 20);
}

static void put_debug(void)
{
    data32(DEBUG + 12, 13); /* something else */
    data32(DEBUG + 28 + 12, 2);
    data32(DEBUG + 28 + 16, 24 + 6);
    data32(DEBUG + 28 + 20, DEBUG + 0x40);
    memcpy(file + DEBUG + 0x40 - DATA + 0x400, "RSDSabcdefghijklmnop\7\0\0\0x.pdb", 30);
}

static void put_section(unsigned at, const char *name, uint32_t rva, uint32_t size, uint32_t offset,
                        uint32_t flags)
{
    memcpy(file + at, name, strlen(name));
    put32(at + 8, size);
    put32(at + 12, rva);
    put32(at + 16, 0x200);
    put32(at + 20, offset);
    put32(at + 36, flags);
}

static void start(void)
{
    memset(file, 0, sizeof file);
    memcpy(file, "MZ", 2);
    put32(60, PE);
    memcpy(file + PE, "PE", 2);
    put16(PE + 4, 0x8664);
    put16(PE + 6, 2);
    put32(PE + 8, 0x12345678);
    put16(PE + 20, 240);
    put16(OPTIONAL, 0x20B);
    put32(OPTIONAL + 16, TEXT + 4);
    put32(OPTIONAL + 24, 0x80000000);
    put32(OPTIONAL + 28, 1);
    put32(OPTIONAL + 56, SIZE);
    put32(OPTIONAL + 60, 0x200);
    put32(OPTIONAL + 64, 0xC0FFEE);
    put16(OPTIONAL + 68, 11);
    put32(OPTIONAL + 108, 16);
    put32(DIRECTORIES, EXPORTS);
    put32(DIRECTORIES + 4, 0x90);
    put32(DIRECTORIES + 6 * 8, DEBUG);
    put32(DIRECTORIES + 6 * 8 + 4, 56);
    put_section(SECTIONS, ".text", TEXT, 0x300, 0x200, 0x60000020);
    put_section(SECTIONS + 40, ".datalong", DATA, 0x180, 0x400, 0xC0000040);
    file[0x200] = 0xAA;
    file[0x3FF] = 0xBB;
    put_exports();
    put_debug();
}

static enum img_result open_file(size_t size)
{
    struct img_source source = img_memory_source(file, size, IMG_FILE);

    return img_open(&image, &source, 0);
}

static void test_headers(void)
{
    start();
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(image.base, 0x180000000);
    CHECK_EQ_U64(image.size, SIZE);
    CHECK_EQ_U64(image.entry, TEXT + 4);
    CHECK_EQ_U64(image.timestamp, 0x12345678);
    CHECK_EQ_U64(image.checksum, 0xC0FFEE);
    CHECK_EQ_U64(image.subsystem, 11);
    CHECK_EQ_U64(image.section_count, 2);
    CHECK_EQ_STR(image.sections[1].name, ".datalon");
    CHECK(img_is_code(&image, TEXT) && !img_is_code(&image, DATA) && !img_is_code(&image, 0));
    CHECK(img_section_of(&image, TEXT + 0x300) == NULL);
}

static void test_reads(void)
{
    uint8_t bytes[0x300];
    uint32_t value;
    char text[4];

    start();
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK(img_read(&image, TEXT, bytes, sizeof bytes));
    CHECK(bytes[0] == 0xAA && bytes[0x1FF] == 0xBB && bytes[0x200] == 0 && bytes[0x2FF] == 0);
    CHECK(!img_read(&image, TEXT + 1, bytes, sizeof bytes)); /* into what is in no section */
    CHECK(img_read8(&image, TEXT + 0x288, bytes) && bytes[0] == 0);
    CHECK(img_read32(&image, 60, &value) && value == PE);
    CHECK(!img_read32(&image, 0x1FE, &value));
    CHECK(!img_read32(&image, UINT32_MAX, &value) && !img_read32(&image, SIZE - 2, &value));
    CHECK(img_read_text(&image, DATA + 0x90, text, sizeof text));
    CHECK_EQ_STR(text, "thr");
    CHECK(!img_relative(&image, 4, -5, &value) && !img_relative(&image, SIZE - 1, 1, &value));
    CHECK(img_relative(&image, 4, -4, &value) && value == 0);
    CHECK(img_rva(&image, 0x180000010, &value) && value == 0x10);
    CHECK(!img_rva(&image, 0x17FFFFFFF, &value) && !img_rva(&image, 0x180003000, &value));
}

/* Sections may be longer than the image says it is; its size counts. */
static void test_size(void)
{
    uint8_t byte;

    start();
    put32(OPTIONAL + 56, DATA + 0x10);
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK(img_read8(&image, DATA + 0xF, &byte));
    CHECK(!img_read8(&image, DATA + 0x10, &byte));
}

static void test_mapped(void)
{
    uint8_t *memory = calloc(1, SIZE);
    struct img_source source = img_memory_source(memory, SIZE, IMG_MAPPED);
    struct img_export export;
    uint8_t byte;

    start();
    if (!CHECK(memory))
        return;
    memcpy(memory, file, 0x200);
    memcpy(memory + DATA, file + 0x400, 0x200);
    memory[0x800] = 0xCC;
    CHECK_EQ_U64(img_open(&image, &source, 0x5000000), IMG_OK);
    CHECK_EQ_U64(image.base, 0x5000000);
    CHECK(img_read8(&image, 0x800, &byte) && byte == 0xCC);
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "one");
    CHECK_EQ_U64(img_open(&image, &source, UINT64_MAX - 5), IMG_MALFORMED);
    free(memory);
}

static void test_exports(void)
{
    struct img_export export;

    start();
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(img_export_count(&image), 3);
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_OK);
    CHECK(export.rva == TEXT + 0x20 && export.ordinal == 7 && !export.forwarder);
    CHECK_EQ_U64(img_export(&image, 1, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "two");
    CHECK(export.forwarder);
    CHECK_EQ_U64(img_export(&image, 3, &export), IMG_NONE);
    file[0x488] = 0x1B; /* the first letter of "one" */
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "?ne");
    file[0x488] = 'o';
    CHECK_EQ_U64(img_export_before(&image, TEXT + 0x1F, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "three");
    CHECK_EQ_U64(img_export_before(&image, TEXT + 0x20, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "one");
    CHECK_EQ_U64(img_export_before(&image, TEXT + 0xF, &export), IMG_NONE);
    data32(DATA + 0x80, 9); /* no such function */
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_MALFORMED);
    data32(EXPORTS + 24, UINT32_MAX);
    CHECK_EQ_U64(img_export_count(&image), IMG_MAX_NAMES);
    CHECK_EQ_U64(img_export_before(&image, TEXT + 0x20, &export), IMG_MALFORMED);
    data32(EXPORTS + 32, SIZE);
    CHECK_EQ_U64(img_export_count(&image), 0);
}

static void test_codeview(void)
{
    struct img_codeview codeview;

    start();
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_OK);
    CHECK_EQ_MEM(codeview.guid, "abcdefghijklmnop", 16);
    CHECK_EQ_U64(codeview.age, 7);
    CHECK_EQ_STR(codeview.path, "x.pdb");
    file[DEBUG + 0x40 - DATA + 0x400 + 24] = 7;
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_OK);
    CHECK_EQ_STR(codeview.path, "?.pdb");
    file[DEBUG + 0x40 - DATA + 0x400] = 'N'; /* another kind */
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_NONE);
    put32(DIRECTORIES + 6 * 8 + 4, SIZE); /* the directory leaves the image: as if absent */
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_NONE);
}

/* Of a path that is longer than the room its end counts; zeros may follow in the record. */
static void test_long_paths(void)
{
    enum { PATH = 0x180 }; /* in .data */
    static const unsigned lengths[] = {0,   1, IMG_MAX_PATH - 1, IMG_MAX_PATH, IMG_MAX_PATH + 1,
                                       1000};
    struct img_codeview codeview;
    uint8_t *memory = calloc(1, SIZE);
    struct img_source source = img_memory_source(memory, SIZE, IMG_MAPPED);
    char *path = (char *)memory + DATA + PATH + 24;

    if (!CHECK(memory))
        return;
    start();
    data32(DEBUG + 28 + 20, DATA + PATH);
    memcpy(memory, file, 0x200);
    memcpy(memory + DATA, file + 0x400, 0x200);
    memcpy(memory + DATA + PATH, "RSDS", 4);
    for (unsigned i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        unsigned length = lengths[i], kept = length < IMG_MAX_PATH ? length : IMG_MAX_PATH - 2;

        memset(path, 0, 1024);
        for (unsigned k = 0; k < length; k++)
            path[k] = (char)('a' + k % 26);
        memory[DEBUG + 28 + 16] = (uint8_t)(24 + length + 1);
        memory[DEBUG + 28 + 17] = (uint8_t)((24 + length + 1) >> 8);
        CHECK_EQ_U64(img_open(&image, &source, 0), IMG_OK);
        CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_OK);
        CHECK_EQ_STR(codeview.path, path + length - kept);
    }
    strcpy(path, "short.pdb"); /* and more in the record than is taken */
    memset(path + 10, 0, 1014);
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_OK);
    CHECK_EQ_STR(codeview.path, "short.pdb");
    memory[DEBUG + 28 + 18] = 1; /* a record that leaves the image */
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_NONE);
    free(memory);
}

/* A 32-bit image has its directories 16 bytes earlier, and its base in 4 bytes at 28. */
static void narrow(void)
{
    start();
    memmove(file + DIRECTORIES - 16, file + DIRECTORIES, 128);
    put16(PE + 4, 0x14C);
    put16(PE + 20, 240);
    put16(OPTIONAL, 0x10B);
    put32(OPTIONAL + 28, 0x400000);
    put32(OPTIONAL + 92, 16);
}

static void test_other_processors(void)
{
    struct img_export export;
    struct img_codeview codeview;

    narrow();
    CHECK_EQ_U64(open_file(sizeof file), IMG_MACHINE);
    CHECK(!image.wide && image.machine == 0x14C && image.base == 0x400000 && image.size == SIZE);
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "one");
    CHECK_EQ_U64(img_codeview(&image, &codeview), IMG_OK);
    CHECK_EQ_STR(codeview.path, "x.pdb");
    put16(PE + 20, 95);
    CHECK_EQ_U64(open_file(sizeof file), IMG_MALFORMED);
    start();
    put16(PE + 4, 0xAA64);
    CHECK_EQ_U64(open_file(sizeof file), IMG_MACHINE);
    CHECK(image.wide && image.machine == 0xAA64 && image.section_count == 2);
    CHECK_EQ_U64(img_export(&image, 0, &export), IMG_OK);
    put16(OPTIONAL, 0x107); /* a ROM image */
    CHECK_EQ_U64(open_file(sizeof file), IMG_MALFORMED);
}

/* Without an exception directory an export goes on to the next; nothing leaves its section. */
static void test_places(void)
{
    struct img_export export;

    start();
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0xF, &export), IMG_NONE);
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x1F, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "three");
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x2FF, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "one");
    CHECK_EQ_U64(img_export_of(&image, DATA, &export), IMG_NONE);
    put32(DIRECTORIES + 3 * 8, DATA + 0x180 - 12); /* one row: 20h to 30h behind TEXT */
    put32(DIRECTORIES + 3 * 8 + 4, 12);
    data32(DATA + 0x180 - 12, TEXT + 0x20);
    data32(DATA + 0x180 - 8, TEXT + 0x30);
    data32(DATA + 0x180 - 4, DATA + 0x140);
    data32(DATA + 0x140, 1);
    CHECK_EQ_U64(open_file(sizeof file), IMG_OK);
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x2F, &export), IMG_OK);
    CHECK_EQ_STR(export.name, "one");
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x30, &export), IMG_NONE);
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x10, &export), IMG_OK); /* a leaf's first byte */
    CHECK_EQ_U64(img_export_of(&image, TEXT + 0x11, &export), IMG_NONE);
}

static void test_damaged(void)
{
    static const struct {
        unsigned at;
        uint32_t value;
        enum img_result result;
    } changes[] = {
        {0, 0x5A4E, IMG_NOT_PE},
        {60, 0x48, IMG_NOT_PE},
        {60, FILE_SIZE - 8, IMG_UNREADABLE},
        {60, UINT32_MAX, IMG_UNREADABLE},
        {PE + 4, 0x8664 | 97u << 16, IMG_MALFORMED},
        {PE + 4, 0x8664 | 96u << 16, IMG_MALFORMED},
        {PE + 20, 111, IMG_MALFORMED},
        {OPTIONAL, 0x20C, IMG_MALFORMED},
        {OPTIONAL + 56, 0, IMG_MALFORMED},
        {OPTIONAL + 60, SIZE + 1, IMG_MALFORMED},
        {OPTIONAL + 28, UINT32_MAX, IMG_OK},
        {SECTIONS + 12, SIZE, IMG_MALFORMED},
        {SECTIONS + 8, UINT32_MAX, IMG_MALFORMED},
        {OPTIONAL + 108, UINT32_MAX, IMG_OK},
    };

    for (unsigned i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        start();
        put32(changes[i].at, changes[i].value);
        if (!CHECK_EQ_U64(open_file(sizeof file), changes[i].result))
            fprintf(stderr, "  change %u\n", i);
    }
    for (size_t size = 0; size < SECTIONS + 80; size++) {
        start();
        if (!CHECK_EQ_U64(open_file(size), IMG_UNREADABLE))
            fprintf(stderr, "  size %zu\n", size);
    }
}

KD_TEST_MAIN({"headers", test_headers}, {"reads from a file", test_reads},
             {"the image's size", test_size}, {"an image in memory", test_mapped},
             {"exports", test_exports}, {"the PDB's record", test_codeview},
             {"long paths of PDBs", test_long_paths}, {"other processors", test_other_processors},
             {"places of exports", test_places}, {"damaged headers", test_damaged})
