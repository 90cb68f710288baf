/* req_io.c - ports, machine specific registers, PCI configuration space.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "state.h"

#define ALL_PORTS UINT64_C(0xFFFF) /* higher addresses wrap (measured) */

/* Success, or why not: sizes and alignment as the boot manager judges them. */
static uint32_t check_port(uint64_t address, uint32_t size)
{
    if (size != 1 && size != 2 && size != 4)
        return KD_NT(STATUS_INVALID_PARAMETER);
    if (address & (size - 1))
        return KD_NT(STATUS_DATATYPE_MISALIGNMENT);
    return KDA_SUCCESS;
}

static uint32_t read_port(struct kda_engine *engine, kd_u64 address, uint32_t size, kd_u32 *value)
{
    uint32_t status = check_port(kd_get64(address), size);

    if (status == KDA_SUCCESS)
        *value = kd_put32(engine->target.ops->read_port(
            engine->target.self, (uint16_t)(kd_get64(address) & ALL_PORTS), size));
    return status;
}

static uint32_t write_port(struct kda_engine *engine, kd_u64 address, uint32_t size, kd_u32 value)
{
    uint32_t status = check_port(kd_get64(address), size);

    if (status == KDA_SUCCESS)
        engine->target.ops->write_port(
            engine->target.self, (uint16_t)(kd_get64(address) & ALL_PORTS), size, kd_get32(value));
    return status;
}

enum kda_flow kda_read_io(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_io_space *body = request->body;

    return kda_status(
        request, read_port(engine, body->io_address, kd_get32(body->data_size), &body->data_value));
}

enum kda_flow kda_write_io(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_write_io_space *body = request->body;

    return kda_status(
        request, write_port(engine, body->io_address, kd_get32(body->data_size), body->data_value));
}

/* On a PC all buses see the same ports; memory of a bus is physical memory, which has requests of
 * its own. (NT takes the ISA bus only; the boot manager refuses it all.) */
static bool is_port_space(kd_u32 bus, kd_u32 space)
{
    return kd_get32(bus) == 0 && kd_get32(space) == KD_IO_SPACE_PORT;
}

enum kda_flow kda_read_io_extended(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_io_space_extended *body = request->body;

    if (!is_port_space(body->bus_number, body->address_space))
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    return kda_status(
        request, read_port(engine, body->io_address, kd_get32(body->data_size), &body->data_value));
}

enum kda_flow kda_write_io_extended(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_write_io_space_extended *body = request->body;

    if (!is_port_space(body->bus_number, body->address_space))
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    return kda_status(
        request, write_port(engine, body->io_address, kd_get32(body->data_size), body->data_value));
}

/* The boot manager says 0 for registers that do not exist; here that is a failure. */
enum kda_flow kda_read_msr(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_read_msr *body = request->body;
    uint64_t value = 0;
    bool there = engine->target.ops->read_msr(engine->target.self, kd_get32(body->msr), &value);

    if (!there)
        value = 0;
    body->data_value_low = kd_put32((uint32_t)value);
    body->data_value_high = kd_put32((uint32_t)(value >> 32));
    return kda_status(request, there ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
}

enum kda_flow kda_write_msr(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_write_msr *body = request->body;
    uint64_t value = kd_get32(body->data_value_low) | (uint64_t)kd_get32(body->data_value_high)
                                                          << 32;
    bool done = engine->target.ops->write_msr(engine->target.self, kd_get32(body->msr), value);

    return kda_status(request, done ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
}

/* SlotNumber of the public PCI_SLOT_NUMBER: device in bits 0 to 4, function in 5 to 7. */
struct pci_place {
    unsigned bus, device, function;
};

static bool find_pci(const struct kd_bus_data *body, struct pci_place *out)
{
    uint32_t slot = kd_get32(body->slot_number);

    *out = (struct pci_place){kd_get32(body->bus_number), slot & 31, slot >> 5};
    return kd_get32(body->bus_data_type) == KD_BUS_PCI_CONFIGURATION && out->bus < 256 &&
           slot < 256;
}

/* Length becomes what was possible; nothing at all is a failure, as with NT. */
static enum kda_flow finish_bus(struct kda_request *request, size_t done)
{
    struct kd_bus_data *body = request->body;

    body->length = kd_put32((uint32_t)done);
    return kda_status(request, done ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
}

enum kda_flow kda_get_bus_data(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_bus_data *body = request->body;
    size_t size = kda_min(kd_get32(body->length), request->room);
    struct pci_place at;

    if (find_pci(body, &at))
        request->out_size =
            engine->target.ops->read_pci(engine->target.self, at.bus, at.device, at.function,
                                         kd_get32(body->offset), request->out, size);
    return finish_bus(request, request->out_size);
}

enum kda_flow kda_set_bus_data(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_bus_data *body = request->body;
    size_t size = kda_min(kd_get32(body->length), request->size);
    size_t done = 0;
    struct pci_place at;

    if (find_pci(body, &at))
        done = engine->target.ops->write_pci(engine->target.self, at.bus, at.device, at.function,
                                             kd_get32(body->offset), request->data, size);
    return finish_bus(request, done);
}
