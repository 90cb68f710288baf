/* request.h - a manipulate request while it is served.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The reply starts as a copy of the request's 56 bytes: what a handler does not set is echoed, as
 * the boot manager does.
 */
#ifndef KDA_REQUEST_H
#define KDA_REQUEST_H

#include <stddef.h>
#include <stdint.h>

#include "kd/protocol.h"

struct kda_engine;

/* What happens after a handler. */
enum kda_flow {
    KDA_REPLY,  /* the reply is sent */
    KDA_SILENT, /* nothing is: the ACK was the answer */
    KDA_REPORT, /* the state change comes again instead */
    KDA_RESUME, /* the program goes on; kda_resume says how */
    KDA_REPLY_RESUME,
};

struct kda_request {
    struct kd_manipulate_header *header; /* of the reply */
    void *body;                          /* the reply's union, KDA_BODY_SIZE bytes */
    const uint8_t *data;                 /* what followed the request's union */
    size_t size;
    uint8_t *out;    /* what follows the reply's union */
    size_t room;     /* at least KDA_MIN_REPLY_DATA */
    size_t out_size; /* set by the handler */
};

#define KDA_BODY_SIZE (KD_MANIPULATE_DATA - KD_MANIPULATE_UNION)

typedef enum kda_flow kda_handler(struct kda_engine *engine, struct kda_request *request);

static inline enum kda_flow kda_status(struct kda_request *request, uint32_t status)
{
    request->header->return_status = kd_put32(status);
    return KDA_REPLY;
}

#define KDA_SUCCESS      UINT32_C(0)
#define KDA_UNSUCCESSFUL KD_NT(STATUS_UNSUCCESSFUL)

/* req_memory.c */
kda_handler kda_read_virtual, kda_write_virtual, kda_read_physical, kda_write_physical;
kda_handler kda_search_memory, kda_fill_memory, kda_query_memory;
/* req_context.c */
kda_handler kda_get_context, kda_set_context, kda_get_context_ex, kda_set_context_ex;
kda_handler kda_read_control_space, kda_write_control_space;
/* req_breakpoint.c */
kda_handler kda_write_breakpoint, kda_restore_breakpoint;
kda_handler kda_write_breakpoint_ex, kda_restore_breakpoint_ex;
/* req_io.c */
kda_handler kda_read_io, kda_write_io, kda_read_io_extended, kda_write_io_extended;
kda_handler kda_read_msr, kda_write_msr, kda_get_bus_data, kda_set_bus_data;
/* req_version.c */
kda_handler kda_get_version;
/* resume.c */
kda_handler kda_continue, kda_continue2;

#endif
