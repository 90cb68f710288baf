/* x86.h - the processor instructions that C has no words for.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef HVHOST_X86_H
#define HVHOST_X86_H

#include <stdint.h>

struct x86_table {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

struct x86_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline void x86_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void x86_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void x86_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline uint8_t x86_in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t x86_in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t x86_in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

/* All bytes to one port, in one instruction: an emulator takes them much faster. */
static inline void x86_out_string(uint16_t port, const void *bytes, uint64_t size)
{
    __asm__ volatile("rep outsb" : "+S"(bytes), "+c"(size) : "d"(port) : "memory");
}

static inline uint64_t x86_rdmsr(uint32_t index)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(index));
    return (uint64_t)high << 32 | low;
}

static inline void x86_wrmsr(uint32_t index, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(index), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

static inline struct x86_cpuid x86_cpuid(uint32_t leaf, uint32_t subleaf)
{
    struct x86_cpuid out;

    __asm__ volatile("cpuid"
                     : "=a"(out.eax), "=b"(out.ebx), "=c"(out.ecx), "=d"(out.edx)
                     : "a"(leaf), "c"(subleaf));
    return out;
}

static inline uint64_t x86_rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline void x86_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

/* Orders all loads and stores before it against all after it. */
static inline void x86_fence(void)
{
    __asm__ volatile("mfence" : : : "memory");
}

#define X86_READ_REGISTER(name)                                 \
    static inline uint64_t x86_##name(void)                     \
    {                                                           \
        uint64_t value;                                         \
        __asm__ volatile("movq %%" #name ", %0" : "=r"(value)); \
        return value;                                           \
    }
X86_READ_REGISTER(cr0)
X86_READ_REGISTER(cr2)
X86_READ_REGISTER(cr3)
X86_READ_REGISTER(cr4)
X86_READ_REGISTER(cr8)
X86_READ_REGISTER(dr6)
X86_READ_REGISTER(dr7)
#undef X86_READ_REGISTER

static inline void x86_write_cr8(uint64_t value)
{
    __asm__ volatile("movq %0, %%cr8" : : "r"(value) : "memory");
}

#define X86_SEGMENT(name)                                       \
    static inline uint16_t x86_##name(void)                     \
    {                                                           \
        uint16_t value;                                         \
        __asm__ volatile("movw %%" #name ", %0" : "=r"(value)); \
        return value;                                           \
    }
X86_SEGMENT(cs)
X86_SEGMENT(ds)
X86_SEGMENT(es)
X86_SEGMENT(ss)
#undef X86_SEGMENT

static inline struct x86_table x86_sgdt(void)
{
    struct x86_table table;

    __asm__ volatile("sgdt %0" : "=m"(table));
    return table;
}

static inline struct x86_table x86_sidt(void)
{
    struct x86_table table;

    __asm__ volatile("sidt %0" : "=m"(table));
    return table;
}

static inline void x86_lgdt(struct x86_table table)
{
    __asm__ volatile("lgdt %0" : : "m"(table));
}

static inline void x86_lidt(struct x86_table table)
{
    __asm__ volatile("lidt %0" : : "m"(table));
}

/* Interrupts off; the flags as they were. */
static inline uint64_t x86_interrupts_off(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq\n\tpopq %0\n\tcli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void x86_flags(uint64_t flags)
{
    __asm__ volatile("pushq %0\n\tpopfq" : : "r"(flags) : "memory", "cc");
}

#endif
