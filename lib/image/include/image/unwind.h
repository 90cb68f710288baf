/* unwind.h - x86-64 unwind tables: look-up, decoding, one step up the stack, and whole call stacks.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The tables are those of the Windows x64 calling convention, versions 1 and 2. Nothing is written;
 * a table that contradicts itself is an error and never a fault or a loop without end.
 */
#ifndef KDLENS_IMAGE_UNWIND_H
#define KDLENS_IMAGE_UNWIND_H

#include <stdbool.h>
#include <stdint.h>

#include "image/image.h"

/* In the order of the encoding, as unwind codes count them. */
enum img_register {
    IMG_RAX,
    IMG_RCX,
    IMG_RDX,
    IMG_RBX,
    IMG_RSP,
    IMG_RBP,
    IMG_RSI,
    IMG_RDI,
    IMG_R8,
    IMG_R9,
    IMG_R10,
    IMG_R11,
    IMG_R12,
    IMG_R13,
    IMG_R14,
    IMG_R15,
    IMG_GPR_COUNT,
};

struct img_xmm {
    uint64_t low;
    uint64_t high;
};

struct img_registers {
    uint64_t rip;
    uint64_t gpr[IMG_GPR_COUNT];
    struct img_xmm xmm[16];
};

/* A row of the exception directory: RVAs; end is the first byte behind. */
struct img_function {
    uint32_t begin;
    uint32_t end;
    uint32_t unwind;
};

enum img_unwind_flags {
    IMG_UNWIND_EHANDLER = 1,
    IMG_UNWIND_UHANDLER = 2,
    IMG_UNWIND_CHAINED = 4,
};

struct img_unwind_info {
    uint8_t version;
    uint8_t flags;
    uint8_t prologue; /* bytes */
    uint8_t code_count;
    uint8_t frame_register; /* 0: none */
    uint8_t frame_offset;   /* bytes */
    uint32_t codes;         /* RVA */
    uint32_t handler;       /* RVA; 0 without EHANDLER and UHANDLER */
    uint32_t handler_data;  /* RVA of what follows the handler */
    struct img_function chained;
};

enum img_unwind_op {
    IMG_OP_PUSH_NONVOL = 0,
    IMG_OP_ALLOC_LARGE = 1,
    IMG_OP_ALLOC_SMALL = 2,
    IMG_OP_SET_FPREG = 3,
    IMG_OP_SAVE_NONVOL = 4,
    IMG_OP_SAVE_NONVOL_FAR = 5,
    IMG_OP_EPILOG = 6, /* version 2 only */
    IMG_OP_SAVE_XMM128 = 8,
    IMG_OP_SAVE_XMM128_FAR = 9,
    IMG_OP_PUSH_MACHFRAME = 10,
};

struct img_unwind_code {
    uint8_t offset; /* of the instruction's end in the prologue; EPILOG: as stored */
    uint8_t op;     /* enum img_unwind_op */
    uint8_t info;   /* register, or as stored */
    uint8_t slots;  /* how many of code_count it takes */
    uint32_t value; /* bytes allocated, or the distance of a save */
};

enum img_unwind_result {
    IMG_UNWIND_OK,
    IMG_UNWIND_OUTSIDE,   /* rip is not in this image */
    IMG_UNWIND_MALFORMED, /* the table contradicts itself or leaves the image */
    IMG_UNWIND_STACK,     /* the stack cannot be read where the frame must be */
};

enum img_frame_kind {
    IMG_FRAME_TABLE,   /* by its unwind table */
    IMG_FRAME_LEAF,    /* no table: a function that saves nothing */
    IMG_FRAME_MACHINE, /* by its table: what it was entered from was interrupted */
    IMG_FRAME_SCAN,    /* no table: a guess, the next word of the stack that looks right */
};

/* What one step up the stack found out about the function at rip. */
struct img_frame {
    enum img_frame_kind kind;
    struct img_function function; /* the row that holds rip; zero without a table */
    struct img_function primary;  /* the row that is not chained to another */
    uint8_t flags;                /* EHANDLER, UHANDLER; 0 in a prologue and in an epilogue */
    uint32_t handler;             /* RVA; 0: none */
    uint32_t handler_data;
    uint8_t frame_register; /* of the primary row */
    uint8_t frame_offset;
    uint64_t establisher; /* what the handler knows the frame by */
};

