/* minidump.c - a user minidump with full memory. See dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file: header, directory, the streams' data in the order of the directory, texts and records
 * behind the stream that names them, and at the end the bytes of Memory64List.
 */
#include <string.h>

#include "dump_parts.h"

enum {
    STREAM_THREADS = 3,
    STREAM_MODULES = 4,
    STREAM_EXCEPTION = 6,
    STREAM_SYSTEM = 7,
    STREAM_MEMORY64 = 9,
    STREAM_COMMENT = 10,
    VERSION = 0xA793,
    FULL_MEMORY = 2, /* MINIDUMP_TYPE */
    PLATFORM_NT = 2,
    WORKSTATION = 1,
    THREAD_SIZE = 48,
    MODULE_SIZE = 108,
    DIRECTORY_MAX = 6,
};

struct writer {
    const struct kda_dump *dump;
    struct dump_head head;
    size_t directory;    /* where the next row goes */
    uint32_t rows;       /* so far */
    uint32_t context_at; /* of the first thread */
};

/* --- streams */

static size_t begin_stream(struct writer *writer, uint32_t type)
{
    dump_align(&writer->head, 8);
    dump_set32(&writer->head, writer->directory, type);
    dump_set32(&writer->head, writer->directory + 8, (uint32_t)writer->head.size);
    return writer->head.size;
}

/* Its data is what was put since; what only belongs to it may follow. */
static void end_stream(struct writer *writer, size_t begin)
{
    dump_set32(&writer->head, writer->directory + 4, (uint32_t)(writer->head.size - begin));
    writer->directory += 12;
    writer->rows++;
}

/* MINIDUMP_STRING; its offset. */
static uint32_t put_text(struct dump_head *head, const uint8_t *text, uint32_t size)
{
    uint32_t begin;

    dump_align(head, 4);
    begin = (uint32_t)head->size;
    dump_put32(head, 0);
    dump_set32(head, begin, dump_put_utf16(head, text, size));
    dump_put16(head, 0);
    return begin;
}

