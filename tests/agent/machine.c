/* machine.c - the tests' target. See machine.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "machine.h"

#include <string.h>

void machine_init(struct machine *machine)
{
    memset(machine, 0, sizeof *machine);
    for (size_t i = 0; i < MACHINE_RAM_SIZE; i++)
        machine->ram[i] = (uint8_t)(i * 7 + (i >> 8));
    machine->context.context_flags = kd_put32(0x10001B);
    machine->context.rip = kd_put64(MACHINE_RAM + 0x2000);
    machine->context.rsp = kd_put64(MACHINE_RAM + 0x8000);
    machine->context.eflags = kd_put32(0x246);
    machine->context.seg_cs = kd_put16(0x38);
    machine->context.seg_ds = machine->context.seg_es = kd_put16(0x30);
    machine->context.seg_fs = machine->context.seg_gs = kd_put16(0x30);
    machine->special.cr0 = kd_put64(0x80010033);
    machine->special.dr6 = kd_put64(0xFFFF0FF0);
    machine->special.dr7 = kd_put64(0x400);
    machine->special.msr_fs_base = kd_put64(0x1234);
    machine->msr_efer = 0xD00;
    for (size_t i = 0; i < sizeof machine->ports; i++)
        machine->ports[i] = (uint8_t)(i ^ 0x5A);
    for (size_t i = 0; i < sizeof machine->pci; i++)
        machine->pci[i] = (uint8_t)(0x86 + i);
}

uint8_t *machine_byte(struct machine *machine, uint64_t address)
{
    return &machine->ram[address - MACHINE_RAM];
}

enum access { READ, WRITE };

/* Where a byte of the address space is, or NULL. */
static uint8_t *find(struct machine *machine, uint64_t address, enum access access)
{
    uint64_t engine = (uint64_t)(uintptr_t)machine->engine;

    if (machine->engine && address - engine < machine->engine_size)
        return (uint8_t *)(uintptr_t)address;
    if (address - MACHINE_RAM >= MACHINE_RAM_SIZE || address - MACHINE_ABSENT < MACHINE_PAGE)
        return NULL;
    if (access == WRITE && address - MACHINE_ROM < MACHINE_PAGE)
        return NULL;
    return machine_byte(machine, address);
}

static size_t read_virtual(void *self, uint64_t address, uint8_t *out, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        const uint8_t *byte = find(self, address + i, READ);

        if (!byte)
            break;
        out[i] = *byte;
    }
    return i;
}

static size_t write_virtual(void *self, uint64_t address, const uint8_t *bytes, size_t size)
{
    size_t i;

    for (i = 0; i < size; i++) {
        uint8_t *byte = find(self, address + i, WRITE);

        if (!byte)
            break;
        *byte = bytes[i];
    }
    return i;
}

static size_t read_physical(void *self, uint64_t address, uint8_t *out, size_t size,
                            uint32_t caching)
{
    ((struct machine *)self)->last_caching = caching;
    return read_virtual(self, address, out, size);
}

static size_t write_physical(void *self, uint64_t address, const uint8_t *bytes, size_t size,
                             uint32_t caching)
{
    ((struct machine *)self)->last_caching = caching;
    return write_virtual(self, address, bytes, size);
}

static void query_page(void *self, uint64_t address, struct kda_page *page)
{
    page->present = find(self, address, READ) != NULL;
    page->writable = page->present && address - MACHINE_READONLY >= MACHINE_PAGE;
    page->executable = page->present;
}

static void get_context(void *self, struct kd_context_amd64 *out)
{
    struct machine *machine = self;

    *out = machine->context;
    out->dr6 = machine->special.dr6;
    out->dr7 = machine->special.dr7;
    out->context_flags = kd_put32(0x10001B);
}

static void set_context(void *self, const struct kd_context_amd64 *in)
{
    struct machine *machine = self;
    uint32_t groups = kd_get32(in->context_flags);

    machine->set_groups = groups;
    machine->set_context_calls++;
    if (groups & 1) {
        machine->context.rip = in->rip;
        machine->context.rsp = in->rsp;
        machine->context.eflags = in->eflags;
    }
    if (groups & 2) {
        machine->context.rax = in->rax;
        machine->context.rcx = in->rcx;
        machine->context.r15 = in->r15;
    }
    if (groups & 0x10) {
        machine->special.dr0 = in->dr0;
        machine->special.dr7 = in->dr7;
    }
}

static void get_special(void *self, struct kd_special_registers_amd64 *out)
{
    *out = ((struct machine *)self)->special;
}

static bool set_special(void *self, const struct kd_special_registers_amd64 *in)
{
    struct machine *machine = self;

    if (machine->refuse_special)
        return false;
    machine->special = *in;
    return true;
}

static uint32_t read_port(void *self, uint16_t port, unsigned size)
{
    struct machine *machine = self;
    uint32_t value = 0;

    machine->last_port = port;
    machine->last_port_size = size;
    for (unsigned i = 0; i < size; i++)
        value |= (uint32_t)machine->ports[port + i] << 8 * i;
    return value;
}

static void write_port(void *self, uint16_t port, unsigned size, uint32_t value)
{
    struct machine *machine = self;

    machine->last_port = port;
    machine->last_port_size = size;
    for (unsigned i = 0; i < size; i++)
        machine->ports[port + i] = (uint8_t)(value >> 8 * i);
}

static bool read_msr(void *self, uint32_t number, uint64_t *value)
{
    if (number == MACHINE_MSR_EFER)
        *value = ((struct machine *)self)->msr_efer;
    else if (number == MACHINE_MSR_APIC)
        *value = 0xFEE00900;
    return number == MACHINE_MSR_EFER || number == MACHINE_MSR_APIC;
}

static bool write_msr(void *self, uint32_t number, uint64_t value)
{
    if (number == MACHINE_MSR_EFER)
        ((struct machine *)self)->msr_efer = value;
    return number == MACHINE_MSR_EFER;
}

static size_t pci_span(unsigned bus, unsigned device, unsigned function, unsigned offset,
                       size_t size)
{
    if (bus || device || function || offset >= 256)
        return 0;
    return size < 256 - offset ? size : 256 - offset;
}

static size_t read_pci(void *self, unsigned bus, unsigned device, unsigned function,
                       unsigned offset, uint8_t *out, size_t size)
{
    size_t span = pci_span(bus, device, function, offset, size);

    if (span)
        memcpy(out, ((struct machine *)self)->pci + offset, span);
    return span;
}

static size_t write_pci(void *self, unsigned bus, unsigned device, unsigned function,
                        unsigned offset, const uint8_t *bytes, size_t size)
{
    size_t span = pci_span(bus, device, function, offset, size);

    if (span)
        memcpy(((struct machine *)self)->pci + offset, bytes, span);
    return span;
}

static void reboot(void *self)
{
    ((struct machine *)self)->reboots++;
}

static uint64_t now(void *self)
{
    return ((struct machine *)self)->now;
}

static void relax(void *self)
{
    struct machine *machine = self;

    machine->relax(machine->relax_self);
}

struct kda_target machine_target(struct machine *machine)
{
    static const struct kda_target_ops ops = {
        read_virtual, write_virtual, read_physical, write_physical, query_page, get_context,
        set_context,  get_special,   set_special,   read_port,      write_port, read_msr,
        write_msr,    read_pci,      write_pci,     reboot,         now,        relax,
    };
    struct kda_target target = {&ops, machine};

    return target;
}
