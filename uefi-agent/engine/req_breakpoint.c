/* req_breakpoint.c - software breakpoints, one by one and in arrays.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "bytes.h"
#include "state.h"

#define ENTRY_SIZE  sizeof(struct kd_breakpoint_entry)
#define HANDLE_SIZE sizeof(struct kd_restore_breakpoint)

enum kda_flow kda_write_breakpoint(struct kda_engine *engine, struct kda_request *request)
{
    struct kd_write_breakpoint *body = request->body;
    uint32_t handle = kda_breakpoint_add(&engine->breakpoints, kd_get64(body->break_point_address));

    body->break_point_handle = kd_put32(handle);
    return kda_status(request, handle ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
}

/* WinDbg asks for all 32 on every connect, knowing none of them. */
enum kda_flow kda_restore_breakpoint(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_restore_breakpoint *body = request->body;
    bool known = kda_breakpoint_remove(&engine->breakpoints, kd_get32(body->break_point_handle));

    return kda_status(request, known ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
}

/* The ContinueStatus inside counts when it is one (the boot manager obeys it, too); the request's
 * filler 0x103 is none. */
static enum kda_flow finish(struct kda_engine *engine, struct kda_request *request, bool good)
{
    const struct kd_breakpoint_ex *body = request->body;
    uint32_t status = kd_get32(body->continue_status);

    kda_status(request, good ? KDA_SUCCESS : KDA_UNSUCCESSFUL);
    if (status == KD_NT(DBG_CONTINUE) || status == KD_NT(DBG_EXCEPTION_HANDLED))
        engine->outcome = KDA_HANDLED;
    else if (status == KD_NT(DBG_EXCEPTION_NOT_HANDLED))
        engine->outcome = KDA_NOT_HANDLED;
    else
        return KDA_REPLY;
    return KDA_REPLY_RESUME;
}

/* False: more than there can be, or than was sent. */
static bool count_is_good(const struct kda_request *request, size_t element)
{
    const struct kd_breakpoint_ex *body = request->body;
    uint32_t count = kd_get32(body->break_point_count);

    return count <= KD_MAX_BREAKPOINTS && count * element <= request->size;
}

enum kda_flow kda_write_breakpoint_ex(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_breakpoint_ex *body = request->body;
    struct kd_breakpoint_entry *out = (struct kd_breakpoint_entry *)request->out;
    uint32_t count = kd_get32(body->break_point_count);
    bool good = true;

    if (!count_is_good(request, ENTRY_SIZE))
        return kda_status(request, KDA_UNSUCCESSFUL);
    request->out_size = count * ENTRY_SIZE;
    memcpy(request->out, request->data, request->out_size);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t handle =
            kda_breakpoint_add(&engine->breakpoints, kd_get64(out[i].break_point_address));

        out[i].break_point_handle = kd_put32(handle);
        good = good && handle;
    }
    return finish(engine, request, good);
}

/* Public structures give the reply the array again; a handle that is none becomes 0 in it. (The
 * boot manager has no answer to this request.) */
enum kda_flow kda_restore_breakpoint_ex(struct kda_engine *engine, struct kda_request *request)
{
    const struct kd_breakpoint_ex *body = request->body;
    struct kd_restore_breakpoint *out = (struct kd_restore_breakpoint *)request->out;
    uint32_t count = kd_get32(body->break_point_count);
    bool good = true;

    if (!count_is_good(request, HANDLE_SIZE))
        return kda_status(request, KDA_UNSUCCESSFUL);
    request->out_size = count * HANDLE_SIZE;
    memcpy(request->out, request->data, request->out_size);
    for (uint32_t i = 0; i < count; i++) {
        if (!kda_breakpoint_remove(&engine->breakpoints, kd_get32(out[i].break_point_handle))) {
            out[i].break_point_handle = kd_put32(0);
            good = false;
        }
    }
    return finish(engine, request, good);
}
