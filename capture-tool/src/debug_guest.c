/* debug_guest.c - memory and images of a stopped target. See debug_guest.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "debug_guest.h"

#include <stdlib.h>
#include <string.h>

#include "debug_modules.h"
#include "debug_target.h"

/* A block lies in one page, so that all of it can be read or nothing. On a serial line of 115200
 * bit/s it takes 60 ms, a quarter of it for all that is no data. */
#define BLOCK       512u
#define SLOTS       1024u
#define IMAGES      32u
#define AOT_HITS    64u /* places that look like a header of NativeAOT, in one image */
#define DISCARDABLE 0x02000000u

struct slot {
    uint64_t block;
    uint16_t size; /* how much of it there is */
    bool known;
    uint8_t bytes[BLOCK];
};

struct debug_guest {
    struct debug_session *session;
    unsigned requests, allowed;
    bool exhausted;
    bool failed;
    struct problem problem;
    struct guest_image images[IMAGES];
    size_t image_count; /* ever made: the oldest is replaced */
    struct slot slots[SLOTS];
};

struct debug_guest *guest_new(struct debug_session *session, unsigned requests)
{
    struct debug_guest *guest = calloc(1, sizeof *guest);

    if (!guest)
        return NULL;
    guest->session = session;
    guest->allowed = requests;
    return guest;
}

void guest_free(struct debug_guest *guest)
{
    free(guest);
}

unsigned guest_requests(const struct debug_guest *guest)
{
    return guest->requests;
}

bool guest_exhausted(const struct debug_guest *guest)
{
    return guest->exhausted;
}

bool guest_failed(const struct debug_guest *guest, struct problem *problem)
{
    if (guest->failed)
        *problem = guest->problem;
    return guest->failed;
}

/* --- memory */

/* Whether one more request may be made. */
static bool may_ask(struct debug_guest *guest)
{
    if (guest->failed)
        return false;
    guest->exhausted = guest->exhausted || guest->requests == guest->allowed;
    if (guest->exhausted)
        return false;
    guest->requests++;
    return true;
}

/* A refusal is an answer, too. */
static void take_failure(struct debug_guest *guest, const struct problem *problem)
{
    if (guest->session->replied)
        return;
    guest->failed = true;
    guest->problem = *problem;
}

static const struct slot *fetch(struct debug_guest *guest, uint64_t block)
{
    struct slot *slot = &guest->slots[block % SLOTS];
    struct problem problem;
    size_t got = 0;

    if (slot->known && slot->block == block)
        return slot;
    if (!may_ask(guest))
        return NULL;
    if (!target_read(guest->session, SPACE_VIRTUAL, block * BLOCK, slot->bytes, BLOCK, &got,
                     &problem))
        take_failure(guest, &problem);
    slot->known = true;
    slot->block = block;
    slot->size = (uint16_t)got;
    return slot;
}

/* A target that is replayed from a recording has bytes of a block whose beginning it has not. */
static bool read_alone(struct debug_guest *guest, uint64_t address, uint8_t *to, size_t size)
{
    struct problem problem;
    size_t got = 0;

    if (!may_ask(guest))
        return false;
    if (!target_read(guest->session, SPACE_VIRTUAL, address, to, size, &got, &problem))
        take_failure(guest, &problem);
    return got == size;
}

/* Within one block. */
static bool read_piece(struct debug_guest *guest, uint64_t address, uint8_t *to, size_t size)
{
    const struct slot *slot = fetch(guest, address / BLOCK);
    size_t offset = address % BLOCK;

    if (!slot)
        return false;
    if (slot->size < offset + size)
        return offset != 0 && read_alone(guest, address, to, size);
    memcpy(to, slot->bytes + offset, size);
    return true;
}

bool guest_read(void *context, uint64_t address, void *buffer, size_t size)
{
    struct debug_guest *guest = context;
    uint8_t *to = buffer;

    if (size > UINT64_MAX - address)
        return false;
    while (size > 0) {
        size_t offset = address % BLOCK, piece = BLOCK - offset < size ? BLOCK - offset : size;

        if (!read_piece(guest, address, to, piece))
            return false;
        to += piece;
        address += piece;
        size -= piece;
    }
    return true;
}

/* --- images */

static bool read_image(void *context, uint64_t offset, void *buffer, size_t size)
{
    const struct guest_image *image = context;

    return guest_read(image->guest, image->base + offset, buffer, size);
}

struct guest_image *guest_image_at(struct debug_guest *guest, uint64_t address)
{
    const struct debug_module *module = modules_at(guest->session, address);
    struct guest_image *image;
    struct img_source source;

    if (!module)
        return NULL;
    for (size_t i = 0; i < IMAGES && i < guest->image_count; i++)
        if (guest->images[i].base == module->base && guest->images[i].size == module->size)
            return &guest->images[i];
    image = &guest->images[guest->image_count++ % IMAGES];
    *image = (struct guest_image){.guest = guest, .base = module->base, .size = module->size};
    source = (struct img_source){read_image, image, module->size, IMG_MAPPED};
    image->opened = img_open(&image->image, &source, module->base);
    return image;
}

/* --- NativeAOT */

/* False: there are no more of them. */
static bool next_hit(struct guest_image *image, uint32_t from, uint32_t end, uint32_t *rva)
{
    static const uint8_t signature[4] = "RTR";
    struct debug_guest *guest = image->guest;
    struct problem problem;
    bool supported, found;
    uint64_t at;

    if (from >= end || end - from < sizeof signature || !may_ask(guest))
        return false;
    if (!target_search(guest->session, image->base + from, end - from, signature, sizeof signature,
                       &supported, &found, &at, &problem)) {
        take_failure(guest, &problem);
        return false;
    }
    if (!found)
        return false;
    *rva = (uint32_t)(at - image->base);
    return true;
}

static void look_in(struct guest_image *image, const struct img_section *section)
{
    uint32_t size = section->size < section->file_size ? section->size : section->file_size;
    uint32_t end = section->rva + size, rva = section->rva;

    if (section->flags & (IMG_SECTION_CODE | DISCARDABLE) || end > image->image.size)
        return;
    for (unsigned hit = 0; hit < AOT_HITS && next_hit(image, rva, end, &rva); hit++, rva++)
        if (rva % 4 == 0 && img_aot_open_at(&image->aot, &image->image, rva) == IMG_AOT_OK) {
            image->has_aot = true;
            return;
        }
}

const struct img_aot *guest_aot(struct guest_image *image)
{
    if (!image->looked && image->opened == IMG_OK) {
        for (unsigned i = 0; i < image->image.section_count && !image->has_aot; i++)
            look_in(image, &image->image.sections[i]);
    }
    image->looked = true;
    return image->has_aot ? &image->aot : NULL;
}
