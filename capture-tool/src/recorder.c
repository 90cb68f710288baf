/* recorder.c - the queue between the relay and its recording, and the thread that empties it.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * The thread looks at the queue every RECORDER_PERIOD while bytes flow, so the relay need not wake
 * it for each of them, and sleeps when nothing has come for IDLE_AFTER; only then is it woken.
 */
#include "recorder.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lane.h"
#include "linkwatch.h"
#include "recording.h"
#include "ring.h"
#include "thread.h"

#define COMMENT_SIZE 256u
#define IDLE_AFTER   (2 * CLOCK_SECOND)
#define IDLE_WAIT    1000u /* ms */
#define CLOCK_PERIOD CLOCK_SECOND
#define RESERVE      UINT64_C(65536) /* of the queue, for all but bytes */

enum kind { KIND_BYTES, KIND_UNDELIVERED, KIND_NOTE, KIND_CONNECTED, KIND_GONE, KIND_LOST };

struct recorder {
    struct recorder_config config;
    struct ring *ring;
    struct thread thread;
    struct lock lock;
    struct condition wake;
    atomic_bool asleep;
    atomic_bool stopping;

    /* The relay's: reads that found no room since the last entry. Once one did not, nothing is put
     * until the queue is half empty, so that there are few gaps instead of many. */
    uint64_t lost_reads, lost_bytes;
    bool full;
    bool nearly_full;

    /* The thread's: */
    struct recording *recording;
    struct clock_anchor anchor;
    struct linkwatch watch;
    struct lane lanes[2];
    char comments[2][COMMENT_SIZE]; /* of the bytes that are in a lane */
    bool undelivered[2];            /* and whether the other end gets them */
    uint64_t dropped;               /* lost reads, not yet in a record */
    uint64_t total_lost_bytes;
    uint64_t busy_at; /* when something came */
    uint64_t clock_at;
    unsigned packets; /* not yet added to the status */
    char last_stop[120];
};

/* --- the relay's side */

static void wake(struct recorder *recorder)
{
    lock_take(&recorder->lock);
    condition_signal(&recorder->wake);
    lock_release(&recorder->lock);
}

/* Reads that were lost before are told first. */
static bool put_loss(struct recorder *recorder, uint64_t when)
{
    uint64_t numbers[2] = {recorder->lost_reads, recorder->lost_bytes};
    struct ring_entry entry = {
        .when = when, .kind = KIND_LOST, .size = sizeof numbers, .bytes = (const uint8_t *)numbers};

    if (recorder->lost_reads == 0)
        return true;
    if (!ring_put(recorder->ring, &entry))
        return false;
    recorder->lost_reads = recorder->lost_bytes = 0;
    return true;
}

/* An entry is there: the thread may have to be told. */
static void tell_thread(struct recorder *recorder)
{
    bool nearly_full = ring_used(recorder->ring) > ring_capacity(recorder->ring) / 4;

    /* Orders the entry before the look at the flag, as the thread sets the flag before it looks at
     * the queue for the last time. */
    atomic_thread_fence(memory_order_seq_cst);
    if (atomic_load_explicit(&recorder->asleep, memory_order_relaxed) ||
        (nearly_full && !recorder->nearly_full))
        wake(recorder);
    recorder->nearly_full = nearly_full;
}

static void put(struct recorder *recorder, const struct ring_entry *entry)
{
    if (put_loss(recorder, entry->when) && ring_put(recorder->ring, entry))
        tell_thread(recorder);
}

/* Whether there is room for bytes. */
static bool has_room(struct recorder *recorder, size_t size)
{
    uint64_t used = ring_used(recorder->ring), capacity = ring_capacity(recorder->ring);

    recorder->full = recorder->full ? used > capacity / 2 : capacity - used < size + RESERVE;
    return !recorder->full;
}

static void put_bytes(struct recorder *recorder, enum kind kind, enum side from, uint64_t when,
                      const uint8_t *bytes, size_t size, const char *comment)
{
    size_t length = comment ? strlen(comment) : 0;
    struct ring_entry entry = {.when = when,
                               .kind = (uint8_t)kind,
                               .side = (uint8_t)from,
                               .comment = comment,
                               .bytes = bytes,
                               .size = (uint32_t)size};

    entry.comment_size = (uint16_t)(length < COMMENT_SIZE ? length : COMMENT_SIZE - 1);
    if (has_room(recorder, size) && put_loss(recorder, when) && ring_put(recorder->ring, &entry)) {
        tell_thread(recorder);
        return;
    }
    recorder->full = true;
    recorder->lost_reads++;
    recorder->lost_bytes += size;
    status_add(recorder->config.status, STATUS_DROPPED, size);
}

