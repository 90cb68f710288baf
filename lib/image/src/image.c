/* image.c - PE headers, sections and checked reads.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "image/image.h"

#include "bytes.h"

enum {
    DOS_HEADER = 64,
    DOS_PE_OFFSET = 60,
    COFF_HEADER = 24,     /* with the signature in front */
    OPTIONAL_FIXED = 112, /* what is in front of the directories */
    OPTIONAL_FIXED32 = 96,
    SECTION_ROW = 40,
    MACHINE_X64 = 0x8664,
    MAGIC_PE32 = 0x10B,
    MAGIC_PE32_PLUS = 0x20B,
};

static bool memory_read(void *context, uint64_t offset, void *buffer, size_t size)
{
    img_copy(buffer, (const uint8_t *)context + offset, size);
    return true;
}

struct img_source img_memory_source(const void *data, uint64_t size, enum img_layout layout)
{
    /* The port's context is not const because a reader over a link has a state. */
    union {
        const void *in;
        void *out;
    } context = {data};
    struct img_source source = {memory_read, context.out, size, layout};

    return source;
}

const char *img_result_text(enum img_result result)
{
    switch (result) {
    case IMG_OK:
        return "ok";
    case IMG_UNREADABLE:
        return "bytes of the image cannot be read";
    case IMG_NOT_PE:
        return "not a PE image";
    case IMG_MACHINE:
        return "an image for another processor than x86-64";
    case IMG_MALFORMED:
        return "malformed image";
    case IMG_NONE:
        return "the image has no such record";
    }
    return "unknown result";
}

static bool source_read(const struct img_image *image, uint64_t offset, void *buffer, size_t size)
{
    const struct img_source *source = &image->source;

    if (size > source->size || offset > source->size - size)
        return false;
    return size == 0 || source->read(source->context, offset, buffer, size);
}

static bool parse_section(struct img_section *section, const uint8_t *row)
{
    img_copy(section->name, row, 8);
    section->name[8] = 0;
    section->size = img_get32(row + 8);
    section->rva = img_get32(row + 12);
    section->file_size = img_get32(row + 16);
    section->file_offset = img_get32(row + 20);
    section->flags = img_get32(row + 36);
    if (section->size == 0)
        section->size = section->file_size;
    return section->size <= UINT32_MAX - section->rva;
}

static enum img_result parse_sections(struct img_image *image, uint64_t table)
{
    uint8_t row[SECTION_ROW];

    for (unsigned i = 0; i < image->section_count; i++) {
        struct img_section *section = &image->sections[i];

        if (!source_read(image, table + (uint64_t)i * SECTION_ROW, row, sizeof row))
            return IMG_UNREADABLE;
        if (!parse_section(section, row) || section->rva + section->size < section->rva ||
            section->rva >= image->size)
            return IMG_MALFORMED;
    }
    return IMG_OK;
}

/* Directories beyond the optional header's end are absent. */
static enum img_result parse_directories(struct img_image *image, uint64_t table, uint32_t count,
                                         uint32_t room)
{
    uint8_t rows[IMG_DIRECTORIES * 8];

    if (count > IMG_DIRECTORIES)
        count = IMG_DIRECTORIES;
    if (count > room / 8)
        count = room / 8;
    if (!source_read(image, table, rows, count * 8))
        return IMG_UNREADABLE;
    for (uint32_t i = 0; i < IMG_DIRECTORIES; i++) {
        struct img_directory *directory = &image->directories[i];
        const uint8_t *row = rows + i * 8;

        *directory = (struct img_directory){0};
        if (i < count && img_get32(row) < image->size &&
            img_get32(row + 4) <= image->size - img_get32(row)) {
            directory->rva = img_get32(row);
            directory->size = img_get32(row + 4);
        }
    }
    return IMG_OK;
}

static enum img_result parse_optional(struct img_image *image, const uint8_t *optional,
                                      uint64_t base)
{
    image->wide = img_get16(optional) == MAGIC_PE32_PLUS;
    if (!image->wide && img_get16(optional) != MAGIC_PE32)
        return IMG_MALFORMED;
    image->entry = img_get32(optional + 16);
    image->base = image->wide ? img_get64(optional + 24) : img_get32(optional + 28);
    if (base)
        image->base = base;
    image->size = img_get32(optional + 56);
    image->header_size = img_get32(optional + 60);
    image->checksum = img_get32(optional + 64);
    image->subsystem = img_get16(optional + 68);
    if (image->size == 0 || image->header_size > image->size ||
        image->base > UINT64_MAX - image->size)
        return IMG_MALFORMED;
    return IMG_OK;
}

/* The optional header, which both widths have the same fields in but for the image's base, and the
 * sections behind it. */
static enum img_result parse_rest(struct img_image *image, uint64_t at, uint32_t size,
                                  uint64_t base)
{
    uint8_t optional[OPTIONAL_FIXED];
    uint32_t fixed;
    enum img_result result;

    if (size < OPTIONAL_FIXED32 || image->section_count > IMG_MAX_SECTIONS)
        return IMG_MALFORMED;
    if (!source_read(image, at, optional, size < sizeof optional ? size : sizeof optional))
        return IMG_UNREADABLE;
    result = parse_optional(image, optional, base);
    fixed = image->wide ? OPTIONAL_FIXED : OPTIONAL_FIXED32;
    if (result == IMG_OK && size < fixed)
        result = IMG_MALFORMED;
    if (result == IMG_OK)
        result =
            parse_directories(image, at + fixed, img_get32(optional + fixed - 4), size - fixed);
    return result == IMG_OK ? parse_sections(image, at + size) : result;
}

