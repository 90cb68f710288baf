/* model_state.c - registers, ports, MSRs, as read and as set. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "model_parts.h"

/* --- contexts */

static bool keeps_state(const struct kda_model *model)
{
    return (model->keep & (KDA_KEEP_REGISTERS | KDA_KEEP_WRITES)) != 0 || model->listener.write;
}

/* One piece more of the CONTEXT in model->pieces, or the first of another. False: it fits nothing
 * before it. */
static bool join(struct kda_model *model, bool set, uint16_t processor, uint32_t offset,
                 const uint8_t *bytes, size_t size)
{
    struct context_pieces *pieces = &model->pieces;

    if (offset == 0)
        *pieces = (struct context_pieces){
            .set = set, .processor = processor, .stop = model_stop_frame(model)};
    else if (pieces->set != set || pieces->processor != processor || pieces->size != offset ||
             pieces->stop != model_stop_frame(model))
        return false;
    if (size > sizeof pieces->bytes - offset)
        return false;
    memcpy(pieces->bytes + offset, bytes, size);
    pieces->size = offset + (uint32_t)size;
    return true;
}

/* Keeps what is in model->pieces; as the same context again when it only has grown. */
static bool keep_context(struct kda_model *model, const struct reply *reply, bool grown,
                         uint32_t total)
{
    const struct context_pieces *pieces = &model->pieces;
    struct kda_context context = {
        .frame = reply->packet->frame,
        .stop = pieces->stop,
        .processor = pieces->processor,
        .set = pieces->set,
        .total = total > pieces->size ? total : pieces->size,
    };
    const struct kd_arch_info *arch = kd_arch_of_context(context.total);
    struct kda_context *newest;

    if (!keeps_state(model))
        return true;
    context.arch = arch ? arch->arch : KD_ARCH_UNKNOWN;
    if (!model_keep_bytes(model, pieces->bytes, pieces->size, &context.bytes))
        return false;
    newest = grown ? list_at(&model->contexts, model->contexts.count - 1, sizeof context) : NULL;
    if (newest)
        *newest = context;
    else
        return list_add(&model->contexts, &context, sizeof context) != NULL;
    return true;
}

/* What the debugger had of these bytes of the CONTEXT. */
static struct kda_bytes context_before(const struct kda_model *model, uint16_t processor,
                                       uint32_t offset, size_t size)
{
    for (size_t i = model->contexts.count; i-- > 0;) {
        const struct kda_context *context = list_at(&model->contexts, i, sizeof *context);

        if (context->processor == processor && context->bytes.size >= offset + size)
            return (struct kda_bytes){context->bytes.at + offset, (uint32_t)size};
    }
    return (struct kda_bytes){0};
}

static bool add_context_write(struct kda_model *model, const struct reply *reply, uint32_t offset,
                              const uint8_t *bytes, size_t size)
{
    struct kda_write write = {
        .kind = KDA_WRITE_CONTEXT,
        .address = offset,
        .size = (uint32_t)size,
        .actual = reply->succeeded ? (uint32_t)size : 0,
        .before = context_before(model, reply->packet->processor, offset, size),
    };

    return model_add_write(model, reply, &write, bytes, size);
}

bool model_context_reply(struct kda_model *model, const struct reply *reply)
{
    const struct kd_context_ex *part = (const struct kd_context_ex *)reply->body;
    const struct kd_set_context_ex *asked = (const struct kd_set_context_ex *)reply->asked;
    uint32_t api = reply->packet->message.api;
    bool set = api == KD_API_SET_CONTEXT || api == KD_API_SET_CONTEXT_EX;
    bool pieces = api == KD_API_GET_CONTEXT_EX || api == KD_API_SET_CONTEXT_EX;
    uint32_t offset = !pieces ? 0 : kd_get32(set ? asked->offset : part->offset);
    uint32_t total = !pieces ? 0 : kd_get32(set ? asked->bytes_copied : part->byte_count);
    const uint8_t *bytes = set ? reply->sent : reply->data;
    size_t size = set ? reply->sent_size : reply->data_size;

    if (pieces)
        size = smaller(size, kd_get32(set ? asked->byte_count : part->bytes_copied));
    if (size == 0 || (!set && !reply->succeeded))
        return true;
    if (set && !add_context_write(model, reply, offset, bytes, size))
        return false;
    if (!reply->succeeded || !join(model, set, reply->packet->processor, offset, bytes, size))
        return true;
    return keep_context(model, reply, offset > 0, total);
}

