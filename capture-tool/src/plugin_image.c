/* plugin_image.c - the symbols of ELF files and the exports of PE files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Layouts are those of the System V ABI (ELF, 32 and 64 bit, both byte orders) and of Microsoft's
 * PE format specification. Every number of the file is checked before it is used as an offset.
 */
#include "plugin_image.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

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

/* --- PE */

/* The place in the file of an address in the loaded image. */
static uint64_t pe_place(struct image *image, uint64_t header, uint64_t address)
{
    uint64_t count = get(image, header + 6, 2);
    uint64_t section = header + 24 + get(image, header + 20, 2);

    for (uint64_t i = 0; i < count && !image->damaged; i++, section += 40) {
        uint64_t start = get(image, section + 12, 4), size = get(image, section + 16, 4);

        if (address >= start && address - start < size)
            return get(image, section + 20, 4) + (address - start);
    }
    image->damaged = true;
    return 0;
}

static bool pe_find(struct image *image, const char *name, uint64_t *offset)
{
    uint64_t header = get(image, 0x3c, 4);
    uint64_t optional = header + 24;
    uint64_t directories = optional + (get(image, optional, 2) == 0x20b ? 112 : 96);
    uint64_t exports, count, names, ordinals, functions;

    if (image->damaged || get(image, header, 4) != 0x4550)
        return false;
    exports = pe_place(image, header, get(image, directories, 4));
    count = get(image, exports + 24, 4);
    functions = pe_place(image, header, get(image, exports + 28, 4));
    names = pe_place(image, header, get(image, exports + 32, 4));
    ordinals = pe_place(image, header, get(image, exports + 36, 4));
    for (uint64_t i = 0; i < count && !image->damaged; i++) {
        uint64_t function;

        if (!is_name(image, pe_place(image, header, get(image, names + 4 * i, 4)), name))
            continue;
        function = functions + 4 * get(image, ordinals + 2 * i, 2);
        *offset = pe_place(image, header, get(image, function, 4));
        return true;
    }
    return false;
}

bool plugin_image_number(const uint8_t *bytes, size_t size, const char *symbol, uint32_t *number)
{
    struct image image = {.bytes = bytes, .size = size};
    uint64_t offset = 0;
    bool found = false;

    if (size > 64 && memcmp(bytes, "\177ELF", 4) == 0) {
        image.is64 = bytes[4] == 2;
        image.big_endian = bytes[5] == 2;
        found = elf_find(&image, symbol, &offset);
    } else if (size > 64 && memcmp(bytes, "MZ", 2) == 0) {
        found = pe_find(&image, symbol, &offset);
    }
    if (!found)
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
