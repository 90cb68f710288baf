/* carve.c - a PE file out of an image in captured memory. See carve.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The layout is the public PE format's, as lib/image reads it.
 */
#include "analysis/carve.h"

#include <stdlib.h>
#include <string.h>

#define STEP 4096u /* bytes taken from memory at a time */

static uint32_t smaller(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static bool read_place(void *context, uint64_t offset, void *buffer, size_t size)
{
    const struct kda_image_place *place = context;

    return kda_memory_read(place->memory, &place->view, place->base + offset, buffer, NULL, size) ==
           size;
}

struct img_source kda_image_port(struct kda_image_place *place)
{
    return (struct img_source){read_place, place, UINT32_MAX, IMG_MAPPED};
}

/* --- the layout */

static void add_part(struct kda_carved *carved, const char *name, uint32_t rva, uint32_t size,
                     uint32_t file_offset, uint32_t file_size)
{
    struct kda_carve_part *part = &carved->parts[carved->part_count++];
    uint32_t room = rva < carved->image.size ? carved->image.size - rva : 0;

    memcpy(part->name, name, strlen(name));
    part->rva = rva;
    part->file_offset = file_offset;
    part->file_size = file_size;
    part->mapped = smaller(smaller(size, file_size), room);
}

/* False when the file would be too large. Parts of a hostile image may overlap, so the sum is
 * bounded, too. */
static bool lay_out(struct kda_carved *carved)
{
    const struct img_image *image = &carved->image;
    uint64_t end = 0, sum = 0;

    add_part(carved, "", 0, image->header_size, 0, image->header_size);
    for (unsigned i = 0; i < image->section_count; i++) {
        const struct img_section *section = &image->sections[i];

        add_part(carved, section->name, section->rva, section->size, section->file_offset,
                 section->file_size);
    }
    for (unsigned i = 0; i < carved->part_count; i++) {
        const struct kda_carve_part *part = &carved->parts[i];
        uint64_t part_end = (uint64_t)part->file_offset + part->file_size;

        sum += part->file_size;
        carved->mapped += part->mapped;
        if (part->file_size && part_end > end)
            end = part_end;
    }
    carved->size = (size_t)end;
    return end <= KDA_CARVE_MAX && sum <= KDA_CARVE_MAX;
}

/* --- the bytes */

static void set_known(uint8_t *bits, size_t i)
{
    bits[i / 8] |= (uint8_t)(1u << i % 8);
}

static bool is_known(const uint8_t *bits, size_t i)
{
    return bits[i / 8] >> i % 8 & 1;
}

static void take_frames(struct kda_carved *carved, struct kda_carve_part *part, size_t at,
                        const uint32_t *frames, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (!frames[i])
            continue;
        set_known(carved->known, at + i);
        part->known++;
        if (!part->first || frames[i] < part->first)
            part->first = frames[i];
        if (frames[i] > part->last)
            part->last = frames[i];
    }
}

static void take_part(struct kda_carved *carved, const struct kda_image_place *source,
                      struct kda_carve_part *part)
{
    uint32_t frames[STEP];

    for (uint32_t done = 0; done < part->mapped;) {
        uint32_t size = smaller(part->mapped - done, STEP);
        size_t at = (size_t)part->file_offset + done;

        kda_memory_read(source->memory, &source->view, source->base + part->rva + done,
                        carved->bytes + at, frames, size);
        take_frames(carved, part, at, frames, size);
        done += size;
    }
}

/* Puts a former value, the first of its bytes, into each part that shows them. */
static bool restore(struct kda_carved *carved, const struct kda_image_place *source,
                    const struct kda_change *change, uint8_t *restored)
{
    uint8_t former[STEP]; /* a piece never crosses a page */
    uint64_t rva = change->address - source->base;

    if (change->size > sizeof former ||
        !kda_store_read(kda_memory_store(source->memory), change->data, former, change->size))
        return false;
    for (unsigned p = 0; p < carved->part_count; p++) {
        const struct kda_carve_part *part = &carved->parts[p];

        for (uint32_t i = 0; i < change->size; i++) {
            size_t at = part->file_offset + (size_t)(rva + i - part->rva);

            if (rva + i < part->rva || rva + i - part->rva >= part->mapped ||
                is_known(restored, at))
                continue;
            carved->bytes[at] = former[i];
            set_known(carved->known, at);
            set_known(restored, at);
        }
    }
    return true;
}

