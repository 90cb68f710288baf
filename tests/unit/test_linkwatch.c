/* test_linkwatch.c - stops, storms, silence: of made-up links and of recorded ones.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 */
#include <stdlib.h>

#include "check.h"
#include "linkwatch.h"

#define MS UINT64_C(1000000)

struct seen {
    struct linkwatch watch;
    struct kd_framer framers[2];
    uint8_t buffers[2][KD_FRAMER_CAPACITY(KD_PACKET_MAX_SIZE)];
    uint64_t now;
    unsigned count[LINKWATCH_HEARD + 1];
    uint64_t first[LINKWATCH_HEARD + 1];
    enum side side[LINKWATCH_HEARD + 1];
    char stop[200];
    unsigned target_resets;
    uint64_t storm_begins; /* when the target answered the second RESET */
};

static void on_event(void *context, const struct linkwatch_event *event)
{
    struct seen *seen = context;

    if (seen->count[event->kind]++ == 0)
        seen->first[event->kind] = event->when;
    seen->side[event->kind] = event->side;
    if (event->kind == LINKWATCH_STOPPED)
        snprintf(seen->stop, sizeof seen->stop, "%s", event->text);
}

static struct seen *begin(void)
{
    static const struct kd_framing framing[] = {{KD_PACKET_MAX_SIZE, KD_FLOW_TO_TARGET},
                                                {KD_PACKET_MAX_SIZE, KD_FLOW_TO_DEBUGGER}};
    struct seen *seen = calloc(1, sizeof *seen);

    if (!seen)
        abort();
    seen->now = 1000 * MS;
    linkwatch_init(&seen->watch, on_event, seen);
    for (int i = 0; i < 2; i++)
        kd_framer_init(&seen->framers[i], &framing[i], seen->buffers[i], sizeof seen->buffers[i]);
    return seen;
}

static void feed(struct seen *seen, enum side from, const uint8_t *bytes, size_t size)
{
    struct kd_framer *framer = &seen->framers[from];
    struct kd_frame frame;
    const uint8_t *at;

    while (size > 0) {
        size_t taken = kd_framer_push(framer, bytes, size);

        bytes += taken;
        size -= taken;
        while (kd_framer_next(framer, false, &frame, &at) != KD_FRAME_NEED_MORE) {
            if (frame.kind == KD_FRAME_PACKET && from == SIDE_TARGET &&
                kd_get16(((const struct kd_packet_header *)at)->packet_type) == KD_PACKET_RESET &&
                ++seen->target_resets == 2)
                seen->storm_begins = seen->now;
            linkwatch_frame(&seen->watch, from, seen->now, &frame, at);
        }
    }
}

static void send_packet(struct seen *seen, enum side from, enum kd_packet_type type,
                        const uint8_t *payload, size_t size)
{
    uint8_t packet[512];

    feed(seen, from, packet,
         kd_frame_encode(packet, sizeof packet, type, KD_INITIAL_PACKET_ID, payload, size, true));
}

static void pass_time(struct seen *seen, uint64_t milliseconds)
{
    for (uint64_t i = 0; i < milliseconds; i += 10) {
        seen->now += 10 * MS;
        linkwatch_tick(&seen->watch, seen->now);
    }
}

/* --- made-up links */

static void send_stop(struct seen *seen, uint64_t address)
{
    uint8_t payload[240] = {0};
    struct kd_state_change64 *change = (struct kd_state_change64 *)payload;
    struct kd_exception64 *exception = (struct kd_exception64 *)(payload + KD_STATE_CHANGE_UNION);

    change->new_state = kd_put32(KD_STATE_EXCEPTION);
    change->program_counter = kd_put64(address);
    exception->exception_code = kd_put32(0x80000003);
    send_packet(seen, SIDE_TARGET, KD_PACKET_STATE_CHANGE64, payload, sizeof payload);
}

static void stops_and_runs(void)
{
    struct seen *seen = begin();
    uint8_t request[56] = {0};
    struct kd_manipulate_header *header = (struct kd_manipulate_header *)request;

    send_stop(seen, 0x1000);
    send_stop(seen, 0x1000);
    CHECK_EQ_U64(seen->count[LINKWATCH_STOPPED], 1);
    CHECK_EQ_STR(seen->stop, "STATUS_BREAKPOINT (0x80000003) at 0x1000");
    header->api_number = kd_put32(KD_API_READ_VIRTUAL_MEMORY);
    send_packet(seen, SIDE_DEBUGGER, KD_PACKET_STATE_MANIPULATE, request, sizeof request);
    CHECK_EQ_U64(seen->count[LINKWATCH_RUNNING], 0);
    header->api_number = kd_put32(KD_API_CONTINUE2);
    send_packet(seen, SIDE_DEBUGGER, KD_PACKET_STATE_MANIPULATE, request, sizeof request);
    CHECK_EQ_U64(seen->count[LINKWATCH_RUNNING], 1);
    send_stop(seen, 0x1000);
    CHECK_EQ_U64(seen->count[LINKWATCH_STOPPED], 2);
    free(seen);
}

static void short_messages_are_no_stops(void)
{
    struct seen *seen = begin();
    uint8_t payload[240] = {0x30, 0x30};

    for (size_t size = 0; size < sizeof payload; size++)
        send_packet(seen, SIDE_TARGET, KD_PACKET_STATE_CHANGE64, payload, size);
    CHECK_EQ_U64(seen->count[LINKWATCH_STOPPED], 1);
    free(seen);
}

