/* elf_core.c - an ELF core file. See dump.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The file: ELF header, program headers (one of notes, one for each run of memory), when these are
 * too many for e_phnum a section header that counts them, the notes, the memory. A task is a
 * processor, its number from 1; the first is that of the stop. Addresses of x86 have 32 bits; KD
 * sends them with the sign extended.
 */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "dump_parts.h"

enum {
    ET_CORE = 4,
    PT_LOAD = 1,
    PT_NOTE = 4,
    PN_XNUM = 0xFFFF,
    NT_PRSTATUS = 1,
    NT_FPREGSET = 2,
    NT_FILE = 0x46494C45,
    SIGNAL_ILLEGAL = 4,
    SIGNAL_TRAP = 5,
    SIGNAL_BUS = 7,
    SIGNAL_ARITHMETIC = 8,
    SIGNAL_ACCESS = 11,
    PAGE = 4096,
};

/* What an architecture's registers are in a core file: in order, an offset in CONTEXT with its
 * size. */
struct slot {
    uint16_t offset;
    uint8_t size; /* 0: nothing there, the slot is zero */
};

#define AMD64(member)                                                \
    {                                                                \
        offsetof(struct kd_context_amd64, member),                   \
            (uint8_t)sizeof(((struct kd_context_amd64 *)0)->member), \
    }
#define X86(member)                                                \
    {                                                              \
        offsetof(struct kd_context_x86, member),                   \
            (uint8_t)sizeof(((struct kd_context_x86 *)0)->member), \
    }

static const struct slot amd64_slots[] = {
    AMD64(r15),
    AMD64(r14),
    AMD64(r13),
    AMD64(r12),
    AMD64(rbp),
    AMD64(rbx),
    AMD64(r11),
    AMD64(r10),
    AMD64(r9),
    AMD64(r8),
    AMD64(rax),
    AMD64(rcx),
    AMD64(rdx),
    AMD64(rsi),
    AMD64(rdi),
    {0, 0} /* orig_rax */,
    AMD64(rip),
    AMD64(seg_cs),
    AMD64(eflags),
    AMD64(rsp),
    AMD64(seg_ss),
    {0, 0} /* fs_base */,
    {0, 0} /* gs_base */,
    AMD64(seg_ds),
    AMD64(seg_es),
    AMD64(seg_fs),
    AMD64(seg_gs),
};

static const struct slot x86_slots[] = {
    X86(ebx), X86(ecx),    X86(edx),    X86(esi),    X86(edi),    X86(ebp),
    X86(eax), X86(seg_ds), X86(seg_es), X86(seg_fs), X86(seg_gs), {0, 0} /* orig_eax */,
    X86(eip), X86(seg_cs), X86(eflags), X86(esp),    X86(seg_ss),
};

#define ARM64_REGISTERS 33u /* x0 to x28, fp, lr, sp, pc: one behind the other; cpsr follows */

struct format {
    enum kd_arch arch;
    uint16_t machine; /* e_machine */
    bool wide;        /* ELFCLASS64 */
};

static const struct format formats[] = {
    {KD_ARCH_AMD64, 62, true},
    {KD_ARCH_X86, 3, false},
    {KD_ARCH_ARM64, 183, true},
};

/* A field as wide as an address. */
static void put_word(struct dump_head *head, const struct format *format, uint64_t value)
{
    if (format->wide)
        dump_put64(head, value);
    else
        dump_put32(head, (uint32_t)value);
}

/* --- notes */

static size_t begin_note(struct dump_head *head, uint32_t type)
{
    dump_put32(head, 5);
    dump_put32(head, 0); /* the size, see end_note */
    dump_put32(head, type);
    dump_put(head, "CORE\0\0\0", 8);
    return head->size;
}

static void end_note(struct dump_head *head, size_t begin)
{
    dump_set32(head, begin - 16, (uint32_t)(head->size - begin));
    dump_align(head, 4);
}

