/* verbs.h - the verbs of kdlens, each in a file of its own.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_VERBS_H
#define KDLENS_VERBS_H

#include "options.h"

extern const struct verb verb_tap;
extern const struct verb verb_capture;
extern const struct verb verb_debug;
extern const struct verb verb_doctor;
extern const struct verb verb_install;
extern const struct verb verb_extcap;
extern const struct verb verb_import;
extern const struct verb verb_export;
extern const struct verb verb_keys;
extern const struct verb verb_help;
extern const struct verb verb_stats;
extern const struct verb verb_stops;
extern const struct verb verb_modules;
extern const struct verb verb_mem;
extern const struct verb verb_writes;
extern const struct verb verb_prints;
extern const struct verb verb_carve;
extern const struct verb verb_dump;
extern const struct verb verb_diff;
extern const struct verb verb_scrub;
extern const struct verb verb_replay;
extern const struct verb verb_vm;
extern const struct verb verb_symbols;

/* All of them, ended by NULL, in the order of the help. */
extern const struct verb *const verbs[];

#endif
