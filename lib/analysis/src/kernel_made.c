/* kernel_made.c - what a kernel dump needs and the session did not tell. See kernel_dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * WinDbg finds the registers by KDDEBUGGER_DATA64: KiProcessorBlock, an array of pointers to the
 * processors' blocks, and where CONTEXT is in these. While a target runs the debugger asks for the
 * registers, and what the blocks hold is old: where all of these were captured, the registers of
 * the stop are laid over what they hold (and a list of modules that is made is named by the block,
 * which the engine takes before the header). Else such structures are made, of the fields only that
 * the engine reads (measured); what was captured of the block is kept. They are at addresses of
 * which nothing was captured.
 */
#include <stdlib.h>
#include <string.h>

#include "kernel_dump.h"

/* Where made things may be: the first of these windows in which nothing was captured. */
#define WINDOW_FIRST UINT64_C(0xFFFFFA8000000000)
#define WINDOW_SIZE  (UINT64_C(1) << 30)
#define WINDOWS      1024u

#define CONTEXT_SIZE       sizeof(struct kd_context_amd64)
#define SPECIAL_SIZE       sizeof(struct kd_special_registers_amd64)
#define MODULES_MAX        4096u /* of a captured list: it may never end */
#define PROCESSORS_MAX     4096u
#define NAME_MAX_SIZE      0x7FFEu
#define DESCRIPTOR_CODE    UINT64_C(0x00AF9B000000FFFF) /* 64-bit code */
#define DESCRIPTOR_CODE32  UINT64_C(0x00CF9B000000FFFF)
#define DESCRIPTOR_DATA    UINT64_C(0x00CF93000000FFFF)
#define DESCRIPTOR_IS_CODE UINT64_C(0x0000980000000000) /* present, no system segment, code */
#define DESCRIPTOR_WIDTH   UINT64_C(0x0060000000000000) /* 64 bits, 32 bits */
#define CODE32             0x23u                        /* selector of Windows for 32-bit code */

/* What is made of a processor's block, of a thread and its process. Without symbols of the kernel
 * the engine takes the special registers from 0x40, whatever the data block says (measured). */
enum {
    PROCESSOR_THREAD = 0x08,
    PROCESSOR_NUMBER = 0x24,
    PROCESSOR_SPECIAL = 0x40,
    PROCESSOR_CONTEXT = 0x40 + 0xF0,
    PROCESSOR_SIZE = 0x600,
    THREAD_TEB = 0x20,
    THREAD_KERNEL_STACK = 0x28,
    THREAD_PROCESS = 0x40,
    THREAD_SIZE = 0x100,
    PROCESS_DIRECTORY = 0x28,
    PROCESS_PEB = 0x30,
    PROCESS_SIZE = 0x100,
};

static bool captured(const struct kda_kernel_dump *kernel, uint64_t address, void *out, size_t size)
{
    return kda_memory_read(kernel->dump->memory, &kernel->dump->view, address, out, NULL, size) ==
           size;
}

/* Address of what is put next. */
static uint64_t made_next(struct kda_kernel_dump *kernel)
{
    dump_align(&kernel->made, 16);
    return kernel->facts.made_at + kernel->made.size;
}

static bool find_window(struct kda_kernel_dump *kernel)
{
    const struct kda_dump *dump = kernel->dump;

    for (unsigned i = 0; i < WINDOWS; i++) {
        uint64_t first = WINDOW_FIRST + i * WINDOW_SIZE, at = first;
        struct kda_extent extent;

        if (kda_memory_next_extent(dump->memory, &dump->view, &at, &extent) &&
            extent.address < first + WINDOW_SIZE)
            continue;
        kernel->facts.made_at = first;
        return true;
    }
    return false;
}

static void add_patch(struct kda_kernel_dump *kernel, uint64_t address, const void *bytes,
                      size_t size, bool below)
{
    kernel->patches[kernel->patch_count++] = (struct kernel_patch){address, size, bytes, below};
}

/* --- special registers: a descriptor of the code must be found */