void recorder_bytes(struct recorder *recorder, enum side from, uint64_t when, const uint8_t *bytes,
                    size_t size, const char *comment)
{
    put_bytes(recorder, KIND_BYTES, from, when, bytes, size, comment);
}

void recorder_undelivered(struct recorder *recorder, enum side from, uint64_t when,
                          const uint8_t *bytes, size_t size, const char *comment)
{
    put_bytes(recorder, KIND_UNDELIVERED, from, when, bytes, size, comment);
}

void recorder_note(struct recorder *recorder, uint64_t when, const char *format, ...)
{
    char text[COMMENT_SIZE];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    put(recorder, &(struct ring_entry){.when = when,
                                       .kind = KIND_NOTE,
                                       .comment = text,
                                       .comment_size = (uint16_t)strlen(text)});
}

void recorder_connection(struct recorder *recorder, enum side side, uint64_t when, bool connected)
{
    put(recorder, &(struct ring_entry){.when = when,
                                       .kind = connected ? KIND_CONNECTED : KIND_GONE,
                                       .side = (uint8_t)side});
}

/* --- the thread: records */

static void write_record(struct recorder *recorder, enum side side, uint64_t when,
                         const uint8_t *bytes, size_t size, const char *comment)
{
    recording_record(recorder->recording, side, clock_at(&recorder->anchor, when), bytes, size,
                     comment && *comment ? comment : NULL, recorder->dropped);
    recorder->dropped = 0;
}

static void lane_record(void *context, enum side side, uint64_t when, const uint8_t *bytes,
                        size_t size)
{
    struct recorder *recorder = context;

    if (!recorder->config.raw)
        write_record(recorder, side, when, bytes, size, recorder->comments[side]);
}

static void lane_frame(void *context, enum side side, uint64_t when, const struct kd_frame *frame,
                       const uint8_t *bytes)
{
    struct recorder *recorder = context;

    if (frame->kind == KD_FRAME_PACKET)
        recorder->packets++;
    /* Noise of the other direction that came before this frame stays before it. */
    if (frame->kind != KD_FRAME_NOISE)
        lane_end_noise(&recorder->lanes[side_other(side)]);
    /* What does not reach the other end is no part of the conversation. */
    if (!recorder->undelivered[side])
        linkwatch_frame(&recorder->watch, side, when, frame, bytes);
}

static void take_note(struct recorder *recorder, uint64_t when, const char *text)
{
    lane_end_noise(&recorder->lanes[SIDE_DEBUGGER]);
    lane_end_noise(&recorder->lanes[SIDE_TARGET]);
    recording_note(recorder->recording, clock_at(&recorder->anchor, when), text, recorder->dropped);
    recorder->dropped = 0;
}

static void take_bytes(struct recorder *recorder, const struct ring_entry *entry)
{
    enum side side = (enum side)entry->side;
    struct lane *lane = &recorder->lanes[side];
    bool undelivered = entry->kind == KIND_UNDELIVERED;
    char comment[COMMENT_SIZE];

    memcpy(comment, entry->comment, entry->comment_size);
    comment[entry->comment_size] = '\0';
    if (undelivered != recorder->undelivered[side] ||
        strcmp(comment, recorder->comments[side]) != 0) {
        lane_end(lane);
        memcpy(recorder->comments[side], comment, sizeof comment);
        recorder->undelivered[side] = undelivered;
    }
    if (recorder->config.raw)
        write_record(recorder, side, entry->when, entry->bytes, entry->size, comment);
    lane_push(lane, entry->when, entry->bytes, entry->size);
}

