/* cpu.h - single instructions, for the arch code only.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDA_X64_CPU_H
#define KDA_X64_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define X64_CR0_WP      (UINT64_C(1) << 16)
#define X64_CR4_LA57    (UINT64_C(1) << 12)
#define X64_CR4_OSXSAVE (UINT64_C(1) << 18)
#define X64_CR4_CET     (UINT64_C(1) << 23)
#define X64_RFLAGS_TF   UINT64_C(0x100)
#define X64_RFLAGS_IF   UINT64_C(0x200)
#define X64_RFLAGS_RF   UINT64_C(0x10000)
#define X64_DR6_RESET   UINT64_C(0xFFFF0FF0)
#define X64_DR6_BS      UINT64_C(0x4000)
#define X64_DR6_BD      UINT64_C(0x2000)
#define X64_DR7_RESET   UINT64_C(0x400)
#define X64_DR7_GD      UINT64_C(0x2000)

#define X64_MSR_EFER         0xC0000080u
#define X64_MSR_STAR         0xC0000081u
#define X64_MSR_LSTAR        0xC0000082u
#define X64_MSR_CSTAR        0xC0000083u
#define X64_MSR_SYSCALL_MASK 0xC0000084u
#define X64_MSR_FS_BASE      0xC0000100u
#define X64_MSR_GS_BASE      0xC0000101u
#define X64_MSR_GS_SWAP      0xC0000102u
#define X64_MSR_DEBUGCTL     0x1D9u

/* Operand of sgdt, sidt, lgdt, lidt. */
struct __attribute__((packed)) x64_table {
    uint16_t limit;
    uint64_t base;
};

#define X64_READ(name)                                         \
    static inline uint64_t x64_read_##name(void)               \
    {                                                          \
        uint64_t value;                                        \
        __asm__ volatile("mov %%" #name ", %0" : "=r"(value)); \
        return value;                                          \
    }
X64_READ(cr0)
X64_READ(cr3)
X64_READ(cr4)
X64_READ(cr8)
X64_READ(dr6)
X64_READ(dr7)
X64_READ(ds)
X64_READ(es)
X64_READ(fs)
X64_READ(gs)
X64_READ(cs)
#undef X64_READ

#define X64_WRITE(name)                                                 \
    static inline void x64_write_##name(uint64_t value)                 \
    {                                                                   \
        __asm__ volatile("mov %0, %%" #name : : "r"(value) : "memory"); \
    }
X64_WRITE(cr0)
X64_WRITE(dr0)
X64_WRITE(dr1)
X64_WRITE(dr2)
X64_WRITE(dr3)
X64_WRITE(dr6)
X64_WRITE(dr7)
#undef X64_WRITE

static inline struct x64_table x64_read_gdtr(void)
{
    struct x64_table table;

    __asm__ volatile("sgdt %0" : "=m"(table));
    return table;
}

static inline struct x64_table x64_read_idtr(void)
{
    struct x64_table table;

    __asm__ volatile("sidt %0" : "=m"(table));
    return table;
}

static inline void x64_write_gdtr(const struct x64_table *table)
{
    __asm__ volatile("lgdt %0" : : "m"(*table) : "memory");
}

static inline void x64_write_idtr(const struct x64_table *table)
{
    __asm__ volatile("lidt %0" : : "m"(*table) : "memory");
}

static inline uint16_t x64_read_tr(void)
{
    uint16_t selector;

    __asm__ volatile("str %0" : "=r"(selector));
    return selector;
}

static inline uint16_t x64_read_ldtr(void)
{
    uint16_t selector;

    __asm__ volatile("sldt %0" : "=r"(selector));
    return selector;
}

static inline uint64_t x64_interrupts_off(void)
{
    uint64_t flags;

    __asm__ volatile("pushfq; popq %0; cli" : "=r"(flags) : : "memory");
    return flags;
}

static inline void x64_interrupts_restore(uint64_t flags)
{
    if (flags & X64_RFLAGS_IF)
        __asm__ volatile("sti" : : : "memory");
}

static inline uint64_t x64_read_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("lfence; rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static inline uint64_t x64_read_xcr0(void)
{
    uint32_t low, high;

    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

struct x64_cpuid {
    uint32_t a, b, c, d;
};

static inline struct x64_cpuid x64_cpuid(uint32_t leaf)
{
    struct x64_cpuid out;

    __asm__ volatile("cpuid"
                     : "=a"(out.a), "=b"(out.b), "=c"(out.c), "=d"(out.d)
                     : "a"(leaf), "c"(0));
    return out;
}

/* Access rights of a selector's descriptor, as lar gives them; 0 when there is none. */
static inline uint32_t x64_access_rights(uint16_t selector)
{
    uint32_t rights = 0;

    __asm__ volatile("lar %1, %0" : "+r"(rights) : "r"((uint32_t)selector) : "cc");
    return rights;
}

static inline uint8_t x64_in8(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint16_t x64_in16(uint16_t port)
{
    uint16_t value;

    __asm__ volatile("inw %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline uint32_t x64_in32(uint16_t port)
{
    uint32_t value;

    __asm__ volatile("inl %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static inline void x64_out8(uint16_t port, uint8_t value)
{
    __asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static inline void x64_out16(uint16_t port, uint16_t value)
{
    __asm__ volatile("outw %0, %1" : : "a"(value), "Nd"(port));
}

static inline void x64_out32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "Nd"(port));
}

static inline void x64_pause(void)
{
    __asm__ volatile("pause");
}

/* Calls the hypervisor's page as it wants it; what it does not keep is what a function may change,
 * XMM registers aside, which only calls that use them change. Hyper-V's TLFS, "Hypercall
 * Interface". */
static inline uint64_t x64_hypercall(void *page, uint64_t control, uint64_t input, uint64_t output)
{
    uint64_t result;
    register uint64_t r8 __asm__("r8") = output;

    __asm__ volatile("call *%[page]"
                     : "=a"(result), "+c"(control), "+d"(input), "+r"(r8)
                     : [page] "r"(page)
                     : "r9", "r10", "r11", "memory", "cc");
    return result;
}

/* safe.S */
size_t x64_safe_copy(void *to, const void *from, size_t size);
size_t x64_safe_copy_bytes(void *to, const void *from, size_t size);
size_t x64_safe_copy_words(void *to, const void *from, size_t count);
bool x64_safe_read_msr(uint32_t number, uint64_t *value);
bool x64_safe_write_msr(uint32_t number, uint64_t value);
bool x64_safe_write_xcr(uint32_t number, uint64_t value);
bool x64_safe_write_cr0(uint64_t value);
bool x64_safe_write_cr3(uint64_t value);
bool x64_safe_write_cr4(uint64_t value);
bool x64_safe_write_cr8(uint64_t value);
bool x64_safe_write_ds(uint64_t selector);
bool x64_safe_write_es(uint64_t selector);
bool x64_safe_write_fs(uint64_t selector);
bool x64_safe_write_gs(uint64_t selector);
bool x64_safe_write_tr(uint64_t selector);
bool x64_safe_write_ldtr(uint64_t selector);

#endif
