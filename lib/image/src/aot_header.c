/* aot_header.c - the ReadyToRun header of a NativeAOT image: found, validated, its sections.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * u32 "RTR\0", u16 major, u16 minor, u32 flags, u16 count, u8 size of a row (24), u8 kind of row
 * (1), then rows {i32 id, i32 flags, u64 start, u64 end}, sorted by id. The four letters also occur
 * in code that compares with them, so a place counts only when all the rest fits.
 */
#include "aot_read.h"

#define SIGNATURE   UINT32_C(0x00525452)
#define ROW_SIZE    24u
#define ROW_KIND    1u
#define ROWS_AT     16u
#define ROWS_MAX    512u /* real images have some 40 */
#define ROW_HAS_END 1u
#define HITS_MAX    256u /* places with the four letters that are looked at */

static const char *const texts[] = {
    [IMG_AOT_OK] = "fine",
    [IMG_AOT_END] = "end of the list",
    [IMG_AOT_NO_HEADER] = "not made by NativeAOT: no ReadyToRun header of that kind",
    [IMG_AOT_VERSION] = "a NativeAOT header of a version that is not known",
    [IMG_AOT_NO_SECTION] = "the NativeAOT header has no such section",
    [IMG_AOT_DAMAGED] = "the NativeAOT data leads out of the image or contradicts itself",
    [IMG_AOT_LIMIT] = "the NativeAOT data needs more steps than any real image",
    [IMG_AOT_ROOM] = "the buffer is too small",
    [IMG_AOT_NOT_FOUND] = "not found",
    [IMG_AOT_AMBIGUOUS] = "two default implementations, neither more special",
    [IMG_AOT_ABSTRACT] = "the default implementation was made abstract again",
};

static const uint16_t versions[][2] = {{8, 0}, {9, 1}, {10, 1}, {16, 0}};

const char *img_aot_text(enum img_aot_status status)
{
    unsigned index = (unsigned)status;

    return index < sizeof texts / sizeof *texts ? texts[index] : "unknown";
}

static bool is_known(uint16_t major, uint16_t minor)
{
    for (unsigned i = 0; i < sizeof versions / sizeof *versions; i++)
        if (versions[i][0] == major && versions[i][1] == minor)
            return true;
    return false;
}

enum img_aot_status img_aot_section(const struct img_aot *aot, unsigned index,
                                    struct img_aot_section *section)
{
    uint32_t row = aot->header + ROWS_AT + index * ROW_SIZE, id, flags, end;

    if (index >= aot->count)
        return IMG_AOT_END;
    if (!aot_get32(aot, row, &id) || !aot_get32(aot, row + 4, &flags) ||
        !aot_pointer(aot, row + 8, &section->start))
        return IMG_AOT_DAMAGED;
    section->id = (int32_t)id;
    section->has_end = (flags & ROW_HAS_END) != 0;
    section->size = 0;
    if (!section->has_end)
        return IMG_AOT_OK;
    if (!aot_pointer(aot, row + 16, &end) || end < section->start)
        return IMG_AOT_DAMAGED;
    section->size = end - section->start;
    return IMG_AOT_OK;
}

enum img_aot_status img_aot_find_section(const struct img_aot *aot, int32_t id,
                                         struct img_aot_section *section)
{
    enum img_aot_status status;

    for (unsigned i = 0; (status = img_aot_section(aot, i, section)) == IMG_AOT_OK; i++)
        if (section->id == id && section->start != 0)
            return IMG_AOT_OK;
    return status == IMG_AOT_END ? IMG_AOT_NO_SECTION : status;
}

static bool rows_fit(const struct img_aot *aot)
{
    struct img_aot_section section;
    int32_t last = 0;

    for (unsigned i = 0; i < aot->count; i++) {
        if (img_aot_section(aot, i, &section) != IMG_AOT_OK || section.id <= last)
            return false;
        last = section.id;
    }
    return true;
}

/* A section that may be missing: then it is empty. */
static void note(const struct img_aot *aot, int32_t id, struct img_aot_section *section)
{
    if (img_aot_find_section(aot, id, section) != IMG_AOT_OK || !section->has_end)
        *section = (struct img_aot_section){.id = id};
}

enum img_aot_status img_aot_open_at(struct img_aot *aot, const struct img_image *image,
                                    uint32_t header)
{
    uint32_t signature, tail;

    *aot = (struct img_aot){.image = image, .header = header};
    if (!aot_get32(aot, header, &signature) || signature != SIGNATURE ||
        header > UINT32_MAX - ROWS_AT - ROWS_MAX * ROW_SIZE ||
        !aot_get16(aot, header + 4, &aot->major) || !aot_get16(aot, header + 6, &aot->minor) ||
        !aot_get32(aot, header + 12, &tail))
        return IMG_AOT_NO_HEADER;
    aot->count = (uint16_t)tail;
    if (tail >> 16 != (ROW_SIZE | ROW_KIND << 8) || aot->count == 0 || aot->count > ROWS_MAX ||
        !rows_fit(aot))
        return IMG_AOT_NO_HEADER;
    if (!is_known(aot->major, aot->minor))
        return IMG_AOT_VERSION;
    note(aot, IMG_AOT_METADATA, &aot->metadata);
    note(aot, IMG_AOT_METHODS, &aot->methods);
    return IMG_AOT_OK;
}

/* A search goes on after a header of an unknown version: the letters may stand there by chance. */
struct search {
    const struct img_image *image;
    struct img_aot best;
    enum img_aot_status status; /* of best */
    unsigned hits;
};

static void try_place(struct search *search, uint32_t rva)
{
    struct img_aot found;
    enum img_aot_status status = img_aot_open_at(&found, search->image, rva);

    search->hits++;
    if (status == IMG_AOT_OK || status == IMG_AOT_VERSION) {
        search->best = found;
        search->status = status;
    }
}

static void search_range(struct search *search, uint32_t at, uint32_t size)
{
    uint8_t bytes[256];

    for (uint32_t done = 0; done < size; done += (uint32_t)sizeof bytes) {
        uint32_t left = size - done;
        uint32_t count = left < sizeof bytes ? left : (uint32_t)sizeof bytes;

        if (!img_read(search->image, at + done, bytes, count))
            return;
        for (uint32_t i = 0; i + 4 <= count; i += 4) {
            if (bytes[i] == 'R' && bytes[i + 1] == 'T' && bytes[i + 2] == 'R' && !bytes[i + 3])
                try_place(search, at + done + i);
            if (search->status == IMG_AOT_OK || search->hits == HITS_MAX)
                return;
        }
    }
}

enum img_aot_status img_aot_open(struct img_aot *aot, const struct img_image *image)
{
    struct search search = {.image = image, .status = IMG_AOT_NO_HEADER};

    search.best.image = image;
    for (unsigned i = 0; i < image->section_count && search.status != IMG_AOT_OK; i++) {
        const struct img_section *section = &image->sections[i];

        search_range(&search, section->rva,
                     section->size < section->file_size ? section->size : section->file_size);
    }
    *aot = search.best;
    return search.status;
}

bool img_aot_cell_in_r11(const struct img_aot *aot)
{
    return aot->major >= 16;
}

void img_aot_overlay(struct img_aot *aot, const uint8_t *bytes, uint32_t at, uint32_t size)
{
    aot->hydrated = bytes;
    aot->hydrated_at = at;
    aot->hydrated_size = size;
}