static void take_loss(struct recorder *recorder, const struct ring_entry *entry)
{
    uint64_t numbers[2];
    char text[COMMENT_SIZE];

    memcpy(numbers, entry->bytes, sizeof numbers);
    lane_end(&recorder->lanes[SIDE_DEBUGGER]);
    lane_end(&recorder->lanes[SIDE_TARGET]);
    if (recorder->total_lost_bytes == 0)
        status_fail(recorder->config.status,
                    "recording cannot keep up; what finds no room is not recorded, but forwarded "
                    "all the same");
    recorder->dropped += numbers[0];
    recorder->total_lost_bytes += numbers[1];
    snprintf(text, sizeof text,
             "%" PRIu64 " bytes (%" PRIu64 " reads) were forwarded but not recorded here: the "
             "recorder's queue was full",
             numbers[1], numbers[0]);
    take_note(recorder, entry->when, text);
}

static void take_entry(struct recorder *recorder, const struct ring_entry *entry)
{
    enum side side = (enum side)entry->side;
    char text[COMMENT_SIZE];

    switch ((enum kind)entry->kind) {
    case KIND_BYTES:
    case KIND_UNDELIVERED:
        take_bytes(recorder, entry);
        break;
    case KIND_NOTE:
        memcpy(text, entry->comment, entry->comment_size);
        text[entry->comment_size] = '\0';
        take_note(recorder, entry->when, text);
        break;
    case KIND_CONNECTED:
    case KIND_GONE:
        lane_end(&recorder->lanes[SIDE_DEBUGGER]);
        lane_end(&recorder->lanes[SIDE_TARGET]);
        linkwatch_connection(&recorder->watch, side, entry->kind == KIND_CONNECTED);
        if (side == SIDE_TARGET) /* whether it runs or has stopped is not known any more */
            status_show(recorder->config.status, STATUS_LINK, "");
        break;
    case KIND_LOST:
        take_loss(recorder, entry);
        break;
    }
}

/* --- the thread: the state of the link */

static const char *storm_name(enum linkwatch_kind kind)
{
    return kind == LINKWATCH_RESET_STORM    ? "reset-storm"
           : kind == LINKWATCH_RESEND_STORM ? "resend-storm"
                                            : "console-storm";
}

static void say_storm(struct recorder *recorder, const struct linkwatch_event *event)
{
    struct status *status = recorder->config.status;

    switch (event->kind) {
    case LINKWATCH_RESET_STORM:
        status_fail(status, "RESET storm: debugger and target RESET each other without end; "
                            "--heal, or the key h, ends it");
        status_show(status, STATUS_LINK, "RESET storm");
        break;
    case LINKWATCH_RESEND_STORM:
        status_fail(status, "RESEND storm: the %s asks for the same packet again and again",
                    side_name(event->side));
        status_show(status, STATUS_LINK, "RESEND storm");
        break;
    default:
        status_fail(status, "the target's console text makes the debugger RESET again and again; "
                            "--hold keeps them apart until the target speaks KD");
        status_show(status, STATUS_LINK, "console text answered by RESETs");
        break;
    }
}

/* Frames of the line are not those of the recording, so none is named. */
static void say_verdict(struct recorder *recorder, const struct kda_diagnosis *diagnosis)
{
    const struct kda_verdict_info *info = &kda_verdicts[diagnosis->verdict];

    if (diagnosis->gravity >= KDA_GRAVITY_WARNING)
        status_fail(recorder->config.status, "doctor: %s. Next step: %s", info->line, info->next);
    else
        status_say(recorder->config.status, "doctor: %s", info->line);
}

static void event_verdict(struct event *event, const struct kda_diagnosis *diagnosis)
{
    const struct kda_verdict_info *info = &kda_verdicts[diagnosis->verdict];

    event_text(event, "verdict", info->name);
    event_text(event, "gravity", kda_gravity_name(diagnosis->gravity));
    event_text(event, "text", info->line);
    event_text(event, "next", info->next);
}

static void show_stop(struct recorder *recorder, const char *what)
{
    char text[sizeof recorder->last_stop + 40];

    snprintf(text, sizeof text, "%s%s", what, recorder->last_stop);
    status_show(recorder->config.status, STATUS_LINK, text);
}

