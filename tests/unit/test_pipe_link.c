/* test_pipe_link.c - frames of a debug agent's VMBus pipe: known bytes, cuts, damage, repetition.
 *
 * SPDX-License-Identifier: BSD-2-Clause-Patent
 *
 * Frames of the agent are made here, from the description, and not by the code under test.
 */
#include "check.h"
#include "kd/pipe_link.h"

#define MILLISECOND UINT64_C(1000000)

/* A break-in from the host, sequence 0x5687; known from its description. */
static const uint8_t break_in[] = {0x60, 0x79, 0x86, 0x56, 1,    0,    0,   0,    1,
                                   0,    0,    0,    0x87, 0x56, 0,    0,   0xfc, 0x19,
                                   0xae, 0xd1, 0x79, 0x36, 0x28, 0x87, 0x62};

/* What the machine under test has done. */
static struct seen {
    uint8_t sent[65536];
    size_t sent_size, frames, first_frame; /* frames: how many; first_frame: size of the first */
    uint8_t received[65536];
    size_t received_size;
    unsigned news[KD_PIPE_SENDS_PLAIN + 1];
    uint64_t numbers[KD_PIPE_SENDS_PLAIN + 1]; /* the sum */
} seen;

static struct kd_pipe_link link;

static void on_received(void *context, const uint8_t *bytes, size_t size)
{
    (void)context;
    memcpy(seen.received + seen.received_size, bytes, size);
    seen.received_size += size;
}

static void on_send(void *context, const uint8_t *frame, size_t size)
{
    (void)context;
    if (seen.frames++ == 0)
        seen.first_frame = size;
    memcpy(seen.sent + seen.sent_size, frame, size);
    seen.sent_size += size;
}

static void on_news(void *context, enum kd_pipe_news news, uint64_t number)
{
    (void)context;
    seen.news[news]++;
    seen.numbers[news] += number;
}

static void start_as(enum kd_pipe_end end, enum kd_pipe_framing framing)
{
    static const struct kd_pipe_link_events events = {on_received, on_send, on_news};
    const struct kd_pipe_link_config config = {end, framing, KD_PIPE_SEND_BYTE_MODE};

    memset(&seen, 0, sizeof seen);
    kd_pipe_link_init(&link, &config, &events, NULL);
}

static void start(void)
{
    start_as(KD_PIPE_HOST, KD_PIPE_FRAMES);
}

static void put(uint8_t *out, uint32_t word)
{
    for (int i = 0; i < 4; i++)
        out[i] = (uint8_t)(word >> 8 * i);
}

static size_t make(uint8_t *out, const uint32_t header[6], const void *payload, size_t size)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < 6; i++)
        put(out + 4 * i, header[i]);
    if (size > 0)
        memcpy(out + 24, payload, size);
    for (size_t i = 0; i < 24 + size; i++)
        sum ^= (uint32_t)out[i] << i % 4 * 8;
    put(out + 16, sum);
    return 24 + size;
}

static size_t make_data(uint8_t *out, uint32_t sequence, const void *payload, size_t size)
{
    const uint32_t header[6] = {0x56867960, 1, (uint32_t)size, sequence, 0, 0x87283679};

    return make(out, header, payload, size);
}

static size_t make_acknowledge(uint8_t *out, uint32_t sequence)
{
    const uint32_t header[6] = {0x15957899, 3, 0, sequence, 0, 0x36133574};

    return make(out, header, NULL, 0);
}

static void push_data(uint32_t sequence, const char *text)
{
    uint8_t frame[256];

    kd_pipe_link_push(&link, 0, frame, make_data(frame, sequence, text, strlen(text)));
}

static void push_acknowledge(uint32_t sequence)
{
    uint8_t frame[32];

    kd_pipe_link_push(&link, 0, frame, make_acknowledge(frame, sequence));
}

static void check_received(const char *text)
{
    CHECK_EQ_U64(seen.received_size, strlen(text));
    CHECK_EQ_MEM(seen.received, text, strlen(text));
}

static void sends_the_known_bytes(void)
{
    start();
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"b", 1), 1);
    CHECK_EQ_U64(seen.sent_size, sizeof break_in);
    CHECK_EQ_MEM(seen.sent, break_in, sizeof break_in);
    CHECK_EQ_U64(kd_pipe_frame_length(seen.sent, seen.sent_size), sizeof break_in);
}