/* --- hardware breakpoints of AMD64 and x86 */

struct debug_registers {
    uint64_t address[HARDWARE_BREAKPOINTS];
    uint64_t dr7;
};

static bool read_debug_registers(const struct kda_model *model, uint64_t selector,
                                 const uint8_t *bytes, size_t size, struct debug_registers *out)
{
    const struct kd_arch_info *arch = kd_arch_info(model->arch);
    const struct kd_special_registers_amd64 *amd64 = (const void *)bytes;
    const struct kd_special_registers_x86 *x86 = (const void *)bytes;

    if (!arch || selector != arch->special_selector)
        return false;
    if (model->arch == KD_ARCH_AMD64 &&
        size >= offsetof(struct kd_special_registers_amd64, dr7) + 8)
        *out = (struct debug_registers){{kd_get64(amd64->dr0), kd_get64(amd64->dr1),
                                         kd_get64(amd64->dr2), kd_get64(amd64->dr3)},
                                        kd_get64(amd64->dr7)};
    else if (model->arch == KD_ARCH_X86 &&
             size >= offsetof(struct kd_special_registers_x86, dr7) + 4)
        *out = (struct debug_registers){
            {kd_get32(x86->dr0), kd_get32(x86->dr1), kd_get32(x86->dr2), kd_get32(x86->dr3)},
            kd_get32(x86->dr7)};
    else
        return false;
    return true;
}

/* Bits of Dr7: two that enable breakpoint i, two of its kind and two of its length. */
static struct kda_breakpoint hardware_of(const struct debug_registers *registers, unsigned i)
{
    static const uint8_t lengths[4] = {1, 2, 8, 4};
    uint64_t dr7 = registers->dr7;

    return (struct kda_breakpoint){
        .hardware = true,
        .kind = (uint8_t)(dr7 >> (16 + 4 * i) & 3),
        .length = lengths[dr7 >> (18 + 4 * i) & 3],
        .handle = i,
        .address = registers->address[i],
    };
}

static bool see_debug_registers(struct kda_model *model, const struct kda_event *event,
                                const struct debug_registers *registers)
{
    for (unsigned i = 0; i < HARDWARE_BREAKPOINTS; i++) {
        bool enabled = (registers->dr7 >> (2 * i) & 3) != 0;
        const struct kda_breakpoint now = hardware_of(registers, i);
        const struct kda_breakpoint *known =
            model->hardware[i] ? list_at(&model->breakpoints, model->hardware[i] - 1, sizeof *known)
                               : NULL;

        if (known && enabled && known->address == now.address && known->kind == now.kind &&
            known->length == now.length)
            continue;
        if (known)
            model_clear_breakpoint(model, event, i, model->hardware[i]);
        model->hardware[i] = 0;
        if (!enabled)
            continue;
        if (!model_set_breakpoint(model, event, &now))
            return false;
        if (model->keep & KDA_KEEP_BREAKPOINTS)
            model->hardware[i] = (uint32_t)model->breakpoints.count;
    }
    return true;
}

/* --- control space, ports, MSRs, bus data */

/* Keeps the value, and tells of the write when it is one. */
static bool see_value(struct kda_model *model, const struct reply *reply, struct kda_value *value,
                      enum kda_write_kind kind, const uint8_t *bytes, size_t size)
{
    const struct kda_value *before;
    struct kda_write write = {
        .kind = kind, .address = value->address, .offset = value->offset, .size = value->size};
    uint8_t number[8];

    if (!keeps_state(model))
        return true;
    value->frame = reply->packet->frame;
    value->stop = model_stop_frame(model);
    value->processor = reply->packet->processor;
    value->status = reply->packet->message.status;
    if (!model_keep_bytes(model, bytes, size, &value->bytes))
        return false;
    if (value->set) {
        before = kda_model_value_at(model, value->kind, value->processor, value->address, KDA_END);
        if (before && before->bytes.size >= size)
            write.before = (struct kda_bytes){before->bytes.at, (uint32_t)size};
        write.actual = reply->succeeded ? value->size : 0;
        for (unsigned i = 0; i < sizeof number; i++)
            number[i] = (uint8_t)(value->value >> (8 * i));
        if (!model_add_write(model, reply, &write, bytes ? bytes : number,
                             bytes ? size : smaller(value->size, sizeof number)))
            return false;
    }
    return list_add(&model->values, value, sizeof *value) != NULL;
}