static void silence_is_told_once(void)
{
    struct seen *seen = begin();

    feed(seen, SIDE_DEBUGGER, (const uint8_t *)"b", 1);
    pass_time(seen, 2500);
    CHECK_EQ_U64(seen->count[LINKWATCH_SILENCE], 0);
    pass_time(seen, 5000);
    CHECK_EQ_U64(seen->count[LINKWATCH_SILENCE], 1);
    CHECK_EQ_U64(seen->side[LINKWATCH_SILENCE], SIDE_TARGET);
    send_stop(seen, 0x1000);
    CHECK_EQ_U64(seen->count[LINKWATCH_HEARD], 1);
    pass_time(seen, 5000);
    CHECK_EQ_U64(seen->side[LINKWATCH_SILENCE], SIDE_DEBUGGER);
    free(seen);
}

static void resend_storm(void)
{
    struct seen *seen = begin();

    for (int i = 0; i < 20; i++) {
        send_packet(seen, SIDE_TARGET, KD_PACKET_RESEND, NULL, 0);
        pass_time(seen, 50);
    }
    CHECK_EQ_U64(seen->count[LINKWATCH_RESEND_STORM], 1);
    CHECK_EQ_U64(seen->side[LINKWATCH_RESEND_STORM], SIDE_TARGET);
    pass_time(seen, 2500);
    CHECK_EQ_U64(seen->count[LINKWATCH_CALM_AGAIN], 1);
    free(seen);
}

/* A waiting WinDbg RESETs two or three times a second: no storm. One that is answered by text does
 * it more often. */
static void console_storm(void)
{
    struct seen *seen = begin();

    for (int i = 0; i < 20; i++) {
        send_packet(seen, SIDE_DEBUGGER, KD_PACKET_RESET, NULL, 0);
        pass_time(seen, 350);
    }
    CHECK_EQ_U64(seen->count[LINKWATCH_CONSOLE], 0);
    for (int i = 0; i < 20; i++) {
        feed(seen, SIDE_TARGET, (const uint8_t *)"Boot ", 5);
        send_packet(seen, SIDE_DEBUGGER, KD_PACKET_RESET, NULL, 0);
        pass_time(seen, 50);
    }
    CHECK_EQ_U64(seen->count[LINKWATCH_CONSOLE], 1);
    CHECK_EQ_U64(seen->count[LINKWATCH_RESET_STORM], 0);
    free(seen);
}

/* --- recorded links */

static size_t unhex(const char *text, uint8_t *out)
{
    size_t size = 0;
    unsigned value;

    while (sscanf(text + 2 * size, "%2x", &value) == 1)
        out[size++] = (uint8_t)value;
    return size;
}

static struct seen *replay(const char *name)
{
    static char line[1 << 17];
    static uint8_t bytes[1 << 16];
    const char *folder = getenv("KDLENS_CAPTURES");
    struct seen *seen;
    char path[1024];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", folder ? folder : KDLENS_CAPTURES, name);
    file = fopen(path, "r");
    if (!file) {
        printf("skipped: no %s\n", path);
        return NULL;
    }
    seen = begin();
    while (fgets(line, sizeof line, file)) {
        const char *hex = strstr(line, "\"hex\": \"");
        const char *time = strstr(line, "\"t\": ");

        if (!hex || !time)
            continue;
        seen->now = (uint64_t)((strtod(time + 5, NULL) + 1) * 1e9);
        linkwatch_tick(&seen->watch, seen->now);
        feed(seen, strstr(line, "h2t") ? SIDE_DEBUGGER : SIDE_TARGET, bytes, unhex(hex + 8, bytes));
    }
    fclose(file);
    return seen;
}

static void recorded_storm(void)
{
    struct seen *seen = replay("windows-reset-storm.jsonl");

    if (!seen)
        return;
    CHECK(seen->count[LINKWATCH_RESET_STORM] >= 1);
    CHECK(seen->first[LINKWATCH_RESET_STORM] - seen->storm_begins < 1000 * MS);
    free(seen);
}

static void recorded_sessions_are_calm(void)
{
    static const char *const names[] = {"windows-bootmgr-serial.jsonl", "windbg-amd64.jsonl",
                                        "windbg-arm64.jsonl",           "windbg-x86.jsonl",
                                        "windbg-file-transfer.jsonl",   "radare2-session.jsonl"};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct seen *seen = replay(names[i]);

        if (!seen)
            continue;
        CHECK_EQ_U64(seen->count[LINKWATCH_RESET_STORM], 0);
        CHECK_EQ_U64(seen->count[LINKWATCH_RESEND_STORM], 0);
        CHECK_EQ_U64(seen->count[LINKWATCH_CONSOLE], 0);
        CHECK(seen->count[LINKWATCH_STOPPED] > 0);
        CHECK(seen->count[LINKWATCH_RUNNING] > 0);
        free(seen);
    }
}

KD_TEST_MAIN({"stops and runs", stops_and_runs},
             {"short messages are no stops", short_messages_are_no_stops},
             {"silence is told once", silence_is_told_once}, {"RESEND storm", resend_storm},
             {"console storm", console_storm}, {"the recorded storm", recorded_storm},
             {"recorded sessions are calm", recorded_sessions_are_calm})
