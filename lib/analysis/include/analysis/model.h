/* model.h - what a session says about its target: stops, modules, memory, registers, and so on.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * A model is told the events of one session, in order, once. Each fact has the frame it comes from,
 * and any question may be asked "as of frame N" (inclusive; KDA_END is the end). What is kept is
 * chosen; a listener hears of every fact as it becomes complete, so that a program that only lists
 * them keeps nothing.
 *
 * Texts and bytes are in the model's store (struct kda_bytes; kda_model_bytes copies them out).
 * Texts are as sent: not ended by NUL, of any content.
 */
#ifndef ANALYSIS_MODEL_H
#define ANALYSIS_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/memory.h"
#include "analysis/session.h"
#include "analysis/store.h"

struct kda_bytes {
    uint64_t at; /* in the store */
    uint32_t size;
};

/* --- stops */

enum kda_reason {
    KDA_REASON_EXCEPTION,
    KDA_REASON_LOAD,    /* a module was loaded */
    KDA_REASON_UNLOAD,  /* a module was unloaded, the target restarts or hibernates */
    KDA_REASON_COMMAND, /* the target wants a command executed */
    KDA_REASON_OTHER    /* a NewState that is not known */
};

enum kda_mode { KDA_MODE_UNKNOWN, KDA_MODE_16, KDA_MODE_32, KDA_MODE_64 };

/* How a stop ended. */
enum kda_leave {
    KDA_LEFT_NOT,       /* it did not, as far as the capture goes */
    KDA_LEFT_CONTINUE,  /* Continue or Continue2 */
    KDA_LEFT_STEP,      /* Continue2 with the trace flag */
    KDA_LEFT_PROCESSOR, /* SwitchProcessor */
    KDA_LEFT_REBOOT,    /* Reboot, CauseBugCheck */
    KDA_LEFT_UNSEEN     /* the target reports another stop, so it ran: the capture lacks why */
};

struct kda_stop {
    uint32_t number; /* from 1 */
    uint32_t frame;
    uint64_t time;
    enum kda_reason reason;
    uint32_t new_state;
    uint16_t processor, level;
    uint32_t processors;
    uint64_t thread, pc;
    uint32_t code, exception_flags; /* EXCEPTION */
    uint64_t address;               /* EXCEPTION: ExceptionAddress; LOAD, UNLOAD: BaseOfDll */
    uint32_t parameter_count;
    uint64_t parameters[15];
    bool first_chance;
    enum kd_arch arch;
    enum kda_mode mode; /* of the code at pc; AMD64 and x86 from SegCs, see docs/analysis.md */
    uint16_t cs;
    uint64_t dr6, dr7;
    uint32_t flags; /* EFlags, Cpsr */
    uint8_t stream[16];
    uint8_t stream_size;
    bool asked; /* break-ins were sent since the stop before */

    enum kda_leave leave;
    uint32_t left_frame; /* 0: not left */
    uint64_t left_time;
    uint32_t continue_status;
    uint32_t requests;      /* of the debugger, repetitions not counted, in this stop */
    uint32_t refused;       /* of these, with a failure status */
    uint32_t reads, writes; /* of memory, virtual and physical */
    uint64_t read_bytes, written_bytes;
    uint32_t breakpoints_set, breakpoints_cleared; /* successfully */
    uint32_t prints, files;                        /* of the target */
    uint32_t repeated;                             /* packets of either end, sent again */
};

/* --- modules */

enum kda_module_source {
    KDA_MODULE_EVENT = 1, /* a load event */
    KDA_MODULE_LIST = 2,  /* the target's list of loaded modules, as far as memory was read */
    KDA_MODULE_IMAGE = 4  /* headers that were read (time stamp, machine) */
};

struct kda_module {
    uint64_t base;
    uint32_t size;
    uint32_t checksum;
    uint32_t timestamp; /* TimeDateStamp, 0: not seen */
    uint16_t machine;   /* of the image's headers, 0: not seen */
    uint64_t process;   /* ProcessId of the event; all ones for the kernel's; LIST only: 0 */
    struct kda_bytes path;
    uint32_t sources; /* enum kda_module_source */
    uint32_t loaded;  /* frame; LIST only: that states it */
    uint64_t loaded_time;
    uint32_t unloaded; /* frame, 0: still there */
    uint64_t unloaded_time;
};

/* --- what the debugger changed */

enum kda_write_kind {
    KDA_WRITE_VIRTUAL,
    KDA_WRITE_PHYSICAL,
    KDA_WRITE_FILL_VIRTUAL,
    KDA_WRITE_FILL_PHYSICAL,
    KDA_WRITE_CONTEXT,       /* SetContext; address: offset of the piece that was set */
    KDA_WRITE_CONTROL_SPACE, /* address: selector */
    KDA_WRITE_PORT,
    KDA_WRITE_MSR,
    KDA_WRITE_BUS, /* SetBusData; address: bus << 32 | slot, offset in `offset` */
    KDA_WRITE_BREAKPOINT_SET,
    KDA_WRITE_BREAKPOINT_CLEAR,
    KDA_WRITE_KINDS
};

