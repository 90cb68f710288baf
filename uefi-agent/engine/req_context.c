/* req_context.c - CONTEXT and control space.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Shapes are the boot manager's (measured): a wrong processor number is ignored, GetContextEx tells
 * the whole size in ByteCount and leaves ReturnStatus as the request had it, control space 0 and 1
 * are 8 bytes however many were asked for.
 */
#include "bytes.h"
#include "state.h"

#define CONTEXT_SIZE sizeof(struct kd_context_amd64)
#define SPECIAL_SIZE sizeof(struct kd_special_registers_amd64)
#define POINTER_SIZE sizeof(kd_u64)
#define PRCB_IN_PCR  0x180u /* public symbols of Windows x64 kernels; the boot manager's, too */

/* A reply that holds no CONTEXT would be none: config.max_read does not go below one. */
static void whole_context(struct kda_engine *engine, struct kda_request *request)
{
    kda_get_registers(engine);
    memcpy(request->out, &engine->context, CONTEXT_SIZE);
    request->out_size = CONTEXT_SIZE;
}

enum kda_flow kda_get_context(struct kda_engine *engine, struct kda_request *request)
{
    whole_context(engine, request);
    return kda_status(request, KDA_SUCCESS);
}

/* A short CONTEXT is success at the boot manager; here its bytes count and the rest stays. */
enum kda_flow kda_set_context(struct kda_engine *engine, struct kda_request *request)
{
    kda_get_registers(engine);
    memcpy(&engine->context, request->data, kda_min(request->size, CONTEXT_SIZE));
    engine->target.ops->set_context(engine->target.self, &engine->context);
    return kda_status(request, KDA_SUCCESS);
}

enum kda_flow kda_get_context_ex(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_context_ex *body = request->body;
    size_t offset = kda_min(kd_get32(body->offset), CONTEXT_SIZE);
    size_t size = kda_min(kd_get32(body->byte_count), CONTEXT_SIZE - offset);

    kda_get_registers(engine);
    memcpy(request->out, (const uint8_t *)&engine->context + offset, size);
    request->out_size = size;
    body->offset = kd_put32((uint32_t)offset);
    body->byte_count = kd_put32((uint32_t)CONTEXT_SIZE);
    body->bytes_copied = kd_put32((uint32_t)size);
    return KDA_REPLY;
}

/* Part by part; the part that ends at the total size sets all. What is beyond our CONTEXT (an
 * XSTATE area) is taken and not used. */
enum kda_flow kda_set_context_ex(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_set_context_ex *body = request->body;
    uint32_t offset = kd_get32(body->offset);
    uint32_t count = kd_get32(body->byte_count);
    uint32_t total = kd_get32(body->bytes_copied);

    if (total > KD_CONTEXT_MAX_SIZE || offset > total || count > total - offset ||
        count > request->size)
        return kda_status(request, KD_NT(STATUS_INVALID_PARAMETER));
    if (offset == 0) {
        kda_get_registers(engine);
        engine->staged = engine->context;
    }
    if (offset < CONTEXT_SIZE)
        memcpy((uint8_t *)&engine->staged + offset, request->data,
               kda_min(count, CONTEXT_SIZE - offset));
    if (offset + count == total)
        engine->target.ops->set_context(engine->target.self, &engine->staged);
    body->bytes_copied = kd_put32(count);
    return kda_status(request, KDA_SUCCESS);
}

static enum kda_flow control_reply(struct kda_request *request, const void *bytes, size_t size)
{
    struct kd_control_space *body = request->body;

    memcpy(request->out, bytes, size);
    request->out_size = size;
    body->actual_bytes = kd_put32((uint32_t)size);
    return kda_status(request, KDA_SUCCESS);
}

static enum kda_flow control_refused(struct kda_request *request)
{
    struct kd_control_space *body = request->body;

    body->actual_bytes = kd_put32(0);
    return kda_status(request, KDA_UNSUCCESSFUL);
}

enum kda_flow kda_read_control_space(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_control_space *body = request->body;
    kd_u64 pointer;

    switch (kd_get64(body->target_base_address)) {
    case KD_CONTROL_SPACE_AMD64_KPCR:
        pointer = kd_put64(kda_address_of(engine->blocks.pcr));
        return control_reply(request, &pointer, POINTER_SIZE);
    case KD_CONTROL_SPACE_AMD64_KPRCB:
        pointer = kd_put64(kda_address_of(engine->blocks.pcr) + PRCB_IN_PCR);
        return control_reply(request, &pointer, POINTER_SIZE);
    case KD_CONTROL_SPACE_AMD64_SPECIAL:
        kda_get_special(engine);
        return control_reply(request, &engine->special,
                             kda_min(kd_get32(body->transfer_count), SPECIAL_SIZE));
    default:
        return control_refused(request);
    }
}

/* Any part of the special registers, from their start. */
enum kda_flow kda_write_control_space(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_control_space *body = request->body;
    size_t size = kda_min(kd_get32(body->transfer_count), request->size);

    if (kd_get64(body->target_base_address) != KD_CONTROL_SPACE_AMD64_SPECIAL)
        return control_refused(request);
    size = kda_min(size, SPECIAL_SIZE);
    kda_get_special(engine);
    memcpy(&engine->special, request->data, size);
    if (size > offsetof(struct kd_special_registers_amd64, dr7))
        engine->special_written = true;
    body->actual_bytes = kd_put32((uint32_t)size);
    return kda_status(request,
                      engine->target.ops->set_special(engine->target.self, &engine->special)
                          ? KDA_SUCCESS
                          : KDA_UNSUCCESSFUL);
}