static void put_slots(struct dump_head *head, const struct slot *slots, size_t count, size_t width,
                      const uint8_t *context)
{
    for (size_t i = 0; i < count; i++) {
        dump_put(head, context + slots[i].offset, slots[i].size);
        dump_zero(head, width - slots[i].size);
    }
}

static void put_registers(struct dump_head *head, const struct format *format,
                          const uint8_t *context)
{
    if (format->arch == KD_ARCH_AMD64) {
        put_slots(head, amd64_slots, sizeof amd64_slots / sizeof amd64_slots[0], 8, context);
    } else if (format->arch == KD_ARCH_X86) {
        put_slots(head, x86_slots, sizeof x86_slots / sizeof x86_slots[0], 4, context);
    } else {
        dump_put(head, context + offsetof(struct kd_context_arm64, x0), 8 * ARM64_REGISTERS);
        dump_put(head, context + offsetof(struct kd_context_arm64, cpsr), 4);
        dump_zero(head, 4);
    }
}

static uint16_t signal_of(const struct kda_dump_exception *exception)
{
    if (!exception)
        return 0;
    switch (exception->code) {
    case KD_NT(STATUS_ACCESS_VIOLATION):
    case KD_NT(STATUS_IN_PAGE_ERROR):
        return SIGNAL_ACCESS;
    case KD_NT(STATUS_ILLEGAL_INSTRUCTION):
    case KD_NT(STATUS_PRIVILEGED_INSTRUCTION):
        return SIGNAL_ILLEGAL;
    case KD_NT(STATUS_DATATYPE_MISALIGNMENT):
        return SIGNAL_BUS;
    case KD_NT(STATUS_INTEGER_DIVIDE_BY_ZERO):
    case KD_NT(STATUS_INTEGER_OVERFLOW):
        return SIGNAL_ARITHMETIC;
    default:
        return SIGNAL_TRAP;
    }
}

/* struct elf_prstatus. */
static void put_status(struct dump_head *head, const struct format *format,
                       const struct kda_dump_thread *thread, uint16_t signal)
{
    size_t begin = begin_note(head, NT_PRSTATUS);

    dump_put32(head, signal);
    dump_zero(head, 8);
    dump_put16(head, signal);
    dump_zero(head, 2);
    put_word(head, format, 0);
    put_word(head, format, 0);
    dump_put32(head, thread->processor + 1u);
    dump_zero(head, 12);                     /* parent, group, session */
    dump_zero(head, format->wide ? 64 : 32); /* times */
    put_registers(head, format, thread->context);
    dump_put32(head, format->arch != KD_ARCH_X86);
    if (format->wide)
        dump_zero(head, 4);
    end_note(head, begin);
}

/* AMD64: FXSAVE; ARM64: struct user_fpsimd_state. */
static void put_float(struct dump_head *head, const struct format *format, const uint8_t *context)
{
    size_t begin;

    if (format->arch == KD_ARCH_X86)
        return;
    begin = begin_note(head, NT_FPREGSET);
    if (format->arch == KD_ARCH_AMD64) {
        dump_put(head, context + offsetof(struct kd_context_amd64, control_word), 512);
    } else {
        dump_put(head, context + offsetof(struct kd_context_arm64, v), 512);
        dump_put(head, context + offsetof(struct kd_context_arm64, fpsr), 4);
        dump_put(head, context + offsetof(struct kd_context_arm64, fpcr), 4);
        dump_zero(head, 8);
    }
    end_note(head, begin);
}

/* Which file is where, as Linux says it of mapped files. */
static void put_modules(struct dump_head *head, const struct format *format,
                        const struct kda_dump *dump)
{
    size_t begin = begin_note(head, NT_FILE);

    put_word(head, format, dump->module_count);
    put_word(head, format, PAGE);
    for (size_t i = 0; i < dump->module_count; i++) {
        put_word(head, format, dump->modules[i].base);
        put_word(head, format, dump->modules[i].base + dump->modules[i].size);
        put_word(head, format, 0);
    }
    for (size_t i = 0; i < dump->module_count; i++) {
        const uint8_t *end = memchr(dump->modules[i].name, 0, dump->modules[i].name_size);

        dump_put(head, dump->modules[i].name,
                 end ? (size_t)(end - dump->modules[i].name) : dump->modules[i].name_size);
        dump_zero(head, 1);
    }
    end_note(head, begin);
}