static const struct kd_context_amd64 *context_of(const struct kda_kernel_dump *kernel, size_t i)
{
    return (const void *)kernel->dump->threads[i].context;
}

static struct kd_special_registers_amd64 *special_of(struct kda_kernel_dump *kernel, size_t i)
{
    return (void *)(kernel->specials + i * SPECIAL_SIZE);
}

/* What was captured of the descriptor table serves when the code's descriptor in it is one. */
static bool descriptor_captured(struct kda_kernel_dump *kernel, size_t i)
{
    uint16_t selector = kd_get16(context_of(kernel, i)->seg_cs) & 0xFFF8u;
    kd_u64 descriptor;

    return kernel->dump->threads[i].special &&
           captured(kernel, kd_get64(special_of(kernel, i)->gdtr_base) + selector, &descriptor,
                    sizeof descriptor) &&
           (kd_get64(descriptor) & DESCRIPTOR_IS_CODE) == DESCRIPTOR_IS_CODE &&
           (kd_get64(descriptor) & DESCRIPTOR_WIDTH) != 0;
}

/* A table in which all selectors of the context are those of Windows in 64-bit mode. */
static void make_descriptors(struct kda_kernel_dump *kernel, size_t i)
{
    const struct kd_context_amd64 *context = context_of(kernel, i);
    uint16_t code = kd_get16(context->seg_cs);
    const uint16_t selectors[] = {
        kd_get16(context->seg_ds), kd_get16(context->seg_es), kd_get16(context->seg_fs),
        kd_get16(context->seg_gs), kd_get16(context->seg_ss), code,
    };
    size_t most = 0, begin;

    for (unsigned j = 0; j < sizeof selectors / sizeof selectors[0]; j++)
        if (most < (selectors[j] & 0xFFF8u))
            most = selectors[j] & 0xFFF8u;
    special_of(kernel, i)->gdtr_base = kd_put64(made_next(kernel));
    special_of(kernel, i)->gdtr_limit = kd_put16((uint16_t)(most + 7));
    begin = kernel->made.size;
    dump_zero(&kernel->made, most + 8);
    for (unsigned j = 0; j < sizeof selectors / sizeof selectors[0]; j++)
        if (selectors[j] & 0xFFF8u)
            dump_set64(&kernel->made, begin + (selectors[j] & 0xFFF8u), DESCRIPTOR_DATA);
    dump_set64(&kernel->made, begin + (code & 0xFFF8u),
               code == CODE32 ? DESCRIPTOR_CODE32 : DESCRIPTOR_CODE);
    kernel->facts.made |= KDA_MADE_GDT;
}

static void gather_specials(struct kda_kernel_dump *kernel)
{
    for (size_t i = 0; i < kernel->dump->thread_count; i++) {
        if (kernel->dump->threads[i].special)
            memcpy(special_of(kernel, i), kernel->dump->threads[i].special, SPECIAL_SIZE);
        else
            kernel->facts.made |= KDA_MADE_SPECIAL;
        if (!descriptor_captured(kernel, i))
            make_descriptors(kernel, i);
    }
}

/* --- the data block */

/* What was captured of it, from its beginning; false: it is none, or not whole. */
static bool read_block(const struct kda_kernel_dump *kernel, struct kd_kddebugger_data64 *block)
{
    struct kd_kdbg_header header;
    size_t size = sizeof *block;

    *block = (struct kd_kddebugger_data64){0};
    if (!kernel->dump->data_block ||
        !captured(kernel, kernel->dump->data_block, &header, sizeof header) ||
        memcmp(header.owner_tag, "KDBG", 4) != 0)
        return false;
    if (kd_get32(header.size) < size)
        size = kd_get32(header.size);
    return captured(kernel, kernel->dump->data_block, block, size);
}

/* In the upper half, where a kernel is. */
static bool fits_above(uint64_t address, uint64_t size)
{
    return address >= UINT64_C(0xFFFF800000000000) && address <= UINT64_MAX - size;
}

/* Lays the registers over the captured blocks of the processors; the special registers also to
 * where the engine looks for them without symbols, if nothing was captured there. False, with
 * nothing done, when a block cannot be found. */
