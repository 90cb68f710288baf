/* run_pe.c - runs a UEFI program's image as a part of this process, its faults as signals.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   run_pe FILE
 *
 * Linux on x86-64. The image must need nothing but what struct host offers.
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
#include "image/image.h"

enum { SECONDS = 60, RELOCATION_DIR64 = 10, STACK = 1 << 20 };

static struct host host;

static RT_ABI void write_text(const char *text)
{
    fputs(text, stdout);
    fflush(stdout);
}

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
    if (host.fault(&fault) != RT_FAULT_RESUME) {
        fprintf(stderr, "\nunhandled signal %d at %llx\n", signal, gregs[REG_RIP]);
        _exit(1);
    }
    for (unsigned i = 0; i < 16; i++)
        gregs[order[i]] = (greg_t)context.gpr[i];
    gregs[REG_RIP] = (greg_t)context.rip;
    gregs[REG_EFL] = (greg_t)context.eflags;
}

static bool relocate(const struct img_image *image, uint8_t *memory, uint64_t delta)
{
    const struct img_directory *table = &image->directories[IMG_DIRECTORY_RELOCATION];
    uint32_t at = 0;

    while (table->size - at >= 8) {
        uint32_t page, size;

        if (!img_read32(image, table->rva + at, &page) ||
            !img_read32(image, table->rva + at + 4, &size) || size < 8 || size > table->size - at)
            return false;
        for (uint32_t i = 8; i < size; i += 2) {
            uint16_t entry;
            uint64_t value;

            if (!img_read16(image, table->rva + at + i, &entry))
                return false;
            if (entry >> 12 != RELOCATION_DIR64)
                continue;
            memcpy(&value, memory + page + (entry & 0xFFF), sizeof value);
            value += delta;
            memcpy(memory + page + (entry & 0xFFF), &value, sizeof value);
        }
        at += size;
    }
    return true;
}

static uint8_t *load(FILE *file, struct img_image *image)
{
    static uint8_t data[16 << 20];
    size_t size = fread(data, 1, sizeof data, file);
    struct img_source source = img_memory_source(data, size, IMG_FILE);
    enum img_result result = img_open(image, &source, 0);
    uint8_t *memory;

    if (result != IMG_OK) {
        fprintf(stderr, "run_pe: %s\n", img_result_text(result));
        return NULL;
    }
    memory = mmap(NULL, image->size, PROT_READ | PROT_WRITE | PROT_EXEC,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        perror("run_pe: mmap");
        return NULL;
    }
    memcpy(memory, data, image->header_size);
    for (unsigned i = 0; i < image->section_count; i++) {
        const struct img_section *section = &image->sections[i];

        if (!img_read(image, section->rva, memory + section->rva, section->size))
            return NULL;
    }
    return relocate(image, memory, (uint64_t)(uintptr_t)memory - image->base) ? memory : NULL;
}

int main(int argc, char **argv)
{
    static const int signals[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL};
    static struct img_image image;
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    stack_t stack = {.ss_sp = malloc(STACK), .ss_size = STACK};
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};
    RT_ABI uint64_t (*entry)(void *, void *);
    uint8_t *memory;

    if (!file) {
        fprintf(stderr, "usage: run_pe FILE\n");
        return 2;
    }
    memory = load(file, &image);
    fclose(file);
    if (!memory || !stack.ss_sp)
        return 1;
    sigaltstack(&stack, NULL);
    for (unsigned i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaction(signals[i], &action, NULL);
    alarm(SECONDS); /* the one bound on what the image does */
    host.write = write_text;
    entry = (RT_ABI uint64_t(*)(void *, void *))(uintptr_t)(memory + image.entry);
    return (int)entry(&host, NULL);
}