struct kda_write {
    enum kda_write_kind kind;
    uint32_t frame; /* of the request */
    uint32_t reply; /* frame of the reply, 0: none in the capture */
    uint32_t stop;  /* frame of the stop */
    uint64_t time;
    uint16_t processor;
    uint32_t status; /* of the reply */
    uint64_t address;
    uint32_t handle; /* breakpoints */
    uint32_t offset;
    uint32_t size;           /* bytes asked for */
    uint32_t actual;         /* and done */
    struct kda_bytes data;   /* what was sent; fills: the pattern */
    struct kda_bytes before; /* what was known there before, bytes not known are 0 ... */
    struct kda_bytes known;  /* ... and not set here, a bit for each byte; empty: nothing known */
};

/* --- breakpoints */

struct kda_breakpoint {
    bool hardware;   /* Dr0 to Dr3 by way of the special registers */
    uint8_t kind;    /* hardware: 0 execute, 1 write, 2 port, 3 access; as in Dr7 */
    uint8_t length;  /* hardware: bytes */
    uint32_t handle; /* software: of the target; hardware: 0 to 3 */
    uint64_t address;
    uint32_t set, set_stop; /* frame of the reply; of the stop */
    uint64_t set_time;
    uint32_t cleared; /* frame, 0: still set */
    uint64_t cleared_time;
    uint32_t hits; /* stops at it */
};

/* --- registers and other state that was read or set */

struct kda_context {
    uint32_t frame; /* of the last piece */
    uint32_t stop;
    uint16_t processor;
    bool set;          /* by the debugger, else read */
    enum kd_arch arch; /* UNKNOWN when its size fits none */
    struct kda_bytes bytes;
    uint32_t total; /* bytes of the whole CONTEXT; more than bytes.size: the rest was not read */
};

enum kda_value_kind { KDA_VALUE_CONTROL_SPACE, KDA_VALUE_MSR, KDA_VALUE_PORT, KDA_VALUE_BUS };

struct kda_value {
    enum kda_value_kind kind;
    uint32_t frame, stop;
    uint16_t processor;
    bool set;         /* by the debugger */
    uint64_t address; /* selector, MSR, port; bus << 32 | slot */
    uint32_t offset;  /* bus data */
    uint64_t value;   /* MSR, port */
    uint32_t size;    /* port: 1, 2, 4; control space, bus: of the data */
    struct kda_bytes bytes;
    uint32_t status;
};

/* --- text */

enum kda_text_kind {
    KDA_TEXT_PRINT,
    KDA_TEXT_PROMPT,
    KDA_TEXT_ANSWER,  /* of the debugger, to the prompt before */
    KDA_TEXT_COMMAND, /* a command string: component, NUL, command */
    KDA_TEXT_TRACE    /* trace I/O: data of the target */
};

struct kda_text {
    enum kda_text_kind kind;
    uint32_t frame, stop; /* stop: 0 when it was running */
    uint64_t time;
    uint16_t processor;
    struct kda_bytes text;
};

/* --- files that the target has from the debugger */

struct kda_file {
    uint32_t number; /* from 1, in the order of the requests */
    uint32_t frame;  /* CreateFile */
    uint64_t time;
    struct kda_bytes name; /* UTF-16, little-endian, without NUL */
    uint32_t access;
    uint32_t reply; /* frame, 0: none in the capture */
    uint32_t status;
    uint64_t handle, length;
    uint32_t reads, writes;
    uint64_t read_bytes, written_bytes;
    uint32_t refused; /* reads and writes with a failure status */
    uint32_t closed;  /* frame, 0: not */
};

/* A piece of a file that was transferred. */
struct kda_file_block {
    uint32_t file; /* its number */
    uint32_t frame;
    bool written; /* by the target */
    uint64_t offset;
    struct kda_bytes bytes;
};

/* --- the target as it introduced itself */

struct kda_version {
    uint32_t frame; /* 0: it did not */
    uint16_t major, build;
    uint8_t protocol, secondary;
    uint16_t flags, machine;
    uint64_t kern_base, module_list, data_list;
    uint64_t data_block; /* KDDEBUGGER_DATA, once its pointer was read; 0 before */
    uint32_t processors; /* from state changes */
};

/* --- counts */

#define KDA_APIS 0x40u /* requests 0x3130 to 0x316F */

struct kda_api_count {
    uint64_t requests, repeated;  /* repeated: sent again, in either way; not part of requests */
    uint64_t replies, refused;    /* refused: replies with a failure status */
    uint64_t bytes;               /* moved by successful ones */
    uint64_t answered;            /* with both times known: */
    uint64_t total_time, longest; /* nanoseconds */
    uint32_t longest_frame;
};

