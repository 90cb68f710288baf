/* model_stops.c - what stopped the target, and how it went on. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "model_parts.h"

#define SELECTOR_WOW64 0x23u    /* code of 32-bit processes on AMD64 Windows */
#define EFLAGS_VM      0x20000u /* virtual 8086 mode */
#define CPSR_AARCH32   0x10u
#define LOW_4G         UINT64_C(0x100000000)

/* --- a state change, read */

static enum kda_mode mode_of(const struct kda_stop *stop, bool segments)
{
    switch (stop->arch) {
    case KD_ARCH_AMD64:
        if (stop->pc >= LOW_4G)
            return KDA_MODE_64;
        return !segments                                    ? KDA_MODE_UNKNOWN
               : (stop->cs & ~3u) == (SELECTOR_WOW64 & ~3u) ? KDA_MODE_32
                                                            : KDA_MODE_64;
    case KD_ARCH_X86:
        return stop->flags & EFLAGS_VM ? KDA_MODE_16 : KDA_MODE_32;
    case KD_ARCH_ARM64:
        return stop->flags & CPSR_AARCH32 ? KDA_MODE_32 : KDA_MODE_64;
    case KD_ARCH_ARM:
    case KD_ARCH_ARMNT:
        return KDA_MODE_32;
    case KD_ARCH_IA64:
        return KDA_MODE_64;
    default:
        return KDA_MODE_UNKNOWN;
    }
}

static void read_stream(struct kda_stop *stop, const kd_u8 *stream, uint32_t count)
{
    stop->stream_size = (uint8_t)(count < sizeof stop->stream ? count : sizeof stop->stream);
    memcpy(stop->stream, stream, stop->stream_size);
}

/* report: 48 bytes. */
static void read_report(struct kda_stop *stop, const uint8_t *report)
{
    const struct kd_control_report_amd64 *amd64 = (const void *)report;
    const struct kd_control_report_x86 *x86 = (const void *)report;
    const struct kd_control_report_arm64 *arm64 = (const void *)report;
    bool segments = false;

    if (stop->arch == KD_ARCH_AMD64) {
        stop->dr6 = kd_get64(amd64->dr6);
        stop->dr7 = kd_get64(amd64->dr7);
        stop->flags = kd_get32(amd64->eflags);
        stop->cs = kd_get16(amd64->seg_cs);
        segments = kd_get16(amd64->report_flags) & KD_REPORT_SEGMENTS_VALID;
        read_stream(stop, amd64->instruction_stream, kd_get16(amd64->instruction_count));
    } else if (stop->arch == KD_ARCH_X86) {
        stop->dr6 = kd_get32(x86->dr6);
        stop->dr7 = kd_get32(x86->dr7);
        stop->flags = kd_get32(x86->eflags);
        stop->cs = kd_get16(x86->seg_cs);
        read_stream(stop, x86->instruction_stream, kd_get16(x86->instruction_count));
    } else if (stop->arch != KD_ARCH_UNKNOWN && stop->arch != KD_ARCH_IA64) {
        stop->flags = kd_get32(arm64->cpsr);
        read_stream(stop, arm64->instruction_stream, kd_get32(arm64->instruction_count));
    }
    stop->mode = mode_of(stop, segments);
}

static void read_exception(struct kda_stop *stop, const uint8_t *body)
{
    const struct kd_exception64 *exception = (const struct kd_exception64 *)body;

    stop->code = kd_get32(exception->exception_code);
    stop->exception_flags = kd_get32(exception->exception_flags);
    stop->address = kd_get64(exception->exception_address);
    stop->parameter_count = kd_get32(exception->number_parameters);
    for (unsigned i = 0; i < 15; i++)
        stop->parameters[i] = kd_get64(exception->exception_information[i]);
    stop->first_chance = kd_get32(exception->first_chance) != 0;
}

static enum kda_reason reason_of(uint32_t state, bool unload)
{
    switch (state & 0xFFFF) {
    case KD_STATE_EXCEPTION:
        return KDA_REASON_EXCEPTION;
    case KD_STATE_LOAD_SYMBOLS:
        return unload ? KDA_REASON_UNLOAD : KDA_REASON_LOAD;
    case KD_STATE_COMMAND_STRING:
        return KDA_REASON_COMMAND;
    default:
        return KDA_REASON_OTHER;
    }
}

static void learn_arch(struct kda_model *model, enum kd_arch arch)
{
    if (!model->arch_certain && arch != KD_ARCH_UNKNOWN)
        model->arch = arch;
}

static bool read_change64(struct kda_model *model, const struct kda_event *event,
                          struct kda_stop *stop)
{
    const uint8_t *payload = event->payload;
    const struct kd_state_change64 *change = (const struct kd_state_change64 *)payload;
    const uint8_t *body = payload + KD_STATE_CHANGE_UNION;
    const struct kd_load_symbols64 *load = (const struct kd_load_symbols64 *)body;

