/* kernel_dump.c - a complete kernel dump: header, page tables, pages. See analysis/dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file: a header of two pages, then the pages of physical memory in the order of its runs. One
 * run is ours: page tables, the top first, level by level, then the pages of virtual memory in the
 * order of their addresses. So what a table holds follows from counting, and nothing of the run is
 * kept in memory.
 *
 * DUMP_HEADER64 as the public documentation of full dumps and readers of them have it; a debugger
 * takes nothing else from it (measured with WinDbg's engine, which takes the registers from the
 * processors' blocks).
 */
#include "kernel_dump.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEADER_MAJOR = 0x08,
    HEADER_MINOR = 0x0C,
    HEADER_DIRECTORY = 0x10,
    HEADER_MODULES = 0x20,
    HEADER_MACHINE = 0x30,
    HEADER_PROCESSORS = 0x34,
    HEADER_BUG_CHECK = 0x38, /* code, then at 0x40 four parameters */
    HEADER_DATA_BLOCK = 0x80,
    HEADER_RUNS = 0x88, /* count u32, pad, pages u64, then first page and count, u64 each */
    HEADER_CONTEXT = 0x348,
    HEADER_EXCEPTION = 0xF00, /* EXCEPTION_RECORD64 */
    HEADER_TYPE = 0xF98,
    HEADER_SIZE_OF_FILE = 0xFA0,
    HEADER_TIME = 0xFA8, /* FILETIME */
    HEADER_COMMENT = 0xFB0,
    HEADER_SECONDARY = 0x104D,
    HEADER_SIZE = 0x2000,
    COMMENT_SIZE = 128,
    TYPE_FULL = 1,
};

#define ENTRIES          512u
#define ENTRY_FLAGS      0x63u  /* present, writable, accessed, dirty */
#define FIRST_PAGE       0x100u /* of ours: the first MiB is full of what is not memory */
#define PHYSICAL_END     (UINT64_C(1) << 52)
#define FILETIME_OF_1970 UINT64_C(116444736000000000)

/* --- runs of pages */

/* The next run of captured physical pages; *address: where to go on. */
static bool next_run(const struct kda_dump *dump, uint64_t *address, struct kernel_run *run)
{
    struct kda_extent extent;
    uint64_t at = *address, end;

    *run = (struct kernel_run){0};
    while (dump->physical && kda_memory_next_extent(dump->physical, &dump->view, &at, &extent)) {
        end = extent.address + (extent.size - 1);
        if (run->count && extent.address / KERNEL_PAGE > run->first + run->count)
            return true;
        if (!run->count)
            run->first = extent.address / KERNEL_PAGE;
        run->count = end / KERNEL_PAGE - run->first + 1;
        *address = at;
    }
    return run->count != 0;
}

static uint64_t physical_bytes(const struct kda_kernel_dump *kernel, uint64_t first, uint64_t last)
{
    struct kda_extent extent;
    uint64_t bytes = 0;

    for (uint64_t at = 0;
         kda_memory_next_extent(kernel->dump->physical, &kernel->dump->view, &at, &extent);) {
        uint64_t end = extent.address + (extent.size - 1);
        uint64_t from = extent.address > first ? extent.address : first;
        uint64_t to = end < last ? end : last;

        if (from <= to)
            bytes += to - from + 1;
    }
    return bytes;
}

static void take_physical(struct kda_kernel_dump *kernel)
{
    struct kernel_run run;
    uint64_t end = 0;

    for (uint64_t at = 0;
         kernel->run_count < KERNEL_RUNS - 1 && next_run(kernel->dump, &at, &run);) {
        if (run.first + run.count > PHYSICAL_END / KERNEL_PAGE)
            break;
        kernel->runs[kernel->run_count++] = run;
        kernel->facts.physical_pages += run.count;
        end = (run.first + run.count) * KERNEL_PAGE;
    }
    if (kernel->dump->physical)
        kernel->facts.beyond_physical = physical_bytes(kernel, end, UINT64_MAX);
}

