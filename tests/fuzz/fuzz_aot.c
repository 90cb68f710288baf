/* fuzz_aot.c - libFuzzer target: any bytes as the memory of an image that NativeAOT made.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The bytes are the image as it lies in memory, from RVA 0 on at BASE; the stored inputs are small
 * linked images (tests/rt/aot/tables.S). What is not read is the PE header: fuzz_unwind does that.
 */
#include <stdlib.h>
#include <string.h>

#include "image/aot.h"

#define BASE         UINT64_C(0x140000000)
#define METHODS_MAX  256
#define TYPES_MAX    48
#define HYDRATED_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* One that may be read, written and executed everywhere; the input's end is the exception table. */
static void make_image(struct img_image *image, const uint8_t *data, uint32_t size)
{
    uint32_t table = size > 64 ? size - 48 : 0;

    *image = (struct img_image){
        .source = img_memory_source(data, size, IMG_MAPPED),
        .base = BASE,
        .size = size,
        .section_count = 1,
    };
    image->sections[0] = (struct img_section){
        .size = size, .file_size = size, .flags = IMG_SECTION_CODE | IMG_SECTION_WRITE};
    if (table)
        image->directories[IMG_DIRECTORY_EXCEPTION] = (struct img_directory){table, 48};
}

static void hydrate(struct img_aot *aot, uint8_t *out)
{
    uint32_t at, measured, written, again;
    enum img_aot_status status = img_aot_hydrate(aot, NULL, 0, &at, &measured);

    if (status != IMG_AOT_OK || measured > HYDRATED_MAX)
        return;
    require(at <= aot->image->size && measured <= aot->image->size - at);
    require(img_aot_hydrate(aot, out, measured, &again, &written) == IMG_AOT_OK);
    require(again == at && written == measured);
    if (measured > 0)
        require(img_aot_hydrate(aot, out, measured - 1, &again, &written) != IMG_AOT_OK);
    require(img_aot_hydrate(aot, out, measured, &again, &written) == IMG_AOT_OK);
    img_aot_overlay(aot, out, at, measured);
}

/* The text is what it says: ended, of its length, without control characters. */
static void check_name(const struct img_aot *aot, const struct img_aot_method *method,
                       bool parameters, size_t room)
{
    char text[512];
    struct img_aot_name name = {.text = text, .room = room};
    enum img_aot_status status = img_aot_method_name(aot, method, parameters, &name);

    require(status == IMG_AOT_OK || status == IMG_AOT_DAMAGED || status == IMG_AOT_LIMIT);
    require(name.length < room && memchr(text, 0, room) == text + name.length);
    for (size_t i = 0; i < name.length; i++)
        require((unsigned char)text[i] >= 0x20);
}

static void check_methods(const struct img_aot *aot)
{
    struct img_aot_methods walk;
    struct img_aot_method method, found;
    enum img_aot_status status = img_aot_methods(aot, &walk);
    char text[64];
    struct img_aot_name name = {.text = text, .room = sizeof text};
    uint32_t offset;

    for (unsigned i = 0; i < METHODS_MAX && status == IMG_AOT_OK; i++) {
        status = img_aot_next_method(&walk, &method);
        if (status != IMG_AOT_OK)
            break;
        require(method.rva < aot->image->size);
        check_name(aot, &method, true, 512);
        check_name(aot, &method, false, 512);
        check_name(aot, &method, true, 1 + i % 40);
        if (i < 4)
            require(img_aot_method_at(aot, method.rva, &found) == IMG_AOT_OK);
        img_aot_name_of(aot, method.rva, true, &name, &offset);
    }
}

static void check_map(const struct img_aot *aot, const struct img_aot_type *type)
{
    struct img_aot_map map;
    struct img_aot_entry entry;
    uint32_t target, context;

    if (img_aot_map(aot, type, &map) != IMG_AOT_OK)
        return;
    for (unsigned i = 0; i < TYPES_MAX; i++) {
        if (img_aot_map_entry(aot, type, &map, i, &entry) != IMG_AOT_OK)
            return;
        require(entry.target < aot->image->size);
        if (img_aot_resolve(aot, type->rva, entry.interface, entry.slot, &target) == IMG_AOT_OK)
            require(target < aot->image->size);
        if (img_aot_resolve_static(aot, type->rva, entry.interface, entry.slot, &target,
                                   &context) == IMG_AOT_OK)
            require(target < aot->image->size && context < aot->image->size);
        img_aot_assignable(aot, type->rva, entry.interface);
        img_aot_assignable(aot, entry.interface, type->rva);
    }
}

/* Everything that could be a MethodTable or a cell, up to a number of them. */
static void check_types(const struct img_aot *aot)
{
    struct img_aot_type type;
    uint32_t interface, target, last = 0;
    uint16_t slot;
    unsigned count = 0;

    for (uint32_t rva = 8; rva < aot->image->size && count < TYPES_MAX; rva += 8) {
        uint64_t cache;

        if (img_read64(aot->image, rva, &cache) && (cache & 3) && rva >= 8 &&
            img_aot_cell(aot, rva - 8, cache, &interface, &slot) == IMG_AOT_OK) {
            require(interface < aot->image->size);
            img_aot_resolve(aot, last, interface, slot, &target);
        }
        if (img_aot_type(aot, rva, &type) != IMG_AOT_OK || (!type.map && !type.definition))
            continue;
        count++;
        check_map(aot, &type);
        if (type.definition)
            img_aot_assignable(aot, type.rva, last);
        last = rva;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct img_image image;
    static uint8_t hydrated[HYDRATED_MAX];
    struct img_aot aot;
    struct img_aot_section section;
    unsigned count = 0;
    uint8_t *copy;

    if (size == 0 || size > UINT32_MAX)
        return 0;
    copy = malloc(size); /* so that a read behind the end is seen */
    require(copy != NULL);
    memcpy(copy, data, size);
    make_image(&image, copy, (uint32_t)size);
    if (img_aot_open(&aot, &image) == IMG_AOT_OK) {
        while (img_aot_section(&aot, count, &section) == IMG_AOT_OK)
            count++;
        require(count == aot.count);
        check_methods(&aot);
        hydrate(&aot, hydrated);
        check_types(&aot);
    }
    free(copy);
    return 0;
}
