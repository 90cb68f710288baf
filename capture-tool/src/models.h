/* models.h - a model (analysis/model.h) for each session of a capture: what most verbs begin with.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#ifndef KDLENS_MODELS_H
#define KDLENS_MODELS_H

#include <stdbool.h>
#include <stdint.h>

#include "analysis/model.h"
#include "sessions.h"

/* A session with its model. Listeners are told one of these as their context. */
struct models_seat {
    unsigned number; /* of the session, from 1 */
    struct kda_model *model;
    const struct kd_stream *stream;
    void *context; /* of models_open */
};

struct models;

/* keep: enum kda_keep. listener: its context is not used; may be NULL. NULL, with a problem. */
struct models *models_open(const char *verb, const struct sessions_options *options, uint32_t keep,
                           const struct kda_listener *listener, void *context,
                           struct problem *problem);

/* Reads the whole capture. False, with a problem. */
bool models_run(struct models *models, struct problem *problem);

void models_close(struct models *models);

/* i from 0; NULL at the end. Sessions without events have none. */
const struct models_seat *models_seat(const struct models *models, unsigned i);

/* The one that a question about a single session is about: the one that was asked for, else the
 * first, which stderr is told when there are more. NULL when there is none. */
const struct models_seat *models_one(const struct models *models);

const struct sessions *models_sessions(const struct models *models);

/* See sessions_report. */
int models_report(const struct models *models);

/* All of the above: opens, runs, lets `print` look at each seat, reports, closes. The exit status.
 * print may be NULL. */
int models_verb(const char *verb, const struct sessions_options *options, uint32_t keep,
                const struct kda_listener *listener, void *context,
                void (*print)(const struct models_seat *seat));

#endif