static bool use_captured(struct kda_kernel_dump *kernel, const struct kd_kddebugger_data64 *block)
{
    uint64_t array = kd_get64(block->ki_processor_block);
    uint16_t context = kd_get16(block->offset_prcb_proc_state_context);
    uint16_t special = kd_get16(block->offset_prcb_proc_state_special_reg);
    size_t before = kernel->patch_count;

    if (!context || !fits_above(kernel->dump->data_block, sizeof *block))
        return false;
    for (size_t i = 0; i < kernel->dump->thread_count; i++) {
        uint64_t at;
        kd_u64 pointer;

        if (!captured(kernel, array + 8u * kernel->dump->threads[i].processor, &pointer,
                      sizeof pointer) ||
            !fits_above(at = kd_get64(pointer), 2 * UINT64_C(0x10000))) {
            kernel->patch_count = before;
            return false;
        }
        add_patch(kernel, at + context, kernel->dump->threads[i].context, CONTEXT_SIZE, false);
        if (special)
            add_patch(kernel, at + special, special_of(kernel, i), SPECIAL_SIZE, false);
        add_patch(kernel, at + PROCESSOR_SPECIAL, special_of(kernel, i), SPECIAL_SIZE, true);
    }
    kernel->data_block = kernel->dump->data_block;
    kernel->facts.made |= KDA_MADE_REGISTERS;
    kernel->list_pointer = kd_put64(kernel->module_list);
    if (kernel->facts.made & KDA_MADE_MODULES)
        add_patch(kernel,
                  kernel->data_block + offsetof(struct kd_kddebugger_data64, ps_loaded_module_list),
                  &kernel->list_pointer, sizeof kernel->list_pointer, false);
    return true;
}

/* A thread and its process, for all processors. Returns the thread's address. */
static uint64_t make_thread(struct kda_kernel_dump *kernel)
{
    uint64_t address = made_next(kernel);
    size_t begin = kernel->made.size;

    dump_zero(&kernel->made, THREAD_SIZE + PROCESS_SIZE);
    dump_set64(&kernel->made, begin + THREAD_PROCESS, address + THREAD_SIZE);
    kernel->directory_offset = begin + THREAD_SIZE + PROCESS_DIRECTORY;
    return address;
}

static uint64_t make_processor(struct kda_kernel_dump *kernel, size_t i, uint64_t thread)
{
    uint64_t address = made_next(kernel);
    size_t begin = kernel->made.size;

    dump_zero(&kernel->made, PROCESSOR_SPECIAL);
    dump_set64(&kernel->made, begin + PROCESSOR_THREAD, thread);
    dump_set32(&kernel->made, begin + PROCESSOR_NUMBER, kernel->dump->threads[i].processor);
    dump_put(&kernel->made, special_of(kernel, i), SPECIAL_SIZE);
    dump_put(&kernel->made, kernel->dump->threads[i].context, CONTEXT_SIZE);
    return address;
}

/* An array of as many pointers as the target has processors; one whose registers are not known has
 * none. Returns its address. */
static uint64_t make_processors(struct kda_kernel_dump *kernel)
{
    uint32_t count = kernel->processors;
    uint64_t thread = make_thread(kernel), address = made_next(kernel);
    size_t begin = kernel->made.size;

    dump_zero(&kernel->made, 8 * (size_t)(count + 1));
    for (size_t i = 0; i < kernel->dump->thread_count; i++) {
        uint16_t processor = kernel->dump->threads[i].processor;

        dump_set64(&kernel->made, begin + 8u * processor, make_processor(kernel, i, thread));
    }
    return address;
}