static void knows_the_acknowledge(void)
{
    static const uint8_t known[] = {0x69, 0x1b, 0x86, 0x23};
    uint8_t frame[32];

    make_acknowledge(frame, 0x5687);
    CHECK_EQ_MEM(frame + 16, known, sizeof known);
    start();
    kd_pipe_link_take(&link, 0, (const uint8_t *)"b", 1);
    push_acknowledge(0x5687);
    CHECK_EQ_U64(seen.news[KD_PIPE_ACKNOWLEDGES], 1);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), UINT64_MAX);
}

static void divides_what_is_long(void)
{
    static uint8_t bytes[5000];
    size_t taken = 0, at = 0, frames = 0;

    start();
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 7);
    while (taken < sizeof bytes)
        taken += kd_pipe_link_take(&link, 0, bytes + taken, sizeof bytes - taken);
    CHECK_EQ_U64(seen.frames, 3);
    CHECK_EQ_U64(seen.first_frame, 2048);
    for (; at < seen.sent_size; frames++)
        at += kd_pipe_frame_length(seen.sent + at, seen.sent_size - at);
    CHECK_EQ_U64(frames, 3);
    CHECK_EQ_MEM(seen.sent + 24, bytes, KD_PIPE_SEND_BYTE_MODE);
    CHECK_EQ_MEM(seen.sent + 2048 + 24, bytes + KD_PIPE_SEND_BYTE_MODE, KD_PIPE_SEND_BYTE_MODE);
}

static void takes_frames_cut_anywhere(void)
{
    uint8_t stream[512];
    size_t size = make_data(stream, 2, "first ", 6);

    size += make_data(stream + size, 3, "", 0);
    size += make_data(stream + size, 4, "second ", 7);
    size += make_data(stream + size, 5, "third", 5);
    for (size_t piece = 1; piece <= size; piece++) {
        start();
        for (size_t at = 0; at < size; at += piece)
            kd_pipe_link_push(&link, 0, stream + at, size - at < piece ? size - at : piece);
        check_received("first second third");
        CHECK_EQ_U64(seen.sent_size, 0);
        CHECK_EQ_U64(seen.news[KD_PIPE_DAMAGED] + seen.news[KD_PIPE_MISSING], 0);
    }
}

static void takes_the_longest_frame(void)
{
    static uint8_t payload[KD_PIPE_RECEIVE_MAX + 1], frame[sizeof payload + 24];
    size_t size;

    start();
    memset(payload, 0x30, sizeof payload);
    size = make_data(frame, 2, payload, KD_PIPE_RECEIVE_MAX);
    kd_pipe_link_push(&link, 0, frame, size);
    CHECK_EQ_U64(seen.received_size, KD_PIPE_RECEIVE_MAX);
    size = make_data(frame, 3, payload, KD_PIPE_RECEIVE_MAX + 1);
    kd_pipe_link_push(&link, 0, frame, size);
    CHECK_EQ_U64(seen.received_size, KD_PIPE_RECEIVE_MAX);
    push_data(4, "x");
    CHECK_EQ_U64(seen.received_size, KD_PIPE_RECEIVE_MAX + 1);
    CHECK_EQ_U64(seen.numbers[KD_PIPE_DAMAGED], size);
}

/* Every single bit of a frame between two good ones. */
static void skips_damage(void)
{
    uint8_t one[64], two[64], three[64], stream[192];
    size_t first = make_data(one, 2, "one", 3), second = make_data(two, 3, "twotwo", 6),
           third = make_data(three, 4, "three", 5);

    for (size_t bit = 0; bit < 8 * second; bit++) {
        start();
        memcpy(stream, one, first);
        memcpy(stream + first, two, second);
        memcpy(stream + first + second, three, third);
        stream[first + bit / 8] ^= (uint8_t)(1u << bit % 8);
        kd_pipe_link_push(&link, 0, stream, first + second + third);
        /* A size that is too large may hide what follows until nothing more comes. */
        kd_pipe_link_tick(&link, KD_PIPE_SILENCE);
        check_received("onethree");
        CHECK_EQ_U64(seen.numbers[KD_PIPE_DAMAGED], second);
        CHECK_EQ_U64(seen.numbers[KD_PIPE_MISSING], 1);
    }
}

static void gives_up_an_unfinished_frame(void)
{
    uint8_t frame[64];
    size_t size = make_data(frame, 2, "text", 4);

    start();
    kd_pipe_link_push(&link, 0, frame, size - 1);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), KD_PIPE_SILENCE);
    kd_pipe_link_tick(&link, KD_PIPE_SILENCE - 1);
    CHECK_EQ_U64(seen.news[KD_PIPE_DAMAGED], 0);
    kd_pipe_link_tick(&link, KD_PIPE_SILENCE);
    CHECK_EQ_U64(seen.numbers[KD_PIPE_DAMAGED], size - 1);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), UINT64_MAX);
    push_data(2, "text");
    check_received("text");
}

