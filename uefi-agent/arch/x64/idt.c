/* idt.c - our gates in the firmware's interrupt descriptor table, and a stack for double faults.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The table stays the firmware's: single gates are exchanged with interrupts off, and get their old
 * contents back only where they still are ours, so that what somebody else hooked after us stays.
 */
#include "cpu.h"
#include "x64.h"
#include "x64_internal.h"

#define X64_GATE_INTERRUPT 0x8E /* present, ring 0, interrupts off on entry */
#define X64_VECTORS        256u
#define X64_DOUBLE_FAULT   8u

struct x64_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct x64_gate) == 16, "gate");

struct __attribute__((packed)) x64_task_state {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint64_t reserved2;
    uint16_t reserved3;
    uint16_t io_map;
};
_Static_assert(sizeof(struct x64_task_state) == 104, "task state segment");

/* A page: copy of the GDT with two entries more, the task state, the stack of the double fault. */
#define X64_GDT_ROOM 0x400u
struct x64_tss_page {
    uint8_t gdt[X64_GDT_ROOM];
    struct x64_task_state task;
    uint8_t stack[4096 - X64_GDT_ROOM - sizeof(struct x64_task_state)];
};
_Static_assert(sizeof(struct x64_tss_page) == 4096, "page");

extern const uint8_t x64_entries[X64_VECTORS][8];

static struct {
    struct x64_gate *gates;
    struct x64_gate saved[X64_VECTORS];
    bool hooked[X64_VECTORS];
    struct x64_table old_gdt, our_gdt;
    bool gdt_ours;
} idt;

static uint64_t gate_offset(const struct x64_gate *gate)
{
    return (uint64_t)gate->offset_high << 32 | (uint64_t)gate->offset_middle << 16 |
           gate->offset_low;
}

static bool gate_is_ours(unsigned vector)
{
    return gate_offset(&idt.gates[vector]) == (uint64_t)(uintptr_t)x64_entries[vector];
}

static void set_gate(unsigned vector, uint8_t ist)
{
    uint64_t entry = (uint64_t)(uintptr_t)x64_entries[vector];
    struct x64_gate gate = {.offset_low = (uint16_t)entry,
                            .selector = (uint16_t)x64_read_cs(),
                            .ist = ist,
                            .type = X64_GATE_INTERRUPT,
                            .offset_middle = (uint16_t)(entry >> 16),
                            .offset_high = (uint32_t)(entry >> 32)};

    x64_poke(&idt.gates[vector], &gate, sizeof gate);
}

static bool hook(unsigned vector, uint8_t ist, bool must_be_present)
{
    struct x64_table table = x64_read_idtr();

    idt.gates = (struct x64_gate *)(uintptr_t)table.base;
    if ((vector + 1) * sizeof(struct x64_gate) > (size_t)table.limit + 1 || idt.hooked[vector])
        return false;
    if (must_be_present && !(idt.gates[vector].type & 0x80))
        return false;
    idt.saved[vector] = idt.gates[vector];
    idt.hooked[vector] = true;
    set_gate(vector, ist ? ist : idt.gates[vector].ist);
    return true;
}

bool x64_hook(unsigned vector)
{
    uint64_t flags = x64_interrupts_off();
    bool done = vector < X64_VECTORS && hook(vector, 0, true);

    x64_interrupts_restore(flags);
    return done;
}

void x64_unhook(unsigned vector)
{
    uint64_t flags = x64_interrupts_off();

    if (vector < X64_VECTORS && idt.hooked[vector] && gate_is_ours(vector)) {
        x64_poke(&idt.gates[vector], &idt.saved[vector], sizeof idt.saved[vector]);
        idt.hooked[vector] = false;
    }
    x64_interrupts_restore(flags);
}

uint64_t x64_previous(unsigned vector)
{
    if (vector >= X64_VECTORS || !(idt.saved[vector].type & 0x80))
        return 0;
    return gate_offset(&idt.saved[vector]);
}

/* A double fault mostly means that the stack is bad; it needs one of its own, and only a task state
 * segment can name one. Firmware that has one has thought of that, and keeps it; a task register
 * that points behind the GDT is what an unloaded agent left. */
static bool load_task_state(struct x64_tss_page *page)
{
    struct x64_table old = x64_read_gdtr();
    size_t size = (size_t)old.limit + 1;
    uint64_t base = (uint64_t)(uintptr_t)&page->task;
    uint64_t descriptor[2];

    if ((x64_read_tr() != 0 && x64_read_tr() < size) || size % 8 != 0 ||
        size + sizeof descriptor > sizeof page->gdt)
        return false;
    page->task.ist[0] = (uint64_t)(uintptr_t)(page + 1);
    page->task.io_map = sizeof page->task;
    descriptor[0] = (sizeof page->task - 1) | (base & 0xFFFFFF) << 16 | UINT64_C(0x89) << 40 |
                    (base >> 24 & 0xFF) << 56;
    descriptor[1] = base >> 32;
    if (x64_safe_copy(page->gdt, (const void *)(uintptr_t)old.base, size) != size)
        return false;
    x64_safe_copy(page->gdt + size, descriptor, sizeof descriptor);

    idt.old_gdt = old;
    idt.our_gdt.base = (uint64_t)(uintptr_t)page->gdt;
    idt.our_gdt.limit = (uint16_t)(size + sizeof descriptor - 1);
    x64_write_gdtr(&idt.our_gdt);
    idt.gdt_ours = true;
    return x64_safe_write_tr(size);
}

void x64_hook_exceptions(void *tss_page)
{
    /* Divide error to machine check and SIMD; 9 and 15 do not exist, 20 and up are chained to by
     * nobody's wish. */
    static const uint8_t vectors[] = {0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13, 14, 16, 17, 18, 19};
    uint64_t flags = x64_interrupts_off();

    for (size_t i = 0; i < sizeof vectors; i++)
        hook(vectors[i], 0, false);
    hook(X64_DOUBLE_FAULT, tss_page && load_task_state(tss_page) ? 1 : 0, false);
    x64_interrupts_restore(flags);
}

/* The task register cannot be emptied; it goes on pointing into the page, which nothing uses as
 * long as no gate names a stack of it. */
static void restore_gdt(void)
{
    if (idt.gdt_ours && x64_read_gdtr().base == idt.our_gdt.base)
        x64_write_gdtr(&idt.old_gdt);
    idt.gdt_ours = false;
}

void x64_unhook_all(void)
{
    uint64_t flags = x64_interrupts_off();

    for (unsigned i = 0; i < X64_VECTORS; i++)
        x64_unhook(i);
    restore_gdt();
    x64_interrupts_restore(flags);
}
