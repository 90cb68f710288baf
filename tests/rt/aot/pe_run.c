/* pe_run.c - starts an EFI application that needs nothing of firmware, in a process of this system.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   pe_run IMAGE.efi
 *
 * For tests: the same image runs in QEMU, but here a million calls take milliseconds, and a
 * processor's own times can be measured. The image's sections are read with lib/image and base
 * relocations are applied; the entry gets a table with nothing but functions that print and stop.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "console.h"
#include "image/image.h"

#define RELOCATION_64   10
#define FILE_MAX        (64u << 20)
#define RELOCATIONS_MAX (1u << 20)

typedef uint64_t __attribute__((ms_abi)) (*entry_function)(void *image, const void *table);

static void __attribute__((ms_abi)) put(char character)
{
    putchar(character);
}

static void __attribute__((ms_abi)) stop(void)
{
    exit(0);
}

static uint8_t *read_file(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes = file ? malloc(FILE_MAX) : NULL;

    if (bytes)
        *size = fread(bytes, 1, FILE_MAX, file);
    if (file)
        fclose(file);
    return bytes;
}

static uint64_t get64(const uint8_t *at)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 8; i++)
        value |= (uint64_t)at[i] << 8 * i;
    return value;
}

static void put64(uint8_t *at, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> 8 * i);
}

/* One page's relocations: u32 page, u32 size, then u16 kind << 12 | offset each. */
static bool relocate_block(const struct img_image *image, uint8_t *memory, uint32_t at,
                           uint32_t page, uint32_t size)
{
    uint64_t difference = (uint64_t)(uintptr_t)memory - image->base;
    uint16_t entry;

    for (uint32_t i = 8; i + 2 <= size; i += 2) {
        uint64_t place;

        if (!img_read16(image, at + i, &entry))
            return false;
        place = (uint64_t)page + (entry & 0xfff);
        if (entry >> 12 == 0)
            continue;
        if (entry >> 12 != RELOCATION_64 || place + 8 > image->size)
            return false;
        put64(memory + place, get64(memory + place) + difference);
    }
    return true;
}

static bool relocate(const struct img_image *image, uint8_t *memory)
{
    struct img_directory table = image->directories[IMG_DIRECTORY_RELOCATION];
    uint32_t page, size;

    for (uint32_t done = 0, count = 0; done + 8 <= table.size; done += size, count++) {
        if (count == RELOCATIONS_MAX || !img_read32(image, table.rva + done, &page) ||
            !img_read32(image, table.rva + done + 4, &size) || size < 8 ||
            size > table.size - done ||
            !relocate_block(image, memory, table.rva + done, page, size))
            return false;
    }
    return true;
}

static bool load(const struct img_image *image, uint8_t *memory)
{
    if (!img_read(image, 0, memory, image->header_size))
        return false;
    for (unsigned i = 0; i < image->section_count; i++) {
        const struct img_section *section = &image->sections[i];

        if (!img_read(image, section->rva, memory + section->rva, section->size))
            return false;
    }
    return relocate(image, memory);
}

int main(int argc, char **argv)
{
    static struct img_image image;
    static const struct host_table table = {HOST_SIGNATURE, put, stop};
    struct img_source source;
    size_t size = 0;
    uint8_t *file = argc == 2 ? read_file(argv[1], &size) : NULL, *memory;
    entry_function entry;

    if (!file) {
        fprintf(stderr, "usage: pe_run IMAGE.efi (which can be read)\n");
        return 2;
    }
    source = img_memory_source(file, size, IMG_FILE);
    if (img_open(&image, &source, 0) != IMG_OK) {
        fprintf(stderr, "pe_run: %s is no image for x86-64\n", argv[1]);
        return 2;
    }
    memory = mmap(NULL, image.size, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                  -1, 0);
    if (memory == MAP_FAILED || !load(&image, memory)) {
        fprintf(stderr, "pe_run: %s cannot be loaded\n", argv[1]);
        return 2;
    }
    entry = (entry_function)(uintptr_t)(memory + image.entry);
    return entry(NULL, &table) == 0 ? 0 : 1;
}
