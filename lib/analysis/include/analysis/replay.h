/* replay.h - a recorded target, acted: answers from the model of a session, or its exact bytes.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Pure but for the store: no clock, no line. Times are the caller's, in microseconds.
 *
 *   script  what the target said by itself, in order, and what it answered to requests that a model
 *           does not keep. Told the events of one session, as the model is.
 *   replay  a target on a serial line. It says what the script says, stops where that stops, and
 *           answers requests as of that stop: what was captured until then, without what the
 *           recorded debugger wrote in this very stop; with what this debugger has written. What
 *           was never captured is refused with STATUS_UNSUCCESSFUL. Continue goes to the next
 *           recorded stop, whatever the debugger would have wanted.
 *   strict  no target but a transcript: the target's bytes go out in order as the debugger's
 *           packets come in, and a packet that is another one than the recorded is a difference.
 *
 * What a debugger sends is hostile, and so was what is in a recording.
 */
#ifndef ANALYSIS_REPLAY_H
#define ANALYSIS_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "analysis/model.h"

/* --- the script */

struct kda_script;

/* The store must outlive it. transcript: keep every frame, for strict. NULL: no memory. */
struct kda_script *kda_script_new(struct kda_store *store, bool transcript);
void kda_script_free(struct kda_script *script);

/* The next event of the session. False when memory is short. */
bool kda_script_event(struct kda_script *script, const struct kda_event *event);

size_t kda_script_stops(const struct kda_script *script);
/* Requests of the target for files of the debugger's machine; they are not acted. */
uint64_t kda_script_files(const struct kda_script *script);
/* Messages of the 32-bit protocol, which is not acted. */
uint64_t kda_script_narrow(const struct kda_script *script);

/* --- the replay */

enum kda_replay_news {
    KDA_REPLAY_STOPS,    /* the stop is sent; number, frame */
    KDA_REPLAY_ATTACHED, /* the debugger has acknowledged its first packet */
    KDA_REPLAY_ENDS      /* the debugger went on from the last stop: the target runs for ever */
};

struct kda_replay_events {
    void (*send)(void *context, const uint8_t *bytes, size_t size);
    void (*news)(void *context, enum kda_replay_news news, uint32_t number, uint32_t frame);
};

struct kda_replay_config {
    uint32_t stop; /* number of the stop to begin with; 0: see at */
    uint32_t at;   /* begin with the stop that holds in this frame; 0: with the first message */
    bool later;    /* memory that was captured only after the stop counts, too */
    uint32_t read_limit; /* most bytes of a reply behind the fixed part; 0: KD's own */
};

struct kda_replay;

/* Model and script of the same session, both complete, which must outlive it. NULL, with a part of
 * a sentence: why not. */
struct kda_replay *kda_replay_new(const struct kda_model *model, const struct kda_script *script,
                                  struct kda_store *store, const struct kda_replay_config *config,
                                  const struct kda_replay_events *events, void *context,
                                  const char **why);
void kda_replay_free(struct kda_replay *replay);

/* A debugger is there: all begins anew. False: no memory. */
bool kda_replay_begin(struct kda_replay *replay, uint64_t now);

void kda_replay_receive(struct kda_replay *replay, uint64_t now, const uint8_t *bytes, size_t size);

/* When kda_replay_tick has something to do; UINT64_MAX: never. */
uint64_t kda_replay_deadline(const struct kda_replay *replay);
void kda_replay_tick(struct kda_replay *replay, uint64_t now);

/* Requests so far, of this debugger: answered, refused because the recording does not tell. */
struct kda_replay_tally {
    uint64_t requests, refused, unknown_bytes;
};
const struct kda_replay_tally *kda_replay_tally(const struct kda_replay *replay);

/* --- strict */

enum kda_strict_state { KDA_STRICT_GOES_ON, KDA_STRICT_DONE, KDA_STRICT_DIFFERS };

/* Frames from their header on, without trailer; a break-in is its byte. */
struct kda_difference {
    uint32_t frame; /* of the recording, where `expected` is */
    const uint8_t *expected, *got;
    size_t expected_size, got_size; /* got: 0 when the debugger left */
};

struct kda_strict;

/* The script was made with a transcript. faults: the line is bad on purpose, so that a repetition
 * or RESEND that is not in the recording is answered by sending the last piece again. NULL: no
 * memory. */
struct kda_strict *kda_strict_new(const struct kda_script *script, bool faults,
                                  const struct kda_replay_events *events, void *context);
void kda_strict_free(struct kda_strict *strict);

void kda_strict_begin(struct kda_strict *strict, uint64_t now);
void kda_strict_receive(struct kda_strict *strict, uint64_t now, const uint8_t *bytes, size_t size);
uint64_t kda_strict_deadline(const struct kda_strict *strict);
void kda_strict_tick(struct kda_strict *strict, uint64_t now);

enum kda_strict_state kda_strict_state(const struct kda_strict *strict);
/* DIFFERS, or GOES_ON and the debugger has left. Valid until the next call. */
const struct kda_difference *kda_strict_difference(struct kda_strict *strict);
/* Packets and break-ins of the debugger that came as recorded; how many there are. */
void kda_strict_progress(const struct kda_strict *strict, uint64_t *came, uint64_t *all);

#endif