static bool see_control_space(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_message *message = &reply->packet->message;
    const uint8_t *bytes = set ? reply->sent : reply->data;
    size_t size = set ? smaller(message->requested, reply->sent_size)
                      : smaller(message->count, reply->data_size);
    struct kda_value value = {.kind = KDA_VALUE_CONTROL_SPACE,
                              .set = set,
                              .address = message->address,
                              .size = (uint32_t)size};
    struct debug_registers registers;

    if (set && reply->succeeded &&
        read_debug_registers(model, message->address, bytes, size, &registers) &&
        !see_debug_registers(model, reply->event, &registers))
        return false;
    if (!set && size == 0)
        return true;
    return see_value(model, reply, &value, KDA_WRITE_CONTROL_SPACE, bytes, size);
}

static bool see_port(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_io_space *io = (const struct kd_io_space *)reply->body;
    const struct kd_io_space32 *io32 = (const struct kd_io_space32 *)reply->body;
    struct kda_value value = {.kind = KDA_VALUE_PORT, .set = set};

    value.address = reply->narrow ? kd_get32(io32->io_address) : kd_get64(io->io_address);
    value.size = kd_get32(reply->narrow ? io32->data_size : io->data_size);
    value.value = kd_get32(reply->narrow ? io32->data_value : io->data_value);
    return see_value(model, reply, &value, KDA_WRITE_PORT, NULL, 0);
}

static bool see_port_extended(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_io_space_extended *io = (const void *)reply->body;
    struct kda_value value = {
        .kind = KDA_VALUE_PORT,
        .set = set,
        .address = kd_get64(io->io_address),
        .size = kd_get32(io->data_size),
        .value = kd_get32(io->data_value),
    };

    return reply->narrow || see_value(model, reply, &value, KDA_WRITE_PORT, NULL, 0);
}

static bool see_msr(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_read_msr *msr = (const void *)(set ? reply->asked : reply->body);
    struct kda_value value = {
        .kind = KDA_VALUE_MSR,
        .set = set,
        .address = kd_get32(msr->msr),
        .size = 8,
        .value = (uint64_t)kd_get32(msr->data_value_high) << 32 | kd_get32(msr->data_value_low),
    };

    return see_value(model, reply, &value, KDA_WRITE_MSR, NULL, 0);
}

static bool see_bus(struct kda_model *model, const struct reply *reply, bool set)
{
    const struct kd_bus_data *bus = (const struct kd_bus_data *)reply->body;
    const uint8_t *bytes = set ? reply->sent : reply->data;
    size_t size = smaller(kd_get32(bus->length), set ? reply->sent_size : reply->data_size);
    struct kda_value value = {
        .kind = KDA_VALUE_BUS,
        .set = set,
        .address = (uint64_t)kd_get32(bus->bus_number) << 32 | kd_get32(bus->slot_number),
        .offset = kd_get32(bus->offset),
        .size = (uint32_t)size,
    };

    return size == 0 || see_value(model, reply, &value, KDA_WRITE_BUS, bytes, size);
}

bool model_value_reply(struct kda_model *model, const struct reply *reply)
{
    switch (reply->packet->message.api) {
    case KD_API_READ_CONTROL_SPACE:
        return see_control_space(model, reply, false);
    case KD_API_WRITE_CONTROL_SPACE:
        return see_control_space(model, reply, true);
    case KD_API_READ_IO_SPACE:
        return !reply->succeeded || see_port(model, reply, false);
    case KD_API_WRITE_IO_SPACE:
        return see_port(model, reply, true);
    case KD_API_READ_IO_SPACE_EXTENDED:
        return !reply->succeeded || see_port_extended(model, reply, false);
    case KD_API_WRITE_IO_SPACE_EXTENDED:
        return see_port_extended(model, reply, true);
    case KD_API_READ_MSR:
        return !reply->succeeded || see_msr(model, reply, false);
    case KD_API_WRITE_MSR:
        return see_msr(model, reply, true);
    case KD_API_GET_BUS_DATA:
        return !reply->succeeded || see_bus(model, reply, false);
    case KD_API_SET_BUS_DATA:
        return see_bus(model, reply, true);
    default:
        return true;
    }
}
