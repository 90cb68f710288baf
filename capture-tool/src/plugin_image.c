/* plugin_image.c - the symbols of ELF files and the exports of PE files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Layouts are those of the System V ABI (ELF, 32 and 64 bit, both byte orders); lib/image reads PE.
 * Every number of the file is checked before it is used as an offset.
 */
#include "plugin_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"
#include "image/image.h"

#define ELF_DYNSYM 11u
#define ELF_NOBITS 8u

struct image {
    const uint8_t *bytes;
    size_t size;
    bool big_endian;
    bool is64;
    bool damaged; /* something was asked for that is outside */
};

static uint64_t get(struct image *image, uint64_t offset, unsigned width)
{
    uint64_t value = 0;

    if (offset > image->size || width > image->size - offset) {
        image->damaged = true;
        return 0;
    }
    for (unsigned i = 0; i < width; i++)
        value |= (uint64_t)image->bytes[offset + i] << 8 * (image->big_endian ? width - 1 - i : i);
    return value;
}

/* A number that is as wide as the file's addresses, at a place for each of the two. */
static uint64_t get_wide(struct image *image, uint64_t base, unsigned at32, unsigned at64)
{
    return get(image, base + (image->is64 ? at64 : at32), image->is64 ? 8 : 4);
}

static bool is_name(struct image *image, uint64_t offset, const char *name)
{
    size_t length = strlen(name) + 1;

    return offset <= image->size && length <= image->size - offset &&
           memcmp(image->bytes + offset, name, length) == 0;
}

/* --- ELF */

struct elf_section {
    uint64_t type, address, offset, size, link, entry;
};

static struct elf_section elf_section(struct image *image, uint64_t index)
{
    uint64_t entry = get(image, image->is64 ? 58 : 46, 2);
    uint64_t base = get_wide(image, 0, 32, 40) + index * entry;

    return (struct elf_section){.type = get(image, base + 4, 4),
                                .address = get_wide(image, base, 12, 16),
                                .offset = get_wide(image, base, 16, 24),
                                .size = get_wide(image, base, 20, 32),
                                .link = get(image, base + (image->is64 ? 40 : 24), 4),
                                .entry = get_wide(image, base, 36, 56)};
}

/* Where in the file a symbol's data is. */
static bool elf_data(struct image *image, uint64_t symbol, uint64_t *offset)
{
    uint64_t value = get_wide(image, symbol, 4, 8);
    uint64_t index = get(image, symbol + (image->is64 ? 6 : 14), 2);
    struct elf_section section = elf_section(image, index);

    if (index == 0 || section.type == ELF_NOBITS || value < section.address ||
        value - section.address >= section.size)
        return false;
    *offset = section.offset + (value - section.address);
    return true;
}

static bool elf_find(struct image *image, const char *name, uint64_t *offset)
{
    uint64_t sections = get(image, image->is64 ? 60 : 48, 2);

    for (uint64_t i = 0; i < sections && !image->damaged; i++) {
        struct elf_section table = elf_section(image, i), names;

        if (table.type != ELF_DYNSYM || table.entry == 0 || table.size > image->size)
            continue;
        names = elf_section(image, table.link);
        for (uint64_t at = 0; at < table.size && !image->damaged; at += table.entry) {
            uint64_t symbol = table.offset + at;

            if (is_name(image, names.offset + get(image, symbol, 4), name))
                return elf_data(image, symbol, offset);
        }
    }
    return false;
}

/* --- PE, of whatever processor */

static bool pe_number(const uint8_t *bytes, size_t size, const char *name, uint32_t *number)
{
    struct img_source source = img_memory_source(bytes, size, IMG_FILE);
    struct img_image image;
    struct img_export export;
    enum img_result result = img_open(&image, &source, 0);
    uint32_t count;

    if (result != IMG_OK && result != IMG_MACHINE)
        return false;
    count = img_export_count(&image);
    for (uint32_t i = 0; i < count && img_export(&image, i, &export) == IMG_OK; i++)
        if (!export.forwarder && strcmp(export.name, name) == 0)
            return img_read32(&image, export.rva, number);
    return false;
}

bool plugin_image_number(const uint8_t *bytes, size_t size, const char *symbol, uint32_t *number)
{
    struct image image = {.bytes = bytes, .size = size};
    uint64_t offset = 0;

    if (size <= 64 || memcmp(bytes, "\177ELF", 4) != 0)
        return pe_number(bytes, size, symbol, number);
    image.is64 = bytes[4] == 2;
    image.big_endian = bytes[5] == 2;
    if (!elf_find(&image, symbol, &offset))
        return false;
    *number = (uint32_t)get(&image, offset, 4);
    return !image.damaged;
}

bool plugin_image_wants(const char *path, unsigned *major, unsigned *minor, struct problem *problem)
{
    size_t size;
    uint8_t *bytes = file_load(path, &size, problem);
    uint32_t numbers[2];
    bool found;

    if (!bytes)
        return false;
    found = plugin_image_number(bytes, size, "plugin_want_major", &numbers[0]) &&
            plugin_image_number(bytes, size, "plugin_want_minor", &numbers[1]);
    free(bytes);
    if (!found) {
        problem_set(problem,
                    "%s is no plugin of Wireshark's: it does not say for which version it "
                    "was built (plugin_want_major, plugin_want_minor)",
                    path);
        return false;
    }
    *major = numbers[0];
    *minor = numbers[1];
    return true;
}