    if (event->payload_size < KD_STATE_CHANGE_TEXT)
        return false;
    learn_arch(model, kd_arch_of_report(payload + KD_STATE_CHANGE_REPORT));
    stop->arch = model->arch;
    stop->new_state = kd_get32(change->new_state);
    stop->processor = kd_get16(change->processor);
    stop->level = kd_get16(change->processor_level);
    stop->processors = kd_get32(change->number_processors);
    stop->thread = kd_get64(change->thread);
    stop->pc = kd_get64(change->program_counter);
    stop->reason = reason_of(stop->new_state, kd_get8(load->unload_symbols) != 0);
    if (stop->reason == KDA_REASON_EXCEPTION)
        read_exception(stop, body);
    else if (stop->reason == KDA_REASON_LOAD || stop->reason == KDA_REASON_UNLOAD)
        stop->address = kd_get64(load->base_of_dll);
    read_report(stop, payload + KD_STATE_CHANGE_REPORT);
    return true;
}

static void read_exception32(struct kda_stop *stop, const uint8_t *body)
{
    const struct kd_exception32 *exception = (const struct kd_exception32 *)body;

    stop->code = kd_get32(exception->exception_code);
    stop->exception_flags = kd_get32(exception->exception_flags);
    stop->address = kd_get32(exception->exception_address);
    stop->parameter_count = kd_get32(exception->number_parameters);
    for (unsigned i = 0; i < 15; i++)
        stop->parameters[i] = kd_get32(exception->exception_information[i]);
    stop->first_chance = kd_get32(exception->first_chance) != 0;
}

static bool read_change32(struct kda_model *model, const struct kda_event *event,
                          struct kda_stop *stop)
{
    const struct kd_state_change32 *change = (const struct kd_state_change32 *)event->payload;
    const uint8_t *body = event->payload + KD_STATE_CHANGE32_UNION;
    const struct kd_load_symbols32 *load = (const struct kd_load_symbols32 *)body;

    if (event->payload_size < KD_STATE_CHANGE32_UNION + sizeof(struct kd_exception32))
        return false;
    learn_arch(model, KD_ARCH_X86);
    stop->arch = model->arch;
    stop->mode = KDA_MODE_32;
    stop->new_state = kd_get32(change->new_state);
    stop->processor = kd_get16(change->processor);
    stop->level = kd_get16(change->processor_level);
    stop->processors = kd_get32(change->number_processors);
    stop->thread = kd_get32(change->thread);
    stop->pc = kd_get32(change->program_counter);
    stop->reason = reason_of(stop->new_state, kd_get8(load->unload_symbols) != 0);
    if (stop->reason == KDA_REASON_EXCEPTION)
        read_exception32(stop, body);
    else if (stop->reason == KDA_REASON_LOAD || stop->reason == KDA_REASON_UNLOAD)
        stop->address = kd_get32(load->base_of_dll);
    return true;
}

/* --- what follows from it */

static bool see_load(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_load_symbols64 *load =
        (const struct kd_load_symbols64 *)(event->payload + KD_STATE_CHANGE_UNION);
    const char *path = (const char *)event->payload + KD_STATE_CHANGE_TEXT;
    size_t size = event->payload_size - KD_STATE_CHANGE_TEXT;
    const char *end = memchr(path, 0, size);
    struct kda_module module = {
        .base = kd_get64(load->base_of_dll),
        .size = kd_get32(load->size_of_image),
        .checksum = kd_get32(load->check_sum),
        .process = kd_get64(load->process_id),
        .sources = KDA_MODULE_EVENT,
        .loaded = event->frame,
        .loaded_time = event->time,
    };

    if (kd_get8(load->unload_symbols))
        return model_remove_modules(model, module.base, event->frame, event->time);
    return model_keep_bytes(model, (const uint8_t *)path, end ? (size_t)(end - path) : size,
                            &module.path) &&
           model_add_module(model, &module);
}

static bool see_load32(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_load_symbols32 *load =
        (const struct kd_load_symbols32 *)(event->payload + KD_STATE_CHANGE32_UNION);
    const struct kda_module module = {
        .base = kd_get32(load->base_of_dll),
        .size = kd_get32(load->size_of_image),
        .checksum = kd_get32(load->check_sum),
        .process = kd_get32(load->process_id),
        .sources = KDA_MODULE_EVENT,
        .loaded = event->frame,
        .loaded_time = event->time,
    };

    if (kd_get8(load->unload_symbols))
        return model_remove_modules(model, module.base, event->frame, event->time);
    return model_add_module(model, &module);
}

