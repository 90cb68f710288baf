/* scrub.h - KD packets without what they carry: same sizes, checksums made anew.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Taken out: memory, registers, control space, values of ports and MSRs, bus data, the instructions
 * in a state change, contents of files, trace data, and, unless they are to stay, texts (prints,
 * prompts, answers, commands, text on the line). Bytes become 0, characters of a text 'x'; ends of
 * lines stay. What is kept: types, ids, requests and their arguments (addresses, sizes, handles),
 * results, the target's version, stops, exceptions with their parameters, names of modules and
 * files, times.
 *
 * A packet whose checksum is wrong has a wrong one afterwards, by the same difference.
 */
#ifndef ANALYSIS_SCRUB_H
#define ANALYSIS_SCRUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kd/frame.h"

struct kda_scrub {
    bool keep_texts;
    bool old; /* told: a message of the 32-bit protocol came, of which other messages keep data */
    /* Counted: packets with something in them that was taken out, and how much. */
    uint64_t packets, bytes;
};

/* A frame of kd_frame_scan or kd_frame_datagram, in place. */
void kda_scrub_frame(struct kda_scrub *scrub, const struct kd_frame *frame, uint8_t *bytes);

#endif
