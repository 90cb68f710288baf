/* recording.h - records into a pcapng file, a set of files, and to a live reader.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The recorder's output side: one record becomes one block, which goes to whatever outputs there
 * are. Failures are told once, counted, and written into the file when it can be written again.
 * For one thread.
 */
#ifndef KDLENS_RECORDING_H
#define KDLENS_RECORDING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "recorder.h"

struct recording;

#define RECORDING_MAX 65536u /* bytes of one record */

/* wall: now, as for records. NULL, with a problem, when an output cannot be opened. */
struct recording *recording_new(const struct recorder_config *config, uint64_t wall,
                                struct problem *problem);

struct recording_totals {
    uint64_t records; /* written */
    uint64_t lost;    /* records that were not */
};

/* Ends the file; wall: of the last moment. */
void recording_free(struct recording *recording, uint64_t wall, struct recording_totals *totals);

/* comment: may be NULL. dropped: reads that were lost before this record. */
void recording_record(struct recording *recording, enum side from, uint64_t wall,
                      const uint8_t *bytes, size_t size, const char *comment, uint64_t dropped);

/* A record without bytes and direction, for its comment. */
void recording_note(struct recording *recording, uint64_t wall, const char *comment,
                    uint64_t dropped);

/* Hands on what is buffered, looks for live readers, tries again what failed; several times a
 * second. */
void recording_pump(struct recording *recording);

/* Whether recording_pump has something to do while nothing is recorded. */
bool recording_waits(const struct recording *recording);

#endif
