/* kd-carve.h - images of modules, rebuilt from all reads of them that a capture holds.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * As `kdlens carve MODULE` writes them: the same model of the target and the same carver
 * (analysis/model.h, analysis/carve.h) are fed here with what the taps are told. So nothing is kept
 * while nobody listens.
 */
#ifndef KDLENS_PLUGIN_KD_CARVE_H
#define KDLENS_PLUGIN_KD_CARVE_H

#include "kd-tap.h"

/* An image; carved is valid during the call. name: of the module's file, in UTF-8. */
struct kda_carved;
typedef void (*kd_carve_function)(void *context, const char *name, const struct kda_carved *carved);

/* Told of each unit of a connection in capture order; its first unit begins it anew. */
void kd_carve_see(const struct kd_tapped *tapped, const packet_info *pinfo);

/* Hands out the modules of one connection, or of all (NULL), and forgets what was seen. A
 * connection is not taken up again before its first unit comes. */
void kd_carve_end(const struct kd_session *session, kd_carve_function function, void *context);

void kd_carve_forget(void);

#endif