/* Memory that frames are in. */
struct img_memory {
    bool (*read)(void *context, uint64_t address, void *buffer, size_t size);
    void *context;
};

/* What a result means, for a message. */
const char *img_unwind_result_text(enum img_unwind_result result);

/* Functions made at run time: size bytes of memory from base on hold code, unwind data and, at the
 * RVA table, count rows sorted by their begin. There are no headers to read. */
void img_open_dynamic(struct img_image *image, const struct img_source *source, uint64_t base,
                      uint32_t size, uint32_t table, uint32_t count);

/* Rows of the exception directory. */
uint32_t img_function_count(const struct img_image *image);
bool img_function(const struct img_image *image, uint32_t index, struct img_function *function);

/* The row that holds rva, by binary search. */
bool img_function_at(const struct img_image *image, uint32_t rva, struct img_function *function);

/* Follows chained rows to the one that describes the whole function. False: malformed. */
bool img_primary_function(const struct img_image *image, struct img_function *function);

/* The row of the whole function that rva is in; false when there is none, or rva is in a piece that
 * lies before the function's start. */
bool img_whole_function(const struct img_image *image, uint32_t rva, struct img_function *function);

/* The export that rva is in. Of an image without a table nobody knows where functions end: there an
 * export goes on to the next one in its section. With a table it holds inside its own row, and in
 * leaf functions, which have none, only where it starts. IMG_NONE: no export names rva. */
enum img_result img_export_of(const struct img_image *image, uint32_t rva,
                              struct img_export *export);

bool img_unwind_info(const struct img_image *image, uint32_t rva, struct img_unwind_info *info);

/* The code at index (in slots, less than code_count). False: malformed. */
bool img_unwind_code(const struct img_image *image, const struct img_unwind_info *info,
                     unsigned index, struct img_unwind_code *code);

/* From a function to its caller: changes registers to what they are after it returned. A function
 * without a row is taken for a leaf. On an error registers are undefined. */
enum img_unwind_result img_unwind(const struct img_image *image, const struct img_memory *memory,
                                  struct img_registers *registers, struct img_frame *frame);

enum img_walk_result {
    IMG_WALK_FRAME,     /* one more frame */
    IMG_WALK_END,       /* rip is 0 or in no image: the stack ends here */
    IMG_WALK_FRAMES,    /* max_frames reached */
    IMG_WALK_LIMIT,     /* the next frame is outside the stack's limits, or does not go up */
    IMG_WALK_MALFORMED, /* an unwind table contradicts itself */
    IMG_WALK_STACK,     /* the stack cannot be read */
};

/* A call stack, bounded by all of these. */
struct img_walk {
    /* The image that holds address, or NULL; valid until the next call. */
    const struct img_image *(*find)(void *context, uint64_t address);
    void *find_context;
    struct img_memory memory;
    uint64_t stack_low; /* frames lie in stack_low .. stack_high - 1 */
    uint64_t stack_high;
    unsigned max_frames;
    unsigned max_scan; /* words of the stack that a guess may skip; 0: no guesses */

    /* The walk's own. */
    struct img_registers registers;
    enum img_walk_result next; /* what becomes of the next frame */
    unsigned frames;
    bool interrupted; /* rip is no return address */
    bool guessed;     /* rip was found by scanning, or from a frame that was */
};

struct img_walk_frame {
    uint64_t rip;
    uint64_t rsp;
    const struct img_image *image; /* as of find; NULL for rip outside all images */
    struct img_frame frame;        /* how its caller was found; zero when it was not */
    bool guessed;                  /* rip is a guess, or follows from one */
    bool interrupted;              /* rip is the next instruction, not behind a call */
};

/* Starts at an interrupted instruction. The caller has set all but the walk's own. */
void img_walk_start(struct img_walk *walk, const struct img_registers *registers);

/* IMG_WALK_FRAME: *frame is the next one. Everything else ends the walk. */
enum img_walk_result img_walk_next(struct img_walk *walk, struct img_walk_frame *frame);

const char *img_walk_result_text(enum img_walk_result result);

#endif