/* Between or behind those of captured memory, where there is room. */
static void place_own(struct kda_kernel_dump *kernel)
{
    uint64_t count = kernel->facts.table_pages + kernel->facts.pages;
    size_t at = 0;

    kernel->first = FIRST_PAGE;
    for (; at < kernel->run_count && kernel->runs[at].first < kernel->first + count; at++)
        if (kernel->runs[at].first + kernel->runs[at].count > kernel->first)
            kernel->first = kernel->runs[at].first + kernel->runs[at].count;
    memmove(&kernel->runs[at + 1], &kernel->runs[at],
            (kernel->run_count - at) * sizeof kernel->runs[0]);
    kernel->runs[at] = (struct kernel_run){kernel->first, count};
    kernel->own_run = at;
    kernel->run_count++;
    kernel->facts.directory = kernel->first * KERNEL_PAGE;
}

/* --- page tables */

/* Which table of a level leads to the page. Level 0 maps pages. */
static uint64_t table_of(kernel_page page, unsigned level)
{
    return page >> 9 * (level + 1);
}

static void count_tables(struct kda_kernel_dump *kernel)
{
    uint64_t before[KERNEL_LEVELS];
    struct kernel_walk walk;
    kernel_page page;

    kernel->tables[KERNEL_LEVELS - 1] = 1;
    memset(before, 0xFF, sizeof before);
    kernel_walk_begin(&walk, kernel);
    while ((page = kernel_walk_next(&walk)) != KERNEL_NO_PAGE) {
        kernel->facts.pages++;
        for (unsigned level = 0; level < KERNEL_LEVELS - 1; level++) {
            kernel->tables[level] += table_of(page, level) != before[level];
            before[level] = table_of(page, level);
        }
    }
    for (unsigned level = 0; level < KERNEL_LEVELS; level++)
        kernel->facts.table_pages += kernel->tables[level];
}

/* Page number of what the first entry of a level leads to. */
static uint64_t below_level(const struct kda_kernel_dump *kernel, unsigned level)
{
    uint64_t number = kernel->first;

    for (unsigned above = KERNEL_LEVELS; above-- > level;)
        number += kernel->tables[above];
    return number;
}

struct output {
    kda_dump_function write;
    void *context;
};

static bool put_page(const struct output *output, const uint8_t *bytes)
{
    return output->write(output->context, bytes, KERNEL_PAGE);
}

/* All tables of a level. An entry leads to what is next in the level below. */
static bool write_level(const struct kda_kernel_dump *kernel, unsigned level,
                        const struct output *output)
{
    uint64_t child = below_level(kernel, level), table = 0, below = UINT64_MAX;
    kd_u64 entries[ENTRIES] = {{{0}}};
    struct kernel_walk walk;
    kernel_page page;
    bool any = false;

    kernel_walk_begin(&walk, kernel);
    while ((page = kernel_walk_next(&walk)) != KERNEL_NO_PAGE) {
        uint64_t step = page >> 9 * level;

        if (any && table_of(page, level) != table) {
            if (!put_page(output, (const uint8_t *)entries))
                return false;
            memset(entries, 0, sizeof entries);
        }
        table = table_of(page, level);
        any = true;
        if (step == below)
            continue;
        below = step;
        entries[step % ENTRIES] = kd_put64(child++ * KERNEL_PAGE | ENTRY_FLAGS);
    }
    return put_page(output, (const uint8_t *)entries);
}

static bool write_own(const struct kda_kernel_dump *kernel, const struct output *output)
{
    uint8_t bytes[KERNEL_PAGE];
    bool known[KERNEL_PAGE];
    struct kernel_walk walk;
    kernel_page page;

    for (unsigned level = KERNEL_LEVELS; level-- > 0;)
        if (!write_level(kernel, level, output))
            return false;
    kernel_walk_begin(&walk, kernel);
    while ((page = kernel_walk_next(&walk)) != KERNEL_NO_PAGE) {
        kernel_page_read(kernel, page, bytes, known);
        if (!put_page(output, bytes))
            return false;
    }
    return true;
}

static bool write_run(const struct kda_kernel_dump *kernel, size_t run, const struct output *output)
{
    uint8_t bytes[KERNEL_PAGE];
    bool known[KERNEL_PAGE];

    if (run == kernel->own_run)
        return write_own(kernel, output);
    for (uint64_t i = 0; i < kernel->runs[run].count; i++) {
        kernel_physical_read(kernel, kernel->runs[run].first + i, bytes, known);
        if (!put_page(output, bytes))
            return false;
    }
    return true;
}

