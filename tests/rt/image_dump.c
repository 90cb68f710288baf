/* image_dump.c - prints what lib/image reads in an image file, for tests to compare.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   image_dump FILE unwind   a line for each RUNTIME_FUNCTION and its codes
 *   image_dump FILE eh       C++ tables of each function that has any
 *   image_dump FILE step     unwinds once for each line of standard input:
 *                            rip, 16 registers, 16 pairs of xmm words, then address=value words of
 *                            the stack; prints the same registers after it, and the frame
 * All numbers are hexadecimal.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "image/eh_tables.h"
#include "image/unwind.h"
#include "imagefile.h"

enum { MAX_WORDS = 512, MAX_LINE = 65536 };

struct words {
    unsigned count;
    uint64_t address[MAX_WORDS];
    uint64_t value[MAX_WORDS];
};

static void dump_codes(const struct img_image *image, const struct img_unwind_info *info)
{
    struct img_unwind_code code;

    for (unsigned i = 0; i < info->code_count; i += code.slots) {
        if (!img_unwind_code(image, info, i, &code)) {
            printf(" bad");
            return;
        }
        printf(" %x:%x:%x:%x", code.offset, code.op, code.info, code.value);
    }
}

static int dump_unwind(const struct img_image *image)
{
    for (uint32_t i = 0; i < img_function_count(image); i++) {
        struct img_function function, primary;
        struct img_unwind_info info;

        if (!img_function(image, i, &function) || (primary = function, 0) ||
            !img_primary_function(image, &primary) ||
            !img_unwind_info(image, function.unwind, &info)) {
            printf("bad %x\n", i);
            continue;
        }
        printf("%x %x %x %x %x %x %x %x %x %x %x", function.begin, function.end, function.unwind,
               info.version, info.flags, info.prologue, info.frame_register, info.frame_offset,
               info.handler, info.flags & IMG_UNWIND_CHAINED ? info.chained.begin : 0,
               primary.begin);
        dump_codes(image, &info);
        putchar('\n');
    }
    return 0;
}

static void dump_tries(const struct img_eh *eh)
{
    for (uint32_t i = 0; i < eh->try_count; i++) {
        struct img_eh_try block;
        struct img_eh_handler handler;

        if (!img_eh_try(eh, i, &block)) {
            printf("  bad\n");
            return;
        }
        printf("  try %x %x %x\n", (unsigned)block.low, (unsigned)block.high,
               (unsigned)block.catch_high);
        for (uint32_t j = 0; j < block.handler_count; j++) {
            if (!img_eh_handler(eh, &block, j, &handler)) {
                printf("  bad\n");
                return;
            }
            printf("  catch %x %x %x %x", handler.handler, handler.adjectives, handler.type,
                   (unsigned)handler.object);
            for (unsigned k = 0; k < handler.continuation_count; k++)
                printf(" %x", handler.continuations[k]);
            putchar('\n');
        }
    }
}

static void dump_states(const struct img_eh *eh)
{
    for (uint32_t i = 0; i < eh->state_count; i++) {
        struct img_eh_unwind unwind;

        if (img_eh_unwind(eh, (int32_t)i, &unwind))
            printf("  state %x %x %x %x %x\n", i, (unsigned)unwind.next, unwind.kind, unwind.action,
                   unwind.object);
        else
            printf("  bad state %x\n", i);
    }
    for (uint32_t i = 0; i < eh->ip_count; i++) {
        uint32_t rva, at;
        int32_t state, again;

        if (img_eh_ip(eh, i, &rva, &state))
            printf("  ip %x %x\n", rva, (unsigned)state);
        else
            printf("  bad ip %x\n", i);
        at = rva;
        if (!img_eh_state(eh, at, &again))
            printf("  bad state at %x\n", at);
    }
}

static int dump_eh(const struct img_image *image)
{
    static const char *const kinds[] = {"unknown", "scopes", "cxx3", "cxx4", "gs"};

    for (uint32_t i = 0; i < img_function_count(image); i++) {
        struct img_function function;
        struct img_unwind_info info;
        struct img_eh eh;
        enum img_eh_kind kind;

        if (!img_function(image, i, &function) || !img_unwind_info(image, function.unwind, &info) ||
            !info.handler)
            continue;
        kind = img_eh_guess(image, info.handler_data, &function);
        printf("%x %x %x %s\n", function.begin, function.end, info.handler, kinds[kind]);
        if ((kind != IMG_EH_CXX3 && kind != IMG_EH_CXX4) ||
            !img_eh_open(image, kind, info.handler_data, function.begin, function.begin, &eh))
            continue;
        printf("  flags %x %s\n", eh.flags, img_eh_check(&eh) ? "sound" : "bad");
        dump_states(&eh);
        dump_tries(&eh);
    }
    return 0;
}

static bool read_words(void *context, uint64_t address, void *buffer, size_t size)
{
    const struct words *words = context;

    for (unsigned i = 0; i < words->count && size == 8; i++) {
        if (words->address[i] == address) {
            memcpy(buffer, &words->value[i], 8);
            return true;
        }
    }
    return false;
}

static void parse(char *line, struct img_registers *registers, struct words *words)
{
    uint64_t numbers[1 + 16 + 32] = {0};
    char *at = line;

    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        numbers[i] = strtoull(at, &at, 16);
    registers->rip = numbers[0];
    memcpy(registers->gpr, numbers + 1, sizeof registers->gpr);
    memcpy(registers->xmm, numbers + 17, sizeof registers->xmm);
    words->count = 0;
    while (words->count < MAX_WORDS && strchr(at, '=')) {
        words->address[words->count] = strtoull(at, &at, 16);
        at++;
        words->value[words->count++] = strtoull(at, &at, 16);
    }
}

static int step(const struct img_image *image)
{
    static char line[MAX_LINE];
    static struct words words;
    const struct img_memory memory = {read_words, &words};

    while (fgets(line, sizeof line, stdin)) {
        struct img_registers registers;
        struct img_frame frame;
        enum img_unwind_result result;

        parse(line, &registers, &words);
        result = img_unwind(image, &memory, &registers, &frame);
        if (result != IMG_UNWIND_OK) {
            printf("%s\n", img_unwind_result_text(result));
            continue;
        }
        printf("%" PRIx64, registers.rip);
        for (unsigned i = 0; i < 16; i++)
            printf(" %" PRIx64, registers.gpr[i]);
        for (unsigned i = 0; i < 16; i++)
            printf(" %" PRIx64 " %" PRIx64, registers.xmm[i].low, registers.xmm[i].high);
        printf(" %x %" PRIx64 "\n", (unsigned)frame.kind, frame.establisher);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct img_image image;

    if (argc != 3) {
        fprintf(stderr, "usage: image_dump FILE unwind|eh|step\n");
        return 2;
    }
    if (!imagefile_open(argv[1], &image))
        return 1;
    if (strcmp(argv[2], "unwind") == 0)
        return dump_unwind(&image);
    if (strcmp(argv[2], "eh") == 0)
        return dump_eh(&image);
    return strcmp(argv[2], "step") == 0 ? step(&image) : 2;
}