/* Former values come ordered by address, then by frame: the first that fits is the first value. */
static const char *restore_first(struct kda_carved *carved, const struct kda_image_place *source,
                                 const struct kda_carve_choice *choice)
{
    uint8_t *restored = calloc(carved->size / 8 + 1, 1);
    struct kda_change change;
    uint64_t cursor = 0;
    bool fine = true;

    if (!restored)
        return "out of memory";
    while (fine && kda_memory_next_change(source->memory, &cursor, &change)) {
        if (change.address < source->base || change.address - source->base >= carved->image.size)
            continue;
        if ((KDA_DEBUGGERS >> change.origin & 1) || change.frame > choice->at ||
            change.frame < choice->loaded)
            continue;
        fine = restore(carved, source, &change, restored);
    }
    free(restored);
    return fine ? NULL : "kept bytes cannot be read again";
}

static void count(struct kda_carved *carved)
{
    for (unsigned i = 0; i < carved->part_count; i++)
        carved->captured += carved->parts[i].known;
}

/* --- the interface */

/* ImageBase: behind signature and COFF header, 24 bytes in PE32+, 28 in PE32. The headers were read
 * before, so it is there. */
static uint64_t preferred_base(struct kda_image_place *source, const struct img_image *image)
{
    uint8_t lfanew[4] = {0}, base[8] = {0};
    uint64_t at = 0, value = 0;

    read_place(source, 0x3C, lfanew, sizeof lfanew);
    for (unsigned i = 0; i < sizeof lfanew; i++)
        at |= (uint64_t)lfanew[i] << 8 * i;
    read_place(source, at + 24 + (image->wide ? 24 : 28), base, image->wide ? 8 : 4);
    for (unsigned i = 0; i < sizeof base; i++)
        value |= (uint64_t)base[i] << 8 * i;
    return value;
}

const char *kda_carve(const struct kda_memory *memory, uint64_t base,
                      const struct kda_carve_choice *choice, struct kda_carved *carved)
{
    struct kda_image_place source = {
        .memory = memory,
        .view = {.at = choice->at,
                 .without = choice->values == KDA_CARVE_LATEST ? 0 : KDA_DEBUGGERS},
        .base = base,
    };
    const struct img_source port = kda_image_port(&source);
    const char *why = NULL;
    enum img_result result;

    memset(carved, 0, sizeof *carved);
    result = img_open(&carved->image, &port, base);
    if (result == IMG_UNREADABLE)
        return "its headers were not captured";
    if (result != IMG_OK && result != IMG_MACHINE)
        return img_result_text(result);
    carved->preferred = preferred_base(&source, &carved->image);
    carved->image.source = (struct img_source){0};
    if (!lay_out(carved))
        return "its file would be larger than 128 MiB";
    carved->bytes = calloc(carved->size + 1, 1);
    carved->known = calloc(carved->size / 8 + 1, 1);
    if (!carved->bytes || !carved->known)
        return "out of memory";
    for (unsigned i = 0; i < carved->part_count; i++)
        take_part(carved, &source, &carved->parts[i]);
    if (choice->values == KDA_CARVE_LOADED)
        why = restore_first(carved, &source, choice);
    count(carved);
    return why;
}

void kda_carved_free(struct kda_carved *carved)
{
    free(carved->bytes);
    free(carved->known);
    carved->bytes = carved->known = NULL;
}

bool kda_carved_next_hole(const struct kda_carved *carved, struct kda_carve_hole *hole)
{
    for (unsigned p = hole->part; p < carved->part_count; p++) {
        const struct kda_carve_part *part = &carved->parts[p];
        uint32_t from = p == hole->part ? hole->rva + hole->size : 0, to;

        from = from > part->rva ? from - part->rva : 0;
        while (from < part->mapped && is_known(carved->known, (size_t)part->file_offset + from))
            from++;
        if (from >= part->mapped)
            continue;
        for (to = from; to < part->mapped; to++)
            if (is_known(carved->known, (size_t)part->file_offset + to))
                break;
        *hole = (struct kda_carve_hole){p, part->rva + from, part->file_offset + from, to - from};
        return true;
    }
    return false;
}