static bool see_parts(struct kda_model *model, const struct kda_event *event, bool narrow)
{
    const struct kda_stop *stop = &model->stop;

    if (stop->reason == KDA_REASON_LOAD || stop->reason == KDA_REASON_UNLOAD) {
        if (!(narrow ? see_load32(model, event) : see_load(model, event)))
            return false;
    } else if (stop->reason == KDA_REASON_COMMAND && !narrow) {
        if (!model_add_text(model, event, KDA_TEXT_COMMAND, event->payload + KD_STATE_CHANGE_TEXT,
                            event->payload_size - KD_STATE_CHANGE_TEXT))
            return false;
    } else if (stop->reason == KDA_REASON_EXCEPTION) {
        model_hit_breakpoints(model, stop->pc);
    }
    if (!stop->stream_size || !(model->keep & KDA_KEEP_MEMORY))
        return true;
    return kda_memory_see(model->virtual, KDA_STREAM, stop->frame, stop->frame, stop->pc,
                          stop->stream, stop->stream_size);
}

static void count_stop(struct kda_model *model)
{
    struct kda_counts *counts = &model->counts;
    const struct kda_stop *stop = &model->stop;

    counts->stops++;
    counts->stops_by[stop->reason]++;
    if (stop->processors > model->version.processors)
        model->version.processors = stop->processors;
}

bool model_state_change(struct kda_model *model, const struct kda_event *event)
{
    bool narrow = event->packet->type == KD_PACKET_STATE_CHANGE32;
    enum kda_leave leave = model->switching ? KDA_LEFT_PROCESSOR : KDA_LEFT_UNSEEN;
    struct kda_stop stop = {
        .frame = event->frame,
        .time = event->time,
        .number = model->stop.number + 1,
        .asked = model->asked,
    };

    if (!(narrow ? read_change32(model, event, &stop) : read_change64(model, event, &stop)))
        return true;
    if (!model_leave(model, leave, event, 0))
        return false;
    if (model->stop.left_time && event->time > model->stop.left_time)
        model->counts.running_time += event->time - model->stop.left_time;
    model->stop = stop;
    model->stopped = true;
    model->switching = false;
    count_stop(model);
    if (model->listener.stop)
        model->listener.stop(model->listener.context, &stop);
    return see_parts(model, event, narrow);
}

/* --- how it goes on */

bool model_end_stop(struct kda_model *model)
{
    bool fine = true;

    if (!model->stopped)
        return true;
    if (model->listener.left)
        model->listener.left(model->listener.context, &model->stop);
    if (model->keep & KDA_KEEP_STOPS)
        fine = list_add(&model->stops, &model->stop, sizeof model->stop) != NULL;
    return fine;
}

bool model_leave(struct kda_model *model, enum kda_leave leave, const struct kda_event *event,
                 uint32_t status)
{
    struct kda_stop *stop = &model->stop;
    bool fine;

    if (!model->stopped)
        return true;
    stop->leave = leave;
    stop->left_frame = event->frame;
    stop->left_time = event->time;
    stop->continue_status = status;
    if (event->time > stop->time)
        model->counts.stopped_time += event->time - stop->time;
    fine = model_end_stop(model);
    model->stopped = false;
    model->asked = false;
    return fine;
}

/* TraceFlag of the control set, by the target's architecture. */
static bool is_step(const struct kda_model *model, const uint8_t *set, size_t size)
{
    const struct kd_control_set_amd64 *amd64 = (const struct kd_control_set_amd64 *)set;
    const struct kd_control_set_arm64 *arm64 = (const struct kd_control_set_arm64 *)set;

    switch (model->arch) {
    case KD_ARCH_AMD64:
    case KD_ARCH_X86: /* its trace flag lies at the same place */
        return size >= sizeof amd64->trace_flag && kd_get32(amd64->trace_flag) != 0;
    case KD_ARCH_ARM64:
        return size >= sizeof *arm64 && kd_get32(arm64->trace_flag) != 0;
    default:
        return false;
    }
}

static bool see_continue(struct kda_model *model, const struct kda_event *event)
{
    bool narrow = event->packet->flags & KDA_PROTOCOL32;
    size_t at = narrow ? KD_MANIPULATE32_UNION : KD_MANIPULATE_UNION;
    size_t size = event->payload_size;
    const uint8_t *body = event->payload + at;
    bool step;

    if (size < at + sizeof(struct kd_continue_api))
        return model_leave(model, KDA_LEFT_CONTINUE, event, 0);
    step = event->packet->message.api == KD_API_CONTINUE2 &&
           is_step(model, body + KD_CONTINUE2_CONTROL_SET, size - at - KD_CONTINUE2_CONTROL_SET);
    return model_leave(model, step ? KDA_LEFT_STEP : KDA_LEFT_CONTINUE, event,
                       kd_get32(((const struct kd_continue_api *)body)->continue_status));
}

bool model_request(struct kda_model *model, const struct kda_event *event)
{
    if (model->stopped)
        model->stop.requests++;
    switch (event->packet->message.api) {
    case KD_API_CONTINUE:
    case KD_API_CONTINUE2:
        return see_continue(model, event);
    case KD_API_REBOOT:
    case KD_API_CAUSE_BUGCHECK:
        return model_leave(model, KDA_LEFT_REBOOT, event, 0);
    case KD_API_SWITCH_PROCESSOR:
        model->switching = true;
        return true;
    default:
        return true;
    }
}