static void put_notes(struct dump_head *head, const struct format *format,
                      const struct kda_dump *dump)
{
    for (size_t i = 0; i < dump->thread_count; i++) {
        put_status(head, format, &dump->threads[i], i == 0 ? signal_of(dump->exception) : 0);
        put_float(head, format, dump->threads[i].context);
        if (i == 0)
            put_modules(head, format, dump);
    }
}

/* --- headers */

/* count: of program headers. */
static void put_header(struct dump_head *head, const struct format *format, size_t count)
{
    uint16_t header = format->wide ? 64 : 52, row = format->wide ? 56 : 32;
    bool many = count >= PN_XNUM;

    dump_put(head,
             "\x7f"
             "ELF",
             4);
    dump_put(head, format->wide ? "\2\1\1" : "\1\1\1", 3); /* class, little-endian, version */
    dump_zero(head, 9);
    dump_put16(head, ET_CORE);
    dump_put16(head, format->machine);
    dump_put32(head, 1);
    put_word(head, format, 0);
    put_word(head, format, header);
    put_word(head, format, many ? header + (uint64_t)count * row : 0);
    dump_put32(head, 0);
    dump_put16(head, header);
    dump_put16(head, row);
    dump_put16(head, many ? PN_XNUM : (uint16_t)count);
    dump_put16(head, format->wide ? 64 : 40);
    dump_put16(head, many);
    dump_put16(head, 0);
}

static void put_row(struct dump_head *head, const struct format *format, uint32_t type,
                    uint64_t offset, uint64_t address, uint64_t size, bool loaded)
{
    const uint32_t flags = loaded ? 7 : 4; /* which access is allowed was not captured */

    dump_put32(head, type);
    if (format->wide)
        dump_put32(head, flags);
    put_word(head, format, offset);
    put_word(head, format, address);
    put_word(head, format, 0);
    put_word(head, format, size);
    put_word(head, format, loaded ? size : 0);
    if (!format->wide)
        dump_put32(head, flags);
    put_word(head, format, loaded ? 1 : 4);
}

/* The section header that counts program headers beyond 65534, in sh_info. */
static void put_count(struct dump_head *head, const struct format *format, size_t count)
{
    if (count < PN_XNUM)
        return;
    dump_zero(head, format->wide ? 44 : 28);
    dump_put32(head, (uint32_t)count);
    dump_zero(head, format->wide ? 16 : 8);
}

static void put_rows(struct dump_head *head, const struct format *format,
                     const struct kda_dump *dump, const struct dump_head *notes, size_t count)
{
    uint64_t offset = head->size + count * (format->wide ? 56u : 32u);
    struct kda_extent extent;

    if (count >= PN_XNUM)
        offset += format->wide ? 64 : 40;
    put_row(head, format, PT_NOTE, offset, 0, notes->size, false);
    offset += notes->size;
    for (uint64_t at = 0; kda_memory_next_extent(dump->memory, &dump->view, &at, &extent);) {
        put_row(head, format, PT_LOAD, offset, extent.address, extent.size, true);
        offset += extent.size;
    }
}

const char *kda_elf_core(const struct kda_dump *dump, kda_dump_function write, void *context)
{
    const struct format *format = NULL;
    struct dump_head head = {0}, notes = {0};
    size_t count = dump_extent_count(dump) + 1;

    for (unsigned i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (formats[i].arch == dump->arch)
            format = &formats[i];
    if (!format)
        return "there is no core file for this architecture";
    put_notes(&notes, format, dump);
    put_header(&head, format, count);
    put_rows(&head, format, dump, &notes, count);
    put_count(&head, format, count);
    dump_put(&head, notes.bytes, notes.size);
    head.failed |= notes.failed;
    free(notes.bytes);
    return dump_write(dump, &head, write, context);
}
