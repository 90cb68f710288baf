/* status.h - what a running tap tells people and programs: messages, JSON events, the status line.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Callers only fill a bounded queue; a thread of its own writes, because a terminal or a pipe may
 * stand still. What finds no room is counted, and the count is printed when there is room again.
 * All functions may be called from any thread.
 *
 *   messages     stderr, "kdlens: text"
 *   events       stdout, one JSON object a line, with --json
 *   status line  the last line of stderr when that is a terminal and neither --quiet nor --json is
 *                given
 */
#ifndef KDLENS_STATUS_H
#define KDLENS_STATUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "end.h"
#include "problem.h"

struct status;

struct status_config {
    bool json;
    bool quiet;    /* only messages of status_fail */
    FILE *console; /* for the target's console text, the caller's; NULL: stderr */
};

/* What the status line shows; set by whoever knows it. */
enum status_number {
    STATUS_BYTES_DEBUGGER, /* read from the debugger */
    STATUS_BYTES_TARGET,
    STATUS_PACKETS, /* KD packets seen */
    STATUS_DROPPED, /* bytes not recorded */
    STATUS_NUMBERS
};

enum status_text {
    STATUS_END_DEBUGGER, /* STATUS_CONNECTED, "awaited", "not there", "gone" */
    STATUS_END_TARGET,
    STATUS_LINK, /* "running, last stop: ...", "stopped: ...", "RESET storm" */
    STATUS_TEXTS
};

#define STATUS_CONNECTED "connected"

struct status *status_start(const struct status_config *config, struct problem *problem);

/* Prints what is queued and frees it; true for NULL. False when that takes longer than a second,
 * because the terminal or pipe stands still: the thread then still has it, and the program is to
 * end by _Exit. */
bool status_stop(struct status *status);

/* A line worth reading now; not with quiet. */
void status_say(struct status *status, const char *format, ...) LIKE_PRINTF(2, 3);

/* The same for what went wrong. */
void status_fail(struct status *status, const char *format, ...) LIKE_PRINTF(2, 3);

void status_add(struct status *status, enum status_number number, uint64_t amount);
void status_show(struct status *status, enum status_text which, const char *text);

/* One JSON line is built by its caller and then given to the status. Strings are escaped; what does
 * not fit is left out as a whole member. */
struct event {
    char text[1024];
    size_t length;
};

/* {"time": ..., "event": name; time: calendar nanoseconds */
void event_begin(struct event *event, uint64_t time, const char *name);
void event_text(struct event *event, const char *name, const char *value);
void event_number(struct event *event, const char *name, uint64_t value);
void event_hex(struct event *event, const char *name, uint64_t value); /* "0x..." */

/* Nothing happens without --json. */
void status_event(struct status *status, struct event *event);

/* Text of the target's console: to the file as it is, to stderr without control codes. */
void status_console(struct status *status, const uint8_t *bytes, size_t size);

#endif
