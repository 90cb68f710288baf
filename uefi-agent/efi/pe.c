/* pe.c - the headers of an image in memory, and the name in its debug directory. See pe.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "pe.h"

#include "image/image.h"

#define HEADERS_LIMIT \
    0x10000u /* headers that lie further from the image's base are those of none */

struct place {
    const struct kda_target *target;
    uint64_t base;
};

static bool read_place(void *context, uint64_t offset, void *out, size_t size)
{
    const struct place *place = context;

    return place->target->ops->read_virtual(place->target->self, place->base + offset, out, size) ==
           size;
}

/* What follows the last separator, up to the last dot; of one that is too long, its end. */
static void take_name(struct kda_pe *out, const char *path)
{
    size_t start = 0, end = 0, size = 0;

    for (; path[size]; size++) {
        if (path[size] == '\\' || path[size] == '/') {
            start = size + 1;
            end = 0;
        } else if (path[size] == '.') {
            end = size;
        }
    }
    if (end <= start)
        end = size;
    if (end - start >= sizeof out->pdb)
        start = end - (sizeof out->pdb - 1);
    for (size_t i = start; i < end; i++)
        out->pdb[i - start] = path[i];
    out->pdb[end - start] = '\0';
}

/* How much of the address space there is at base, at the most size. */
static uint64_t room(uint64_t base, uint64_t size)
{
    return base == 0 || size <= UINT64_MAX - base + 1 ? size : UINT64_MAX - base + 1;
}

bool kda_pe_read(const struct kda_target *target, uint64_t base, struct kda_pe *out)
{
    struct place place = {target, base};
    struct img_source source = {read_place, &place, room(base, HEADERS_LIMIT), IMG_MAPPED};
    struct img_image image;
    struct img_codeview codeview;
    enum img_result result = img_open(&image, &source, base);

    *out = (struct kda_pe){.size = 0};
    if (result != IMG_OK && result != IMG_MACHINE)
        return false;
    image.source.size = room(base, image.size);
    out->timestamp = image.timestamp;
    out->entry = base + image.entry;
    out->size = image.size;
    out->checksum = image.checksum;
    if (img_codeview(&image, &codeview) == IMG_OK)
        take_name(out, codeview.path);
    return true;
}
