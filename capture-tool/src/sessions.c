/* sessions.c - the KD sessions of a capture file. See sessions.h.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include "sessions.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "interrupt.h"
#include "progress.h"

/* What a kda_session hands its events to. */
struct seat {
    struct sessions *sessions;
    unsigned number;
    struct kda_session *session;
};

struct sessions {
    const char *verb;
    struct sessions_options options;
    struct keyring *keyring; /* NULL: a build without KDNET */
    struct kd_streams *streams;
    struct seat seats[KD_STREAMS_MAX];
    const struct sessions_handler *handler;
    bool refused; /* the handler wants no more */
    bool interrupted;
    bool useful; /* there was more than datagrams that no key opens */
};

/* Keys are asked for only where they are needed: without KDNET a capture may still be one of a
 * tap. */
static bool get_keys(struct sessions *sessions, struct problem *problem)
{
    const struct sessions_options *options = &sessions->options;

    if (options->key)
        fprintf(stderr,
                "kdlens %s: a key on the command line can be seen by other users; --key-file "
                "hides it\n",
                sessions->verb);
    sessions->keyring = keyring_new(problem);
    if (!sessions->keyring)
        return !options->key && !options->key_file;
    if (options->key && !keyring_add(sessions->keyring, options->key, NULL, problem))
        return false;
    return !options->key_file ||
           keyring_add_file(sessions->keyring, options->key_file, NULL, problem);
}

struct sessions *sessions_open(const char *verb, const struct sessions_options *options,
                               struct problem *problem)
{
    struct sessions *sessions = calloc(1, sizeof *sessions);
    struct cap_failure failure;
    struct cap_reader *reader;

    if (!sessions) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    sessions->verb = verb;
    sessions->options = *options;
    if (get_keys(sessions, problem)) {
        reader = options->reader ? options->reader : cap_reader_open(options->capture, &failure);
        if (!reader)
            problem_set(problem, "%s: %s", options->capture, failure.text);
        else
            sessions->streams = kd_streams_new(reader, sessions->keyring, problem);
    }
    if (!sessions->streams) {
        sessions_close(sessions);
        return NULL;
    }
    kd_streams_want_all(sessions->streams);
    interrupt_catch();
    return sessions;
}

void sessions_close(struct sessions *sessions)
{
    if (!sessions)
        return;
    for (unsigned i = 0; i < KD_STREAMS_MAX; i++)
        kda_session_free(sessions->seats[i].session);
    kd_streams_free(sessions->streams);
    keyring_free(sessions->keyring);
    free(sessions);
}

unsigned sessions_count(const struct sessions *sessions)
{
    return kd_streams_count(sessions->streams);
}

const struct kd_stream *sessions_stream(const struct sessions *sessions, unsigned number)
{
    return kd_streams_get(sessions->streams, number - 1);
}

const struct kd_streams_tally *sessions_tally(const struct sessions *sessions)
{
    return kd_streams_tally(sessions->streams);
}

const struct cap_failure *sessions_failure(const struct sessions *sessions)
{
    return kd_streams_failure(sessions->streams);
}

uint64_t sessions_offset(const struct sessions *sessions)
{
    return kd_streams_offset(sessions->streams);
}

/* --- reading */

static void pass_on(void *context, const struct kda_event *event)
{
    const struct seat *seat = context;
    struct sessions *sessions = seat->sessions;

    sessions->useful = sessions->useful || event->kind != KDA_DATAGRAM;
    if (!sessions->refused)
        sessions->refused =
            !sessions->handler->event(sessions->handler->context, seat->number, event);
}

static struct kda_session *session_of(struct sessions *sessions, unsigned stream)
{
    struct seat *seat = &sessions->seats[stream];
    enum kd_stream_kind kind = kd_streams_get(sessions->streams, stream)->kind;
    bool datagrams = kind == KD_STREAM_KDNET || kind == KD_STREAM_PLAIN;
    const struct kda_session_config config = {.ids = datagrams ? KD_IDS_KDNET : KD_IDS_SERIAL,
                                              .datagrams = datagrams};

    if (!seat->session) {
        seat->sessions = sessions;
        seat->number = stream + 1;
        seat->session = kda_session_new(&config, pass_on, seat);
    }
    return seat->session;
}

