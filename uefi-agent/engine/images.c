/* images.c - adding to and taking from the loader list. See images.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "images.h"

#include "bytes.h"

#define REPLACEMENT 0xFFFDu

static uint64_t address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

void kda_images_init(struct kda_images *images)
{
    memset(images, 0, sizeof *images);
    images->head.flink = kd_put64(address_of(&images->head));
    images->head.blink = images->head.flink;
}

const char *kda_images_path(const char *path, size_t *size)
{
    size_t length = 0;

    if (!path)
        path = "";
    while (path[length])
        length++;
    *size = kda_min(length, KDA_MAX_PATH);
    path += length - *size;
    /* Not in the middle of a character. */
    while (*size && ((unsigned char)*path & 0xC0) == 0x80 && length > KDA_MAX_PATH) {
        path++;
        --*size;
    }
    return path;
}

/* One character of UTF-8; what is none becomes U+FFFD, byte by byte. */
static uint32_t decode(const char **text, const char *end)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t value = (unsigned char)*(*text)++;
    unsigned more;

    if (value < 0x80)
        return value;
    more = value >= 0xF0 && value < 0xF8 ? 3 : value >= 0xE0 ? 2 : value >= 0xC0 ? 1 : 0;
    if (more == 0 || value >= 0xF8 || (size_t)(end - *text) < more)
        return REPLACEMENT;
    value &= 0x3Fu >> more;
    for (unsigned i = 0; i < more; i++) {
        if (((unsigned char)(*text)[i] & 0xC0) != 0x80)
            return REPLACEMENT;
        value = value << 6 | ((unsigned char)(*text)[i] & 0x3Fu);
    }
    if (value < least[more] || value > 0x10FFFF || (value >= 0xD800 && value < 0xE000))
        return REPLACEMENT;
    *text += more;
    return value;
}

/* UTF-16 never has more units than UTF-8 has bytes. */
static size_t convert(kd_u16 *out, const char *text, size_t size)
{
    const char *end = text + size;
    size_t units = 0;

    while (text < end) {
        uint32_t value = decode(&text, end);

        if (value < 0x10000) {
            out[units++] = kd_put16((uint16_t)value);
        } else {
            out[units++] = kd_put16((uint16_t)(0xD7C0 + (value >> 10)));
            out[units++] = kd_put16((uint16_t)(0xDC00 + (value & 0x3FF)));
        }
    }
    out[units] = kd_put16(0);
    return units;
}

static size_t base_name(const kd_u16 *path, size_t units)
{
    size_t start = units;

    while (start > 0 && kd_get16(path[start - 1]) != '\\' && kd_get16(path[start - 1]) != '/')
        start--;
    return start;
}

static void set_names(struct kda_image_slot *slot, const char *path)
{
    struct kd_ldr_data_table_entry64 *entry = &slot->entry;
    size_t size, units, start;

    path = kda_images_path(path, &size);
    units = convert(slot->path, path, size);
    start = base_name(slot->path, units);
    entry->full_name_length = kd_put16((uint16_t)(units * 2));
    entry->full_name_maximum = kd_put16((uint16_t)(units * 2 + 2));
    entry->full_name_buffer = kd_put64(address_of(slot->path));
    entry->base_name_length = kd_put16((uint16_t)((units - start) * 2));
    entry->base_name_maximum = kd_put16((uint16_t)((units - start) * 2 + 2));
    entry->base_name_buffer = kd_put64(address_of(slot->path + start));
}

/* A link read from memory that the debugger can write is not followed: neighbours are found by
 * their addresses among what is ours. */
static struct kd_list_entry64 *links_at(struct kda_images *images, uint64_t address)
{
    if (address == address_of(&images->head))
        return &images->head;
    for (size_t i = 0; i < KDA_MAX_IMAGES; i++)
        if (address == address_of(&images->slot[i].entry))
            return (struct kd_list_entry64 *)&images->slot[i].entry;
    return NULL;
}

bool kda_images_add(struct kda_images *images, const struct kda_image *image)
{
    struct kd_list_entry64 *last = links_at(images, kd_get64(images->head.blink));
    struct kda_image_slot *slot = images->slot;

    for (size_t i = 0; i < KDA_MAX_IMAGES; i++)
        if (images->slot[i].used && kd_get64(images->slot[i].entry.dll_base) == image->base)
            return true;
    while (slot < images->slot + KDA_MAX_IMAGES && slot->used)
        slot++;
    if (slot == images->slot + KDA_MAX_IMAGES || !last)
        return false;
    memset(slot, 0, sizeof *slot);
    slot->used = true;
    slot->entry.dll_base = kd_put64(image->base);
    slot->entry.entry_point = kd_put64(image->entry);
    slot->entry.size_of_image = kd_put32(image->size);
    slot->entry.check_sum = kd_put32(image->checksum);
    slot->entry.time_date_stamp = kd_put32(image->timestamp);
    slot->entry.load_count = kd_put16(1);
    set_names(slot, image->path);
    slot->entry.load_order_flink = kd_put64(address_of(&images->head));
    slot->entry.load_order_blink = images->head.blink;
    /* Complete before it can be reached. */
    last->flink = kd_put64(address_of(&slot->entry));
    images->head.blink = last->flink;
    return true;
}

uint32_t kda_images_remove(struct kda_images *images, uint64_t base)
{
    for (size_t i = 0; i < KDA_MAX_IMAGES; i++) {
        struct kda_image_slot *slot = &images->slot[i];
        struct kd_list_entry64 *next, *previous;

        if (!slot->used || kd_get64(slot->entry.dll_base) != base)
            continue;
        next = links_at(images, kd_get64(slot->entry.load_order_flink));
        previous = links_at(images, kd_get64(slot->entry.load_order_blink));
        if (next)
            next->blink = slot->entry.load_order_blink;
        if (previous)
            previous->flink = slot->entry.load_order_flink;
        slot->used = false;
        return kd_get32(slot->entry.size_of_image);
    }
    return 0;
}
