/* dump.h - files that debuggers open: the state of a target at a stop, as a capture tells of it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * kda_minidump makes what WinDbg calls a user minidump with full memory: the only kind that takes
 * registers, modules and memory at any address, kernel addresses too, without the structures of a
 * Windows kernel around them. kda_elf_core makes an ELF core file of one task for each processor.
 * Both hold the bytes that were captured and nothing made up. kda_kernel_dump makes a complete
 * kernel dump, which wants more than a session tells: what it makes up it says.
 *
 * Layouts: MINIDUMP_HEADER and its streams as minidumpapiset.h documents them; ELF and its notes as
 * elf(5), core files of Linux (struct elf_prstatus) and the System V ABI do.
 */
#ifndef ANALYSIS_DUMP_H
#define ANALYSIS_DUMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/memory.h"
#include "kd/protocol.h"

struct kda_dump_thread {
    uint16_t processor;
    const uint8_t *context; /* CONTEXT of the architecture, whole: kda_dump_context_size */
    const uint8_t *special; /* special registers of the architecture; NULL: not known */
};

struct kda_dump_module {
    uint64_t base;
    uint32_t size, checksum, timestamp;
    const uint8_t *name; /* path, UTF-8 */
    uint32_t name_size;
    const uint8_t *codeview; /* RSDS record; NULL: not known */
    uint32_t codeview_size;
};

struct kda_dump_exception {
    uint32_t code, flags;
    uint64_t address;
    uint32_t parameter_count; /* at most 15 */
    uint64_t parameters[15];
};

struct kda_dump {
    enum kd_arch arch;                     /* AMD64, X86 or ARM64 */
    uint16_t build;                        /* of the system, as GetVersion says; 0: not known */
    uint32_t processors;                   /* of the target */
    uint64_t time;                         /* nanoseconds since 1970 */
    const struct kda_dump_thread *threads; /* the processor of the stop first */
    size_t thread_count;
    const struct kda_dump_module *modules;
    size_t module_count;
    const struct kda_dump_exception *exception; /* of the first thread; NULL: none */
    const struct kda_memory *memory;
    struct kda_view view;
    const char *comment; /* ASCII */
    /* For a kernel dump: physical memory, and what GetVersion and DebuggerDataList say. */
    const struct kda_memory *physical;
    bool introduced; /* GetVersion was answered */
    uint16_t major;
    uint8_t secondary;               /* KdSecondaryVersion */
    uint64_t kern_base, module_list; /* 0: none */
    uint64_t data_block;             /* KDDEBUGGER_DATA64; 0: not known */
};

/* Bytes of CONTEXT; 0: no dump can be made of this architecture. */
size_t kda_dump_context_size(enum kd_arch arch);

typedef bool (*kda_dump_function)(void *context, const uint8_t *bytes, size_t size);

/* Hand the file out from its beginning to its end. NULL when done, else why not, part of a
 * sentence; a false of `write` is "cannot write all of it". */
const char *kda_minidump(const struct kda_dump *dump, kda_dump_function write, void *context);
const char *kda_elf_core(const struct kda_dump *dump, kda_dump_function write, void *context);

/* --- a complete kernel dump of an AMD64 target
 *
 * Each page of virtual memory of which a byte was captured has a page of its own in the dump, and
 * page tables lead to it. Captured physical memory is at its own page numbers, the made-up pages
 * are where none was captured. In a page that was captured in part the rest holds
 * KDA_KERNEL_FILL, and is a hole.
 *
 * The file has a page for each page that was captured, virtual or physical, one for the top of the
 * page tables, at most three tables for each of the pages of virtual memory (one for all within 2
 * MiB, one more for each GiB, one for each 512 GiB), and what is made up: for a processor less than
 * 2 KiB and a descriptor table of at most 64 KiB, for a module 160 bytes and its path. In memory is
 * only what is made up. */

#define KDA_KERNEL_FILL 0x3Fu /* '?' */

/* What of it the session did not tell. */
enum kda_kernel_made {
    KDA_MADE_DATA_BLOCK = 1, /* KDDEBUGGER_DATA64, processors' blocks, a thread, a process */
    KDA_MADE_REGISTERS = 2,  /* instead: registers of the stop are laid over what was captured of
                              * the processors' blocks, which is older */
    KDA_MADE_MODULES = 4,    /* list of loaded modules, from those of the dump */
    KDA_MADE_GDT = 8,        /* of at least one processor: descriptors of its code and data */
    KDA_MADE_SPECIAL = 16    /* of at least one processor: special registers, which are zero */
};

struct kda_kernel_facts {
    uint32_t made;                    /* enum kda_kernel_made */
    uint64_t made_at, made_size;      /* virtual addresses that they are at; 0: nothing */
    uint64_t table_pages;             /* page tables, the directory table base is the first */
    uint64_t directory;               /* physical address of it */
    uint64_t pages;                   /* of virtual memory, what was made included */
    uint64_t physical_pages;          /* of captured physical memory */
    uint64_t holes, hole_bytes;       /* virtual and physical */
    uint64_t beyond, beyond_physical; /* bytes that were captured and are not in the dump: at no
                                       * address that four levels of tables reach; in more runs
                                       * of pages than a header takes */
};

struct kda_kernel_hole {
    bool physical;
    uint64_t address, size;
};

struct kda_kernel_dump;

/* What a dump of it is made of. NULL with *why, part of a sentence, when there can be none. `dump`
 * and all that it refers to must outlive it. */
struct kda_kernel_dump *kda_kernel_dump_new(const struct kda_dump *dump, const char **why);
void kda_kernel_dump_free(struct kda_kernel_dump *kernel);
const struct kda_kernel_facts *kda_kernel_dump_facts(const struct kda_kernel_dump *kernel);

/* Holes, those of virtual memory first, ascending. One may span pages. */
typedef void (*kda_kernel_hole_function)(void *context, const struct kda_kernel_hole *hole);
void kda_kernel_dump_holes(const struct kda_kernel_dump *kernel, kda_kernel_hole_function tell,
                           void *context);

/* As kda_minidump. */
const char *kda_kernel_dump_write(const struct kda_kernel_dump *kernel, kda_dump_function write,
                                  void *context);

#endif
