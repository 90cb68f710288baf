/* protocol.h - the functions behind kdagent_protocol.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * No boot services: texts are turned into UTF-8, bounded, and handed to the engine, one call at a
 * time. publish.c makes them known to others.
 */
#ifndef KDA_PROTOCOL_H
#define KDA_PROTOCOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "efi.h"

#include "kdagent_protocol.h"

#include "engine.h"
#include "handlers.h"

#define KDA_REPORTED_MAX       32u
#define KDA_FAULT_HANDLERS_MAX 8u

/* What the agent lends. call runs a function as the engine, with what called call as the
 * interrupted program; false: the engine is at work, nothing was called. caller: the address a stop
 * inside shows.
 */
struct kda_protocol_ports {
    bool (*call)(void (*function)(struct kda_engine *engine, void *argument), void *argument);
    uint64_t (*caller)(void);
    bool (*known)(
        uint64_t base); /* whether the firmware loaded an image there; NULL: nobody says */
    /* Prints the call stack of a CONTEXT, or of what called call; false: it cannot be read. */
    bool (*backtrace)(const void *context);
    /* Guard, as the program's code: not in the engine. */
    EFI_STATUS (*guard)(KDAGENT_FUNCTION function, void *argument, KDAGENT_FAULT *fault);
    struct kda_handlers *handlers;
    struct kda_target machine; /* to look at images' headers */
};

/* Of one image. */
struct kda_fault_handler {
    uint64_t base;
    uint32_t size;
    KDAGENT_FAULT_HANDLER run; /* NULL: free */
    void *context;
};

struct kda_protocol {
    KDAGENT_PROTOCOL calls; /* first: This of every call */
    KDAGENT_OUTPUT_PROTOCOL output;
    struct kda_protocol_ports ports;
    uint64_t reported[KDA_REPORTED_MAX]; /* bases of images by ReportModule; 0: free */
    struct kda_fault_handler fault_handlers[KDA_FAULT_HANDLERS_MAX];
    UINTN policy; /* KDAGENT_HANDLER_FIRST ... */
    char utf8[3 * KDAGENT_TEXT_MAX + 2];
};

/* One at a time: the earlier protocol's function does not get to know which it belongs to. */
void kda_protocol_init(struct kda_protocol *protocol, const struct kda_protocol_ports *ports);

/* Calls of the earlier protocol's function that are still to come do nothing. */
void kda_protocol_close(struct kda_protocol *protocol);

/* The handler of the image that holds this address, or NULL. */
const struct kda_fault_handler *kda_protocol_fault_handler(const struct kda_protocol *protocol,
                                                           uint64_t address);

/* The debugger's way to commands, by their symbols. */
extern char KdAgentCommand[KDA_COMMAND_LINE];
extern char KdAgentAnswer[KDA_ANSWER_ROOM];

#endif
