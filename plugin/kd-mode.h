/* kd-mode.h - the mode of the code a target stopped in.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef KDLENS_PLUGIN_KD_MODE_H
#define KDLENS_PLUGIN_KD_MODE_H

#include "kd-session.h"

enum kd_mode {
    KD_MODE_UNKNOWN,
    KD_MODE_64,
    KD_MODE_WOW64,
    KD_MODE_32,
    KD_MODE_VIRTUAL_8086,
    KD_MODE_REAL
};

/* enum kd_mode -> name; ends with {0, NULL}. */
extern const value_string kd_mode_names[];

/* From the control report (SegCs and EFlags) of a state change of this architecture; size: bytes of
 * the report that were captured. */
enum kd_mode kd_mode_of_report(enum kd_arch arch, const uint8_t *report, size_t size);

#endif