/* --- holes */

struct holes {
    kda_kernel_hole_function tell;
    void *context;
    struct kda_kernel_hole hole; /* size 0: none is open */
};

static void end_hole(struct holes *holes)
{
    if (holes->hole.size)
        holes->tell(holes->context, &holes->hole);
    holes->hole.size = 0;
}

static void look_for_holes(struct holes *holes, bool physical, uint64_t address, const bool *known)
{
    for (size_t i = 0; i < KERNEL_PAGE; i++) {
        struct kda_kernel_hole *hole = &holes->hole;

        if (known[i] || hole->physical != physical || hole->address + hole->size != address + i)
            end_hole(holes);
        if (known[i])
            continue;
        if (!hole->size)
            *hole = (struct kda_kernel_hole){.physical = physical, .address = address + i};
        hole->size++;
    }
}

void kda_kernel_dump_holes(const struct kda_kernel_dump *kernel, kda_kernel_hole_function tell,
                           void *context)
{
    struct holes holes = {.tell = tell, .context = context};
    uint8_t bytes[KERNEL_PAGE];
    bool known[KERNEL_PAGE];
    struct kernel_walk walk;
    kernel_page page;

    kernel_walk_begin(&walk, kernel);
    while ((page = kernel_walk_next(&walk)) != KERNEL_NO_PAGE) {
        kernel_page_read(kernel, page, bytes, known);
        look_for_holes(&holes, false, kernel_page_address(page), known);
    }
    for (size_t run = 0; run < kernel->run_count; run++) {
        for (uint64_t i = 0; run != kernel->own_run && i < kernel->runs[run].count; i++) {
            uint64_t number = kernel->runs[run].first + i;

            kernel_physical_read(kernel, number, bytes, known);
            look_for_holes(&holes, true, number * KERNEL_PAGE, known);
        }
    }
    end_hole(&holes);
}

static void count_hole(void *context, const struct kda_kernel_hole *hole)
{
    struct kda_kernel_facts *facts = context;

    facts->holes++;
    facts->hole_bytes += hole->size;
}

/* --- the header */

/* KiBugcheckData: what the kernel kept of its bug check, when that was captured. */
static void set_bug_check(struct dump_head *head, const struct kda_dump *dump)
{
    struct kd_kddebugger_data64 block;
    const size_t size = offsetof(struct kd_kddebugger_data64, ki_bugcheck_data) + 8;
    kd_u64 data[5];

    if (!dump->data_block ||
        kda_memory_read(dump->memory, &dump->view, dump->data_block, (uint8_t *)&block, NULL,
                        size) != size ||
        memcmp(block.owner_tag, "KDBG", 4) != 0 ||
        kda_memory_read(dump->memory, &dump->view, kd_get64(block.ki_bugcheck_data),
                        (uint8_t *)data, NULL, sizeof data) != sizeof data)
        return;
    dump_set32(head, HEADER_BUG_CHECK, (uint32_t)kd_get64(data[0]));
    for (unsigned i = 0; i < 4; i++)
        dump_set64(head, HEADER_BUG_CHECK + 8 + 8 * i, kd_get64(data[1 + i]));
}

static void set_exception(struct dump_head *head, const struct kda_dump_exception *exception)
{
    if (!exception)
        return;
    dump_set32(head, HEADER_EXCEPTION, exception->code);
    dump_set32(head, HEADER_EXCEPTION + 4, exception->flags);
    dump_set64(head, HEADER_EXCEPTION + 16, exception->address);
    dump_set32(head, HEADER_EXCEPTION + 24, exception->parameter_count);
    for (unsigned i = 0; i < 15; i++)
        dump_set64(head, HEADER_EXCEPTION + 32 + 8 * i, exception->parameters[i]);
}

