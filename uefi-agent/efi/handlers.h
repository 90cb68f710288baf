/* handlers.h - what other programs add to a debug session: commands and ranges of memory.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure. A target that stands between the engine and the machine: all goes through to the machine,
 * but virtual reads and writes in a handler's range, which go to the handler, and writes to the
 * command line, which run a command when its NUL (or a line end) is written. So any KD debugger
 * can use them, with nothing but memory requests. "help" is a command that is always there.
 */
#ifndef KDA_HANDLERS_H
#define KDA_HANDLERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "efi.h"

#include "kdagent_protocol.h"
#include "target.h"

#define KDA_COMMANDS_MAX 32u
#define KDA_RANGES_MAX   16u
#define KDA_COMMAND_LINE 512u  /* bytes of the line, NUL included */
#define KDA_ANSWER_ROOM  8192u /* bytes of the answer, NUL included */

struct kda_command_entry {
    char name[KDAGENT_NAME_MAX + 1]; /* "": free */
    char help[96];
    KDAGENT_COMMAND run;
    void *context;
};

struct kda_range_entry {
    uint64_t base, size; /* size 0: free */
    KDAGENT_READ read;
    KDAGENT_WRITE write; /* NULL: read-only */
    void *context;
};

struct kda_handlers {
    struct kda_target machine;
    char *line;   /* KDA_COMMAND_LINE bytes the debugger writes to */
    char *answer; /* KDA_ANSWER_ROOM bytes it reads */
    struct kda_command_entry commands[KDA_COMMANDS_MAX];
    struct kda_range_entry ranges[KDA_RANGES_MAX];
    uint16_t arguments16[KDA_COMMAND_LINE];
    uint16_t answer16[KDA_ANSWER_ROOM / 4];
};

/* line and answer: buffers that the debugger finds by name; see protocol.c. */
void kda_handlers_init(struct kda_handlers *handlers, const struct kda_target *machine, char *line,
                       char *answer);

/* What the engine is to be given as its target. */
struct kda_target kda_handlers_target(struct kda_handlers *handlers);

enum kda_added { KDA_ADDED, KDA_TAKEN, KDA_FULL, KDA_WRONG };

enum kda_added kda_handlers_add_command(struct kda_handlers *handlers, const char *name,
                                        const char *help, KDAGENT_COMMAND run, void *context);
bool kda_handlers_remove_command(struct kda_handlers *handlers, const char *name);
enum kda_added kda_handlers_add_range(struct kda_handlers *handlers,
                                      const struct kda_range_entry *range);
bool kda_handlers_remove_range(struct kda_handlers *handlers, uint64_t base);

#endif
