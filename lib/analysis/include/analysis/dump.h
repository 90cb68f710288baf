/* dump.h - files that debuggers open: the state of a target at a stop, as a capture tells of it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * kda_minidump makes what WinDbg calls a user minidump with full memory: the only kind that takes
 * registers, modules and memory at any address, kernel addresses too, without the structures of a
 * Windows kernel around them. kda_elf_core makes an ELF core file of one task for each processor.
 * Both hold the bytes that were captured and nothing made up.
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
};

/* Bytes of CONTEXT; 0: no dump can be made of this architecture. */
size_t kda_dump_context_size(enum kd_arch arch);

typedef bool (*kda_dump_function)(void *context, const uint8_t *bytes, size_t size);

/* Hand the file out from its beginning to its end. NULL when done, else why not, part of a
 * sentence; a false of `write` is "cannot write all of it". */
const char *kda_minidump(const struct kda_dump *dump, kda_dump_function write, void *context);
const char *kda_elf_core(const struct kda_dump *dump, kda_dump_function write, void *context);

#endif