static void make_block(struct kda_kernel_dump *kernel, struct kd_kddebugger_data64 *block)
{
    uint64_t array = make_processors(kernel);

    kernel->data_block = made_next(kernel);
    block->list_flink = block->list_blink = kd_put64(kernel->data_block);
    memcpy(block->owner_tag, "KDBG", 4);
    block->size = kd_put32(sizeof *block);
    block->kern_base = kd_put64(kernel->dump->kern_base);
    block->ps_loaded_module_list = kd_put64(kernel->module_list);
    block->mm_page_size = kd_put64(KERNEL_PAGE);
    block->ki_processor_block = kd_put64(array);
    block->offset_kthread_teb = kd_put16(THREAD_TEB);
    block->offset_kthread_kernel_stack = kd_put16(THREAD_KERNEL_STACK);
    block->offset_kthread_apc_process = kd_put16(THREAD_PROCESS);
    block->size_eprocess = kd_put16(PROCESS_SIZE);
    block->offset_eprocess_peb = kd_put16(PROCESS_PEB);
    block->offset_eprocess_directory_table_base = kd_put16(PROCESS_DIRECTORY);
    block->size_prcb = kd_put16(PROCESSOR_SIZE);
    block->offset_prcb_current_thread = kd_put16(PROCESSOR_THREAD);
    block->offset_prcb_proc_state_context = kd_put16(PROCESSOR_CONTEXT);
    block->offset_prcb_proc_state_special_reg = kd_put16(PROCESSOR_SPECIAL);
    block->offset_prcb_number = kd_put16(PROCESSOR_NUMBER);
    block->size_ethread = kd_put16(THREAD_SIZE);
    dump_put(&kernel->made, block, sizeof *block);
    kernel->facts.made |= KDA_MADE_DATA_BLOCK;
}

/* --- modules */

static bool is_module(const struct kda_dump *dump, uint64_t base)
{
    size_t low = 0, high = dump->module_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (dump->modules[middle].base < base)
            low = middle + 1;
        else
            high = middle;
    }
    return low < dump->module_count && dump->modules[low].base == base;
}

static bool is_kernel(const struct kda_dump *dump)
{
    return dump->major >> 8 == KD_KIND_NT;
}

static bool entry_captured(const struct kda_kernel_dump *kernel, uint64_t address,
                           struct kd_ldr_data_table_entry64 *entry)
{
    uint8_t bytes[KD_KLDR_SIZE];

    if (!captured(kernel, address, bytes, is_kernel(kernel->dump) ? sizeof bytes : sizeof *entry))
        return false;
    memcpy(entry, bytes, sizeof *entry);
    return true;
}

static bool name_captured(const struct kda_kernel_dump *kernel, kd_u64 buffer, kd_u16 length)
{
    uint8_t text[512];
    size_t size = kd_get16(length);

    return size > 0 && size <= sizeof text && captured(kernel, kd_get64(buffer), text, size);
}

/* The target's own list serves when it leads back to its head, the names that WinDbg takes of it
 * (the full one, else the other) can be read, and no module is missing. Modules of the dump are
 * sorted, no address is there twice. */
static bool list_captured(const struct kda_kernel_dump *kernel)
{
    uint64_t head = kernel->dump->module_list, at;
    struct kd_list_entry64 link;
    struct kd_ldr_data_table_entry64 entry;
    size_t found = 0;

    if (!head || !captured(kernel, head, &link, sizeof link))
        return false;
    at = kd_get64(link.flink);
    for (unsigned i = 0; i < MODULES_MAX && at != head; i++) {
        if (!entry_captured(kernel, at, &entry) ||
            (!name_captured(kernel, entry.full_name_buffer, entry.full_name_length) &&
             !name_captured(kernel, entry.base_name_buffer, entry.base_name_length)))
            return false;
        found += is_module(kernel->dump, kd_get64(entry.dll_base));
        at = kd_get64(entry.load_order_flink);
    }
    return at == head && found == kernel->dump->module_count;
}

static uint32_t base_name_offset(const struct kda_dump_module *module)
{
    uint32_t at = module->name_size;

    while (at > 0 && module->name[at - 1] != '\\' && module->name[at - 1] != '/')
        at--;
    return at;
}

/* A UNICODE_STRING at an offset of what is made: lengths, then the address of the text. */
static void set_name(struct kda_kernel_dump *kernel, size_t at, uint64_t address, uint32_t size)
{
    dump_set32(&kernel->made, at, size | size << 16);
    dump_set64(&kernel->made, at + 8, address);
}

