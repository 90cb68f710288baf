/* sessions.h - the KD sessions of a capture file: its streams, each followed as a kda_session.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * What the verbs that analyse captures have in common: their options, keys, reading with progress
 * and Ctrl-C, and what there is to say when nothing comes out.
 *
 *   struct stops_options { struct sessions_options sessions; bool json; };
 *   static const struct option options[] = {SESSIONS_OPTIONS(struct stops_options, sessions), ...
 *   sessions = sessions_open("stops", &options->sessions, &problem);
 *   while reading: sessions_run(sessions, &handler, &problem)
 */
#ifndef KDLENS_SESSIONS_H
#define KDLENS_SESSIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/session.h"
#include "kd_streams.h"
#include "keyring.h"
#include "options.h"
#include "problem.h"

struct sessions_options {
    const char *capture;
    const char *key;
    const char *key_file;
    uint64_t session;          /* from 1; 0: not said */
    struct cap_reader *reader; /* reads the capture, and becomes the sessions'; NULL: by its path */
};

/* Rows of the verb's tables; `member` is the struct sessions_options in the verb's struct. */
#define SESSIONS_OPERAND(type, member)                                                     \
    {                                                                                      \
        "CAPTURE", "a pcapng or pcap file, also compressed by gzip; - for standard input", \
            offsetof(type, member) + offsetof(struct sessions_options, capture),           \
            .complete = COMPLETE_FILE                                                      \
    }
#define SESSIONS_OPTIONS(type, member)                                                        \
    {0,                                                                                       \
     "session",                                                                               \
     OPTION_NUMBER,                                                                           \
     offsetof(type, member) + offsetof(struct sessions_options, session),                     \
     .value = "N",                                                                            \
     .min = 1,                                                                                \
     .max = KD_STREAMS_MAX,                                                                   \
     .help = "only this one, when the capture holds several"},                                \
        KEYRING_OPTIONS(offsetof(type, member) + offsetof(struct sessions_options, key_file), \
                        offsetof(type, member) + offsetof(struct sessions_options, key))

struct sessions_handler {
    void *context;
    /* session: its number, from 1. False stops reading: the problem is the handler's. */
    bool (*event)(void *context, unsigned session, const struct kda_event *event);
};

struct sessions;

/* NULL, with a problem. verb: its name, for messages. */
struct sessions *sessions_open(const char *verb, const struct sessions_options *options,
                               struct problem *problem);

/* Reads the capture to its end. Events of sessions that were not asked for are left out. False,
 * with a problem, for want of memory or because the handler said so; a capture that breaks off is
 * no such failure. */
bool sessions_run(struct sessions *sessions, const struct sessions_handler *handler,
                  struct problem *problem);

void sessions_close(struct sessions *sessions);

/* So far. Numbers are from 1. */
unsigned sessions_count(const struct sessions *sessions);
const struct kd_stream *sessions_stream(const struct sessions *sessions, unsigned number);
const struct kd_streams_tally *sessions_tally(const struct sessions *sessions);
const struct cap_failure *sessions_failure(const struct sessions *sessions);

/* Bytes of the capture that were read, decompressed. */
uint64_t sessions_offset(const struct sessions *sessions);

/* Says on stderr what the reader of the results must know: the capture breaks off, datagrams no key
 * opens, nothing in it, no such session. Returns the exit status that follows from it: EXIT_OK when
 * all was read, EXIT_FAILED else. */
int sessions_report(const struct sessions *sessions);

#endif