/* What people read about it, and the name of its JSON event. */
static const char *say(struct recorder *recorder, const struct linkwatch_event *event)
{
    struct status *status = recorder->config.status;

    switch (event->kind) {
    case LINKWATCH_BREAK_IN:
        return "break-in";
    case LINKWATCH_STOPPED:
        snprintf(recorder->last_stop, sizeof recorder->last_stop, "%s", event->text);
        show_stop(recorder, "stopped: ");
        return "stopped";
    case LINKWATCH_RUNNING:
        show_stop(recorder, "running, last stop: ");
        return "running";
    case LINKWATCH_CALM_AGAIN:
        status_say(status, "the %s is over", storm_name(event->storm));
        status_show(status, STATUS_LINK, "");
        return "calm";
    case LINKWATCH_SILENCE:
        status_show(status, STATUS_LINK,
                    event->side == SIDE_TARGET ? "target is silent" : "debugger is silent");
        return "silent";
    case LINKWATCH_HEARD:
        status_show(status, STATUS_LINK, "");
        return "heard";
    case LINKWATCH_VERDICT:
        say_verdict(recorder, event->diagnosis);
        return "verdict";
    default:
        say_storm(recorder, event);
        return storm_name(event->kind);
    }
}

static void link_event(void *context, const struct linkwatch_event *found)
{
    struct recorder *recorder = context;
    const char *name = say(recorder, found);
    struct event event;

    event_begin(&event, clock_at(&recorder->anchor, found->when), name);
    if (found->kind == LINKWATCH_SILENCE || found->kind == LINKWATCH_HEARD ||
        found->kind == LINKWATCH_RESEND_STORM)
        event_text(&event, "end", side_name(found->side));
    if (found->kind == LINKWATCH_CALM_AGAIN)
        event_text(&event, "after", storm_name(found->storm));
    if (found->kind == LINKWATCH_STOPPED) {
        event_text(&event, "reason", found->text);
        if (found->code)
            event_hex(&event, "code", found->code);
        event_hex(&event, "address", found->address);
        event_number(&event, "processor", found->processor);
    }
    if (found->kind == LINKWATCH_VERDICT)
        event_verdict(&event, found->diagnosis);
    status_event(recorder->config.status, &event);
}

/* --- the thread: its rounds */

static void end_what_is_old(struct recorder *recorder, uint64_t now)
{
    for (int i = 0; i < 2; i++) {
        struct lane *lane = &recorder->lanes[i];

        if (lane_is_open(lane) && now > lane->last + RECORDER_PACKET_SILENCE)
            lane_end(lane);
        else if (lane_has_noise(lane) && now > lane->last + RECORDER_NOISE_SILENCE)
            lane_end_noise(lane);
    }
}

static void check_clock(struct recorder *recorder, uint64_t now)
{
    char text[COMMENT_SIZE];
    int64_t set_by;

    if (now < recorder->clock_at)
        return;
    recorder->clock_at = now + CLOCK_PERIOD;
    if (!clock_anchor_check(&recorder->anchor, &set_by))
        return;
    snprintf(text, sizeof text, "the computer's clock was set by %+.3f s",
             (double)set_by / (double)CLOCK_SECOND);
    take_note(recorder, now, text);
}

/* One round; false when nothing was in the queue. */
static bool turn(struct recorder *recorder)
{
    struct ring_entry entry;
    uint64_t now = clock_monotonic(), pump_at = now + RECORDER_PERIOD;
    bool busy = false;

    check_clock(recorder, now);
    while (ring_peek(recorder->ring, &entry)) {
        take_entry(recorder, &entry);
        ring_drop(recorder->ring);
        busy = true;
        if (clock_monotonic() >= pump_at) {
            recording_pump(recorder->recording);
            pump_at = clock_monotonic() + RECORDER_PERIOD;
        }
    }
    now = clock_monotonic();
    if (busy)
        recorder->busy_at = now;
    if (recorder->packets) {
        status_add(recorder->config.status, STATUS_PACKETS, recorder->packets);
        recorder->packets = 0;
    }
    end_what_is_old(recorder, now);
    linkwatch_tick(&recorder->watch, now);
    recording_pump(recorder->recording);
    return busy;
}

/* Whether the thread may sleep until it is woken. */
static bool may_sleep(const struct recorder *recorder)
{
    return clock_monotonic() > recorder->busy_at + IDLE_AFTER &&
           !recording_waits(recorder->recording) && !lane_is_open(&recorder->lanes[0]) &&
           !lane_is_open(&recorder->lanes[1]);
}

