/* names.c - what an image says about its names: exports and the record of its PDB.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "image/image.h"

enum {
    EXPORT_DIRECTORY = 40,
    DEBUG_ROW = 28,
    DEBUG_MAX_ROWS = 64, /* images have one to five */
    DEBUG_CODEVIEW = 2,
    RSDS_FIXED = 24,
};

static const uint32_t rsds = 0x53445352;

/* Names go to terminals and consoles. */
static void make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

/* size bytes of text, which may be longer than the room or have zeros behind it. */
static bool read_path(const struct img_image *image, uint32_t rva, uint32_t size,
                      char path[IMG_MAX_PATH])
{
    uint32_t fits = size < IMG_MAX_PATH ? size : IMG_MAX_PATH, end = IMG_MAX_PATH - 1;

    if (size > image->size || rva > image->size - size || !img_read(image, rva, path, fits))
        return false;
    for (uint32_t i = 0; i < fits; i++)
        if (!path[i])
            return true;
    path[size < end ? size : end] = 0;
    return size <= end || img_read(image, rva + (size - end), path, end);
}

static bool read_codeview(const struct img_image *image, uint32_t rva, uint32_t size,
                          struct img_codeview *codeview)
{
    uint8_t fixed[RSDS_FIXED];

    if (size <= RSDS_FIXED || !img_read(image, rva, fixed, sizeof fixed) ||
        img_get32(fixed) != rsds)
        return false;
    img_copy(codeview->guid, fixed + 4, sizeof codeview->guid);
    codeview->age = img_get32(fixed + 20);
    if (!read_path(image, rva + RSDS_FIXED, size - RSDS_FIXED, codeview->path))
        return false;
    make_plain(codeview->path);
    return true;
}

enum img_result img_codeview(const struct img_image *image, struct img_codeview *codeview)
{
    const struct img_directory *directory = &image->directories[IMG_DIRECTORY_DEBUG];
    uint8_t row[DEBUG_ROW];

    for (uint32_t i = 0; i < directory->size / DEBUG_ROW && i < DEBUG_MAX_ROWS; i++) {
        if (!img_read(image, directory->rva + i * DEBUG_ROW, row, sizeof row))
            return IMG_UNREADABLE;
        if (img_get32(row + 12) == DEBUG_CODEVIEW &&
            read_codeview(image, img_get32(row + 20), img_get32(row + 16), codeview))
            return IMG_OK;
    }
    return IMG_NONE;
}

/* The tables of the export directory. */
struct tables {
    uint32_t base;
    uint32_t function_count;
    uint32_t name_count;
    uint32_t functions;
    uint32_t names;
    uint32_t ordinals;
};

static bool read_tables(const struct img_image *image, struct tables *tables)
{
    uint8_t fixed[EXPORT_DIRECTORY];
    uint32_t rva = image->directories[IMG_DIRECTORY_EXPORT].rva;

    if (image->directories[IMG_DIRECTORY_EXPORT].size < EXPORT_DIRECTORY ||
        !img_read(image, rva, fixed, sizeof fixed))
        return false;
    tables->base = img_get32(fixed + 16);
    tables->function_count = img_get32(fixed + 20);
    tables->name_count = img_get32(fixed + 24);
    tables->functions = img_get32(fixed + 28);
    tables->names = img_get32(fixed + 32);
    tables->ordinals = img_get32(fixed + 36);
    if (tables->name_count > IMG_MAX_NAMES)
        tables->name_count = IMG_MAX_NAMES;
    return tables->functions < image->size && tables->names < image->size &&
           tables->ordinals < image->size;
}

uint32_t img_export_count(const struct img_image *image)
{
    struct tables tables;

    return read_tables(image, &tables) ? tables.name_count : 0;
}

/* All but the name. */
static bool read_export(const struct img_image *image, const struct tables *tables, uint32_t index,
                        struct img_export *export)
{
    const struct img_directory *own = &image->directories[IMG_DIRECTORY_EXPORT];
    uint16_t slot;

    /* name_count is small, and the tables start within the image: no overflow. */
    if (index > (UINT32_MAX - tables->ordinals) / 2 ||
        !img_read16(image, tables->ordinals + index * 2, &slot) || slot >= tables->function_count ||
        slot > (UINT32_MAX - tables->functions) / 4 ||
        !img_read32(image, tables->functions + slot * 4u, &export->rva))
        return false;
    export->ordinal = (uint16_t)(tables->base + slot);
    export->forwarder = export->rva >= own->rva && export->rva - own->rva < own->size;
    return true;
}

static bool read_name(const struct img_image *image, const struct tables *tables, uint32_t index,
                      struct img_export *export)
{
    uint32_t name;

    if (index > (UINT32_MAX - tables->names) / 4 ||
        !img_read32(image, tables->names + index * 4, &name) ||
        !img_read_text(image, name, export->name, sizeof export->name))
        return false;
    make_plain(export->name);
    return true;
}

enum img_result img_export(const struct img_image *image, uint32_t index, struct img_export *export)
{
    struct tables tables;

    if (!read_tables(image, &tables) || index >= tables.name_count)
        return IMG_NONE;
    return read_export(image, &tables, index, export) && read_name(image, &tables, index, export)
               ? IMG_OK
               : IMG_MALFORMED;
}

enum img_result img_export_before(const struct img_image *image, uint32_t rva,
                                  struct img_export *export)
{
    struct tables tables;
    struct img_export one;
    uint32_t best = UINT32_MAX, best_rva = 0;

    if (!read_tables(image, &tables))
        return IMG_NONE;
    for (uint32_t i = 0; i < tables.name_count; i++) {
        if (!read_export(image, &tables, i, &one))
            return IMG_MALFORMED;
        if (!one.forwarder && one.rva <= rva && (best == UINT32_MAX || one.rva > best_rva)) {
            best = i;
            best_rva = one.rva;
        }
    }
    return best == UINT32_MAX ? IMG_NONE : img_export(image, best, export);
}
