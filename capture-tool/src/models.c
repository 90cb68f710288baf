/* models.c - a model for each session of a capture. See models.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "models.h"

#include <stdio.h>
#include <stdlib.h>

struct models {
    const char *verb;
    struct sessions *sessions;
    struct kda_store *store;
    uint32_t keep;
    struct kda_listener listener;
    void *context;
    unsigned count;
    struct models_seat seats[KD_STREAMS_MAX]; /* by session, model NULL: no events */
};

struct models *models_open(const char *verb, const struct sessions_options *options, uint32_t keep,
                           const struct kda_listener *listener, void *context,
                           struct problem *problem)
{
    struct models *models = calloc(1, sizeof *models);

    if (!models || !(models->store = kda_store_new(0))) {
        problem_set(problem, "out of memory");
        free(models);
        return NULL;
    }
    models->verb = verb;
    models->keep = keep;
    models->context = context;
    if (listener)
        models->listener = *listener;
    models->sessions = sessions_open(verb, options, problem);
    if (models->sessions)
        return models;
    models_close(models);
    return NULL;
}

void models_close(struct models *models)
{
    if (!models)
        return;
    for (unsigned i = 0; i < KD_STREAMS_MAX; i++)
        kda_model_free(models->seats[i].model);
    kda_store_free(models->store);
    sessions_close(models->sessions);
    free(models);
}

static bool take_event(void *context, unsigned session, const struct kda_event *event)
{
    struct models *models = context;
    struct models_seat *seat = &models->seats[session - 1];

    if (!seat->model) {
        struct kda_listener listener = models->listener;

        listener.context = seat;
        seat->number = session;
        seat->stream = sessions_stream(models->sessions, session);
        seat->context = models->context;
        seat->model = kda_model_new(models->keep, models->store, &listener);
    }
    return seat->model && kda_model_event(seat->model, event);
}

bool models_run(struct models *models, struct problem *problem)
{
    const struct sessions_handler handler = {models, take_event};

    problem_set(problem, "out of memory, or no room for a temporary file");
    if (!sessions_run(models->sessions, &handler, problem))
        return false;
    for (unsigned i = 0; i < KD_STREAMS_MAX; i++)
        if (models->seats[i].model)
            kda_model_end(models->seats[i].model);
    return true;
}

const struct models_seat *models_seat(const struct models *models, unsigned i)
{
    for (unsigned at = 0; at < KD_STREAMS_MAX; at++)
        if (models->seats[at].model && i-- == 0)
            return &models->seats[at];
    return NULL;
}

const struct models_seat *models_one(const struct models *models)
{
    const struct models_seat *seat = models_seat(models, 0);

    if (models_seat(models, 1))
        fprintf(stderr,
                "kdlens %s: the capture holds several sessions; this is session %u, others "
                "by --session\n",
                models->verb, seat->number);
    return seat;
}

const struct sessions *models_sessions(const struct models *models)
{
    return models->sessions;
}

int models_report(const struct models *models)
{
    return sessions_report(models->sessions);
}

int models_verb(const char *verb, const struct sessions_options *options, uint32_t keep,
                const struct kda_listener *listener, void *context,
                void (*print)(const struct models_seat *seat))
{
    struct problem problem;
    struct models *models = models_open(verb, options, keep, listener, context, &problem);
    const struct models_seat *seat;
    int status = EXIT_FAILED;

    if (models && models_run(models, &problem)) {
        for (unsigned i = 0; print && (seat = models_seat(models, i)); i++)
            print(seat);
        fflush(stdout);
        status = models_report(models);
    } else {
        fprintf(stderr, "kdlens %s: %s\n", verb, problem.text);
    }
    models_close(models);
    return status;
}
