/* engine.h - the target end of the KD protocol: one debug session with whatever debugger comes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no EFI, no instructions of its own, no allocation; the machine is behind target.h, the line
 * behind transport.h. Single-threaded: whoever calls makes sure that no second call begins before
 * the first has returned (kda_busy says whether one is under way; a fault inside the engine is the
 * adapter's to catch).
 *
 * States
 *   absent    no debugger has acknowledged anything. Messages are tried as kda_config says, then
 *             dropped; stops wait as long as kda_config.wait_us says.
 *   running   a debugger is there and the program runs: kda_poll looks for a break-in and answers
 *             RESET.
 *   stopped   inside kda_stop: requests are served until one continues. A RESET of the debugger
 *             brings RESET and the state change again; the session survives its restarts.
 */
#ifndef KDA_ENGINE_H
#define KDA_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "target.h"
#include "transport.h"

/* High byte of MajorVersion: who we say we are. WinDbg's behaviour differs (docs/agent.md). */
enum kda_identity {
    KDA_IDENTITY_BOOT = 0x040F, /* boot debugger: modules keep their names, no complaints */
    KDA_IDENTITY_EFI = 0x050F,
    KDA_IDENTITY_NT = 0x000F,
};

struct kda_config {
    uint16_t major;      /* enum kda_identity */
    uint16_t minor;      /* build number shown; 18362 is one that radare2 has a profile for */
    uint32_t wait_us;    /* how long a stop waits for a debugger that never answered; 0: for ever */
    uint32_t message_us; /* the same for prints and load events of an absent debugger */
    uint64_t kern_base;  /* "primary image base": the agent's own image */
    uint32_t max_read;   /* payload bytes of one memory reply; 0: the protocol's 3944 */
};

struct kda_exception {
    uint32_t code;  /* NTSTATUS: KD_NT(STATUS_ACCESS_VIOLATION) ... */
    uint32_t flags; /* enum kd_exception_flags */
    uint64_t address;
    uint32_t count; /* of information; at most 15 */
    uint64_t information[15];
    bool first_chance;
    bool uncalled; /* STATUS_BREAKPOINT only: from outside (a break-in), no instruction did it */
};

/* An image, as the loader list and the load event tell it. Strings are UTF-8 and the caller's for
 * the duration of the call. */
struct kda_image {
    const char *path; /* "\EFI\BOOT\x.efi"; the base name is what follows the last \ or / */
    uint64_t base;
    uint64_t entry;
    uint32_t size;     /* SizeOfImage */
    uint32_t checksum; /* of the PE header */
    uint32_t timestamp;
};

enum kda_outcome {
    KDA_HANDLED,     /* continue: the exception is dealt with (DBG_CONTINUE and its like) */
    KDA_NOT_HANDLED, /* DBG_EXCEPTION_NOT_HANDLED: the next one may have it */
    KDA_NO_DEBUGGER, /* nobody answered within wait_us; nothing was changed */
};

struct kda_engine;

/* The engine's memory: size bytes of alignment 16, at addresses the debugger can read (the loader
 * list and the data block lie in it). Returns NULL when size is below kda_size(). */
size_t kda_size(void);
struct kda_engine *kda_init(void *memory, size_t size, const struct kda_config *config,
                            const struct kda_target *target, const struct kda_transport *transport);

/* Once, when the line has been taken over: RESET, so that a waiting debugger looks. What came in
 * before it is thrown away. */
void kda_announce(struct kda_engine *engine);

/* The program stopped: reports, serves the debugger, returns how to go on. Planted breakpoints are
 * out of memory meanwhile, and back (but for one that is stepped over) on return.
 *   int3          Rip has been moved back to it and is exception->address; where the debugger
 * leaves it there and the int3 is the program's, the engine moves past it nobody there  a
 * breakpoint of the debugger that went away is KDA_HANDLED, and all are gone nested        called
 * while the engine is busy (a fault inside it): KDA_NO_DEBUGGER at once */
enum kda_outcome kda_stop(struct kda_engine *engine, const struct kda_exception *exception);

/* While the program runs, from a timer: true when the debugger wants a stop (break-in, or a request
 * out of turn, which the stop serves). The caller
 * then calls kda_stop with STATUS_BREAKPOINT at the interrupted instruction. */
bool kda_poll(struct kda_engine *engine);

/* For a #DB of which DR6 says nothing but BS: whether it belongs to the engine itself, the single
 * step after a breakpoint that was stepped over. True: armed again, the caller resumes the program
 * without a stop. (An instruction that loads the flags takes the step with it; the breakpoint is
 * back after the next stop.) */
bool kda_claim_step(struct kda_engine *engine);

/* Whether a breakpoint of the debugger is planted at address (so an int3 there is its). */
bool kda_breakpoint_at(const struct kda_engine *engine, uint64_t address);

/* PrintString; long text goes in several messages. False: no debugger has acknowledged it. */
bool kda_print(struct kda_engine *engine, const char *text, size_t size);

/* GetString: shows the prompt, returns the size of the answer in out (without NUL), 0 to room; or
 * SIZE_MAX when no debugger answered. */
size_t kda_prompt(struct kda_engine *engine, const char *text, size_t size, char *out, size_t room);

/* The loader list gains or loses an image, and the debugger is told (LoadSymbols state change,
 * which it continues; with break set in its reply the outcome is a stop that has been served).
 * An image that is listed already is only told. False: no room in the list (kda_init's memory holds
 * KDA_MAX_IMAGES). */
bool kda_image_loaded(struct kda_engine *engine, const struct kda_image *image, bool notify);
void kda_image_unloaded(struct kda_engine *engine, uint64_t base, bool notify);
#define KDA_MAX_IMAGES 256u

/* CommandString state change: the debugger runs the command ("!load x"). */
bool kda_command(struct kda_engine *engine, const char *text, size_t size);

/* The agent goes: breakpoints out of memory, DR7 empty, all images unloaded, the debugger told.
 * Not while the engine is busy: then it does nothing. */
void kda_leave(struct kda_engine *engine);

/* After a fault inside the engine, whose work was abandoned: breakpoints out of memory, as far as
 * its table still tells. Then it can begin anew with kda_init. */
void kda_rescue(struct kda_engine *engine);

/* Debugger seen: something of ours was acknowledged since the last RESET or time-out. */
bool kda_attached(const struct kda_engine *engine);
bool kda_busy(const struct kda_engine *engine);

#endif
