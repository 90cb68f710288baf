/* fuzz_eh_tables.c - libFuzzer target: any bytes as exception tables.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Two bytes say where the tables are, two where the function begins; the image is the whole input.
 */
#include <stdlib.h>
#include <string.h>

#include "image/eh_tables.h"

enum { HEADER = 4, MOST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
    if (!holds)
        abort();
}

/* Undoing states comes to an end from each. */
static void unwind(const struct img_eh *eh)
{
    struct img_eh_unwind row;

    for (uint32_t i = 0; i < eh->state_count && i < MOST; i++) {
        int32_t state = (int32_t)i;

        while (state >= 0 && img_eh_unwind(eh, state, &row)) {
            require(row.next < state && row.next >= IMG_EH_EMPTY);
            state = row.next;
        }
    }
}

static void tries(const struct img_eh *eh)
{
    struct img_eh_try block;
    struct img_eh_handler handler;

    for (uint32_t i = 0; i < eh->try_count && i < MOST; i++) {
        if (!img_eh_try(eh, i, &block))
            continue;
        require(block.low >= 0 && block.low <= block.high && block.high <= block.catch_high);
        require(block.catch_high < (int32_t)eh->state_count);
        for (uint32_t j = 0; j < block.handler_count && j < 16; j++) {
            if (img_eh_handler(eh, &block, j, &handler))
                require(img_is_code(eh->image, handler.handler) && handler.continuation_count <= 2);
        }
    }
}

static void states(const struct img_eh *eh)
{
    uint32_t rva;
    int32_t state;

    for (uint32_t i = 0; i < eh->ip_count && i < MOST; i++) {
        if (img_eh_ip(eh, i, &rva, &state) && img_eh_state(eh, rva, &state))
            require(state >= IMG_EH_EMPTY && state < (int32_t)eh->state_count);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct img_source source;
    struct img_image image = {0};
    struct img_function function;
    struct img_eh eh;
    struct img_eh_gs gs;
    struct img_eh_scope scope;
    uint32_t at, count;

    if (size < HEADER || size > UINT32_MAX)
        return 0;
    source = img_memory_source(data, size, IMG_MAPPED);
    img_open_dynamic(&image, &source, 0x10000, (uint32_t)size, 0, 0);
    image.section_count = 1;
    image.sections[0] = (struct img_section){.size = image.size, .flags = IMG_SECTION_CODE};
    at = data[0] | (uint32_t)data[1] << 8;
    function = (struct img_function){data[2] | (uint32_t)data[3] << 8, image.size, 0};
    for (int kind = IMG_EH_CXX3; kind <= IMG_EH_CXX4; kind++) {
        if (!img_eh_open(&image, (enum img_eh_kind)kind, at, function.begin, function.begin, &eh))
            continue;
        unwind(&eh);
        tries(&eh);
        states(&eh);
        img_eh_check(&eh);
    }
    if (at < image.size && img_eh_scope_count(&image, at, &count)) {
        for (uint32_t i = 0; i < count && i < MOST; i++)
            img_eh_scope(&image, at, i, &scope);
    }
    if (img_eh_gs(&image, at, &gs) && gs.flags & 4)
        require(gs.alignment > 0);
    img_eh_guess(&image, at, &function);
    return 0;
}
