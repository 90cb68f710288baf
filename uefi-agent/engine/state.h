/* state.h - the engine inside: one session's state, and what its parts offer each other.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Data flows one way: engine.c (what the program does) -> report.c (tells it) -> requests.c and
 * req_*.c (what the debugger asks) -> resume.c (how the program goes on). All send through wire.h.
 */
#ifndef KDA_STATE_H
#define KDA_STATE_H

#include "breakpoints.h"
#include "engine.h"
#include "images.h"
#include "kd/protocol.h"
#include "request.h"
#include "wire.h"

/* What the debugger is told, and told again when it asks: one of the three state changes. */
struct kda_event {
    enum kd_new_state state;
    const struct kda_exception *exception;
    const struct kda_image *image; /* load_symbols, with the path kept */
    uint64_t unloaded;             /* load_symbols without an image: base of the unload event */
    const char *command;
    size_t command_size;
};

/* Structures of Windows that debuggers look for, in memory they can read. */
struct kda_blocks {
    struct kd_list_entry64 list; /* DebuggerDataList; its Flink is the address of data */
    struct kd_kddebugger_data64 data;
    uint8_t service_pack[16]; /* CmNtCSDVersion: none */
    uint8_t pcr[0x400];       /* KPCR with the KPRCB in it */
};

/* A step over a breakpoint that is left out of memory for one instruction. */
struct kda_stepping {
    bool active;
    bool reported; /* the debugger, or the program itself, wants the single step */
};

struct kda_engine {
    struct kda_config config;
    struct kda_target target;
    struct kda_wire wire;
    struct kda_breakpoints breakpoints;
    struct kda_images images;
    struct kda_blocks blocks;

    bool busy;
    bool trace;   /* TF of the program is ours */
    bool invited; /* the next stop is a break-in, not an int3 of the program */
    bool called;  /* the line has been RESET, and nothing was said on it since */
    bool owed;    /* a break-in came at an event that debuggers pass by themselves */
    struct kda_stepping stepping;

    /* The stop being served. */
    const struct kda_event *event;
    bool answered;        /* the debugger acknowledged something since the stop began */
    bool special_written; /* WriteControlSpace set the debug registers */
    enum kda_outcome outcome;

    /* Work space, too large for the stack. */
    struct kd_context_amd64 context;
    struct kd_special_registers_amd64 special;
    struct kd_context_amd64 staged; /* SetContextEx, until its last part */
    uint8_t scratch[512];
    uint8_t message[KD_PACKET_MAX_SIZE]; /* on its way; its owner waits for the ACK */
};

/* report.c: sends engine->event. False: nobody acknowledged it. */
bool kda_report(struct kda_engine *engine);

/* requests.c: serves what is in the inbox. True: the program goes on with engine->outcome. */
bool kda_serve(struct kda_engine *engine);
/* Drops a Continue in the inbox that means a stop that is over. True: there was one. */
bool kda_forget_continue(struct kda_engine *engine);

/* resume.c: before the first report of a stop, and when it ends. */
void kda_halt(struct kda_engine *engine);
void kda_release(struct kda_engine *engine);

/* engine.c: reports an event and serves the debugger until it continues. False: nobody there. */
bool kda_converse(struct kda_engine *engine, const struct kda_event *event);

/* req_version.c */
void kda_blocks_init(struct kda_engine *engine);

/* How long the debugger may take to acknowledge what is no exception, in us; 0: for ever. */
uint32_t kda_message_patience(const struct kda_engine *engine);
/* Sends what is in engine->message, with the patience due to a message of this kind. */
bool kda_send_message(struct kda_engine *engine, enum kd_packet_type type, size_t size);

static inline uint64_t kda_address_of(const void *pointer)
{
    return (uint64_t)(uintptr_t)pointer;
}

static inline void kda_get_registers(struct kda_engine *engine)
{
    engine->target.ops->get_context(engine->target.self, &engine->context);
}

static inline void kda_get_special(struct kda_engine *engine)
{
    engine->target.ops->get_special(engine->target.self, &engine->special);
}

#endif
