/* run_pe.c - runs a UEFI program's image as a part of this process, its faults as signals.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   run_pe FILE
 *
 * Linux on x86-64. For tests: the same image runs in QEMU, but here a million calls take
 * milliseconds, and a processor's own times can be measured. The image must need nothing but what
 * struct host offers; its entry gets that in place of the image handle, and no system table. The
 * status is what the entry returns.
 */
#define _GNU_SOURCE

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "eh/host.h"
#include "imagefile.h"

enum { SECONDS = 60, RELOCATION_DIR64 = 10, STACK = 1 << 20 };

static RT_ABI void write_text(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

static RT_ABI void stop(void)
{
    _exit(0);
}

static struct host host = {.write = write_text, .stop = stop};

/* Registers of ucontext_t in the order of the encoding. */
static const int order[] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                            REG_R8,  REG_R9,  REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

static uint32_t vector_of(int signal)
{
    return signal == SIGFPE ? 0 : signal == SIGILL ? 6 : 14;
}

static void on_signal(int signal, siginfo_t *info, void *data)
{
    ucontext_t *user = data;
    greg_t *gregs = user->uc_mcontext.gregs;
    struct rt_context context = {.flags = RT_CONTEXT_FULL};
    struct rt_fault fault = {.vector = vector_of(signal), .context = &context};

    /* The kernel tells of an address that is not canonical as the processor does: not at all. */
    if (signal == SIGSEGV && info->si_code == SI_KERNEL)
        fault.vector = 13;
    fault.address = (uint64_t)gregs[REG_CR2];
    fault.error_code = (uint32_t)gregs[REG_ERR];
    for (unsigned i = 0; i < 16; i++)
        context.gpr[i] = (uint64_t)gregs[order[i]];
    memcpy(context.xmm, user->uc_mcontext.fpregs->_xmm, sizeof context.xmm);
    context.rip = (uint64_t)gregs[REG_RIP];
    context.eflags = (uint32_t)gregs[REG_EFL];
    if (!host.fault || host.fault(&fault) != RT_FAULT_RESUME) {
        fprintf(stderr, "\nunhandled signal %d at %llx\n", signal, gregs[REG_RIP]);
        _exit(1);
    }
    for (unsigned i = 0; i < 16; i++)
        gregs[order[i]] = (greg_t)context.gpr[i];
    gregs[REG_RIP] = (greg_t)context.rip;
    gregs[REG_EFL] = (greg_t)context.eflags;
}

/* One page's relocations: u32 page, u32 size, then u16 kind << 12 | offset each. */
static bool relocate_page(const struct img_image *image, uint8_t *memory, uint32_t at,
                          uint32_t page, uint32_t size)
{
    uint64_t value, delta = (uint64_t)(uintptr_t)memory - image->base;
    uint16_t entry;

    for (uint32_t i = 8; i + 2 <= size; i += 2) {
        uint64_t place;

        if (!img_read16(image, at + i, &entry))
            return false;
        place = (uint64_t)page + (entry & 0xFFF);
        if (entry >> 12 == 0)
            continue;
        if (entry >> 12 != RELOCATION_DIR64 || place + sizeof value > image->size)
            return false;
        memcpy(&value, memory + place, sizeof value);
        value += delta;
        memcpy(memory + place, &value, sizeof value);
    }
    return true;
}

static bool relocate(const struct img_image *image, uint8_t *memory)
{
    const struct img_directory *table = &image->directories[IMG_DIRECTORY_RELOCATION];
    uint32_t page, size;

    for (uint32_t at = 0; table->size - at >= 8; at += size) {
        if (!img_read32(image, table->rva + at, &page) ||
            !img_read32(image, table->rva + at + 4, &size) || size < 8 || size > table->size - at ||
            !relocate_page(image, memory, table->rva + at, page, size))
            return false;
    }
    return true;
}

static bool fill(const struct img_image *image, uint8_t *memory)
{
    if (!img_read(image, 0, memory, image->header_size))
        return false;
    for (unsigned i = 0; i < image->section_count; i++) {
        const struct img_section *section = &image->sections[i];

        if (!img_read(image, section->rva, memory + section->rva, section->size))
            return false;
    }
    return relocate(image, memory);
}

/* NULL: says why. */
static uint8_t *load(const char *path, struct img_image *image)
{
    uint8_t *memory;

    if (!imagefile_open(path, image))
        return NULL;
    memory = mmap(NULL, image->size, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("run_pe: mmap");
        return NULL;
    }
    if (fill(image, memory))
        return memory;
    fprintf(stderr, "%s: sections or relocations that lead out of the image\n", path);
    return NULL;
}

static bool take_signals(void)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    stack_t stack = {.ss_sp = malloc(STACK), .ss_size = STACK};
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    if (!stack.ss_sp || sigaltstack(&stack, NULL) != 0)
        return false;
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
    return true;
}

int main(int argc, char **argv)
{
    static struct img_image image;
    RT_ABI uint64_t (*entry)(void *, void *);
    uint8_t *memory;

    if (argc != 2) {
        fprintf(stderr, "usage: run_pe FILE\n");
        return 2;
    }
    memory = load(argv[1], &image);
    if (!memory || !take_signals())
        return 2;
    alarm(SECONDS); /* the one bound on what the image does */
    entry = (RT_ABI uint64_t(*)(void *, void *))(uintptr_t)(memory + image.entry);
    return (int)entry(&host, NULL);
}