enum img_result img_open(struct img_image *image, const struct img_source *source, uint64_t base)
{
    uint8_t dos[DOS_HEADER], coff[COFF_HEADER];
    uint64_t at;
    enum img_result result;

    image->source = *source;
    if (!source_read(image, 0, dos, sizeof dos))
        return IMG_UNREADABLE;
    at = img_get32(dos + DOS_PE_OFFSET);
    if (dos[0] != 'M' || dos[1] != 'Z')
        return IMG_NOT_PE;
    if (!source_read(image, at, coff, sizeof coff))
        return IMG_UNREADABLE;
    if (img_get32(coff) != 0x4550)
        return IMG_NOT_PE;
    image->machine = img_get16(coff + 4);
    image->section_count = img_get16(coff + 6);
    image->timestamp = img_get32(coff + 8);
    result = parse_rest(image, at + COFF_HEADER, img_get16(coff + 20), base);
    if (result == IMG_OK && (!image->wide || image->machine != MACHINE_X64))
        result = IMG_MACHINE;
    return result;
}

const struct img_section *img_section_of(const struct img_image *image, uint32_t rva)
{
    for (unsigned i = 0; i < image->section_count; i++) {
        const struct img_section *section = &image->sections[i];

        if (rva >= section->rva && rva - section->rva < section->size)
            return section;
    }
    return NULL;
}

bool img_is_code(const struct img_image *image, uint32_t rva)
{
    const struct img_section *section = img_section_of(image, rva);

    return section && section->flags & IMG_SECTION_CODE;
}

/* The part of a read that lies in one section, or in the headers, of a file. Returns its size, 0
 * when there is nothing at rva. */
static size_t file_part(const struct img_image *image, uint32_t rva, void *buffer, size_t size)
{
    const struct img_section *section = img_section_of(image, rva);
    uint32_t within, in_memory, in_file;

    if (!section) {
        in_memory = rva < image->header_size ? image->header_size - rva : 0;
        size = size < in_memory ? size : in_memory;
        return source_read(image, rva, buffer, size) ? size : 0;
    }
    within = rva - section->rva;
    in_memory = section->size - within;
    in_file = within < section->file_size ? section->file_size - within : 0;
    size = size < in_memory ? size : in_memory;
    if (in_file == 0) {
        img_zero(buffer, size);
        return size;
    }
    size = size < in_file ? size : in_file;
    return source_read(image, (uint64_t)section->file_offset + within, buffer, size) ? size : 0;
}

bool img_read(const struct img_image *image, uint32_t rva, void *buffer, size_t size)
{
    uint8_t *to = buffer;

    if (size > image->size || rva > image->size - size)
        return false;
    if (image->source.layout == IMG_MAPPED)
        return source_read(image, rva, buffer, size);
    while (size > 0) {
        size_t part = file_part(image, rva, to, size);

        if (part == 0)
            return false;
        to += part;
        rva += (uint32_t)part;
        size -= part;
    }
    return true;
}

bool img_read8(const struct img_image *image, uint32_t rva, uint8_t *value)
{
    return img_read(image, rva, value, 1);
}

bool img_read16(const struct img_image *image, uint32_t rva, uint16_t *value)
{
    uint8_t bytes[2];

    if (!img_read(image, rva, bytes, sizeof bytes))
        return false;
    *value = img_get16(bytes);
    return true;
}

bool img_read32(const struct img_image *image, uint32_t rva, uint32_t *value)
{
    uint8_t bytes[4];

    if (!img_read(image, rva, bytes, sizeof bytes))
        return false;
    *value = img_get32(bytes);
    return true;
}

bool img_read64(const struct img_image *image, uint32_t rva, uint64_t *value)
{
    uint8_t bytes[8];

    if (!img_read(image, rva, bytes, sizeof bytes))
        return false;
    *value = img_get64(bytes);
    return true;
}

bool img_read_text(const struct img_image *image, uint32_t rva, char *name, size_t capacity)
{
    size_t length = 0;
    uint8_t byte;

    while (length + 1 < capacity) {
        if (rva > UINT32_MAX - length || !img_read8(image, rva + (uint32_t)length, &byte))
            return false;
        if (byte == 0)
            break;
        name[length++] = (char)byte;
    }
    if (capacity > 0)
        name[length] = 0;
    return true;
}

bool img_relative(const struct img_image *image, uint32_t rva, int32_t displacement,
                  uint32_t *result)
{
    int64_t target = (int64_t)rva + displacement;

    if (target < 0 || target >= (int64_t)image->size)
        return false;
    *result = (uint32_t)target;
    return true;
}

bool img_rva(const struct img_image *image, uint64_t address, uint32_t *rva)
{
    if (address < image->base || address - image->base >= image->size)
        return false;
    *rva = (uint32_t)(address - image->base);
    return true;
}