static void put_system(struct writer *writer)
{
    static const struct {
        enum kd_arch arch;
        uint16_t number;
    } numbers[] = {{KD_ARCH_X86, 0}, {KD_ARCH_AMD64, 9}, {KD_ARCH_ARM64, 12}};
    size_t begin = begin_stream(writer, STREAM_SYSTEM);
    struct dump_head *head = &writer->head;
    uint32_t processors = writer->dump->processors;
    uint16_t number = 0;

    for (unsigned i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (numbers[i].arch == writer->dump->arch)
            number = numbers[i].number;
    dump_put16(head, number);
    dump_zero(head, 4); /* level and revision of the processor */
    dump_put16(head, (uint16_t)((processors > 255 ? 255 : processors) | WORKSTATION << 8));
    dump_put32(head, 10);
    dump_put32(head, 0);
    dump_put32(head, writer->dump->build);
    dump_put32(head, PLATFORM_NT);
    dump_zero(head, 4 + 2 + 2 + 24); /* text of the service pack, suites, processor's features */
    end_stream(writer, begin);
    dump_set32(head, begin + 24, put_text(head, NULL, 0));
}

static void put_threads(struct writer *writer)
{
    size_t begin = begin_stream(writer, STREAM_THREADS), size;
    struct dump_head *head = &writer->head;
    const struct kda_dump *dump = writer->dump;

    size = kda_dump_context_size(dump->arch);
    dump_put32(head, (uint32_t)dump->thread_count);
    for (size_t i = 0; i < dump->thread_count; i++) {
        dump_put32(head, dump->threads[i].processor + 1u);
        dump_zero(head, THREAD_SIZE - 4);
    }
    end_stream(writer, begin);
    for (size_t i = 0; i < dump->thread_count; i++) {
        size_t row = begin + 4 + i * THREAD_SIZE;

        dump_align(head, 16);
        if (i == 0)
            writer->context_at = (uint32_t)head->size;
        dump_set32(head, row + 40, (uint32_t)size);
        dump_set32(head, row + 44, (uint32_t)head->size);
        dump_put(head, dump->threads[i].context, size);
    }
}

static void put_modules(struct writer *writer)
{
    size_t begin = begin_stream(writer, STREAM_MODULES);
    struct dump_head *head = &writer->head;
    const struct kda_dump *dump = writer->dump;

    dump_put32(head, (uint32_t)dump->module_count);
    for (size_t i = 0; i < dump->module_count; i++) {
        dump_put64(head, dump->modules[i].base);
        dump_put32(head, dump->modules[i].size);
        dump_put32(head, dump->modules[i].checksum);
        dump_put32(head, dump->modules[i].timestamp);
        dump_zero(head, MODULE_SIZE - 20);
    }
    end_stream(writer, begin);
    for (size_t i = 0; i < dump->module_count; i++) {
        const struct kda_dump_module *module = &dump->modules[i];
        size_t row = begin + 4 + i * MODULE_SIZE;

        dump_set32(head, row + 20, put_text(head, module->name, module->name_size));
        if (!module->codeview)
            continue;
        dump_align(head, 4);
        dump_set32(head, row + 76, module->codeview_size);
        dump_set32(head, row + 80, (uint32_t)head->size);
        dump_put(head, module->codeview, module->codeview_size);
    }
}

static void put_exception(struct writer *writer)
{
    const struct kda_dump_exception *exception = writer->dump->exception;
    struct dump_head *head = &writer->head;
    size_t begin;

    if (!exception)
        return;
    begin = begin_stream(writer, STREAM_EXCEPTION);
    dump_put32(head, writer->dump->threads[0].processor + 1u);
    dump_zero(head, 4);
    dump_put32(head, exception->code);
    dump_put32(head, exception->flags);
    dump_put64(head, 0); /* no chain of records */
    dump_put64(head, exception->address);
    dump_put32(head, exception->parameter_count);
    dump_zero(head, 4);
    for (unsigned i = 0; i < 15; i++)
        dump_put64(head, exception->parameters[i]);
    dump_put32(head, (uint32_t)kda_dump_context_size(writer->dump->arch));
    dump_put32(head, writer->context_at);
    end_stream(writer, begin);
}

static void put_comment(struct writer *writer)
{
    size_t begin;

    if (!writer->dump->comment)
        return;
    begin = begin_stream(writer, STREAM_COMMENT);
    dump_put(&writer->head, writer->dump->comment, strlen(writer->dump->comment) + 1);
    end_stream(writer, begin);
}

/* The last stream: the bytes follow the head. */
static void put_memory(struct writer *writer)
{
    size_t begin = begin_stream(writer, STREAM_MEMORY64);
    struct dump_head *head = &writer->head;
    struct kda_extent extent;
    uint64_t count = 0;

    dump_zero(head, 16);
    for (uint64_t at = 0;
         kda_memory_next_extent(writer->dump->memory, &writer->dump->view, &at, &extent);) {
        dump_put64(head, extent.address);
        dump_put64(head, extent.size);
        count++;
    }
    dump_set64(head, begin, count);
    end_stream(writer, begin);
    dump_set64(head, begin + 8, head->size);
}

const char *kda_minidump(const struct kda_dump *dump, kda_dump_function write, void *context)
{
    struct writer writer = {.dump = dump};
    struct dump_head *head = &writer.head;

    dump_put(head, "MDMP", 4);
    dump_put32(head, VERSION);
    dump_zero(head, 4);
    dump_put32(head, 32);
    dump_put32(head, 0); /* no checksum */
    dump_put32(head, (uint32_t)(dump->time / 1000000000u));
    dump_put64(head, FULL_MEMORY);
    writer.directory = head->size;
    dump_zero(head, 12 * DIRECTORY_MAX);
    put_system(&writer);
    put_threads(&writer);
    put_modules(&writer);
    put_exception(&writer);
    put_comment(&writer);
    put_memory(&writer);
    dump_set32(head, 8, writer.rows);
    return dump_write(dump, head, write, context);
}