static void rest(struct recorder *recorder)
{
    bool sleeps = may_sleep(recorder);

    lock_take(&recorder->lock);
    if (sleeps) {
        atomic_store_explicit(&recorder->asleep, true, memory_order_relaxed);
        atomic_thread_fence(memory_order_seq_cst);
    }
    if (!atomic_load(&recorder->stopping) && (!sleeps || ring_used(recorder->ring) == 0))
        condition_wait(&recorder->wake, &recorder->lock,
                       sleeps ? IDLE_WAIT : (uint32_t)(RECORDER_PERIOD / CLOCK_MILLISECOND));
    atomic_store_explicit(&recorder->asleep, false, memory_order_relaxed);
    lock_release(&recorder->lock);
}

static void run(void *context)
{
    struct recorder *recorder = context;

    thread_stand_back();
    ring_warm(recorder->ring, RECORDER_QUEUE_SIZE);
    while (!atomic_load(&recorder->stopping)) {
        turn(recorder);
        rest(recorder);
    }
    while (turn(recorder))
        continue;
    lane_end(&recorder->lanes[SIDE_DEBUGGER]);
    lane_end(&recorder->lanes[SIDE_TARGET]);
}

/* --- from start to end */

static void release(struct recorder *recorder)
{
    linkwatch_clear(&recorder->watch);
    ring_free(recorder->ring);
    condition_clear(&recorder->wake);
    lock_clear(&recorder->lock);
    free(recorder);
}

struct recorder *recorder_start(const struct recorder_config *config, struct problem *problem)
{
    static const struct lane_events events = {.frame = lane_frame, .record = lane_record};
    struct recorder *recorder = calloc(1, sizeof *recorder);
    struct recording_totals totals;

    if (!recorder) {
        problem_set(problem, "out of memory");
        return NULL;
    }
    recorder->config = *config;
    lock_init(&recorder->lock);
    condition_init(&recorder->wake);
    clock_anchor_init(&recorder->anchor);
    linkwatch_init(&recorder->watch, link_event, recorder);
    for (int i = 0; i < 2; i++)
        lane_init(&recorder->lanes[i], (enum side)i, &events, recorder);
    if (config->doctor && !linkwatch_consult(&recorder->watch)) {
        problem_set(problem, "out of memory");
        release(recorder);
        return NULL;
    }
    recorder->ring = ring_new(config->queue_size ? config->queue_size : RECORDER_QUEUE_SIZE);
    if (!recorder->ring) {
        problem_set(problem, "out of memory");
        release(recorder);
        return NULL;
    }
    recorder->recording = recording_new(&recorder->config, clock_wall(), problem);
    if (!recorder->recording) {
        release(recorder);
        return NULL;
    }
    recording_pump(recorder->recording); /* a live reader that is there already misses nothing */
    if (!thread_start(&recorder->thread, run, recorder)) {
        problem_set(problem, "no thread can be started");
        recording_free(recorder->recording, clock_wall(), &totals);
        release(recorder);
        return NULL;
    }
    return recorder;
}

/* What happened, in one line. */
static void sum_up(const struct recorder *recorder, const struct recording_totals *totals)
{
    const struct recorder_config *config = &recorder->config;
    struct event event;

    event_begin(&event, clock_wall(), "recorded");
    event_number(&event, "records", totals->records);
    event_number(&event, "lost_records", totals->lost);
    event_number(&event, "lost_bytes", recorder->total_lost_bytes);
    status_event(config->status, &event);
    if (config->file)
        status_say(config->status, "%" PRIu64 " records in %s", totals->records, config->file);
    if (totals->lost > 0)
        status_fail(config->status, "%" PRIu64 " records could not be written", totals->lost);
    if (recorder->total_lost_bytes > 0)
        status_fail(config->status,
                    "%" PRIu64 " bytes were forwarded but not recorded: the queue "
                    "was full",
                    recorder->total_lost_bytes);
}

void recorder_stop(struct recorder *recorder)
{
    struct recording_totals totals;

    if (!recorder)
        return;
    put_loss(recorder, clock_monotonic());
    atomic_store(&recorder->stopping, true);
    wake(recorder);
    thread_join(&recorder->thread);
    recorder->total_lost_bytes += recorder->lost_bytes;
    recording_free(recorder->recording, clock_at(&recorder->anchor, clock_monotonic()), &totals);
    sum_up(recorder, &totals);
    release(recorder);
}