/* The entry at this offset, which leads to the one before and the next. */
static void make_module(struct kda_kernel_dump *kernel, size_t begin,
                        const struct kda_dump_module *module)
{
    uint32_t base = base_name_offset(module), size, front;
    uint64_t text = made_next(kernel);

    front = dump_put_utf16(&kernel->made, module->name, base);
    size = front + dump_put_utf16(&kernel->made, module->name + base, module->name_size - base);
    if (size > NAME_MAX_SIZE || front >= size)
        front = size = 0;
    set_name(kernel, begin + offsetof(struct kd_ldr_data_table_entry64, full_name_length), text,
             size);
    set_name(kernel, begin + offsetof(struct kd_ldr_data_table_entry64, base_name_length),
             text + front, size - front);
    dump_set64(&kernel->made, begin + offsetof(struct kd_ldr_data_table_entry64, dll_base),
               module->base);
    dump_set32(&kernel->made, begin + offsetof(struct kd_ldr_data_table_entry64, size_of_image),
               module->size);
    dump_set32(&kernel->made, begin + KD_KLDR_SIZE_OF_IMAGE, module->size);
    dump_set32(&kernel->made, begin + KD_KLDR_TIME_DATE_STAMP, module->timestamp);
    dump_set32(&kernel->made, begin + offsetof(struct kd_ldr_data_table_entry64, check_sum),
               module->checksum);
    dump_set32(&kernel->made, begin + offsetof(struct kd_ldr_data_table_entry64, time_date_stamp),
               module->timestamp);
}

static void make_modules(struct kda_kernel_dump *kernel)
{
    size_t count = kernel->dump->module_count, begin;

    kernel->module_list = made_next(kernel);
    begin = kernel->made.size;
    dump_zero(&kernel->made, (count + 1) * KD_KLDR_SIZE);
    for (size_t i = 0; i <= count; i++) { /* the head is the first, and leads on like the others */
        size_t next = (i + 1) % (count + 1), last = (i + count) % (count + 1);

        dump_set64(&kernel->made, begin + i * KD_KLDR_SIZE,
                   kernel->module_list + next * KD_KLDR_SIZE);
        dump_set64(&kernel->made, begin + i * KD_KLDR_SIZE + 8,
                   kernel->module_list + last * KD_KLDR_SIZE);
        if (i > 0)
            make_module(kernel, begin + i * KD_KLDR_SIZE, &kernel->dump->modules[i - 1]);
    }
    kernel->facts.made |= KDA_MADE_MODULES;
}

/* --- all of it */

static void make_all(struct kda_kernel_dump *kernel)
{
    struct kd_kddebugger_data64 block;

    gather_specials(kernel);
    if (list_captured(kernel))
        kernel->module_list = kernel->dump->module_list;
    else
        make_modules(kernel);
    if (!read_block(kernel, &block) || !use_captured(kernel, &block))
        make_block(kernel, &block);
    if (kernel->made.size == 0) {
        kernel->facts.made_at = 0;
        return;
    }
    dump_align(&kernel->made, KERNEL_PAGE);
    kernel->facts.made_size = kernel->made.size;
    add_patch(kernel, kernel->facts.made_at, kernel->made.bytes, kernel->made.size, false);
}

const char *kernel_make(struct kda_kernel_dump *kernel)
{
    size_t threads = kernel->dump->thread_count;

    kernel->processors = kernel->dump->processors;
    for (size_t i = 0; i < threads; i++)
        if (kernel->processors <= kernel->dump->threads[i].processor)
            kernel->processors = kernel->dump->threads[i].processor + 1u;
    if (kernel->processors > PROCESSORS_MAX)
        return "the target says that it has more than 4096 processors";
    if (!find_window(kernel))
        return "no addresses are free for the page tables' structures: memory was captured all "
               "over the upper half";
    kernel->specials = calloc(threads + 1, SPECIAL_SIZE);
    kernel->patches = calloc(3 * threads + 2, sizeof *kernel->patches);
    if (!kernel->specials || !kernel->patches)
        return "out of memory";
    make_all(kernel);
    return kernel->made.failed ? "out of memory" : NULL;
}
