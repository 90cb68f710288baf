/* linkwatch.h - what state the debugged machine and the link are in, from the frames that went by.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure: no allocation, no clock, no I/O. Times are monotonic nanoseconds. It only looks; what it
 * finds is an event each time it changes.
 *
 * RESET storm: both ends RESET each other without end (WinDbg and Windows' own boot debugger do).
 * RESEND storm: an end asks for the same packet again and again. Console: text of the target makes
 * the debugger RESET, and the RESETs are key presses for the target. Each is LINKWATCH_STORM
 * packets of an end within a second, and over when there was none for LINKWATCH_CALM.
 */
#ifndef KDLENS_LINKWATCH_H
#define KDLENS_LINKWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "end.h"
#include "kd/frame.h"

#define LINKWATCH_STORM  6u
#define LINKWATCH_CALM   UINT64_C(2000000000)
#define LINKWATCH_SILENT UINT64_C(3000000000) /* without an answer */

enum linkwatch_kind {
    LINKWATCH_BREAK_IN,
    LINKWATCH_STOPPED, /* text says why */
    LINKWATCH_RUNNING,
    LINKWATCH_RESET_STORM,
    LINKWATCH_RESEND_STORM, /* side: who asks */
    LINKWATCH_CONSOLE,
    LINKWATCH_CALM_AGAIN, /* storm: which is over */
    LINKWATCH_SILENCE,    /* side: who does not answer */
    LINKWATCH_HEARD       /* side: who is heard again after that */
};

struct linkwatch_event {
    enum linkwatch_kind kind;
    uint64_t when;
    enum side side;
    enum linkwatch_kind storm;
    uint32_t code;      /* stopped: exception code, or 0 */
    uint64_t address;   /* stopped: program counter */
    uint32_t processor; /* stopped */
    const char *text;   /* stopped: "breakpoint (0x80000003) at 0x...": valid during the call */
};

/* When the last few of something came, a ring. */
struct linkwatch_times {
    uint64_t at[LINKWATCH_STORM];
    unsigned next;
};

struct linkwatch {
    void (*event)(void *context, const struct linkwatch_event *event);
    void *context;
    bool stopped;
    uint32_t stop_state;
    uint64_t stop_address;
    struct linkwatch_times resets[2], resends[2]; /* by enum side */
    struct linkwatch_times texts;                 /* pieces of text of the target */
    enum linkwatch_kind storm;                    /* LINKWATCH_CALM_AGAIN: none */
    uint64_t storm_last;
    uint64_t asked_at[2]; /* by the side that owes an answer; 0: it owes none */
    bool silent[2];
};

void linkwatch_init(struct linkwatch *watch,
                    void (*event)(void *context, const struct linkwatch_event *event),
                    void *context);

/* A frame of kd_frame_scan from this end. when: the read of its last byte. */
void linkwatch_frame(struct linkwatch *watch, enum side from, uint64_t when,
                     const struct kd_frame *frame, const uint8_t *bytes);

/* An end was connected or is gone. */
void linkwatch_connection(struct linkwatch *watch, enum side side, bool connected);

/* Several times a second. */
void linkwatch_tick(struct linkwatch *watch, uint64_t now);

#endif
