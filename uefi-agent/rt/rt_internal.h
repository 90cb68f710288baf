/* rt_internal.h - the library's one state, and what its parts offer each other.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_RT_INTERNAL_H
#define KDLENS_RT_INTERNAL_H

#include "image/eh_tables.h"
#include "image/unwind.h"
#include "rt/rt.h"

/* A catch block that runs. It lies on the stack: whatever is unwound to a frame above it ended it.
 */
struct rt_catch {
    struct rt_catch *outer;
    uint64_t frame; /* the function's own frame */
    int32_t state;  /* of that function while the block runs, and after */
    struct rt_record *record;
    /* How to run it. */
    uint64_t parent;  /* the frame that catch blocks get: of the function they belong to */
    uint64_t handler; /* address of the block */
    uint64_t continuations[2];
    unsigned continuation_count;
    int32_t low; /* the state to unwind to before */
};

/* An exception on its way, also on the stack. */
struct rt_raised {
    struct rt_raised *outer;
};

struct rt_state {
    struct rt_port port;
    enum rt_policy policy;
    bool faults_uncaught; /* the opposite of rt_catch_faults */
    bool has_unhandled;   /* this fault was looked at, and comes again */
    uint64_t unhandled_rip;
    uint64_t unhandled_rsp;
    struct rt_catch *catches;
    struct rt_raised *raised;
    unsigned image_count;
    struct img_image images[RT_MAX_IMAGES];
};

extern struct rt_state rt_state;

/* One frame of a search or of an unwinding. dispatcher comes first: a handler's caller finds the
 * rest by it (rt_collided). */
struct rt_walk {
    struct rt_dispatcher dispatcher;
    struct img_registers here; /* in the frame */
    struct img_registers up;   /* in its caller */
    struct img_frame frame;
    const struct img_image *image;
    bool unwound;              /* here.rip is a return address */
    struct rt_context context; /* here, for handlers */
};

/* Where an unwinding ends. */
struct rt_target {
    uint64_t frame; /* 0: nowhere, all frames */
    uint64_t ip;
    uint64_t value;
    struct rt_catch *run;    /* a catch block that says where to go on, instead of ip */
    struct rt_record *taken; /* an exception that ends here */
};

/* dispatch.c */
void rt_registers_of(const struct rt_context *context, struct img_registers *registers);
void rt_context_of(const struct img_registers *registers, struct rt_context *context);
bool rt_search(struct rt_record *record, struct rt_context *context);
_Noreturn void rt_unwind(const struct rt_context *start, struct rt_record *record,
                         const struct rt_target *target);
_Noreturn RT_ABI void rt_raised_at(struct rt_record *record, struct rt_context *context);
_Noreturn void rt_terminate(enum rt_reason reason, const struct rt_record *record,
                            const struct rt_context *registers);
bool rt_read(uint64_t address, void *buffer, size_t size);
bool rt_read64(uint64_t address, uint64_t *value);

/* throw.c: whether a catch block takes an exception; rva of the catchable type in *type. */
struct rt_match {
    const struct img_image *image; /* of the thrown type */
    uint32_t type;                 /* RVA of its catchable type */
    uint64_t object;
    bool whole; /* catch (...): there is no object */
};
bool rt_is_cxx(const struct rt_record *record);
bool rt_matches(const struct rt_record *record, const struct img_eh *eh,
                const struct img_eh_handler *handler, struct rt_match *match);
void rt_copy_object(const struct rt_match *match, const struct img_eh_handler *handler,
                    uint64_t parent);
/* Ends the catch blocks and the searches below a frame; the exception in_flight lives on. */
void rt_leave(uint64_t frame, const struct rt_record *in_flight);
/* Ends the life of an exception, unless a catch block has it. */
void rt_release(const struct rt_record *record);
RT_ABI uint64_t rt_catch_block(struct rt_catch *run);

/* eh_x64.S */
RT_ABI void rt_raise(struct rt_record *record);
RT_ABI enum rt_disposition rt_call_handler(struct rt_record *record, uint64_t frame,
                                           struct rt_context *context,
                                           struct rt_dispatcher *dispatcher);
/* The same during unwinding: what is raised inside goes on where dispatcher is. */
RT_ABI enum rt_disposition rt_call_unwinder(struct rt_record *record, uint64_t frame,
                                            struct rt_context *context,
                                            struct rt_dispatcher *dispatcher);
/* What is raised inside, and not taken there, is the end. */
RT_ABI uint64_t rt_call_cleanup(uint64_t function, uint64_t a, uint64_t b, uint64_t c);
RT_ABI uint64_t rt_call_catch(uint64_t function, uint64_t a, uint64_t b);
/* Sets all registers. */
_Noreturn RT_ABI void rt_resume(const struct rt_context *context);
/* Runs a catch block above the frames it unwound, then goes on in its function, whose registers are
 * in context. */
_Noreturn RT_ABI void rt_consolidate(struct rt_context *context, struct rt_catch *run);
_Noreturn RT_ABI void rt_stop(const struct rt_record *record, const struct rt_context *registers);
RT_ABI void rt_fault_entry(void);
RT_ABI void rt_guard_resumed(void);

/* Handlers that only eh_x64.S names. */
rt_handler rt_collided, rt_cleanup_raised, rt_guard_raised;
_Noreturn RT_ABI void rt_fault_raised(struct rt_record *record, struct rt_context *context);

#endif
