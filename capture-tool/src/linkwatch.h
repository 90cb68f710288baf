/* linkwatch.h - what state the debugged machine and the link are in, from the frames that went by.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * No clock, no I/O, and no allocation but for the doctor's. Times are monotonic nanoseconds. It
 * only looks; what it finds is an event each time it changes. The link is judged by lib/kd's
 * observer, storms included: what they are says kd/observe.h.
 */
#ifndef KDLENS_LINKWATCH_H
#define KDLENS_LINKWATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/doctor.h"
#include "end.h"
#include "kd/frame.h"
#include "kd/observe.h"

enum linkwatch_kind {
    LINKWATCH_BREAK_IN,
    LINKWATCH_STOPPED, /* text says why */
    LINKWATCH_RUNNING,
    LINKWATCH_RESET_STORM,
    LINKWATCH_RESEND_STORM, /* side: who asks */
    LINKWATCH_CONSOLE,
    LINKWATCH_CALM_AGAIN, /* storm: which is over */
    LINKWATCH_SILENCE,    /* side: who does not answer */
    LINKWATCH_HEARD,      /* side: who is heard again after that */
    LINKWATCH_VERDICT     /* diagnosis: the doctor's, when it is another than before */
};

struct linkwatch_event {
    enum linkwatch_kind kind;
    uint64_t when;
    enum side side;
    enum linkwatch_kind storm;
    uint32_t code;                         /* stopped: exception code, or 0 */
    uint64_t address;                      /* stopped: program counter */
    uint32_t processor;                    /* stopped */
    const struct kda_diagnosis *diagnosis; /* verdict: valid during the call */
    const char *text; /* stopped: "breakpoint (0x80000003) at 0x...": valid during the call */
};

struct linkwatch {
    void (*event)(void *context, const struct linkwatch_event *event);
    void *context;
    bool stopped;
    uint32_t stop_state;
    uint64_t stop_address;
    struct kd_observer observer;
    bool silent[2];

    struct kda_doctor *doctor; /* NULL: nobody asked for one */
    struct kda_report *report;
    uint64_t frames;   /* that the doctor heard of: they have no numbers of a capture here */
    uint64_t judge_at; /* next */
    enum kda_verdict said;
    enum kda_gravity gravity;
    bool told;
};

void linkwatch_init(struct linkwatch *watch,
                    void (*event)(void *context, const struct linkwatch_event *event),
                    void *context);

/* From here on verdicts are told, too. False when memory is short. */
bool linkwatch_consult(struct linkwatch *watch);

/* Frees what linkwatch_consult took. */
void linkwatch_clear(struct linkwatch *watch);

/* A frame of kd_frame_scan from this end. when: the read of its last byte. */
void linkwatch_frame(struct linkwatch *watch, enum side from, uint64_t when,
                     const struct kd_frame *frame, const uint8_t *bytes);

/* An end was connected or is gone. */
void linkwatch_connection(struct linkwatch *watch, enum side side, bool connected);

/* Several times a second. */
void linkwatch_tick(struct linkwatch *watch, uint64_t now);

#endif
