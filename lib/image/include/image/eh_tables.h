/* eh_tables.h - exception tables behind a function's unwind information, decoded.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Three kinds: C scopes (__try), C++ with fixed-size records (FuncInfo, "FH3"), and C++ compressed
 * ("FH4"); the first and both C++ ones may be joined with where a stack cookie is. Which kind a
 * function has is decided by the handler it names, which a caller knows or guesses with
 * img_eh_guess. Tables are read anew at every question, so the reader has no size of its own.
 */
#ifndef KDLENS_IMAGE_EH_TABLES_H
#define KDLENS_IMAGE_EH_TABLES_H

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"
#include "image/unwind.h"

/* Limits of ours, far above what compilers make: rows of compressed tables are found by counting.
 */
#define IMG_EH_MAX_STATES   8192
#define IMG_EH_MAX_TRIES    1024
#define IMG_EH_MAX_HANDLERS 128 /* of one try block */

#define IMG_EH_EMPTY (-1) /* the state in which there is nothing to undo */

enum img_eh_kind {
    IMG_EH_UNKNOWN,
    IMG_EH_SCOPES, /* __C_specific_handler */
    IMG_EH_CXX3,   /* __CxxFrameHandler3 */
    IMG_EH_CXX4,   /* __CxxFrameHandler4 */
    IMG_EH_GS,     /* __GSHandlerCheck: nothing but a stack cookie */
};

/* A C++ function's table. */
struct img_eh {
    const struct img_image *image;
    enum img_eh_kind kind; /* CXX3 or CXX4 */
    uint32_t function;     /* RVA that compressed addresses count from */
    uint32_t info;         /* RVA of FuncInfo */
    uint32_t size;         /* bytes of FuncInfo */
    uint32_t flags;        /* IMG_EH_... */
    uint32_t state_count;
    uint32_t unwind_map; /* RVAs; 0: none */
    uint32_t try_count;
    uint32_t try_map;
    uint32_t ip_count;
    uint32_t ip_map;
    uint32_t segment;     /* RVA that the IP map counts from */
    uint32_t catch_frame; /* CXX4, IMG_EH_CATCH: where in its frame the parent's is */
    int32_t unwind_help;  /* CXX3: offset in the frame */
};

enum {
    IMG_EH_SYNCHRONOUS = 1, /* catch (...) was compiled for C++ exceptions only */
    IMG_EH_NOEXCEPT = 2,
    IMG_EH_CATCH = 4,     /* CXX4: the function is a catch block */
    IMG_EH_SEPARATED = 8, /* CXX4: the function is in several pieces */
};

enum img_eh_action {
    IMG_EH_NOTHING,
    IMG_EH_FUNCLET,      /* call action */
    IMG_EH_DESTROY,      /* call action with the address of the object */
    IMG_EH_DESTROY_AT,   /* call action with the pointer that is there */
    IMG_EH_ACTION_COUNT, /* not an action */
};

struct img_eh_unwind {
    int32_t next; /* the state after it */
    enum img_eh_action kind;
    uint32_t action; /* RVA */
    uint32_t object; /* offset in the frame */
};

struct img_eh_try {
    int32_t low; /* states of the try block */
    int32_t high;
    int32_t catch_high; /* states of its catch blocks: high + 1 .. catch_high */
    uint32_t handler_count;
    uint32_t handlers; /* RVA */
};

enum img_eh_adjectives {
    IMG_EH_CONST = 1,
    IMG_EH_VOLATILE = 2,
    IMG_EH_UNALIGNED = 4,
    IMG_EH_REFERENCE = 8,
    IMG_EH_ANYTHING = 0x40, /* catch (...) */
};

struct img_eh_handler {
    uint32_t adjectives;
    uint32_t type;    /* RVA of the type descriptor; 0: anything */
    int32_t object;   /* offset in the frame; 0: none */
    uint32_t handler; /* RVA of the catch block */
    uint32_t frame;   /* CXX3: where in its frame the parent's is */
    unsigned continuation_count;
    uint32_t continuations[2]; /* RVAs */
};

/* A row of a C scope table. */
struct img_eh_scope {
    uint32_t begin;
    uint32_t end;
    uint32_t handler; /* filter, or 1: always; of a __finally block: itself */
    uint32_t target;  /* 0: a __finally block */
};

struct img_eh_gs {
    uint8_t flags; /* 1 for exceptions, 2 for unwinding, 4 the frame is aligned */
    int32_t cookie;
    int32_t aligned_base;
    int32_t alignment;
};

/* Opens a C++ table: data is the RVA behind the handler's in unwind information, where FuncInfo's
 * is; function is the row that is not chained, rva where control is. False: malformed. */
bool img_eh_open(const struct img_image *image, enum img_eh_kind kind, uint32_t data,
                 uint32_t function, uint32_t rva, struct img_eh *eh);

/* Which kind the data of an unnamed handler looks like. A decision by plausibility. */
enum img_eh_kind img_eh_guess(const struct img_image *image, uint32_t data,
                              const struct img_function *function);

/* The state at rva. False: malformed. */
bool img_eh_state(const struct img_eh *eh, uint32_t rva, int32_t *state);

/* The row at index, in order: from rva on the state is *state. False at the end and on damage. */
bool img_eh_ip(const struct img_eh *eh, uint32_t index, uint32_t *rva, int32_t *state);

bool img_eh_unwind(const struct img_eh *eh, int32_t state, struct img_eh_unwind *unwind);
bool img_eh_try(const struct img_eh *eh, uint32_t index, struct img_eh_try *block);
bool img_eh_handler(const struct img_eh *eh, const struct img_eh_try *block, uint32_t index,
                    struct img_eh_handler *handler);

/* The whole table is in the image and consistent: states, actions, try blocks, catch blocks. */
bool img_eh_check(const struct img_eh *eh);

/* Rows of a C scope table at data. */
bool img_eh_scope_count(const struct img_image *image, uint32_t data, uint32_t *count);
bool img_eh_scope(const struct img_image *image, uint32_t data, uint32_t index,
                  struct img_eh_scope *scope);

bool img_eh_gs(const struct img_image *image, uint32_t data, struct img_eh_gs *gs);

#endif
