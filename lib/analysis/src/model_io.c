/* model_io.c - what the target asks of the debugger: prints, prompts, files. See model_parts.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <string.h>

#include "model_parts.h"

/* --- text */

bool model_add_text(struct kda_model *model, const struct kda_event *event, enum kda_text_kind kind,
                    const uint8_t *text, size_t size)
{
    struct kda_text item = {
        .kind = kind,
        .frame = event->frame,
        .stop = model_stop_frame(model),
        .time = event->time,
        .processor = event->packet->processor,
        .text = {.size = (uint32_t)size},
    };

    if (model->listener.text)
        model->listener.text(model->listener.context, &item, text);
    if (!(model->keep & KDA_KEEP_TEXTS))
        return true;
    return model_keep_bytes(model, text, size, &item.text) &&
           list_add(&model->texts, &item, sizeof item) != NULL;
}

bool model_debug_io(struct kda_model *model, const struct kda_event *event)
{
    const uint8_t *body = event->payload + KD_DEBUG_IO_UNION;
    const struct kd_print_string *print = (const struct kd_print_string *)body;
    const struct kd_get_string *get = (const struct kd_get_string *)body;
    bool answer = event->flow == KD_FLOW_TO_TARGET;
    enum kda_text_kind kind;
    size_t size;

    if (event->payload_size < KD_DEBUG_IO_TEXT)
        return true;
    size = event->payload_size - KD_DEBUG_IO_TEXT;
    if (event->packet->message.api == KD_API_PRINT_STRING) {
        kind = KDA_TEXT_PRINT;
        size = smaller(size, kd_get32(print->length_of_string));
        model->counts.prints++;
        model->counts.print_bytes += size;
        if (model->stopped)
            model->stop.prints++;
    } else if (event->packet->message.api == KD_API_GET_STRING) {
        kind = answer ? KDA_TEXT_ANSWER : KDA_TEXT_PROMPT;
        size = smaller(
            size, kd_get32(answer ? get->length_of_string_read : get->length_of_prompt_string));
    } else {
        return true;
    }
    return model_add_text(model, event, kind, event->payload + KD_DEBUG_IO_TEXT, size);
}

bool model_trace_io(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_trace_io *trace = (const struct kd_trace_io *)event->payload;

    if (event->payload_size < KD_TRACE_IO_DATA)
        return true;
    return model_add_text(
        model, event, KDA_TEXT_TRACE, event->payload + KD_TRACE_IO_DATA,
        smaller(event->payload_size - KD_TRACE_IO_DATA, kd_get32(trace->length_of_data)));
}

/* --- files */

static struct kda_file *newest_file(struct kda_model *model)
{
    return model->files.count
               ? list_at(&model->files, model->files.count - 1, sizeof(struct kda_file))
               : NULL;
}

/* The file that is open under this handle. */
static struct kda_file *file_of(struct kda_model *model, uint64_t handle)
{
    for (size_t i = model->files.count; i-- > 0;) {
        struct kda_file *file = list_at(&model->files, i, sizeof *file);

        if (file->reply && file->status < FAILED_STATUS && !file->closed && file->handle == handle)
            return file;
    }
    return NULL;
}

static void tell_file(const struct kda_model *model, const struct kda_file *file)
{
    if (model->listener.file)
        model->listener.file(model->listener.context, file);
}

/* The name ends at its NUL; slack may follow. */
static size_t name_size(const uint8_t *name, size_t size)
{
    size_t at = 0;

    while (at + 1 < size && (name[at] || name[at + 1]))
        at += 2;
    return at;
}

static bool see_create(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_create_file *create =
        (const struct kd_create_file *)(event->payload + KD_FILE_IO_UNION);
    const uint8_t *name = event->payload + KD_FILE_IO_DATA;
    struct kda_file file = {
        .number = (uint32_t)model->files.count + 1,
        .frame = event->frame,
        .time = event->time,
        .access = kd_get32(create->desired_access),
    };

    if (model->stopped)
        model->stop.files++;
    return model_keep_bytes(model, name, name_size(name, event->payload_size - KD_FILE_IO_DATA),
                            &file.name) &&
           list_add(&model->files, &file, sizeof file) != NULL;
}

static void see_created(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_create_file *create =
        (const struct kd_create_file *)(event->payload + KD_FILE_IO_UNION);
    struct kda_file *file = newest_file(model);

    if (!event->request || !file || file->frame != event->request->frame)
        return;
    file->reply = event->frame;
    file->status = event->packet->message.status;
    file->handle = kd_get64(create->handle);
    file->length = kd_get64(create->length);
    tell_file(model, file);
}

static bool keep_block(struct kda_model *model, const struct kda_event *event,
                       const struct kda_file *file, uint64_t offset, bool written,
                       const uint8_t *bytes, size_t size)
{
    struct kda_file_block block = {
        .file = file->number, .frame = event->frame, .written = written, .offset = offset};

    return !(model->keep & KDA_KEEP_FILES) ||
           (model_keep_bytes(model, bytes, size, &block.bytes) &&
            list_add(&model->blocks, &block, sizeof block) != NULL);
}

/* The data of a read come with the reply, those of a write with the request. */
static bool see_transfer(struct kda_model *model, const struct kda_event *event, bool written)
{
    const struct kd_read_write_file *done =
        (const struct kd_read_write_file *)(event->payload + KD_FILE_IO_UNION);
    const struct kd_read_write_file *asked =
        (const struct kd_read_write_file *)(event->request_payload + KD_FILE_IO_UNION);
    const uint8_t *bytes = (written ? event->request_payload : event->payload) + KD_FILE_IO_DATA;
    size_t size = (written ? event->request_size : event->payload_size) - KD_FILE_IO_DATA;
    struct kda_file *file = file_of(model, kd_get64(asked->handle));

    if (!file)
        return true;
    if (event->packet->message.status >= FAILED_STATUS) {
        file->refused++;
        return true;
    }
    size = smaller(size, kd_get32(done->length));
    *(written ? &file->writes : &file->reads) += 1;
    *(written ? &file->written_bytes : &file->read_bytes) += size;
    return keep_block(model, event, file, kd_get64(asked->offset), written, bytes, size);
}

static void see_close(struct kda_model *model, const struct kda_event *event)
{
    const struct kd_close_file *asked =
        (const struct kd_close_file *)(event->request_payload + KD_FILE_IO_UNION);
    struct kda_file *file = file_of(model, kd_get64(asked->handle));

    if (!file)
        return;
    file->closed = event->frame;
    tell_file(model, file);
}

bool model_file_io(struct kda_model *model, const struct kda_event *event)
{
    uint32_t api = event->packet->message.api;

    if (event->payload_size < KD_FILE_IO_DATA)
        return true;
    if (event->flow == KD_FLOW_TO_DEBUGGER)
        return api != KD_API_CREATE_FILE || see_create(model, event);
    if (!event->request || event->request_size < KD_FILE_IO_DATA)
        return true;
    switch (api) {
    case KD_API_CREATE_FILE:
        see_created(model, event);
        return true;
    case KD_API_READ_FILE:
    case KD_API_WRITE_FILE:
        return see_transfer(model, event, api == KD_API_WRITE_FILE);
    case KD_API_CLOSE_FILE:
        see_close(model, event);
        return true;
    default:
        return true;
    }
}
