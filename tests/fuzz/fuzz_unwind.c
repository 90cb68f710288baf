/* fuzz_unwind.c - libFuzzer target: any bytes as an image or as functions made at run time, and as
 * a stack.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The first byte chooses the kind; the second, how much is image and how much stack; then the
 * registers follow.
 */
#include <stdlib.h>
#include <string.h>

#include "image/unwind.h"

enum { HEADER = 2 + 8 * 4, STACK_BASE = 0x100000, IMAGE_BASE = 0x400000, FRAMES = 64, SCAN = 64 };

struct input {
    const uint8_t *image;
    size_t image_size;
    const uint8_t *stack;
    size_t stack_size;
    struct img_image opened;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Only what is promised is asked for. */
static bool read_image(void *context, uint64_t offset, void *buffer, size_t size)
{
    const struct input *input = context;

    require(size <= input->image_size && offset <= input->image_size - size);
    memcpy(buffer, input->image + offset, size);
    return true;
}

static bool read_stack(void *context, uint64_t address, void *buffer, size_t size)
{
    const struct input *input = context;

    if (address < STACK_BASE || size > input->stack_size ||
        address - STACK_BASE > input->stack_size - size)
        return false;
    memcpy(buffer, input->stack + (address - STACK_BASE), size);
    return true;
}

static const struct img_image *find(void *context, uint64_t address)
{
    const struct input *input = context;
    uint32_t rva;

    return img_rva(&input->opened, address, &rva) ? &input->opened : NULL;
}

static uint64_t number(const uint8_t *data)
{
    uint64_t value;

    memcpy(&value, data, sizeof value);
    return value;
}

static void walk(struct input *input, const uint8_t *data)
{
    struct img_walk walk = {.find = find,
                            .find_context = input,
                            .memory = {read_stack, input},
                            .stack_low = STACK_BASE,
                            .stack_high = STACK_BASE + input->stack_size,
                            .max_frames = FRAMES,
                            .max_scan = SCAN};
    struct img_registers registers = {.rip = IMAGE_BASE + number(data) % 0x10000};
    struct img_walk_frame frame;
    unsigned frames = 0;
    bool guessed = false;

    memset(registers.gpr, 0x11, sizeof registers.gpr);
    registers.gpr[IMG_RSP] = STACK_BASE + number(data + 8) % 0x1000;
    registers.gpr[IMG_RBP] = STACK_BASE + number(data + 16) % 0x1000;
    img_walk_start(&walk, &registers);
    while (img_walk_next(&walk, &frame) == IMG_WALK_FRAME) {
        require(!guessed || frame.guessed);
        guessed = frame.guessed;
        frames++;
    }
    require(frames <= FRAMES);
    require(img_walk_next(&walk, &frame) != IMG_WALK_FRAME);
}

static void look(const struct img_image *image)
{
    static struct img_export export;
    static struct img_codeview codeview;
    struct img_function function;
    uint32_t count = img_function_count(image);

    for (uint32_t i = 0; i < count && i < FRAMES; i++) {
        if (img_function(image, i, &function) && img_primary_function(image, &function))
            require(function.begin < function.end && function.end <= image->size);
    }
    if (img_codeview(image, &codeview) == IMG_OK)
        require(memchr(codeview.path, 0, sizeof codeview.path) != NULL);
    count = img_export_count(image);
    for (uint32_t i = 0; i < count && i < FRAMES; i++)
        img_export(image, i, &export);
    if (count < 1024 && img_export_of(image, image->size / 2, &export) == IMG_OK)
        require(!export.forwarder && export.rva <= image->size / 2 &&
                memchr(export.name, 0, sizeof export.name) != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct input input;
    struct img_source source = {read_image, &input, 0, IMG_MAPPED};
    size_t rest;

    if (size < HEADER)
        return 0;
    rest = size - HEADER;
    input.stack_size = rest * data[1] / 256;
    input.image_size = rest - input.stack_size;
    input.stack = data + HEADER;
    input.image = input.stack + input.stack_size;
    source.size = input.image_size;
    if (data[0] & 1) {
        img_open_dynamic(&input.opened, &source, IMAGE_BASE, (uint32_t)input.image_size,
                         (uint32_t)number(data + 26) % 0x1000, data[0] >> 2);
    } else {
        source.layout = data[0] & 2 ? IMG_FILE : IMG_MAPPED;
        switch (img_open(&input.opened, &source, IMAGE_BASE)) {
        case IMG_OK:
            break;
        case IMG_MACHINE: /* has names, but no stacks */
            look(&input.opened);
            return 0;
        default:
            return 0;
        }
    }
    look(&input.opened);
    walk(&input, data + 2);
    return 0;
}