struct kda_counts {
    uint64_t events;
    uint32_t first_frame, last_frame;
    uint64_t first_time, last_time;
    uint64_t bytes[3];       /* of KD, headers and noise included; by enum kd_flow */
    uint64_t packets[3][16]; /* by flow and type */
    uint64_t damaged[3], repeated[3], noise[3], breakins[3];
    uint64_t noise_bytes[3];
    uint64_t gaps, gap_bytes;
    uint64_t datagrams[16];              /* by enum kda_datagram_kind */
    uint64_t stops, stops_by[5];         /* by enum kda_reason */
    uint64_t stopped_time, running_time; /* nanoseconds, while that was known */
    uint64_t prints, print_bytes, prompts;
    uint64_t file_requests[4]; /* create, read, write, close; requests of the target */
    uint64_t unknown_apis;
    struct kda_api_count apis[KDA_APIS]; /* by ApiNumber - 0x3130 */
};

/* --- the model */

enum kda_keep {
    KDA_KEEP_STOPS = 1,
    KDA_KEEP_MODULES = 2,
    KDA_KEEP_MEMORY = 4,
    KDA_KEEP_WRITES = 8,
    KDA_KEEP_BREAKPOINTS = 16,
    KDA_KEEP_REGISTERS = 32, /* contexts and values */
    KDA_KEEP_TEXTS = 64,
    KDA_KEEP_FILES = 128,
    KDA_KEEP_ALL = 255
};

/* Each may be NULL. A fact is valid during the call. */
struct kda_listener {
    void *context;
    void (*stop)(void *context, const struct kda_stop *stop); /* begins */
    void (*left)(void *context, const struct kda_stop *stop); /* is complete, or capture ends */
    void (*module)(void *context, const struct kda_module *module); /* loaded or unloaded */
    void (*write)(void *context, const struct kda_write *write);
    void (*text)(void *context, const struct kda_text *text, const uint8_t *bytes);
    void (*file)(void *context, const struct kda_file *file); /* opened, refused or closed */
};

struct kda_model;

/* keep: enum kda_keep. store: may be shared by several models and must outlive them. NULL when
 * memory is short. */
struct kda_model *kda_model_new(uint32_t keep, struct kda_store *store,
                                const struct kda_listener *listener);
void kda_model_free(struct kda_model *model);

/* The next event of the session. False when memory is short: the model is incomplete from here. */
bool kda_model_event(struct kda_model *model, const struct kda_event *event);

/* No more will come: the last stop joins the list, modules that only memory tells of are added. */
void kda_model_end(struct kda_model *model);

/* Adds modules of the target's own list before the end, as far as it was read. Costs a walk over
 * that list. */
bool kda_model_learn_modules(struct kda_model *model);

const struct kda_counts *kda_model_counts(const struct kda_model *model);
const struct kda_version *kda_model_version(const struct kda_model *model);
enum kd_arch kda_model_arch(const struct kda_model *model);

/* Copies bytes of the store out. False when they cannot be read. */
bool kda_model_bytes(const struct kda_model *model, struct kda_bytes bytes, uint8_t *out);

/* Lists, in the order of their frames. */
size_t kda_model_stop_count(const struct kda_model *model);
const struct kda_stop *kda_model_stop(const struct kda_model *model, size_t i);
size_t kda_model_module_count(const struct kda_model *model);
const struct kda_module *kda_model_module(const struct kda_model *model, size_t i);
size_t kda_model_write_count(const struct kda_model *model);
const struct kda_write *kda_model_write(const struct kda_model *model, size_t i);
size_t kda_model_breakpoint_count(const struct kda_model *model);
const struct kda_breakpoint *kda_model_breakpoint(const struct kda_model *model, size_t i);
size_t kda_model_context_count(const struct kda_model *model);
const struct kda_context *kda_model_context(const struct kda_model *model, size_t i);
size_t kda_model_value_count(const struct kda_model *model);
const struct kda_value *kda_model_value(const struct kda_model *model, size_t i);
size_t kda_model_text_count(const struct kda_model *model);
const struct kda_text *kda_model_text(const struct kda_model *model, size_t i);
size_t kda_model_file_count(const struct kda_model *model);
const struct kda_file *kda_model_file(const struct kda_model *model, size_t i);
size_t kda_model_block_count(const struct kda_model *model);
const struct kda_file_block *kda_model_block(const struct kda_model *model, size_t i);

/* --- questions as of a frame (KDA_END: the end) */

/* The stop that holds the target, or the last one before when it runs (see left_frame). NULL: none
 * so far. */
const struct kda_stop *kda_model_stop_at(const struct kda_model *model, uint32_t at);

/* The module that covers the address; NULL: none known. */
const struct kda_module *kda_model_module_at(const struct kda_model *model, uint64_t address,
                                             uint32_t at);

/* The newest context of the processor, read or set, and not from before the stop that holds then;
 * since_stop false: from any stop. NULL: none. */
const struct kda_context *kda_model_context_at(const struct kda_model *model, uint16_t processor,
                                               uint32_t at, bool since_stop);

/* The newest value of this kind; processor does not matter for ports. NULL: none. */
const struct kda_value *kda_model_value_at(const struct kda_model *model, enum kda_value_kind kind,
                                           uint16_t processor, uint64_t address, uint32_t at);

/* Virtual memory is one space: which process a read went to is not on the wire. */
const struct kda_memory *kda_model_virtual(const struct kda_model *model);
const struct kda_memory *kda_model_physical(const struct kda_model *model);

#endif