static void survives_noise(void)
{
    uint32_t state = 1;

    start();
    for (int i = 0; i < 200000; i++) {
        uint8_t byte;

        state = state * 1664525u + 1013904223u;
        /* The bytes of a frame's start are frequent. */
        byte = state >> 30 ? (uint8_t)(state >> 22) : break_in[(state >> 16) % 24];
        kd_pipe_link_push(&link, 0, &byte, 1);
    }
    kd_pipe_link_tick(&link, KD_PIPE_SILENCE);
    CHECK_EQ_U64(seen.numbers[KD_PIPE_DAMAGED], 200000);
    push_data(2, "fine");
    check_received("fine");
}

static void a_repeated_frame_is_delivered_once(void)
{
    start();
    push_data(2, "a");
    CHECK_EQ_U64(seen.frames, 0);
    push_data(2, "a");
    check_received("a");
    CHECK_EQ_U64(seen.frames, 1);
    CHECK_EQ_U64(seen.sent[4], 2);
    CHECK_EQ_U64(seen.sent[12], 2);
    CHECK_EQ_U64(seen.news[KD_PIPE_ACKNOWLEDGES], 1);
    push_data(3, "b");
    CHECK_EQ_U64(seen.frames, 2);
    CHECK_EQ_U64(seen.sent[24 + 12], 3);
    check_received("ab");
}

/* Another payload under the same number is another frame. */
static void an_agent_that_starts_again(void)
{
    start();
    push_data(2, "a");
    push_data(3, "b");
    push_data(2, "new");
    check_received("abnew");
    CHECK_EQ_U64(seen.news[KD_PIPE_RESTARTED], 1);
    push_data(3, "b");
    check_received("abnewb");
    CHECK_EQ_U64(seen.frames, 0);
}

static void one_frame_at_a_time(void)
{
    start();
    kd_pipe_link_take(&link, 0, (const uint8_t *)"1", 1);
    kd_pipe_link_take(&link, 0, (const uint8_t *)"2", 1);
    CHECK_EQ_U64(seen.frames, 2);
    push_acknowledge(0x5687);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"3", 1), 0);
    push_acknowledge(0x5688);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"3", 1), 1);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"4", 1), 0);
    push_acknowledge(0x5688);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"4", 1), 0);
    push_acknowledge(0x5689);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"4", 1), 1);
}

static void what_is_lost_is_sent_again(void)
{
    const uint64_t second = KD_PIPE_RESEND_AFTER;

    start();
    kd_pipe_link_take(&link, 0, (const uint8_t *)"1", 1);
    push_acknowledge(0x5687);
    kd_pipe_link_take(&link, 0, (const uint8_t *)"2", 1);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), second);
    kd_pipe_link_tick(&link, second - MILLISECOND);
    CHECK_EQ_U64(seen.frames, 2);
    kd_pipe_link_tick(&link, second);
    CHECK_EQ_U64(seen.frames, 3);
    CHECK_EQ_MEM(seen.sent + 25, seen.sent + 50, 25);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), 3 * second);
    kd_pipe_link_tick(&link, 3 * second);
    kd_pipe_link_tick(&link, 7 * second);
    CHECK_EQ_U64(seen.frames, 5);
    CHECK_EQ_U64(seen.news[KD_PIPE_GIVEN_UP], 0);
    kd_pipe_link_tick(&link, 15 * second);
    CHECK_EQ_U64(seen.frames, 5);
    CHECK_EQ_U64(seen.numbers[KD_PIPE_GIVEN_UP], 1);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 15 * second, (const uint8_t *)"3", 1), 1);
    CHECK_EQ_U64(kd_pipe_link_take(&link, 15 * second, (const uint8_t *)"4", 1), 0);
}

/* It repeated itself for another reason: it must not be waited for each time. */
static void an_agent_that_never_acknowledges(void)
{
    uint64_t now = 0;

    start();
    push_data(2, "a");
    push_data(2, "a");
    kd_pipe_link_take(&link, 0, (const uint8_t *)"1", 1);
    while (kd_pipe_link_deadline(&link) != UINT64_MAX) {
        now = kd_pipe_link_deadline(&link);
        kd_pipe_link_tick(&link, now);
    }
    CHECK_EQ_U64(seen.news[KD_PIPE_GIVEN_UP], 1);
    CHECK_EQ_U64(kd_pipe_link_take(&link, now, (const uint8_t *)"2", 1), 1);
    CHECK_EQ_U64(kd_pipe_link_take(&link, now, (const uint8_t *)"3", 1), 1);
}

