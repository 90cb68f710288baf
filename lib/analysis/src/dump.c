/* dump.c - what the writers of dumps share. See dump_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>
#include <string.h>

#include "dump_parts.h"

#define HEAD_MAX ((size_t)1 << 30) /* offsets in a minidump have 32 bits */
#define STEP     4096u

size_t kda_dump_context_size(enum kd_arch arch)
{
    switch (arch) {
    case KD_ARCH_AMD64:
        return sizeof(struct kd_context_amd64);
    case KD_ARCH_X86:
        return sizeof(struct kd_context_x86);
    case KD_ARCH_ARM64:
        return sizeof(struct kd_context_arm64);
    default:
        return 0;
    }
}

/* --- the head */

static bool grow(struct dump_head *head, size_t size)
{
    size_t room = head->room ? head->room : STEP;
    uint8_t *bytes;

    if (head->failed || size > HEAD_MAX - head->size) {
        head->failed = true;
        return false;
    }
    if (head->size + size <= head->room)
        return true;
    while (room < head->size + size)
        room *= 2;
    bytes = realloc(head->bytes, room);
    if (!bytes) {
        head->failed = true;
        return false;
    }
    head->bytes = bytes;
    head->room = room;
    return true;
}

void dump_put(struct dump_head *head, const void *bytes, size_t size)
{
    if (size == 0 || !grow(head, size))
        return;
    memcpy(head->bytes + head->size, bytes, size);
    head->size += size;
}

void dump_zero(struct dump_head *head, size_t size)
{
    if (size == 0 || !grow(head, size))
        return;
    memset(head->bytes + head->size, 0, size);
    head->size += size;
}

void dump_put16(struct dump_head *head, uint16_t value)
{
    const kd_u16 wire = kd_put16(value);

    dump_put(head, &wire, sizeof wire);
}

void dump_put32(struct dump_head *head, uint32_t value)
{
    const kd_u32 wire = kd_put32(value);

    dump_put(head, &wire, sizeof wire);
}

void dump_put64(struct dump_head *head, uint64_t value)
{
    const kd_u64 wire = kd_put64(value);

    dump_put(head, &wire, sizeof wire);
}

void dump_align(struct dump_head *head, size_t to)
{
    dump_zero(head, (to - head->size % to) % to);
}

/* The character at *at, which moves on; what is no UTF-8 of at most three bytes is U+FFFD. */
static uint16_t next_character(const uint8_t *text, uint32_t size, uint32_t *at)
{
    uint8_t first = text[(*at)++];
    unsigned more = first < 0x80 ? 0 : first >= 0xC2 && first < 0xE0 ? 1 : 2;
    unsigned value = more == 1 ? first & 0x1Fu : first & 0x0Fu;

    if (more == 0)
        return first;
    if ((more == 2 && (first < 0xE0 || first >= 0xF0)) || *at + more > size)
        return 0xFFFD;
    for (unsigned i = 0; i < more; i++) {
        if ((text[*at + i] & 0xC0) != 0x80)
            return 0xFFFD;
        value = value << 6 | (text[*at + i] & 0x3Fu);
    }
    *at += more;
    return (uint16_t)value;
}

uint32_t dump_put_utf16(struct dump_head *head, const uint8_t *text, uint32_t size)
{
    uint32_t count = 0;

    for (uint32_t at = 0; at < size; count++)
        dump_put16(head, next_character(text, size, &at));
    return 2 * count;
}

void dump_set32(struct dump_head *head, size_t at, uint32_t value)
{
    const kd_u32 wire = kd_put32(value);

    if (!head->failed)
        memcpy(head->bytes + at, &wire, sizeof wire);
}

void dump_set64(struct dump_head *head, size_t at, uint64_t value)
{
    const kd_u64 wire = kd_put64(value);

    if (!head->failed)
        memcpy(head->bytes + at, &wire, sizeof wire);
}

/* --- memory */

size_t dump_extent_count(const struct kda_dump *dump)
{
    struct kda_extent extent;
    size_t count = 0;

    for (uint64_t at = 0; kda_memory_next_extent(dump->memory, &dump->view, &at, &extent);)
        count++;
    return count;
}

static bool write_extent(const struct kda_dump *dump, const struct kda_extent *extent,
                         kda_dump_function write, void *context)
{
    uint8_t bytes[STEP];

    for (uint64_t done = 0; done < extent->size;) {
        size_t size = extent->size - done < STEP ? (size_t)(extent->size - done) : STEP;

        kda_memory_read(dump->memory, &dump->view, extent->address + done, bytes, NULL, size);
        if (!write(context, bytes, size))
            return false;
        done += size;
    }
    return true;
}

const char *dump_write(const struct kda_dump *dump, struct dump_head *head, kda_dump_function write,
                       void *context)
{
    struct kda_extent extent;
    bool fine = !head->failed && write(context, head->bytes, head->size);
    const char *why = head->failed ? "out of memory" : NULL;

    for (uint64_t at = 0; fine && kda_memory_next_extent(dump->memory, &dump->view, &at, &extent);)
        fine = write_extent(dump, &extent, write, context);
    free(head->bytes);
    *head = (struct dump_head){0};
    return why || fine ? why : "cannot write all of it";
}