static bool take_chunk(struct kda_session *session, const struct kd_chunk *chunk)
{
    static const enum kd_flow flows[] = {[CAP_SENT] = KD_FLOW_TO_TARGET,
                                         [CAP_RECEIVED] = KD_FLOW_TO_DEBUGGER,
                                         [CAP_DIRECTION_UNKNOWN] = KD_FLOW_UNKNOWN};
    enum kd_flow flow = flows[chunk->direction];

    switch (chunk->kind) {
    case KD_CHUNK_BYTES:
        return kda_session_bytes(session, chunk->frame, chunk->time, flow, chunk->bytes,
                                 chunk->size);
    case KD_CHUNK_DATAGRAM:
        kda_session_datagram(session, chunk->frame, chunk->time, chunk->datagram);
        return true;
    case KD_CHUNK_GAP:
        kda_session_gap(session, chunk->frame, chunk->time, flow, chunk->gap, chunk->missing);
        return true;
    }
    return true;
}

static bool is_wanted(const struct sessions *sessions, unsigned stream)
{
    return sessions->options.session == 0 || sessions->options.session == stream + 1;
}

bool sessions_run(struct sessions *sessions, const struct sessions_handler *handler,
                  struct problem *problem)
{
    struct progress progress;
    struct kd_chunk chunk;
    bool fine = true;

    sessions->handler = handler;
    progress_start(&progress, sessions->options.capture);
    while (fine && !sessions->refused && interrupt_count() == 0 &&
           kd_streams_next(sessions->streams, &chunk)) {
        struct kda_session *session;

        progress_step(&progress, sessions_offset(sessions));
        if (!is_wanted(sessions, chunk.stream))
            continue;
        session = session_of(sessions, chunk.stream);
        fine = session && take_chunk(session, &chunk);
    }
    sessions->interrupted = interrupt_count() != 0;
    for (unsigned i = 0; fine && i < KD_STREAMS_MAX; i++)
        if (sessions->seats[i].session)
            kda_session_end(sessions->seats[i].session);
    progress_end(&progress);
    if (!fine)
        problem_set(problem, "out of memory");
    return fine && !sessions->refused;
}

/* --- what there is to say */

static void list_sessions(const struct sessions *sessions)
{
    for (unsigned i = 1; i <= sessions_count(sessions); i++) {
        const struct kd_stream *stream = sessions_stream(sessions, i);

        fprintf(stderr, "  %u  %s%s%s\n", i, stream->name, stream->description[0] ? ", " : "",
                stream->description);
    }
}

static void say_nothing(const struct sessions *sessions)
{
    const struct kd_streams_tally *tally = sessions_tally(sessions);
    const char *verb = sessions->verb, *name = sessions->options.capture;
    bool keys = sessions->keyring && keyring_count(sessions->keyring);

    if (sessions->options.session > sessions_count(sessions) && sessions_count(sessions)) {
        fprintf(stderr, "kdlens %s: %s has no session %" PRIu64 "; it has\n", verb, name,
                sessions->options.session);
        list_sessions(sessions);
    } else if (tally->packets == 0) {
        fprintf(stderr, "kdlens %s: %s holds no packets\n", verb, name);
    } else if (sessions_count(sessions) == 0) {
        fprintf(stderr, "kdlens %s: %s: none of its %" PRIu64 " packets carries KD\n", verb, name,
                tally->packets);
    } else if (tally->sealed && !keys) {
        fprintf(stderr, "kdlens %s: %s holds KDNET: give its key with --key-file%s\n", verb, name,
                sessions->keyring ? "" : ", to a kdlens that was built with KDNET");
    }
}

int sessions_report(const struct sessions *sessions)
{
    const struct kd_streams_tally *tally = sessions_tally(sessions);
    const struct cap_failure *failure = sessions_failure(sessions);
    const char *verb = sessions->verb, *name = sessions->options.capture;

    if (failure->kind != CAP_FAILURE_NONE)
        fprintf(stderr, "kdlens %s: %s: offset %" PRIu64 ": %s; what is before counts\n", verb,
                name, failure->offset, failure->text);
    if (sessions->interrupted) {
        fprintf(stderr, "kdlens %s: interrupted; what was read counts\n", verb);
        return EXIT_FAILED;
    }
    say_nothing(sessions);
    if (tally->sealed && sessions->keyring && keyring_count(sessions->keyring))
        fprintf(stderr,
                "kdlens %s: %s: %" PRIu64 " KDNET datagrams cannot be opened: wrong key, or their "
                "key exchange is not in the capture\n",
                verb, name, tally->sealed);
    if (tally->cut)
        fprintf(stderr, "kdlens %s: %s: %" PRIu64 " packets are not whole in the capture\n", verb,
                name, tally->cut);
    if (tally->missed)
        fprintf(stderr,
                "kdlens %s: %s: more than %u connections; %" PRIu64 " packets are left out\n", verb,
                name, KD_STREAMS_MAX, tally->missed);
    return sessions->useful && failure->kind == CAP_FAILURE_NONE ? EXIT_OK : EXIT_FAILED;
}