/* The guest's numbers begin with 2, and its acknowledges have flag 3; it takes those with flag 2.
 */
static void the_guest_numbers_and_acknowledges(void)
{
    const uint32_t header[6] = {0x15957899, 2, 0, 2, 0, 0x36133574};
    uint8_t frame[64], expected[64];
    size_t size = make_data(expected, 2, "text", 4);

    start_as(KD_PIPE_GUEST, KD_PIPE_AUTO);
    kd_pipe_link_take(&link, 0, (const uint8_t *)"text", 4);
    CHECK_EQ_U64(seen.sent_size, size);
    CHECK_EQ_MEM(seen.sent, expected, size);
    kd_pipe_link_push(&link, 0, break_in, sizeof break_in);
    kd_pipe_link_push(&link, 0, break_in, sizeof break_in);
    check_received("b");
    make_acknowledge(expected, 0x5687);
    CHECK_EQ_U64(seen.sent_size, size + 24);
    CHECK_EQ_MEM(seen.sent + size, expected, 24);
    kd_pipe_link_push(&link, 0, frame, make(frame, header, NULL, 0));
    CHECK_EQ_U64(seen.numbers[KD_PIPE_DAMAGED], 0);
    CHECK_EQ_U64(kd_pipe_link_deadline(&link), UINT64_MAX);
}

static void plain_bytes_are_answered_plainly(void)
{
    static const char *const begins[] = {"iiii", "0000", "b"};

    for (size_t i = 0; i < 3; i++) {
        start_as(KD_PIPE_GUEST, KD_PIPE_AUTO);
        kd_pipe_link_take(&link, 0, (const uint8_t *)"x", 1);
        CHECK_EQ_U64(seen.sent_size, 25);
        kd_pipe_link_push(&link, 0, (const uint8_t *)begins[i], strlen(begins[i]));
        check_received(begins[i]);
        CHECK_EQ_U64(seen.news[KD_PIPE_SENDS_PLAIN], 1);
        CHECK_EQ_U64(kd_pipe_link_take(&link, 0, (const uint8_t *)"yz", 2), 2);
        CHECK_EQ_U64(seen.sent_size, 27);
        CHECK_EQ_MEM(seen.sent + 25, "yz", 2);
        CHECK_EQ_U64(kd_pipe_frame_length(seen.sent + 25, 2), 2);
        push_data(2, "no frame any more");
        CHECK_EQ_U64(seen.received_size, strlen(begins[i]) + 24 + 17);
        CHECK_EQ_U64(kd_pipe_link_deadline(&link), UINT64_MAX);
    }
}

static void frames_are_answered_with_frames(void)
{
    start_as(KD_PIPE_HOST, KD_PIPE_AUTO);
    push_data(2, "iiii");
    kd_pipe_link_push(&link, 0, (const uint8_t *)"iiii", 4);
    check_received("iiii");
    CHECK_EQ_U64(seen.news[KD_PIPE_SENDS_PLAIN], 0);
    start_as(KD_PIPE_HOST, KD_PIPE_PLAIN);
    kd_pipe_link_take(&link, 0, (const uint8_t *)"b", 1);
    CHECK_EQ_U64(seen.sent_size, 1);
}

KD_TEST_MAIN({"the bytes sent are those of the description", sends_the_known_bytes},
             {"the acknowledge of the description is known", knows_the_acknowledge},
             {"what is long goes out as several frames", divides_what_is_long},
             {"frames cut anywhere are put together", takes_frames_cut_anywhere},
             {"the longest frame is taken, a longer one is not", takes_the_longest_frame},
             {"damage is skipped up to the next frame", skips_damage},
             {"an unfinished frame is given up", gives_up_an_unfinished_frame},
             {"noise is skipped", survives_noise},
             {"a repeated frame is delivered once", a_repeated_frame_is_delivered_once},
             {"an agent that starts again is heard", an_agent_that_starts_again},
             {"one frame is on the way at a time", one_frame_at_a_time},
             {"what is lost is sent again", what_is_lost_is_sent_again},
             {"an agent that never acknowledges is not waited for",
              an_agent_that_never_acknowledges},
             {"the guest's end numbers and acknowledges as a guest",
              the_guest_numbers_and_acknowledges},
             {"who sends plain bytes gets plain bytes", plain_bytes_are_answered_plainly},
             {"who sends frames gets frames", frames_are_answered_with_frames})