static void set_runs(struct dump_head *head, const struct kda_kernel_dump *kernel)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < kernel->run_count; i++) {
        dump_set64(head, HEADER_RUNS + 16 + 16 * i, kernel->runs[i].first);
        dump_set64(head, HEADER_RUNS + 24 + 16 * i, kernel->runs[i].count);
        pages += kernel->runs[i].count;
    }
    dump_set32(head, HEADER_RUNS, (uint32_t)kernel->run_count);
    dump_set64(head, HEADER_RUNS + 8, pages);
    dump_set64(head, HEADER_SIZE_OF_FILE, HEADER_SIZE + pages * KERNEL_PAGE);
}

static void set_bytes(struct dump_head *head, size_t at, const void *bytes, size_t size)
{
    if (!head->failed)
        memcpy(head->bytes + at, bytes, size);
}

static void set_header(struct dump_head *head, const struct kda_kernel_dump *kernel)
{
    const struct kda_dump *dump = kernel->dump;
    size_t comment = dump->comment ? strlen(dump->comment) : 0;

    dump_set32(head, HEADER_MAJOR, dump->major);
    dump_set32(head, HEADER_MINOR, dump->build);
    dump_set64(head, HEADER_DIRECTORY, kernel->facts.directory);
    dump_set64(head, HEADER_MODULES, kernel->module_list);
    dump_set32(head, HEADER_MACHINE, KD_MACHINE_AMD64);
    dump_set32(head, HEADER_PROCESSORS, kernel->processors);
    set_bug_check(head, dump);
    dump_set64(head, HEADER_DATA_BLOCK, kernel->data_block);
    set_runs(head, kernel);
    set_bytes(head, HEADER_CONTEXT, dump->threads[0].context, kda_dump_context_size(dump->arch));
    set_exception(head, dump->exception);
    dump_set32(head, HEADER_TYPE, TYPE_FULL);
    dump_set64(head, HEADER_TIME, dump->time / 100 + FILETIME_OF_1970);
    set_bytes(head, HEADER_COMMENT, dump->comment,
              comment < COMMENT_SIZE ? comment : COMMENT_SIZE - 1);
    set_bytes(head, HEADER_SECONDARY, &dump->secondary, 1);
}

/* --- the interface */

const char *kda_kernel_dump_write(const struct kda_kernel_dump *kernel, kda_dump_function write,
                                  void *context)
{
    const struct output output = {write, context};
    struct dump_head head = {0};
    bool fine;

    dump_put(&head, "PAGEDU64", 8);
    dump_zero(&head, HEADER_SIZE - 8);
    set_header(&head, kernel);
    if (head.failed)
        return "out of memory";
    fine = write(context, head.bytes, head.size);
    free(head.bytes);
    for (size_t run = 0; fine && run < kernel->run_count; run++)
        fine = write_run(kernel, run, &output);
    return fine ? NULL : "cannot write all of it";
}

static const char *prepare(struct kda_kernel_dump *kernel)
{
    const char *why = kernel_make(kernel);

    if (why)
        return why;
    count_tables(kernel);
    take_physical(kernel);
    place_own(kernel);
    if (kernel->directory_offset)
        dump_set64(&kernel->made, kernel->directory_offset, kernel->facts.directory);
    kernel->facts.beyond = kernel_beyond(kernel);
    kda_kernel_dump_holes(kernel, count_hole, &kernel->facts);
    return NULL;
}

struct kda_kernel_dump *kda_kernel_dump_new(const struct kda_dump *dump, const char **why)
{
    struct kda_kernel_dump *kernel = NULL;

    if (dump->arch != KD_ARCH_AMD64)
        *why = "a kernel dump can be made of an AMD64 target only";
    else if (!dump->introduced)
        *why = "the capture lacks the target's answer to GetVersion, which says what kernel it is";
    else if (!(kernel = calloc(1, sizeof *kernel)))
        *why = "out of memory";
    if (!kernel)
        return NULL;
    kernel->dump = dump;
    *why = prepare(kernel);
    if (!*why)
        return kernel;
    kda_kernel_dump_free(kernel);
    return NULL;
}

void kda_kernel_dump_free(struct kda_kernel_dump *kernel)
{
    if (!kernel)
        return;
    free(kernel->made.bytes);
    free(kernel->specials);
    free(kernel->patches);
    free(kernel);
}

const struct kda_kernel_facts *kda_kernel_dump_facts(const struct kda_kernel_dump *kernel)
{
    return &kernel->facts;
}
