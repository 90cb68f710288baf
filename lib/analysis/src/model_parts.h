/* model_parts.h - the model's inside, shared by its files.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 *   model.c          events go to the others; lists; questions
 *   model_counts.c   counts
 *   model_stops.c    state changes, and what ends a stop
 *   model_modules.c  load events, the target's own list, image headers
 *   model_replies.c  replies to the debugger's requests, by API
 *   model_state.c    contexts, special registers, ports, MSRs; hardware breakpoints
 *   model_writes.c   memory written, breakpoints: what the debugger changed
 *   model_io.c       prints, prompts, files
 *
 * Functions that return bool do so for want of memory alone.
 */
#ifndef ANALYSIS_MODEL_PARTS_H
#define ANALYSIS_MODEL_PARTS_H

#include "analysis/model.h"
#include "list.h"

#define HARDWARE_BREAKPOINTS 4u
#define ACTIVE_MAX           64u /* breakpoints set at a time: a target has 32, and four more */
#define FAILED_STATUS        UINT32_C(0x80000000) /* NTSTATUS from here on */

/* A CONTEXT that comes or goes in pieces. */
struct context_pieces {
    bool set;
    uint16_t processor;
    uint32_t stop;
    uint32_t size; /* bytes so far */
    uint8_t bytes[KD_CONTEXT_MAX_SIZE];
};

struct kda_model {
    uint32_t keep;
    struct kda_store *store;
    struct kda_listener listener;
    enum kd_arch arch;
    bool arch_certain; /* from GetVersion, not from a report */
    struct kda_version version;
    struct kda_counts counts;

    struct kda_stop stop; /* the newest; frame 0: none so far */
    bool stopped;
    bool asked;     /* a break-in since the target ran */
    bool switching; /* SwitchProcessor was sent */

    struct list stops, modules, writes, breakpoints, contexts, values, texts, files, blocks;
    uint32_t active[ACTIVE_MAX]; /* breakpoints that are set, indices */
    size_t active_count;
    uint32_t hardware[HARDWARE_BREAKPOINTS]; /* index + 1 of the breakpoint; 0: none */
    struct context_pieces pieces;
    struct kda_memory *virtual, *physical;
};

/* A reply with its request. Manipulate messages of both protocols, cut into parts. */
struct reply {
    const struct kda_event *event;
    const struct kda_packet *packet;
    bool narrow;         /* the 32-bit protocol */
    bool succeeded;      /* by its status */
    const uint8_t *body; /* the union, always 40 bytes */
    const uint8_t *data; /* behind it */
    size_t data_size;
    const uint8_t *asked; /* the request's union, 40 bytes; zeros when the capture lacks it */
    const uint8_t *sent;  /* the request's data */
    size_t sent_size;
    uint32_t request_frame; /* the reply's own when there is no request */
    uint64_t request_time;
};

/* The frame of the stop that holds the target, 0 when it runs. */
uint32_t model_stop_frame(const struct kda_model *model);

/* Copies bytes into the store. A size of 0 needs none. */
bool model_keep_bytes(struct kda_model *model, const uint8_t *bytes, size_t size,
                      struct kda_bytes *out);

void model_count(struct kda_model *model, const struct kda_event *event);
void model_count_end(struct kda_model *model);

bool model_state_change(struct kda_model *model, const struct kda_event *event);
/* A request of the debugger: what it does to the stop. */
bool model_request(struct kda_model *model, const struct kda_event *event);
/* The stop is over. */
bool model_leave(struct kda_model *model, enum kda_leave leave, const struct kda_event *event,
                 uint32_t status);
bool model_end_stop(struct kda_model *model);

/* path: ASCII; timestamp and machine are added later. */
bool model_add_module(struct kda_model *model, const struct kda_module *module);
bool model_remove_modules(struct kda_model *model, uint64_t base, uint32_t frame, uint64_t time);
/* What memory says of modules, once all is there. */
bool model_finish_modules(struct kda_model *model);

bool model_reply(struct kda_model *model, const struct kda_event *event);
struct kda_memory *model_space(const struct kda_model *model, bool physical);

bool model_context_reply(struct kda_model *model, const struct reply *reply);
bool model_value_reply(struct kda_model *model, const struct reply *reply);

bool model_write_reply(struct kda_model *model, const struct reply *reply);
bool model_breakpoint_reply(struct kda_model *model, const struct reply *reply);
/* Fills what all writes have in common; `data` of `size` bytes is kept. */
bool model_add_write(struct kda_model *model, const struct reply *reply, struct kda_write *write,
                     const uint8_t *data, size_t size);
bool model_set_breakpoint(struct kda_model *model, const struct kda_event *event,
                          const struct kda_breakpoint *breakpoint);
/* The newest software breakpoint of this handle, or the one of this index + 1. */
void model_clear_breakpoint(struct kda_model *model, const struct kda_event *event, uint32_t handle,
                            uint32_t number);
void model_hit_breakpoints(struct kda_model *model, uint64_t pc);

bool model_debug_io(struct kda_model *model, const struct kda_event *event);
bool model_trace_io(struct kda_model *model, const struct kda_event *event);
bool model_file_io(struct kda_model *model, const struct kda_event *event);
bool model_add_text(struct kda_model *model, const struct kda_event *event, enum kda_text_kind kind,
                    const uint8_t *text, size_t size);

static inline size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
